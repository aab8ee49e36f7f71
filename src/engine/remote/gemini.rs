//! Google's Gemini. It knows a system instruction and turns of two speakers that alternate.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::failure::{self, Failure};
use super::frames::Framing;
use super::gemini_schema::reduced;
use super::language::{Call, Language, Piece, Reader, Told, decimal, differs, parse};
use crate::engine::{Capabilities, EngineError, FinishReason, GenerateRequest, Message, Role};
use crate::tokens::{Estimate, TokenCount, TokenCounter};

/// Stop strings that it takes; the others are looked for here.
const MOST_STOPS: usize = 5;

pub(super) struct Gemini {
    /// With the collection it is in: `models/gemini-2.5-flash`.
    model: String,
}

impl Gemini {
    pub(super) fn new(model: &str) -> Self {
        let model = if model.contains('/') { model.to_owned() } else { format!("models/{model}") };
        Self { model }
    }

    /// Models before 2.5 know a part of JSON Schema only, under another name.
    fn knows_json_schema(&self) -> bool {
        !["models/gemini-1.", "models/gemini-2.0"].iter().any(|old| self.model.starts_with(old))
    }

    fn configuration(&self, request: &GenerateRequest, most: TokenCount) -> Value {
        let sampling = &request.sampling;
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("temperature", decimal(sampling.temperature));
        put("topP", decimal(sampling.top_p));
        if sampling.top_k > 0 {
            put("topK", json!(sampling.top_k));
        }
        put("maxOutputTokens", json!(most));
        // Its seed is a signed number of 32 bits.
        put("seed", json!(sampling.seed & i32::MAX.cast_unsigned()));
        if differs(sampling.presence_penalty, 0.0) {
            put("presencePenalty", decimal(sampling.presence_penalty));
        }
        if differs(sampling.frequency_penalty, 0.0) {
            put("frequencyPenalty", decimal(sampling.frequency_penalty));
        }
        if !request.stop.is_empty() {
            let stops = request.stop.iter().take(MOST_STOPS).map(|stop| json!(stop));
            put("stopSequences", stops.collect());
        }
        if let Some(schema) = &request.json_schema {
            put("responseMimeType", json!("application/json"));
            if self.knows_json_schema() {
                put("responseJsonSchema", Value::clone(schema));
            } else {
                put("responseSchema", reduced(schema));
            }
        }
        Value::Object(fields)
    }
}

impl Language for Gemini {
    fn supports(&self) -> Capabilities {
        Capabilities { json_schema: true, ..Capabilities::default() }
    }

    fn counter(&self) -> Arc<dyn TokenCounter> {
        Arc::new(Estimate)
    }

    fn call(&self, request: &GenerateRequest, most: TokenCount) -> Result<Call, EngineError> {
        let (instruction, turns) = turns(&request.messages);
        let mut body = json!({
            "contents": turns,
            "generationConfig": self.configuration(request, most),
        });
        if !instruction.is_empty() {
            body["systemInstruction"] = json!({"parts": [{"text": instruction}]});
        }
        let path = format!("{}:streamGenerateContent?alt=sse", self.model);
        Ok(Call { path, body, framing: Framing::Events })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(GeminiReader)
    }

    fn probe(&self) -> String {
        self.model.clone()
    }
}

/// What the system says before anybody speaks, and the turns. Turns of one speaker are joined, the
/// system's later words are the user's, and the user has the first word.
fn turns(messages: &[Message]) -> (String, Vec<Value>) {
    let opening = messages.iter().take_while(|message| message.role == Role::System).count();
    let (system, spoken) = messages.split_at(opening);
    let instruction: Vec<_> = system.iter().map(|message| message.content.as_str()).collect();
    let mut turns: Vec<(&str, String)> = Vec::new();
    for message in spoken {
        let speaker = if message.role == Role::Assistant { "model" } else { "user" };
        match turns.last_mut() {
            Some((last, text)) if *last == speaker => {
                text.push_str("\n\n");
                text.push_str(&message.content);
            }
            _ => turns.push((speaker, message.content.clone())),
        }
    }
    let mut instruction = instruction.join("\n\n");
    if turns.is_empty() {
        // It wants to be asked something.
        turns.push(("user", std::mem::take(&mut instruction)));
    } else if turns[0].0 == "model" {
        turns.insert(0, ("user", "…".to_owned()));
    }
    let turn = |(role, text): (&str, String)| json!({"role": role, "parts": [{"text": text}]});
    (instruction, turns.into_iter().map(turn).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    candidates: Option<Vec<Candidate>>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    /// The model's thoughts aren't its answer.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(rename = "promptTokenCount")]
    prompt: Option<usize>,
    #[serde(rename = "cachedContentTokenCount")]
    cached: Option<usize>,
    #[serde(rename = "candidatesTokenCount")]
    answer: Option<usize>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts: Option<usize>,
}

struct GeminiReader;

impl Reader for GeminiReader {
    fn read(&mut self, frame: &str) -> Result<Vec<Piece>, Failure> {
        let chunk: Chunk = parse(frame)?;
        if let Some(error) = &chunk.error {
            let status = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
            let said = failure::said(frame.as_bytes(), None);
            return Err(Failure::of_status(status.unwrap_or(500), &said, None));
        }
        let mut pieces = Vec::new();
        if let Some(usage) = chunk.usage_metadata {
            let thoughts = usage.thoughts.unwrap_or(0);
            pieces.push(Piece::Usage(Told {
                prompt: usage.prompt,
                cached: usage.cached,
                completion: usage.answer.map(|said| said + thoughts),
            }));
        }
        let candidate = chunk.candidates.into_iter().flatten().next();
        if let Some(candidate) = candidate {
            let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
            let said = parts.into_iter().filter(|part| !part.thought);
            let said = said.filter_map(|part| part.text).filter(|text| !text.is_empty());
            pieces.extend(said.map(Piece::Text));
            if let Some(reason) = candidate.finish_reason {
                pieces.push(Piece::Ended(finish(&reason)?));
            }
        }
        if chunk.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            pieces.push(Piece::Ended(FinishReason::ContentFilter));
        }
        Ok(pieces)
    }
}

fn finish(reason: &str) -> Result<FinishReason, Failure> {
    match reason {
        "STOP" => Ok(FinishReason::Stop),
        "MAX_TOKENS" => Ok(FinishReason::Length),
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
        | "IMAGE_SAFETY" => Ok(FinishReason::ContentFilter),
        other => {
            let known = other.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            Err(Failure::passing(EngineError::Unreachable(format!(
                "Gemini broke the answer off ({}); ask again",
                if known && other.len() < 60 { other } else { "for no reason it names" }
            ))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::language::tests::{plain, rich};
    use super::*;

    fn body(model: &str, request: &GenerateRequest) -> Value {
        Gemini::new(model).call(request, TokenCount::new(50)).unwrap().body
    }

    #[test]
    fn a_request_is_written_in_its_words() {
        insta::assert_json_snapshot!(body("gemini-2.5-flash", &rich()));
        let old = body("gemini-1.5-pro", &rich());
        assert_eq!(old["generationConfig"]["responseSchema"]["type"], "OBJECT");
        let path = Gemini::new("gemini-1.5-pro").call(&rich(), TokenCount::new(5)).unwrap().path;
        assert_eq!(path, "models/gemini-1.5-pro:streamGenerateContent?alt=sse");
    }

    #[test]
    fn speakers_alternate_and_the_user_begins() {
        let mut request = plain();
        request.messages = vec![
            Message::system("One."),
            Message::system("Two."),
            Message::assistant("Hello."),
            Message::user("Hi."),
            Message::system("Be kind."),
            Message::user("Who are you?"),
        ];
        let body = body("gemini-2.5-flash", &request);
        assert_eq!(body["systemInstruction"]["parts"][0]["text"], "One.\n\nTwo.");
        let turns: Vec<_> = body["contents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|turn| {
                (turn["role"].as_str().unwrap(), turn["parts"][0]["text"].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            turns,
            [("user", "…"), ("model", "Hello."), ("user", "Hi.\n\nBe kind.\n\nWho are you?")]
        );
        request.messages = vec![Message::system("Alone.")];
        let body = self::body("gemini-2.5-flash", &request);
        assert_eq!(body["contents"][0]["parts"][0]["text"], "Alone.");
        assert_eq!(body.get("systemInstruction"), None);
    }

    #[test]
    fn every_way_to_end_is_told_apart() {
        let read = |frame: &str| GeminiReader.read(frame);
        let ended =
            |reason: &str| read(&format!(r#"{{"candidates":[{{"finishReason":"{reason}"}}]}}"#));
        assert_eq!(ended("STOP").unwrap(), [Piece::Ended(FinishReason::Stop)]);
        assert_eq!(ended("MAX_TOKENS").unwrap(), [Piece::Ended(FinishReason::Length)]);
        assert_eq!(ended("SAFETY").unwrap(), [Piece::Ended(FinishReason::ContentFilter)]);
        assert!(ended("OTHER").unwrap_err().error.to_string().contains("OTHER"));
        let blocked = read(r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#).unwrap();
        assert_eq!(blocked, [Piece::Ended(FinishReason::ContentFilter)]);
        let refused =
            read(r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#);
        assert!(refused.unwrap_err().again);
    }

    #[test]
    fn thoughts_are_not_the_answer() {
        let frame = r#"{"candidates":[{"content":{"parts":[{"text":"Hm.","thought":true},{"text":"Hi."}]}}]}"#;
        assert_eq!(GeminiReader.read(frame).unwrap(), [Piece::Text("Hi.".to_owned())]);
    }
}
