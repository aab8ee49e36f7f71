//! `POST /validate/phase-transition`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::story::{PhaseTransitionRequest, PhaseTransitionResponse, StoryService};

pub(in crate::http) async fn phase_transition(
    State(story): State<Arc<StoryService>>,
    JsonBody(request): JsonBody<PhaseTransitionRequest>,
) -> Result<Json<PhaseTransitionResponse>, ApiError> {
    Ok(Json(story.judge_transition(&request)?))
}
