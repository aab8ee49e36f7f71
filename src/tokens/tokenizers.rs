//! Which counter counts: the one the settings name, and for the model's own whether it is loaded.

use std::sync::{Arc, OnceLock};

use super::{CachedCounter, Estimate, TiktokenCounter, TokenCounter};

/// The `TOKENIZER` setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenizerChoice {
    /// The loaded model's; an estimate until it is loaded.
    #[default]
    Auto,
    /// The loaded model's, and nothing else.
    Model,
    Tiktoken(TiktokenCounter),
    Estimate,
}

type ModelCounter = dyn Fn() -> Option<Arc<dyn TokenCounter>> + Send + Sync;

/// Hands out counters. A model, once loaded, stays the same until the process ends, so its counter
/// and what it remembers are kept.
pub struct Tokenizers {
    choice: TokenizerChoice,
    remember: bool,
    model: Box<ModelCounter>,
    model_counter: OnceLock<Arc<dyn TokenCounter>>,
    fixed: Option<Arc<dyn TokenCounter>>,
}

impl Tokenizers {
    pub fn new(
        choice: TokenizerChoice,
        remember: bool,
        model: impl Fn() -> Option<Arc<dyn TokenCounter>> + Send + Sync + 'static,
    ) -> Self {
        let fixed = match choice {
            TokenizerChoice::Tiktoken(counter) => Some(remembering(Arc::new(counter), remember)),
            TokenizerChoice::Estimate => Some(Arc::new(Estimate) as _),
            TokenizerChoice::Auto | TokenizerChoice::Model => None,
        };
        Self { choice, remember, model: Box::new(model), model_counter: OnceLock::new(), fixed }
    }

    /// The counter to use now; `None` only if the settings insist on a model that isn't loaded.
    pub fn counter(&self) -> Option<Arc<dyn TokenCounter>> {
        self.fixed
            .clone()
            .or_else(|| self.model_counter())
            .or_else(|| (self.choice == TokenizerChoice::Auto).then(|| Arc::new(Estimate) as _))
    }

    /// Whether counts are a tokenizer's, not an estimate.
    pub fn is_ready(&self) -> bool {
        match self.choice {
            TokenizerChoice::Tiktoken(_) => true,
            TokenizerChoice::Estimate => false,
            TokenizerChoice::Auto | TokenizerChoice::Model => self.model_counter().is_some(),
        }
    }

    fn model_counter(&self) -> Option<Arc<dyn TokenCounter>> {
        if let Some(counter) = self.model_counter.get() {
            return Some(Arc::clone(counter));
        }
        let counter = remembering((self.model)()?, self.remember);
        Some(Arc::clone(self.model_counter.get_or_init(|| counter)))
    }
}

fn remembering(counter: Arc<dyn TokenCounter>, remember: bool) -> Arc<dyn TokenCounter> {
    if remember { Arc::new(CachedCounter::new(counter)) } else { counter }
}
