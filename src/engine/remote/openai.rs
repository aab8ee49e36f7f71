//! OpenAI's chat completions, as OpenAI and the many servers that speak its language have them. What
//! a server doesn't know and nobody asked for by name is left out from its first refusal on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::{self, Failure};
use super::frames::Framing;
use super::language::{Call, Language, Piece, Reader, Told, decimal, differs, parse};
use crate::engine::{
    Capabilities, EngineError, FinishReason, GenerateRequest, Message, TokenLogprob,
};
use crate::tokens::{TiktokenCounter, TokenCount, TokenCounter};

/// Stop strings that OpenAI takes; the others are looked for here.
const MOST_STOPS: usize = 4;
/// Fields that can go without changing what was asked for in earnest. Answers held to a schema are
/// checked by whoever asked for them.
const DISPENSABLE: [&str; 12] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stream_options",
    "response_format",
    MOST_TOKENS,
    MOST_TOKENS_AT_OPENAI,
];
const MOST_TOKENS: &str = "max_tokens";
const MOST_TOKENS_AT_OPENAI: &str = "max_completion_tokens";

pub(super) struct OpenAi {
    model: String,
    /// Whether this is OpenAI's own server, which refuses what it doesn't know.
    is_original: bool,
    refused: Mutex<BTreeSet<&'static str>>,
}

impl OpenAi {
    pub(super) fn new(model: String, is_original: bool) -> Self {
        Self { model, is_original, refused: Mutex::default() }
    }

    fn refused(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn most_tokens(&self) -> &'static str {
        let refused = self.refused();
        match self.is_original {
            true if refused.contains(MOST_TOKENS_AT_OPENAI) => MOST_TOKENS,
            false if refused.contains(MOST_TOKENS) => MOST_TOKENS_AT_OPENAI,
            true => MOST_TOKENS_AT_OPENAI,
            false => MOST_TOKENS,
        }
    }

    /// What OpenAI does by itself isn't told it, since some of its models take nothing else. Other
    /// servers have other defaults and are told everything.
    fn sampling(&self, request: &GenerateRequest) -> Map<String, Value> {
        let sampling = &request.sampling;
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        for (name, value, usual) in [
            ("temperature", sampling.temperature, 1.0),
            ("top_p", sampling.top_p, 1.0),
            ("presence_penalty", sampling.presence_penalty, 0.0),
            ("frequency_penalty", sampling.frequency_penalty, 0.0),
        ] {
            if !self.is_original || differs(value, usual) {
                put(name, decimal(value));
            }
        }
        put("seed", json!(sampling.seed));
        if !self.is_original {
            put("top_k", json!(sampling.top_k));
            put("min_p", decimal(sampling.min_p));
            put("repetition_penalty", decimal(sampling.repeat_penalty));
        }
        fields
    }
}

impl Language for OpenAi {
    fn supports(&self) -> Capabilities {
        let json_schema = !self.refused().contains("response_format");
        Capabilities {
            tools: true,
            logprobs: true,
            json_schema,
            logit_bias: true,
            continues_text: false,
        }
    }

    fn counter(&self) -> Arc<dyn TokenCounter> {
        Arc::new(TiktokenCounter::O200k)
    }

    fn call(&self, request: &GenerateRequest, most: TokenCount) -> Result<Call, EngineError> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("model", json!(self.model));
        put("messages", request.messages.iter().map(wire).collect());
        put("stream", json!(true));
        put("stream_options", json!({"include_usage": true}));
        put(self.most_tokens(), json!(most));
        for (name, value) in self.sampling(request) {
            put(&name, value);
        }
        if !request.stop.is_empty() {
            put("stop", request.stop.iter().take(MOST_STOPS).map(|stop| json!(stop)).collect());
        }
        if let Some(schema) = &request.json_schema {
            let named = json!({"name": "answer", "strict": false, "schema": schema});
            put("response_format", json!({"type": "json_schema", "json_schema": named}));
        }
        if !request.logit_bias.is_empty() {
            let bias = |(token, bias): &(u32, f32)| (token.to_string(), decimal(*bias));
            put("logit_bias", Value::Object(request.logit_bias.iter().map(bias).collect()));
        }
        if let Some(alternatives) = request.logprobs {
            put("logprobs", json!(true));
            put("top_logprobs", json!(alternatives));
        }
        if let Some(tools) = &request.tools {
            put("tools", tools.declarations.clone());
            if let Some(choice) = &tools.choice {
                put("tool_choice", choice.clone());
            }
        }
        let refused = self.refused();
        body.retain(|name, _| !refused.contains(name.as_str()));
        let path = "chat/completions".to_owned();
        Ok(Call { path, body: Value::Object(body), framing: Framing::Events })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(OpenAiReader { has_said_something: false })
    }

    fn learn(&self, status: u16, said: &str, sent: &Value) -> bool {
        if !matches!(status, 400 | 422) {
            return false;
        }
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let named: BTreeSet<_> = said.split(word).collect();
        // "Use 'max_completion_tokens' instead": what wasn't sent wasn't refused.
        let found = DISPENSABLE
            .into_iter()
            .filter(|name| named.contains(name) && sent.get(name).is_some())
            .collect::<Vec<_>>();
        if !found.is_empty() {
            tracing::warn!("the model's server refuses {}; it isn't sent again", found.join(", "));
            self.refused().extend(&found);
        }
        !found.is_empty()
    }

    fn probe(&self) -> String {
        "models".to_owned()
    }

    fn judge(&self, answer: &Value) -> Option<String> {
        let listed = answer["data"].as_array()?.iter().filter_map(|model| model["id"].as_str());
        let listed: Vec<_> = listed.collect();
        if !listed.is_empty() && !listed.contains(&self.model.as_str()) {
            // Proxies serve more than they list, so this is no failure.
            tracing::warn!("the model's server doesn't list {}; check LLM_MODEL", self.model);
        }
        None
    }
}

fn wire(message: &Message) -> Value {
    match &message.wire {
        Some(wire) => Value::clone(wire),
        None => json!({"role": message.role, "content": message.content}),
    }
}

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
    tool_calls: Option<Vec<Value>>,
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

struct OpenAiReader {
    has_said_something: bool,
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
            self.read_choice(choice, &mut pieces);
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
    fn read_choice(&mut self, choice: Choice, pieces: &mut Vec<Piece>) {
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
            pieces.push(Piece::ToolCalls(Value::Array(calls)));
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            pieces.push(Piece::Ended(match reason.as_str() {
                "length" | "model_length" | "max_tokens" => FinishReason::Length,
                "tool_calls" | "function_call" => FinishReason::ToolCalls,
                "content_filter" => FinishReason::ContentFilter,
                _ => FinishReason::Stop,
            }));
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
    use super::super::language::tests::{plain, read_all, rich};
    use super::*;
    use crate::engine::Tools;

    fn body(language: &OpenAi, request: &GenerateRequest) -> Value {
        language.call(request, TokenCount::new(50)).unwrap().body
    }

    #[test]
    fn openai_gets_what_it_knows_and_others_get_all() {
        let original = OpenAi::new("gpt-4o".to_owned(), true);
        insta::assert_json_snapshot!(body(&original, &rich()));
        let other = OpenAi::new("qwen".to_owned(), false);
        let sent = body(&other, &rich());
        assert_eq!(sent["max_tokens"], 50);
        assert_eq!(sent["top_k"], 40);
        assert_eq!(sent["min_p"].to_string(), "0.05");
        assert_eq!(sent["repetition_penalty"].to_string(), "1.1");
        let sent = body(&other, &plain());
        for absent in ["top_k", "min_p", "top_p", "repetition_penalty", "stop", "tools", "logprobs"]
        {
            assert!(sent.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn what_a_client_sent_goes_through_as_it_stands() {
        let mut request = plain();
        let wire = json!({"role": "tool", "tool_call_id": "call_1", "content": "12 °C"});
        request.messages =
            vec![Message { wire: Some(Arc::new(wire.clone())), ..Message::user("12 °C") }];
        request.tools = Some(Tools {
            declarations: json!([{"type": "function", "function": {"name": "weather"}}]),
            choice: Some(json!("auto")),
        });
        request.logit_bias = vec![(50256, -100.0)];
        request.logprobs = Some(3);
        let sent = body(&OpenAi::new("gpt-4o".to_owned(), true), &request);
        assert_eq!(sent["messages"][0], wire);
        assert_eq!(sent["tools"][0]["function"]["name"], "weather");
        assert_eq!((&sent["tool_choice"], &sent["top_logprobs"]), (&json!("auto"), &json!(3)));
        assert_eq!(sent["logit_bias"], json!({"50256": -100.0}));
    }

    #[test]
    fn what_a_server_refuses_is_left_out_from_then_on() {
        let language = OpenAi::new("mistral".to_owned(), false);
        let sent = body(&language, &rich());
        let said = "Extra inputs are not permitted: top_k, min_p. Did you mean 'messages'?";
        assert!(language.learn(422, said, &sent));
        let sent = body(&language, &rich());
        assert!(sent.get("top_k").is_none() && sent.get("min_p").is_none());
        assert!(sent.get("messages").is_some() && sent.get("seed").is_some());
        assert!(!language.learn(422, said, &sent), "the same again leads nowhere");
        assert!(!language.learn(500, "seed", &sent));

        let said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
                    'max_completion_tokens' instead.";
        assert!(language.learn(400, said, &sent));
        let sent = body(&language, &rich());
        assert_eq!((sent.get("max_tokens"), &sent["max_completion_tokens"]), (None, &json!(50)));
        assert!(language.supports().json_schema);
        assert!(language.learn(400, "This response_format type is unavailable now", &sent));
        assert!(!language.supports().json_schema);
    }

    #[test]
    fn a_whole_answer_is_read() {
        let language = OpenAi::new("gpt-4o".to_owned(), true);
        let pieces = read_all(
            &mut *language.reader(),
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
        let language = OpenAi::new("m".to_owned(), false);
        for (frame, again) in [
            (r#"{"error":{"message":"overloaded","type":"server_error","code":null}}"#, true),
            (r#"{"error":{"message":"busy","code":429}}"#, true),
            (
                r#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#,
                false,
            ),
            (r#"{"error":"no"}"#, true),
        ] {
            let failure = language.reader().read(frame).unwrap_err();
            assert_eq!(failure.again, again, "{frame}");
        }
        for odd in ["{", "7", "\"x\"", r#"{"choices":7}"#, ""] {
            let failure = language.reader().read(odd).unwrap_err();
            assert!(matches!(failure.error, EngineError::BadAnswer(_)), "{odd}");
        }
    }
}
