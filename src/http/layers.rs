//! What surrounds every route: the log line of a request, errors rendered and logged once, CORS
//! and origins, size limit, panics turned into errors.

use std::any::Any;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::HttpSettings;
use super::error::{ApiError, Code, SHOULD_RETRY, Style};
use super::openai::{MEMORY, RECEIPT, SESSION};
use super::origins::{self, Origins};
use crate::engine::milliseconds;
use crate::metrics::Metrics;

/// All layers; the last one added is the outermost.
pub(super) fn wrap(router: Router, settings: &HttpSettings, metrics: Metrics) -> Router {
    router
        .fallback(async || ApiError::new(Code::NotFound, "there is no such path; see /docs"))
        .method_not_allowed_fallback(async || {
            ApiError::new(Code::MethodNotAllowed, "this path takes another method; see /docs")
        })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(settings.max_request_bytes))
        .layer(from_fn_with_state(Origins::new(&settings.cors_origins), origins::checked))
        .layer(from_fn_with_state(settings.debug, render_other_errors))
        .layer(cors(&settings.cors_origins))
        .layer(from_fn_with_state(metrics, log_requests))
}

/// Writes the body of an [`ApiError`] in a route group's style. The innermost group's style wins.
pub(super) async fn render_errors(
    State((style, debug)): State<(Style, bool)>,
    request: Request,
    next: Next,
) -> Response {
    rendered(next.run(request).await, style, debug)
}

/// Does the same for errors made outside every group: paths and methods that aren't there, panics.
async fn render_other_errors(State(debug): State<bool>, request: Request, next: Next) -> Response {
    let style = style_below(request.uri().path());
    rendered(next.run(request).await, style, debug)
}

/// The style that clients of this path read.
fn style_below(path: &str) -> Style {
    let in_session = path.strip_prefix("/s/").and_then(|rest| rest.split_once('/'));
    let path = in_session.map_or(path, |(_, rest)| rest).trim_start_matches('/');
    if path.split('/').next() == Some("v1") { Style::OpenAi } else { Style::Problem }
}

fn rendered(mut response: Response, style: Style, debug: bool) -> Response {
    if response.extensions().get::<Rendered>().is_some() {
        return response;
    }
    let Some(error) = response.extensions().get::<ApiError>() else {
        return response;
    };
    let body = error.body(style, debug).to_string();
    let status = error.status(style);
    let content_type = match style {
        Style::Problem => "application/problem+json",
        Style::Tokens | Style::OpenAi => "application/json",
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.remove(header::CONTENT_LENGTH);
    response.extensions_mut().insert(Rendered);
    *response.body_mut() = Body::from(body);
    response
}

#[derive(Clone)]
struct Rendered;

/// One line a request, when its head is answered; a stream goes on after it.
async fn log_requests(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let duration_ms = milliseconds(started.elapsed());
    match response.extensions().get::<ApiError>() {
        None => tracing::debug!(%method, path, status, duration_ms, "{method} {path}: {status}"),
        Some(error) => {
            error.record(&format!("{method} {path}"), Some(duration_ms), &metrics);
        }
    }
    response
}

fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        // A literal `*` is not allowed together with credentials.
        AllowOrigin::mirror_request()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([RECEIPT, MEMORY, SESSION, SHOULD_RETRY, header::RETRY_AFTER])
        .allow_credentials(true)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    ApiError::internal(message).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::routing::get;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::http::ApiKeys;

    #[test]
    fn a_path_below_v1_is_openais_with_and_without_a_session() {
        for path in ["/v1", "/v1/", "/v1/responses", "/s/a%2Fb/v1/models/x/y", "/s//v1/chat"] {
            assert_eq!(style_below(path), Style::OpenAi, "{path}");
        }
        for path in ["/", "/v10", "/api/v1/panel", "/s/v1", "/s/a/b/v1", "/V1/models"] {
            assert_eq!(style_below(path), Style::Problem, "{path}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_told_as_the_path_s_clients_read_it() {
        let settings = HttpSettings {
            api_prefix: "/api/v1".to_owned(),
            cors_origins: Vec::new(),
            max_request_bytes: 1024,
            debug: false,
            keys: ApiKeys::default(),
        };
        let panics = || get(async || -> () { panic!("a fault") });
        let router = Router::new().route("/v1/models", panics()).route("/health", panics());
        let router = wrap(router, &settings, Metrics::new().unwrap());
        for (path, pointer) in [("/v1/models", "/error/message"), ("/health", "/detail")] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 500);
            let body = to_bytes(response.into_body(), 10_000).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert!(body.pointer(pointer).is_some_and(Value::is_string), "{body}");
        }
    }
}
