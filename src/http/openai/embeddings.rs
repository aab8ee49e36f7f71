//! `POST /v1/embeddings`: the server's sentence embedder.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Semaphore;

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
/// Texts that are embedded before anyone looks whether the client is still there.
const CHUNK: usize = 32;

/// One chunk at a time, whoever asks: the embedder keeps every core busy, and talks need it too.
static TURN: Semaphore = Semaphore::const_new(1);

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
    // The embedder doesn't tell its own count.
    let tokens = texts.iter().map(|text| Estimate.count(text).get()).sum();
    let (id, vectors) = embedded(embedder, texts, request.dimensions).await?;
    let entry = |(index, vector): (usize, Vec<f32>)| EmbeddingEntry {
        object: "embedding",
        index,
        embedding: if is_base64 { base64(&vector) } else { Vector::Floats(vector) },
    };
    Ok(Json(EmbeddingResponse {
        object: "list",
        data: vectors.into_iter().enumerate().map(entry).collect(),
        model: id,
        usage: EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens },
    }))
}

/// The embedder's name, and a vector a text. Dropping the future ends the work after its chunk.
async fn embedded(
    embedder: Arc<dyn Embedder>,
    mut texts: Vec<String>,
    wanted: Option<usize>,
) -> Result<(String, Vec<Vec<f32>>), ApiError> {
    let mut vectors = Vec::with_capacity(texts.len());
    loop {
        let rest = texts.split_off(texts.len().min(CHUNK));
        let chunk = std::mem::replace(&mut texts, rest);
        let turn = TURN.acquire().await.map_err(ApiError::internal)?;
        let embedder = Arc::clone(&embedder);
        let work = move || {
            // Held until the work is done, also where nobody waits for it.
            let _turn = turn;
            check_dimensions(&*embedder, wanted)?;
            let refs: Vec<&str> = chunk.iter().map(String::as_str).collect();
            embedder
                .embed(&refs)
                .map(|vectors| (embedder.id().to_owned(), vectors))
                .map_err(|error| ApiError::new(Code::LlmNotAvailable, error.to_string()))
        };
        let (id, more) = tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)??;
        vectors.extend(more);
        if texts.is_empty() {
            return Ok((id, vectors));
        }
    }
}

/// An embedder that can't be loaded has none, and says why when it is used.
fn check_dimensions(embedder: &dyn Embedder, wanted: Option<usize>) -> Result<(), ApiError> {
    match (wanted, embedder.dimensions()) {
        (Some(wanted), found @ 1..) if wanted != found => {
            Err(wrong("dimensions", format!("the embedder has {found}")))
        }
        _ => Ok(()),
    }
}

fn base64(vector: &[f32]) -> Vector {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    Vector::Base64(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::embedding::EmbeddingError;

    /// Tells of every chunk, and waits until it may go on.
    struct Stepped {
        begun: mpsc::Sender<usize>,
        go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl Embedder for Stepped {
        fn id(&self) -> &'static str {
            "stepped"
        }

        fn dimensions(&self) -> usize {
            2
        }

        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
            self.begun.send(texts.len()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
            Ok(vec![vec![0.0, 1.0]; texts.len()])
        }
    }

    fn stepped() -> (Arc<dyn Embedder>, mpsc::Receiver<usize>, mpsc::Sender<()>) {
        let ((begun, sizes), (go, go_on)) = (mpsc::channel(), mpsc::channel());
        (Arc::new(Stepped { begun, go_on: Mutex::new(go_on) }), sizes, go)
    }

    fn texts(count: usize) -> Vec<String> {
        vec!["The lamp.".to_owned(); count]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn wrong_dimensions_cost_nothing() {
        let (embedder, sizes, _go) = stepped();
        let error = embedded(embedder, texts(100), Some(3)).await.unwrap_err();
        assert!(error.detail.contains("has 2"), "{}", error.detail);
        assert!(sizes.try_recv().is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_leaves_ends_the_work_after_its_chunk() {
        let (embedder, sizes, go) = stepped();
        let asking = tokio::spawn(embedded(Arc::clone(&embedder), texts(100), None));
        let next = move || sizes.recv().map(|size| (size, sizes));
        let (first, sizes) = tokio::task::spawn_blocking(next).await.unwrap().unwrap();
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        go.send(()).unwrap();
        let (_, vectors) = embedded(embedder, texts(3), None).await.unwrap();
        assert_eq!((first, sizes.try_iter().collect::<Vec<_>>()), (CHUNK, vec![3]));
        assert_eq!(vectors.len(), 3);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_texts_come_back_in_order_of_their_chunks() {
        let (embedder, sizes, go) = stepped();
        for _ in 0..4 {
            go.send(()).unwrap();
        }
        let (_, vectors) = embedded(embedder, texts(100), None).await.unwrap();
        assert_eq!((vectors.len(), sizes.try_iter().collect()), (100, vec![32, 32, 32, 4]));
    }
}
