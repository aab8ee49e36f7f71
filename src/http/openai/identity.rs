//! Which session a request is of: by its path, its headers, `user`, or the model's name. Otherwise the
//! messages tell.

use std::fmt::Write as _;

use axum::extract::FromRequestParts;
use axum::http::HeaderValue;
use axum::http::request::Parts;

use super::sampling::wrong;
use crate::http::error::ApiError;
use crate::http::extract::PathNames;
use crate::memory::is_private;

/// Longest name of a session, in bytes.
const LONGEST_NAME: usize = 1_000;
const HEADERS: [&str; 2] = ["x-session-id", "x-session-affinity"];

/// What path and headers say.
pub(in super::super) struct SaidOutside {
    session: Option<String>,
    /// `X-Memory`: what the client wants of memory.
    pub(super) memory: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for SaidOutside {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let in_path = PathNames::from_request_parts(parts, state).await?.take("session");
        let header = |name: &str| parts.headers.get(name).map(text_of);
        let session = in_path.or_else(|| HEADERS.into_iter().find_map(header));
        Ok(Self { session, memory: header("x-memory") })
    }
}

impl SaidOutside {
    /// The session's name, if there is one. `alias` is what stands behind the model's name.
    pub(super) fn session(
        self,
        user: Option<String>,
        alias: Option<&str>,
    ) -> Result<Option<String>, ApiError> {
        let alias = alias.map(str::to_owned);
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
            Some(name) if is_private(&name) => Err(wrong(
                "session",
                "this name belongs to somebody's own conversation, which is reached with their account alone; choose another",
            )),
            name => Ok(name),
        }
    }
}

/// The session or persona in `model@session`, where `own` is what the engine's model is called. Either
/// may hold more of these signs.
pub(super) fn alias<'a>(asked: &'a str, own: &str) -> Option<&'a str> {
    if asked == own {
        return None;
    }
    let after_own = asked.strip_prefix(own).and_then(|rest| rest.strip_prefix('@'));
    let after_any = || asked.split_once('@').filter(|(model, _)| !model.is_empty());
    after_own.or_else(|| after_any().map(|(_, session)| session))
}

/// A header's text: UTF-8, or what older clients send, Latin-1.
fn text_of(value: &HeaderValue) -> String {
    let bytes = value.as_bytes();
    str::from_utf8(bytes)
        .map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

/// A session's name as a header's value: percent-encoded but for ASCII's printable characters without
/// `%`, and so fit for a path too, where it holds no slash.
pub(super) fn header_of(session: &str) -> String {
    session.bytes().fold(String::new(), |mut value, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => value.push(char::from(byte)),
            // Writing to a string can't fail.
            _ => _ = write!(value, "%{byte:02X}"),
        }
        value
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_with_an_at_sign_names_no_session() {
        for own in ["@cf/meta/llama-3.1-8b-instruct", "claude-3-5-sonnet@20241022", "llama"] {
            assert_eq!(alias(own, own), None);
            assert_eq!(alias(&format!("{own}@mira@example.org"), own), Some("mira@example.org"));
        }
        assert_eq!(alias("@cf/meta/llama", "other"), None);
        assert_eq!(alias("any", "other"), None);
        assert_eq!(alias("any@mira@example.org", "other"), Some("mira@example.org"));
    }

    #[test]
    fn names_in_latin_1_stay_apart() {
        let text = |bytes: &[u8]| text_of(&HeaderValue::from_bytes(bytes).unwrap());
        assert_eq!(text(b"Zo\xeb"), "Zoë");
        assert_eq!(text(b"Zo\xe9"), "Zoé");
        assert_eq!(text("Zoë".as_bytes()), "Zoë");
    }

    #[test]
    fn a_name_in_a_header_can_be_read_back() {
        assert_eq!(header_of("an evening/with-aria@home"), "an evening/with-aria@home");
        assert_eq!(header_of("Zoë\n100%"), "Zo%C3%AB%0A100%25");
    }
}
