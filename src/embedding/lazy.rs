//! An embedder that is loaded when it is first needed, so that a server neither waits for it at start
//! nor holds it in memory for nothing.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::{Embedder, EmbeddingError, MiniLm};

/// Loads from its folder at first use. A failure is remembered: a folder that is filled later counts
/// from the next start on.
pub struct LazyEmbedder {
    folder: PathBuf,
    loaded: OnceLock<Result<MiniLm, Arc<EmbeddingError>>>,
}

impl LazyEmbedder {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, loaded: OnceLock::new() }
    }

    fn get(&self) -> Result<&MiniLm, EmbeddingError> {
        let loaded = self.loaded.get_or_init(|| {
            MiniLm::load(&self.folder).map_err(|error| {
                tracing::warn!("texts are compared by their words only: {error}");
                Arc::new(error)
            })
        });
        loaded.as_ref().map_err(|error| EmbeddingError::NotLoaded(Arc::clone(error)))
    }
}

impl Embedder for LazyEmbedder {
    /// Empty if it can't be loaded.
    fn id(&self) -> &str {
        self.get().map_or("", Embedder::id)
    }

    /// 0 if it can't be loaded.
    fn dimensions(&self) -> usize {
        self.get().map_or(0, Embedder::dimensions)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        self.get()?.embed(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::minilm::tests::model_folder;
    use super::*;

    #[test]
    fn it_is_loaded_when_it_is_used() {
        let embedder = LazyEmbedder::new(model_folder());
        assert!(embedder.loaded.get().is_none());
        assert_eq!(embedder.embed(&["The rain fell."]).unwrap()[0].len(), embedder.dimensions());
    }

    #[test]
    fn a_missing_model_is_an_error_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let embedder = LazyEmbedder::new(folder.path().to_owned());
        for _ in 0..2 {
            let message = embedder.embed(&["The rain fell."]).unwrap_err().to_string();
            assert!(message.contains("rhapsode models pull"), "{message}");
        }
        assert_eq!((embedder.id(), embedder.dimensions()), ("", 0));
    }
}
