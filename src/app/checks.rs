//! What has to be right before a server serves: configuration, prompts, schemas, model, embedder,
//! database. `serve` looks before it binds; `check` looks harder and loads the models.

use std::time::Duration;

use crate::account::SigningKey;
use crate::agents;
use crate::archive::EmbeddedStore;
use crate::chat;
use crate::clock::Clock;
use crate::companion;
use crate::config::{ArchiveBackend, Config};
use crate::distil;
use crate::embedding::MiniLm;
use crate::engine::llama::{LlamaEngine, inspect_model_file};
use crate::engine::remote::RemoteSettings;
use crate::engine::{Engine, EngineState};
use crate::http;
use crate::persona::Personas;
use crate::prompts::Prompts;
use crate::store::Store;

/// One thing looked at.
#[derive(Debug)]
pub struct Check {
    pub what: &'static str,
    pub verdict: Verdict,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// The server runs, with less.
    Warning,
    /// The server does not start.
    Fault,
}

impl Check {
    fn new(what: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { what, verdict, detail: detail.into() }
    }
}

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Milliseconds: files are there and look right.
    Quick,
    /// Models are loaded and used once.
    Thorough,
}

/// All checks, in the order in which a server needs the things.
pub async fn run(config: &Config, depth: Depth) -> Vec<Check> {
    let mut checks = configuration(config);
    checks.extend(binding(config));
    checks.extend(registration(config));
    checks.push(prompts(config));
    checks.push(schemas(config));
    checks.push(database(config));
    checks.push(archive(config));
    checks.push(personas(config));
    checks.push(signing_key(config));
    checks.push(model(config, depth).await);
    checks.push(embedder(config, depth));
    checks
}

fn configuration(config: &Config) -> Vec<Check> {
    const WHAT: &str = "configuration";
    let set = config.settings().filter(|setting| !setting.is_default).count();
    let mut checks =
        vec![Check::new(WHAT, Verdict::Ok, format!("{set} settings differ from their defaults"))];
    let warning = |detail: String| Check::new(WHAT, Verdict::Warning, detail);
    checks.extend(config.warnings().iter().cloned().map(warning));
    checks
}

/// A server that anyone can reach lets nobody in by default.
fn binding(config: &Config) -> Option<Check> {
    let (host, account) = (config.server.host, &config.account);
    let is_local = host.to_canonical().is_loopback();
    if is_local || account.api_keys.is_some() || account.allow_open {
        return None;
    }
    let detail = format!(
        "HOST {host} can be reached from other machines, and anyone there could use the model and read \
         every talk. Set API_KEYS (clients send one as `Authorization: Bearer`), or HOST=127.0.0.1 (with \
         a proxy before it that knows its users), or ALLOW_OPEN=true if you trust everyone who can \
         connect"
    );
    Some(Check::new("binding", Verdict::Fault, detail))
}

/// Keys keep strangers out; an account lets them in again.
fn registration(config: &Config) -> Option<Check> {
    let (host, account) = (config.server.host, &config.account);
    let is_local = host.to_canonical().is_loopback();
    if is_local || account.api_keys.is_none() || !account.enable_registration {
        return None;
    }
    let detail = format!(
        "HOST {host} can be reached from other machines, and whoever does may register and use the model \
         without one of the API_KEYS. Set ENABLE_REGISTRATION=false, once those who should have \
         registered"
    );
    Some(Check::new("registration", Verdict::Warning, detail))
}

fn prompts(config: &Config) -> Check {
    const WHAT: &str = "prompts";
    let prompts = match Prompts::load(config.server.prompts_dir.as_deref()) {
        Ok(prompts) => prompts,
        Err(error) => return Check::new(WHAT, Verdict::Fault, error.to_string()),
    };
    let faults = agents::check_prompts(&prompts)
        .into_iter()
        .chain(distil::check_prompts(&prompts))
        .chain(chat::check_prompts(&prompts))
        .chain(companion::check_prompts(&prompts));
    let faults: Vec<_> = faults.map(|fault| fault.to_string()).collect();
    if !faults.is_empty() {
        return Check::new(WHAT, Verdict::Fault, faults.join("\n"));
    }
    let count = Prompts::files().count();
    let detail = match prompts.overridden() {
        [] => format!("{count} templates, as shipped"),
        own => format!("{count} templates, of them your own: {}", own.join(", ")),
    };
    Check::new(WHAT, Verdict::Ok, detail)
}

fn schemas(config: &Config) -> Check {
    const WHAT: &str = "schemas";
    let schemas = http::wire_schemas();
    for (name, schema) in &schemas {
        if let Err(error) = jsonschema::validator_for(schema) {
            return Check::new(WHAT, Verdict::Fault, format!("{name} is no JSON Schema: {error}"));
        }
    }
    let paths = http::openapi_document(&config.server.api_v1_str)["paths"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    Check::new(WHAT, Verdict::Ok, format!("{} types, {paths} paths in OpenAPI", schemas.len()))
}

fn database(config: &Config) -> Check {
    const WHAT: &str = "database";
    match Store::inspect(&config.server.db_path) {
        Ok(detail) => Check::new(WHAT, Verdict::Ok, detail),
        Err(error) => Check::new(WHAT, Verdict::Fault, error.to_string()),
    }
}

fn archive(config: &Config) -> Check {
    const WHAT: &str = "archive";
    match config.archive.archive_backend {
        ArchiveBackend::Off => Check::new(WHAT, Verdict::Ok, "off".to_owned()),
        ArchiveBackend::Chroma => {
            let url = config.archive.chroma_url.as_deref().unwrap_or_default();
            Check::new(WHAT, Verdict::Ok, format!("ChromaDB at {url}"))
        }
        ArchiveBackend::Embedded => match EmbeddedStore::inspect(super::archive_file(config)) {
            Ok(detail) => Check::new(WHAT, Verdict::Ok, detail),
            Err(error) => Check::new(WHAT, Verdict::Fault, error.to_string()),
        },
    }
}

fn personas(config: &Config) -> Check {
    const WHAT: &str = "personas";
    match Personas::inspect(config.chat.personas_file.clone()) {
        Ok(detail) => Check::new(WHAT, Verdict::Ok, detail),
        Err(error) => Check::new(WHAT, Verdict::Fault, error.to_string()),
    }
}

fn signing_key(config: &Config) -> Check {
    const WHAT: &str = "signing key";
    if config.account.jwt_secret.is_some() {
        return Check::new(WHAT, Verdict::Ok, "JWT_SECRET");
    }
    match SigningKey::inspect(&config.server.db_path) {
        Ok(detail) => Check::new(WHAT, Verdict::Ok, detail),
        Err(error) => Check::new(WHAT, Verdict::Fault, error.to_string()),
    }
}

async fn model(config: &Config, depth: Depth) -> Check {
    const WHAT: &str = "model";
    if let Some(settings) = super::remote_settings(config) {
        return remote_model(settings, depth).await;
    }
    let Some(path) = super::model_path(config) else {
        return Check::new(WHAT, Verdict::Warning, super::missing_model().to_string());
    };
    if let Err(error) = inspect_model_file(&path) {
        return Check::new(WHAT, Verdict::Warning, error.to_string());
    }
    if depth == Depth::Quick {
        return Check::new(WHAT, Verdict::Ok, path.display().to_string());
    }
    let engine = match LlamaEngine::start(super::llama_settings(config, path, Clock::system())) {
        Ok(engine) => engine,
        Err(error) => return Check::new(WHAT, Verdict::Warning, error.to_string()),
    };
    loaded(&engine).await
}

/// Looks whether a server answers that runs the model; asks it nothing that costs.
async fn remote_model(settings: RemoteSettings, depth: Depth) -> Check {
    const WHAT: &str = "model";
    let place = format!("{} at {}", settings.model, settings.base_url);
    if depth == Depth::Quick {
        return Check::new(WHAT, Verdict::Ok, place);
    }
    match super::start_remote(settings, Clock::system()) {
        Ok(engine) => {
            let found = loaded(&engine).await;
            Check { detail: format!("{place}: {}", found.detail), ..found }
        }
        Err(error) => Check::new(WHAT, Verdict::Fault, error.to_string()),
    }
}

async fn loaded(engine: &dyn Engine) -> Check {
    const WHAT: &str = "model";
    let status = wait_until_loaded(engine, |_| {}).await;
    match (status.state, status.window) {
        (EngineState::Ready, Some(window)) => {
            let name = status.model.unwrap_or_default();
            Check::new(WHAT, Verdict::Ok, format!("{name}, window of {window} tokens"))
        }
        _ => Check::new(WHAT, Verdict::Warning, status.error.unwrap_or_default()),
    }
}

/// Waits for a model that is loading; `progress` hears shares from 0 to 1.
pub async fn wait_until_loaded(
    engine: &dyn Engine,
    mut progress: impl FnMut(f32),
) -> crate::engine::EngineStatus {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    loop {
        let status = engine.status();
        if status.state != EngineState::Loading {
            return status;
        }
        progress(status.progress.unwrap_or_default());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn embedder(config: &Config, depth: Depth) -> Check {
    const WHAT: &str = "embedder";
    let folder = super::embedder_folder(config);
    let looked = match depth {
        Depth::Quick => MiniLm::inspect(&folder).map(|_| folder.display().to_string()),
        Depth::Thorough => MiniLm::load(&folder).and_then(|embedder| {
            use crate::embedding::Embedder as _;
            embedder.embed(&["Once upon a time."])?;
            Ok(format!("{}, {} dimensions", embedder.id(), embedder.dimensions()))
        }),
    };
    match looked {
        Ok(detail) => Check::new(WHAT, Verdict::Ok, detail),
        Err(error) => Check::new(
            WHAT,
            Verdict::Warning,
            format!("{error}; fetch it with `rhapsode models pull all-minilm-l6-v2`"),
        ),
    }
}
