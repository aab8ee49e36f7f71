//! Companions, as they stand on the wire. Times are RFC 3339.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::chat::MemoryState;
use crate::companion::{
    Conversation, FactKind, FactSource, RelationshipView, Reply, StandingEvent, Stats, Tier,
    UserFact, UserMemory,
};
use crate::emotion::Emotion;
use crate::engine::FinishReason;
use crate::ids::ReceiptId;
use crate::memory::{MessageId, Record, Role, SessionView, timestamp};
use crate::persona::relationship::{Move, Score, Stage};

/// Something said to a persona.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct CompanionMessageRequest {
    #[schemars(length(min = 1, max = 5000))]
    pub(super) message: String,
    /// A persona's key: sarah, xhash, neutral, or any that GET /personas lists. Without it the
    /// conversation's speaks, or the one that was chosen.
    pub(super) personality: Option<String>,
    /// Without it a conversation is begun.
    pub(super) conversation_id: Option<String>,
    #[schemars(range(min = 0.1, max = 1.0))]
    pub(super) temperature: Option<f32>,
    #[schemars(range(min = 50, max = 1000))]
    pub(super) max_tokens: Option<u32>,
}

/// An answer, when all is said and stored.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct CompanionMessageResponse {
    response: String,
    conversation_id: String,
    /// The answer's; null if it couldn't be stored.
    message_id: Option<MessageId>,
    /// The persona's key.
    personality: String,
    tokens_used: usize,
    /// Seconds.
    processing_time: f64,
    user_context: UserContext,
    finish_reason: FinishReason,
    memory: MemoryState,
    receipt_id: ReceiptId,
}

/// What the persona knew of the user after this message.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::http) struct UserContext {
    relationship: Option<RelationshipBrief>,
    /// Current facts, by kind.
    facts: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct RelationshipBrief {
    persona: String,
    stage: Stage,
    score: Score,
}

impl From<&RelationshipView> for RelationshipBrief {
    fn from(view: &RelationshipView) -> Self {
        Self { persona: view.persona.clone(), stage: view.stage, score: view.score }
    }
}

impl From<Reply> for CompanionMessageResponse {
    fn from(reply: Reply) -> Self {
        Self {
            conversation_id: reply.conversation,
            message_id: reply.message,
            personality: reply.persona.key.clone(),
            tokens_used: reply.usage.prompt_tokens.get() + reply.usage.completion_tokens.get(),
            processing_time: reply.took.as_secs_f64(),
            user_context: UserContext {
                relationship: reply.standing.as_ref().map(Into::into),
                facts: reply.known,
            },
            finish_reason: reply.reason,
            memory: reply.memory,
            receipt_id: reply.receipt,
            response: reply.response,
        }
    }
}

/// A piece of an answer, or its end.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(in crate::http) enum SpokenEvent<T> {
    Chunk {
        content: String,
    },
    Complete {
        #[serde(flatten)]
        whole: Box<T>,
    },
    Error {
        message: String,
        error_code: &'static str,
    },
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct ConversationList {
    pub(super) conversations: Vec<ConversationView>,
    /// Conversations there are.
    pub(super) total: u32,
    pub(super) offset: u32,
    pub(super) limit: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct ConversationView {
    conversation_id: String,
    /// The persona's key.
    personality: String,
    title: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<Conversation> for ConversationView {
    fn from(conversation: Conversation) -> Self {
        Self {
            conversation_id: conversation.uid,
            personality: conversation.persona,
            title: conversation.title,
            created_at: timestamp(conversation.created_at),
            updated_at: timestamp(conversation.used_at),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct ConversationMessages {
    conversation: ConversationView,
    /// The newest last.
    messages: Vec<ConversationMessage>,
    /// Messages there are.
    total: usize,
}

impl ConversationMessages {
    pub(super) fn new(conversation: Conversation, view: SessionView) -> Self {
        Self {
            conversation: conversation.into(),
            messages: view.messages.into_iter().map(Into::into).collect(),
            total: view.total,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct ConversationMessage {
    message_id: MessageId,
    role: Role,
    content: String,
    timestamp: String,
    emotion: Emotion,
    /// 0 to 1.
    importance: f32,
    /// Whether the answer ended before the model ended it.
    interrupted: bool,
}

impl From<Record> for ConversationMessage {
    fn from(record: Record) -> Self {
        let stored = record.stored;
        Self {
            message_id: stored.id,
            role: stored.said.role,
            content: stored.said.text,
            timestamp: timestamp(stored.said_at),
            emotion: stored.emotion,
            importance: stored.importance,
            interrupted: stored.interrupted,
        }
    }
}

/// What is to become of a conversation; what is left out stays.
#[expect(clippy::option_option, reason = "a null that was sent takes the title away")]
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct ConversationChangeRequest {
    /// null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<String>", length(max = 200))]
    pub(super) title: Option<Option<String>>,
    /// A persona's key.
    pub(super) personality: Option<String>,
}

/// Tells null from absent.
#[expect(clippy::option_option, reason = "absent, null, or a text")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct PersonalityRequest {
    /// A persona's key.
    pub(super) personality: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct PersonalityResponse {
    pub(super) personality: String,
    pub(super) name: String,
    pub(super) role: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct UserFacts {
    pub(super) facts: Vec<UserFactView>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct UserFactView {
    id: i64,
    #[serde(rename = "type")]
    kind: FactKind,
    value: String,
    /// 0 to 1.
    confidence: f64,
    source: FactSource,
    conversation_id: Option<String>,
    /// The message it was learnt from.
    message_id: Option<MessageId>,
    mentions: u32,
    made_at: String,
    last_mentioned_at: String,
    is_current: bool,
    /// The fact that took its place.
    superseded_by: Option<i64>,
}

impl From<UserFact> for UserFactView {
    fn from(fact: UserFact) -> Self {
        Self {
            id: fact.id,
            kind: fact.kind,
            value: fact.value,
            confidence: fact.confidence,
            source: fact.source,
            conversation_id: fact.conversation,
            message_id: fact.message,
            mentions: fact.mentions,
            made_at: timestamp(fact.made_at),
            last_mentioned_at: timestamp(fact.mentioned_at),
            is_current: fact.is_current,
            superseded_by: fact.superseded_by,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct UserFactRequest {
    #[serde(rename = "type")]
    pub(super) kind: FactKind,
    #[schemars(length(min = 1, max = 500))]
    pub(super) value: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct UserFactChange {
    #[schemars(length(min = 1, max = 500))]
    pub(super) value: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct UserMemories {
    pub(super) memories: Vec<UserMemoryView>,
    /// Memories there are.
    pub(super) total: u32,
    pub(super) offset: u32,
    pub(super) limit: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct UserMemoryView {
    id: i64,
    tier: Tier,
    text: String,
    /// Of a semantic one: whom or what it is about.
    subject: Option<String>,
    /// Of an episodic one.
    emotion: Option<Emotion>,
    /// 0 to 1.
    importance: f64,
    conversation_id: String,
    message_id: Option<MessageId>,
    mentions: u32,
    made_at: String,
    last_mentioned_at: String,
}

impl From<UserMemory> for UserMemoryView {
    fn from(memory: UserMemory) -> Self {
        Self {
            id: memory.id,
            tier: memory.tier,
            text: memory.text,
            subject: memory.subject,
            emotion: memory.emotion,
            importance: memory.importance,
            conversation_id: memory.conversation,
            message_id: memory.message,
            mentions: memory.mentions,
            made_at: timestamp(memory.made_at),
            last_mentioned_at: timestamp(memory.mentioned_at),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct UserMemoryChange {
    #[schemars(length(min = 1, max = 500))]
    pub(super) text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct UserStats {
    total_conversations: usize,
    total_messages: usize,
    /// The persona with which most was said.
    favorite_personality: Option<String>,
    /// By persona.
    relationship_scores: BTreeMap<String, Score>,
}

impl From<Stats> for UserStats {
    fn from(stats: Stats) -> Self {
        Self {
            total_conversations: stats.conversations,
            total_messages: stats.messages,
            favorite_personality: stats.favorite,
            relationship_scores: stats.scores,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Relationship {
    persona: String,
    stage: Stage,
    /// What an absence costs is taken off already.
    score: Score,
    milestones: Vec<Milestone>,
    last_spoken_at: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Milestone {
    milestone: Move,
    reached_at: String,
}

impl From<RelationshipView> for Relationship {
    fn from(view: RelationshipView) -> Self {
        let milestone = |(milestone, at)| Milestone { milestone, reached_at: timestamp(at) };
        Self {
            persona: view.persona,
            stage: view.stage,
            score: view.score,
            milestones: view.milestones.into_iter().map(milestone).collect(),
            last_spoken_at: view.spoken_at.map(timestamp),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct RelationshipEvents {
    pub(super) events: Vec<RelationshipEvent>,
    /// Events there are.
    pub(super) total: u32,
    pub(super) offset: u32,
    pub(super) limit: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct RelationshipEvent {
    id: i64,
    persona: String,
    #[serde(rename = "move")]
    what: Move,
    points: i64,
    reason: &'static str,
    conversation_id: Option<String>,
    /// The message it came from.
    message_id: Option<MessageId>,
    made_at: String,
    /// Since when it no longer counts.
    taken_back_at: Option<String>,
}

impl From<StandingEvent> for RelationshipEvent {
    fn from(event: StandingEvent) -> Self {
        Self {
            id: event.id,
            persona: event.persona,
            what: event.what,
            points: event.points,
            reason: event.what.reason(),
            conversation_id: event.conversation,
            message_id: event.message,
            made_at: timestamp(event.made_at),
            taken_back_at: event.taken_back_at.map(timestamp),
        }
    }
}

/// Whether a move counts.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct RelationshipEventChange {
    /// false takes it back, true makes it count again.
    pub(super) counts: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct AccountDeletion {
    /// The account's current one.
    pub(super) password: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Deleted {
    pub(in crate::http) deleted: bool,
}

/// The legacy shapes of POST /api/chat. `message` belongs to companions; `user_message`, `session_id`
/// and `persona_name` to sessions.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct LegacyChatRequest {
    #[schemars(length(min = 1, max = 5000))]
    pub(super) message: Option<String>,
    pub(super) user_id: Option<String>,
    /// A persona's key.
    pub(super) agent_role: Option<String>,
    pub(super) max_tokens: Option<u32>,
    pub(super) temperature: Option<f32>,
    pub(super) session_id: Option<String>,
    #[schemars(length(min = 1, max = 5000))]
    pub(super) user_message: Option<String>,
    /// A persona's key.
    pub(super) persona_name: Option<String>,
}

impl LegacyChatRequest {
    /// Session, what is said, and the persona.
    pub(in crate::http) fn into_session_shape(
        self,
    ) -> (Option<String>, Option<String>, Option<String>) {
        (self.session_id, self.user_message, self.persona_name)
    }
}

/// The answer to either shape of POST /api/chat.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::http) enum LegacyChatResponse {
    Companion(LegacyCompanionResponse),
    Session(crate::http::visits::wire::SessionReply),
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct LegacyCompanionResponse {
    pub(super) response: String,
    pub(super) user_id: String,
    /// Messages that are remembered of the user.
    pub(super) memory_size: usize,
    pub(super) relationship: Option<RelationshipBrief>,
    pub(super) stats: UserStats,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct LegacyMemory {
    pub(super) user_id: String,
    /// Messages that are remembered of the user.
    pub(super) memory_size: usize,
    pub(super) facts: Vec<UserFactView>,
    pub(super) relationships: Vec<RelationshipBrief>,
    pub(super) stats: UserStats,
}
