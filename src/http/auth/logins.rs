//! Registering, logging in and out, and who one is.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::wire::{
    AccountUser, LoggedOut, LoginRequest, LoginTokens, RefreshRequest, RegisterRequest,
};
use super::{HasAccounts, Signed};
use crate::account::{AccountError, Credentials, LoginName, Registration};
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;
use crate::http::limits::{Guessed, Limits, Sender};

pub(in super::super) async fn register(
    HasAccounts(accounts): HasAccounts,
    JsonBody(request): JsonBody<RegisterRequest>,
) -> Result<(StatusCode, Json<LoginTokens>), ApiError> {
    let RegisterRequest { email, username, password, full_name } = request;
    let registration = Registration { email, username, password, full_name };
    let tokens = accounts.register(registration).await?;
    Ok((StatusCode::CREATED, Json(tokens.into())))
}

pub(in super::super) async fn login(
    HasAccounts(accounts): HasAccounts,
    State(limits): State<Limits>,
    from: Sender,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Json<LoginTokens>, ApiError> {
    let name = match (request.email, request.username) {
        (Some(email), _) => LoginName::Email(email),
        (None, Some(username)) => LoginName::Username(username),
        (None, None) => return Err(super::wire::nameless()),
    };
    // Email address and username of an account are one name.
    let whose = match accounts.named(name.clone()).await? {
        Some(user) => Guessed::Account(user),
        None => Guessed::nobody(&name.canonical()),
    };
    limits.of_password(&whose, &from)?;
    let credentials = Credentials { name, password: request.password };
    let tokens = accounts.login(credentials).await;
    if !matches!(tokens, Err(AccountError::WrongCredentials)) {
        limits.was_not_wrong(&whose, &from);
    }
    Ok(Json(tokens?.into()))
}

pub(in super::super) async fn refresh(
    HasAccounts(accounts): HasAccounts,
    JsonBody(request): JsonBody<RefreshRequest>,
) -> Result<Json<LoginTokens>, ApiError> {
    Ok(Json(accounts.refresh(&request.refresh_token).await?.into()))
}

pub(in super::super) async fn logout(
    HasAccounts(accounts): HasAccounts,
    Signed(who): Signed,
) -> Result<Json<LoggedOut>, ApiError> {
    accounts.logout(&who).await?;
    Ok(Json(LoggedOut { logged_out: true }))
}

pub(in super::super) async fn me(
    HasAccounts(accounts): HasAccounts,
    Signed(who): Signed,
) -> Result<Json<AccountUser>, ApiError> {
    match accounts.user(who.user).await {
        // Deleted since the token was looked at.
        Err(AccountError::NoUser) => Err(super::wire::gone()),
        user => Ok(Json(user?.into())),
    }
}
