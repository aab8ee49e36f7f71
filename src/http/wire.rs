//! Events as they stand on the wire, and the list of all types that clients see.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::archive::asking as archive_asking;
use super::archive::wire as archive;
use super::auth::wire as auth;
use super::companion::wire as companion;
use super::error::{ApiError, DATA};
use super::memory::wire as memory;
use super::openai::wire as openai;
use super::personas::wire as personas;
use super::visits::wire as visits;
use super::{health, story, tokens};
use crate::archive as archive_room;
use crate::context::Receipt;
use crate::memory::Line;
use crate::metrics::Metrics;
use crate::story::{self as story_room, JobPhase, StoryEvent};

/// One `data:` line of a story stream. `member` names whose it is, in a panel.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum WireEvent<T> {
    Status {
        phase: JobPhase,
        message: String,
        /// 0 to 100.
        progress: u8,
        /// `restart: true` says that the pieces so far are void; `content` is a whole text.
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        member: Option<String>,
    },
    /// What the model is going to see, and why.
    Context {
        receipt: Box<Receipt>,
        #[serde(skip_serializing_if = "Option::is_none")]
        member: Option<String>,
    },
    /// A piece of the text as it is written; where the answer is JSON, a piece of that.
    Partial {
        content: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        member: Option<String>,
    },
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
    /// The event for the wire; an error is recorded here, since no response carries it to the layers.
    pub(super) fn tell<E: Into<ApiError>>(event: StoryEvent<T, E>, metrics: &Metrics) -> Self {
        match event {
            StoryEvent::Status { phase, message, progress, data, member } => Self::Status {
                phase,
                message: message.into_owned(),
                progress,
                data,
                member: member.map(|member| member.to_string()),
            },
            StoryEvent::Context { receipt, member } => {
                Self::Context { receipt, member: member.map(|member| member.to_string()) }
            }
            StoryEvent::Partial { content, member } => {
                Self::Partial { content, member: member.map(|member| member.to_string()) }
            }
            StoryEvent::Result(data) => Self::Result { data, status: Completion::Complete },
            StoryEvent::Error(error) => {
                let error: ApiError = error.into();
                error.record("a stream", None, metrics);
                Self::Error {
                    message: error.detail,
                    error_code: error.code.name().to_owned(),
                    data: error.more.map(|(name, value)| match name {
                        DATA => value,
                        _ => serde_json::json!({ name: value }),
                    }),
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
    "ArchiveDocumentDeleted" => archive::ArchiveDocumentDeleted,
    "ArchiveDocumentView" => archive::ArchiveDocumentView,
    "ArchiveDocuments" => archive::ArchiveDocuments,
    "ArchiveDocumentsForm" => archive::ArchiveDocumentsForm,
    "ArchiveDocumentsRequest" => archive::ArchiveDocumentsRequest,
    "ArchiveDocumentsResponse" => archive::ArchiveDocumentsResponse,
    "ArchiveFileContent" => archive::ArchiveFileContent,
    "ArchiveFiles" => archive::ArchiveFiles,
    "ArchiveIngestEvent" => archive::ArchiveIngestEvent,
    "ArchiveSearchRequest" => archive::ArchiveSearchRequest,
    "ArchiveSearchResponse" => archive::ArchiveSearchResponse,
    "ArchiveStats" => archive::ArchiveStats,
    "AskChatRequest" => archive_room::AskChatRequest,
    "AskEvent" => WireEvent<archive_room::AskResponse>,
    "AskRequest" => archive_room::AskRequest,
    "AskResponse" => archive_room::AskResponse,
    "AskingStatus" => archive_asking::AskingStatus,
    "AccountDeletion" => companion::AccountDeletion,
    "ActiveSessions" => visits::ActiveSessions,
    "CompanionMessageEvent" => companion::SpokenEvent<companion::CompanionMessageResponse>,
    "CompanionMessageRequest" => companion::CompanionMessageRequest,
    "CompanionMessageResponse" => companion::CompanionMessageResponse,
    "ConversationChangeRequest" => companion::ConversationChangeRequest,
    "ConversationList" => companion::ConversationList,
    "ConversationMessages" => companion::ConversationMessages,
    "ConversationView" => companion::ConversationView,
    "Deleted" => companion::Deleted,
    "LegacyChatRequest" => companion::LegacyChatRequest,
    "LegacyChatResponse" => companion::LegacyChatResponse,
    "LegacyMemory" => companion::LegacyMemory,
    "PersonalityRequest" => companion::PersonalityRequest,
    "PersonalityResponse" => companion::PersonalityResponse,
    "Relationship" => companion::Relationship,
    "RelationshipEvent" => companion::RelationshipEvent,
    "RelationshipEventChange" => companion::RelationshipEventChange,
    "RelationshipEvents" => companion::RelationshipEvents,
    "SessionChatRequest" => visits::SessionChatRequest,
    "SessionCleared" => visits::SessionCleared,
    "SessionHistory" => visits::SessionHistory,
    "SessionOpen" => visits::SessionOpen,
    "SessionReply" => visits::SessionReply,
    "SessionStartRequest" => visits::SessionStartRequest,
    "SocketEvent" => visits::SocketEvent,
    "SocketMessage" => visits::SocketMessage,
    "UserFactChange" => companion::UserFactChange,
    "UserFactRequest" => companion::UserFactRequest,
    "UserFactView" => companion::UserFactView,
    "UserFacts" => companion::UserFacts,
    "UserMemories" => companion::UserMemories,
    "UserMemoryChange" => companion::UserMemoryChange,
    "UserMemoryView" => companion::UserMemoryView,
    "UserStats" => companion::UserStats,
    "AgenticModifyRequest" => story_room::AgenticModifyRequest,
    "AgenticModifyResponse" => story_room::AgenticModifyResponse,
    "AgenticModifyEvent" => WireEvent<story_room::AgenticModifyResponse>,
    "ChapterOutlineRequest" => story_room::ChapterOutlineRequest,
    "ChapterOutlineResponse" => story_room::ChapterOutlineResponse,
    "ChapterOutlineEvent" => WireEvent<story_room::ChapterOutlineResponse>,
    "CharacterDetailsRequest" => story_room::CharacterDetailsRequest,
    "CharacterDetailsResponse" => story_room::CharacterDetailsResponse,
    "CharacterDetailsEvent" => WireEvent<story_room::CharacterDetailsResponse>,
    "CharacterFeedbackRequest" => story_room::CharacterFeedbackRequest,
    "CharacterFeedbackResponse" => story_room::CharacterFeedbackResponse,
    "CharacterFeedbackEvent" => WireEvent<story_room::CharacterFeedbackResponse>,
    "ConversationRequest" => story_room::ConversationRequest,
    "ConversationResponse" => story_room::ConversationResponse,
    "ConversationEvent" => WireEvent<story_room::ConversationResponse>,
    "EditorReviewRequest" => story_room::EditorReviewRequest,
    "EditorReviewResponse" => story_room::EditorReviewResponse,
    "EditorReviewEvent" => WireEvent<story_room::EditorReviewResponse>,
    "FleshOutRequest" => story_room::FleshOutRequest,
    "FleshOutResponse" => story_room::FleshOutResponse,
    "FleshOutEvent" => WireEvent<story_room::FleshOutResponse>,
    "GenerateChapterRequest" => story_room::GenerateChapterRequest,
    "GenerateChapterResponse" => story_room::GenerateChapterResponse,
    "GenerateChapterEvent" => WireEvent<story_room::GenerateChapterResponse>,
    "ModifyChapterRequest" => story_room::ModifyChapterRequest,
    "ModifyChapterResponse" => story_room::ModifyChapterResponse,
    "ModifyChapterEvent" => WireEvent<story_room::ModifyChapterResponse>,
    "PanelRequest" => story_room::PanelRequest,
    "PanelResponse" => story_room::PanelResponse,
    "PanelEvent" => WireEvent<story_room::PanelResponse>,
    "RaterFeedbackRequest" => story_room::RaterFeedbackRequest,
    "RaterFeedbackResponse" => story_room::RaterFeedbackResponse,
    "RaterFeedbackEvent" => WireEvent<story_room::RaterFeedbackResponse>,
    "RegenerateBioRequest" => story_room::RegenerateBioRequest,
    "RegenerateBioResponse" => story_room::RegenerateBioResponse,
    "RegenerateBioEvent" => WireEvent<story_room::RegenerateBioResponse>,
    "AccountUser" => auth::AccountUser,
    "LoggedOut" => auth::LoggedOut,
    "LoginRequest" => auth::LoginRequest,
    "LoginTokens" => auth::LoginTokens,
    "RefreshRequest" => auth::RefreshRequest,
    "RegisterRequest" => auth::RegisterRequest,
    "UserProfile" => auth::UserProfile,
    "UserProfileChange" => auth::UserProfileChange,
    "PhaseTransitionRequest" => story_room::PhaseTransitionRequest,
    "PhaseTransitionResponse" => story_room::PhaseTransitionResponse,
    "PreviewRequest" => story_room::PreviewRequest,
    "PreviewResponse" => story_room::PreviewResponse,
    "Health" => health::Health,
    "Receipt" => Receipt,
    "ServerInfo" => health::ServerInfo,
    "TokenCountRequest" => tokens::CountRequest,
    "TokenCountResponse" => tokens::CountResponse,
    "TokenError" => tokens::TokenError,
    "ChatCompletionRequest" => openai::ChatCompletionRequest,
    "ChatCompletion" => openai::ChatCompletion,
    "ChatCompletionChunk" => openai::ChatCompletionChunk,
    "CompletionRequest" => openai::CompletionRequest,
    "Completion" => openai::Completion,
    "EmbeddingRequest" => openai::EmbeddingRequest,
    "EmbeddingResponse" => openai::EmbeddingResponse,
    "ModelList" => openai::ModelList,
    "ModelEntry" => openai::ModelEntry,
    "OpenAiError" => openai::OpenAiError,
    "Metrics" => String,
    "TokenLimits" => tokens::LimitsResponse,
    "TokenStrategies" => tokens::StrategiesResponse,
    "TokenValidationRequest" => tokens::ValidationRequest,
    "TokenValidationResponse" => tokens::ValidationResponse,
    "Problem" => story::Problem,
    "MemorySessions" => memory::MemorySessions,
    "MemorySession" => memory::MemorySession,
    "MemorySearch" => memory::MemorySearch,
    "MemoryMessage" => memory::MemoryMessage,
    "MemoryProvenance" => memory::MemoryProvenance,
    "MemoryMessageChange" => memory::MemoryMessageChange,
    "MemoryDeletedMessages" => memory::MemoryDeletedMessages,
    "MemoryDeleted" => memory::MemoryDeleted,
    "MemoryPersonaRequest" => memory::MemoryPersonaRequest,
    "MemoryPersona" => memory::MemoryPersona,
    "MemoryFactRequest" => memory::MemoryFactRequest,
    "MemoryFactChange" => memory::MemoryFactChange,
    "MemoryFact" => memory::MemoryFact,
    "MemoryForkRequest" => memory::MemoryForkRequest,
    "MemoryFork" => memory::MemoryFork,
    "MemoryImport" => memory::MemoryImport,
    "MemoryLine" => Line,
    "PersonaList" => personas::PersonaList,
    "PersonaDetails" => personas::PersonaDetails,
    "PersonaImportForm" => personas::PersonaImportForm,
    "PersonaImported" => personas::PersonaImported,
    "PersonaDeleted" => personas::PersonaDeleted,
    "PersonaFile" => String,
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
