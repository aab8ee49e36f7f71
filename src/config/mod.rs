//! Every setting of the server: read, checked, and remembered with where it came from.
//!
//! The section files declare each setting once; typed fields, checks and documents all come from
//! that declaration. This is the only room that reads the process environment. It never opens
//! what a path names: whoever uses a file reports that it is missing.

mod account;
mod agents;
mod archive;
mod chat;
mod checks;
mod choice;
mod companion;
mod context;
mod distillation;
mod dotenv;
mod engine;
mod faults;
mod layers;
mod reading;
pub mod reference;
pub mod registry;
mod remote;
mod section;
mod server;
mod sources;
#[cfg(test)]
mod tests;
mod toml_file;
mod validation;
mod value;

use reading::Reading;
use section::{Section, Visitor};

pub use account::Account;
pub use agents::Agents;
pub use archive::Archive;
pub use chat::Chat;
pub use choice::{
    AllocationMode, ArchiveBackend, DistillationMethod, FlashAttention, JwtAlgorithm, LogFormat,
    LogLevel, OverflowStrategy, Provider, TokenHeader, TokenizerChoice,
};
pub use companion::Companion;
pub use context::Context;
pub use distillation::Distillation;
pub use engine::Engine;
pub use faults::{ConfigFault, ConfigFaults};
pub use registry::registry;
pub use remote::Remote;
pub use server::Server;
pub use sources::{Source, Sources};
pub use validation::Validation;
pub use value::{ByteCount, Kind, Secret};

/// The settings in force, one field a section. A field is named like its setting, in lower case.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub engine: Engine,
    pub remote: Remote,
    pub context: Context,
    pub agents: Agents,
    pub distillation: Distillation,
    pub chat: Chat,
    pub companion: Companion,
    pub account: Account,
    pub validation: Validation,
    pub archive: Archive,
    in_use: Vec<SettingInUse>,
    warnings: Vec<String>,
}

/// One setting as it was loaded, for a table a person reads.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingInUse {
    pub name: &'static str,
    /// As `.env` would write it; empty when unset, `****` for a secret.
    pub value: String,
    pub source: Source,
    /// Whether the value is the default, whoever set it.
    pub is_default: bool,
}

impl Config {
    /// Reads every layer and checks everything before it answers: either all is well, or the
    /// error names all that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, ConfigFaults> {
        let mut reading = Reading::of(sources);
        let mut config = Self::visit(&mut reading);
        let (in_use, warnings, faults) = reading.finish(&config);
        config.in_use = in_use;
        config.warnings = warnings;
        if faults.is_empty() { Ok(config) } else { Err(ConfigFaults(faults)) }
    }

    /// For tests and benches: defaults, and these settings as if from the command line.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Result<Self, ConfigFaults> {
        let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Self::load(&Sources { overrides: pairs.iter().map(own).collect(), ..Sources::default() })
    }

    /// Every setting with its value and where it came from, in the order of the documents.
    pub fn settings(&self) -> impl Iterator<Item = &SettingInUse> {
        self.in_use.iter()
    }

    /// What is legal and yet likely not meant: a typo in `.env`, or settings that disagree.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn visit(visitor: &mut impl Visitor) -> Self {
        Self {
            server: Server::visit(visitor),
            engine: Engine::visit(visitor),
            remote: Remote::visit(visitor),
            context: Context::visit(visitor),
            agents: Agents::visit(visitor),
            distillation: Distillation::visit(visitor),
            chat: Chat::visit(visitor),
            companion: Companion::visit(visitor),
            account: Account::visit(visitor),
            validation: Validation::visit(visitor),
            archive: Archive::visit(visitor),
            in_use: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let mut reading = Reading::of(&Sources::default());
        let mut config = Self::visit(&mut reading);
        (config.in_use, config.warnings, _) = reading.finish(&config);
        config
    }
}
