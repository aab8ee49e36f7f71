//! A user's conversations.

use axum::Json;
use axum::http::StatusCode;

use super::Own;
use super::wire::{
    ConversationChangeRequest, ConversationList, ConversationMessages, ConversationView, Deleted,
};
use crate::companion::ConversationChange;
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::http::parameters::Parameters;

pub(in crate::http) async fn conversations(
    own: Own,
    parameters: Parameters,
) -> Result<Json<ConversationList>, ApiError> {
    let page = parameters.page()?;
    let (conversations, total) = own.companions.conversations(own.user, page).await?;
    Ok(Json(ConversationList {
        conversations: conversations.into_iter().map(Into::into).collect(),
        total,
        offset: page.offset,
        limit: page.limit,
    }))
}

pub(in crate::http) async fn messages(
    own: Own,
    parameters: Parameters,
) -> Result<Json<ConversationMessages>, ApiError> {
    let page = parameters.page()?;
    let (conversation, view) = own.companions.messages(own.user, own.id, page).await?;
    Ok(Json(ConversationMessages::new(conversation, view)))
}

pub(in crate::http) async fn change_conversation(
    own: Own,
    JsonBody(request): JsonBody<ConversationChangeRequest>,
) -> Result<Json<ConversationView>, ApiError> {
    let change = ConversationChange { persona: request.personality, title: request.title };
    let changed = own.companions.change_conversation(own.user, own.id, change).await?;
    Ok(Json(changed.into()))
}

pub(in crate::http) async fn delete_conversation(
    own: Own,
    parameters: Parameters,
) -> Result<(StatusCode, Json<Deleted>), ApiError> {
    let forgets = parameters.flag("forget")?;
    own.companions.delete_conversation(own.user, own.id, forgets).await?;
    Ok((StatusCode::OK, Json(Deleted { deleted: true })))
}
