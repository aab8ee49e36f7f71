//! The engine's thread: loads the model, makes a context, and lets the [`Batcher`] work. If that
//! panics, its requests fail, and a new context takes the place of the old one.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_batch::LlamaBatch;

use super::batching::{BATCH, Batcher, Rates, Slices};
use super::load::{Attention, LlamaSettings, LoadedModel, backend};
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
    let mut barren = 0;
    while barren < MOST_BARREN_RESTARTS && !shared.is_closing() {
        let context = match new_context(settings, &model) {
            Ok(context) => context,
            Err(error) => return fail(shared, error),
        };
        if !shared.is_ready() {
            tracing::info!(
                model = model.name,
                window = model.window.get(),
                load_ms = milliseconds(started.elapsed()),
                "{} is ready, with a window of {} tokens",
                model.name,
                model.window
            );
        }
        let steps = shared.counters.steps();
        if serve(settings, shared, &model, context) {
            return;
        }
        tracing::error!("the engine panicked; its requests failed, and it starts again");
        shared.counters.restarted();
        barren = if shared.counters.steps() > steps { 0 } else { barren + 1 };
    }
    fail(shared, EngineError::Unavailable("the engine panics again and again; see the log".into()));
}

/// Whether it ended as it should.
fn serve(
    settings: &LlamaSettings,
    shared: &Shared,
    model: &Arc<LoadedModel>,
    context: LlamaContext<'_>,
) -> bool {
    // Models with a memory of whole texts can't share a part of it.
    let whole_only = model.model.is_recurrent() || model.model.is_hybrid();
    let capacity = context.n_ctx() as usize;
    let mut cache = Cache {
        tree: PrefixTree::new(capacity, sequences(settings)).with_sharing(!whole_only),
        states: None,
    };
    if !whole_only {
        cache.states = open_states(settings, model);
    }
    shared.counters.cache(&cache.tree);
    *shared.cache() = cache;
    shared.set_phase(Phase::Ready(Arc::clone(model)));
    let mut batcher = Batcher {
        model,
        shared,
        context,
        batch: LlamaBatch::new(BATCH, 1),
        running: Vec::new(),
        governor: ThreadGovernor::new(settings.threads),
        slices: Slices::default(),
        rates: Rates::default(),
        others_slow: settings.attention() == Attention::Plain,
    };
    let served = catch_unwind(AssertUnwindSafe(|| batcher.serve())).is_ok();
    // Requests whose sender goes hear that they are lost.
    drop(batcher);
    shared.counters.set_running(0);
    served
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

fn sequences(settings: &LlamaSettings) -> usize {
    settings.parallel + FINISHED_SEQUENCES
}

fn new_context<'model>(
    settings: &LlamaSettings,
    model: &'model LoadedModel,
) -> Result<LlamaContext<'model>, EngineError> {
    // llama.cpp's own numbers for "no" and "yes".
    const PLAIN: i32 = 0;
    const FLASH: i32 = 1;
    let threads = i32::try_from(ThreadGovernor::new(settings.threads).most()).unwrap_or(i32::MAX);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let cells = settings.kv_tokens.map_or(model.window, |cells| cells.max(model.window));
    let (flash, keys) = match settings.attention() {
        Attention::Plain => (PLAIN, KvCacheType::F16),
        Attention::Flash => (FLASH, KvCacheType::F16),
        // Where keys and values differ in type, llama.cpp has but one way to compute attention on a
        // CPU, which sums up in the order of the tokens whatever else is in the batch.
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
    model.model.new_context(backend(settings.verbose)?, parameters).map_err(|error| {
        EngineError::Unavailable(format!(
            "there is no room for {cells} tokens in the KV cache ({error}); lower LLM_N_CTX or LLM_KV_TOKENS"
        ))
    })
}

/// The folder of saved states; without it the engine works as well, only colder.
fn open_states(settings: &LlamaSettings, model: &LoadedModel) -> Option<StateStore> {
    /// Changes when a newer llama.cpp writes states in another way.
    const FORMAT: u32 = 1;
    let folder: &Path = settings.states_folder.as_deref()?;
    if settings.states_capacity == 0 {
        return None;
    }
    let how = format!("{FORMAT} {:?} {}", settings.attention(), model.model.n_layer());
    let opened = fingerprint(&settings.model_path, &how)
        .and_then(|fingerprint| StateStore::open(folder, &fingerprint, settings.states_capacity));
    opened
        .inspect_err(|error| {
            tracing::warn!(
                "nothing can be kept in {} ({error}), so after a restart stories are read anew",
                folder.display()
            );
        })
        .ok()
}
