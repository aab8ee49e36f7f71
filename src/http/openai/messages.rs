//! A client's messages as `chat` reads them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::sampling::{unsupported, wrong};
use super::wire::{ChatMessage, ChatRole, Content};
use crate::chat::Sent;
use crate::engine::Role;
use crate::http::error::ApiError;

/// Most messages of one request.
const MOST_MESSAGES: usize = 20_000;

/// All of them. `knows_more` says whether the engine's model reads more than text.
pub(super) fn sent(messages: Vec<ChatMessage>, knows_more: bool) -> Result<Vec<Sent>, ApiError> {
    match messages.len() {
        0 => Err(wrong("messages", "at least one message is needed")),
        count if count > MOST_MESSAGES => Err(wrong(
            "messages",
            format!(
                "{count} messages are too many, {MOST_MESSAGES} is the most: send the newest, what was said before is remembered"
            ),
        )),
        _ => messages.into_iter().map(|message| one(message, knows_more)).collect(),
    }
}

fn one(message: ChatMessage, knows_more: bool) -> Result<Sent, ApiError> {
    let ChatMessage { role, content, name, rest } = message;
    let (text, has_more) = match &content {
        None => (String::new(), false),
        Some(Content::Text(text)) => (text.clone(), false),
        Some(Content::Parts(parts)) => text_of(parts),
    };
    let is_more_than_text = has_more
        || matches!(role, ChatRole::Tool | ChatRole::Function)
        || rest.get("tool_calls").is_some_and(|calls| !calls.is_null());
    if is_more_than_text && !knows_more {
        return Err(unsupported(
            "this engine reads text alone: leave out images, tool calls and tool results, or set LLM_PROVIDER to a server whose model knows them",
        ));
    }
    let wire = is_more_than_text.then(|| {
        let mut wire = Map::from_iter([("role".to_owned(), json!(role_name(role)))]);
        wire.insert("content".to_owned(), content.map_or(Value::Null, Value::from));
        wire.extend(name.iter().map(|name| ("name".to_owned(), json!(name))));
        wire.extend(rest);
        Arc::new(Value::Object(wire))
    });
    let role = match role {
        ChatRole::System | ChatRole::Developer => Role::System,
        ChatRole::User | ChatRole::Tool | ChatRole::Function => Role::User,
        ChatRole::Assistant => Role::Assistant,
    };
    Ok(Sent { role, name, content: text, wire })
}

fn role_name(role: ChatRole) -> &'static str {
    match role {
        ChatRole::System => "system",
        ChatRole::Developer => "developer",
        ChatRole::User => "user",
        ChatRole::Assistant => "assistant",
        ChatRole::Tool => "tool",
        ChatRole::Function => "function",
    }
}

/// The text of a message in parts, and whether some of them are something else.
fn text_of(parts: &[Value]) -> (String, bool) {
    let texts: Vec<_> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    (texts.join("\n"), texts.len() < parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: Value) -> Sent {
        let message = serde_json::from_value(message).unwrap();
        sent(vec![message], true).unwrap().remove(0)
    }

    #[test]
    fn text_alone_is_read_as_text() {
        let parts = json!([{ "type": "text", "text": "A" }, { "type": "text", "text": "B" }]);
        for (content, text) in [(json!("A"), "A"), (parts, "A\nB"), (Value::Null, "")] {
            let read = read(json!({ "role": "user", "content": content }));
            assert_eq!((read.content.as_str(), read.wire.is_none()), (text, true));
        }
    }

    #[test]
    fn what_is_more_than_text_goes_on_as_it_came() {
        let text = |text| json!({ "type": "text", "text": text });
        let image = json!({ "type": "image_url", "image_url": { "url": "data:," } });
        for message in [
            json!({ "role": "user", "content": [text("A"), image, text("B")], "name": "Mira" }),
            json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "a" }] }),
            json!({ "role": "tool", "content": "4", "tool_call_id": "a" }),
        ] {
            assert_eq!(read(message.clone()).wire.as_deref(), Some(&message));
        }
    }
}
