//! The trained classifier: two logistic regressions, one on the words' TF-IDF and one on the sentence
//! vector, read from the bytes that `tools/train_emotion.py` writes. Their layout is described in
//! `weights/README.md`.

use thiserror::Error;

use super::words::{Words, for_each_key};

const CLASSES: usize = 7;
const MAGIC: &[u8; 8] = b"RHEMOT01";

/// The weights can't be read.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum WeightsError {
    #[error("these are no emotion weights of this version")]
    Magic,
    #[error("the emotion weights end too early")]
    Short,
    #[error("the emotion weights go on past their end")]
    Long,
    #[error("the emotion weights hold a number that is none")]
    NotFinite,
    #[error("the keys of the emotion weights are out of order")]
    Unsorted,
    #[error("the embedder's name in the emotion weights is no text")]
    Name,
}

/// Weights ready for use; about 1.2 MB.
pub(super) struct Model {
    embedder: String,
    dimensions: usize,
    /// The vectors' part of the mixture.
    vector_share: f32,
    /// Divided out of the result: part of the classes' frequency on the web.
    prior: [f32; CLASSES],
    /// One row a class.
    vector_weights: Vec<f32>,
    vector_intercept: [f32; CLASSES],
    word_scale: [f32; CLASSES],
    word_intercept: [f32; CLASSES],
    /// Ascending.
    keys: Vec<u32>,
    idf: Vec<f32>,
    word_weights: Vec<[i8; CLASSES]>,
}

impl Model {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, WeightsError> {
        let mut reader = Reader { rest: bytes };
        if reader.take(MAGIC.len()).map_err(|_| WeightsError::Magic)? != MAGIC {
            return Err(WeightsError::Magic);
        }
        let name_length = usize::from(u16::from_le_bytes(reader.array()?));
        let embedder = String::from_utf8(reader.take(name_length)?.to_vec())
            .map_err(|_| WeightsError::Name)?;
        let dimensions = reader.length()?;
        let vector_share = reader.float()?;
        let prior = reader.class_floats()?;
        let vector_weights = reader.floats(dimensions.saturating_mul(CLASSES))?;
        let vector_intercept = reader.class_floats()?;
        let count = reader.length()?;
        let word_scale = reader.class_floats()?;
        let word_intercept = reader.class_floats()?;
        let keys: Vec<u32> = reader.numbers(count, u32::from_le_bytes)?;
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(WeightsError::Unsorted);
        }
        let idf = reader.numbers(count, |bytes| f32::from(u16::from_le_bytes(bytes)) / 1_000.0)?;
        let word_weights =
            reader.numbers(count, |bytes: [u8; CLASSES]| bytes.map(u8::cast_signed))?;
        if !reader.rest.is_empty() {
            return Err(WeightsError::Long);
        }
        Ok(Self {
            embedder,
            dimensions,
            vector_share,
            prior,
            vector_weights,
            vector_intercept,
            word_scale,
            word_intercept,
            keys,
            idf,
            word_weights,
        })
    }

    /// Log probabilities of the classes. The vector counts only when the embedder that made it is the
    /// one that the weights were trained on.
    pub(super) fn log_probabilities(
        &self,
        parts: [&str; 2],
        embedding: Option<(&str, &[f32])>,
    ) -> [f32; CLASSES] {
        let mut logs = log_softmax(self.word_logits(parts));
        if let Some(vector) = self.usable(embedding) {
            let vector_logs = log_softmax(self.vector_logits(vector));
            for (log, vector_log) in logs.iter_mut().zip(vector_logs) {
                *log = (1.0 - self.vector_share) * *log + self.vector_share * vector_log;
            }
        }
        for (log, prior) in logs.iter_mut().zip(self.prior) {
            *log -= prior;
        }
        log_softmax(logs)
    }

    fn usable<'a>(&self, embedding: Option<(&str, &'a [f32])>) -> Option<&'a [f32]> {
        let (embedder, vector) = embedding?;
        let fits = embedder == self.embedder
            && vector.len() == self.dimensions
            && vector.iter().all(|value| value.is_finite());
        fits.then_some(vector)
    }

    fn vector_logits(&self, vector: &[f32]) -> [f32; CLASSES] {
        let mut logits = self.vector_intercept;
        for (logit, row) in logits.iter_mut().zip(self.vector_weights.chunks(self.dimensions)) {
            *logit += row.iter().zip(vector).map(|(a, b)| a * b).sum::<f32>();
        }
        logits
    }

    /// TF-IDF with 1 + ln(count), scaled to length one over the known n-grams.
    fn word_logits(&self, parts: [&str; 2]) -> [f32; CLASSES] {
        let mut found = Vec::with_capacity(parts[0].len() * 3);
        for part in parts {
            for_each_key(&Words::of(part), |key| {
                found.extend(self.keys.binary_search(&key));
            });
        }
        found.sort_unstable();
        let mut sums = [0.0_f32; CLASSES];
        let mut squares = 0.0_f32;
        for same in found.chunk_by(|a, b| a == b) {
            let value = (1.0 + (same.len() as f32).ln()) * self.idf[same[0]];
            squares += value * value;
            for (sum, &weight) in sums.iter_mut().zip(&self.word_weights[same[0]]) {
                *sum += value * f32::from(weight);
            }
        }
        let length = if squares > 0.0 { squares.sqrt() } else { 1.0 };
        let mut logits = self.word_intercept;
        for ((logit, sum), scale) in logits.iter_mut().zip(sums).zip(self.word_scale) {
            *logit += sum * scale / length;
        }
        logits
    }
}

fn log_softmax(logits: [f32; CLASSES]) -> [f32; CLASSES] {
    let highest = logits.into_iter().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
    logits.map(|logit| logit - highest - sum.ln())
}

/// Takes little-endian numbers off the front.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], WeightsError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WeightsError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WeightsError> {
        self.take(N)?.try_into().map_err(|_| WeightsError::Short)
    }

    fn length(&mut self) -> Result<usize, WeightsError> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| WeightsError::Short)
    }

    fn float(&mut self) -> Result<f32, WeightsError> {
        let value = f32::from_le_bytes(self.array()?);
        if value.is_finite() { Ok(value) } else { Err(WeightsError::NotFinite) }
    }

    fn class_floats(&mut self) -> Result<[f32; CLASSES], WeightsError> {
        let mut values = [0.0; CLASSES];
        for value in &mut values {
            *value = self.float()?;
        }
        Ok(values)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, WeightsError> {
        let values = self.numbers(count, f32::from_le_bytes)?;
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(WeightsError::NotFinite)
        }
    }

    fn numbers<const N: usize, T>(
        &mut self,
        count: usize,
        read: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, WeightsError> {
        let bytes = self.take(count.saturating_mul(N))?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect())
    }
}
