//! The documentation pages. Swagger UI's files are part of the binary, so they need no network.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_swagger_ui::{Config, serve};

use super::error::{ApiError, Code};
use super::openapi;

/// `/docs` and the OpenAPI document.
pub(super) fn pages<S: Clone + Send + Sync + 'static>(api_prefix: &str) -> Router<S> {
    let document_path = format!("{api_prefix}/openapi.json");
    let config = Arc::new(Config::from(document_path.clone()));
    let document: Arc<str> = openapi::document(api_prefix).to_string().into();
    let index = Arc::clone(&config);
    Router::new()
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async move || file("", &index)))
        .route("/docs/{*file}", get(async move |Path(path): Path<String>| file(&path, &config)))
        .route(
            &document_path,
            get(async move || ([(header::CONTENT_TYPE, "application/json")], document.to_string())),
        )
}

fn file(path: &str, config: &Arc<Config<'static>>) -> Response {
    match serve(path, Arc::clone(config)) {
        Ok(Some(file)) => {
            ([(header::CONTENT_TYPE, file.content_type)], file.bytes.to_vec()).into_response()
        }
        Ok(None) => ApiError::new(Code::NotFound, "there is no such page").into_response(),
        Err(error) => ApiError::internal(error).into_response(),
    }
}
