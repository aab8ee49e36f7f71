//! The table of routes: what the router serves and what the OpenAPI document describes are the same
//! list. To add an endpoint: its handler in a file of its own, its line here.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::error::Style;
use super::story::examples;
use super::{AppState, HttpSettings, docs, health, layers, receipts, story, tokens};
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

const GENERATION_ERRORS: &[u16] = &[400, 413, 422, 429, 500, 502, 503, 504];

pub(super) const ENDPOINTS: &[Endpoint] = &[
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
        errors: &[404, 500],
        style: Style::Problem,
        handler: || get(receipts::find),
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
];

impl Endpoint {
    pub(super) fn full_path(&self, prefix: &str) -> String {
        self.path.replace("{api}", prefix)
    }
}

/// Names of the endpoints that take a story request: their paths below the prefix.
pub fn story_jobs() -> impl Iterator<Item = &'static str> {
    let jobs = ENDPOINTS.iter().filter(|it| it.tag == "story" && it.request.is_some());
    jobs.filter_map(|endpoint| endpoint.path.strip_prefix("{api}/"))
}

/// The path of one of [`story_jobs`].
pub fn story_path(settings: &HttpSettings, endpoint: &str) -> String {
    format!("{}/{endpoint}", settings.api_prefix)
}

/// The router of all endpoints and the documentation.
pub(super) fn all(settings: &HttpSettings) -> Router<AppState> {
    let group = |style: Style| {
        ENDPOINTS.iter().filter(|endpoint| endpoint.style == style).fold(
            Router::new(),
            |router, endpoint| {
                router.route(&endpoint.full_path(&settings.api_prefix), (endpoint.handler)())
            },
        )
    };
    let tokens = group(Style::Tokens)
        .layer(from_fn_with_state((Style::Tokens, settings.debug), layers::render_errors));
    group(Style::Problem).merge(tokens).merge(docs::pages(&settings.api_prefix))
}
