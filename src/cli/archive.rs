//! `rhapsode archive add | list | find | remove`: works on the archive of the settings, whether a
//! server uses it at the same time or not.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};
use walkdir::{DirEntry, WalkDir};

use super::check::table;
use crate::app;
use crate::archive::{Archive, DocumentId, Filter, Ingested, Outcome, Progress, Search};
use crate::clock::Clock;
use crate::config::Config;
use crate::embedding::{Embedder, LazyEmbedder};

/// Files that are taken of a folder; others must be named.
const EXTENSIONS: [&str; 8] = ["txt", "text", "md", "markdown", "html", "htm", "xhtml", "epub"];

#[derive(Debug, Subcommand)]
pub(super) enum ArchiveCommand {
    /// Put stories into the archive: text, Markdown, HTML, EPUB, or folders of them
    Add(Add),
    /// What the archive holds
    List,
    /// Passages that fit a query
    Find(Find),
    /// Take documents out of the archive
    Remove {
        /// Their paths, as `list` tells them, or ids
        #[arg(required = true, value_name = "PATH")]
        documents: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Something to filter searches by, for all of the files: author="Mary Shelley", year=1818. Values
    /// that are JSON are taken as such
    #[arg(long = "metadata", short, value_name = "NAME=VALUE", value_parser = entry)]
    metadata: Vec<(String, Value)>,
}

#[derive(Debug, Args)]
pub(super) struct Find {
    /// What to look for
    query: String,
    /// Most passages
    #[arg(long, short = 'n', default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    max_results: u8,
    /// Only in the file of this name or path
    #[arg(long)]
    file: Option<String>,
    /// Only in documents with this value
    #[arg(long = "metadata", short, value_name = "NAME=VALUE", value_parser = entry)]
    metadata: Vec<(String, Value)>,
}

fn entry(text: &str) -> Result<(String, Value), String> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.trim().to_owned(), value))
}

impl ArchiveCommand {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<ExitCode> {
        let folder = app::embedder_folder(config);
        let embedder: Arc<dyn Embedder> = Arc::new(LazyEmbedder::new(folder));
        let archive = app::archive(config, &embedder, &Clock::system());
        let archive = archive.context("the archive is off: set ARCHIVE_BACKEND")?;
        match self {
            Self::Add(add) => return add.run(&archive).await,
            Self::List => list(&archive).await?,
            Self::Find(find) => find.run(&archive).await?,
            Self::Remove { documents } => remove(&archive, &documents).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Add {
    async fn run(self, archive: &Archive) -> anyhow::Result<ExitCode> {
        let metadata: Map<String, Value> = self.metadata.into_iter().collect();
        let mut files = Vec::new();
        let mut tally = Tally::default();
        for path in &self.paths {
            for entry in files_in(path)? {
                match entry {
                    Ok(file) => files.push(file),
                    Err(error) => {
                        tally.failed += 1;
                        eprintln!("{error:#}");
                    }
                }
            }
        }
        if files.is_empty() {
            bail!("there is nothing to add: folders are searched for {}", EXTENSIONS.join(", "));
        }
        let progress = Bar::new(files.len());
        for file in &files {
            progress.file(file);
            match add(archive, file, &metadata, &progress).await {
                Ok(ingested) => tally.count(ingested.outcome),
                Err(Failure::File(error)) => {
                    tally.failed += 1;
                    progress.say(&format!("{}: {error:#}", file.display()));
                }
                Err(Failure::Archive(error)) => {
                    progress.end();
                    println!("{}", tally.in_words());
                    return Err(error.context(file.display().to_string()));
                }
            }
        }
        progress.end();
        println!("{}", tally.in_words());
        Ok(if tally.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Why a file isn't in the archive.
enum Failure {
    /// The file's own fault; others may do better.
    File(anyhow::Error),
    Archive(anyhow::Error),
}

async fn add(
    archive: &Archive,
    file: &Path,
    metadata: &Map<String, Value>,
    progress: &Bar,
) -> Result<Ingested, Failure> {
    let name = name(file).map_err(Failure::File)?;
    let bytes = read(file, archive.settings().largest_file).await.map_err(Failure::File)?;
    let read = archive.read(name, bytes, metadata.clone()).await;
    let new = read.map_err(|error| Failure::Archive(error.into()))?;
    let new = new.map_err(|error| Failure::File(error.into()))?;
    let mut steps = pin!(archive.ingest(new));
    while let Some(step) = steps.next().await {
        match step.map_err(|error| Failure::Archive(error.into()))? {
            Progress::Embedded { chunks, of } => progress.chunks(chunks, of),
            Progress::Done(ingested) => return Ok(ingested),
        }
    }
    Err(Failure::Archive(anyhow::anyhow!("adding it ended without a result")))
}

/// Reads no more than is allowed, and one byte, by which too large a file is known.
async fn read(file: &Path, largest: usize) -> anyhow::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt as _;
    let mut bytes = Vec::new();
    let open = tokio::fs::File::open(file).await.context("it can't be opened")?;
    let most = u64::try_from(largest).unwrap_or(u64::MAX).saturating_add(1);
    open.take(most).read_to_end(&mut bytes).await.context("it can't be read")?;
    Ok(bytes)
}

/// By which the archive knows a file: its whole path, so that no two folders' files are taken for one.
fn name(file: &Path) -> anyhow::Result<String> {
    let whole = file.canonicalize().context("it can't be opened")?;
    let name = whole.to_str().context("its name is not Unicode: rename it")?;
    Ok(name.to_owned())
}

/// A file itself, or the stories in a folder and those below it, in the order of their names.
fn files_in(path: &Path) -> anyhow::Result<Vec<anyhow::Result<PathBuf>>> {
    if !path.is_dir() {
        path.metadata().with_context(|| format!("{} can't be read", path.display()))?;
        return Ok(vec![Ok(path.to_owned())]);
    }
    let is_hidden = |entry: &DirEntry| {
        entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
    };
    let walk = WalkDir::new(path).follow_links(true).sort_by_file_name().into_iter();
    let mut files = Vec::new();
    for entry in walk.filter_entry(|entry| !is_hidden(entry)) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                files.push(Err(error.into()));
                continue;
            }
        };
        let extension = entry.path().extension().map(|it| it.to_string_lossy().to_lowercase());
        let is_story = extension.is_some_and(|it| EXTENSIONS.contains(&it.as_str()));
        if entry.file_type().is_file() && is_story {
            files.push(Ok(entry.into_path()));
        }
    }
    Ok(files)
}

/// What became of the files.
#[derive(Default)]
struct Tally {
    added: usize,
    replaced: usize,
    updated: usize,
    unchanged: usize,
    duplicates: usize,
    failed: usize,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        let place = match outcome {
            Outcome::Added => &mut self.added,
            Outcome::Replaced => &mut self.replaced,
            Outcome::Updated => &mut self.updated,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Duplicate => &mut self.duplicates,
        };
        *place += 1;
    }

    fn in_words(&self) -> String {
        let counts = [
            (self.added, "added"),
            (self.replaced, "replaced by their new text"),
            (self.updated, "given new metadata"),
            (self.unchanged, "there already"),
            (self.duplicates, "there already under another name"),
            (self.failed, "left out, see above"),
        ];
        let told = counts.into_iter().filter(|(count, _)| *count > 0);
        told.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
    }
}

/// The bar on standard error: a step a file, and the chunks of the one at work.
struct Bar(ProgressBar);

impl Bar {
    fn new(files: usize) -> Self {
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(files as u64), target);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    fn file(&self, file: &Path) {
        if !self.0.message().is_empty() {
            self.0.inc(1);
        }
        self.0.set_message(file.display().to_string());
    }

    fn chunks(&self, done: usize, of: usize) {
        let message = self.0.message();
        let file = message.split("  ").next().unwrap_or_default();
        self.0.set_message(format!("{file}  {done} of {of} chunks"));
    }

    fn say(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

async fn list(archive: &Archive) -> anyhow::Result<()> {
    let documents = archive.documents(&Filter::default()).await?;
    let mut table = table(["path", "title", "author", "characters", "chunks", "id"]);
    for document in &documents {
        let told = |name: &str| match document.metadata.get(name) {
            // What a client sent may hold what terminals obey.
            Some(Value::String(text)) => text.replace(char::is_control, " "),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        table.add_row([
            document.file_path.clone(),
            told("title"),
            told("author"),
            document.characters.to_string(),
            document.chunks.to_string(),
            document.id.to_string(),
        ]);
    }
    println!("{table}");
    let holdings = archive.holdings().await?;
    println!("{} documents in {}", holdings.documents, holdings.place);
    Ok(())
}

impl Find {
    async fn run(self, archive: &Archive) -> anyhow::Result<()> {
        let filter = Filter { file: self.file, metadata: self.metadata.into_iter().collect() };
        let max_results = self.max_results.into();
        let found = archive.search(&Search { query: self.query, max_results, filter }).await?;
        if found.is_empty() {
            println!("nothing was found");
        }
        for passage in found {
            let place = &passage.characters;
            let chapter = passage.section.map(|it| format!(", {it}")).unwrap_or_default();
            println!(
                "{}{chapter}, characters {} to {} (score {:.2})\n",
                passage.document.file_path, place.start, place.end, passage.score
            );
            println!("{}\n", passage.text.trim());
        }
        Ok(())
    }
}

async fn remove(archive: &Archive, documents: &[String]) -> anyhow::Result<()> {
    for wanted in documents {
        let whole = std::path::absolute(wanted).unwrap_or_default();
        let mut found = archive.document_at(wanted).await?;
        if found.is_none() {
            found = archive.document_at(&whole.to_string_lossy()).await?;
        }
        let of_path = found.map(|document| document.id.clone());
        let id = of_path.or_else(|| DocumentId::parse(wanted));
        let is_gone = match &id {
            Some(id) => archive.remove(id).await?,
            None => false,
        };
        if !is_gone {
            bail!(
                "the archive has no document {wanted:?}; `rhapsode archive list` tells what there is"
            );
        }
        println!("removed {wanted}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_are_json_where_they_can_be() {
        let read = |text: &str| entry(text).unwrap().1;
        assert_eq!(read("year=1818"), json!(1818));
        assert_eq!(read("author=Mary Shelley"), json!("Mary Shelley"));
        assert_eq!(read(r#"tags=["sea","storm"]"#), json!(["sea", "storm"]));
        assert!(entry("author").is_err());
    }

    #[test]
    fn folders_give_their_stories_and_nothing_hidden() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/.git")).unwrap();
        for file in ["b/two.EPUB", "a.txt", "b/cover.png", "b/.git/x.txt", ".notes.md"] {
            std::fs::write(folder.path().join(file), "text").unwrap();
        }
        let found = files_in(folder.path()).unwrap();
        let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
        let expected = ["a.txt", "b/two.EPUB"].map(|file| folder.path().join(file));
        assert_eq!(found, expected);
        assert_eq!(files_in(&folder.path().join("b/cover.png")).unwrap().len(), 1);
        assert!(files_in(&folder.path().join("nowhere")).is_err());
    }
}
