//! `POST /context/preview`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::story::{PreviewRequest, PreviewResponse, StoryService};

pub(in crate::http) async fn preview(
    State(story): State<Arc<StoryService>>,
    JsonBody(request): JsonBody<PreviewRequest>,
) -> Result<Json<PreviewResponse>, ApiError> {
    Ok(Json(story.preview(request).await?))
}
