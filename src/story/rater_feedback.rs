//! A reader's rating: scores in named respects, with quotes that exist in the text.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answering::Answer;
use super::container::{ContextProcessingConfig, StructuredContext};
use super::editor_review::work_and_brief;
use super::elements::Material;
use super::full_state::{RaterConfiguration, RequestContext};
use super::job::{Job, Words};
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, SuggestionForm, ask, told};
use super::source::{Faults, Presence, Source, first_said, required};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::editor::Suggestion;
use crate::agents::rater::{
    self, Evidence, NormalisedText, RatePrompt, RatingAnswer, ScoreAnswer, USUAL_DIMENSIONS,
};
use crate::agents::{Profile, structured};
use crate::context::Agent;
use crate::engine::ClientId;

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 20, "Putting the context together"),
    reading: Some(told(JobPhase::Evaluating, 50, "Reading the text")),
    writing: told(JobPhase::GeneratingFeedback, 75, "Writing the rating"),
    finishing: told(JobPhase::Parsing, 90, "Checking scores and quotes"),
};

/// A request for a rating.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RaterFeedbackRequest {
    /// What the rater goes by. With the later shape, the prompt of the rater that `raterName` names.
    #[serde(rename = "raterPrompt")]
    pub rater_prompt: Option<String>,
    /// Which of the story's raters rates (later shape), by name or id.
    #[serde(rename = "raterName")]
    pub rater_name: Option<String>,
    /// What is rated: a plot point, or the text itself.
    #[serde(rename = "plotPoint")]
    pub plot_point: Option<String>,
    /// A chapter to rate; quotes are then taken from it.
    #[serde(rename = "chapterToRate")]
    pub chapter_to_rate: Option<String>,
    /// The respects to judge in; without any: plot, characters, prose, pacing.
    #[schemars(length(max = 12), inner(length(min = 1, max = 40)))]
    pub dimensions: Vec<String>,
    pub structured_context: Option<StructuredContext>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    pub request_context: Option<RequestContext>,
}

/// A rating.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RaterFeedbackResponse {
    pub rater_name: String,
    pub feedback: Rating,
    #[serde(flatten)]
    pub degradation: Degradation,
    #[serde(rename = "context_metadata")]
    pub context_metadata: Option<ContextMetadata>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rating {
    pub opinion: String,
    /// Sentences, or objects where the request asks for those.
    pub suggestions: Vec<RaterSuggestion>,
    /// By respect.
    pub scores: BTreeMap<String, Judgement>,
    /// Mean of the scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall: Option<f64>,
    /// Quotes that the text doesn't hold; they were removed.
    pub quotes_removed: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    /// 1 is poor, 10 excellent.
    pub score: u8,
    /// How sure the rater is, 0 to 1.
    pub confidence: f64,
    /// Quotes from the text that was rated.
    pub evidence: Vec<Evidence>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RaterSuggestion {
    Sentence(String),
    Object(Suggestion),
}

impl StoryRequest for RaterFeedbackRequest {
    type Response = RaterFeedbackResponse;

    fn begin(self, desk: Desk) -> Result<Events<RaterFeedbackResponse>, StoryError> {
        let mut faults = Faults::default();
        let source = faults.or_default(Source::new(
            self.structured_context,
            self.request_context,
            self.context_processing_config,
            None,
            Presence::Required,
        ))?;
        let older = source.story.plot_context.as_ref().and_then(|plot| plot.point.as_deref());
        let subject = first_said([self.plot_point.as_deref(), older]).map(str::to_owned);
        let chapter = self.chapter_to_rate.filter(|chapter| !chapter.trim().is_empty());
        if chapter.is_none() && subject.is_none() {
            faults.add(StoryError::missing(&["plotPoint"], "is required: what is to be rated"))?;
        }
        let rater = rater_meant(&source, self.rater_name.as_deref(), self.rater_prompt);
        let rater = faults.or_default(rater)?;
        let dimensions = faults.or_default(dimensions(&self.dimensions, &["dimensions"]))?;
        faults.told()?;
        let is_later = source.is_later_shape();
        let form = if is_later { SuggestionForm::Objects } else { desk.suggestions };
        let profile = desk.service.settings.profiles.rater.clone();
        let task = Task { subject: subject.clone(), chapter: chapter.as_deref(), dimensions };
        let job = rating(desk.client.clone(), profile, source, task, rater.prompt);
        let text = chapter.or(subject).unwrap_or_default();
        ask(
            &desk,
            job,
            PHASES.of_later_shape(is_later),
            structured::<RatingAnswer>,
            move |answer| Ok(rated(answer, rater.name, &text, form)),
        )
    }
}

/// Who rates, and by what.
#[derive(Default)]
pub(super) struct Rater {
    pub(super) name: String,
    pub(super) prompt: String,
}

/// The rater of a request: its own prompt, else one of the story's raters.
fn rater_meant(
    source: &Source,
    name: Option<&str>,
    prompt: Option<String>,
) -> Result<Rater, StoryError> {
    if let Some(prompt) = prompt.filter(|prompt| !prompt.trim().is_empty()) {
        let name = name.unwrap_or("Rater").to_owned();
        return Ok(Rater { name, prompt });
    }
    let Some(full) = &source.full else {
        return Err(StoryError::missing(
            &["raterPrompt"],
            "is required: what the rater goes by, in plain words",
        ));
    };
    let raters = &full.configuration.raters;
    let wanted = required(name, &["raterName"], "is required (or raterPrompt)")?;
    let is_meant = |rater: &&RaterConfiguration| rater.name == wanted || rater.id == wanted;
    let Some(rater) = raters.iter().find(is_meant) else {
        let names: Vec<_> = raters.iter().map(|rater| rater.name.as_str()).collect();
        let message =
            format!("the story has no rater {wanted:?}; its raters are: {}", names.join(", "));
        return Err(StoryError::fault(&["raterName"], message));
    };
    Ok(Rater { name: rater.name.clone(), prompt: rater.system_prompt.clone() })
}

/// More than these would not fit a rater's answer.
const MOST_DIMENSIONS: usize = 12;
const LONGEST_DIMENSION: usize = 40;

/// The respects to judge in, each once.
pub(super) fn dimensions(wanted: &[String], path: &[&str]) -> Result<Vec<String>, StoryError> {
    let mut dimensions: Vec<String> = Vec::new();
    for name in wanted.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        if !dimensions.iter().any(|known| known == name) {
            dimensions.push(name.to_owned());
        }
    }
    if dimensions.is_empty() {
        return Ok(USUAL_DIMENSIONS.map(str::to_owned).to_vec());
    }
    let is_too_long = |name: &String| name.chars().count() > LONGEST_DIMENSION;
    if dimensions.len() > MOST_DIMENSIONS || dimensions.iter().any(is_too_long) {
        return Err(StoryError::fault(path, "must be 12 at most, of at most 40 characters each"));
    }
    Ok(dimensions)
}

/// What is to be rated, and how.
pub(super) struct Task<'a> {
    pub(super) subject: Option<String>,
    pub(super) chapter: Option<&'a str>,
    pub(super) dimensions: Vec<String>,
}

/// The job of rating.
pub(super) fn rating(
    client: ClientId,
    profile: Profile,
    source: Source,
    task: Task<'_>,
    prompt: String,
) -> Job {
    let Task { subject, chapter, dimensions } = task;
    let brief = Some(prompt);
    let material = match chapter {
        Some(chapter) => work_and_brief("chapter", chapter, brief),
        None => brief
            .filter(|brief| !brief.trim().is_empty())
            .map(Material::Brief)
            .into_iter()
            .collect(),
    };
    let json_schema = Some(rater::schema(&dimensions));
    let said = subject.clone();
    let words: Words = Box::new(move |prompts, parts| {
        let (subject, dimensions) = (said.clone(), dimensions.clone());
        parts.messages(prompts, |guidance| RatePrompt { subject, dimensions, guidance })
    });
    Job {
        task: subject,
        material,
        json_schema,
        ..Job::new(client, Agent::Rater, profile, source, words)
    }
}

/// The rating with its quotes looked up in the text.
pub(super) fn rated(
    mut answer: Box<Answer<RatingAnswer>>,
    rater_name: String,
    text: &str,
    form: SuggestionForm,
) -> RaterFeedbackResponse {
    let (said, degradation) = answer.said_or_nothing();
    RaterFeedbackResponse {
        rater_name,
        feedback: said.map(|said| checked(said, text, form)).unwrap_or_default(),
        degradation,
        context_metadata: Some(answer.context),
    }
}

fn checked(said: RatingAnswer, text: &str, form: SuggestionForm) -> Rating {
    let text = NormalisedText::new(text);
    let mut quotes_removed = 0;
    let mut scores = BTreeMap::new();
    for (dimension, answer) in said.scores {
        let quotes = answer.evidence.len();
        let evidence: Vec<_> =
            answer.evidence.iter().filter_map(|quote| rater::find_quote(&text, quote)).collect();
        quotes_removed += quotes - evidence.len();
        let ScoreAnswer { score, confidence, .. } = answer;
        scores.insert(dimension, Judgement { score, confidence, evidence });
    }
    let total: f64 = scores.values().map(|score| f64::from(score.score)).sum();
    let overall = (!scores.is_empty()).then(|| total / scores.len() as f64);
    let suggestions = said.suggestions.into_iter().map(|suggestion| match form {
        SuggestionForm::Objects => RaterSuggestion::Object(suggestion),
        SuggestionForm::Strings => RaterSuggestion::Sentence(format!(
            "{}: {}",
            suggestion.issue.trim_end_matches(['.', ':']),
            suggestion.suggestion
        )),
    });
    Rating {
        opinion: said.opinion,
        suggestions: suggestions.collect(),
        scores,
        overall,
        quotes_removed,
    }
}
