//! Books as they are written: in a V2 or V3 card, alone (`lorebook_v3`), or as SillyTavern exports its
//! world info. A faulty entry is left out with a warning that names it.

use serde_json::Value;

use super::fields::{Fields, role};
use super::keys::{Key, Meaning};
use super::{Entry, Logic, Lorebook, Position, Role, decorators};
use crate::persona::card::clean_text;

const MOST_ENTRIES: usize = 10_000;
const MOST_WARNINGS: usize = 50;
/// Messages in which keys are looked for.
const USUAL_SCAN_DEPTH: usize = 2;
const DEEPEST_SCAN: usize = 100;
const USUAL_ORDER: i64 = 100;
const USUAL_DEPTH: usize = 4;

/// What holds for a whole book.
struct Book {
    lorebook: Lorebook,
    warnings: Vec<String>,
    scan_depth: usize,
    is_world_info: bool,
    has_groups: bool,
}

impl Lorebook {
    /// The book of a V2 or V3 card; an empty one where the card has none.
    pub fn of_card(card: &Value) -> (Self, Vec<String>) {
        let data = card.get("data").filter(|data| data.is_object()).unwrap_or(card);
        match data.get("character_book") {
            None | Some(Value::Null) => (Self::default(), Vec::new()),
            Some(book) => read(book, "character_book", false),
        }
    }

    /// A book that stands alone: SillyTavern's world info, or a V3 lorebook.
    pub fn of_world_info(book: &Value) -> (Self, Vec<String>) {
        if book["spec"] == "lorebook_v3" {
            return read(&book["data"], "data", false);
        }
        read(book, "the book", true)
    }
}

fn read(book: &Value, place: &str, is_world_info: bool) -> (Lorebook, Vec<String>) {
    let entries: Vec<(String, &Value)> = match book.get("entries") {
        Some(Value::Array(entries)) => {
            entries.iter().enumerate().map(|(at, entry)| (at.to_string(), entry)).collect()
        }
        Some(Value::Object(entries)) => {
            entries.iter().map(|(at, entry)| (at.clone(), entry)).collect()
        }
        _ => return (Lorebook::default(), vec![format!("{place} has no entries and is ignored")]),
    };
    let mut reading = Book {
        lorebook: Lorebook { is_recursive: true, ..Lorebook::default() },
        warnings: Vec::new(),
        scan_depth: USUAL_SCAN_DEPTH,
        is_world_info,
        has_groups: false,
    };
    reading.settings(book, place);
    for (at, value) in entries.iter().take(MOST_ENTRIES) {
        reading.add(at, value);
    }
    if entries.len() > MOST_ENTRIES {
        reading
            .warnings
            .push(format!("{place} has more than {MOST_ENTRIES} entries; the rest is ignored"));
    }
    reading.finish()
}

impl Book {
    fn settings(&mut self, book: &Value, place: &str) {
        let Ok(fields) = Fields::of(book) else { return };
        let mut told =
            |fault: String| self.warnings.push(format!("{place}: {fault}; it is ignored"));
        match fields.count(&["scan_depth", "scanDepth"]) {
            Ok(depth) => self.scan_depth = depth.unwrap_or(USUAL_SCAN_DEPTH).min(DEEPEST_SCAN),
            Err(fault) => told(fault),
        }
        match fields.count(&["token_budget", "tokenBudget"]) {
            // No budget at all would be no book.
            Ok(budget) => self.lorebook.token_budget = budget.filter(|budget| *budget > 0),
            Err(fault) => told(fault),
        }
        match fields.flag(&["recursive_scanning", "recursiveScanning"]) {
            Ok(flag) => self.lorebook.is_recursive = flag.unwrap_or(true),
            Err(fault) => told(fault),
        }
    }

    fn add(&mut self, at: &str, value: &Value) {
        let title = Fields::of(value).ok().and_then(title_of).unwrap_or_else(|| format!("#{at}"));
        match self.entry(at, title.clone(), value) {
            Ok(Some(entry)) => self.lorebook.entries.push(entry),
            // Nothing to say: a heading in somebody's list.
            Ok(None) => {}
            Err(fault) => self.warn(&title, &format!("{fault}; the entry is left out")),
        }
    }

    fn warn(&mut self, title: &str, fault: &str) {
        self.warnings.push(format!("entry {title:?}: {fault}"));
    }

    fn entry(&mut self, at: &str, title: String, value: &Value) -> Result<Option<Entry>, String> {
        let fields = Fields::of(value)?;
        let content = fields.text(&["content"])?.map(clean_text).unwrap_or_default();
        if content.trim().is_empty() {
            return Ok(None);
        }
        let meaning = self.meaning(fields)?;
        let is_selective = fields.flag(&["selective"])?.unwrap_or(self.is_world_info);
        let mut entry = Entry {
            id: at.to_owned(),
            title,
            content: content.trim().to_owned(),
            keys: self.keys(&fields.texts(&["keys", "key"])?, meaning)?,
            secondary: Vec::new(),
            logic: logic(fields)?,
            required: Vec::new(),
            excluded: Vec::new(),
            is_enabled: enabled(fields)?,
            is_constant: is(fields, &["constant"])?,
            position: position(fields)?
                .ok_or("what it is put into (an outlet) is not known here")?,
            order: fields.whole(&["insertion_order", "order"])?.unwrap_or(USUAL_ORDER),
            priority: fields.whole(&["priority"])?.unwrap_or(0),
            probability: probability(fields)?,
            sticky: fields.count(&["sticky"])?.unwrap_or(0),
            cooldown: fields.count(&["cooldown"])?.unwrap_or(0),
            delay: fields.count(&["delay"])?.unwrap_or(0),
            every: 1,
            excludes_recursion: is(fields, &["exclude_recursion", "excludeRecursion"])?,
            prevents_recursion: is(fields, &["prevent_recursion", "preventRecursion"])?,
            recursion_level: recursion_level(fields)?,
            scan_depth: fields.count(&["scan_depth", "scanDepth"])?.unwrap_or(self.scan_depth),
        };
        if is_selective {
            let secondary = fields.texts(&["secondary_keys", "keysecondary"])?;
            entry.secondary = self.keys(&secondary, meaning)?;
        }
        let group = fields.text(&["group"])?.unwrap_or_default();
        self.has_groups |= !group.trim().is_empty();
        for warning in decorators::apply(&mut entry, &mut self.lorebook.index, meaning)? {
            self.warn(&entry.title, &warning);
        }
        entry.scan_depth = entry.scan_depth.min(DEEPEST_SCAN);
        Ok((!entry.content.is_empty()).then_some(entry))
    }

    fn meaning(&self, fields: Fields<'_>) -> Result<Meaning, String> {
        let is_regex = is(fields, &["use_regex"])?;
        Ok(Meaning {
            is_case_sensitive: is(fields, &["case_sensitive", "caseSensitive"])?,
            is_word: fields.flag(&["match_whole_words", "matchWholeWords"])?.unwrap_or(true),
            is_regex: is_regex && !self.is_world_info && !fields.is_sillytaverns(),
        })
    }

    fn keys(&mut self, texts: &[&str], meaning: Meaning) -> Result<Vec<Key>, String> {
        let mut keys = Vec::new();
        for text in texts {
            keys.extend(self.lorebook.index.add(text, meaning)?);
        }
        Ok(keys)
    }

    fn finish(mut self) -> (Lorebook, Vec<String>) {
        if self.has_groups {
            let fault = "groups of entries of which one is chosen are not known; all are active";
            self.warnings.push(fault.to_owned());
        }
        if let Err(fault) = self.lorebook.index.compile() {
            let fault = format!("the book's keys can't be looked for: {fault}");
            return (Lorebook::default(), vec![fault]);
        }
        let more = self.warnings.len().saturating_sub(MOST_WARNINGS);
        self.warnings.truncate(MOST_WARNINGS);
        if more > 0 {
            self.warnings.push(format!("and {more} more of the kind"));
        }
        (self.lorebook, self.warnings)
    }
}

fn title_of(fields: Fields<'_>) -> Option<String> {
    let named = fields.text(&["comment"]).ok().flatten();
    let named = named.filter(|it| !it.trim().is_empty());
    let named = named.or_else(|| fields.text(&["name"]).ok().flatten());
    let named = named.filter(|it| !it.trim().is_empty());
    let title = named.or_else(|| fields.texts(&["keys", "key"]).ok()?.first().copied())?;
    let title: String = clean_text(title).trim().chars().take(80).collect();
    (!title.is_empty()).then_some(title)
}

fn is(fields: Fields<'_>, names: &[&str]) -> Result<bool, String> {
    Ok(fields.flag(names)?.unwrap_or(false))
}

fn enabled(fields: Fields<'_>) -> Result<bool, String> {
    Ok(fields.flag(&["enabled"])?.unwrap_or(true) && !is(fields, &["disable"])?)
}

fn logic(fields: Fields<'_>) -> Result<Logic, String> {
    match fields.whole(&["selectiveLogic", "selective_logic"])? {
        None | Some(0) => Ok(Logic::AndAny),
        Some(1) => Ok(Logic::NotAll),
        Some(2) => Ok(Logic::NotAny),
        Some(3) => Ok(Logic::AndAll),
        Some(_) => Err("its selectiveLogic must be from 0 to 3".to_owned()),
    }
}

fn probability(fields: Fields<'_>) -> Result<f64, String> {
    if !fields.flag(&["useProbability", "use_probability"])?.unwrap_or(true) {
        return Ok(100.0);
    }
    Ok(fields.decimal(&["probability"])?.unwrap_or(100.0).clamp(0.0, 100.0))
}

/// `None` for a place this server doesn't have. SillyTavern's numbers: around the author's note is 2
/// and 3, around example messages 5 and 6, an outlet 7.
fn position(fields: Fields<'_>) -> Result<Option<Position>, String> {
    let number = match fields.find(&["position"]) {
        None => Some(0),
        Some(Value::String(name)) => match name.as_str() {
            "before_char" | "" => Some(0),
            "after_char" => Some(1),
            "at_depth" => Some(4),
            number => number.parse().ok(),
        },
        Some(value) => value.as_i64(),
    };
    match number {
        Some(0) => Ok(Some(Position::BeforeCharacter)),
        Some(1 | 5 | 6) => Ok(Some(Position::AfterCharacter)),
        Some(2 | 3) => Ok(Some(Position::AtDepth { depth: USUAL_DEPTH, role: Role::System })),
        Some(4) => {
            let depth = fields.count(&["depth"])?.unwrap_or(USUAL_DEPTH);
            let role = fields.find(&["role"]).map_or(Ok(Role::System), role)?;
            Ok(Some(Position::AtDepth { depth, role }))
        }
        Some(7) => Ok(None),
        _ => Err("its position must be before_char, after_char or a number from 0 to 7".to_owned()),
    }
}

/// True is the first level.
fn recursion_level(fields: Fields<'_>) -> Result<u32, String> {
    let names = ["delay_until_recursion", "delayUntilRecursion"];
    if let Some(Value::Bool(flag)) = fields.find(&names) {
        return Ok(u32::from(*flag));
    }
    let level = fields.count(&names)?.unwrap_or(0);
    Ok(u32::try_from(level).unwrap_or(u32::MAX))
}
