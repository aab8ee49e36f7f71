//! Ollama's own chat API. Its tool calls differ from OpenAI's in form, and are told in OpenAI's.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::{self, Failure};
use super::frames::Framing;
use super::language::{Call, Language, Piece, Reader, Told, decimal, parse};
use crate::engine::{Capabilities, EngineError, FinishReason, GenerateRequest, Message};
use crate::tokens::{Estimate, TokenCount, TokenCounter};

pub(super) struct Ollama {
    model: String,
    window: TokenCount,
}

impl Ollama {
    pub(super) fn new(model: String, window: TokenCount) -> Self {
        Self { model, window }
    }

    fn options(&self, request: &GenerateRequest, most: TokenCount) -> Value {
        let sampling = &request.sampling;
        let mut options = json!({
            "num_ctx": self.window,
            "num_predict": most,
            "temperature": decimal(sampling.temperature),
            "top_p": decimal(sampling.top_p),
            "top_k": sampling.top_k,
            "min_p": decimal(sampling.min_p),
            "repeat_penalty": decimal(sampling.repeat_penalty),
            "presence_penalty": decimal(sampling.presence_penalty),
            "frequency_penalty": decimal(sampling.frequency_penalty),
            // The largest number of 32 bits means any seed.
            "seed": sampling.seed & i32::MAX.cast_unsigned(),
        });
        if !request.stop.is_empty() {
            options["stop"] = json!(request.stop);
        }
        options
    }
}

impl Language for Ollama {
    fn supports(&self) -> Capabilities {
        Capabilities { tools: true, json_schema: true, ..Capabilities::default() }
    }

    fn counter(&self) -> Arc<dyn TokenCounter> {
        Arc::new(Estimate)
    }

    fn call(&self, request: &GenerateRequest, most: TokenCount) -> Result<Call, EngineError> {
        let messages: Result<Vec<_>, _> = request.messages.iter().map(told).collect();
        let mut body = json!({
            "model": self.model,
            "messages": messages?,
            "stream": true,
            // Otherwise it drops the oldest messages without a word.
            "truncate": false,
            "options": self.options(request, most),
        });
        if let Some(schema) = &request.json_schema {
            body["format"] = Value::clone(schema);
        }
        // It knows no `tool_choice`; "none" is the one that can be kept.
        if let Some(tools) = &request.tools
            && tools.choice != Some(json!("none"))
        {
            body["tools"] = tools.declarations.clone();
        }
        Ok(Call { path: "api/chat".to_owned(), body, framing: Framing::Lines })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(OllamaReader { calls: 0 })
    }

    fn probe(&self) -> String {
        "api/tags".to_owned()
    }

    fn judge(&self, answer: &Value) -> Option<String> {
        let models = answer["models"].as_array()?;
        let wanted = with_tag(&self.model);
        let has = models.iter().filter_map(|model| model["name"].as_str());
        let has: Vec<_> = has.collect();
        (!has.iter().any(|name| with_tag(name) == wanted)).then(|| {
            format!(
                "the Ollama server has no model {0}: run `ollama pull {0}` there, or set LLM_MODEL to one it has ({1})",
                self.model,
                if has.is_empty() { "none".to_owned() } else { has.join(", ") }
            )
        })
    }
}

/// A name without a tag means the latest.
fn with_tag(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// A message in Ollama's form: one text, pictures beside it, arguments as objects.
fn told(message: &Message) -> Result<Value, EngineError> {
    let Some(wire) = &message.wire else {
        return Ok(json!({"role": message.role, "content": message.content}));
    };
    let mut told = Map::new();
    let role = wire.get("role").cloned().unwrap_or_else(|| json!(message.role));
    told.insert("role".to_owned(), role);
    told.insert("content".to_owned(), json!(message.content));
    let parts = wire["content"].as_array().into_iter().flatten();
    let images: Result<Vec<_>, _> =
        parts.filter_map(|part| part["image_url"]["url"].as_str()).map(picture).collect();
    let images = images?;
    if !images.is_empty() {
        told.insert("images".to_owned(), json!(images));
    }
    if let Some(calls) = wire["tool_calls"].as_array() {
        told.insert("tool_calls".to_owned(), calls.iter().map(with_arguments).collect());
    }
    if let Some(name) = wire.get("name") {
        told.insert("tool_name".to_owned(), name.clone());
    }
    Ok(Value::Object(told))
}

/// The base64 of a `data:` URL.
fn picture(url: &str) -> Result<&str, EngineError> {
    let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    data.map(|(_, base64)| base64).ok_or_else(|| {
        EngineError::Unsupported(
            "Ollama fetches no pictures: send them in the message, as data: URLs with base64"
                .to_owned(),
        )
    })
}

fn with_arguments(call: &Value) -> Value {
    let function = &call["function"];
    let arguments = match &function["arguments"] {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| json!({})),
        other => other.clone(),
    };
    json!({"function": {"name": function["name"], "arguments": arguments}})
}

#[derive(Deserialize)]
struct Line {
    message: Option<Said>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<usize>,
    eval_count: Option<usize>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

struct OllamaReader {
    calls: usize,
}

impl Reader for OllamaReader {
    fn read(&mut self, frame: &str) -> Result<Vec<Piece>, Failure> {
        let line: Line = parse(frame)?;
        if line.error.is_some() {
            return Err(Failure::of_status(500, &failure::said(frame.as_bytes(), None), None));
        }
        let mut pieces = Vec::new();
        if let Some(said) = line.message {
            pieces.extend(said.content.filter(|text| !text.is_empty()).map(Piece::Text));
            let calls = said.tool_calls.into_iter().flatten();
            let calls: Vec<_> = calls.map(|call| self.call(&call)).collect();
            if !calls.is_empty() {
                pieces.push(Piece::ToolCalls(Value::Array(calls)));
            }
        }
        if line.done {
            let reason = match line.done_reason.as_deref() {
                Some("length") => FinishReason::Length,
                _ if self.calls > 0 => FinishReason::ToolCalls,
                _ => FinishReason::Stop,
            };
            let told =
                Told { prompt: line.prompt_eval_count, cached: None, completion: line.eval_count };
            pieces.extend([Piece::Ended(reason), Piece::Usage(told), Piece::Over]);
        }
        Ok(pieces)
    }
}

impl OllamaReader {
    fn call(&mut self, call: &ToolCall) -> Value {
        let index = self.calls;
        self.calls += 1;
        let id = call.id.clone().filter(|id| !id.is_empty());
        let arguments = match &call.function.arguments {
            Value::Null => "{}".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        json!({
            "index": index,
            "id": id.unwrap_or_else(|| format!("call_{index}")),
            "type": "function",
            "function": {
                "name": call.function.name,
                "arguments": arguments,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::language::tests::{read_all, rich};
    use super::*;
    use crate::engine::Tools;

    fn ollama() -> Ollama {
        Ollama::new("llama3.2".to_owned(), TokenCount::new(8192))
    }

    #[test]
    fn a_request_is_written_in_its_words() {
        let body = ollama().call(&rich(), TokenCount::new(50)).unwrap().body;
        insta::assert_json_snapshot!(body);
    }

    #[test]
    fn tool_calls_their_results_and_pictures_take_its_form() {
        let wire = |wire: Value| Message { wire: Some(Arc::new(wire)), ..Message::user("text") };
        let call = json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]});
        let told_call = told(&wire(call)).unwrap();
        assert_eq!(
            told_call["tool_calls"],
            json!([{"function": {"name": "f", "arguments": {"a": 1}}}])
        );
        let picture = |url: &str| json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]});
        let told_picture = told(&wire(picture("data:image/png;base64,aGk="))).unwrap();
        assert_eq!(told_picture["images"], json!(["aGk="]));
        assert!(told(&wire(picture("https://example.org/a.png"))).is_err());
    }

    #[test]
    fn no_tools_are_offered_where_none_may_be_called() {
        let mut request = rich();
        let tools = |choice| Some(Tools { declarations: json!([{}]), choice });
        let body =
            |request: &GenerateRequest| ollama().call(request, TokenCount::new(5)).unwrap().body;
        request.tools = tools(None);
        assert_eq!(body(&request)["tools"], json!([{}]));
        request.tools = tools(Some(json!("none")));
        assert_eq!(body(&request).get("tools"), None);
    }

    #[test]
    fn its_tool_calls_are_told_in_openais_form() {
        let pieces = read_all(
            &mut *ollama().reader(),
            &[
                r#"{"message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"done":false}"#,
                r#"{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":3}"#,
            ],
        );
        let call = json!([{"index": 0, "id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]);
        let told = Told { completion: Some(3), ..Told::default() };
        assert_eq!(
            pieces.unwrap(),
            [
                Piece::ToolCalls(call),
                Piece::Ended(FinishReason::ToolCalls),
                Piece::Usage(told),
                Piece::Over
            ]
        );
        for (arguments, told) in
            [(json!("{\"a\":1}"), "{\"a\":1}"), (Value::Null, "{}"), (json!(7), "7")]
        {
            let call = json!({"function": {"name": "f", "arguments": arguments}});
            let line = json!({"message": {"tool_calls": [call]}}).to_string();
            let pieces = ollama().reader().read(&line).unwrap();
            let [Piece::ToolCalls(calls)] = &pieces[..] else { panic!("{pieces:?}") };
            assert_eq!(calls[0]["function"]["arguments"], told);
        }
        for bad in [json!(["x"]), json!([{"function": {}}]), json!("x")] {
            let line = json!({"message": {"tool_calls": bad}}).to_string();
            let failure = ollama().reader().read(&line).unwrap_err();
            assert!(matches!(failure.error, EngineError::BadAnswer(_)), "{line}");
        }
        assert!(ollama().reader().read(r#"{"error":"model runner stopped"}"#).unwrap_err().again);
    }

    #[test]
    fn a_model_it_lacks_is_named_with_what_to_do() {
        let tags = |names: &[&str]| {
            let models: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            json!({ "models": models })
        };
        assert_eq!(ollama().judge(&tags(&["llama3.2:latest"])), None);
        let said = ollama().judge(&tags(&["llama3.2:1b"])).unwrap();
        assert!(said.contains("ollama pull llama3.2") && said.contains("llama3.2:1b"), "{said}");
    }
}
