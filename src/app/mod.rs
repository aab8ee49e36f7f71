//! From configuration to a running server. The only room that knows all others.

pub mod checks;
mod in_process;
mod settings;
mod shutdown;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use self::settings::{HttpParts, log_settings, remote as remote_settings, signing_key};
pub use self::shutdown::signals;
use crate::account::{Accounts, SigningKey};
use crate::archive::{
    Archive, ArchiveParts, ArchiveStore, AskingService, ChromaStore, EmbeddedStore, Library,
};
use crate::chat::{ChatParts, ChatService};
use crate::clock::Clock;
use crate::companion::{CompanionParts, Companions};
use crate::config::{ArchiveBackend, Config};
use crate::distil::Distiller;
use crate::embedding::{Embedder, LazyEmbedder};
use crate::emotion::Detector;
use crate::engine::llama::{LlamaEngine, LlamaSettings};
use crate::engine::remote::{RemoteEngine, RemoteSettings};
use crate::engine::{Engine, EngineError};
use crate::http::{self, AppState, HttpSettings, Lifecycle, Limits};
use crate::ids::Ids;
use crate::memory::{Memory, MemoryParts};
use crate::metrics::Metrics;
use crate::models;
use crate::persona::Personas;
use crate::prompts::Prompts;
use crate::receipts::ReceiptBook;
use crate::store::Store;
use crate::story::StoryService;
use crate::tokens::Tokenizers;

/// How long streams have to send their last event once they must end.
const TIME_TO_SAY_GOODBYE: std::time::Duration = std::time::Duration::from_secs(1);

/// Everything a server is made of. Tests put in a scripted engine, a fixed clock and seeded ids.
pub struct Parts {
    pub engine: Arc<dyn Engine>,
    pub prompts: Arc<Prompts>,
    pub embedder: Arc<dyn Embedder>,
    pub metrics: Metrics,
    /// `None` where nothing is to be kept.
    pub store: Option<Store>,
    pub personas: Personas,
    pub clock: Clock,
    pub ids: Ids,
    /// What questions are answered from instead of the archive: tests put in what they know.
    pub library: Option<Arc<dyn Library>>,
    /// Signs the tokens of accounts.
    pub signing_key: SigningKey,
}

/// A server that can be asked in process or bound to a port.
pub struct App {
    pub state: AppState,
    http: HttpSettings,
    grace: std::time::Duration,
}

impl Parts {
    /// The real ones: starts loading the model, opens the database.
    pub fn of(config: &Config, prompts: Prompts) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let store = Store::open(&config.server.db_path)?;
        let prompts = Arc::new(prompts);
        let personas = Personas::open(
            config.chat.personas_file.clone(),
            Some(store.clone()),
            Arc::clone(&prompts),
            clock.clone(),
        )?;
        let ids = Ids::unpredictable(clock.clone());
        let signing_key = signing_key(config, &ids)?;
        Ok(Self {
            engine: start_engine(config, clock.clone())?,
            prompts,
            embedder: Arc::new(LazyEmbedder::new(embedder_folder(config))),
            metrics: Metrics::new()?,
            store: Some(store),
            personas,
            ids,
            library: None,
            signing_key,
            clock,
        })
    }
}

impl App {
    pub fn new(config: &Config, parts: Parts) -> Self {
        let engine = Arc::clone(&parts.engine);
        let for_tokenizers = Arc::clone(&engine);
        let tokenizers = Arc::new(Tokenizers::new(
            settings::tokenizer(config),
            config.context.context_enable_caching,
            move || for_tokenizers.counter(),
        ));
        let told_library = parts.library.clone();
        let Parts { prompts, embedder, metrics, store, personas, clock, ids, signing_key, .. } =
            parts;
        let distiller = Distiller::new(
            Arc::clone(&engine),
            Some(Arc::clone(&embedder)),
            Arc::clone(&prompts),
            Arc::clone(&tokenizers),
            store.clone(),
            ids.clone(),
            settings::distil(config),
        );
        let kept = config.context.receipts_kept as usize;
        let keeps_receipts = config.context.context_enable_monitoring && kept > 0;
        let receipts =
            store.clone().filter(|_| keeps_receipts).map(|store| ReceiptBook::new(store, kept));
        let accounts = store.clone().map(|store| {
            let settings = settings::accounts(config, signing_key);
            Accounts::new(store, clock.clone(), ids.clone(), settings)
        });
        let database = store.clone();
        let memory = store.map(|store| {
            Memory::new(MemoryParts {
                store,
                embedder: Arc::clone(&embedder),
                detector: Arc::new(Detector::trained()),
                distiller: distiller.clone(),
                clock: clock.clone(),
                ids: ids.clone(),
                settings: settings::memory(config),
            })
        });
        let kept_talks = database.zip(memory.clone());
        let chat = Arc::new(ChatService::new(ChatParts {
            engine: Arc::clone(&engine),
            prompts: Arc::clone(&prompts),
            tokenizers: Arc::clone(&tokenizers),
            distiller: distiller.clone(),
            memory,
            receipts: receipts.clone(),
            clock: clock.clone(),
            ids: ids.clone(),
            metrics: metrics.clone(),
            settings: settings::chat(config),
        }));
        let companions = kept_talks.and_then(|(store, memory)| {
            Some(Companions::new(CompanionParts {
                chat: Arc::clone(&chat),
                memory,
                store,
                accounts: accounts.clone()?,
                personas: personas.clone(),
                prompts: Arc::clone(&prompts),
                clock: clock.clone(),
                ids: ids.clone(),
                settings: settings::companion(config),
            }))
        });
        let archive = archive(config, &embedder, &clock);
        let story = Arc::new(StoryService {
            engine: Arc::clone(&engine),
            prompts,
            tokenizers: Arc::clone(&tokenizers),
            distiller,
            receipts: receipts.clone(),
            archive: archive.clone().filter(|_| config.context.context_enable_rag),
            clock,
            ids,
            settings: settings::story(config),
        });
        let of_archive = || archive.clone().map(|archive| Arc::new(archive) as Arc<dyn Library>);
        let library = told_library.or_else(of_archive);
        let asking = library.map(|library| asking(config, library, &story));
        let HttpParts { http, token_limits, limits, grace } = settings::http(config);
        let state = AppState {
            story,
            asking,
            chat,
            embedder,
            metrics,
            talk_defaults: Arc::new(settings::talk_defaults(config)),
            engine,
            tokenizers,
            receipts,
            personas,
            companions,
            accounts,
            archive,
            limits: Limits::new(limits),
            token_limits: Arc::new(token_limits),
            lifecycle: Lifecycle::default(),
        };
        Self { state, http, grace }
    }

    pub fn router(&self) -> Router {
        http::router(self.state.clone(), &self.http)
    }

    /// Serves until `stop` fires, then lets open streams finish for a while. A second firing, of
    /// `stop_now`, ends them at once.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: CancellationToken,
        stop_now: CancellationToken,
    ) -> anyhow::Result<()> {
        let router = self.router();
        let hard_stop = self.state.lifecycle.hard_stop.clone();
        let grace = self.grace;
        let stopping = stop.clone();
        let closing = self.state.lifecycle.closing.clone();
        let deadline = tokio::spawn(async move {
            stopping.cancelled().await;
            closing.cancel();
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                () = stop_now.cancelled() => {}
            }
            hard_stop.cancel();
        });
        let chat = Arc::clone(&self.state.chat);
        tokio::spawn({
            let chat = Arc::clone(&chat);
            async move { chat.take_up().await }
        });
        if let Some(archive) = self.state.archive.clone() {
            tokio::spawn(async move { archive.warm().await });
        }
        let upkeep = tokio::spawn(keep_up(self.state.companions.clone(), stop.clone()));
        let closed = self.state.lifecycle.hard_stop.clone();
        // A token is a small packet; it must not wait for the one before to be acknowledged.
        let listener = listener.tap_io(|connection| {
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!("TCP_NODELAY can't be set: {error}");
            }
        });
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned());
        // Streams end themselves at the hard stop; a peer that neither reads nor writes would keep
        // its connection open for good.
        let served = tokio::select! {
            served = serving.into_future() => served,
            () = async {
                closed.cancelled().await;
                tokio::time::sleep(TIME_TO_SAY_GOODBYE).await;
            } => Ok(()),
        };
        let sockets = self.state.lifecycle.sockets.clone();
        sockets.close();
        tokio::select! {
            () = sockets.wait() => {}
            () = async {
                self.state.lifecycle.hard_stop.cancelled().await;
                tokio::time::sleep(TIME_TO_SAY_GOODBYE).await;
            } => {}
        }
        deadline.abort();
        let _ = upkeep.await;
        // What was said to clients that are gone is still being stored.
        chat.finish().await;
        served.context("the server stopped unexpectedly")
    }
}

/// Answers from this library, with what stories are written with.
fn asking(config: &Config, library: Arc<dyn Library>, story: &StoryService) -> Arc<AskingService> {
    Arc::new(AskingService {
        library,
        engine: Arc::clone(&story.engine),
        prompts: Arc::clone(&story.prompts),
        tokenizers: Arc::clone(&story.tokenizers),
        distiller: story.distiller.clone(),
        receipts: story.receipts.clone(),
        clock: story.clock.clone(),
        ids: story.ids.clone(),
        settings: settings::asking(config),
    })
}

/// Sees to companions at once, and each minute from then on; what is begun is done to its end.
async fn keep_up(companions: Option<Companions>, stop: CancellationToken) {
    let Some(companions) = companions else { return };
    let mut minutes = tokio::time::interval(std::time::Duration::from_mins(1));
    while !stop.is_cancelled() {
        tokio::select! {
            _ = minutes.tick() => companions.keep_up().await,
            () = stop.cancelled() => {}
        }
    }
}

/// The archive, unless it is off. Opens nothing yet.
pub fn archive(config: &Config, embedder: &Arc<dyn Embedder>, clock: &Clock) -> Option<Archive> {
    Some(Archive::new(ArchiveParts {
        store: archive_store(config, clock)?,
        embedder: Arc::clone(embedder),
        clock: clock.clone(),
        settings: settings::archive(config),
    }))
}

fn archive_store(config: &Config, clock: &Clock) -> Option<Arc<dyn ArchiveStore>> {
    match config.archive.archive_backend {
        ArchiveBackend::Embedded => {
            Some(Arc::new(EmbeddedStore::new(archive_file(config), clock.clone())))
        }
        ArchiveBackend::Chroma => {
            Some(Arc::new(ChromaStore::new(settings::chroma(config)?, clock.clone())))
        }
        ArchiveBackend::Off => None,
    }
}

/// The embedded archive's file: one a collection.
pub fn archive_file(config: &Config) -> PathBuf {
    let archive = &config.archive;
    let folder = archive.archive_db_path.as_ref().unwrap_or(&config.server.db_path);
    folder.join(format!("{}.sqlite3", archive.archive_collection_name))
}

/// The folder of the sentence embedder.
pub fn embedder_folder(config: &Config) -> PathBuf {
    let chosen = &config.chat.embedding_model;
    if chosen.as_os_str() == FETCHED_EMBEDDER {
        return models::sentence_embedder_dir(&config.engine.models_dir);
    }
    chosen.clone()
}

/// What the embedder that is fetched is called in the settings.
const FETCHED_EMBEDDER: &str = "all-MiniLM-L6-v2";

/// The model file the settings name, else the catalogue's default if it was fetched.
pub fn model_path(config: &Config) -> Option<PathBuf> {
    let fetched = || models::default_text_model(&config.engine.models_dir);
    config.engine.model_path.clone().or_else(fetched)
}

fn start_engine(config: &Config, clock: Clock) -> anyhow::Result<Arc<dyn Engine>> {
    if let Some(settings) = settings::remote(config) {
        return Ok(Arc::new(start_remote(settings, clock)?));
    }
    let Some(model_path) = model_path(config) else {
        return Ok(Arc::new(LlamaEngine::absent(NO_MODEL)));
    };
    let engine = LlamaEngine::start(llama_settings(config, model_path, clock));
    Ok(Arc::new(engine.context("no thread for the engine")?))
}

fn start_remote(settings: RemoteSettings, clock: Clock) -> anyhow::Result<RemoteEngine> {
    let runtime = Handle::try_current().context("remote engines need a runtime")?;
    Ok(RemoteEngine::start(settings, clock, runtime)?)
}

const NO_MODEL: &str = "no model is configured: run `rhapsode models pull smollm2-135m-instruct`, \
    or set MODEL_PATH to a GGUF file, and start the server again";

/// What there is to say about a missing model.
pub fn missing_model() -> EngineError {
    EngineError::Unavailable(NO_MODEL.to_owned())
}

/// How the engine is to run this file.
pub fn llama_settings(config: &Config, model_path: PathBuf, clock: Clock) -> LlamaSettings {
    let engine = &config.engine;
    LlamaSettings {
        model_path,
        window: engine.llm_n_ctx.into(),
        // -1 is all of them.
        gpu_layers: u32::try_from(engine.llm_n_gpu_layers).ok(),
        threads: engine.llm_n_threads.map(|threads| threads as usize),
        queue_size: engine.llm_queue_size,
        parallel: engine.llm_parallel,
        kv_tokens: engine.llm_kv_tokens.map(Into::into),
        flash_attention: settings::flash_attention(engine.llm_flash_attention),
        reproducible: engine.llm_reproducible,
        states_folder: Some(config.server.db_path.join("prefixes")),
        states_capacity: engine.llm_cache_capacity.get(),
        verbose: engine.llm_verbose,
        clock,
    }
}
