//! One answer from what the room knows: the classifier's log probabilities plus the lexicon's
//! evidence; or keywords, when the weights can't be read.

use std::sync::{Arc, LazyLock};

use super::excerpt::excerpt;
use super::lexicon::Lexicon;
use super::model::{Model, WeightsError};
use super::{Feeling, keywords};

static TRAINED: LazyLock<Result<Arc<Model>, WeightsError>> =
    LazyLock::new(|| Model::read(include_bytes!("weights/goemotions.bin")).map(Arc::new));
static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::curated);

/// Finds what a text feels. Cheap to clone; under a millisecond a message.
#[derive(Clone)]
pub struct Detector {
    means: Means,
}

#[derive(Clone)]
enum Means {
    Model { model: Arc<Model>, lexicon: Option<&'static Lexicon> },
    Keywords,
}

impl Detector {
    /// The classifier and the lexicon that ship with the server. Should the weights be unreadable: the
    /// keywords, and a warning.
    pub fn trained() -> Self {
        match &*TRAINED {
            Ok(model) => {
                Self { means: Means::Model { model: model.clone(), lexicon: Some(&LEXICON) } }
            }
            Err(error) => {
                tracing::warn!("emotions are told by keywords: {error}");
                Self::keywords()
            }
        }
    }

    /// Words and emoji counted: the fallback alone.
    pub fn keywords() -> Self {
        Self { means: Means::Keywords }
    }

    /// The same without the lexicon of bodily action, to measure what it does.
    #[must_use]
    pub fn without_lexicon(self) -> Self {
        match self.means {
            Means::Model { model, .. } => Self { means: Means::Model { model, lexicon: None } },
            Means::Keywords => self,
        }
    }

    /// What a text feels. Of a text over 4,096 bytes the first and the last 2,048 are looked at.
    ///
    /// `embedding`: the text's unit vector and the id of the embedder that made it. It is used only
    /// when the classifier was trained on vectors of that very embedder.
    pub fn feel(&self, text: &str, embedding: Option<(&str, &[f32])>) -> Feeling {
        let parts = excerpt(text);
        match &self.means {
            Means::Model { model, lexicon } => {
                let mut logits = model.log_probabilities(parts, embedding);
                if let Some(lexicon) = lexicon {
                    lexicon.evidence(parts).add_to(&mut logits);
                }
                Feeling::from_logits(logits)
            }
            Means::Keywords => keywords::feel(parts),
        }
    }
}
