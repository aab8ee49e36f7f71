//! Which session a request is of: by its path, its headers, `user`, or the model's name. Otherwise the
//! messages tell.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::sampling::wrong;
use crate::http::error::ApiError;

/// Longest name of a session, in bytes.
pub(in super::super) const LONGEST_NAME: usize = 1_000;
const HEADERS: [&str; 2] = ["x-session-id", "x-session-affinity"];

/// What path and headers say.
pub(in super::super) struct SaidOutside {
    session: Option<String>,
    /// `X-Memory`: what the client wants of memory.
    pub(super) memory: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for SaidOutside {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        // Routes without a session have no such parameter.
        let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let parameters = path.map(|Path(parameters)| parameters).unwrap_or_default();
        let in_path = parameters.into_iter().find(|(name, _)| name == "session");
        let header = |name: &str| {
            let value = parts.headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let session = in_path.map(|(_, session)| session);
        let session = session.or_else(|| HEADERS.into_iter().find_map(header));
        Ok(Self { session, memory: header("x-memory") })
    }
}

impl SaidOutside {
    /// The session's name, if there is one.
    pub(super) fn session(
        self,
        user: Option<String>,
        model: Option<&str>,
    ) -> Result<Option<String>, ApiError> {
        let alias = model.and_then(|model| model.rsplit_once('@')).map(|(_, name)| name.to_owned());
        let names = [self.session, user, alias];
        let name = names.into_iter().flatten().find(|name| !name.trim().is_empty());
        match name {
            Some(name) if name.len() > LONGEST_NAME => Err(wrong(
                "session",
                format!(
                    "the session's name has {} bytes, and {LONGEST_NAME} is the most; send a shorter one",
                    name.len()
                ),
            )),
            name => Ok(name),
        }
    }
}
