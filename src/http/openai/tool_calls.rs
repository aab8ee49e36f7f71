//! Tool calls put together from the pieces that a remote server streams. What such a server sends may
//! be anything.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The calls of one answer, by the server's own `index`.
#[derive(Debug, Default)]
pub(super) struct ToolCalls(BTreeMap<u64, Call>);

#[derive(Debug, Default)]
struct Call {
    name: String,
    arguments: String,
    /// The id, the type, and what else a provider puts there.
    rest: Map<String, Value>,
}

impl ToolCalls {
    /// Adds pieces in the shape of OpenAI's `delta.tool_calls`.
    pub(super) fn add(&mut self, pieces: Value) {
        let Value::Array(pieces) = pieces else { return };
        for piece in pieces {
            if let Value::Object(piece) = piece {
                self.add_piece(piece);
            }
        }
    }

    fn add_piece(&mut self, mut piece: Map<String, Value>) {
        let function = piece.remove("function").unwrap_or_default();
        let text = |name| function.get(name).and_then(Value::as_str).unwrap_or_default();
        let index = piece.remove("index").and_then(|index| index.as_u64());
        let last = self.0.last_key_value().map(|(index, _)| *index);
        let is_new = !text("name").is_empty() || piece.get("id").is_some_and(Value::is_string);
        // Without an index, whole calls follow each other.
        let index = index.unwrap_or(match last {
            None => 0,
            Some(last) if is_new => last.saturating_add(1),
            Some(last) => last,
        });
        let call = self.0.entry(index).or_default();
        if call.name.is_empty() {
            text("name").clone_into(&mut call.name);
        }
        call.arguments.push_str(text("arguments"));
        for (name, value) in piece {
            if !value.is_null() {
                call.rest.entry(name).or_insert(value);
            }
        }
    }

    /// OpenAI's `message.tool_calls`; `None` where there are none.
    pub(super) fn into_json(self) -> Option<Value> {
        let calls = self.0.into_values().map(|Call { name, arguments, mut rest }| {
            rest.entry("type").or_insert_with(|| json!("function"));
            rest.insert("function".to_owned(), json!({ "name": name, "arguments": arguments }));
            Value::Object(rest)
        });
        let calls: Vec<_> = calls.collect();
        (!calls.is_empty()).then_some(Value::Array(calls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together(pieces: &[Value]) -> Option<Value> {
        let mut calls = ToolCalls::default();
        for piece in pieces {
            calls.add(piece.clone());
        }
        calls.into_json()
    }

    fn call(id: &str, name: &str, arguments: &str) -> Value {
        let function = json!({ "name": name, "arguments": arguments });
        json!({ "id": id, "type": "function", "function": function })
    }

    #[test]
    fn pieces_come_together_wherever_the_count_begins() {
        for first in [0, 1, 7] {
            let pieces = [
                json!([{ "index": first, "id": "a", "type": "function",
                         "function": { "name": "look", "arguments": "" } }]),
                json!([{ "index": first, "function": { "arguments": "{\"at\":" } }]),
                json!([{ "index": first + 1, "id": "b", "function": { "name": "wait" } }]),
                json!([{ "index": first, "id": null, "function": { "arguments": "1}" } }]),
            ];
            let wanted = json!([call("a", "look", "{\"at\":1}"), call("b", "wait", "")]);
            assert_eq!(together(&pieces), Some(wanted), "{first}");
        }
    }

    #[test]
    fn whole_calls_without_a_count_stay_apart() {
        let pieces = json!([call("a", "look", "{}"), call("b", "wait", "{}")]);
        assert_eq!(together(std::slice::from_ref(&pieces)), Some(pieces));
    }

    #[test]
    fn what_else_a_provider_puts_there_is_kept() {
        let mut signed = call("a", "look", "{}");
        signed["extra_content"] = json!({ "signature": "x" });
        assert_eq!(together(&[json!([signed])]), Some(json!([signed])));
    }

    #[test]
    fn nonsense_is_survived() {
        for odd in [
            json!("x"),
            json!([]),
            json!(["x", 1, null]),
            json!([{ "index": -1, "function": "x" }]),
            json!([{ "index": u64::MAX, "function": { "name": 7, "arguments": [] } }, { "id": "a" }]),
            json!([{ "function": { "arguments": "x" } }, { "index": 0, "function": [] }]),
        ] {
            together(&[odd.clone(), odd]);
        }
        assert_eq!(together(&[json!([])]), None);
    }
}
