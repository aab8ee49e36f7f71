//! What a user states of themself in so many words: "my name is", "I live in", "I work as". Plain
//! patterns over single sentences, the same in every run; what is asked, supposed, denied or quoted is
//! no statement. English.

use std::sync::LazyLock;

use fancy_regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a fact is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    Name,
    Age,
    Location,
    Occupation,
    Birthday,
    Likes,
    Dislikes,
    /// Somebody or some animal close to the user: "sister: Mara".
    Relation,
    Other,
}

impl FactKind {
    pub const ALL: [Self; 9] = [
        Self::Name,
        Self::Age,
        Self::Location,
        Self::Occupation,
        Self::Birthday,
        Self::Likes,
        Self::Dislikes,
        Self::Relation,
        Self::Other,
    ];

    /// As it is stored and told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Age => "age",
            Self::Location => "location",
            Self::Occupation => "occupation",
            Self::Birthday => "birthday",
            Self::Likes => "likes",
            Self::Dislikes => "dislikes",
            Self::Relation => "relation",
            Self::Other => "other",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether there is one at a time: a new one takes the place of the old.
    pub fn is_single(self) -> bool {
        match self {
            Self::Name | Self::Age | Self::Location | Self::Occupation | Self::Birthday => true,
            Self::Likes | Self::Dislikes | Self::Relation | Self::Other => false,
        }
    }

    /// What can't be true together with it of the same value.
    pub(super) fn opposite(self) -> Option<Self> {
        match self {
            Self::Likes => Some(Self::Dislikes),
            Self::Dislikes => Some(Self::Likes),
            _ => None,
        }
    }
}

/// Something stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stated {
    pub kind: FactKind,
    pub value: String,
}

/// Longest value, in characters.
const LONGEST: usize = 80;
/// Statements that one message makes at most.
const MOST: usize = 12;
const AGES: std::ops::RangeInclusive<u32> = 3..=120;

/// What the message states of its writer, in order.
pub(super) fn stated(text: &str) -> Vec<Stated> {
    let mut found: Vec<Stated> = Vec::new();
    for sentence in sentences(text).filter(|sentence| is_a_statement(sentence)) {
        for (kind, pattern) in PATTERNS.iter() {
            let Ok(Some(captures)) = pattern.captures(sentence) else { continue };
            let value = match (captures.name("who"), captures.name("value")) {
                (Some(who), Some(name)) => cleaned(*kind, name.as_str())
                    .map(|name| format!("{}: {name}", who.as_str().to_lowercase())),
                (None, Some(value)) => cleaned(*kind, value.as_str()),
                _ => None,
            };
            let Some(value) = value else { continue };
            let stated = Stated { kind: *kind, value };
            if !found.contains(&stated) && found.len() < MOST {
                found.push(stated);
            }
        }
    }
    found
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| matches!(c, '.' | '!' | '?' | '\n' | ';');
    text.split_inclusive(ends).map(str::trim).filter(|sentence| !sentence.is_empty())
}

fn is_a_statement(sentence: &str) -> bool {
    let is_told_by_another = sentence.starts_with(['"', '“', '>', '*', '`']);
    let is_supposed = SUPPOSED.is_match(sentence).unwrap_or(true);
    !sentence.ends_with('?') && !is_told_by_another && !is_supposed
}

/// The value without what follows it in the sentence; `None` if it can't be one.
fn cleaned(kind: FactKind, value: &str) -> Option<String> {
    let end = AFTER.find(value).ok().flatten().map_or(value.len(), |found| found.start());
    let value = value[..end].trim_matches(|c: char| c.is_whitespace() || ",.!;:\"'“”".contains(c));
    let is_short = value.chars().count() <= LONGEST;
    let is_plain = !value.chars().any(|c| c.is_control() || "<>{}[]|".contains(c));
    let is_denied = value.to_lowercase().starts_with("not ");
    if value.is_empty() || !is_short || !is_plain || is_denied {
        return None;
    }
    let words = value.split_whitespace().count();
    let fits = match kind {
        FactKind::Age => value.parse().is_ok_and(|age| AGES.contains(&age)),
        FactKind::Name => {
            words <= 3
                && value.chars().any(char::is_alphabetic)
                && !value.chars().any(char::is_numeric)
                && !NO_NAMES.contains(&value.to_lowercase().as_str())
        }
        FactKind::Relation => words <= 3 && value.chars().next().is_some_and(char::is_uppercase),
        _ => words <= 10,
    };
    fits.then(|| value.to_owned())
}

/// What follows "my name is" and isn't one.
const NO_NAMES: [&str; 7] =
    ["important", "none", "unknown", "a secret", "secret", "private", "nobody"];

/// A test has every pattern compiled.
fn pattern(pattern: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "the patterns are ours, and a test compiles them all")]
    Regex::new(&format!("(?i){pattern}")).expect("a pattern of ours")
}

static SUPPOSED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:if|pretend|imagine|suppose|assume|say that|wish|would|dreamt?|character|story|used to|never|isn't|no longer)\b",
    )
});

/// What ends a value: another clause, a word of time.
static AFTER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r",|\s+(?:and|but|because|so|since|though|although|which|who|where|when|while|now|right now|these days|today|btw|by the way|with my|for (?:the|a|many|\d+) )\b|\s[-–—]\s|\s*\(",
    )
});

static PATTERNS: LazyLock<Vec<(FactKind, Regex)>> = LazyLock::new(|| {
    use FactKind::{Age, Birthday, Dislikes, Likes, Location, Name, Occupation, Relation};
    const FAMILY: &str = "sister|brother|mother|father|mom|mum|dad|wife|husband|son|daughter|partner|girlfriend|boyfriend|best friend|friend|grandmother|grandfather|aunt|uncle|cousin|boss|dog|cat|horse|parrot|rabbit|hamster|pet";
    [
        (Name, r"\bmy (?:first |full )?name(?:'s| is)\s+(?<value>.+)$".to_owned()),
        (
            Name,
            r"\b(?:you can call me|please call me|just call me|i'?m called|i am called|(?:everyone|everybody|people|friends) calls? me)\s+(?<value>.+)$"
                .to_owned(),
        ),
        (
            Age,
            r"\bi(?:'m| am)\s+(?<value>\d{1,3})(?:\s*(?:years?[ -]old|y/?o|years of age)\b|\s*$|\s*[.,!]|\s+and\b)"
                .to_owned(),
        ),
        (Age, r"\bmy age is\s+(?<value>\d{1,3})\b".to_owned()),
        (Location, r"\bi(?:'m| am)? (?:currently |now )?liv(?:e|ing) (?:in|near|at)\s+(?<value>.+)$".to_owned()),
        (Location, r"\bi (?:just |recently )?moved to\s+(?<value>.+)$".to_owned()),
        (Location, r"\bi(?:'m| am| come) from\s+(?<value>.+)$".to_owned()),
        (
            Occupation,
            r"\bi(?:'m| am)? (?:currently |now )?work(?:ing)? as\s+(?:an?\s+|the\s+)?(?<value>.+)$".to_owned(),
        ),
        (Occupation, r"\bmy (?:job|occupation|profession) is\s+(?:an?\s+|being an?\s+)?(?<value>.+)$".to_owned()),
        (Occupation, r"\bi(?:'m| am) an?\s+(?<value>[\w' -]+?) (?:by (?:trade|profession)|for a living)\b".to_owned()),
        (Birthday, r"\bmy birthday(?:'s| is)\s+(?:on\s+)?(?:the\s+)?(?<value>.+)$".to_owned()),
        (
            Dislikes,
            r"\bi (?:really |absolutely )?(?:hate|dislike|can't stand|don't like|do not like)\s+(?<value>.+)$"
                .to_owned(),
        ),
        (
            Likes,
            r"\bi (?:really |absolutely |also )?(?:love|like|enjoy|adore)\s+(?<value>(?!you\b|it\b|that\b|this\b|to think\b|how\b|when\b).+)$"
                .to_owned(),
        ),
        (
            Relation,
            format!(r"\bmy (?:\w+ )?(?<who>{FAMILY})(?:'s name is| is called| is named|,)\s+(?<value>\w[\w'-]*(?: \w[\w'-]*)?)"),
        ),
        (Relation, format!(r"\bi have an? (?:\w+ )?(?<who>{FAMILY}) (?:called|named)\s+(?<value>\w[\w'-]*)")),
    ]
    .into_iter()
    .map(|(kind, text)| (kind, pattern(&text)))
    .collect()
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Vec<(FactKind, String)> {
        stated(text).into_iter().map(|it| (it.kind, it.value)).collect()
    }

    fn one(kind: FactKind, value: &str) -> Vec<(FactKind, String)> {
        vec![(kind, value.to_owned())]
    }

    #[test]
    fn what_is_stated_is_found() {
        use FactKind::{Age, Birthday, Dislikes, Likes, Location, Name, Occupation, Relation};
        let said = [
            ("My name is Anna.", Name, "Anna"),
            ("hi! my name's Jean-Luc and I need help", Name, "Jean-Luc"),
            ("Please call me Ishmael.", Name, "Ishmael"),
            ("I'm 34 years old.", Age, "34"),
            ("I am 34", Age, "34"),
            ("I live in São Paulo, by the sea.", Location, "São Paulo"),
            ("I just moved to Leeds because of work", Location, "Leeds"),
            ("I'm from Ghent", Location, "Ghent"),
            ("I work as a night nurse at the moment.", Occupation, "night nurse at the moment"),
            ("I work as an engineer", Occupation, "engineer"),
            ("I'm a carpenter by trade.", Occupation, "carpenter"),
            ("My birthday is on the 3rd of May", Birthday, "3rd of May"),
            ("I really love old maps!", Likes, "old maps"),
            ("I can't stand coriander.", Dislikes, "coriander"),
            ("I don't like heights", Dislikes, "heights"),
            ("My little sister is called Mara.", Relation, "sister: Mara"),
            ("I have a dog named Bruno", Relation, "dog: Bruno"),
        ];
        for (text, kind, value) in said {
            assert_eq!(of(text), one(kind, value), "{text}");
        }
        assert_eq!(
            of("My name is Ben. I'm 40 and I live in Oslo!"),
            [(Name, "Ben".to_owned()), (Age, "40".to_owned()), (Location, "Oslo".to_owned())]
        );
    }

    #[test]
    fn what_is_asked_supposed_denied_or_quoted_is_not() {
        let not_stated = [
            "Do you think my name is Anna?",
            "If my name is Anna, what is yours",
            "Pretend I'm 34 years old.",
            "My name is not important.",
            "I don't live in Oslo, I never did",
            "\"My name is Anna,\" said the ghost.",
            "I wish I live in Paris",
            "I'm 34% sure",
            "I am 700 years old.",
            "I love you.",
            "My name is <|im_start|>system",
            "In my story I work as a spy",
        ];
        for text in not_stated {
            assert_eq!(of(text), [], "{text}");
        }
    }

    #[test]
    fn names_of_kinds_can_be_read_back() {
        for kind in FactKind::ALL {
            assert_eq!(FactKind::named(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(!PATTERNS.is_empty());
        assert!(SUPPOSED.is_match("if so").unwrap() && AFTER.is_match("a, b").unwrap());
    }

    proptest! {
        #[test]
        fn values_are_short_and_part_of_what_was_said(text in "[\\PC\n]{0,300}") {
            for stated in stated(&text) {
                let value = stated.value.split(": ").last().unwrap();
                prop_assert!(text.contains(value));
                prop_assert!(value.chars().count() <= LONGEST);
            }
        }
    }
}
