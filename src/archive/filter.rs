//! Which documents a search is about, told by their files and their metadata. Decided here, over the
//! documents themselves, so that every store answers alike and metadata may be any JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::Document;

/// Conditions that a document must meet, all of them.
///
/// `file` is a file's name or its whole path. Each entry of `metadata` names a value of the
/// document's metadata and what it must be: a value (equal, or one of the list where the document
/// has a list), a list of values (any of them), or an object of comparisons: `$eq`, `$ne`, `$in`,
/// `$nin`, `$gt`, `$gte`, `$lt`, `$lte`. Texts are compared without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Filter {
    pub file: Option<String>,
    pub metadata: Map<String, Value>,
}

/// Bytes of the largest filter, as JSON: each of its values is compared with each of a document's.
const LARGEST: usize = 8 * 1024;

/// A filter that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error(
        "filter {name:?} has {comparison:?}, which is no comparison: use $eq, $ne, $in, $nin, $gt, \
         $gte, $lt or $lte"
    )]
    Unknown { name: String, comparison: String },
    #[error("the filter has more than {LARGEST} bytes: shorten its lists")]
    TooLarge,
}

impl Filter {
    /// Lets everything through.
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.metadata.is_empty()
    }

    /// Whether it is short enough, and all its comparisons are known.
    pub fn check(&self) -> Result<(), FilterError> {
        let file = self.file.as_deref().map_or(0, str::len);
        // Maps with keys of text can be written as JSON.
        let metadata = serde_json::to_string(&self.metadata).map_or(usize::MAX, |json| json.len());
        if file.saturating_add(metadata) > LARGEST {
            return Err(FilterError::TooLarge);
        }
        for (name, expected) in &self.metadata {
            let Some(comparisons) = comparisons(expected) else { continue };
            if let Some(comparison) = comparisons.keys().find(|key| !is_comparison(key)) {
                let (name, comparison) = (name.clone(), comparison.clone());
                return Err(FilterError::Unknown { name, comparison });
            }
        }
        Ok(())
    }

    pub fn lets_through(&self, document: &Document) -> bool {
        let is_the_file = self
            .file
            .as_deref()
            .is_none_or(|file| same(file, &document.file_name) || same(file, &document.file_path));
        is_the_file
            && self.metadata.iter().all(|(name, expected)| {
                let held = document.metadata.get(name).unwrap_or(&Value::Null);
                meets(held, expected)
            })
    }
}

const COMPARISONS: [&str; 8] = ["$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte"];

fn is_comparison(key: &str) -> bool {
    COMPARISONS.contains(&key)
}

/// An object with a key that begins with `$` compares; any other object is a value.
fn comparisons(expected: &Value) -> Option<&Map<String, Value>> {
    expected.as_object().filter(|object| object.keys().any(|key| key.starts_with('$')))
}

fn meets(held: &Value, expected: &Value) -> bool {
    if let Some(comparisons) = comparisons(expected) {
        return comparisons.iter().all(|(comparison, bound)| compares(held, comparison, bound));
    }
    match expected {
        Value::Array(any) => any.iter().any(|one| holds(held, one)),
        one => holds(held, one),
    }
}

fn compares(held: &Value, comparison: &str, bound: &Value) -> bool {
    use std::cmp::Ordering::{Greater, Less};
    let any_of = || bound.as_array().is_some_and(|any| any.iter().any(|one| holds(held, one)));
    let order = || order(held, bound);
    match comparison {
        "$eq" => holds(held, bound),
        "$ne" => !holds(held, bound),
        "$in" => any_of(),
        "$nin" => !any_of(),
        "$gt" => order() == Some(Greater),
        "$gte" => order().is_some_and(|order| order != Less),
        "$lt" => order() == Some(Less),
        "$lte" => order().is_some_and(|order| order != Greater),
        _ => false,
    }
}

/// Equal, or one of them where the document holds a list.
fn holds(held: &Value, one: &Value) -> bool {
    equal(held, one) || held.as_array().is_some_and(|list| list.iter().any(|it| equal(it, one)))
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => same(a, b),
        // 3 and 3.0 are the same chapter.
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// None where the two can't be compared.
fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.to_lowercase().cmp(&b.to_lowercase())),
        _ => None,
    }
}

fn same(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        a.eq_ignore_ascii_case(b)
    } else {
        a.to_lowercase() == b.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document::DocumentId;
    use super::*;

    fn frankenstein() -> Document {
        let metadata = json!({
            "author": "Mary Shelley", "year": 1818, "tags": ["horror", "letters"],
            "edition": { "publisher": "Lackington" },
        });
        Document {
            id: DocumentId::of("You will rejoice to hear"),
            file_path: "novels/Frankenstein.txt".to_owned(),
            file_name: "Frankenstein.txt".to_owned(),
            metadata: metadata.as_object().unwrap().clone(),
            sections: Vec::new(),
            bytes: 24,
            characters: 24,
            chunks: 1,
            added_at: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    fn lets_through(filter: Value) -> bool {
        serde_json::from_value::<Filter>(filter).unwrap().lets_through(&frankenstein())
    }

    #[test]
    fn a_document_must_meet_every_condition() {
        for met in [
            json!({}),
            json!({ "file": "frankenstein.txt" }),
            json!({ "file": "novels/Frankenstein.txt", "metadata": { "year": 1818 } }),
            json!({ "metadata": { "author": "mary shelley", "tags": "horror" } }),
            json!({ "metadata": { "tags": ["comedy", "letters"] } }),
            json!({ "metadata": { "year": { "$gte": 1800, "$lt": 1818.5 } } }),
            json!({ "metadata": { "year": { "$in": [1818.0, 1831] }, "author": { "$gt": "M" } } }),
            json!({ "metadata": { "tags": { "$nin": ["comedy"] }, "lost": { "$ne": true } } }),
            json!({ "metadata": { "edition": { "publisher": "Lackington" }, "lost": null } }),
        ] {
            assert!(lets_through(met.clone()), "{met}");
        }
        for unmet in [
            json!({ "file": "Alice.txt" }),
            json!({ "file": "frankenstein.txt", "metadata": { "year": 1831 } }),
            json!({ "metadata": { "tags": "comedy" } }),
            json!({ "metadata": { "tags": [] } }),
            json!({ "metadata": { "year": { "$gte": 1800, "$lt": 1818 } } }),
            json!({ "metadata": { "year": { "$gt": "1800" } } }),
            json!({ "metadata": { "lost": { "$gte": 0 } } }),
            json!({ "metadata": { "tags": { "$ne": "letters" } } }),
            json!({ "metadata": { "edition": { "publisher": "Colburn" } } }),
        ] {
            assert!(!lets_through(unmet.clone()), "{unmet}");
        }
    }

    #[test]
    fn an_unknown_comparison_is_named() {
        let filter = json!({ "metadata": { "year": { "$near": 1818 } } });
        let filter: Filter = serde_json::from_value(filter).unwrap();
        assert!(filter.check().unwrap_err().to_string().contains("$near"));
        let long = json!({ "file": "a".repeat(9_000) });
        let long: Filter = serde_json::from_value(long).unwrap();
        assert_eq!(long.check(), Err(FilterError::TooLarge));
    }
}
