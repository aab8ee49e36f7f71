//! What differs between providers: how a request is written and how an answer is read. Languages do
//! no I/O; what they know of a provider they learn from its refusals.

use std::sync::Arc;

use serde_json::{Value, json};

use super::failure::Failure;
use super::frames::Framing;
use super::openai::Lacks;
use crate::engine::{Capabilities, EngineError, FinishReason, GenerateRequest, TokenLogprob};
use crate::tokens::{TokenCount, TokenCounter};

pub(super) trait Language: Send + Sync {
    fn supports(&self) -> Capabilities;

    /// Counts as the provider's model does, as nearly as is known.
    fn counter(&self) -> Arc<dyn TokenCounter>;

    /// The request for an answer of at most so many tokens.
    fn call(&self, request: &GenerateRequest, most: TokenCount) -> Result<Call, EngineError>;

    fn reader(&self) -> Box<dyn Reader>;

    /// The provider refused this body with this error. Adds what it says that the provider doesn't
    /// know, and writes the body in another way; tells whether that could be done, so that it is
    /// worth asking again.
    fn learn(&self, _status: u16, _error: &Value, _body: &mut Value, _lacks: &mut Lacks) -> bool {
        false
    }

    /// The provider took a request that was written without these; others are from now on.
    fn keep(&self, _lacks: &Lacks) {}

    /// A path to ask to see whether the provider is there.
    fn probe(&self) -> String;

    /// What the probe's answer says against this provider, if anything, and what to do.
    fn judge(&self, _answer: &Value) -> Option<String> {
        None
    }
}

/// One HTTP request.
pub(super) struct Call {
    /// To follow the base URL.
    pub(super) path: String,
    pub(super) body: Value,
    pub(super) framing: Framing,
}

/// Reads the frames of one answer.
pub(super) trait Reader: Send {
    fn read(&mut self, frame: &str) -> Result<Vec<Piece>, Failure>;
}

/// What a frame holds.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Tokens(Vec<TokenLogprob>),
    Text(String),
    /// In the shape of OpenAI's `delta.tool_calls`.
    ToolCalls(Value),
    Usage(Told),
    /// No more text comes; a usage may.
    Ended(FinishReason),
    /// Nothing more comes.
    Over,
}

/// Tokens as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Told {
    pub(super) prompt: Option<usize>,
    pub(super) cached: Option<usize>,
    pub(super) completion: Option<usize>,
}

/// A setting as a JSON number with the digits that a person would write: 0.7, not 0.699999988.
pub(super) fn decimal(value: f32) -> Value {
    json!(value.to_string().parse::<f64>().unwrap_or_default())
}

pub(super) fn differs(value: f32, neutral: f32) -> bool {
    (value - neutral).abs() > f32::EPSILON
}

pub(super) fn parse<'a, T: serde::Deserialize<'a>>(frame: &'a str) -> Result<T, Failure> {
    // The message of serde_json quotes no more than a field's name.
    serde_json::from_str(frame)
        .map_err(|error| Failure::nonsense(format!("a frame that can't be read ({error})")))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::{ClientId, Message, Sampling};

    /// A request with nothing but what everyone understands.
    pub(in crate::engine::remote) fn plain() -> GenerateRequest {
        let sampling = Sampling {
            temperature: 0.7,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 7,
        };
        let messages = vec![Message::system("Be brief."), Message::user("Who?")];
        GenerateRequest::new(ClientId::default(), messages, sampling, TokenCount::new(50))
    }

    /// A request with everything.
    pub(in crate::engine::remote) fn rich() -> GenerateRequest {
        let mut request = plain();
        request.sampling = Sampling {
            temperature: 0.8,
            top_p: 0.95,
            top_k: 40,
            min_p: 0.05,
            repeat_penalty: 1.1,
            presence_penalty: 0.5,
            frequency_penalty: -0.5,
            seed: u32::MAX,
        };
        request.stop = vec!["END".to_owned()];
        request.json_schema = Some(Arc::new(json!({
            "type": "object",
            "properties": {"score": {"type": "integer"}},
            "required": ["score"],
        })));
        request
    }

    pub(in crate::engine::remote) fn read_all(
        reader: &mut dyn Reader,
        frames: &[&str],
    ) -> Result<Vec<Piece>, Failure> {
        let mut pieces = Vec::new();
        for frame in frames {
            pieces.extend(reader.read(frame)?);
        }
        Ok(pieces)
    }

    #[test]
    fn numbers_keep_the_digits_a_person_wrote() {
        assert_eq!(decimal(0.7).to_string(), "0.7");
        assert_eq!(decimal(1.0).to_string(), "1.0");
    }
}
