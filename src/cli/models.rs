//! `rhapsode models list | pull`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::check::table;
use crate::config::Config;
use crate::models::{
    self, CatalogueModel, DEFAULT_HUB_ENDPOINT, ModelSource, ModelState, PullSettings, Scrutiny,
    TerminalProgress,
};

#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// What the catalogue knows and what is here
    List,
    /// Fetch a model by its catalogue name, or as hf:org/repository/file.gguf
    Pull(Pull),
}

#[derive(Debug, Args)]
pub(super) struct Pull {
    /// Catalogue names, or hf:org/repository/file.gguf
    #[arg(required_unless_present = "default")]
    models: Vec<String>,
    /// The models a server needs to run with nothing else: a small writer and an embedder
    #[arg(long)]
    default: bool,
}

impl Models {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        match self {
            Self::List => list(config),
            Self::Pull(pull) => pull.run(config).await,
        }
    }
}

fn list(config: &Config) -> anyhow::Result<ExitCode> {
    let inventory = models::installed(&config.engine.models_dir, Scrutiny::Size)?;
    let mut table = table(["model", "state", "size", "licence", "for"]);
    for item in &inventory.catalogue {
        let state = match &item.state {
            ModelState::Installed => "here".to_owned(),
            ModelState::Missing => "not fetched".to_owned(),
            ModelState::Damaged(_) => "damaged; pull it again".to_owned(),
        };
        let size = megabytes(item.model.bytes());
        table.add_row([item.model.name, &state, &size, item.model.licence, item.model.purpose]);
    }
    for other in &inventory.others {
        let state = if other.is_gguf { "here" } else { "no GGUF file" };
        table.add_row([&other.name, state, &megabytes(other.bytes), "", ""]);
    }
    println!("{table}");
    println!("in {}", config.engine.models_dir.display());
    Ok(ExitCode::SUCCESS)
}

impl Pull {
    async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let mut names = self.models;
        if self.default {
            names.extend(CatalogueModel::defaults().map(|model| model.name.to_owned()));
        }
        let endpoint = config.engine.hf_endpoint.clone();
        let settings = PullSettings {
            models_dir: config.engine.models_dir.clone(),
            hub_endpoint: endpoint.unwrap_or_else(|| DEFAULT_HUB_ENDPOINT.to_owned()),
            hub_token: config.engine.hf_token.as_ref().map(|token| token.expose().to_owned()),
        };
        for name in names {
            let source: ModelSource = name.parse()?;
            let progress = TerminalProgress::new();
            let pulled = models::pull(&source, &settings, &progress).await?;
            println!("{pulled}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
