//! OpenAI's chat completions, as OpenAI and the many servers that speak its language have them. What
//! a server doesn't know and nobody asked for by name is left out from its first refusal on.

mod dialect;
mod reader;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

pub(super) use self::dialect::Lacks;
use self::dialect::{JSON_SCHEMA, MOST_TOKENS, MOST_TOKENS_AT_OPENAI, any_object, held_to};
use self::reader::OpenAiReader;
use super::frames::Framing;
use super::language::{Call, Language, Reader, decimal, differs};
use crate::engine::{Capabilities, EngineError, GenerateRequest, Message};
use crate::tokens::{TiktokenCounter, TokenCount, TokenCounter};

/// Stop strings that OpenAI takes; the others are looked for here.
const MOST_STOPS: usize = 4;
/// Characters of a speaker's name that OpenAI takes.
const LONGEST_NAME: usize = 64;

pub(super) struct OpenAi {
    model: String,
    /// Whether this is OpenAI's own server, which refuses what it doesn't know.
    is_original: bool,
    lacks: Mutex<Lacks>,
}

impl OpenAi {
    pub(super) fn new(model: String, is_original: bool) -> Self {
        Self { model, is_original, lacks: Mutex::default() }
    }

    fn lacks(&self) -> MutexGuard<'_, Lacks> {
        self.lacks.lock().unwrap_or_else(PoisonError::into_inner)
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
        let json_schema = !self.lacks().has(JSON_SCHEMA);
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
        let limit = if self.is_original { MOST_TOKENS_AT_OPENAI } else { MOST_TOKENS };
        put(limit, json!(most));
        for (name, value) in self.sampling(request) {
            put(&name, value);
        }
        if !request.stop.is_empty() {
            put("stop", request.stop.iter().take(MOST_STOPS).map(|stop| json!(stop)).collect());
        }
        if let Some(schema) = &request.json_schema {
            let is_any_object = **schema == json!({"type": "object"});
            put("response_format", if is_any_object { any_object() } else { held_to(schema) });
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
        let mut body = Value::Object(body);
        self.lacks().apply(&mut body);
        Ok(Call { path: "chat/completions".to_owned(), body, framing: Framing::Events })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(OpenAiReader::default())
    }

    fn learn(&self, status: u16, error: &Value, body: &mut Value, lacks: &mut Lacks) -> bool {
        let learnt = matches!(status, 400 | 422) && lacks.learn(error, body);
        if learnt {
            lacks.apply(body);
        }
        learnt
    }

    fn keep(&self, lacks: &Lacks) {
        let mut known = self.lacks();
        let new = lacks.beyond(&known);
        if !new.is_empty() {
            let new = new.join(", ");
            tracing::warn!("the model's server doesn't know {new}; it isn't sent again");
            known.update(lacks);
        }
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
    if let Some(wire) = &message.wire {
        return Value::clone(wire);
    }
    let mut wire = json!({"role": message.role, "content": message.content});
    if let Some(name) = message.name.as_deref().and_then(speaker) {
        wire["name"] = json!(name);
    }
    wire
}

/// A name as OpenAI takes it, if anything of it can be taken.
fn speaker(name: &str) -> Option<String> {
    let fits = |c: char| !(c.is_whitespace() || c.is_control() || r"<|\/>".contains(c));
    let name = name.trim().chars().map(|c| if fits(c) { c } else { '_' });
    let name: String = name.take(LONGEST_NAME).collect();
    name.contains(|c| c != '_').then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::language::tests::{plain, rich};
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
        assert_eq!(sent["top_k"], 0, "other servers have other defaults");
        for absent in ["stop", "tools", "logprobs", "response_format", "logit_bias"] {
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
    fn speakers_are_named_as_far_as_openai_takes_names() {
        let mut request = plain();
        let said_by = |name: &str| Message { name: Some(name.to_owned()), ..Message::user("Hm.") };
        let long = "狐".repeat(100);
        request.messages =
            ["Anne-Marie", " Lady <Anne> ", "狐", &long, " ", "</>"].map(said_by).into();
        let sent = body(&OpenAi::new("gpt-4o".to_owned(), true), &request);
        let names = sent["messages"].as_array().unwrap().iter().map(|message| message.get("name"));
        let names: Vec<_> = names.map(|name| name.and_then(Value::as_str)).collect();
        let cut = "狐".repeat(LONGEST_NAME);
        let expected =
            [Some("Anne-Marie"), Some("Lady__Anne_"), Some("狐"), Some(cut.as_str()), None, None];
        assert_eq!(names, expected);
    }

    #[test]
    fn any_json_is_asked_for_as_such_and_a_schema_as_a_schema() {
        let language = OpenAi::new("deepseek-chat".to_owned(), false);
        let mut request = plain();
        request.json_schema = Some(Arc::new(json!({"type": "object"})));
        assert_eq!(body(&language, &request)["response_format"], json!({"type": "json_object"}));
        assert_eq!(body(&language, &rich())["response_format"]["type"], "json_schema");
    }

    #[test]
    fn only_what_a_server_then_took_is_learnt_for_all() {
        let language = OpenAi::new("mistral".to_owned(), false);
        let mut lacks = Lacks::default();
        let error = json!({"message": "Extra inputs are not permitted: top_k, min_p"});
        let mut sent = body(&language, &rich());
        assert!(!language.learn(500, &error, &mut sent, &mut lacks));
        assert!(language.learn(422, &error, &mut sent, &mut lacks));
        assert!(sent.get("top_k").is_none() && sent.get("min_p").is_none());
        assert!(!language.learn(422, &error, &mut sent, &mut lacks), "the same leads nowhere");
        assert!(body(&language, &rich()).get("top_k").is_some());
        language.keep(&lacks);
        assert_eq!(body(&language, &rich()), sent);
        assert!(language.supports().json_schema);

        let error = json!({"error": "This response_format type is unavailable now"});
        assert!(language.learn(400, &error, &mut sent, &mut lacks));
        language.keep(&lacks);
        assert!(!language.supports().json_schema);
        let format = json!({"type": "json_object"});
        assert_eq!(body(&language, &rich())["response_format"], format);
    }
}
