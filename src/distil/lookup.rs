//! The cache, asked and filled: what names a shortened text, and what is changed of it for who asks. A
//! cache that fails is done without.

use super::cache::Key;
use super::distiller::{Approach, Distiller, Task, blocking};
use super::prompt::instructions;
use super::{Distilled, Method, Source, similarity};
use crate::tokens::TokenCounter;

impl Distiller {
    /// What there is already, as this call would account for it.
    pub(super) async fn look_up(
        &self,
        tasks: &[Task],
        approach: &Approach,
    ) -> Vec<Option<Distilled>> {
        let nothing = || vec![None; tasks.len()];
        let Some(cache) = &self.cache else {
            return nothing();
        };
        let (this, approach_asked) = (self.clone(), approach.clone());
        let asked = tasks.to_vec();
        let keys = blocking(move || {
            asked.iter().map(|task| this.keys(task, &approach_asked)).collect::<Vec<_>>()
        })
        .await;
        let Ok(keys) = keys else {
            return nothing();
        };
        let found = match cache.find(keys).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("shortened texts can't be looked up: {error}");
                return nothing();
            }
        };
        let as_asked = |(task, found): (&Task, Option<Distilled>)| {
            found.map(|found| as_asked(found, &task.source, approach))
        };
        tasks.iter().zip(found).map(as_asked).collect()
    }

    /// What is kept under a key.
    pub(super) async fn find(&self, key: Key) -> Option<Distilled> {
        let found = self.cache.as_ref()?.find(vec![vec![key]]).await;
        let found = found
            .inspect_err(|error| tracing::warn!("shortened texts can't be looked up: {error}"));
        let mut found = found.ok()?.pop()??;
        found.account.cached = true;
        Some(found)
    }

    pub(super) async fn keep(&self, key: Key, distilled: &Distilled) {
        if let Some(cache) = &self.cache
            && let Err(error) = cache.save(key, distilled).await
        {
            tracing::warn!("a shortened text can't be kept: {error}");
        }
    }

    /// Under which keys there may be something of use, best first.
    fn keys(&self, task: &Task, approach: &Approach) -> Vec<Key> {
        let counter = self.counter();
        let chosen = || {
            [similarity::Kind::Embedded, similarity::Kind::Lexical]
                .map(|kind| Self::extractive_key(task, kind, &*counter))
        };
        match approach {
            Approach::Model(model) => vec![self.model_key(task, model, &*counter)],
            Approach::Extractive(None) => chosen().into(),
            // The model's summary is still what was wanted.
            Approach::Extractive(Some(_)) => {
                let model = self.model();
                let summary = model.map(|model| self.model_key(task, &model, &*counter));
                summary.into_iter().chain(chosen()).collect()
            }
        }
    }

    pub(super) fn model_key(&self, task: &Task, model: &str, counter: &dyn TokenCounter) -> Key {
        // Whoever changes a prompt wants to see what comes of it.
        let told = instructions(&self.prompts, task.kind).unwrap_or_default();
        let temperature = self.settings.temperatures.of(task.kind).to_string();
        // With more time there may be a summary.
        let seconds = self.settings.deadline.as_secs().to_string();
        Self::key(task, counter, &["model", model, &told, &temperature, &seconds])
    }

    pub(super) fn extractive_key(
        task: &Task,
        compared: similarity::Kind,
        counter: &dyn TokenCounter,
    ) -> Key {
        // Not the embedder's id: asking for it would load the embedder, only to look something up;
        // and what another one would choose is no more right.
        let compared = match compared {
            similarity::Kind::Embedded => "embedded",
            similarity::Kind::Lexical => "lexical",
        };
        Self::key(task, counter, &["extractive", compared])
    }

    fn key(task: &Task, counter: &dyn TokenCounter, how: &[&str]) -> Key {
        let target = task.target.to_string();
        let kind = format!("{:?}", task.kind);
        let what = [kind.as_str(), &target, counter.name(), &task.source.text];
        Key::of(&[how, &what].concat())
    }
}

/// What is kept knows neither who asks nor why.
pub(super) fn as_asked(mut found: Distilled, source: &Source, approach: &Approach) -> Distilled {
    let account = &mut found.account;
    account.cached = true;
    account.strategy = source.strategy;
    account.ratio = found.tokens.get() as f64 / source.tokens.get().max(1) as f64;
    for span in account.sentences.iter_mut().flat_map(|sentence| &mut sentence.spans) {
        span.source.clone_from(&source.id);
    }
    if let Approach::Extractive(reason) = approach
        && account.method == Method::Extractive
        && account.degraded.is_none()
    {
        account.degraded.clone_from(reason);
    }
    found
}
