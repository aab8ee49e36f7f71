//! OpenAI's answers, as OpenAI and the many servers that speak its language stream them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::failure::{self, Failure};
use super::super::language::{Piece, Reader, Told, parse};
use crate::engine::{FinishReason, TokenLogprob};

/// Tools that one answer may call.
const MOST_CALLS: usize = 256;

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
    object: Option<String>,
    code: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    delta: Option<Delta>,
    logprobs: Option<WireLogprobs>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Map<String, Value>>>,
}

#[derive(Deserialize)]
struct WireLogprobs {
    content: Option<Vec<WireToken>>,
}

#[derive(Deserialize)]
struct WireToken {
    token: String,
    logprob: f32,
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    top_logprobs: Vec<WireToken>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<usize>,
    completion_tokens: Option<usize>,
    prompt_tokens_details: Option<WireDetails>,
}

#[derive(Deserialize)]
struct WireDetails {
    cached_tokens: Option<usize>,
}

#[derive(Default)]
pub(super) struct OpenAiReader {
    has_said_something: bool,
    /// What the server tells the calls apart by, in the order they came: its index, or an id.
    calls: Vec<Value>,
}

impl Reader for OpenAiReader {
    fn read(&mut self, frame: &str) -> Result<Vec<Piece>, Failure> {
        if frame.trim() == "[DONE]" {
            // Some servers give no reason; what they wrote is whole all the same.
            let ended = self.has_said_something.then_some(Piece::Ended(FinishReason::Stop));
            return Ok(ended.into_iter().chain([Piece::Over]).collect());
        }
        let chunk: Chunk = parse(frame)?;
        if let Some(failure) = failure_in(&chunk, frame) {
            return Err(failure);
        }
        let mut pieces = Vec::new();
        let choices = chunk.choices.into_iter().flatten();
        for choice in choices.filter(|choice| choice.index == 0) {
            self.read_choice(choice, &mut pieces)?;
        }
        if let Some(usage) = chunk.usage {
            pieces.push(Piece::Usage(Told {
                prompt: usage.prompt_tokens,
                cached: usage.prompt_tokens_details.and_then(|details| details.cached_tokens),
                completion: usage.completion_tokens,
            }));
        }
        Ok(pieces)
    }
}

impl OpenAiReader {
    fn read_choice(&mut self, choice: Choice, pieces: &mut Vec<Piece>) -> Result<(), Failure> {
        let tokens = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        if !tokens.is_empty() {
            pieces.push(Piece::Tokens(tokens.into_iter().map(token).collect()));
        }
        let delta = choice.delta.unwrap_or_default();
        for text in [delta.content, delta.refusal].into_iter().flatten() {
            if !text.is_empty() {
                self.has_said_something = true;
                pieces.push(Piece::Text(text));
            }
        }
        if let Some(calls) = delta.tool_calls.filter(|calls| !calls.is_empty()) {
            self.has_said_something = true;
            let calls = calls.into_iter().map(|call| self.tool_call(call));
            pieces.push(Piece::ToolCalls(calls.collect::<Result<_, _>>()?));
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            pieces.push(Piece::Ended(match reason.as_str() {
                "length" | "model_length" | "max_tokens" => FinishReason::Length,
                "tool_calls" | "function_call" => FinishReason::ToolCalls,
                "content_filter" => FinishReason::ContentFilter,
                _ => FinishReason::Stop,
            }));
        }
        Ok(())
    }

    /// A piece of a call in OpenAI's own shape: some servers leave the index out, or begin at 1, and
    /// some send arguments that are no text.
    fn tool_call(&mut self, mut call: Map<String, Value>) -> Result<Value, Failure> {
        let id = || call.get("id").filter(|id| id.as_str().is_some_and(|id| !id.is_empty()));
        let key = call.get("index").filter(|index| index.is_u64()).or_else(id).cloned();
        let known = match &key {
            Some(key) => self.calls.iter().position(|call| call == key),
            None => self.calls.len().checked_sub(1),
        };
        let index = known.unwrap_or_else(|| {
            self.calls.push(key.unwrap_or_default());
            self.calls.len() - 1
        });
        if index >= MOST_CALLS {
            return Err(Failure::nonsense(format!("calls of more than {MOST_CALLS} tools")));
        }
        call.insert("index".to_owned(), json!(index));
        keep_as_text(&mut call, &["id", "type"]);
        match call.get_mut("function") {
            Some(Value::Object(function)) => keep_as_text(function, &["name", "arguments"]),
            Some(_) => call.retain(|name, _| name != "function"),
            None => {}
        }
        Ok(Value::Object(call))
    }
}

fn keep_as_text(fields: &mut Map<String, Value>, names: &[&str]) {
    let is_of_them = |name: &String| names.contains(&name.as_str());
    fields.retain(|name, value| !(value.is_null() && is_of_them(name)));
    for (_, value) in fields.iter_mut().filter(|(name, _)| is_of_them(name)) {
        if !value.is_string() {
            *value = Value::String(value.to_string());
        }
    }
}

fn token(wire: WireToken) -> TokenLogprob {
    let bytes_of = |bytes: Option<Vec<u8>>, token: &str| bytes.unwrap_or_else(|| token.into());
    let top = wire.top_logprobs.into_iter();
    TokenLogprob {
        bytes: bytes_of(wire.bytes, &wire.token),
        logprob: wire.logprob,
        top: top.map(|it| (it.token.clone(), bytes_of(it.bytes, &it.token), it.logprob)).collect(),
        token: wire.token,
    }
}

/// An error in the middle of an answer, whose status was fine.
fn failure_in(chunk: &Chunk, frame: &str) -> Option<Failure> {
    let error = chunk.error.as_ref().filter(|error| !error.is_null());
    if error.is_none() && chunk.object.as_deref() != Some("error") {
        return None;
    }
    let code = error.and_then(|error| error.get("code")).or(chunk.code.as_ref());
    let code = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let status = code.and_then(|code| u16::try_from(code).ok()).filter(|code| *code >= 400);
    Some(Failure::of_status(status.unwrap_or(500), &failure::said(frame.as_bytes(), None), None))
}

#[cfg(test)]
mod tests {
    use super::super::super::language::tests::read_all;
    use super::*;
    use crate::engine::EngineError;

    #[test]
    fn a_whole_answer_is_read() {
        let pieces = read_all(
            &mut OpenAiReader::default(),
            &[
                r#"{"choices":[],"prompt_filter_results":[]}"#,
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
                r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":-0.5,"bytes":[72,105],"top_logprobs":[{"token":"Hi","logprob":-0.5,"bytes":null}]}]},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":1,"delta":{"content":"another"}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
                r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            ],
        );
        let call = json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]);
        let hi = || ("Hi".to_owned(), b"Hi".to_vec());
        let token = TokenLogprob {
            token: hi().0,
            bytes: hi().1,
            logprob: -0.5,
            top: vec![(hi().0, hi().1, -0.5)],
        };
        assert_eq!(
            pieces.unwrap(),
            [
                Piece::Tokens(vec![token]),
                Piece::Text(hi().0),
                Piece::ToolCalls(call),
                Piece::Ended(FinishReason::ToolCalls),
                Piece::Usage(Told { prompt: Some(9), cached: Some(4), completion: Some(1) }),
            ]
        );
    }

    #[test]
    fn errors_within_an_answer_are_failures_in_any_of_their_shapes() {
        for (frame, again) in [
            (r#"{"error":{"message":"overloaded","type":"server_error","code":null}}"#, true),
            (r#"{"error":{"message":"busy","code":429}}"#, true),
            (
                r#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#,
                false,
            ),
            (r#"{"error":"no"}"#, true),
        ] {
            let failure = OpenAiReader::default().read(frame).unwrap_err();
            assert_eq!(failure.again, again, "{frame}");
        }
        for odd in ["{", "7", "\"x\"", r#"{"choices":7}"#, ""] {
            let failure = OpenAiReader::default().read(odd).unwrap_err();
            assert!(matches!(failure.error, EngineError::BadAnswer(_)), "{odd}");
        }
    }

    #[test]
    fn tool_calls_take_openais_shape_however_a_server_tells_them() {
        let told = |deltas: &[Value]| {
            let mut reader = OpenAiReader::default();
            let told = deltas.iter().flat_map(|calls| {
                let frame = json!({"choices": [{"delta": {"tool_calls": calls}}]}).to_string();
                reader.read(&frame).unwrap()
            });
            let told = told.flat_map(|piece| match piece {
                Piece::ToolCalls(Value::Array(calls)) => calls,
                other => panic!("{other:?}"),
            });
            told.collect::<Vec<_>>()
        };
        let named = |name: &str| json!({"name": name, "arguments": "{}"});
        let shape = |calls: &[Value]| {
            let of = |call: &Value| (call["index"].clone(), call["function"]["name"].clone());
            calls.iter().map(of).collect::<Vec<_>>()
        };
        let two = [(json!(0), json!("f")), (json!(1), json!("g"))];

        let from_one = told(&[
            json!([{"index": 1, "id": "a", "function": named("f")}]),
            json!([{"index": 4_000_000_000_u32, "id": "b", "function": named("g")}]),
        ]);
        assert_eq!(shape(&from_one), two);
        let without = told(&[json!([
            {"id": "a", "function": named("f")}, {"id": "b", "function": named("g")}
        ])]);
        assert_eq!(shape(&without), two);
        let goes_on = told(&[
            json!([{"id": "a", "function": {"name": "f"}}]),
            json!([{"function": {"arguments": "{}"}}]),
        ]);
        assert_eq!(goes_on[1], json!({"index": 0, "function": {"arguments": "{}"}}));

        let odd = told(&[
            json!([{"index": -1, "id": 7, "function": {"name": null, "arguments": {"a": 1}}}]),
            json!([{"index": "x", "id": null, "function": "f"}]),
        ]);
        assert_eq!(
            odd,
            [
                json!({"index": 0, "id": "7", "function": {"arguments": "{\"a\":1}"}}),
                json!({"index": 0}),
            ]
        );
        for bad in [json!(["x"]), json!([null]), json!("x"), json!({})] {
            let frame = json!({"choices": [{"delta": {"tool_calls": bad}}]}).to_string();
            let failure = OpenAiReader::default().read(&frame).unwrap_err();
            assert!(matches!(failure.error, EngineError::BadAnswer(_)), "{frame}");
        }
        let endless: Vec<_> = (0..1000).map(|index| json!({"index": index})).collect();
        let frame = json!({"choices": [{"delta": {"tool_calls": endless}}]}).to_string();
        assert!(OpenAiReader::default().read(&frame).is_err());
    }
}
