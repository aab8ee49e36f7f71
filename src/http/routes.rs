//! The table of routes: what the router serves and what the OpenAPI document describes are the same
//! list. To add an endpoint: its handler in a file of its own, its line here.

mod companions;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use super::error::Style;
use super::story::examples;
use super::{
    AppState, HttpSettings, Limits, auth, docs, health, keys, layers, limits, memory, openai,
    personas, receipts, story, tokens,
};
use crate::story::{
    AgenticModifyRequest, ChapterOutlineRequest, CharacterDetailsRequest, CharacterFeedbackRequest,
    ConversationRequest, EditorReviewRequest, FleshOutRequest, GenerateChapterRequest,
    ModifyChapterRequest, PanelRequest, RaterFeedbackRequest, RegenerateBioRequest,
};

/// One method on one path.
pub(super) struct Endpoint {
    pub(super) method: &'static str,
    /// `{api}` stands for the configured prefix.
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    /// Name of the body's type in [`super::wire::TYPES`].
    pub(super) request: Option<&'static str>,
    /// A body to try it with.
    pub(super) example: Option<&'static str>,
    pub(super) response: &'static str,
    /// Name of the events' type, where the answer can be a stream.
    pub(super) events: Option<&'static str>,
    /// Statuses of errors it can answer.
    pub(super) errors: &'static [u16],
    pub(super) style: Style,
    handler: fn() -> MethodRouter<AppState>,
}

/// Who gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody.
    Open,
    /// Who sends one of the server's keys, where it has any.
    Key,
    /// Who is logged in.
    Account,
}

/// Tags of the routes that accounts guard and limits hold.
const OF_ACCOUNTS: [&str; 2] = ["account", "companion"];
/// Where one gets what the others ask for.
const SIGN_IN: [&str; 3] = ["{api}/auth/register", "{api}/auth/login", "{api}/auth/refresh"];

const GENERATION_ERRORS: &[u16] = &[400, 413, 422, 429, 500, 502, 503, 504];
const TALK_ERRORS: &[u16] = &[400, 413, 429, 500, 502, 503, 504];
const ACCOUNT_ERRORS: &[u16] = &[400, 404, 413, 422, 500, 503];
const MEMORY_ERRORS: &[u16] = &[400, 404, 413, 422, 500, 503];
const MEMORY_CONFLICTS: &[u16] = &[400, 404, 409, 413, 422, 500, 503];

const TABLE: &[Endpoint] = &[
    Endpoint {
        method: "get",
        path: "/",
        tag: "server",
        summary: "Name, version and the model's state",
        request: None,
        example: None,
        response: "ServerInfo",
        events: None,
        errors: &[],
        style: Style::Problem,
        handler: || get(health::root),
    },
    Endpoint {
        method: "get",
        path: "/health",
        tag: "server",
        summary: "Whether the server and its model are well; always 200",
        request: None,
        example: None,
        response: "Health",
        events: None,
        errors: &[],
        style: Style::Problem,
        handler: || get(health::health),
    },
    Endpoint {
        method: "get",
        path: "/metrics",
        tag: "server",
        summary: "Counters, in Prometheus' text format",
        request: None,
        example: None,
        response: "Metrics",
        events: None,
        errors: &[],
        style: Style::Problem,
        handler: || get(health::metrics),
    },
    Endpoint {
        method: "post",
        path: "{api}/generate-chapter",
        tag: "story",
        summary: "Write a chapter from a structured context",
        request: Some("GenerateChapterRequest"),
        example: Some(examples::CHAPTER),
        response: "GenerateChapterResponse",
        events: Some("GenerateChapterEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<GenerateChapterRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/modify-chapter",
        tag: "story",
        summary: "Rewrite a chapter as asked, and leave the rest as it is",
        request: Some("ModifyChapterRequest"),
        example: Some(examples::MODIFY),
        response: "ModifyChapterResponse",
        events: Some("ModifyChapterEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<ModifyChapterRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/agentic-modify-chapter",
        tag: "story",
        summary: "Rewrite a chapter until its editor is satisfied; keeps the best",
        request: Some("AgenticModifyRequest"),
        example: Some(examples::AGENTIC),
        response: "AgenticModifyResponse",
        events: Some("AgenticModifyEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<AgenticModifyRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/character-feedback",
        tag: "story",
        summary: "A character's reaction, from what it can know",
        request: Some("CharacterFeedbackRequest"),
        example: Some(examples::CHARACTER),
        response: "CharacterFeedbackResponse",
        events: Some("CharacterFeedbackEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<CharacterFeedbackRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/character-feedback/structured",
        tag: "story",
        summary: "The same as /character-feedback",
        request: Some("CharacterFeedbackRequest"),
        example: Some(examples::CHARACTER),
        response: "CharacterFeedbackResponse",
        events: Some("CharacterFeedbackEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<CharacterFeedbackRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/editor-review",
        tag: "story",
        summary: "Review a chapter",
        request: Some("EditorReviewRequest"),
        example: Some(examples::REVIEW),
        response: "EditorReviewResponse",
        events: Some("EditorReviewEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<EditorReviewRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/rater-feedback",
        tag: "story",
        summary: "Rate a text, with quotes that exist in it",
        request: Some("RaterFeedbackRequest"),
        example: Some(examples::RATING),
        response: "RaterFeedbackResponse",
        events: Some("RaterFeedbackEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::rating::<RaterFeedbackRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/rater-feedback/stream",
        tag: "story",
        summary: "The same as /rater-feedback",
        request: Some("RaterFeedbackRequest"),
        example: Some(examples::RATING),
        response: "RaterFeedbackResponse",
        events: Some("RaterFeedbackEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::rating::<RaterFeedbackRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/panel",
        tag: "story",
        summary: "One chapter, read by any number of editors, raters and characters",
        request: Some("PanelRequest"),
        example: Some(examples::PANEL),
        response: "PanelResponse",
        events: Some("PanelEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<PanelRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/flesh-out",
        tag: "story",
        summary: "Tell a sketch in full",
        request: Some("FleshOutRequest"),
        example: Some(examples::FLESH_OUT),
        response: "FleshOutResponse",
        events: Some("FleshOutEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<FleshOutRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/generate-character-details",
        tag: "story",
        summary: "Fill in a character's sheet from its biography",
        request: Some("CharacterDetailsRequest"),
        example: Some(examples::DETAILS),
        response: "CharacterDetailsResponse",
        events: Some("CharacterDetailsEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<CharacterDetailsRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/regenerate-bio",
        tag: "story",
        summary: "Write a character's biography from its sheet",
        request: Some("RegenerateBioRequest"),
        example: Some(examples::BIO),
        response: "RegenerateBioResponse",
        events: Some("RegenerateBioEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<RegenerateBioRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/generate-chapter-outlines",
        tag: "story",
        summary: "Divide a story into chapters; one JSON object, or events where asked for",
        request: Some("ChapterOutlineRequest"),
        example: Some(examples::OUTLINES),
        response: "ChapterOutlineResponse",
        events: Some("ChapterOutlineEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job_in_json::<ChapterOutlineRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/chat/llm",
        tag: "story",
        summary: "Talk with an agent about the story",
        request: Some("ConversationRequest"),
        example: Some(examples::CONVERSATION),
        response: "ConversationResponse",
        events: Some("ConversationEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<ConversationRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/llm-chat",
        tag: "story",
        summary: "The same as /chat/llm",
        request: Some("ConversationRequest"),
        example: Some(examples::CONVERSATION),
        response: "ConversationResponse",
        events: Some("ConversationEvent"),
        errors: GENERATION_ERRORS,
        style: Style::Problem,
        handler: || post(story::job::<ConversationRequest>),
    },
    Endpoint {
        method: "post",
        path: "{api}/validate/phase-transition",
        tag: "story",
        summary: "Whether a phase of writing is done well enough to go on",
        request: Some("PhaseTransitionRequest"),
        example: Some(examples::TRANSITION),
        response: "PhaseTransitionResponse",
        events: None,
        errors: &[400, 413, 422],
        style: Style::Problem,
        handler: || post(story::phase_transition),
    },
    Endpoint {
        method: "post",
        path: "{api}/context/preview",
        tag: "story",
        summary: "What an agent would see in windows of several sizes; no model is asked",
        request: Some("PreviewRequest"),
        example: Some(examples::PREVIEW),
        response: "PreviewResponse",
        events: None,
        errors: &[413, 422, 503],
        style: Style::Problem,
        handler: || post(story::preview),
    },
    Endpoint {
        method: "get",
        path: "{api}/receipts/{id}",
        tag: "story",
        summary: "What a prompt was made of, and why",
        request: None,
        example: None,
        response: "Receipt",
        events: None,
        errors: &[404, 503],
        style: Style::Problem,
        handler: || get(receipts::find),
    },
    Endpoint {
        method: "get",
        path: "/v1/models",
        tag: "talk",
        summary: "The model, and an alias for each session with a persona of its own",
        request: None,
        example: None,
        response: "ModelList",
        events: None,
        errors: &[],
        style: Style::OpenAi,
        handler: || get(openai::models),
    },
    Endpoint {
        method: "get",
        path: "/v1/models/{id}",
        tag: "talk",
        summary: "One of the models",
        request: None,
        example: None,
        response: "ModelEntry",
        events: None,
        errors: &[400, 404],
        style: Style::OpenAi,
        handler: || get(openai::model),
    },
    Endpoint {
        method: "post",
        path: "/v1/chat/completions",
        tag: "talk",
        summary: "Answer a turn of talk, with memory",
        request: Some("ChatCompletionRequest"),
        example: Some(openai::examples::CHAT),
        response: "ChatCompletion",
        events: Some("ChatCompletionChunk"),
        errors: TALK_ERRORS,
        style: Style::OpenAi,
        handler: || post(openai::chat_completions),
    },
    Endpoint {
        method: "post",
        path: "/v1/completions",
        tag: "talk",
        summary: "Continue a text, without memory",
        request: Some("CompletionRequest"),
        example: Some(openai::examples::COMPLETION),
        response: "Completion",
        events: Some("Completion"),
        errors: TALK_ERRORS,
        style: Style::OpenAi,
        handler: || post(openai::completions),
    },
    Endpoint {
        method: "post",
        path: "/v1/embeddings",
        tag: "talk",
        summary: "Texts as vectors",
        request: Some("EmbeddingRequest"),
        example: Some(openai::examples::EMBEDDING),
        response: "EmbeddingResponse",
        events: None,
        errors: &[400, 413, 503],
        style: Style::OpenAi,
        handler: || post(openai::embeddings),
    },
    Endpoint {
        method: "get",
        path: "/s/{session}/v1/models",
        tag: "talk",
        summary: "The model, and an alias for each session with a persona of its own",
        request: None,
        example: None,
        response: "ModelList",
        events: None,
        errors: &[],
        style: Style::OpenAi,
        handler: || get(openai::models),
    },
    Endpoint {
        method: "get",
        path: "/s/{session}/v1/models/{id}",
        tag: "talk",
        summary: "One of the models",
        request: None,
        example: None,
        response: "ModelEntry",
        events: None,
        errors: &[400, 404],
        style: Style::OpenAi,
        handler: || get(openai::model),
    },
    Endpoint {
        method: "post",
        path: "/s/{session}/v1/chat/completions",
        tag: "talk",
        summary: "Answer a turn of talk of this session, with memory",
        request: Some("ChatCompletionRequest"),
        example: Some(openai::examples::CHAT),
        response: "ChatCompletion",
        events: Some("ChatCompletionChunk"),
        errors: TALK_ERRORS,
        style: Style::OpenAi,
        handler: || post(openai::chat_completions),
    },
    Endpoint {
        method: "post",
        path: "/s/{session}/v1/completions",
        tag: "talk",
        summary: "Continue a text, without memory",
        request: Some("CompletionRequest"),
        example: Some(openai::examples::COMPLETION),
        response: "Completion",
        events: Some("Completion"),
        errors: TALK_ERRORS,
        style: Style::OpenAi,
        handler: || post(openai::completions),
    },
    Endpoint {
        method: "post",
        path: "/s/{session}/v1/embeddings",
        tag: "talk",
        summary: "Texts as vectors",
        request: Some("EmbeddingRequest"),
        example: Some(openai::examples::EMBEDDING),
        response: "EmbeddingResponse",
        events: None,
        errors: &[400, 413, 503],
        style: Style::OpenAi,
        handler: || post(openai::embeddings),
    },
    Endpoint {
        method: "get",
        path: "{api}/memory",
        tag: "memory",
        summary: "What is remembered: sessions, the most recently used first",
        request: None,
        example: None,
        response: "MemorySessions",
        events: None,
        errors: &[422, 500, 503],
        style: Style::Problem,
        handler: || get(memory::sessions),
    },
    Endpoint {
        method: "get",
        path: "{api}/memory/{session}",
        tag: "memory",
        summary: "A session: its messages, summaries and facts",
        request: None,
        example: None,
        response: "MemorySession",
        events: None,
        errors: &[404, 422, 500, 503],
        style: Style::Problem,
        handler: || get(memory::session),
    },
    Endpoint {
        method: "delete",
        path: "{api}/memory/{session}",
        tag: "memory",
        summary: "Delete a session, down to the bytes in the file",
        request: None,
        example: None,
        response: "MemoryDeleted",
        events: None,
        errors: &[404, 422, 500, 503],
        style: Style::Problem,
        handler: || delete(memory::delete_session),
    },
    Endpoint {
        method: "get",
        path: "{api}/memory/{session}/search",
        tag: "memory",
        summary: "Messages that hold all of some words",
        request: None,
        example: None,
        response: "MemorySearch",
        events: None,
        errors: &[404, 422, 500, 503],
        style: Style::Problem,
        handler: || get(memory::search),
    },
    Endpoint {
        method: "get",
        path: "{api}/memory/{session}/messages/{id}",
        tag: "memory",
        summary: "A message, where it comes from and what came of it",
        request: None,
        example: None,
        response: "MemoryProvenance",
        events: None,
        errors: &[404, 422, 500, 503],
        style: Style::Problem,
        handler: || get(memory::message),
    },
    Endpoint {
        method: "patch",
        path: "{api}/memory/{session}/messages/{id}",
        tag: "memory",
        summary: "Pin, correct or forget a message",
        request: Some("MemoryMessageChange"),
        example: Some(memory::examples::CHANGE),
        response: "MemoryMessage",
        events: None,
        errors: MEMORY_ERRORS,
        style: Style::Problem,
        handler: || patch(memory::change_message),
    },
    Endpoint {
        method: "delete",
        path: "{api}/memory/{session}/messages/{id}",
        tag: "memory",
        summary: "Delete a message and all that was said after it",
        request: None,
        example: None,
        response: "MemoryDeletedMessages",
        events: None,
        errors: &[404, 422, 500, 503],
        style: Style::Problem,
        handler: || delete(memory::delete_message),
    },
    Endpoint {
        method: "put",
        path: "{api}/memory/{session}/persona",
        tag: "memory",
        summary: "Set the persona by hand, as a text or from a character card",
        request: Some("MemoryPersonaRequest"),
        example: Some(memory::examples::PERSONA),
        response: "MemoryPersona",
        events: None,
        errors: &[400, 413, 422, 500, 503],
        style: Style::Problem,
        handler: || put(memory::set_persona),
    },
    Endpoint {
        method: "delete",
        path: "{api}/memory/{session}/persona",
        tag: "memory",
        summary: "Take the persona away; the client's own counts again",
        request: None,
        example: None,
        response: "MemoryPersona",
        events: None,
        errors: &[404, 422, 500, 503],
        style: Style::Problem,
        handler: || delete(memory::clear_persona),
    },
    Endpoint {
        method: "post",
        path: "{api}/memory/{session}/facts",
        tag: "memory",
        summary: "Add a fact, which every prompt tells",
        request: Some("MemoryFactRequest"),
        example: Some(memory::examples::FACT),
        response: "MemoryFact",
        events: None,
        errors: MEMORY_ERRORS,
        style: Style::Problem,
        handler: || post(memory::add_fact),
    },
    Endpoint {
        method: "patch",
        path: "{api}/memory/{session}/facts/{id}",
        tag: "memory",
        summary: "Change a fact: a new text takes the place of the old one, which stays",
        request: Some("MemoryFactChange"),
        example: Some(memory::examples::FACT_CHANGE),
        response: "MemoryFact",
        events: None,
        errors: MEMORY_CONFLICTS,
        style: Style::Problem,
        handler: || patch(memory::change_fact),
    },
    Endpoint {
        method: "delete",
        path: "{api}/memory/{session}/facts/{id}",
        tag: "memory",
        summary: "Delete a fact",
        request: None,
        example: None,
        response: "MemoryDeleted",
        events: None,
        errors: &[404, 422, 500, 503],
        style: Style::Problem,
        handler: || delete(memory::remove_fact),
    },
    Endpoint {
        method: "post",
        path: "{api}/memory/{session}/fork",
        tag: "memory",
        summary: "Copy the talk up to a message into a new session",
        request: Some("MemoryForkRequest"),
        example: Some(memory::examples::FORK),
        response: "MemoryFork",
        events: None,
        errors: MEMORY_CONFLICTS,
        style: Style::Problem,
        handler: || post(memory::fork),
    },
    Endpoint {
        method: "get",
        path: "{api}/memory/{session}/export",
        tag: "memory",
        summary: "A session as lines of JSON, or as a chat of SillyTavern",
        request: None,
        example: None,
        response: "MemoryLine",
        events: None,
        errors: &[404, 422, 500, 503],
        style: Style::Problem,
        handler: || get(memory::export),
    },
    Endpoint {
        method: "post",
        path: "{api}/memory/{session}/import",
        tag: "memory",
        summary: "Read an export, or a chat of SillyTavern; what is there already is left as it is",
        request: Some("MemoryLine"),
        example: None,
        response: "MemoryImport",
        events: None,
        errors: &[400, 413, 422, 500, 503],
        style: Style::Problem,
        handler: || post(memory::import),
    },
    Endpoint {
        method: "get",
        path: "/personas",
        tag: "personas",
        summary: "Who can be talked to",
        request: None,
        example: None,
        response: "PersonaList",
        events: None,
        errors: &[],
        style: Style::Problem,
        handler: || get(personas::list),
    },
    Endpoint {
        method: "get",
        path: "{api}/personas",
        tag: "personas",
        summary: "Who can be talked to",
        request: None,
        example: None,
        response: "PersonaList",
        events: None,
        errors: &[],
        style: Style::Problem,
        handler: || get(personas::list),
    },
    Endpoint {
        method: "post",
        path: "{api}/personas/import",
        tag: "personas",
        summary: "Make a persona of a character card: PNG, CHARX or JSON, V1 to V3",
        request: Some("PersonaImportForm"),
        example: None,
        response: "PersonaImported",
        events: None,
        errors: &[400, 409, 413, 415, 422, 500, 503],
        style: Style::Problem,
        handler: || post(personas::import),
    },
    Endpoint {
        method: "get",
        path: "{api}/personas/{key}",
        tag: "personas",
        summary: "A persona with its words",
        request: None,
        example: None,
        response: "PersonaDetails",
        events: None,
        errors: &[404],
        style: Style::Problem,
        handler: || get(personas::details),
    },
    Endpoint {
        method: "delete",
        path: "{api}/personas/{key}",
        tag: "personas",
        summary: "Take an imported persona away",
        request: None,
        example: None,
        response: "PersonaDeleted",
        events: None,
        errors: &[404, 409, 500, 503],
        style: Style::Problem,
        handler: || delete(personas::remove),
    },
    Endpoint {
        method: "get",
        path: "{api}/personas/{key}/export",
        tag: "personas",
        summary: "A persona as a character card; an imported one as it came",
        request: None,
        example: None,
        response: "PersonaFile",
        events: None,
        errors: &[404, 413, 422, 500, 503],
        style: Style::Problem,
        handler: || get(personas::export),
    },
    Endpoint {
        method: "post",
        path: "{api}/tokens/count",
        tag: "tokens",
        summary: "Count the tokens of one text or many",
        request: Some("TokenCountRequest"),
        example: Some(r#"{"text": "Once upon a time"}"#),
        response: "TokenCountResponse",
        events: None,
        errors: &[400, 413, 422, 503],
        style: Style::Tokens,
        handler: || post(tokens::count),
    },
    Endpoint {
        method: "post",
        path: "{api}/tokens/validate",
        tag: "tokens",
        summary: "Whether texts fit a budget",
        request: Some("TokenValidationRequest"),
        example: Some(r#"{"texts": ["Once upon a time"], "budget": 100}"#),
        response: "TokenValidationResponse",
        events: None,
        errors: &[400, 413, 422, 503],
        style: Style::Tokens,
        handler: || post(tokens::validate),
    },
    Endpoint {
        method: "get",
        path: "{api}/tokens/strategies",
        tag: "tokens",
        summary: "Counting strategies, content types and limits",
        request: None,
        example: None,
        response: "TokenStrategies",
        events: None,
        errors: &[],
        style: Style::Tokens,
        handler: || get(tokens::strategies),
    },
    Endpoint {
        method: "get",
        path: "{api}/tokens/limits",
        tag: "tokens",
        summary: "Recommended token limits of an editor's prompt fields",
        request: None,
        example: None,
        response: "TokenLimits",
        events: None,
        errors: &[],
        style: Style::Tokens,
        handler: || get(tokens::limits),
    },
    Endpoint {
        method: "post",
        path: "{api}/auth/register",
        tag: "account",
        summary: "Make an account, and log in",
        request: Some("RegisterRequest"),
        example: Some(auth::examples::REGISTER),
        response: "LoginTokens",
        events: None,
        errors: &[400, 403, 409, 413, 422, 500, 503],
        style: Style::Problem,
        handler: || post(auth::register),
    },
    Endpoint {
        method: "post",
        path: "{api}/auth/login",
        tag: "account",
        summary: "Log in, by username or email address",
        request: Some("LoginRequest"),
        example: Some(auth::examples::LOGIN),
        response: "LoginTokens",
        events: None,
        errors: &[400, 401, 413, 422, 500, 503],
        style: Style::Problem,
        handler: || post(auth::login),
    },
    Endpoint {
        method: "post",
        path: "{api}/auth/refresh",
        tag: "account",
        summary: "New tokens for a refresh token, which is used up",
        request: Some("RefreshRequest"),
        example: Some(auth::examples::REFRESH),
        response: "LoginTokens",
        events: None,
        errors: &[400, 401, 413, 422, 500, 503],
        style: Style::Problem,
        handler: || post(auth::refresh),
    },
    Endpoint {
        method: "post",
        path: "{api}/auth/logout",
        tag: "account",
        summary: "End the login, with all its tokens, at once",
        request: None,
        example: None,
        response: "LoggedOut",
        events: None,
        errors: &[500, 503],
        style: Style::Problem,
        handler: || post(auth::logout),
    },
    Endpoint {
        method: "get",
        path: "{api}/auth/me",
        tag: "account",
        summary: "Who is logged in",
        request: None,
        example: None,
        response: "AccountUser",
        events: None,
        errors: &[500, 503],
        style: Style::Problem,
        handler: || get(auth::me),
    },
    Endpoint {
        method: "get",
        path: "{api}/users/profile",
        tag: "account",
        summary: "What the user tells of themselves",
        request: None,
        example: None,
        response: "UserProfile",
        events: None,
        errors: &[404, 500, 503],
        style: Style::Problem,
        handler: || get(auth::profile),
    },
    Endpoint {
        method: "put",
        path: "{api}/users/profile",
        tag: "account",
        summary: "Change the profile; a field that isn't sent stays, null takes it away",
        request: Some("UserProfileChange"),
        example: Some(auth::examples::PROFILE),
        response: "UserProfile",
        events: None,
        errors: ACCOUNT_ERRORS,
        style: Style::Problem,
        handler: || put(auth::change_profile),
    },
];

/// Every endpoint there is.
pub(super) fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    TABLE.iter().chain(companions::ROWS)
}

impl Endpoint {
    /// One that takes no body, answers nothing and fails never, until the following say otherwise.
    const fn new(
        method: &'static str,
        path: &'static str,
        tag: &'static str,
        handler: fn() -> MethodRouter<AppState>,
    ) -> Self {
        Self {
            method,
            path,
            tag,
            summary: "",
            request: None,
            example: None,
            response: "",
            events: None,
            errors: &[],
            style: Style::Problem,
            handler,
        }
    }

    const fn about(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Name of the body's type, and a body to try it with.
    const fn takes(self, request: &'static str, example: &'static str) -> Self {
        Self { request: Some(request), example: Some(example), ..self }
    }

    const fn answers(self, response: &'static str) -> Self {
        Self { response, ..self }
    }

    const fn streams(self, events: &'static str) -> Self {
        Self { events: Some(events), ..self }
    }

    const fn fails(self, errors: &'static [u16]) -> Self {
        Self { errors, ..self }
    }

    pub(super) fn access(&self) -> Access {
        match self.tag {
            _ if SIGN_IN.contains(&self.path) => Access::Open,
            tag if OF_ACCOUNTS.contains(&tag) => Access::Account,
            "server" if self.path != "/metrics" => Access::Open,
            _ => Access::Key,
        }
    }

    /// Whether addresses and accounts have a share of requests here.
    pub(super) fn is_limited(&self) -> bool {
        OF_ACCOUNTS.contains(&self.tag)
    }

    /// The handler behind what guards it.
    fn guarded(&self, settings: &HttpSettings, limits: &Limits) -> MethodRouter<AppState> {
        let handler = (self.handler)();
        let handler = if self.access() == Access::Key {
            handler.route_layer(from_fn_with_state(settings.keys.clone(), keys::required))
        } else {
            handler
        };
        if SIGN_IN.contains(&self.path) {
            handler.route_layer(from_fn_with_state(limits.clone(), limits::logins))
        } else if self.is_limited() {
            handler.route_layer(from_fn_with_state(limits.clone(), limits::requests))
        } else {
            handler
        }
    }

    pub(super) fn full_path(&self, prefix: &str) -> String {
        self.path.replace("{api}", prefix)
    }
}

/// Names of the endpoints that take a story request: their paths below the prefix.
pub fn story_jobs() -> impl Iterator<Item = &'static str> {
    let jobs = endpoints().filter(|it| it.tag == "story" && it.request.is_some());
    jobs.filter_map(|endpoint| endpoint.path.strip_prefix("{api}/"))
}

/// The path of one of [`story_jobs`].
pub fn story_path(settings: &HttpSettings, endpoint: &str) -> String {
    format!("{}/{endpoint}", settings.api_prefix)
}

/// The router of all endpoints and the documentation.
pub(super) fn all(settings: &HttpSettings, limits: &Limits) -> Router<AppState> {
    let group = |style: Style| {
        endpoints().filter(|endpoint| endpoint.style == style).fold(
            Router::new(),
            |router, endpoint| {
                let path = endpoint.full_path(&settings.api_prefix);
                router.route(&path, endpoint.guarded(settings, limits))
            },
        )
    };
    let styled = |style: Style| {
        group(style).layer(from_fn_with_state((style, settings.debug), layers::render_errors))
    };
    styled(Style::Problem)
        .merge(styled(Style::Tokens))
        .merge(styled(Style::OpenAi))
        .merge(docs::pages(&settings.api_prefix))
}
