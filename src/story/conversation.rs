//! A conversation of the author with an agent about the story.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chapter_outlines::free_form_story;
use super::character_feedback::knower;
use super::container::{PreviousChapter, StructuredContext, SystemPrompts, Worldbuilding};
use super::elements::{Knower, Material, turn_id};
use super::full_state::RequestContext;
use super::job::{Job, Words};
use super::modify_chapter::cut_short;
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Presence, Source};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::conversation::ConversationPrompt;
use crate::agents::writer;
use crate::context::Agent;
use crate::engine::{Message, Role, Usage};
use crate::tokens::TokenCount;

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextBuilding, 30, "Putting the conversation together"),
    reading: None,
    writing: told(JobPhase::Generating, 70, "Writing the answer"),
    finishing: told(JobPhase::Formatting, 90, "Finishing the answer"),
};

/// A conversation to be continued.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConversationRequest {
    /// From the first to the last, which is the author's.
    #[schemars(length(min = 1))]
    pub messages: Vec<ConversationMessage>,
    pub agent_type: ConversationAgent,
    #[serde(default)]
    pub compose_context: Option<ComposeContext>,
    #[serde(default)]
    pub system_prompts: Option<SystemPrompts>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 10000))]
    pub max_tokens: Option<u32>,
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f32>,
    /// Who speaks, by name or id, where the agent is a character; else the first of the story's.
    #[serde(default)]
    pub character_name: Option<String>,
    /// The later shape: the whole state of the story.
    #[serde(default)]
    pub request_context: Option<RequestContext>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConversationMessage {
    pub role: Speaker,
    pub content: String,
    #[serde(default)]
    pub timestamp: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    User,
    Assistant,
}

/// Whom the author talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConversationAgent {
    Writer,
    Character,
    Editor,
    Worldbuilding,
}

/// What the conversation is about.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ComposeContext {
    /// A structured context, or anything about the story.
    pub story_context: Map<String, Value>,
    pub chapter_draft: Option<String>,
    pub conversation_branch_id: Option<String>,
    pub worldbuilding_topic: Option<String>,
    pub worldbuilding_state: Option<String>,
    /// The world as far as it is settled.
    pub accumulated_worldbuilding: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConversationResponse {
    pub message: ConversationMessage,
    pub agent_type: ConversationAgent,
    pub metadata: ConversationMetadata,
    #[serde(flatten)]
    pub degradation: Degradation,
    pub context_metadata: Option<ContextMetadata>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationMetadata {
    /// RFC 3339, UTC.
    pub generated_at: String,
    /// Messages, this answer not counted.
    pub conversation_length: usize,
    pub context_provided: bool,
    pub usage: Usage,
}

impl StoryRequest for ConversationRequest {
    type Response = ConversationResponse;

    fn begin(self, desk: Desk) -> Result<Events<ConversationResponse>, StoryError> {
        self.check()?;
        let context_provided = self.compose_context.is_some() || self.request_context.is_some();
        let source =
            source(self.compose_context.as_ref(), self.system_prompts, self.request_context)?;
        let (agent_type, agent) = (self.agent_type, self.agent_type.agent());
        let mut profile = desk.service.settings.profiles.conversation.clone();
        profile.max_tokens = self.max_tokens.map_or(profile.max_tokens, TokenCount::from);
        profile.sampling.temperature = self.temperature.unwrap_or(profile.sampling.temperature);
        let compose = self.compose_context.unwrap_or_default();
        let topic = compose.worldbuilding_topic.filter(|topic| !topic.trim().is_empty());
        let mut phases = PHASES.of_later_shape(source.is_later_shape());
        if source.is_later_shape() {
            phases.preparing.progress = 20;
        }
        let knower = speaker(&source, agent, self.character_name.as_deref())?;
        let conversation_length = self.messages.len();
        let earlier = &self.messages[..conversation_length - 1];
        let turns = (1..).zip(earlier).filter(|(_, message)| !message.content.trim().is_empty());
        let material = turns
            .map(|(number, message)| Material::Turn { number, text: message.content.clone() })
            .collect();
        let job = Job {
            material,
            knower,
            ..Job::new(
                desk.client.clone(),
                agent,
                profile,
                source,
                words(agent, topic, self.messages),
            )
        };
        let clock = desk.service.clock.clone();
        ask(&desk, job, phases, writer::prose, move |mut answer| {
            let now = clock.now().to_string();
            Ok(ConversationResponse {
                message: ConversationMessage {
                    role: Speaker::Assistant,
                    content: answer.text()?,
                    timestamp: Some(now.clone()),
                },
                agent_type,
                metadata: ConversationMetadata {
                    generated_at: now,
                    conversation_length,
                    context_provided,
                    usage: answer.finished.usage,
                },
                degradation: Degradation::because(cut_short(answer.finished.reason)),
                context_metadata: Some(answer.context),
            })
        })
    }
}

impl ConversationRequest {
    fn check(&self) -> Result<(), StoryError> {
        let at_last = |message: &str| {
            let last = self.messages.len().saturating_sub(1).to_string();
            Err(StoryError::fault(&["messages", &last], message))
        };
        match self.messages.last() {
            None => return Err(StoryError::fault(&["messages"], "must hold at least one message")),
            Some(last) if last.role != Speaker::User => {
                return at_last("the last message must be the user's: there is nothing to answer");
            }
            Some(last) if last.content.trim().is_empty() => {
                return at_last("is empty: there is nothing to answer");
            }
            Some(_) => {}
        }
        if self.max_tokens.is_some_and(|tokens| !(1..=10_000).contains(&tokens)) {
            return Err(StoryError::fault(&["max_tokens"], "must be from 1 to 10000"));
        }
        if self.temperature.is_some_and(|it| !(0.0..=2.0).contains(&it)) {
            return Err(StoryError::fault(&["temperature"], "must be from 0 to 2"));
        }
        Ok(())
    }
}

impl ConversationAgent {
    fn agent(self) -> Agent {
        match self {
            Self::Writer => Agent::Writer,
            Self::Character => Agent::Character,
            Self::Editor => Agent::Editor,
            Self::Worldbuilding => Agent::Worldbuilding,
        }
    }
}

/// The character who speaks, if it is one: nobody in particular where the story has none.
fn speaker(
    source: &Source,
    agent: Agent,
    name: Option<&str>,
) -> Result<Option<Knower>, StoryError> {
    if agent != Agent::Character {
        return Ok(None);
    }
    let has_characters = source.story.character_names().next().is_some();
    if name.is_none() && !has_characters {
        return Ok(Some(Knower::nobody()));
    }
    knower(source, name, &["character_name"]).map(Some)
}

/// The story the conversation is about.
fn source(
    compose: Option<&ComposeContext>,
    prompts: Option<SystemPrompts>,
    full: Option<RequestContext>,
) -> Result<Source, StoryError> {
    if full.is_some() {
        if compose.is_some() || prompts.is_some() {
            return Err(StoryError::fault(
                &["request_context"],
                "is the whole story with its prompts; compose_context and system_prompts are of the \
                 older shape, send one of them",
            ));
        }
        return Source::new(None, full, None, None, Presence::Optional);
    }
    let mut story = match compose {
        Some(compose) => {
            free_form_story(&compose.story_context, &["compose_context", "story_context"])?
        }
        None => StructuredContext::default(),
    };
    if let Some(compose) = compose {
        add_drafts(compose, &mut story);
    }
    story.system_prompts = prompts.or(story.system_prompts);
    Source::new(Some(story), None, None, None, Presence::Optional)
}

fn add_drafts(compose: &ComposeContext, story: &mut StructuredContext) {
    let worlds = [&compose.accumulated_worldbuilding, &compose.worldbuilding_state];
    let world: Vec<_> = worlds
        .into_iter()
        .flatten()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .collect();
    if !world.is_empty() {
        let known = story.worldbuilding.take().map(|world| world.content);
        let known = known.iter().map(String::as_str);
        let content = known.chain(world).collect::<Vec<_>>().join("\n\n");
        story.worldbuilding = Some(Worldbuilding { content });
    }
    let draft = compose.chapter_draft.as_ref().filter(|draft| !draft.trim().is_empty());
    story.previous_chapters.extend(draft.map(|draft| PreviousChapter {
        number: None,
        title: None,
        content: draft.clone(),
    }));
}

/// The system prompt with the story, then the turns that fit, then what the author says now.
fn words(agent: Agent, topic: Option<String>, messages: Vec<ConversationMessage>) -> Words {
    Box::new(move |prompts, parts| {
        let system = ConversationPrompt {
            agent,
            instructions: parts.system.instructions.clone(),
            story: prompts.render(&parts.story)?.trim_end().to_owned(),
            topic: topic.clone(),
            guidance: parts.guidance.in_words(prompts)?,
        };
        let mut conversation = vec![Message::system(prompts.render(&system)?.trim_end())];
        for (number, message) in (1..).zip(&messages) {
            let id = turn_id(number);
            let told = parts.turns.iter().find(|(turn, _)| *turn == id).map(|(_, text)| text);
            let is_last = number == messages.len();
            let content = if is_last { Some(&message.content) } else { told };
            let role = match message.role {
                Speaker::User => Role::User,
                Speaker::Assistant => Role::Assistant,
            };
            conversation.extend(content.map(|content| Message::new(role, content)));
        }
        Ok(conversation)
    })
}
