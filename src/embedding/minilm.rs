//! all-MiniLM-L6-v2 and its like: a BERT whose token vectors are averaged over the attention mask
//! and scaled to length one, as the model was trained (sentence-transformers: mean pooling, then
//! normalisation). On the CPU, in f32.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::BertModel;
use sha2::{Digest, Sha256};
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use super::inspect::Files;
use super::{Embedder, EmbeddingError};

/// Texts run through the model together.
const BATCH: usize = 32;
/// Bytes of the weights' SHA-256 that tell them apart in an id.
const ID_BYTES: usize = 6;

/// A loaded sentence embedder; about 90 MB.
pub struct MiniLm {
    model: BertModel,
    tokenizer: Tokenizer,
    id: String,
    dimensions: usize,
    padding_token: u32,
}

impl MiniLm {
    /// Longer texts are cut: the model was trained on no more.
    pub const MAX_TOKENS: usize = 256;

    /// Loads the model from a folder with `model.safetensors`, `tokenizer.json` and `config.json`.
    pub fn load(folder: &Path) -> Result<Self, EmbeddingError> {
        // Checked first, as its messages say more than those of the loader.
        Self::inspect(folder)?;
        let files = Files::of(folder);
        let config = files.read_config()?;
        let mut tokenizer = files.read_tokenizer()?;
        let truncation = TruncationParams { max_length: Self::MAX_TOKENS, ..Default::default() };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|error| EmbeddingError::damaged(&files.tokenizer, &error))?
            // Batches are padded below, to their own longest text.
            .with_padding(None);
        let weights =
            fs::read(&files.weights).map_err(EmbeddingError::unreadable(&files.weights))?;
        let id = id_of(&weights);
        let model = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)
            .and_then(|weights| BertModel::load(weights, &config))
            .map_err(|error| EmbeddingError::damaged(&files.weights, &error))?;
        let padding_token = u32::try_from(config.pad_token_id)
            .map_err(|error| EmbeddingError::damaged(&files.config, &error))?;
        Ok(Self { model, tokenizer, id, dimensions: config.hidden_size, padding_token })
    }

    /// Vectors of at most [`BATCH`] texts.
    fn embed_batch(&self, encodings: &[&Encoding]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let longest = encodings.iter().map(|encoding| encoding.len()).max().unwrap_or(0);
        let shape = (encodings.len(), longest);
        let mut tokens = Vec::with_capacity(shape.0 * shape.1);
        let mut mask = Vec::with_capacity(shape.0 * shape.1);
        for encoding in encodings {
            let padding = longest - encoding.len();
            tokens.extend_from_slice(encoding.get_ids());
            tokens.extend(std::iter::repeat_n(self.padding_token, padding));
            mask.extend(std::iter::repeat_n(1_f32, encoding.len()));
            mask.extend(std::iter::repeat_n(0_f32, padding));
        }
        let tokens = Tensor::from_vec(tokens, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let hidden = self.model.forward(&tokens, &tokens.zeros_like()?, Some(&mask))?;
        let sums = hidden.broadcast_mul(&mask.unsqueeze(2)?)?.sum(1)?;
        let means = sums.broadcast_div(&mask.sum_keepdim(1)?)?;
        let lengths = means.sqr()?.sum_keepdim(1)?.sqrt()?;
        Ok(means.broadcast_div(&lengths)?.to_vec2()?)
    }
}

impl Embedder for MiniLm {
    fn id(&self) -> &str {
        &self.id
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let encodings = self
            .tokenizer
            .encode_batch_fast(texts.to_vec(), true)
            .map_err(|error| EmbeddingError::Tokens(error.to_string()))?;
        // Texts of like length go together, so that little of the work is padding.
        let mut order: Vec<usize> = (0..encodings.len()).collect();
        order.sort_by_key(|&index| encodings[index].len());
        let mut vectors = vec![Vec::new(); encodings.len()];
        for batch in order.chunks(BATCH) {
            let batch_encodings: Vec<_> = batch.iter().map(|&index| &encodings[index]).collect();
            for (&index, vector) in batch.iter().zip(self.embed_batch(&batch_encodings)?) {
                vectors[index] = vector;
            }
        }
        Ok(vectors)
    }
}

/// Names the weights by their content: a folder can be renamed, and other weights put in it.
fn id_of(weights: &[u8]) -> String {
    let digest = Sha256::digest(weights);
    digest.iter().take(ID_BYTES).fold("minilm-".to_owned(), |mut id, byte| {
        // Writing into a String cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    use super::*;

    static MODEL: LazyLock<MiniLm> = LazyLock::new(|| MiniLm::load(&model_folder()).unwrap());

    /// The real model's folder.
    #[expect(clippy::disallowed_methods, reason = "tests have no settings to ask")]
    pub(crate) fn model_folder() -> PathBuf {
        let models_dir = std::env::var_os("MODELS_DIR").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models"),
            PathBuf::from,
        );
        let folder = crate::models::sentence_embedder_dir(&models_dir);
        assert!(folder.join("model.safetensors").exists(), "run: make models");
        folder
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn assert_usable(vector: &[f32]) {
        assert_eq!(vector.len(), 384);
        let length = cosine(vector, vector).sqrt();
        assert!((length - 1.0).abs() < 1e-4, "length {length}");
    }

    #[test]
    fn the_weights_name_themselves() {
        assert_eq!(MODEL.id(), "minilm-53aa51172d14");
        assert_eq!(MODEL.dimensions(), 384);
    }

    #[test]
    fn vectors_agree_with_the_reference() {
        // The first components, as published with the model's usage examples.
        let vector = &MODEL.embed(&["This is an example sentence"]).unwrap()[0];
        for (ours, reference) in vector.iter().zip(REFERENCE) {
            assert!((ours - reference).abs() < 1e-4, "{ours} is not {reference}");
        }
    }

    const REFERENCE: [f32; 3] = [0.067_657, 0.063_496, 0.048_713];

    #[test]
    fn like_meanings_lie_nearer() {
        let vectors = MODEL
            .embed(&["A cat sits on the mat", "A kitten rests on a rug", "The stock market fell"])
            .unwrap();
        let (near, far) = (cosine(&vectors[0], &vectors[1]), cosine(&vectors[0], &vectors[2]));
        assert!(near > far + 0.3, "near {near}, far {far}");
    }

    #[test]
    fn a_batch_equals_its_texts_one_by_one() {
        let texts: Vec<String> = (0..40).map(|n| "The rain fell. ".repeat(n % 9 + 1)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let together = MODEL.embed(&texts).unwrap();
        assert_eq!(together.len(), texts.len());
        for (text, in_batch) in texts.iter().zip(&together) {
            let alone = &MODEL.embed(&[text]).unwrap()[0];
            for (a, b) in in_batch.iter().zip(alone) {
                assert!((a - b).abs() < 1e-4, "{a} is not {b}");
            }
        }
    }

    #[test]
    fn empty_and_very_long_texts_have_vectors() {
        let long = "word ".repeat(2_000);
        assert_eq!(long.len(), 10_000);
        for vector in MODEL.embed(&["", &long, " \n", "🦊 жёлтый 狐"]).unwrap() {
            assert_usable(&vector);
        }
    }

    #[test]
    fn what_lies_past_the_limit_does_not_matter() {
        let long = "word ".repeat(300);
        let vectors = MODEL.embed(&[&long, &format!("{long} and more")]).unwrap();
        assert_eq!(vectors[0], vectors[1]);
    }

    #[test]
    fn no_texts_give_no_vectors() {
        assert!(MODEL.embed(&[]).unwrap().is_empty());
    }
}
