//! `rhapsode schemas write | check`: the files that are made from the code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::config::reference;
use crate::http;

#[derive(Debug, Subcommand)]
pub(super) enum Schemas {
    /// Write them
    Write(Place),
    /// Tell which are not as the code would write them
    Check(Place),
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The folder that holds schemas/, CONFIGURATION.md and .env.example
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,
}

impl Schemas {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Write(place) => write(&place.dir),
            Self::Check(place) => Ok(check(&place.dir)),
        }
    }
}

/// Every generated file by its path, with what it must hold.
fn generated() -> BTreeMap<PathBuf, String> {
    const DEFAULT_PREFIX: &str = "/api/v1";
    let pretty = |value: &serde_json::Value| format!("{value:#}\n");
    let mut files: BTreeMap<_, _> = http::wire_schemas()
        .iter()
        .map(|(name, schema)| (PathBuf::from(format!("schemas/{name}.json")), pretty(schema)))
        .collect();
    files.insert("schemas/openapi.json".into(), pretty(&http::openapi_document(DEFAULT_PREFIX)));
    files.insert("CONFIGURATION.md".into(), reference::configuration_md());
    files.insert(".env.example".into(), reference::env_example());
    files
}

fn write(folder: &Path) -> anyhow::Result<ExitCode> {
    let generated = generated();
    for stale in stale_schemas(folder, &generated) {
        std::fs::remove_file(&stale).with_context(|| stale.display().to_string())?;
        println!("removed {}", stale.display());
    }
    for (path, content) in generated {
        let path = folder.join(path);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == content) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        std::fs::write(&path, content).with_context(|| path.display().to_string())?;
        println!("wrote {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn check(folder: &Path) -> ExitCode {
    let generated = generated();
    let differing = generated.iter().filter_map(|(path, content)| {
        let path = folder.join(path);
        let there = std::fs::read_to_string(&path);
        (!there.is_ok_and(|there| there == *content)).then_some(path)
    });
    let faulty: Vec<_> = differing.chain(stale_schemas(folder, &generated)).collect();
    for path in &faulty {
        eprintln!("{} is not as the code has it; run `rhapsode schemas write`", path.display());
    }
    if faulty.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Schemas of types that no longer exist.
fn stale_schemas(folder: &Path, generated: &BTreeMap<PathBuf, String>) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("schemas")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| {
            path.strip_prefix(folder).is_ok_and(|relative| !generated.contains_key(relative))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_are_as_the_code_has_them() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(check(folder), ExitCode::SUCCESS, "run: cargo run -- schemas write");
    }
}
