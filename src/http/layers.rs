//! What surrounds every route: the log line of a request, errors rendered and logged once, CORS,
//! size limit, panics turned into errors.

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
use super::error::{ApiError, Code, Style};
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
        .layer(from_fn_with_state((Style::Problem, settings.debug), render_errors))
        .layer(cors(&settings.cors_origins))
        .layer(from_fn_with_state(metrics, log_requests))
}

/// Writes the body of an [`ApiError`] in a route group's style. The innermost group's style wins.
pub(super) async fn render_errors(
    State((style, debug)): State<(Style, bool)>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
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
            metrics.errors.with_label_values(&[error.code.name()]).inc();
            error.log(&format!("{method} {path}"), Some(duration_ms));
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
