//! Claims about books: what is read of them, and what a talk activates.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Activation, Lorebook, Position, Role, Scan, Timers};

/// A book of these entries; an entry that lacks them has content and order.
fn book(entries: &[Value]) -> Lorebook {
    let (book, warnings) = read(entries);
    assert!(warnings.is_empty(), "{warnings:?}");
    book
}

fn read(entries: &[Value]) -> (Lorebook, Vec<String>) {
    let whole = |(at, entry): (usize, &Value)| {
        let mut whole = json!({ "content": format!("Text {at}."), "keys": [], "enabled": true,
            "insertion_order": 100, "extensions": {} });
        let fields = entry.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(fields);
        whole
    };
    let entries: Vec<_> = entries.iter().enumerate().map(whole).collect();
    Lorebook::of_card(&json!({ "data": { "character_book": { "entries": entries } } }))
}

fn scan<'a>(messages: &'a [&'a str]) -> Scan<'a> {
    let said = messages.len();
    Scan { messages, said, window: 4_000, seed: 1, character: "Aria", user: "Tove" }
}

fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn activate(book: &Lorebook, messages: &[&str]) -> Activation {
    book.activate(&scan(messages), &Timers::default(), &words)
}

fn ids(activation: &Activation) -> Vec<&str> {
    activation.active.iter().map(|active| active.id.as_str()).collect()
}

#[test]
fn the_newest_two_messages_are_looked_at_unless_a_book_or_entry_says_more() {
    let entries = [
        json!({ "keys": ["lamp"] }),
        json!({ "keys": ["lamp"], "extensions": { "scan_depth": 3 } }),
        json!({ "keys": ["lamp"], "extensions": { "scan_depth": 0 } }),
    ];
    let book = book(&entries);
    assert_eq!(ids(&activate(&book, &["The lamp.", "Yes."])), ["0", "1"]);
    assert_eq!(ids(&activate(&book, &["The lamp.", "Yes.", "No."])), ["1"]);
    assert!(ids(&activate(&book, &["The lamp.", "Yes.", "No.", "So."])).is_empty());
}

#[test]
fn secondary_keys_decide_as_in_sillytavern() {
    let entry = |logic: u8| {
        json!({ "keys": ["sea"], "selective": true, "secondary_keys": ["storm", "gull"],
            "extensions": { "selectiveLogic": logic } })
    };
    let book = book(&[entry(0), entry(1), entry(2), entry(3)]);
    for (said, active) in [
        ("The sea.", &["1", "2"][..]),
        ("The sea, a storm.", &["0", "1"]),
        ("The sea, a storm, a gull.", &["0", "3"]),
        ("A storm, a gull.", &[]),
    ] {
        assert_eq!(ids(&activate(&book, &[said])), active, "{said}");
    }
}

#[test]
fn text_goes_where_its_position_says_in_order_with_names_put_in() {
    let book = book(&[
        json!({ "constant": true, "content": "{{char}} and {{user}}", "position": "after_char" }),
        json!({ "constant": true, "insertion_order": -5, "extensions": { "position": 0 } }),
        json!({ "constant": true, "extensions": { "position": 4, "depth": 2, "role": 2 } }),
        json!({ "constant": true, "insertion_order": 7 }),
        json!({ "constant": true, "content": "@@depth 1\n@@role user\nNear." }),
    ]);
    let activation = activate(&book, &[]);
    assert_eq!(ids(&activation), ["1", "3", "0", "4", "2"]);
    let active = &activation.active;
    assert_eq!(active[2].text, "Aria and Tove");
    assert_eq!(active[3].text, "Near.");
    assert_eq!(active[0].position, Position::BeforeCharacter);
    assert_eq!(active[3].position, Position::AtDepth { depth: 1, role: Role::User });
    assert_eq!(active[4].position, Position::AtDepth { depth: 2, role: Role::Assistant });
}

#[test]
fn text_activates_other_entries_unless_it_may_not() {
    let book = book(&[
        json!({ "keys": ["sea"], "content": "The lamp." }),
        json!({ "keys": ["lamp"], "content": "The keeper." }),
        json!({ "keys": ["lamp"], "extensions": { "exclude_recursion": true } }),
        json!({ "keys": ["keeper"], "content": "The ghost.",
            "extensions": { "prevent_recursion": true } }),
        json!({ "keys": ["ghost"] }),
        json!({ "keys": ["sea"], "extensions": { "delay_until_recursion": true } }),
        json!({ "keys": ["sea"], "extensions": { "delay_until_recursion": 2 } }),
    ]);
    assert_eq!(ids(&activate(&book, &["The sea."])), ["0", "1", "3", "5", "6"]);
    let flat = json!({ "character_book": { "recursive_scanning": false, "entries": [
        { "keys": ["sea"], "content": "The lamp." }, { "keys": ["lamp"], "content": "x" } ] } });
    let (flat, _) = Lorebook::of_card(&flat);
    assert_eq!(ids(&activate(&flat, &["The sea."])), ["0"]);
}

#[test]
fn entries_that_name_each_other_end() {
    let entries: Vec<_> = (0..100)
        .map(|at| json!({ "keys": [format!("k{at}")], "content": format!("k{}", at + 1) }))
        .collect();
    let activation = activate(&book(&entries), &["k0"]);
    assert!(activation.active.len() > 10 && activation.active.len() < 100);
}

#[test]
fn what_the_budget_drops_is_told_and_constants_go_first() {
    let (book, _) = Lorebook::of_card(&json!({ "character_book": { "token_budget": 6, "entries": [
        { "keys": ["sea"], "content": "one two three", "insertion_order": 1 },
        { "keys": ["sea"], "content": "one two three", "insertion_order": 2 },
        { "constant": true, "content": "a b", "insertion_order": 0 },
        { "keys": ["sea"], "content": "x", "insertion_order": 0, "priority": 9 },
    ] } }));
    let activation = activate(&book, &["The sea."]);
    assert_eq!(ids(&activation), ["2", "3", "1"]);
    assert_eq!(activation.left_out.len(), 1);
    let (id, why) = &activation.left_out[0];
    assert!(id == "0" && why.contains("3 tokens") && why.contains("the 0 that"), "{why}");
}

#[test]
fn without_a_budget_a_quarter_of_the_window_is_the_books() {
    let book = book(&[json!({ "constant": true, "content": "a b c d e" })]);
    let scan = Scan { window: 16, ..scan(&[]) };
    assert!(book.activate(&scan, &Timers::default(), &words).active.is_empty());
    let scan = Scan { window: 20, ..scan };
    assert_eq!(book.activate(&scan, &Timers::default(), &words).active.len(), 1);
}

/// Whether the only entry is active at each length of a talk that says the key at some.
fn timeline(entry: &Value, says_key: &[bool]) -> String {
    let book = book(std::slice::from_ref(entry));
    let mut timers = Timers::default();
    let at = |(at, says): (usize, &bool)| {
        let messages = [if *says { "lamp" } else { "-" }];
        let scan = Scan { said: at + 1, ..scan(&messages) };
        let activation = book.activate(&scan, &timers, &words);
        timers = activation.timers;
        if activation.active.is_empty() { '.' } else { 'x' }
    };
    says_key.iter().enumerate().map(at).collect()
}

#[test]
fn entries_stick_rest_and_wait() {
    let entry = |extensions: Value| json!({ "keys": ["lamp"], "extensions": extensions });
    let said = |pattern: &str| pattern.chars().map(|it| it == 'k').collect::<Vec<_>>();
    for (extensions, talk, active) in [
        (json!({ "sticky": 2 }), "-k----k-", ".xx...xx"),
        (json!({ "cooldown": 2 }), "kkkkkkkk", "x.x.x.x."),
        (json!({ "sticky": 1, "cooldown": 2 }), "kkkkkkkk", "x..x..x."),
        (json!({ "sticky": 2, "cooldown": 2 }), "kkkkkkkk", "xx..xx.."),
        // What is said while it sticks doesn't make it stick longer.
        (json!({ "sticky": 2 }), "kk------", "xx......"),
        (json!({ "delay": 4 }), "kkkkkkkk", "...xxxxx"),
        (json!({ "sticky": "2", "cooldown": null }), "k-------", "xx......"),
    ] {
        assert_eq!(timeline(&entry(extensions.clone()), &said(talk)), active, "{extensions}");
    }
    for (decorator, talk, active) in [
        ("@@keep_activate_after_match", "-k------", ".xxxxxxx"),
        ("@@dont_activate_after_match", "kkkkkkkk", "x......."),
        ("@@activate_only_after 3", "kkkkkkkk", "..xxxxxx"),
        ("@@activate_only_every 3", "kkkkkkkk", "..x..x.."),
    ] {
        let entry = json!({ "keys": ["lamp"], "content": format!("{decorator}\nText.") });
        assert_eq!(timeline(&entry, &said(talk)), active, "{decorator}");
    }
}

#[test]
fn a_talk_that_went_back_forgets_what_came_after() {
    let book = book(&[json!({ "keys": ["lamp"], "extensions": { "sticky": 5, "cooldown": 5 } })]);
    let at = |said: usize, message: &str, timers: &Timers| {
        book.activate(&Scan { said, ..scan(&[message]) }, timers, &words)
    };
    let first = at(8, "lamp", &Timers::default());
    assert_eq!(ids(&at(9, "-", &first.timers)), ["0"]);
    // A swipe, then an edit that no longer says it.
    assert_eq!(ids(&at(8, "lamp", &first.timers)), ["0"]);
    assert!(at(8, "-", &first.timers).active.is_empty());
    assert!(at(3, "-", &first.timers).timers.is_empty());
    // They are small, and can be written down.
    let written = serde_json::to_string(&first.timers).unwrap();
    assert_eq!(written, r#"{"0":8}"#);
    assert_eq!(serde_json::from_str::<Timers>(&written).unwrap(), first.timers);
}

#[test]
fn decorators_map_as_far_as_they_go() {
    let (book, warnings) = read(&[
        json!({ "keys": ["sea"], "content": "@@additional_keys storm, gull\nA." }),
        json!({ "keys": ["sea"], "content": "@@exclude_keys calm\nB." }),
        json!({ "content": "@@constant\nC." }),
        json!({ "content": "@@activate\nD." }),
        json!({ "constant": true, "content": "@@dont_activate\nE." }),
        json!({ "keys": ["sea"], "content": "@@scan_depth 1\nF." }),
        json!({ "content": "@@is_user_icon x\n@@@constant\n@@@constant\nG." }),
        json!({ "name": "odd", "constant": true, "content": "@@instruct_depth 3\nH." }),
    ]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("odd") && warnings[0].contains("@@instruct_depth"));
    let texts = |messages: &[&str]| {
        let active = activate(&book, messages).active;
        active.iter().map(|it| it.text.clone()).collect::<String>()
    };
    assert_eq!(texts(&["The sea.", "-"]), "B.C.D.G.H.");
    assert_eq!(texts(&["The sea, a gull.", "calm"]), "A.C.D.G.H.");
    assert_eq!(texts(&["-", "The sea."]), "B.C.D.F.G.H.");
}

#[test]
fn faulty_entries_are_left_out_and_named() {
    let (book, warnings) = read(&[
        json!({ "name": "number", "extensions": { "sticky": "long" } }),
        json!({ "comment": "list", "keys": 7 }),
        json!({ "comment": "regex", "keys": ["/(/"] }),
        json!({ "comment": "logic", "extensions": { "selectiveLogic": 9 } }),
        json!({ "comment": "outlet", "extensions": { "position": 7 } }),
        json!({ "keys": ["role"], "extensions": { "position": 4, "role": "queen" } }),
        json!({ "comment": "good", "constant": true, "extensions": { "group": "weather" } }),
        json!({ "comment": "a heading", "content": " " }),
    ]);
    assert_eq!(ids(&activate(&book, &[])), ["6"]);
    let told = warnings.join("\n");
    for name in ["number", "list", "regex", "logic", "outlet", "role", "groups"] {
        assert!(told.contains(name), "{name}: {told}");
    }
    assert_eq!(warnings.len(), 7, "{told}");
    for odd in [json!(1), json!({}), json!({ "entries": 1 }), json!([])] {
        let (book, warnings) = Lorebook::of_card(&json!({ "character_book": odd }));
        assert!(book.is_empty() && warnings.len() == 1);
    }
    assert!(Lorebook::of_card(&json!({ "data": 1 })).1.is_empty());
}

#[test]
fn sillytaverns_world_info_is_read() {
    let (book, warnings) = Lorebook::of_world_info(&json!({ "entries": {
        "0": { "uid": 0, "key": ["sea"], "keysecondary": ["storm"], "comment": "Sea",
            "content": "Salt.", "constant": false, "selective": true, "selectiveLogic": 0,
            "order": 90, "position": 4, "depth": 3, "role": 1, "disable": false,
            "excludeRecursion": true, "preventRecursion": false, "delayUntilRecursion": 0,
            "probability": 100, "useProbability": true, "group": "", "scanDepth": null,
            "caseSensitive": null, "matchWholeWords": null, "sticky": 0, "cooldown": null },
        "1": { "uid": 1, "key": ["sea"], "keysecondary": [], "content": "Off.", "disable": true },
        "2": { "uid": 2, "key": ["SEA"], "content": "Case.", "caseSensitive": true },
    } }));
    assert!(warnings.is_empty(), "{warnings:?}");
    let activation = activate(&book, &["The sea, a storm."]);
    assert_eq!(ids(&activation), ["0"]);
    assert_eq!(activation.active[0].title, "Sea");
    assert_eq!(activation.active[0].position, Position::AtDepth { depth: 3, role: Role::User });
    let (alone, _) = Lorebook::of_world_info(&json!({ "spec": "lorebook_v3", "data": {
        "entries": [{ "keys": ["s.a"], "use_regex": true, "content": "Regex." }] } }));
    assert_eq!(ids(&activate(&alone, &["sta"])), ["0"]);
}

#[test]
fn sillytaverns_keys_are_words_although_it_calls_them_expressions() {
    let book = book(&[json!({ "keys": ["C++"], "use_regex": true,
        "extensions": { "selectiveLogic": 0, "exclude_recursion": false } })]);
    assert_eq!(ids(&activate(&book, &["I like C++."])), ["0"]);
}

#[test]
fn a_hostile_expression_ends_and_is_told() {
    let book = book(&[
        json!({ "keys": ["/(a+)+$/"] }),
        json!({ "keys": [r"/(?=(a+)+$)\1b/"] }),
        json!({ "keys": ["lamp"] }),
    ]);
    let text = format!("{}! lamp", "a".repeat(100_000));
    let activation = activate(&book, &[&text]);
    assert_eq!(ids(&activation), ["2"]);
}

#[test]
fn chance_goes_by_the_seed() {
    let entries: Vec<_> = (0..200)
        .map(|_| json!({ "constant": true, "extensions": { "probability": 30 } }))
        .chain([json!({ "constant": true,
            "extensions": { "probability": 0, "useProbability": false } })])
        .collect();
    let book = book(&entries);
    let at = |seed| book.activate(&Scan { seed, ..scan(&[]) }, &Timers::default(), &words);
    assert_eq!(at(1), at(1));
    assert_ne!(ids(&at(1)), ids(&at(2)));
    assert!((30..90).contains(&at(1).active.len()) && ids(&at(1)).contains(&"200"));
}

/// Any entry, with few words so that they meet.
fn any_entry() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec!["sea", "lamp", "storm", "gull", "/g.ll/"]);
    let few = || prop::collection::vec(word.clone(), 0..3);
    let timing = (0..4_usize, 0..4_usize, 0..6_usize, 0..=100_u8);
    let switches = (any::<[bool; 4]>(), 0..4_u8, 0..6_u8);
    (few(), few(), few(), -3..3_i64, timing, switches).prop_map(
        |(keys, secondary, content, order, (sticky, cooldown, delay, chance), switches)| {
            let ([enabled, constant, selective, excludes], logic, position) = switches;
            json!({ "keys": keys, "secondary_keys": secondary, "enabled": enabled,
                "content": format!("Text {}", content.join(" ")), "constant": constant,
                "selective": selective, "insertion_order": order, "extensions": {
                    "sticky": sticky, "cooldown": cooldown, "delay": delay,
                    "probability": chance, "exclude_recursion": excludes,
                    "selectiveLogic": logic, "position": position } })
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_said_the_budget_holds_and_disabled_entries_stay_out(
        entries in prop::collection::vec(any_entry(), 0..12),
        said in prop::collection::vec("(sea|lamp|storm|gull|x| ){0,6}", 1..8),
        window in 0..120_usize,
        seed in any::<u64>(),
    ) {
        let book = book(&entries);
        let messages: Vec<_> = said.iter().map(String::as_str).collect();
        let mut timers = Timers::default();
        for length in 1..=messages.len() {
            let scan = Scan { said: length, window, seed, ..scan(&messages[..length]) };
            let activation = book.activate(&scan, &timers, &words);
            prop_assert_eq!(&activation, &book.activate(&scan, &timers, &words));
            let spent: usize = activation.active.iter().map(|it| words(&it.text)).sum();
            prop_assert!(spent <= window / 4, "{} of {}", spent, window / 4);
            let order: Vec<_> = activation.active.iter().map(|it| (it.position, it.order)).collect();
            prop_assert!(order.is_sorted());
            for (at, entry) in entries.iter().enumerate() {
                let id = at.to_string();
                let is_active = activation.active.iter().any(|it| it.id == id);
                let is_told = activation.left_out.iter().any(|(left, _)| *left == id);
                prop_assert!(!(is_active && is_told));
                if entry["enabled"] == false {
                    prop_assert!(!is_active && !is_told);
                } else if entry["constant"] == true {
                    prop_assert!(is_active || is_told, "constants are never lost silently");
                }
            }
            timers = activation.timers;
        }
    }

    #[test]
    fn a_constant_that_fits_is_always_active(
        mut entries in prop::collection::vec(any_entry(), 0..12),
        said in "(sea|lamp|storm|gull| ){0,6}",
    ) {
        entries.push(json!({ "constant": true, "insertion_order": -100, "content": "Here." }));
        let activation = activate(&book(&entries), &[&said]);
        let id = (entries.len() - 1).to_string();
        prop_assert!(ids(&activation).contains(&id.as_str()));
    }

    #[test]
    fn no_book_panics(value in any_json(), said in ".{0,40}") {
        for place in [json!({ "character_book": &value }), json!({ "character_book": {
            "entries": [&value] } }), json!({ "character_book": { "entries": { "a": &value } } })]
        {
            let (book, _) = Lorebook::of_card(&place);
            activate(&book, &[&said]);
        }
        let (book, _) = Lorebook::of_world_info(&value);
        activate(&book, &[&said]);
    }
}

/// JSON with the names that books use.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "(@@|/|depth|role|constant| |\n|1|a|\\(){0,8}".prop_map(Value::from),
    ];
    let names = vec![
        "entries",
        "content",
        "keys",
        "key",
        "extensions",
        "position",
        "depth",
        "role",
        "sticky",
        "cooldown",
        "delay",
        "constant",
        "scan_depth",
        "token_budget",
        "probability",
        "priority",
        "insertion_order",
        "selectiveLogic",
        "secondary_keys",
        "use_regex",
        "data",
        "spec",
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(names.clone()), inner), 0..8).prop_map(
                |fields| {
                    let owned = |(name, value): (&str, Value)| (name.to_owned(), value);
                    Value::Object(fields.into_iter().map(owned).collect())
                }
            ),
        ]
    })
}
