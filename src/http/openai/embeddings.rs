//! `POST /v1/embeddings`: the server's sentence embedder.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::sampling::wrong;
use super::wire::{
    EmbeddingEntry, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, EncodingFormat, Prompt,
    Vector,
};
use crate::embedding::Embedder;
use crate::http::error::{ApiError, Code};
use crate::http::extract::JsonBody;
use crate::tokens::{Estimate, TokenCounter as _};

/// Most texts of one request.
const MOST_TEXTS: usize = 2_048;

pub(in super::super) async fn embeddings(
    State(embedder): State<Arc<dyn Embedder>>,
    JsonBody(request): JsonBody<EmbeddingRequest>,
) -> Result<Json<EmbeddingResponse>, ApiError> {
    let texts = match request.input {
        Prompt::One(text) => vec![text],
        Prompt::Several(texts) => texts,
    };
    if texts.is_empty() || texts.len() > MOST_TEXTS {
        return Err(wrong("input", format!("between 1 and {MOST_TEXTS} texts can be sent")));
    }
    let is_base64 = request.encoding_format == Some(EncodingFormat::Base64);
    let wanted = request.dimensions;
    let work = move || {
        let refs: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = embedder
            .embed(&refs)
            .map_err(|error| ApiError::new(Code::LlmNotAvailable, error.to_string()))?;
        let dimensions = embedder.dimensions();
        if wanted.is_some_and(|wanted| wanted != dimensions) {
            return Err(wrong("dimensions", format!("the embedder has {dimensions}")));
        }
        // The embedder doesn't tell its own count.
        let tokens = texts.iter().map(|text| Estimate.count(text).get()).sum();
        let entry = |(index, vector): (usize, Vec<f32>)| EmbeddingEntry {
            object: "embedding",
            index,
            embedding: if is_base64 { base64(&vector) } else { Vector::Floats(vector) },
        };
        Ok(EmbeddingResponse {
            object: "list",
            data: vectors.into_iter().enumerate().map(entry).collect(),
            model: embedder.id().to_owned(),
            usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
        })
    };
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?.map(Json)
}

fn base64(vector: &[f32]) -> Vector {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    Vector::Base64(STANDARD.encode(bytes))
}
