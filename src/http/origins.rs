//! Which web pages may use the server. A browser sends a page's requests to any address, this machine's
//! own among them, and CORS only keeps the page from reading the answer; a WebSocket it doesn't even
//! hold back. A browser always names the page's origin there; other clients send none, and pass.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::{ApiError, Code};

/// Origins whose pages may do more than look: those of the setting, and the server's own.
#[derive(Clone)]
pub(super) struct Origins(Arc<[String]>);

impl Origins {
    /// Of `CORS_ORIGINS`; `*` is any.
    pub(super) fn new(list: &[String]) -> Self {
        Self(list.into())
    }

    fn let_in(&self, request: &Request) -> bool {
        let headers = request.headers();
        let is_upgrade = headers.contains_key(header::UPGRADE);
        let looks = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let Some(origin) = headers.get(header::ORIGIN).filter(|_| is_upgrade || !looks) else {
            return true;
        };
        let origin = origin.to_str().unwrap_or_default();
        let is_listed = self.0.iter().any(|known| known == "*" || known == origin);
        is_listed || is_own(origin, request)
    }
}

/// Whether the page came from here. The scheme doesn't matter: a proxy may have added TLS.
fn is_own(origin: &str, request: &Request) -> bool {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = named.or_else(|| request.uri().authority().map(Authority::as_str));
    let place = origin.split_once("://").map(|(_, place)| place);
    place.zip(host).is_some_and(|(place, host)| place.eq_ignore_ascii_case(host))
}

/// Refuses what a page of another origin would change.
pub(super) async fn checked(
    State(origins): State<Origins>,
    request: Request,
    next: Next,
) -> Response {
    if origins.let_in(&request) {
        return next.run(request).await;
    }
    let detail = "this web page may not use the server: if it should, add its origin (such as \
                  http://localhost:4200) to CORS_ORIGINS and start the server again";
    ApiError::new(Code::Forbidden, detail).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn is_let_in(list: &[&str], method: &str, headers: &[(&str, &str)]) -> bool {
        let list: Vec<_> = list.iter().map(|it| (*it).to_owned()).collect();
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Origins::new(&list).let_in(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn pages_of_other_origins_change_nothing_and_open_no_socket() {
        let host = ("host", "localhost:8000");
        let known = ["http://localhost:4200"];
        let upgrade = ("upgrade", "websocket");
        for origin in ["http://localhost:4200", "http://localhost:8000", "https://LOCALHOST:8000"] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "GET"] {
                assert!(
                    is_let_in(&known, method, &[host, ("origin", origin)]),
                    "{method} {origin}"
                );
            }
            assert!(is_let_in(&known, "GET", &[host, ("origin", origin), upgrade]));
        }
        for origin in ["http://evil.example", "http://localhost", "null", "", "localhost:8000"] {
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let headers = [host, ("origin", origin)];
                assert!(!is_let_in(&known, method, &headers), "{method} {origin}");
                assert!(is_let_in(&["*"], method, &headers), "{method} {origin}");
            }
            assert!(!is_let_in(&known, "GET", &[host, ("origin", origin), upgrade]));
            assert!(is_let_in(&known, "GET", &[host, ("origin", origin)]));
            assert!(is_let_in(&known, "OPTIONS", &[host, ("origin", origin)]));
        }
        assert!(is_let_in(&known, "POST", &[host]), "no page sends it");
    }
}
