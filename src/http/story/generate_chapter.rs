//! `POST /generate-chapter`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::http::Lifecycle;
use crate::http::answer::{Wanted, answer};
use crate::http::client::Client;
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::story::StoryService;
use crate::story::generate_chapter::GenerateChapterRequest;

pub(in crate::http) async fn generate_chapter(
    State(story): State<Arc<StoryService>>,
    State(lifecycle): State<Lifecycle>,
    Client(client): Client,
    wanted: Wanted,
    JsonBody(request): JsonBody<GenerateChapterRequest>,
) -> Result<Response, ApiError> {
    let chapter = story.generate_chapter(request, client).await?;
    answer(chapter.write(), wanted, &lifecycle).await
}
