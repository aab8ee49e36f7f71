//! What users tell of themselves.

use axum::Json;

use super::wire::{UserProfile, UserProfileChange};
use super::{HasAccounts, Signed};
use crate::http::error::ApiError;
use crate::http::extract::JsonBody;

pub(in super::super) async fn profile(
    HasAccounts(accounts): HasAccounts,
    Signed(who): Signed,
) -> Result<Json<UserProfile>, ApiError> {
    Ok(Json(accounts.profile(who.user).await?.into()))
}

pub(in super::super) async fn change_profile(
    HasAccounts(accounts): HasAccounts,
    Signed(who): Signed,
    JsonBody(change): JsonBody<UserProfileChange>,
) -> Result<Json<UserProfile>, ApiError> {
    Ok(Json(accounts.set_profile(who.user, change.into()).await?.into()))
}
