//! The server's keys: where there are any, routes that no account guards answer only to who sends one.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::auth::bearer;
use super::error::{ApiError, Code};

const HEADER: &str = "x-api-key";

/// The keys, as digests: of equal length, so that a comparison tells nothing of them.
#[derive(Clone, Default)]
pub struct ApiKeys(Arc<[[u8; 32]]>);

/// Marks a request that was made in this process; none from outside can carry it.
#[derive(Clone, Copy, Debug)]
pub struct InProcess;

/// Marks a request whose `Authorization: Bearer` is one of the server's keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServersKey;

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

impl ApiKeys {
    /// Of a list separated by commas.
    pub fn of_list(list: &str) -> Self {
        let keys = list.split(',').map(str::trim).filter(|key| !key.is_empty());
        Self(keys.map(digest).collect())
    }

    /// Whether everybody is let in.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes as long for each key, whichever it is.
    fn hold(&self, key: &str) -> bool {
        let sent = digest(key);
        let found = self.0.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(&sent));
        found.into()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Lets through who sends a key, and what this process asks of itself.
pub(super) async fn required(
    State(keys): State<ApiKeys>,
    mut request: Request,
    next: Next,
) -> Response {
    if bearer(request.headers()).is_some_and(|key| keys.hold(key)) {
        request.extensions_mut().insert(ServersKey);
    }
    let in_process = request.extensions().get::<InProcess>().is_some();
    if keys.is_empty() || in_process || sent(&request).iter().any(|key| keys.hold(key)) {
        return next.run(request).await;
    }
    let detail = "this server wants a key: send one of its API_KEYS as `Authorization: Bearer`, or \
                  as `X-API-Key`";
    ApiError::new(Code::Unauthorized, detail).into_response()
}

/// The keys that a request brings.
fn sent(request: &Request) -> Vec<String> {
    let headers = request.headers();
    let own = headers.get(HEADER).and_then(|value| value.to_str().ok());
    let mut keys: Vec<_> =
        [bearer(headers), own].into_iter().flatten().map(str::to_owned).collect();
    // A page's WebSocket can't set headers.
    if is_upgrade(headers)
        && let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
    {
        keys.extend(pairs.into_iter().filter(|(name, _)| name == "api_key").map(|(_, key)| key));
    }
    keys
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::request::Builder;

    use super::*;

    fn is_let_in(request: Builder) -> bool {
        let keys = ApiKeys::of_list("first-key-of-two-keys, second-key-of-two-keys,");
        sent(&request.body(Body::empty()).unwrap()).iter().any(|key| keys.hold(key))
    }

    #[test]
    fn each_of_the_keys_opens_and_nothing_else_does() {
        for key in ["first-key-of-two-keys", "second-key-of-two-keys"] {
            for scheme in ["Bearer ", "bearer ", "BEARER  "] {
                let request = Request::get("/").header("authorization", format!("{scheme}{key}"));
                assert!(is_let_in(request), "{scheme}{key}");
            }
            assert!(is_let_in(Request::get("/").header(HEADER, key)));
            let socket = Request::get(format!("/?api_key={key}")).header("upgrade", "WebSocket");
            assert!(is_let_in(socket));
            assert!(!is_let_in(Request::get(format!("/?api_key={key}"))));
            assert!(!is_let_in(Request::get("/").header("authorization", format!("Basic {key}"))));
        }
        for key in ["", "null", "undefined", "first-key-of-two-key", "first-key-of-two-keys,"] {
            assert!(!is_let_in(Request::get("/").header(HEADER, key)), "{key}");
        }
        assert!(!is_let_in(Request::get("/")));
        assert_eq!(format!("{:?}", ApiKeys::of_list("first-key-of-two-keys")), "ApiKeys(1)");
    }
}
