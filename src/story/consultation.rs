//! Passages of the archive, looked up for a story request that asks for them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use super::elements::Material;
use super::job::Job;
use super::{StoryError, StoryService};
use crate::archive::{ArchiveError, Filter, Passage, Search};
use crate::context::Agent;

/// Passages where the request doesn't say.
const USUAL_RESULTS: usize = 3;
const MOST_RESULTS: usize = 20;
/// Longest query in characters that is made of a story; the embedder reads about as much.
const LONGEST_QUERY: usize = 1_000;

/// What to look up in the archive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Consultation {
    /// What to look for; else what the request asks for.
    pub query: Option<String>,
    /// Most passages.
    #[schemars(range(min = 1, max = 20))]
    pub max_results: usize,
    /// Only in the file of this name or path.
    pub filter_file_name: Option<String>,
    /// Only in documents whose metadata are so, as in a search of the archive.
    pub filter: Option<Map<String, Value>>,
}

impl Default for Consultation {
    fn default() -> Self {
        Self { query: None, max_results: USUAL_RESULTS, filter_file_name: None, filter: None }
    }
}

/// What the archive had to say.
#[derive(Default)]
pub(super) struct Consulted {
    pub(super) material: Vec<Material>,
    /// For the receipt, where nothing was looked up or found.
    pub(super) note: Option<String>,
}

impl Consulted {
    fn nothing(note: impl Into<String>) -> Self {
        Self { material: Vec::new(), note: Some(note.into()) }
    }
}

impl StoryService {
    /// Looks up what the request asks for. An archive that can't be asked doesn't keep a chapter from
    /// being written; the receipt says so. Blocking.
    pub(super) fn consult(&self, job: &Job) -> Result<Consulted, StoryError> {
        let Some(wanted) = &job.config().archive else { return Ok(Consulted::default()) };
        let fault = |field, message: String| {
            StoryError::fault(&["context_processing_config", "archive", field], message)
        };
        if !(1..=MOST_RESULTS).contains(&wanted.max_results) {
            return Err(fault("max_results", format!("must be a number from 1 to {MOST_RESULTS}")));
        }
        if job.agent == Agent::Character {
            return Ok(Consulted::nothing(
                "nothing was looked up: a character knows only what it was there for",
            ));
        }
        let Some(archive) = &self.archive else {
            return Ok(Consulted::nothing(
                "nothing was looked up: the archive is off (ARCHIVE_BACKEND, CONTEXT_ENABLE_RAG)",
            ));
        };
        let Some(query) = query(wanted, job) else {
            return Ok(Consulted::nothing(
                "nothing was looked up: the request says nothing to look for; set archive.query",
            ));
        };
        let filter = Filter {
            file: wanted.filter_file_name.clone().filter(|name| !name.trim().is_empty()),
            metadata: wanted.filter.clone().unwrap_or_default(),
        };
        let search = Search { query, max_results: wanted.max_results, filter };
        match Handle::current().block_on(archive.search(&search)) {
            Ok(passages) if passages.is_empty() => {
                Ok(Consulted::nothing("the archive holds nothing that was looked for"))
            }
            Ok(passages) => Ok(Consulted { material: in_reading_order(passages), note: None }),
            Err(ArchiveError::Filter(error)) => Err(fault("filter", error.to_string())),
            Err(error) => {
                tracing::warn!("a story was written without the archive: {error}");
                Ok(Consulted::nothing(format!("nothing was looked up: {error}")))
            }
        }
    }
}

/// By file, and as they stand there: the same passages make the same prompt, whatever their ranks.
fn in_reading_order(mut passages: Vec<Passage>) -> Vec<Material> {
    passages.sort_by(|a, b| {
        let place = |it: &Passage| (it.document.file_path.clone(), it.characters.start);
        place(a).cmp(&place(b))
    });
    passages.into_iter().map(|passage| Material::Archive(Arc::new(passage))).collect()
}

/// What the request says to look for; else what it asks the agent to do; else its most important
/// scenes and requests.
fn query(wanted: &Consultation, job: &Job) -> Option<String> {
    let said = |text: &str| !text.trim().is_empty();
    let chosen = wanted.query.clone().filter(|query| said(query));
    let asked = || job.task.clone().filter(|task| said(task));
    let told = || {
        let story = &job.source.story;
        let plot = story.plot_elements.iter().map(|it| (it.priority, &it.content));
        let requests = story.user_requests.iter().map(|it| (it.priority, &it.content));
        let mut told: Vec<_> = plot.chain(requests).filter(|(_, text)| said(text)).collect();
        // Stable: the author's order among equals.
        told.sort_by_key(|(priority, _)| *priority as u8);
        let texts: Vec<_> = told.into_iter().map(|(_, text)| text.as_str()).collect();
        Some(texts.join("\n")).filter(|text| said(text))
    };
    let query = chosen.or_else(asked).or_else(told)?;
    Some(query.chars().take(LONGEST_QUERY).collect())
}
