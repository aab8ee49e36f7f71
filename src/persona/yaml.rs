//! `personas.yaml`: key → persona. All faults of a file are told at once, each with line, column and
//! key; only text that is no YAML ends at its first.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::{DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE, Persona, key};

/// Where something is wrong in the file, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlFault {
    pub line: u64,
    pub column: u64,
    /// Keys from the top on, such as `sarah.temperature`; empty for the file as a whole.
    pub key: String,
    pub fault: String,
}

impl fmt::Display for YamlFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.fault)
    }
}

const FIELDS: &str = "name, role, system_prompt, temperature, max_tokens, system_tags, greeting";

/// The personas of a file, in its order.
pub(super) fn read(text: &str) -> Result<Vec<Persona>, Vec<YamlFault>> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    };
    let file = serde_saphyr::from_str_with_options::<Node>(text, options);
    let file = file.map_err(|error| vec![not_yaml(&error)])?;
    let mut faults = Vec::new();
    let personas = personas(&file, &mut faults);
    faults.sort_by_key(|fault| (fault.line, fault.column));
    if faults.is_empty() { Ok(personas) } else { Err(faults) }
}

fn not_yaml(error: &serde_saphyr::Error) -> YamlFault {
    let at = error.location().unwrap_or(Location::UNKNOWN);
    // Where it says the place itself, once is enough.
    let told = error.without_snippet().to_string();
    let (line, column) = (at.line(), at.column());
    let place = format!(" at line {line}, column {column}");
    let fault = format!("it is not YAML: {}", told.trim().replace(&place, ""));
    YamlFault { line, column, key: String::new(), fault }
}

fn personas(file: &Node, faults: &mut Vec<YamlFault>) -> Vec<Persona> {
    let mut fault = |at: Location, key: &str, fault: String| faults.push(told(at, key, fault));
    let entries = match &file.content {
        Content::Map(entries) if !entries.is_empty() => entries,
        Content::Map(_) | Content::Null => {
            fault(file.at, "", "it holds no persona; write at least one, key first".to_owned());
            return Vec::new();
        }
        _ => {
            fault(file.at, "", "it must be a mapping, key: {name: …, system_prompt: …}".to_owned());
            return Vec::new();
        }
    };
    let mut first = HashMap::new();
    let mut personas = Vec::new();
    for (key, node) in entries {
        if let Some(line) = first.insert(key.value.as_str(), key.referenced.line()) {
            let twice = format!("stands twice, first in line {line}; choose another key");
            faults.push(told(key.referenced, &key.value, twice));
        } else if !key::is_valid(&key.value) {
            faults.push(told(key.referenced, &key.value, format!("a key must be {}", key::RULE)));
        }
        personas.extend(persona(key, node, faults));
    }
    personas
}

fn told(at: Location, key: &str, fault: String) -> YamlFault {
    YamlFault { line: at.line(), column: at.column(), key: key.to_owned(), fault }
}

/// One entry; `None` where it is faulty.
fn persona(key: &Spanned<String>, node: &Node, faults: &mut Vec<YamlFault>) -> Option<Persona> {
    let Content::Map(entries) = &node.content else {
        let fault = format!("must be a mapping of {FIELDS}");
        faults.push(told(node.at, &key.value, fault));
        return None;
    };
    let before = faults.len();
    let mut fields = Fields { key: &key.value, entries, faults };
    fields.check_names();
    let prompt = fields.text("system_prompt");
    if prompt.is_none() && !fields.has("system_prompt") {
        fields.faults.push(told(key.referenced, &key.value, "lacks its system_prompt".to_owned()));
    }
    let persona = Persona {
        key: key.value.clone(),
        name: fields.text("name").unwrap_or_else(|| key.value.clone()),
        role: fields.text("role").unwrap_or_default(),
        system_prompt: prompt.unwrap_or_default(),
        temperature: fields.temperature(),
        max_tokens: fields.max_tokens(),
        tags: fields.tags(),
        greeting: fields.text("greeting"),
        after_history: None,
        book: None,
    };
    (faults.len() == before).then_some(persona)
}

/// One persona's fields, and where their faults go.
struct Fields<'a> {
    key: &'a str,
    entries: &'a [(Spanned<String>, Node)],
    faults: &'a mut Vec<YamlFault>,
}

impl<'a> Fields<'a> {
    fn check_names(&mut self) {
        let mut first = HashMap::new();
        for (name, _) in self.entries {
            let known = FIELDS.split(", ").chain(["tags"]).any(|field| field == name.value);
            // Two names for the same.
            let meant = if name.value == "tags" { "system_tags" } else { name.value.as_str() };
            let fault = match first.insert(meant, name.referenced.line()) {
                Some(line) => format!("stands twice, first in line {line}; keep one"),
                None if known => continue,
                None => format!("there is no such field; there are {FIELDS}"),
            };
            self.fault(name.referenced, &name.value, fault);
        }
    }

    fn fault(&mut self, at: Location, name: &str, fault: impl Into<String>) {
        self.faults.push(told(at, &format!("{}.{name}", self.key), fault.into()));
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(found, _)| found.value == name).map(|(_, node)| node)
    }

    /// A text that is not blank; one that is, is a fault.
    fn text(&mut self, name: &str) -> Option<String> {
        let node = self.find(name)?;
        match &node.content {
            Content::Text(text) if !text.trim().is_empty() => return Some(text.trim().to_owned()),
            Content::Text(_) | Content::Null => self.fault(node.at, name, "must not be empty"),
            Content::Number(_) | Content::Flag => {
                self.fault(node.at, name, "must be a text; put it in quotes");
            }
            _ => self.fault(node.at, name, "must be a text"),
        }
        None
    }

    fn temperature(&mut self) -> f32 {
        const RULE: &str = "must be a number from 0 to 2";
        let Some(node) = self.find("temperature") else { return DEFAULT_TEMPERATURE };
        match node.content {
            #[expect(clippy::cast_possible_truncation, reason = "it lies between 0 and 2")]
            Content::Number(number) if (0.0..=2.0).contains(&number) => return number as f32,
            _ => self.fault(node.at, "temperature", RULE),
        }
        DEFAULT_TEMPERATURE
    }

    fn max_tokens(&mut self) -> u32 {
        const RULE: &str = "must be a whole number, 1 or more";
        let Some(node) = self.find("max_tokens") else { return DEFAULT_MAX_TOKENS };
        match node.content {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole and within the type"
            )]
            Content::Number(number)
                if number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number) =>
            {
                return number as u32;
            }
            _ => self.fault(node.at, "max_tokens", RULE),
        }
        DEFAULT_MAX_TOKENS
    }

    fn tags(&mut self) -> Vec<String> {
        const RULE: &str = "must be a list of texts, such as [warm, calm]";
        let names = ["system_tags", "tags"];
        let Some((name, node)) = names.iter().find_map(|name| Some((name, self.find(name)?)))
        else {
            return Vec::new();
        };
        let Content::List(items) = &node.content else {
            self.fault(node.at, name, RULE);
            return Vec::new();
        };
        let mut tags = Vec::new();
        for item in items {
            match &item.content {
                Content::Text(tag) if !tag.trim().is_empty() => tags.push(tag.trim().to_owned()),
                _ => self.fault(item.at, name, RULE),
            }
        }
        tags
    }
}

/// A part of the file, with its place.
struct Node {
    at: Location,
    content: Content,
}

enum Content {
    Null,
    Flag,
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { at: spanned.referenced, content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("texts, numbers, lists and mappings")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Content, E> {
        Ok(Content::Flag)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Content, E> {
        Ok(Content::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Content, E> {
        Ok(Content::Number(number as f64))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Content, E> {
        Ok(Content::Number(number as f64))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Content, E> {
        Ok(Content::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Content, E> {
        Ok(Content::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Content::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        let faults = read(text).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn all_faults_are_told_at_once_with_line_column_and_key() {
        let text = "\
aria:
  name: 12
  colour: blue
  system_prompt: ''
  temperature: 2.5
  max_tokens: 0
  tags: calm
Mara!:
  system_prompt: You are Mara.
  max_tokens: 1.5
  role: no
  role: nurse
aria: []
tove:
  greeting: Hello.
  system_tags: [a, 1]
";
        insta::assert_snapshot!(faults(text), @r"
        line 2, column 9: aria.name: must be a text; put it in quotes
        line 3, column 3: aria.colour: there is no such field; there are name, role, system_prompt, temperature, max_tokens, system_tags, greeting
        line 4, column 18: aria.system_prompt: must not be empty
        line 5, column 16: aria.temperature: must be a number from 0 to 2
        line 6, column 15: aria.max_tokens: must be a whole number, 1 or more
        line 7, column 9: aria.tags: must be a list of texts, such as [warm, calm]
        line 8, column 1: Mara!: a key must be up to 64 letters in lower case, digits, - and _
        line 10, column 15: Mara!.max_tokens: must be a whole number, 1 or more
        line 12, column 3: Mara!.role: stands twice, first in line 11; keep one
        line 13, column 1: aria: stands twice, first in line 1; choose another key
        line 13, column 7: aria: must be a mapping of name, role, system_prompt, temperature, max_tokens, system_tags, greeting
        line 14, column 1: tove: lacks its system_prompt
        line 16, column 20: tove.system_tags: must be a list of texts, such as [warm, calm]
        ");
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        insta::assert_snapshot!(faults("aria:\n  name: [a\nmara: 1\n"), @"line 3, column 5: it is not YAML: illegal placement of ':' indicator");
        insta::assert_snapshot!(faults(""), @"line 1, column 1: it holds no persona; write at least one, key first");
        insta::assert_snapshot!(faults("- aria"), @"line 1, column 1: it must be a mapping, key: {name: …, system_prompt: …}");
        insta::assert_snapshot!(faults("# nobody\n"), @"line 2, column 1: it holds no persona; write at least one, key first");
    }

    #[test]
    fn an_entry_needs_only_its_prompt() {
        let read =
            read("aria:\n  system_prompt: |\n    You are Aria.\n    You are dry.\n").unwrap();
        let [aria] = &read[..] else { panic!("one") };
        assert_eq!(aria.system_prompt, "You are Aria.\nYou are dry.");
        assert_eq!((aria.name.as_str(), aria.role.as_str()), ("aria", ""));
        assert_eq!((aria.temperature, aria.max_tokens), (0.7, 500));
        assert!(aria.tags.is_empty() && aria.greeting.is_none());
    }

    #[test]
    fn words_that_other_yaml_takes_for_switches_are_texts() {
        let read = read("aria: {system_prompt: yes, name: No, tags: [on]}").unwrap();
        assert_eq!((read[0].system_prompt.as_str(), read[0].name.as_str()), ("yes", "No"));
    }

    #[test]
    fn a_file_that_wants_too_much_is_refused() {
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for name in 'b'..='m' {
            let before = char::from_u32(u32::from(name) - 1).unwrap();
            let nine = vec![format!("*{before}"); 9].join(",");
            bomb = format!("{bomb}{name}: &{name} [{nine}]\n");
        }
        assert!(!faults(&bomb).is_empty());
        assert!(!faults(&"[".repeat(100_000)).is_empty());
    }
}
