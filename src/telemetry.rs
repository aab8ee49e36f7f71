//! The log: to standard error, as JSON or as lines for people. Story text and prompts are logged at
//! TRACE only, under a target of their own, and only when asked for.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The target of prompts and answers.
pub const GENERATION: &str = "rhapsode::generation";

#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    pub level: Level,
    pub json: bool,
    /// Whether prompts and answers are logged, whatever the level.
    pub generations: bool,
}

/// Sets the log up for the whole process. A second call changes nothing.
pub fn init(settings: LogSettings) {
    // Libraries' details drown the server's own below DEBUG.
    let libraries = settings.level.min(Level::INFO);
    let generations = if settings.generations { Some(Level::TRACE) } else { None };
    let targets = Targets::new()
        .with_default(libraries)
        .with_target("rhapsode", settings.level)
        .with_target("llama-cpp-2", settings.level)
        .with_target(GENERATION, generations);
    let lines = if settings.json {
        fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().with_writer(std::io::stderr).boxed()
    };
    // An error means that a log is set up already.
    let _ = tracing_subscriber::registry().with(lines.with_filter(targets)).try_init();
}
