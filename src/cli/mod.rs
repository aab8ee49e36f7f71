//! The command line: one file a command.

mod archive;
mod check;
mod models;
mod persona;
mod schemas;
mod serve;
mod typesetter;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::log_settings;
use crate::config::{Config, Sources};
use crate::telemetry;

/// A story-writing and roleplay server: structured context in, chapters streamed out, and a receipt
/// that says why.
#[derive(Debug, Parser)]
#[command(name = "rhapsode", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Configuration file instead of ./rhapsode.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A setting, above all other sources; may be given often. CONFIGURATION.md lists the names
    #[arg(long = "set", short = 's', global = true, value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    Serve(serve::Serve),
    /// Send any story request to the agents, and show the answer as it comes
    Write(write::Write),
    /// Look at configuration, prompts, schemas, database, model and embedder
    Check(check::Check),
    /// List models, or fetch one
    #[command(subcommand)]
    Models(models::Models),
    /// List personas, or import, export and remove character cards
    #[command(subcommand)]
    Persona(persona::Persona),
    /// Put stories into the archive, or list, find and remove what is there
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    /// Write or check the generated files: schemas, CONFIGURATION.md, .env.example
    #[command(subcommand)]
    Schemas(schemas::Schemas),
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.trim().to_owned(), value.to_owned()))
}

/// Runs the command that was typed.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { command, config, mut settings } = arguments;
    if let Command::Schemas(command) = command {
        return command.run();
    }
    if let Command::Serve(serve) = &command {
        settings.extend(serve.settings());
    }
    let config = Config::load(&Sources::of_process(settings, config))?;
    let mut log = log_settings(&config);
    if !matches!(command, Command::Serve(_)) {
        // A terminal command speaks for itself; its log is for what went wrong.
        log.level = log.level.min(tracing::Level::WARN);
        log.json = false;
    }
    telemetry::init(log);
    match command {
        Command::Serve(_) => serve::run(config).await,
        Command::Write(command) => command.run(config).await,
        Command::Check(command) => command.run(&config).await,
        Command::Models(command) => command.run(&config).await,
        Command::Persona(command) => command.run(&config).await,
        Command::Archive(command) => command.run(&config).await,
        Command::Schemas(command) => command.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_setting_is_a_name_and_a_value() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(setting("PORT=8001"), pair("PORT", "8001"));
        assert_eq!(setting("HF_TOKEN=a=b"), pair("HF_TOKEN", "a=b"));
        assert!(setting("PORT").is_err());
    }
}
