//! Fields of an entry as books have them: in a card's spelling, in SillyTavern's, at the top or among
//! the extensions; numbers that are texts, and null for what is not said.

use serde_json::{Map, Value};

use super::Role;

/// An entry's fields.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    own: &'a Map<String, Value>,
    extensions: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(entry: &'a Value) -> Result<Self, String> {
        let own = entry.as_object().ok_or("it is no object")?;
        let extensions = own.get("extensions").and_then(Value::as_object);
        Ok(Self { own, extensions })
    }

    /// What is said under the first of these names that says anything; extensions come first.
    pub(super) fn find(self, names: &[&str]) -> Option<&'a Value> {
        let places = self.extensions.into_iter().chain([self.own]);
        places
            .flat_map(|place| names.iter().filter_map(|name| place.get(*name)))
            .find(|it| !it.is_null())
    }

    /// Whether SillyTavern wrote it, which calls every key a regular expression that may be one.
    pub(super) fn is_sillytaverns(self) -> bool {
        let marks = ["selectiveLogic", "useProbability", "exclude_recursion"];
        self.extensions.is_some_and(|fields| marks.iter().any(|mark| fields.contains_key(*mark)))
    }

    pub(super) fn flag(self, names: &[&str]) -> Result<Option<bool>, String> {
        match self.find(names) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::Number(number)) => Ok(Some(number.as_f64() != Some(0.0))),
            Some(_) => Err(format!("its {} must be true or false", names[0])),
        }
    }

    /// What is below 0 is 0.
    pub(super) fn count(self, names: &[&str]) -> Result<Option<usize>, String> {
        self.find(names).map(|value| number(value, names[0])).transpose()
    }

    pub(super) fn whole(self, names: &[&str]) -> Result<Option<i64>, String> {
        let decimal = self.find(names).map(|value| decimal(value, names[0])).transpose()?;
        #[expect(clippy::cast_possible_truncation, reason = "what lies beyond becomes the end")]
        Ok(decimal.map(|number| number as i64))
    }

    pub(super) fn decimal(self, names: &[&str]) -> Result<Option<f64>, String> {
        self.find(names).map(|value| decimal(value, names[0])).transpose()
    }

    pub(super) fn text(self, names: &[&str]) -> Result<Option<&'a str>, String> {
        match self.find(names) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("its {} must be a text", names[0])),
        }
    }

    /// A list, or one text with commas.
    pub(super) fn texts(self, names: &[&str]) -> Result<Vec<&'a str>, String> {
        let wrong = || format!("its {} must be a list of texts", names[0]);
        match self.find(names) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(text.split(',').collect()),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }
}

fn decimal(value: &Value, name: &str) -> Result<f64, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| format!("its {name} must be a number"))
}

pub(super) fn number(value: &Value, name: &str) -> Result<usize, String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what lies beyond becomes the end"
    )]
    decimal(value, name).map(|number| number as usize)
}

pub(super) fn role(value: &Value) -> Result<Role, String> {
    let name = value.as_str().unwrap_or_default();
    match (value.as_u64(), name) {
        (Some(0), _) | (_, "system" | "0") => Ok(Role::System),
        (Some(1), _) | (_, "user" | "1") => Ok(Role::User),
        (Some(2), _) | (_, "assistant" | "char" | "2") => Ok(Role::Assistant),
        _ => Err("its role must be 0 (system), 1 (user) or 2 (assistant)".to_owned()),
    }
}
