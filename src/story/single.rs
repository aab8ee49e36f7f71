//! Endpoints that ask one agent for one answer: the phases they tell, and how their requests begin.

use std::pin::{Pin, pin};
use std::sync::Arc;

use async_stream::stream;
use futures_util::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::answering::{Answer, Read, Step, Unusable, blocking, follow};
use super::job::Job;
use super::{JobPhase, StoryError, StoryEvent, StoryService};
use crate::engine::ClientId;

/// A request of the story API.
pub trait StoryRequest: DeserializeOwned + JsonSchema + Send + 'static {
    type Response: Serialize + Send + 'static;

    /// Decides what the agents are going to see, or refuses with the reason. May block.
    fn begin(self, desk: Desk) -> Result<Events<Self::Response>, StoryError>;
}

/// A job's events.
pub type Events<T> = Pin<Box<dyn Stream<Item = StoryEvent<T>> + Send>>;

/// Where a request is worked on: the service, who asks, and in which form the answer is wanted.
pub struct Desk {
    pub service: Arc<StoryService>,
    pub client: ClientId,
    pub suggestions: SuggestionForm,
}

/// How suggestions are told: the older clients read sentences, the later ones objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuggestionForm {
    #[default]
    Strings,
    Objects,
}

impl StoryService {
    /// Begins a job: its events, or why it is refused.
    pub async fn begin<R: StoryRequest>(
        self: Arc<Self>,
        request: R,
        client: ClientId,
        suggestions: SuggestionForm,
    ) -> Result<Events<R::Response>, StoryError> {
        let desk = Desk { service: self, client, suggestions };
        blocking(move || request.begin(desk)).await
    }
}

/// A phase as it is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) phase: JobPhase,
    pub(super) message: &'static str,
    /// Percent.
    pub(super) progress: u8,
}

pub(super) const fn told(phase: JobPhase, progress: u8, message: &'static str) -> Told {
    Told { phase, message, progress }
}

/// The phases of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    pub(super) preparing: Told,
    /// While the model reads its prompt, where the contract has a phase for that.
    pub(super) reading: Option<Told>,
    pub(super) writing: Told,
    pub(super) finishing: Told,
}

impl Phases {
    /// As the later contract has them: no phase for reading, writing at 40 percent.
    pub(super) fn of_later_shape(mut self, is_later: bool) -> Self {
        if is_later {
            self.reading = None;
            self.writing.progress = 40;
        }
        self
    }
}

impl Told {
    pub(super) fn event<T>(self) -> StoryEvent<T> {
        StoryEvent::status(self.phase, self.message, self.progress)
    }
}

/// A job of one agent: planned now, followed as its events are read.
pub(super) fn ask<P: Send + 'static, T: Send + 'static>(
    desk: &Desk,
    job: Job,
    phases: Phases,
    read: impl Fn(&str) -> Result<P, String> + Send + Sync + 'static,
    respond: impl FnOnce(Box<Answer<P>>) -> Result<T, StoryError> + Send + 'static,
) -> Result<Events<T>, StoryError> {
    let read: Read<P> = Arc::new(read);
    let steps = follow(desk.service.plan(job)?, read);
    Ok(Box::pin(narrate(steps, phases, respond)))
}

fn narrate<P: Send + 'static, T: Send + 'static>(
    steps: impl Stream<Item = Step<P>> + Send,
    phases: Phases,
    respond: impl FnOnce(Box<Answer<P>>) -> Result<T, StoryError> + Send + 'static,
) -> impl Stream<Item = StoryEvent<T>> + Send {
    stream! {
        let mut steps = pin!(steps);
        yield phases.preparing.event();
        while let Some(step) = steps.next().await {
            match step {
                Step::Shortening { done, of } => {
                    yield StoryEvent::shortening(phases.preparing.progress, done, of);
                }
                Step::Context(receipt) => {
                    yield StoryEvent::context(receipt);
                    yield phases.reading.unwrap_or(phases.writing).event();
                }
                Step::Begun => {
                    if phases.reading.is_some() {
                        yield phases.writing.event();
                    }
                }
                Step::Text(piece) => yield StoryEvent::partial(piece),
                Step::Again(reason) => {
                    yield StoryEvent::again(phases.writing.phase, phases.writing.progress, &reason);
                }
                Step::Failed(error) => {
                    yield StoryEvent::Error(error);
                    return;
                }
                Step::Done(answer) => {
                    yield phases.finishing.event();
                    // Looking quotes up and comparing texts takes a while in long ones.
                    yield match blocking(move || respond(answer)).await {
                        Ok(response) => StoryEvent::Result(Box::new(response)),
                        Err(error) => StoryEvent::Error(error),
                    };
                    return;
                }
            }
        }
    }
}

/// Whether an answer is less than what was asked for, and why. Canned text never takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Degradation {
    #[serde(default)]
    pub degraded: bool,
    /// Why.
    #[serde(default, rename = "degradedReason", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the model wrote, where it couldn't be read.
    #[serde(default, rename = "rawText", skip_serializing_if = "Option::is_none")]
    pub raw_text: Option<String>,
}

impl Degradation {
    pub(super) fn because(reason: Option<String>) -> Self {
        Self { degraded: reason.is_some(), reason, raw_text: None }
    }
}

impl<P> Answer<P> {
    /// What was said, if anything usable, and how far it is to be trusted.
    pub(super) fn said_or_nothing(&mut self) -> (Option<P>, Degradation) {
        match std::mem::replace(&mut self.said, Err(Unusable::default())) {
            Ok(said) => (Some(said), Degradation::because(self.partial_view.clone())),
            Err(Unusable { reason, raw }) => {
                let (reason, raw_text) = (Some(reason), Some(raw));
                (None, Degradation { degraded: true, reason, raw_text })
            }
        }
    }
}

impl Answer<String> {
    /// The text; without any, there is no answer.
    pub(super) fn text(&mut self) -> Result<String, StoryError> {
        let said = std::mem::replace(&mut self.said, Err(Unusable::default()));
        said.map_err(|_| StoryError::EmptyAnswer)
    }
}
