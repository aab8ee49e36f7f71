//! Sentence embeddings: text in, a vector out, so that texts alike in meaning lie near each other.
//! Running the models only; fetching them belongs to `models`, keeping and searching vectors to
//! their own rooms.

mod inspect;
mod lazy;
mod minilm;
mod safetensors;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

pub use inspect::Inspection;
pub use lazy::LazyEmbedder;
pub use minilm::MiniLm;

/// Turns texts into vectors. Blocking and busy on every core: call it off the async threads.
pub trait Embedder: Send + Sync {
    /// Names the weights. Vectors of embedders with different ids must not be compared.
    fn id(&self) -> &str;

    /// Length of every vector.
    fn dimensions(&self) -> usize;

    /// A vector of length one a text, in the order given: their dot product is their cosine.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError>;
}

/// A sentence embedder could not be loaded or run.
#[derive(Debug, Error)]
pub enum EmbeddingError {
    #[error("the sentence embedder lacks {}. Fetch it: rhapsode models pull --default", path.display())]
    Missing { path: PathBuf },

    #[error("could not read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },

    #[error("{} is damaged: {problem}. Fetch it anew: rhapsode models pull --default", path.display())]
    Damaged { path: PathBuf, problem: String },

    #[error("the sentence embedder failed: {0}")]
    Run(#[from] candle_core::Error),

    #[error("the sentence embedder could not split a text into tokens: {0}")]
    Tokens(String),

    /// Loading failed before.
    #[error("{0}")]
    NotLoaded(Arc<EmbeddingError>),
}

impl EmbeddingError {
    fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Unreadable { path, source },
        }
    }

    fn damaged(path: &Path, problem: &impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.to_string() }
    }
}
