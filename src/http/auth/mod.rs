//! `{api}/auth` and `{api}/users/profile`: accounts over HTTP, and the extractor that says who asks.
//! A route that takes [`Signed`] answers only to who is logged in.

pub(super) mod examples;
mod logins;
mod profile;
pub(super) mod wire;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

pub(super) use self::logins::{login, logout, me, refresh, register};
pub(super) use self::profile::{change_profile, profile};
use super::AppState;
use super::error::{ApiError, Code};
use crate::account::{Accounts, SignedIn};

/// Who sent a request: somebody whose login holds, within their share of requests.
pub(super) struct Signed(pub(super) SignedIn);

impl FromRequestParts<AppState> for Signed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let HasAccounts(accounts) = HasAccounts::from_request_parts(parts, state).await?;
        let token = bearer(&parts.headers).ok_or_else(|| {
            ApiError::new(
                Code::Unauthorized,
                "this needs a login: send `Authorization: Bearer` with an access token from \
                 /auth/login",
            )
        })?;
        let who = accounts.signed_in(token).await?;
        state.limits.of_account(who.user)?;
        Ok(Self(who))
    }
}

/// Accounts, where the server has a database.
pub(super) struct HasAccounts(pub(super) Accounts);

impl FromRequestParts<AppState> for HasAccounts {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        state.accounts.clone().map(Self).ok_or_else(|| {
            ApiError::new(
                Code::MemoryOff,
                "this server runs without a database and has no accounts",
            )
        })
    }
}

/// The token or key of `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
