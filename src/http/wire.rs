//! Events as they stand on the wire, and the list of all types that clients see.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::error::ApiError;
use super::{health, story, tokens};
use crate::context::Receipt;
use crate::story::{JobPhase, StoryEvent};

/// One `data:` line of a story stream.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum WireEvent<T> {
    Status {
        phase: JobPhase,
        message: String,
        /// 0 to 100.
        progress: u8,
    },
    /// What the model is going to see, and why.
    Context { receipt: Box<Receipt> },
    /// A piece of the text as it is written.
    Partial { content: String },
    /// The end, with everything.
    Result { data: Box<T>, status: Completion },
    /// The end, without a result.
    Error {
        message: String,
        error_code: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<Value>,
    },
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Completion {
    Complete,
}

impl<T> WireEvent<T> {
    /// The event for the wire; an error is logged here, since no response carries it to the layers.
    pub(super) fn tell(event: StoryEvent<T>) -> Self {
        match event {
            StoryEvent::Status { phase, message, progress } => {
                Self::Status { phase, message: message.to_owned(), progress }
            }
            StoryEvent::Context(receipt) => Self::Context { receipt },
            StoryEvent::Partial(content) => Self::Partial { content },
            StoryEvent::Result(data) => Self::Result { data, status: Completion::Complete },
            StoryEvent::Error(error) => {
                let error = ApiError::from(error);
                error.log("a stream", None);
                Self::Error {
                    message: error.detail,
                    error_code: error.code.name().to_owned(),
                    data: error.more.map(|(name, value)| serde_json::json!({ name: value })),
                }
            }
        }
    }
}

/// A type's name and how its schema is made.
pub(super) type NamedSchema = (&'static str, fn(&mut SchemaGenerator) -> Schema);

macro_rules! named {
    ($($name:literal => $type:ty),* $(,)?) => {
        &[$(($name, |generator| generator.subschema_for::<$type>())),*]
    };
}

/// Every type that clients send or receive, by the name its file in `schemas/` has.
pub(super) const TYPES: &[NamedSchema] = named![
    "GenerateChapterRequest" => crate::story::generate_chapter::GenerateChapterRequest,
    "GenerateChapterResponse" => crate::story::generate_chapter::GenerateChapterResponse,
    "GenerateChapterEvent" => WireEvent<crate::story::generate_chapter::GenerateChapterResponse>,
    "Health" => health::Health,
    "Receipt" => Receipt,
    "ServerInfo" => health::ServerInfo,
    "TokenCountRequest" => tokens::CountRequest,
    "TokenCountResponse" => tokens::CountResponse,
    "TokenError" => tokens::TokenError,
    "TokenLimits" => tokens::LimitsResponse,
    "TokenStrategies" => tokens::StrategiesResponse,
    "TokenValidationRequest" => tokens::ValidationRequest,
    "TokenValidationResponse" => tokens::ValidationResponse,
    "Problem" => story::Problem,
];

/// Every type as a JSON Schema document of its own, by name.
pub fn schemas() -> Vec<(String, Value)> {
    TYPES
        .iter()
        .map(|(name, make)| {
            let mut generator = SchemaGenerator::default();
            let schema = make(&mut generator);
            let mut document = generator.definitions().clone();
            let root = root_of(&schema, &mut document);
            ((*name).to_owned(), with_definitions(root, document))
        })
        .collect()
}

/// A schema that only points to a definition becomes that definition.
fn root_of(schema: &Schema, definitions: &mut serde_json::Map<String, Value>) -> Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let name = reference.and_then(|reference| reference.strip_prefix("#/$defs/"));
    name.and_then(|name| definitions.shift_remove(name))
        .unwrap_or_else(|| schema.clone().to_value())
}

fn with_definitions(mut root: Value, definitions: serde_json::Map<String, Value>) -> Value {
    root["$schema"] = Value::from("https://json-schema.org/draft/2020-12/schema");
    if !definitions.is_empty() {
        root["$defs"] = Value::Object(definitions);
    }
    root
}
