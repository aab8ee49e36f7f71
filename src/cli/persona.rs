//! `rhapsode persona list | import | export | remove`: works on the database in `DB_PATH`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use super::check::table;
use crate::clock::Clock;
use crate::config::Config;
use crate::persona::{CardFormat, Personas};
use crate::prompts::Prompts;
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub(super) enum Persona {
    /// Who can be talked to
    List,
    /// Make personas of character cards: PNG, CHARX or JSON, V1 to V3
    Import(Import),
    /// Write a persona as a character card
    Export(Export),
    /// Take an imported persona away
    Remove {
        /// The persona's key
        key: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Character cards
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Key of the persona, where there is one file; else its name makes one
    #[arg(long)]
    key: Option<String>,
    /// Take the place of an imported persona with the same key
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The persona's key
    key: String,
    /// Instead of the card's own
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Png,
    Charx,
}

/// What a server that runs has in memory is its own.
const RESTART: &str = "a server that is running takes it up when it is started again";

impl Persona {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let personas = open(config)?;
        match self {
            Self::List => list(&personas),
            Self::Import(import) => import.run(&personas).await?,
            Self::Export(export) => export.run(&personas).await?,
            Self::Remove { key } => {
                personas.remove(&key).await?;
                println!("removed {key}; {RESTART}");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn open(config: &Config) -> anyhow::Result<Personas> {
    let prompts = Prompts::load(config.server.prompts_dir.as_deref())?;
    let store = Store::open(&config.server.db_path)?;
    let file = config.chat.personas_file.clone();
    Ok(Personas::open(file, Some(store), Arc::new(prompts), Clock::system())?)
}

fn list(personas: &Personas) {
    let mut table = table(["key", "name", "role", "tags", "from"]);
    for persona in personas.all() {
        let from = if personas.is_imported(&persona.key) { "a card" } else { "the file" };
        table.add_row([
            persona.key.as_str(),
            &persona.name,
            &persona.role,
            &persona.tags.join(", "),
            from,
        ]);
    }
    println!("{table}");
}

impl Import {
    async fn run(self, personas: &Personas) -> anyhow::Result<()> {
        if self.key.is_some() && self.files.len() > 1 {
            anyhow::bail!("--key names one persona; import the files one by one");
        }
        for path in &self.files {
            let card =
                std::fs::read(path).with_context(|| format!("{} can't be read", path.display()))?;
            let imported = personas
                .import(card, self.key.clone(), self.replace)
                .await
                .with_context(|| path.display().to_string())?;
            for warning in &imported.warnings {
                eprintln!("{}: {warning}", path.display());
            }
            println!("imported {} as {}", imported.persona.name, imported.persona.key);
        }
        println!("{RESTART}");
        Ok(())
    }
}

impl Export {
    async fn run(self, personas: &Personas) -> anyhow::Result<()> {
        let format = self.format.map(|format| match format {
            Format::Json => CardFormat::Json,
            Format::Png => CardFormat::Png,
            Format::Charx => CardFormat::Charx,
        });
        let card = personas.export(&self.key, format).await?;
        match &self.output {
            Some(path) => write(path, &card.bytes),
            None => std::io::stdout().write_all(&card.bytes).context("nobody reads the card"),
        }
    }
}

fn write(path: &Path, card: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, card).with_context(|| format!("{} can't be written", path.display()))
}
