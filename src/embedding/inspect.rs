//! A look at an embedder's folder that loads no weights: milliseconds, for `rhapsode check` and
//! start-up.

use std::fs;
use std::path::{Path, PathBuf};

use candle_transformers::models::bert::Config;
use tokenizers::Tokenizer;

use super::EmbeddingError;
use super::minilm::MiniLm;
use super::safetensors::Header;

/// The tensor whose shape tells vocabulary and dimensions.
const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";

/// What an embedder's folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Length of the vectors.
    pub dimensions: usize,
    /// Texts longer than this are cut before they are embedded.
    pub max_tokens: usize,
    /// Size of the weights.
    pub bytes: u64,
}

/// The three files of an embedder.
pub(super) struct Files {
    pub(super) weights: PathBuf,
    pub(super) tokenizer: PathBuf,
    pub(super) config: PathBuf,
}

impl Files {
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            weights: folder.join("model.safetensors"),
            tokenizer: folder.join("tokenizer.json"),
            config: folder.join("config.json"),
        }
    }

    pub(super) fn read_config(&self) -> Result<Config, EmbeddingError> {
        let json = fs::read(&self.config).map_err(EmbeddingError::unreadable(&self.config))?;
        serde_json::from_slice(&json).map_err(|error| EmbeddingError::damaged(&self.config, &error))
    }

    pub(super) fn read_tokenizer(&self) -> Result<Tokenizer, EmbeddingError> {
        let json =
            fs::read(&self.tokenizer).map_err(EmbeddingError::unreadable(&self.tokenizer))?;
        Tokenizer::from_bytes(json)
            .map_err(|error| EmbeddingError::damaged(&self.tokenizer, &error))
    }
}

impl MiniLm {
    /// Checks that the files are there, whole, readable, and belong together.
    pub fn inspect(folder: &Path) -> Result<Inspection, EmbeddingError> {
        let files = Files::of(folder);
        let config = files.read_config()?;
        let tokenizer = files.read_tokenizer()?;
        let header = Header::read(&files.weights)?;
        let damaged = |problem: String| Err(EmbeddingError::damaged(&files.weights, &problem));
        match header.shape(WORD_EMBEDDINGS) {
            Some(&[words, width]) if words == config.vocab_size && width == config.hidden_size => {}
            Some(shape) => {
                return damaged(format!(
                    "its word embeddings are {shape:?}, not as in config.json"
                ));
            }
            None => return damaged(format!("it has no {WORD_EMBEDDINGS}")),
        }
        let vocabulary = tokenizer.get_vocab_size(true);
        if vocabulary > config.vocab_size {
            return Err(EmbeddingError::damaged(
                &files.tokenizer,
                &format!("it knows {vocabulary} tokens, the weights {}", config.vocab_size),
            ));
        }
        let bytes =
            fs::metadata(&files.weights).map_err(EmbeddingError::unreadable(&files.weights))?.len();
        Ok(Inspection { dimensions: config.hidden_size, max_tokens: Self::MAX_TOKENS, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::super::minilm::tests::model_folder;
    use super::*;

    /// A copy of the folder whose weights are the first `bytes` of the real ones.
    fn copy_with_weights_cut_to(bytes: usize) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        let (from, to) = (Files::of(&model_folder()), Files::of(copy.path()));
        fs::copy(from.config, to.config).unwrap();
        fs::copy(from.tokenizer, to.tokenizer).unwrap();
        let weights = fs::read(from.weights).unwrap();
        fs::write(to.weights, &weights[..bytes.min(weights.len())]).unwrap();
        copy
    }

    #[test]
    fn the_real_model_is_as_expected() {
        let inspection = MiniLm::inspect(&model_folder()).unwrap();
        let expected = Inspection { dimensions: 384, max_tokens: 256, bytes: 90_868_376 };
        assert_eq!(inspection, expected);
    }

    #[test]
    fn an_empty_folder_names_the_missing_file_and_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let message = MiniLm::inspect(folder.path()).unwrap_err().to_string();
        assert!(message.contains("config.json"), "{message}");
        assert!(message.contains("rhapsode models pull --default"), "{message}");
    }

    #[test]
    fn weights_cut_short_are_noticed() {
        for bytes in [0, 4, 100, 1_000_000] {
            let folder = copy_with_weights_cut_to(bytes);
            let error = MiniLm::inspect(folder.path()).unwrap_err();
            assert!(matches!(error, EmbeddingError::Damaged { .. }), "{bytes}: {error}");
        }
    }

    #[test]
    fn a_web_page_is_no_safetensors_file() {
        let folder = copy_with_weights_cut_to(0);
        fs::write(Files::of(folder.path()).weights, "<html>Please sign in</html>").unwrap();
        let error = MiniLm::inspect(folder.path()).unwrap_err();
        assert!(matches!(error, EmbeddingError::Damaged { .. }), "{error}");
    }
}
