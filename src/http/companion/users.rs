//! What is known of a user, their figures, and the end of their account.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::Own;
use super::wire::{
    AccountDeletion, Deleted, UserFactChange, UserFactRequest, UserFactView, UserFacts,
    UserMemories, UserMemoryChange, UserMemoryView, UserStats,
};
use crate::account::AccountError;
use crate::companion::Tier;
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::http::limits::{Guessed, Sender};
use crate::http::parameters::{Parameters, wrong};

pub(in crate::http) async fn facts(
    own: Own,
    parameters: Parameters,
) -> Result<Json<UserFacts>, ApiError> {
    let with_superseded = parameters.flag("superseded")?;
    let facts = own.companions.facts(own.user, with_superseded).await?;
    Ok(Json(UserFacts { facts: facts.into_iter().map(Into::into).collect() }))
}

pub(in crate::http) async fn add_fact(
    own: Own,
    JsonBody(request): JsonBody<UserFactRequest>,
) -> Result<(StatusCode, Json<UserFactView>), ApiError> {
    let fact = own.companions.add_fact(own.user, request.kind, request.value).await?;
    Ok((StatusCode::CREATED, Json(fact.into())))
}

pub(in crate::http) async fn change_fact(
    own: Own,
    JsonBody(change): JsonBody<UserFactChange>,
) -> Result<Json<UserFactView>, ApiError> {
    let id = own.number("fact")?;
    Ok(Json(own.companions.correct_fact(own.user, id, change.value).await?.into()))
}

pub(in crate::http) async fn delete_fact(own: Own) -> Result<Json<Deleted>, ApiError> {
    own.companions.forget_fact(own.user, own.number("fact")?).await?;
    Ok(Json(Deleted { deleted: true }))
}

pub(in crate::http) async fn memories(
    own: Own,
    parameters: Parameters,
) -> Result<Json<UserMemories>, ApiError> {
    let page = parameters.page()?;
    let tier = match parameters.text("tier") {
        None => None,
        Some(name) => Some(
            Tier::named(name).ok_or_else(|| wrong(&["tier"], "must be episodic or semantic"))?,
        ),
    };
    let (memories, total) = own.companions.memories(own.user, tier, page).await?;
    Ok(Json(UserMemories {
        memories: memories.into_iter().map(Into::into).collect(),
        total,
        offset: page.offset,
        limit: page.limit,
    }))
}

pub(in crate::http) async fn change_memory(
    own: Own,
    JsonBody(change): JsonBody<UserMemoryChange>,
) -> Result<Json<UserMemoryView>, ApiError> {
    let id = own.number("memory")?;
    Ok(Json(own.companions.correct_memory(own.user, id, change.text).await?.into()))
}

pub(in crate::http) async fn delete_memory_of_user(own: Own) -> Result<Json<Deleted>, ApiError> {
    own.companions.forget_memory(own.user, own.number("memory")?).await?;
    Ok(Json(Deleted { deleted: true }))
}

pub(in crate::http) async fn stats(own: Own) -> Result<Json<UserStats>, ApiError> {
    Ok(Json(own.companions.stats(own.user).await?.into()))
}

/// Deletes the account and everything of the user, who says so with the password.
pub(in crate::http) async fn delete_account(
    State(state): State<AppState>,
    own: Own,
    from: Sender,
    JsonBody(request): JsonBody<AccountDeletion>,
) -> Result<Json<Deleted>, ApiError> {
    if let Some(accounts) = &state.accounts {
        // A stolen token is no way to guess the password.
        let whose = Guessed::Account(own.user);
        state.limits.of_password(&whose, &from)?;
        let confirmed = accounts.confirm(own.user, request.password).await;
        if !matches!(confirmed, Err(AccountError::WrongPassword)) {
            state.limits.was_not_wrong(&whose, &from);
        }
        confirmed?;
    }
    own.companions.delete_user(own.user).await?;
    Ok(Json(Deleted { deleted: true }))
}
