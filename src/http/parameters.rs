//! What stands after the question mark of a request.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::error::{ApiError, Code, FaultKind, FieldFault};
use crate::companion::Page;

/// Items of a page, where the request doesn't say.
const USUAL_LIMIT: usize = 50;
const MOST: usize = 200;

/// What stands after the question mark.
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(pairs) = query.map_err(|_| {
            ApiError::new(Code::BadRequest, "what follows the question mark can't be read")
        })?;
        Ok(Self(pairs))
    }
}

impl Parameters {
    pub(super) fn page(&self) -> Result<Page, ApiError> {
        let number = |size| u32::try_from(size).unwrap_or(u32::MAX);
        Ok(Page { offset: number(self.offset()?), limit: number(self.limit()?) })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn offset(&self) -> Result<usize, ApiError> {
        let offset = self.text("offset").map_or(Ok(0), str::parse::<u32>);
        let offset = offset.map_err(|_| wrong(&["offset"], "must be a number from 0 on"))?;
        Ok(offset as usize)
    }

    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.text("limit").map_or(Ok(USUAL_LIMIT), str::parse);
        limit
            .ok()
            .filter(|limit| (1..=MOST).contains(limit))
            .ok_or_else(|| wrong(&["limit"], format!("must be a number from 1 to {MOST}")))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, ApiError> {
        let flag = self.text(name).map_or(Ok(false), str::parse);
        flag.map_err(|_| wrong(&[name], "must be true or false"))
    }
}

/// A value of the request that can't be taken.
pub(super) fn wrong(path: &[&str], message: impl Into<String>) -> ApiError {
    let path = path.iter().map(|step| (*step).into()).collect();
    ApiError::invalid(vec![FieldFault { path, message: message.into(), kind: FaultKind::Wrong }])
}
