//! A panel: one chapter, read by any number of editors, raters and characters at once. Editors and
//! raters are told the same story, so the engine reads it once; a character is told what it knows.

mod summary;

use std::pin::{Pin, pin};
use std::sync::Arc;

use async_stream::stream;
use futures_util::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::summary::{PanelSummary, summary};
use super::answering::{Answer, Step, follow};
use super::character_feedback::{CharacterFeedbackResponse, knower, others, reacting, reaction};
use super::container::{ContextProcessingConfig, StructuredContext};
use super::editor_review::{EditorReviewResponse, review, reviewing};
use super::elements::{Knower, Material, Need};
use super::full_state::RequestContext;
use super::job::{Job, PlannedJob, Words};
use super::modify_chapter::chapter_at_hand;
use super::rater_feedback::{RaterFeedbackResponse, Task, dimensions, rated, rating};
use super::single::{Desk, Events, StoryRequest, SuggestionForm};
use super::source::{Presence, Source};
use super::{JobPhase, Member, StoryError, StoryEvent};
use crate::agents::character::Reaction;
use crate::agents::editor::ReviewAnswer;
use crate::agents::rater::RatingAnswer;
use crate::agents::shared::InstructionText;
use crate::agents::structured;
use crate::context::Agent;
use crate::tokens::TokenCount;

/// Members whose answers are written at once; the others follow. What runs together in the engine is
/// its own affair.
const AT_ONCE: usize = 8;
/// Every member's prompt is prepared before the first answer; more would be no panel any more.
const MOST_MEMBERS: usize = 100;

/// A request for a panel. Somebody must sit on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PanelRequest {
    /// The chapter. With the later shape, the one that `chapter_number` names.
    #[serde(alias = "chapterToReview", alias = "currentChapter")]
    pub chapter: Option<String>,
    pub editors: Vec<PanelEditor>,
    /// Without any, the story's own enabled raters (later shape).
    pub raters: Vec<PanelRater>,
    /// Characters by name or id, who react to the scenes they were in.
    pub characters: Vec<PanelCharacter>,
    /// The respects in which raters judge who name none of their own.
    pub dimensions: Vec<String>,
    pub structured_context: Option<StructuredContext>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    pub request_context: Option<RequestContext>,
    /// Which chapter is read (later shape).
    pub chapter_number: Option<i64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PanelEditor {
    pub name: Option<String>,
    /// What the editor goes by.
    pub prompt: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PanelRater {
    pub name: Option<String>,
    /// What the rater goes by.
    #[serde(alias = "raterPrompt", alias = "system_prompt")]
    pub prompt: String,
    pub dimensions: Vec<String>,
}

/// A character, by name or id alone or with what it goes by.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PanelCharacter {
    Named(String),
    Briefed {
        #[serde(alias = "character_id", alias = "character_name")]
        name: String,
        #[serde(default)]
        prompt: Option<String>,
    },
}

/// What the panel said.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PanelResponse {
    /// In the request's order: editors, raters, characters.
    pub members: Vec<MemberReport>,
    pub summary: PanelSummary,
}

/// What one member said.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MemberReport {
    /// `editor-1`, `rater-2`, `character-1`: the label of its events.
    pub member: String,
    pub name: String,
    #[serde(flatten)]
    pub report: Report,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Report {
    Editor {
        review: EditorReviewResponse,
    },
    Rater {
        rating: RaterFeedbackResponse,
    },
    Character {
        reaction: CharacterFeedbackResponse,
    },
    /// It couldn't answer; the others could.
    Failed {
        error: String,
    },
}

/// A member's place at the table.
struct Seat {
    member: Member,
    name: String,
    /// Its own prompt, after what all are told.
    brief: Option<String>,
    role: Role,
}

enum Role {
    Editor,
    Rater { dimensions: Vec<String> },
    Character { knower: Knower },
}

/// A member at work, or done.
enum Progress {
    Event(StoryEvent<PanelResponse>),
    Done(Box<MemberReport>),
}

type Work = Pin<Box<dyn Stream<Item = Progress> + Send>>;

impl StoryRequest for PanelRequest {
    type Response = PanelResponse;

    fn begin(mut self, desk: Desk) -> Result<Events<PanelResponse>, StoryError> {
        let source = Source::new(
            self.structured_context.take(),
            self.request_context.take(),
            self.context_processing_config.take(),
            self.chapter_number,
            Presence::Required,
        )?;
        let said = self.chapter.as_deref();
        let chapter = chapter_at_hand(said, "chapter", self.chapter_number, &source)?;
        let seats = self.seats(&source, &chapter)?;
        let order: Vec<Member> = seats.iter().map(|seat| Arc::clone(&seat.member)).collect();
        let chapter: Arc<str> = chapter.into();
        let work = work(&desk, &source, seats, &chapter)?;
        Ok(Box::pin(session(work, order)))
    }
}

impl PanelRequest {
    fn seats(&self, source: &Source, chapter: &str) -> Result<Vec<Seat>, StoryError> {
        let wanted = self.editors.len() + self.raters.len() + self.characters.len();
        if wanted > MOST_MEMBERS {
            let message = format!("{wanted} sit on the panel; {MOST_MEMBERS} may at once");
            return Err(StoryError::fault(&["raters"], message));
        }
        let mut seats = Vec::new();
        for (at, editor) in (1..).zip(&self.editors) {
            seats.push(Seat {
                member: format!("editor-{at}").into(),
                name: named(editor.name.as_deref(), "Editor", at),
                brief: editor.prompt.clone(),
                role: Role::Editor,
            });
        }
        for (at, rater) in (1..).zip(self.raters(source)) {
            let own =
                if rater.dimensions.is_empty() { &self.dimensions } else { &rater.dimensions };
            seats.push(Seat {
                member: format!("rater-{at}").into(),
                name: named(rater.name.as_deref(), "Rater", at),
                role: Role::Rater { dimensions: dimensions(own, &["dimensions"])? },
                brief: Some(rater.prompt),
            });
        }
        for (at, character) in (1..).zip(&self.characters) {
            let (name, brief) = match character {
                PanelCharacter::Named(name) => (name, None),
                PanelCharacter::Briefed { name, prompt } => (name, prompt.clone()),
            };
            let place = (at - 1).to_string();
            let knower = knower(source, Some(name), &["characters", &place])?;
            if knower.witnessed(chapter).is_empty() {
                let message = format!(
                    "{} is named nowhere in the chapter, and so has nothing to react to",
                    knower.name
                );
                return Err(StoryError::fault(&["characters", &place], message));
            }
            seats.push(Seat {
                member: format!("character-{at}").into(),
                name: knower.name.clone(),
                brief,
                role: Role::Character { knower },
            });
        }
        if seats.is_empty() {
            return Err(StoryError::fault(
                &["raters"],
                "nobody sits on the panel; name editors, raters or characters",
            ));
        }
        Ok(seats)
    }

    /// The request's raters, else those that the story has.
    fn raters(&self, source: &Source) -> Vec<PanelRater> {
        if !self.raters.is_empty() {
            return self.raters.clone();
        }
        let own = source.full.iter().flat_map(|full| &full.configuration.raters);
        own.filter(|rater| rater.enabled)
            .map(|rater| PanelRater {
                name: Some(rater.name.clone()),
                prompt: rater.system_prompt.clone(),
                dimensions: Vec::new(),
            })
            .collect()
    }
}

fn named(name: Option<&str>, kind: &str, number: usize) -> String {
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    name.map_or_else(|| format!("{kind} {number}"), str::to_owned)
}

/// Every member's job, planned so that editors and raters see the same.
fn work(
    desk: &Desk,
    source: &Source,
    seats: Vec<Seat>,
    chapter: &Arc<str>,
) -> Result<Vec<Work>, StoryError> {
    let service = &desk.service;
    let has = |wanted: fn(&Role) -> bool| seats.iter().any(|seat| wanted(&seat.role));
    let editors = has(|role| matches!(role, Role::Editor));
    let raters = has(|role| matches!(role, Role::Rater { .. }));
    let company: Vec<_> = [(editors, Agent::Editor), (raters, Agent::Rater)]
        .into_iter()
        .filter_map(|(is_there, agent)| is_there.then_some(agent))
        .collect();
    let mut jobs = Vec::new();
    let mut least_room: Option<TokenCount> = None;
    for seat in seats {
        let mut job = job(desk, source, &seat, chapter);
        if !matches!(seat.role, Role::Character { .. }) {
            job.company.clone_from(&company);
            let room = service.room(&job)?;
            least_room = Some(least_room.map_or(room, |least| least.min(room)));
        }
        jobs.push((seat, job));
    }
    jobs.into_iter()
        .map(|(seat, mut job)| {
            if !job.company.is_empty() {
                job.most_room = least_room;
            }
            let names = match &seat.role {
                Role::Character { knower } => others(source, knower),
                Role::Editor | Role::Rater { .. } => Vec::new(),
            };
            Ok(at_work(seat, service.plan(job)?, Arc::clone(chapter), names))
        })
        .collect()
}

/// The job of one member. Its own prompt comes last, after everything it shares with others.
fn job(desk: &Desk, source: &Source, seat: &Seat, chapter: &str) -> Job {
    let (client, source) = (desk.client.clone(), source.clone());
    let profiles = &desk.service.settings.profiles;
    let job = match &seat.role {
        Role::Editor => reviewing(client, profiles.editor.clone(), source, chapter, None),
        Role::Rater { dimensions } => {
            let dimensions = dimensions.clone();
            let task = Task { subject: None, chapter: Some(chapter), dimensions };
            rating(client, profiles.rater.clone(), source, task, String::new())
        }
        Role::Character { knower } => {
            let (name, text) = ("chapter", chapter.to_owned());
            let work = Material::Work { name, text, need: Need::AsMuchAsFits };
            let profile = profiles.character.clone();
            let job = reacting(client, profile, source, knower.clone(), None);
            Job { material: vec![work], ..job }
        }
    };
    let brief = seat.brief.clone().filter(|brief| !brief.trim().is_empty());
    Job { words: with_brief(job.words, brief), queue_later: true, ..job }
}

fn with_brief(words: Words, brief: Option<String>) -> Words {
    let Some(content) = brief else { return words };
    let brief = InstructionText { content };
    Box::new(move |prompts, parts| {
        let mut parts = parts.clone();
        parts.guidance.instructions.push(prompts.render(&brief)?);
        words(prompts, &parts)
    })
}

fn at_work(seat: Seat, planned: PlannedJob, chapter: Arc<str>, others: Vec<String>) -> Work {
    let Seat { member, name, role, .. } = seat;
    let who = name.clone();
    match role {
        Role::Editor => {
            reporting::<ReviewAnswer>(member, name, planned, move |answer| Report::Editor {
                review: without_receipt(review(answer), |it| &mut it.context_metadata),
            })
        }
        Role::Rater { .. } => reporting::<RatingAnswer>(member, name, planned, move |answer| {
            let rating = rated(answer, who, &chapter, SuggestionForm::Objects);
            Report::Rater { rating: without_receipt(rating, |it| &mut it.context_metadata) }
        }),
        Role::Character { .. } => reporting::<Reaction>(member, name, planned, move |answer| {
            let reaction = reaction(answer, who, &others);
            Report::Character { reaction: without_receipt(reaction, |it| &mut it.context_metadata) }
        }),
    }
}

/// Each member's receipt was an event of its own; the closing summary needn't repeat it.
fn without_receipt<T>(
    mut response: T,
    receipt: impl Fn(&mut T) -> &mut Option<super::ContextMetadata>,
) -> T {
    *receipt(&mut response) = None;
    response
}

/// One member's steps, labelled, and its report at the end.
fn reporting<P: serde::de::DeserializeOwned + Send + 'static>(
    member: Member,
    name: String,
    planned: PlannedJob,
    report: impl FnOnce(Box<Answer<P>>) -> Report + Send + 'static,
) -> Work {
    Box::pin(stream! {
        let done = |name: String, report: Report| {
            Progress::Done(Box::new(MemberReport { member: member.to_string(), name, report }))
        };
        let mut report = Some(report);
        let mut steps = pin!(follow(planned, Arc::new(structured::<P>)));
        while let Some(step) = steps.next().await {
            let event = match step {
                Step::Shortening { done, of } => StoryEvent::shortening(20, done, of),
                Step::Context(receipt) => StoryEvent::context(receipt),
                Step::Begun => continue,
                Step::Text(piece) => StoryEvent::partial(piece),
                Step::Again(reason) => StoryEvent::again(JobPhase::Evaluating, 50, &reason),
                Step::Failed(error) => {
                    yield done(name, Report::Failed { error: error.to_string() });
                    return;
                }
                Step::Done(answer) => {
                    if let Some(report) = report.take() {
                        yield done(name, report(answer));
                    }
                    return;
                }
            };
            yield Progress::Event(event.of(&member));
        }
    })
}

/// All members at once; then what they said together.
fn session(
    work: Vec<Work>,
    order: Vec<Member>,
) -> impl Stream<Item = StoryEvent<PanelResponse>> + Send {
    stream! {
        let all = work.len();
        yield StoryEvent::status(JobPhase::ContextProcessing, "Seating the panel", 20);
        let mut reports: Vec<MemberReport> = Vec::new();
        let mut steps = pin!(futures_util::stream::iter(work).flatten_unordered(AT_ONCE));
        yield StoryEvent::status(JobPhase::Evaluating, "The panel reads", 30);
        while let Some(step) = steps.next().await {
            match step {
                Progress::Event(event) => yield event,
                Progress::Done(report) => {
                    let (member, failed) =
                        (Member::from(report.member.as_str()), matches!(report.report, Report::Failed { .. }));
                    reports.push(*report);
                    let share = TokenCount::new(60).scaled(reports.len() as f64 / all as f64).get();
                    let progress = u8::try_from(30 + share).unwrap_or(90);
                    let message = format!("{} of {all} have answered", reports.len());
                    yield StoryEvent::status(JobPhase::Evaluated, message, progress)
                        .with_data(json!({ "answered": reports.len(), "of": all, "failed": failed }))
                        .of(&member);
                }
            }
        }
        reports.sort_by_key(|report| order.iter().position(|member| **member == report.member));
        let summary = summary(&reports);
        yield StoryEvent::Result(Box::new(PanelResponse { members: reports, summary }));
    }
}
