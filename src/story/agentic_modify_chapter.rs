//! A chapter rewritten until its editor is satisfied: write, judge, write again with the verdict in
//! hand. It stops when the verdict is good or nothing improves, and keeps the best, not the last.

use std::pin::pin;
use std::sync::Arc;

use async_stream::stream;
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answering::{Answer, Step, blocking, follow};
use super::elements::{Material, Need};
use super::generate_chapter::word_count;
use super::job::{Job, PlannedJob, Words};
use super::modify_chapter::{Commission, ModifyChapterRequest, changes, cut_short};
use super::single::{Degradation, Desk, Events, StoryRequest};
use super::{ContextMetadata, JobPhase, StoryError, StoryEvent, StoryService};
use crate::agents::editor::{EvaluatePrompt, Verdict};
use crate::agents::{Profile, schema_of, structured, writer};
use crate::context::Agent;
use crate::engine::{ClientId, FinishReason};
use crate::tokens::TokenCount;

/// A request to rewrite a chapter until it is good: as `/modify-chapter`, with the loop's settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct AgenticModifyRequest {
    #[serde(flatten)]
    pub modify: ModifyChapterRequest,
    #[serde(default, alias = "config", alias = "agenticConfig")]
    pub agentic_config: Option<AgenticConfig>,
}

/// The loop's settings.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AgenticConfig {
    #[schemars(range(min = 1, max = 10))]
    pub max_iterations: u32,
    #[schemars(range(min = 0.0, max = 2.0))]
    pub generation_temperature: Option<f32>,
    #[schemars(range(min = 100, max = 10000))]
    pub generation_max_tokens: Option<u32>,
    #[schemars(range(min = 0.0, max = 2.0))]
    pub evaluation_temperature: f32,
    #[schemars(range(min = 100, max = 5000))]
    pub evaluation_max_tokens: u32,
}

impl Default for AgenticConfig {
    fn default() -> Self {
        Self {
            max_iterations: 3,
            generation_temperature: Some(0.8),
            generation_max_tokens: Some(2_000),
            evaluation_temperature: 0.3,
            evaluation_max_tokens: 500,
        }
    }
}

/// The best text, and how it came about.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AgenticModifyResponse {
    pub content: String,
    pub iterations_used: usize,
    /// The verdict on that text.
    pub evaluation_feedback: String,
    /// `success`: the editor is satisfied. `no_improvement`: it got no better.
    pub status: Ending,
    /// Which iteration wrote it, from 1.
    pub best_iteration: usize,
    pub word_count: usize,
    /// How much of it is new, in words.
    pub changes_summary: String,
    pub iterations: Vec<Round>,
    #[serde(flatten)]
    pub degradation: Degradation,
    pub context_metadata: Option<ContextMetadata>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Success,
    NoImprovement,
}

/// One round of writing and judging.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Round {
    /// From 1.
    pub iteration: usize,
    /// 1 to 10.
    pub score: u8,
    pub passed: bool,
    pub feedback: String,
    pub word_count: usize,
    /// Whether the text stopped at its token limit.
    pub cut_short: bool,
    /// Set where the editor judged a part of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_view: Option<String>,
}

impl StoryRequest for AgenticModifyRequest {
    type Response = AgenticModifyResponse;

    fn begin(self, desk: Desk) -> Result<Events<AgenticModifyResponse>, StoryError> {
        let config = self.agentic_config.unwrap_or_default();
        config.check()?;
        let commission = Arc::new(self.modify.commission()?);
        let refinery = Refinery::new(&desk, config, commission);
        let first = refinery.rewriting(None)?;
        Ok(Box::pin(refinery.run(first)))
    }
}

impl AgenticConfig {
    fn check(&self) -> Result<(), StoryError> {
        let within = |name: &str, holds: bool, range: &str| {
            let message = format!("must be {range}");
            if holds { Ok(()) } else { Err(StoryError::fault(&["agentic_config", name], message)) }
        };
        within("max_iterations", (1..=10).contains(&self.max_iterations), "from 1 to 10")?;
        let temperature = |it: f32| (0.0..=2.0).contains(&it);
        let generation = self.generation_temperature.is_none_or(temperature);
        within("generation_temperature", generation, "from 0 to 2")?;
        let evaluation = temperature(self.evaluation_temperature);
        within("evaluation_temperature", evaluation, "from 0 to 2")?;
        let tokens = self.generation_max_tokens.is_none_or(|it| (100..=10_000).contains(&it));
        within("generation_max_tokens", tokens, "from 100 to 10000")?;
        let tokens = (100..=5_000).contains(&self.evaluation_max_tokens);
        within("evaluation_max_tokens", tokens, "from 100 to 5000")
    }
}

/// The loop's fixed parts.
#[derive(Clone)]
struct Refinery {
    service: Arc<StoryService>,
    client: ClientId,
    writing: Profile,
    judging: Profile,
    most: usize,
    commission: Arc<Commission>,
}

/// A text and its verdict.
#[derive(Clone, Debug)]
struct Attempt {
    text: String,
    iteration: Round,
    context: ContextMetadata,
}

/// What an agent said, and on what it rests.
struct Said<P> {
    words: P,
    finish: FinishReason,
    context: ContextMetadata,
    partial_view: Option<String>,
}

/// How one request of the loop ended.
enum Reply<P> {
    Said(Box<Said<P>>),
    Failed(StoryError),
}

impl Refinery {
    fn new(desk: &Desk, config: AgenticConfig, commission: Arc<Commission>) -> Self {
        let profiles = &desk.service.settings.profiles;
        let mut writing = profiles.modify.clone();
        if let Some(temperature) = config.generation_temperature {
            writing.sampling.temperature = temperature;
        }
        if let Some(tokens) = config.generation_max_tokens {
            writing.max_tokens = tokens.into();
        }
        let mut judging = profiles.verdict.clone();
        judging.sampling.temperature = config.evaluation_temperature;
        judging.max_tokens = TokenCount::from(config.evaluation_max_tokens);
        Self {
            service: Arc::clone(&desk.service),
            client: desk.client.clone(),
            writing,
            judging,
            most: config.max_iterations as usize,
            commission,
        }
    }

    /// The next text: from the chapter, or from the best text so far and what was said about it.
    fn rewriting(&self, best: Option<&Attempt>) -> Result<PlannedJob, StoryError> {
        let (text, remarks) = match best {
            None => (&self.commission.chapter, Vec::new()),
            Some(best) => {
                let source = "Editor".to_owned();
                let text = best.iteration.feedback.clone();
                (&best.text, vec![Material::Feedback { source, text }])
            }
        };
        let (client, profile) = (self.client.clone(), self.writing.clone());
        self.service.plan(self.commission.rewriting(client, profile, text, &remarks))
    }

    fn judging(&self, text: &str) -> Result<PlannedJob, StoryError> {
        let request = self.commission.request.clone();
        let words: Words = Box::new(move |prompts, parts| {
            let request = request.clone();
            parts.messages(prompts, |guidance| EvaluatePrompt { request, guidance })
        });
        let (client, source) = (self.client.clone(), self.commission.source.clone());
        let work =
            Material::Work { name: "chapter", text: text.to_owned(), need: Need::AsMuchAsFits };
        let mut material = vec![work];
        material.extend(self.commission.remarks.iter().cloned());
        let job = Job {
            task: self.commission.request.clone(),
            material,
            json_schema: Some(schema_of::<Verdict>()),
            ..Job::new(client, Agent::Editor, self.judging.clone(), source, words)
        };
        self.service.plan(job)
    }

    fn run(
        self,
        first: PlannedJob,
    ) -> impl futures_util::Stream<Item = StoryEvent<AgenticModifyResponse>> + Send {
        stream! {
            yield StoryEvent::status(JobPhase::ContextProcessing, "Putting the context together", 10);
            yield StoryEvent::status(JobPhase::Modifying, "Beginning to rewrite the chapter", 25);
            let mut best: Option<Attempt> = None;
            let mut iterations = Vec::new();
            let mut next = Some(first);
            for number in 1..=self.most {
                let progress = Progress { number, most: self.most };
                let planned = if let Some(planned) = next.take() {
                    Ok(planned)
                } else {
                    yield progress.event(JobPhase::Refining, "Rewriting it with the verdict");
                    let (refinery, best) = (self.clone(), best.clone());
                    blocking(move || refinery.rewriting(best.as_ref())).await
                };
                yield progress.event(JobPhase::Generating, "Rewriting the chapter");
                let mut written = None;
                let mut steps = pin!(heard(planned, writer::prose));
                while let Some(step) = steps.next().await {
                    match step {
                        Heard::Event(event) => yield event,
                        Heard::Reply(reply) => written = Some(reply),
                    }
                }
                let (text, finish, context) = match written {
                    Some(Reply::Said(said)) => (said.words, said.finish, said.context),
                    Some(Reply::Failed(error)) => {
                        yield StoryEvent::Error(broke_off(&error, best.as_ref(), &iterations));
                        return;
                    }
                    None => return,
                };

                yield progress.event(JobPhase::Evaluating, "Judging the text");
                let (refinery, at_hand) = (self.clone(), text.clone());
                let planned = blocking(move || refinery.judging(&at_hand)).await;
                let mut verdict = None;
                let mut steps = pin!(heard::<Verdict, AgenticModifyResponse>(planned, structured));
                while let Some(step) = steps.next().await {
                    // The verdict comes whole, with the text's event.
                    if let Heard::Reply(reply) = step {
                        verdict = Some(reply);
                    }
                }
                let (verdict, partial_view) = match verdict {
                    Some(Reply::Said(said)) => (said.words, said.partial_view),
                    Some(Reply::Failed(error)) => {
                        let unjudged = Attempt {
                            iteration: Round {
                                iteration: number,
                                score: 0,
                                passed: false,
                                feedback: String::new(),
                                word_count: word_count(&text),
                                cut_short: finish == FinishReason::Length,
                                partial_view: None,
                            },
                            text,
                            context,
                        };
                        let kept = best.as_ref().unwrap_or(&unjudged);
                        yield StoryEvent::Error(broke_off(&error, Some(kept), &iterations));
                        return;
                    }
                    None => return,
                };

                let mut attempt = judged(number, text, finish, verdict, context);
                attempt.iteration.partial_view = partial_view;
                yield progress
                    .event(JobPhase::Evaluated, "The text is judged")
                    .with_data(told_of(&attempt));
                iterations.push(attempt.iteration.clone());
                let improves = best.as_ref().is_none_or(|best| attempt.is_better_than(best));
                let passed = attempt.iteration.passed;
                if improves || passed {
                    best = Some(attempt);
                }
                if passed || !improves {
                    if let Some(best) = best {
                        let status = if passed { Ending::Success } else { Ending::NoImprovement };
                        yield StoryEvent::status(JobPhase::Finalizing, "Keeping the best text", 95);
                        yield self.result(best, status, iterations);
                    }
                    return;
                }
            }
            yield StoryEvent::Error(exhausted(best.as_ref(), &iterations));
        }
    }

    fn result(
        &self,
        best: Attempt,
        status: Ending,
        iterations: Vec<Round>,
    ) -> StoryEvent<AgenticModifyResponse> {
        let cut_short =
            best.iteration.cut_short.then_some(FinishReason::Length).and_then(cut_short);
        let degraded = cut_short.or_else(|| best.iteration.partial_view.clone());
        StoryEvent::Result(Box::new(AgenticModifyResponse {
            iterations_used: iterations.len(),
            evaluation_feedback: best.iteration.feedback.clone(),
            status,
            best_iteration: best.iteration.iteration,
            word_count: best.iteration.word_count,
            changes_summary: changes(&self.commission.chapter, &best.text),
            content: best.text,
            iterations,
            degradation: Degradation::because(degraded),
            context_metadata: Some(best.context),
        }))
    }
}

impl Attempt {
    /// A whole text beats one that was cut short; else the score decides.
    fn is_better_than(&self, other: &Self) -> bool {
        let worth = |it: &Round| (!it.cut_short, it.score);
        worth(&self.iteration) > worth(&other.iteration)
    }
}

fn judged(
    number: usize,
    text: String,
    finish: FinishReason,
    verdict: Verdict,
    context: ContextMetadata,
) -> Attempt {
    let cut_short = finish == FinishReason::Length;
    let iteration = Round {
        iteration: number,
        score: verdict.score.clamp(1, 10),
        // A text without its end can't be done, whatever the editor thinks of the rest.
        passed: verdict.passes && !cut_short,
        feedback: verdict.feedback,
        word_count: word_count(&text),
        cut_short,
        partial_view: None,
    };
    Attempt { text, iteration, context }
}

/// Where the loop is.
#[derive(Clone, Copy)]
struct Progress {
    number: usize,
    most: usize,
}

impl Progress {
    fn event<T>(self, phase: JobPhase, message: &'static str) -> StoryEvent<T> {
        let within = match phase {
            JobPhase::Evaluating => 2,
            JobPhase::Evaluated => 3,
            _ => 0,
        };
        let share = (4 * (self.number - 1) + within) as f64 / (4 * self.most) as f64;
        // 30 to 90 percent.
        let progress = TokenCount::new(60).scaled(share).get() + 30;
        let progress = u8::try_from(progress).unwrap_or(90);
        let message = format!("{message} (iteration {} of {})", self.number, self.most);
        StoryEvent::status(phase, message, progress).with_data(json!({ "iteration": self.number }))
    }
}

fn told_of(attempt: &Attempt) -> serde_json::Value {
    let Round { iteration, score, passed, feedback, .. } = &attempt.iteration;
    json!({
        "iteration": iteration,
        "score": score,
        "passed": passed,
        "feedback": feedback,
        "content": attempt.text,
    })
}

/// What one request of the loop tells.
enum Heard<P, T> {
    Event(StoryEvent<T>),
    Reply(Reply<P>),
}

/// Follows one request: its text as events, then how it ended.
fn heard<P: Send + 'static, T: Send + 'static>(
    planned: Result<PlannedJob, StoryError>,
    read: impl Fn(&str) -> Result<P, String> + Send + Sync + 'static,
) -> impl futures_util::Stream<Item = Heard<P, T>> + Send {
    stream! {
        let planned = match planned {
            Ok(planned) => planned,
            Err(error) => {
                yield Heard::Reply(Reply::Failed(error));
                return;
            }
        };
        let mut steps = pin!(follow(planned, Arc::new(read)));
        while let Some(step) = steps.next().await {
            match step {
                Step::Context(receipt) => yield Heard::Event(StoryEvent::context(receipt)),
                Step::Text(piece) => yield Heard::Event(StoryEvent::partial(piece)),
                Step::Shortening { done, of } => {
                    yield Heard::Event(StoryEvent::shortening(25, done, of));
                }
                Step::Again(reason) => {
                    yield Heard::Event(StoryEvent::again(JobPhase::Generating, 30, &reason));
                }
                Step::Begun => {}
                Step::Failed(error) => yield Heard::Reply(Reply::Failed(error)),
                Step::Done(answer) => yield Heard::Reply(reply(*answer)),
            }
        }
    }
}

fn reply<P>(answer: Answer<P>) -> Reply<P> {
    match answer.said {
        Ok(words) => Reply::Said(Box::new(Said {
            words,
            finish: answer.finished.reason,
            context: answer.context,
            partial_view: answer.partial_view,
        })),
        Err(unusable) => Reply::Failed(StoryError::BadAnswer(unusable.reason)),
    }
}

/// The loop broke off; what was written is handed over.
fn broke_off(error: &StoryError, best: Option<&Attempt>, iterations: &[Round]) -> StoryError {
    let message = format!("iteration {} failed: {error}", iterations.len() + 1);
    StoryError::Iteration { message, exhausted: false, data: handed_over(best, iterations) }
}

fn exhausted(best: Option<&Attempt>, iterations: &[Round]) -> StoryError {
    let message = format!(
        "after {} iterations the editor is still not satisfied; the best text is in data",
        iterations.len()
    );
    StoryError::Iteration { message, exhausted: true, data: handed_over(best, iterations) }
}

/// `last_content` is what the contract calls it; it is the best text, which need not be the last.
fn handed_over(best: Option<&Attempt>, iterations: &[Round]) -> serde_json::Value {
    json!({
        "last_content": best.map(|best| &best.text),
        "last_feedback": best.map(|best| &best.iteration.feedback),
        "best_iteration": best.map(|best| best.iteration.iteration),
        "iterations": iterations,
    })
}
