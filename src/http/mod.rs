//! The only room that knows axum: routes, extractors, errors, SSE framing, layers. A handler extracts,
//! calls one thing, and maps.

mod answer;
mod archive;
mod auth;
mod client;
mod companion;
mod docs;
mod error;
mod extract;
mod failures;
mod health;
mod keys;
mod layers;
mod limits;
mod memory;
mod openai;
mod openapi;
mod origins;
mod parameters;
mod personas;
mod receipts;
mod routes;
mod sse;
mod story;
mod tokens;
mod visits;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::error::{ApiError, Code};
pub use self::keys::{ApiKeys, InProcess};
pub use self::limits::{LimitSettings, Limits};
pub use self::openai::TalkDefaults;
pub use self::openapi::document as openapi_document;
pub use self::routes::{story_jobs, story_path};
pub use self::story::examples::CHAPTER as CHAPTER_EXAMPLE;
pub use self::wire::schemas as wire_schemas;
use crate::account::Accounts;
use crate::archive::{Archive, AskingService};
use crate::chat::ChatService;
use crate::companion::Companions;
use crate::embedding::Embedder;
use crate::engine::{Engine, EngineError};
use crate::metrics::Metrics;
use crate::persona::Personas;
use crate::receipts::ReceiptBook;
use crate::story::StoryService;
use crate::tokens::Tokenizers;

/// What handlers work with. Cheap to clone.
#[derive(Clone, FromRef)]
pub struct AppState {
    pub story: Arc<StoryService>,
    /// `None` without an archive.
    pub asking: Option<Arc<AskingService>>,
    pub chat: Arc<ChatService>,
    pub embedder: Arc<dyn Embedder>,
    pub metrics: Metrics,
    pub talk_defaults: Arc<TalkDefaults>,
    pub engine: Arc<dyn Engine>,
    pub tokenizers: Arc<Tokenizers>,
    pub receipts: Option<ReceiptBook>,
    pub personas: Personas,
    /// `None` without a database.
    pub companions: Option<Companions>,
    /// `None` without a database.
    pub accounts: Option<Accounts>,
    /// `None` where it is off.
    pub archive: Option<Archive>,
    pub limits: Limits,
    pub token_limits: Arc<TokenLimits>,
    pub lifecycle: Lifecycle,
}

/// The budgets that `/tokens/strategies` and `/tokens/limits` tell.
#[derive(Clone, Debug)]
pub struct TokenLimits {
    pub window: usize,
    pub max_generation: usize,
    pub max_context_tokens: usize,
    pub buffer_tokens: usize,
    /// Layers A to E.
    pub layers: [usize; 5],
}

/// Ends open streams when the server must stop.
#[derive(Clone, Default)]
pub struct Lifecycle {
    /// Fires when the time for finishing is over.
    pub hard_stop: CancellationToken,
    /// Fires when the server is asked to stop: whoever waits for nothing more is sent home.
    pub closing: CancellationToken,
    /// Open `WebSockets`, which outlive the requests that opened them.
    pub sockets: TaskTracker,
}

impl Lifecycle {
    /// What `work` comes to, unless the server must stop before.
    async fn or_stop<T>(&self, work: impl Future<Output = T>) -> Result<T, EngineError> {
        tokio::select! {
            () = self.hard_stop.cancelled() => Err(EngineError::ShuttingDown),
            done = work => Ok(done),
        }
    }
}

/// How the server faces the network.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// Prefix of the story routes, `/api/v1`.
    pub api_prefix: String,
    pub cors_origins: Vec<String>,
    pub max_request_bytes: usize,
    /// Whether error answers carry their cause.
    pub debug: bool,
    /// What opens the routes that no account guards; none opens them to all.
    pub keys: ApiKeys,
}

/// Every route, with its layers.
pub fn router(state: AppState, settings: &HttpSettings) -> Router {
    let metrics = state.metrics.clone();
    let routes = routes::all(settings, &state.limits);
    layers::wrap(routes.with_state(state), settings, metrics)
}
