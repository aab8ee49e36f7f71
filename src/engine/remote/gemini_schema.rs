//! JSON Schema into the part of it that older Gemini models know (`responseSchema`, a selection from
//! OpenAPI 3.0). What they don't know is left out: whoever asked checks the answer anyway.

use std::cell::Cell;

use serde_json::{Map, Value, json};

/// References deeper than this are schemas that hold themselves.
const DEEPEST: usize = 16;
/// Such schemas also grow in breadth.
const MOST_PARTS: usize = 2_000;

/// Keywords that mean the same there.
const KEPT: [&str; 10] = [
    "description",
    "enum",
    "maximum",
    "maxItems",
    "maxLength",
    "minimum",
    "minItems",
    "minLength",
    "pattern",
    "required",
];

/// The schema with references resolved, types in its spelling, and nothing it doesn't know.
pub(super) fn reduced(schema: &Value) -> Value {
    Reducer { root: schema, parts: Cell::new(0) }.reduce(schema, 0)
}

struct Reducer<'a> {
    root: &'a Value,
    parts: Cell<usize>,
}

impl Reducer<'_> {
    fn reduce(&self, schema: &Value, depth: usize) -> Value {
        self.parts.update(|parts| parts + 1);
        if depth > DEEPEST || self.parts.get() > MOST_PARTS {
            return json!({});
        }
        let deeper = |schema: &Value| self.reduce(schema, depth + 1);
        if let Some(reference) = schema["$ref"].as_str() {
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or_else(|| json!({}), deeper);
        }
        let mut reduced = Map::new();
        for name in KEPT {
            if let Some(value) = schema.get(name) {
                reduced.insert(name.to_owned(), value.clone());
            }
        }
        let (kind, nullable) = kind(&schema["type"]);
        if let Some(kind) = kind {
            reduced.insert("type".to_owned(), json!(kind.to_ascii_uppercase()));
            if kind != "string" {
                // It knows lists of strings only.
                reduced.remove("enum");
            }
        }
        if nullable {
            reduced.insert("nullable".to_owned(), json!(true));
        }
        if let Some(items) = schema.get("items") {
            reduced.insert("items".to_owned(), deeper(items));
        }
        if let Some(properties) = schema["properties"].as_object() {
            let properties = properties.iter().map(|(name, schema)| (name.clone(), deeper(schema)));
            reduced.insert("properties".to_owned(), Value::Object(properties.collect()));
        }
        for name in ["anyOf", "oneOf"] {
            if let Some(options) = schema[name].as_array() {
                reduced.insert("anyOf".to_owned(), options.iter().map(deeper).collect());
            }
        }
        Value::Object(reduced)
    }
}

/// The one type, and whether nothing will do as well.
fn kind(kind: &Value) -> (Option<&str>, bool) {
    match kind {
        Value::String(kind) => (Some(kind), false),
        Value::Array(kinds) => {
            let kinds = || kinds.iter().filter_map(Value::as_str);
            (kinds().find(|kind| *kind != "null"), kinds().any(|kind| kind == "null"))
        }
        _ => (None, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_and_unknown_words_left_out() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Verdict",
            "type": "object",
            "properties": {
                "note": {"type": ["string", "null"], "maxLength": 80},
                "moods": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Mood"}},
                "level": {"type": "integer", "enum": [1, 2]},
            },
            "required": ["moods"],
            "additionalProperties": false,
            "$defs": {"Mood": {"type": "string", "enum": ["glad", "sad"]}},
        });
        assert_eq!(
            reduced(&schema),
            json!({
                "required": ["moods"],
                "type": "OBJECT",
                "properties": {
                    "note": {"maxLength": 80, "type": "STRING", "nullable": true},
                    "moods": {
                        "minItems": 1,
                        "type": "ARRAY",
                        "items": {"enum": ["glad", "sad"], "type": "STRING"},
                    },
                    "level": {"type": "INTEGER"},
                },
            })
        );
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        let schema = json!({"type": "array", "items": {"$ref": "#"}});
        assert!(reduced(&schema).to_string().len() < 1000);
        let schema = json!({"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        assert!(reduced(&schema).to_string().len() < 100_000);
        assert_eq!(reduced(&json!({"$ref": "#/nowhere"})), json!({}));
    }
}
