//! Carries out what is asked for: from the cache, by the model, or by choosing sentences.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::cache::Cache;
use super::extract::Limit;
use super::lookup::as_asked;
use super::made::Made;
use super::prompt::Kind;
use super::{
    ChosenMethod, DistilError, DistilSettings, Distilled, Source, Strategy, Temperatures, Urgency,
};
use crate::embedding::Embedder;
use crate::engine::{ClientId, Engine};
use crate::ids::Ids;
use crate::prompts::Prompts;
use crate::store::{Store, StoreError};
use crate::tokens::{Estimate, TokenCount, TokenCounter, Tokenizers};

/// Why an emergency is none of the model's business.
const NO_TIME: &str = "there was more to shorten than the model could in time";

/// Told how many texts are finished, each time one is.
pub(super) type Done<'a> = &'a (dyn Fn(usize) + Send + Sync);

/// Shortens texts. Cheap to clone.
#[derive(Clone)]
pub struct Distiller {
    pub(super) engine: Arc<dyn Engine>,
    embedder: Option<Arc<dyn Embedder>>,
    pub(super) prompts: Arc<Prompts>,
    tokenizers: Arc<Tokenizers>,
    pub(super) cache: Option<Cache>,
    pub(super) ids: Ids,
    in_flight: Arc<InFlight>,
    pub(super) settings: Arc<DistilSettings>,
}

/// What is being shortened at the moment, so that it isn't by two at once.
#[derive(Default)]
struct InFlight {
    gates: Mutex<HashMap<(String, TokenCount), Weak<Gate>>>,
}

/// Passed by one at a time; holds what the first one made.
type Gate = tokio::sync::Mutex<Option<Distilled>>;

impl InFlight {
    fn gate_of(&self, task: &Task) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, gate| gate.strong_count() > 0);
        let key = (task.source.text.clone(), task.target);
        if let Some(gate) = gates.get(&key).and_then(Weak::upgrade) {
            return gate;
        }
        let gate = Arc::default();
        gates.insert(key, Arc::downgrade(&gate));
        gate
    }
}

/// A source, and what is to become of it.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) source: Source,
    pub(super) kind: Kind,
    pub(super) target: TokenCount,
}

impl Task {
    /// To be shortened by the ratio of its strategy.
    pub(super) fn by_ratio(source: Source) -> Self {
        let target = source.tokens.scaled(source.strategy.ratio());
        Self { kind: Kind::Source(source.strategy), target, source }
    }
}

/// Who does it.
#[derive(Clone, Debug)]
pub(super) enum Approach {
    Model(String),
    /// Choosing sentences; with the reason, where a model was wanted.
    Extractive(Option<String>),
}

/// What all the tasks of one call share.
pub(super) struct Round<'a> {
    pub(super) client: &'a ClientId,
    pub(super) approach: Approach,
    pub(super) embedder: Option<Arc<dyn Embedder>>,
    /// Held by a summary while the engine has it.
    pub(super) permits: Semaphore,
    /// When the first summary was begun, set by that.
    pub(super) begun: OnceLock<Instant>,
}

impl Distiller {
    /// Without a store nothing is remembered; without an embedder sentences are compared by their
    /// words.
    pub fn new(
        engine: Arc<dyn Engine>,
        embedder: Option<Arc<dyn Embedder>>,
        prompts: Arc<Prompts>,
        tokenizers: Arc<Tokenizers>,
        store: Option<Store>,
        ids: Ids,
        settings: DistilSettings,
    ) -> Self {
        let entries = settings.cache_entries;
        let cache = store.filter(|_| entries > 0).map(|store| Cache::new(store, entries));
        let settings = Arc::new(settings);
        let in_flight = Arc::default();
        Self { engine, embedder, prompts, tokenizers, cache, ids, in_flight, settings }
    }

    /// One that samples at this temperature, whatever it shortens. What was made at another is taken
    /// as it is.
    #[must_use]
    pub fn at_temperature(&self, temperature: f32) -> Self {
        let mut settings = DistilSettings::clone(&self.settings);
        settings.temperatures = Temperatures::all(temperature);
        Self { settings: Arc::new(settings), ..self.clone() }
    }

    /// The longest that one call waits for the model.
    pub fn patience(&self) -> Duration {
        self.settings.deadline
    }

    /// Has the engine delete what it keeps of prompts on disk.
    pub async fn forget_prompts(&self) {
        let engine = Arc::clone(&self.engine);
        // Only a panic of the engine's ends this early.
        let _ = spawn_blocking(move || engine.forget()).await;
    }

    /// Drops what is kept of sources of these kinds; it would be made anew.
    pub async fn forget(&self, kinds: &[Strategy]) -> Result<(), StoreError> {
        match &self.cache {
            Some(cache) => cache.forget(kinds).await,
            None => Ok(()),
        }
    }

    /// What there is of this source already; costs a look into the cache.
    pub async fn cached(&self, source: &Source, urgency: Urgency) -> Option<Distilled> {
        self.cached_all(std::slice::from_ref(source), urgency).await.pop().flatten()
    }

    /// What there is of each source already, in their order; costs one look into the cache.
    pub async fn cached_all(&self, sources: &[Source], urgency: Urgency) -> Vec<Option<Distilled>> {
        let tasks: Vec<Task> = sources.iter().cloned().map(Task::by_ratio).collect();
        self.look_up(&tasks, &self.approach(urgency)).await
    }

    /// Shortens each by itself to about the share of its strategy, side by side in the engine. `done`
    /// hears how many are finished. The answers are in the order of the sources.
    ///
    /// What the model can't do is done by choosing sentences, and the account says why. Dropping the
    /// future stops the work.
    pub async fn distil(
        &self,
        client: &ClientId,
        sources: Vec<Source>,
        urgency: Urgency,
        done: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Vec<Distilled>, DistilError> {
        let tasks = sources.into_iter().map(Task::by_ratio).collect();
        self.carry_out(client, tasks, urgency, done).await
    }

    pub(super) async fn carry_out(
        &self,
        client: &ClientId,
        tasks: Vec<Task>,
        urgency: Urgency,
        done: Done<'_>,
    ) -> Result<Vec<Distilled>, DistilError> {
        let approach = self.approach(urgency);
        let found = self.look_up(&tasks, &approach).await;
        let known = found.iter().flatten().count();
        let finished = AtomicUsize::new(known);
        if known > 0 {
            done(known);
        }
        let side_by_side = self.settings.side_by_side.max(1);
        let round = Round {
            client,
            approach,
            embedder: self.embedder_for(urgency),
            permits: Semaphore::new(side_by_side),
            begun: OnceLock::new(),
        };
        let work = tasks.into_iter().zip(found).map(|(task, found)| {
            let (round, finished) = (&round, &finished);
            async move {
                if let Some(found) = found {
                    return Ok(found);
                }
                let distilled = self.shorten_once(round, task).await?;
                done(finished.fetch_add(1, Ordering::Relaxed) + 1);
                Ok(distilled)
            }
        });
        stream::iter(work).buffered(side_by_side).try_collect().await
    }

    /// Whoever wants the same at the same time waits for who began it, and takes what was made.
    async fn shorten_once(&self, round: &Round<'_>, task: Task) -> Result<Distilled, DistilError> {
        let gate = self.in_flight.gate_of(&task);
        let mut made = gate.lock().await;
        if let Some(made) = &*made {
            return Ok(as_asked(made.clone(), &task.source, &round.approach));
        }
        let distilled = self.shorten(round, task).await?;
        *made = Some(distilled.clone());
        Ok(distilled)
    }

    async fn shorten(&self, round: &Round<'_>, task: Task) -> Result<Distilled, DistilError> {
        let distilled = match &round.approach {
            Approach::Model(model) => self.summarise(round, model, task).await?,
            Approach::Extractive(degraded) => {
                self.choose_sentences(round, task, degraded.clone()).await?
            }
        };
        tracing::debug!(
            method = ?distilled.account.method,
            strategy = %distilled.account.strategy,
            tokens = distilled.tokens.get(),
            quality = distilled.account.quality,
            degraded = distilled.account.degraded,
            "a text was shortened to {} tokens",
            distilled.tokens
        );
        Ok(distilled)
    }

    /// The source's own sentences. Kept without the reason, which is this call's alone.
    pub(super) async fn choose_sentences(
        &self,
        round: &Round<'_>,
        task: Task,
        degraded: Option<String>,
    ) -> Result<Distilled, DistilError> {
        let approach = Approach::Extractive(degraded.clone());
        if let Some(found) =
            self.look_up(std::slice::from_ref(&task), &approach).await.pop().flatten()
        {
            return Ok(found);
        }
        let (this, embedder) = (self.clone(), round.embedder.clone());
        let (mut distilled, key) = blocking(move || {
            let counter = this.counter();
            let text = &task.source.text;
            let embedder = embedder.as_deref();
            let (made, compared) =
                Made::extracted(text, task.target, Limit::Soft, embedder, &*counter);
            let key = Self::extractive_key(&task, compared, &*counter);
            (made.accounted(&task.source), key)
        })
        .await?;
        self.keep(key, &distilled).await;
        distilled.account.degraded = degraded;
        Ok(distilled)
    }

    pub(super) fn approach(&self, urgency: Urgency) -> Approach {
        if self.settings.method == ChosenMethod::Extractive {
            return Approach::Extractive(None);
        }
        if urgency == Urgency::Emergency {
            return Approach::Extractive(Some(NO_TIME.to_owned()));
        }
        match self.engine.ready() {
            Ok(()) => Approach::Model(self.model().unwrap_or_default()),
            Err(error) => Approach::Extractive(Some(error.to_string())),
        }
    }

    pub(super) fn model(&self) -> Option<String> {
        self.engine.status().model
    }

    /// The embedder, if there is time for it: a sentence takes it some ten milliseconds.
    pub(super) fn embedder_for(&self, urgency: Urgency) -> Option<Arc<dyn Embedder>> {
        self.embedder.clone().filter(|_| urgency == Urgency::Rolling)
    }

    /// Counts as budgets do; by estimate where the settings want a model's tokenizer and there is
    /// none.
    pub(super) fn counter(&self) -> Arc<dyn TokenCounter> {
        self.tokenizers.counter().unwrap_or_else(|| Arc::new(Estimate))
    }
}

/// Runs what is busy off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DistilError> {
    spawn_blocking(work).await.map_err(|_| DistilError::Lost)
}
