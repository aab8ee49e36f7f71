//! The engine's thread: loads the model, makes a context, and lets the [`Batcher`] work. If that
//! panics, its requests fail, and a new context takes the place of the old one.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_batch::LlamaBatch;

use super::attention::{Attention, AttentionChoice};
use super::batching::{BATCH, Batcher, Ended, Rates, Slices};
use super::load::{LlamaSettings, LoadedModel, backend};
use super::states::{StateStore, fingerprint};
use super::threads::ThreadGovernor;
use super::tree::PrefixTree;
use super::{Cache, Phase, Shared};
use crate::engine::{EngineError, milliseconds};

/// Finished sequences kept beside the running ones. Each costs llama.cpp a row of logits.
const FINISHED_SEQUENCES: usize = 24;
/// Panics in a row, without a step between them, after which the engine gives up.
const MOST_BARREN_RESTARTS: u32 = 3;

/// Runs until the queue is closed.
pub(super) fn run(settings: &LlamaSettings, shared: &Arc<Shared>) {
    let for_progress = Arc::clone(shared);
    let started = Instant::now();
    let loaded = LoadedModel::load(settings, move |progress| {
        for_progress.set_phase(Phase::Loading { progress });
        !for_progress.is_closing()
    });
    let model = match loaded {
        Ok(model) => Arc::new(model),
        Err(error) => return fail(shared, error),
    };
    tracing::info!(
        model = model.name,
        window = model.window.get(),
        load_ms = milliseconds(started.elapsed()),
        "{} is loaded, with a window of {} tokens",
        model.name,
        model.window
    );
    let mut worker = Worker { settings, shared, model: &model, choice: settings.attention() };
    if let Err(error) = worker.work() {
        fail(shared, error);
    }
}

fn fail(shared: &Shared, error: EngineError) {
    tracing::error!("the model can't be used: {error}");
    let unavailable = match error {
        error @ EngineError::Unavailable(_) => error,
        other => EngineError::Unavailable(format!(
            "the model can't be used: {other}; set MODEL_PATH to another GGUF file"
        )),
    };
    shared.set_phase(Phase::Failed(unavailable.clone()));
    for job in shared.queue.close() {
        job.fail(unavailable.clone());
    }
}

struct Worker<'a> {
    settings: &'a LlamaSettings,
    shared: &'a Shared,
    model: &'a Arc<LoadedModel>,
    choice: AttentionChoice,
}

impl<'a> Worker<'a> {
    /// One context after another, until the queue is closed.
    fn work(&mut self) -> Result<(), EngineError> {
        let mut barren = 0;
        while barren < MOST_BARREN_RESTARTS {
            let steps = self.shared.counters.steps();
            match self.serve()? {
                Some(Ended::Closed) => return Ok(()),
                Some(Ended::AttentionChanges) => continue,
                None => {}
            }
            tracing::error!("the engine panicked; its requests failed, and it starts again");
            self.shared.counters.restarted();
            barren = if self.shared.counters.steps() > steps { 0 } else { barren + 1 };
        }
        let explanation = "the engine panics again and again; see the log";
        Err(EngineError::Unavailable(explanation.to_owned()))
    }

    /// Works with a new context until it ends; `None` if that was a panic.
    fn serve(&mut self) -> Result<Option<Ended>, EngineError> {
        let attention = self.choice.best(Instant::now());
        let context = self.context(attention)?;
        tracing::debug!(?attention, "a context was made");
        let cache = self.cache(attention, context.n_ctx() as usize);
        self.shared.counters.cache(&cache.tree);
        *self.shared.cache() = cache;
        self.shared.set_phase(Phase::Ready(Arc::clone(self.model)));
        let mut batcher = Batcher {
            model: self.model,
            shared: self.shared,
            context,
            batch: LlamaBatch::new(BATCH, 1),
            running: Vec::new(),
            governor: ThreadGovernor::new(self.settings.threads),
            slices: Slices::default(),
            shortest_first: false,
            rates: Rates::default(),
            attention,
            choice: &mut self.choice,
        };
        let ended = catch_unwind(AssertUnwindSafe(|| batcher.serve())).ok();
        // Requests whose sender goes hear that they are lost.
        drop(batcher);
        self.shared.counters.set_running(0);
        Ok(ended)
    }

    fn cache(&self, attention: Attention, capacity: usize) -> Cache {
        // Models with a memory of whole texts can't share a part of it.
        let shares = !self.model.model.is_recurrent() && !self.model.model.is_hybrid();
        Cache {
            tree: PrefixTree::new(capacity, sequences(self.settings)).with_sharing(shares),
            states: if shares { self.states(attention) } else { None },
            unsaved: HashSet::new(),
        }
    }

    fn context(&self, attention: Attention) -> Result<LlamaContext<'a>, EngineError> {
        // llama.cpp's own numbers for "no" and "yes".
        const PLAIN: i32 = 0;
        const FLASH: i32 = 1;
        let settings = self.settings;
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let threads = ThreadGovernor::new(settings.threads).most();
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        let window = self.model.window;
        let cells = settings.kv_tokens.map_or(window, |cells| cells.max(window));
        let (flash, keys) = match attention {
            Attention::Plain => (PLAIN, KvCacheType::F16),
            Attention::Flash => (FLASH, KvCacheType::F16),
            // Where keys and values differ in type, llama.cpp has but one way to compute attention
            // on a CPU, which sums up in the order of the tokens whatever else is in the batch.
            Attention::Reproducible => (FLASH, KvCacheType::Q8_0),
        };
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(number(cells.get())))
            .with_n_seq_max(number(sequences(settings)))
            .with_kv_unified(true)
            .with_n_batch(number(BATCH))
            .with_n_ubatch(number(BATCH))
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_flash_attention_policy(flash)
            .with_type_k(keys)
            .with_no_perf(true);
        self.model.model.new_context(backend(settings.verbose)?, parameters).map_err(|error| {
            EngineError::Unavailable(format!(
                "there is no room for {cells} tokens in the KV cache ({error}); lower LLM_N_CTX or LLM_KV_TOKENS"
            ))
        })
    }

    /// The folder of saved states; without it the engine works as well, only colder.
    fn states(&self, attention: Attention) -> Option<StateStore> {
        /// Changes when a newer llama.cpp writes states in another way.
        const FORMAT: u32 = 1;
        let folder = self.settings.states_folder.as_deref()?;
        let capacity = self.settings.states_capacity;
        if capacity == 0 {
            return None;
        }
        let how = format!("{FORMAT} {attention:?} {}", self.model.model.n_layer());
        fingerprint(&self.settings.model_path, &how)
            .and_then(|fingerprint| StateStore::open(folder, &fingerprint, capacity))
            .inspect_err(|error| {
                tracing::warn!(
                    "nothing can be kept in {} ({error}), so after a restart stories are read anew",
                    folder.display()
                );
            })
            .ok()
    }
}

fn sequences(settings: &LlamaSettings) -> usize {
    settings.parallel + FINISHED_SEQUENCES
}
