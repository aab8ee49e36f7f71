//! The words models read. Every text lies in `prompts/` as a template; the code fills it from a typed
//! context and says nothing to a model by itself. Strict: a name a template asks for and doesn't get
//! is an error, found at start, since every template is rendered once with its sample.
//!
//! A user overrides single files by putting them under `PROMPTS_DIR` with the same names.
//! The only room that knows minijinja.

mod chat_template;

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

pub use self::chat_template::{ChatTemplate, PromptPart, RenderedPrompt};

/// A template's context: which file it fills, and an example that shows every field in use.
pub trait Prompt: Serialize {
    /// Path below `prompts/`.
    const FILE: &'static str;

    fn sample() -> Self;
}

macro_rules! embedded {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../../prompts/", $file)))),*]
    };
}

/// Every template, as shipped.
const SHIPPED: &[(&str, &str)] = embedded![
    "archivist/passage.j2",
    "archivist/question.j2",
    "archivist/standalone.j2",
    "archivist/system.j2",
    "character/react.j2",
    "chat/card.j2",
    "chat/feeling.j2",
    "chat/memory.j2",
    "chat/recollection.j2",
    "chat/summary.j2",
    "chat/system.j2",
    "companion/fact.j2",
    "companion/said.j2",
    "companion/standing.j2",
    "companion/study.j2",
    "distil/character_development.j2",
    "distil/conversation_history.j2",
    "distil/dialogue_summary.j2",
    "distil/emotional_moment.j2",
    "distil/event_sequence.j2",
    "distil/feedback_summary.j2",
    "distil/names.j2",
    "distil/plot_summary.j2",
    "distil/rules.j2",
    "distil/summaries.j2",
    "distil/system_prompt_optimization.j2",
    "distil/text.j2",
    "distil/world_building.j2",
    "editor/evaluate.j2",
    "editor/review.j2",
    "rater/rate.j2",
    "story/archive_passage.j2",
    "story/character.j2",
    "story/context.j2",
    "story/feedback.j2",
    "story/guidance.j2",
    "story/instruction.j2",
    "story/plot_element.j2",
    "story/request.j2",
    "story/system.j2",
    "writer/bio.j2",
    "writer/chapter.j2",
    "writer/character_details.j2",
    "writer/flesh_out.j2",
    "writer/modify.j2",
    "writer/outline.j2",
];

#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("the prompt template {file} is wrong: {reason}")]
    Template { file: String, reason: String },
    #[error("PROMPTS_DIR: {path} can't be read: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(
        "PROMPTS_DIR: there is no prompt named {file}, so this file would never be used; the names are: {known}"
    )]
    UnknownFile { file: String, known: String },
}

/// All templates, compiled.
pub struct Prompts {
    environment: Environment<'static>,
    overridden: Vec<String>,
}

impl Prompts {
    /// The shipped templates, those of `overrides` in the place of their namesakes.
    pub fn load(overrides: Option<&Path>) -> Result<Self, PromptError> {
        let mut environment = strict_environment();
        for (file, source) in SHIPPED {
            add(&mut environment, file, (*source).to_owned())?;
        }
        let mut overridden = Vec::new();
        if let Some(directory) = overrides {
            for (file, source) in read_overrides(directory)? {
                add(&mut environment, &file, source)?;
                overridden.push(file);
            }
        }
        Ok(Self { environment, overridden })
    }

    pub fn render<P: Prompt>(&self, prompt: &P) -> Result<String, PromptError> {
        self.environment
            .get_template(P::FILE)
            .and_then(|template| template.render(Serde(prompt)))
            .map_err(|error| template_error(P::FILE, &error))
    }

    /// Renders the sample, so that a template that can't be filled is found before it is needed.
    pub fn check<P: Prompt>(&self) -> Result<(), PromptError> {
        self.render(&P::sample()).map(drop)
    }

    /// Files taken from `PROMPTS_DIR`.
    pub fn overridden(&self) -> &[String] {
        &self.overridden
    }

    /// Files there are.
    pub fn files() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(file, _)| *file)
    }
}

fn strict_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(line_blocks());
    environment
}

/// Lines that hold only a block tag leave nothing behind.
fn line_blocks() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.trim_blocks(true).lstrip_blocks(true);
    // Building fails only for delimiters that clash, and these are the standard ones.
    builder.build().unwrap_or_default()
}

fn add(
    environment: &mut Environment<'static>,
    file: &str,
    source: String,
) -> Result<(), PromptError> {
    environment
        .add_template_owned(file.to_owned(), source)
        .map_err(|error| template_error(file, &error))
}

/// The error with its line and what lies beneath it.
fn template_error(file: &str, error: &minijinja::Error) -> PromptError {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(deeper) = source {
        reason.push_str(": ");
        reason.push_str(&deeper.to_string());
        source = deeper.source();
    }
    PromptError::Template { file: file.to_owned(), reason }
}

fn read_overrides(directory: &Path) -> Result<Vec<(String, String)>, PromptError> {
    let unreadable =
        |path: &Path, source| PromptError::Unreadable { path: path.to_owned(), source };
    let mut found = Vec::new();
    for agent in std::fs::read_dir(directory).map_err(|error| unreadable(directory, error))? {
        let agent = agent.map_err(|error| unreadable(directory, error))?.path();
        if !agent.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&agent).map_err(|error| unreadable(&agent, error))? {
            let path = file.map_err(|error| unreadable(&agent, error))?.path();
            if path.extension().is_none_or(|extension| extension != "j2") {
                continue;
            }
            let name = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy();
            let name = name.replace('\\', "/");
            if !Prompts::files().any(|known| known == name) {
                let known = Prompts::files().collect::<Vec<_>>().join(", ");
                return Err(PromptError::UnknownFile { file: name, known });
            }
            let source =
                std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
            found.push((name, source));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Nothing {}

    impl Prompt for Nothing {
        const FILE: &'static str = "writer/chapter.j2";

        fn sample() -> Self {
            Self {}
        }
    }

    #[test]
    fn a_missing_name_is_an_error_that_tells_the_file() {
        let error = Prompts::load(None).unwrap().check::<Nothing>().unwrap_err();
        assert!(error.to_string().contains("writer/chapter.j2"), "{error}");
    }

    #[test]
    fn every_file_in_the_folder_is_shipped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
        let files = read_overrides(&folder).unwrap();
        assert_eq!(files.len(), SHIPPED.len());
    }

    #[test]
    fn a_user_overrides_one_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("writer")).unwrap();
        std::fs::write(folder.path().join("writer/chapter.j2"), "Write.").unwrap();
        let prompts = Prompts::load(Some(folder.path())).unwrap();
        assert_eq!(prompts.render(&Nothing {}).unwrap(), "Write.");
        assert_eq!(prompts.overridden(), ["writer/chapter.j2"]);
    }

    #[test]
    fn a_misspelt_override_is_an_error_that_lists_the_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("writer")).unwrap();
        std::fs::write(folder.path().join("writer/chaptre.j2"), "Write.").unwrap();
        let error = Prompts::load(Some(folder.path())).err().unwrap().to_string();
        assert!(
            error.contains("writer/chaptre.j2") && error.contains("writer/chapter.j2"),
            "{error}"
        );
    }
}
