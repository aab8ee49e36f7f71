//! Reads `rhapsode.toml`: settings at the top or in the table of their section, names in either
//! case, values as TOML's own types or as text.

use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Num, Value};

use super::faults::ConfigFault;
use super::registry::{Setting, registry};
use super::sources::Source;
use super::value::Kind;

/// One `key = value`, with the table it stands in.
pub(super) struct Entry {
    table: Option<String>,
    key: String,
    pub(super) text: String,
    is_array: bool,
    /// Neither a single value nor an array of them.
    is_deep: bool,
}

/// All entries of the file, in the order of their names.
pub(super) fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigFault> {
    let values: Dict = Toml::from_str(text).map_err(|error| ConfigFault::File {
        path: path.to_owned(),
        line: error.span().map(|span| line_of(text, span.start)),
        // The message alone: the whole error shows the line, and with it perhaps a secret.
        problem: format!("is not TOML: {}", error.message().replace('\n', ", ")),
    })?;
    let is_section = |key: &str| registry().sections.iter().any(|section| section.key == key);
    let mut entries = Vec::new();
    for (key, value) in values {
        match value {
            Value::Dict(_, table) if is_section(&key.to_ascii_lowercase()) => {
                let inner = table.into_iter();
                entries.extend(inner.map(|(inner, value)| Entry::of(Some(&key), inner, value)));
            }
            value => entries.push(Entry::of(None, key, value)),
        }
    }
    Ok(entries)
}

impl Entry {
    fn of(table: Option<&String>, key: String, value: Value) -> Self {
        let (is_array, text) = match value {
            Value::Array(_, items) => {
                let items: Option<Vec<String>> = items.into_iter().map(scalar).collect();
                (true, items.map(|items| items.join(",")))
            }
            single => (false, scalar(single)),
        };
        let is_deep = text.is_none();
        Self { table: table.cloned(), key, text: text.unwrap_or_default(), is_array, is_deep }
    }

    /// The name as the file has it.
    pub(super) fn spelled(&self) -> String {
        match &self.table {
            Some(table) => format!("{table}.{}", self.key),
            None => self.key.clone(),
        }
    }

    /// The setting that is meant, if it may stand here with a value of this form.
    pub(super) fn setting(&self, given_in: &Source) -> Result<&'static Setting, ConfigFault> {
        let Some(setting) = registry().find(&self.key.to_ascii_uppercase()) else {
            return Err(self.unknown(given_in));
        };
        if let Some(table) = &self.table
            && !table.eq_ignore_ascii_case(setting.section)
        {
            return Err(ConfigFault::Misplaced {
                name: self.spelled(),
                given_in: given_in.clone(),
                table: setting.section,
            });
        }
        if self.is_deep || (self.is_array && setting.kind != Kind::List) {
            return Err(ConfigFault::Refused {
                name: &setting.name,
                set_as: None,
                value: if self.is_deep { "a table" } else { "an array" }.to_owned(),
                given_in: given_in.clone(),
                accepts: setting.accepts(),
            });
        }
        Ok(setting)
    }

    fn unknown(&self, given_in: &Source) -> ConfigFault {
        // A whole table under a wrong name is rather a mistyped section than a setting.
        let nearest = if self.is_deep {
            registry().nearest_section(&self.key).map(|section| format!("[{section}]"))
        } else {
            registry().nearest(&self.key).map(str::to_owned)
        };
        ConfigFault::Unknown { name: self.spelled(), given_in: given_in.clone(), nearest }
    }
}

/// A single value as text; None for what holds others.
fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text),
        Value::Char(_, letter) => Some(letter.to_string()),
        Value::Bool(_, switch) => Some(switch.to_string()),
        Value::Num(_, number) => Some(number_text(number)),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

fn number_text(number: Num) -> String {
    let whole = number.to_i128().map(|whole| whole.to_string());
    let whole = whole.or_else(|| number.to_u128().map(|whole| whole.to_string()));
    // TOML has no other numbers than whole ones and f64.
    whole.unwrap_or_else(|| number.to_f64().map_or_else(String::new, |float| float.to_string()))
}

fn line_of(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}
