//! Routes of writers: the agents' jobs, previews and receipts.

use axum::routing::{get, post};

use super::Endpoint;
use crate::http::story::examples;
use crate::http::{receipts, story};
use crate::story::{
    AgenticModifyRequest, ChapterOutlineRequest, CharacterDetailsRequest, CharacterFeedbackRequest,
    ConversationRequest, EditorReviewRequest, FleshOutRequest, GenerateChapterRequest,
    ModifyChapterRequest, PanelRequest, RaterFeedbackRequest, RegenerateBioRequest,
};

const STORY: &str = "story";

const GENERATION_ERRORS: &[u16] = &[400, 413, 422, 429, 500, 502, 503, 504];

pub(super) const ROWS: &[Endpoint] = &[
    Endpoint::new("post", "{api}/generate-chapter", STORY, || {
        post(story::job::<GenerateChapterRequest>)
    })
    .about("Write a chapter from a structured context")
    .takes("GenerateChapterRequest", examples::CHAPTER)
    .answers("GenerateChapterResponse")
    .streams("GenerateChapterEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/modify-chapter", STORY, || {
        post(story::job::<ModifyChapterRequest>)
    })
    .about("Rewrite a chapter as asked, and leave the rest as it is")
    .takes("ModifyChapterRequest", examples::MODIFY)
    .answers("ModifyChapterResponse")
    .streams("ModifyChapterEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/agentic-modify-chapter", STORY, || {
        post(story::job::<AgenticModifyRequest>)
    })
    .about("Rewrite a chapter until its editor is satisfied; keeps the best")
    .takes("AgenticModifyRequest", examples::AGENTIC)
    .answers("AgenticModifyResponse")
    .streams("AgenticModifyEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/character-feedback", STORY, || {
        post(story::job::<CharacterFeedbackRequest>)
    })
    .about("A character's reaction, from what it can know")
    .takes("CharacterFeedbackRequest", examples::CHARACTER)
    .answers("CharacterFeedbackResponse")
    .streams("CharacterFeedbackEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/character-feedback/structured", STORY, || {
        post(story::job::<CharacterFeedbackRequest>)
    })
    .about("The same as /character-feedback")
    .takes("CharacterFeedbackRequest", examples::CHARACTER)
    .answers("CharacterFeedbackResponse")
    .streams("CharacterFeedbackEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/editor-review", STORY, || post(story::job::<EditorReviewRequest>))
        .about("Review a chapter")
        .takes("EditorReviewRequest", examples::REVIEW)
        .answers("EditorReviewResponse")
        .streams("EditorReviewEvent")
        .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/rater-feedback", STORY, || {
        post(story::rating::<RaterFeedbackRequest>)
    })
    .about("Rate a text, with quotes that exist in it")
    .takes("RaterFeedbackRequest", examples::RATING)
    .answers("RaterFeedbackResponse")
    .streams("RaterFeedbackEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/rater-feedback/stream", STORY, || {
        post(story::rating::<RaterFeedbackRequest>)
    })
    .about("The same as /rater-feedback")
    .takes("RaterFeedbackRequest", examples::RATING)
    .answers("RaterFeedbackResponse")
    .streams("RaterFeedbackEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/panel", STORY, || post(story::job::<PanelRequest>))
        .about("One chapter, read by any number of editors, raters and characters")
        .takes("PanelRequest", examples::PANEL)
        .answers("PanelResponse")
        .streams("PanelEvent")
        .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/flesh-out", STORY, || post(story::job::<FleshOutRequest>))
        .about("Tell a sketch in full")
        .takes("FleshOutRequest", examples::FLESH_OUT)
        .answers("FleshOutResponse")
        .streams("FleshOutEvent")
        .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/generate-character-details", STORY, || {
        post(story::job::<CharacterDetailsRequest>)
    })
    .about("Fill in a character's sheet from its biography")
    .takes("CharacterDetailsRequest", examples::DETAILS)
    .answers("CharacterDetailsResponse")
    .streams("CharacterDetailsEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/regenerate-bio", STORY, || {
        post(story::job::<RegenerateBioRequest>)
    })
    .about("Write a character's biography from its sheet")
    .takes("RegenerateBioRequest", examples::BIO)
    .answers("RegenerateBioResponse")
    .streams("RegenerateBioEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/generate-chapter-outlines", STORY, || {
        post(story::job_in_json::<ChapterOutlineRequest>)
    })
    .about("Divide a story into chapters; one JSON object, or events where asked for")
    .takes("ChapterOutlineRequest", examples::OUTLINES)
    .answers("ChapterOutlineResponse")
    .streams("ChapterOutlineEvent")
    .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/chat/llm", STORY, || post(story::job::<ConversationRequest>))
        .about("Talk with an agent about the story")
        .takes("ConversationRequest", examples::CONVERSATION)
        .answers("ConversationResponse")
        .streams("ConversationEvent")
        .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/llm-chat", STORY, || post(story::job::<ConversationRequest>))
        .about("The same as /chat/llm")
        .takes("ConversationRequest", examples::CONVERSATION)
        .answers("ConversationResponse")
        .streams("ConversationEvent")
        .fails(GENERATION_ERRORS),
    Endpoint::new("post", "{api}/validate/phase-transition", STORY, || {
        post(story::phase_transition)
    })
    .about("Whether a phase of writing is done well enough to go on")
    .takes("PhaseTransitionRequest", examples::TRANSITION)
    .answers("PhaseTransitionResponse")
    .fails(&[400, 413, 422]),
    Endpoint::new("post", "{api}/context/preview", STORY, || post(story::preview))
        .about("What an agent would see in windows of several sizes; no model is asked")
        .takes("PreviewRequest", examples::PREVIEW)
        .answers("PreviewResponse")
        .fails(&[413, 422, 503]),
    Endpoint::new("get", "{api}/receipts/{id}", STORY, || get(receipts::find))
        .about("What a prompt was made of, and why")
        .answers("Receipt")
        .fails(&[404, 503]),
];
