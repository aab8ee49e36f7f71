//! What is remembered, as it stands on the wire. Times are RFC 3339.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::emotion::Emotion;
use crate::memory::{
    Fact, Forked, Found, Imported, MessageId, Provenance, Record, Role, SessionBrief, SessionView,
    Summary, timestamp,
};
use crate::tokens::TokenCount;

/// Characters of a text in a list.
const BEGINNING: usize = 80;

fn beginning(text: &str) -> String {
    text.chars().take(BEGINNING).collect()
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemorySessions {
    pub(super) sessions: Vec<MemorySessionBrief>,
    /// Sessions there are.
    pub(super) total: usize,
    pub(super) offset: usize,
    pub(super) limit: usize,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemorySessionBrief {
    /// The session's name.
    session: String,
    /// On the path that is talked on.
    messages: usize,
    /// Its first 80 characters.
    persona: Option<String>,
    created_at: String,
    used_at: String,
}

impl From<SessionBrief> for MemorySessionBrief {
    fn from(brief: SessionBrief) -> Self {
        Self {
            session: brief.name,
            messages: brief.messages,
            persona: brief.persona.as_deref().map(beginning),
            created_at: timestamp(brief.created_at),
            used_at: timestamp(brief.used_at),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemorySession {
    session: String,
    persona: Option<String>,
    /// Whether it was set by hand, so that the client's doesn't count.
    persona_is_set: bool,
    /// The newest last.
    messages: Vec<MemoryMessage>,
    summaries: Vec<MemorySummary>,
    /// All, superseded ones included.
    facts: Vec<MemoryFact>,
    /// Messages there are.
    total: usize,
    offset: usize,
    limit: usize,
}

impl MemorySession {
    pub(super) fn new(view: SessionView, (offset, limit): (usize, usize)) -> Self {
        Self {
            session: view.name,
            persona: view.persona,
            persona_is_set: view.persona_is_set,
            messages: view.messages.into_iter().map(Into::into).collect(),
            summaries: view.summaries.into_iter().map(Into::into).collect(),
            facts: view.facts.into_iter().map(Into::into).collect(),
            total: view.total,
            offset,
            limit,
        }
    }
}

#[expect(clippy::struct_excessive_bools, reason = "marks that have nothing to do with each other")]
#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryMessage {
    id: MessageId,
    parent: Option<MessageId>,
    /// How many messages lie before it on its path.
    depth: usize,
    role: Role,
    speaker: Option<String>,
    text: String,
    /// What it should have said, by hand; this is what is recalled.
    corrected: Option<String>,
    /// Whether the answer ended before the model ended it.
    interrupted: bool,
    said_at: String,
    emotion: Emotion,
    /// Of the emotion, 0 to 1.
    confidence: f32,
    /// 0 to 1.
    importance: f32,
    pinned: bool,
    /// Whether it is never recalled, nor told in summaries.
    forgotten: bool,
    /// An answer at the end of the path on which nobody has built yet; a swipe may still replace it.
    provisional: bool,
    /// Whether it is found by its meaning, too, not by its words alone.
    has_vector: bool,
    /// Whether it lies on the path that is talked on.
    on_path: bool,
}

impl From<Record> for MemoryMessage {
    fn from(record: Record) -> Self {
        let stored = record.stored;
        Self {
            id: stored.id,
            parent: stored.parent,
            depth: stored.depth,
            role: stored.said.role,
            speaker: stored.said.speaker,
            text: stored.said.text,
            corrected: stored.corrected,
            interrupted: stored.interrupted,
            said_at: timestamp(stored.said_at),
            emotion: stored.emotion,
            confidence: stored.confidence,
            importance: stored.importance,
            pinned: stored.pinned,
            forgotten: stored.forgotten,
            provisional: record.provisional,
            has_vector: record.has_vector,
            on_path: record.on_path,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemorySummary {
    id: i64,
    /// 0 tells messages; each level above tells summaries of the one below.
    level: u32,
    /// Positions on the path that it tells, both included.
    first_depth: usize,
    last_depth: usize,
    last_message: MessageId,
    text: String,
    tokens: TokenCount,
    made_at: String,
}

impl From<Summary> for MemorySummary {
    fn from(summary: Summary) -> Self {
        Self {
            id: summary.id,
            level: summary.level,
            first_depth: summary.first_depth,
            last_depth: summary.last_depth,
            last_message: summary.last_message,
            text: summary.text,
            tokens: summary.tokens,
            made_at: timestamp(summary.made_at),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryFact {
    id: i64,
    text: String,
    /// The message it was learnt from; it holds where the path leads through that one.
    source_message: Option<MessageId>,
    /// Whether every prompt tells it, as far as memory's share goes.
    pinned: bool,
    made_at: String,
    /// The fact that took its place.
    superseded_by: Option<i64>,
}

impl From<Fact> for MemoryFact {
    fn from(fact: Fact) -> Self {
        Self {
            id: fact.id,
            text: fact.text,
            source_message: fact.source_message,
            pinned: fact.pinned,
            made_at: timestamp(fact.made_at),
            superseded_by: fact.superseded_by,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemorySearch {
    /// The best first.
    pub(super) results: Vec<MemoryHit>,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryHit {
    message: MemoryMessage,
    /// BM25: the higher, the better.
    score: f64,
    /// What stands around the words, these in `[` and `]`.
    snippet: String,
}

impl From<Found> for MemoryHit {
    fn from(found: Found) -> Self {
        Self { message: found.record.into(), score: found.score, snippet: found.snippet }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryProvenance {
    message: MemoryMessage,
    /// What was said before it on its path, four messages at most, in order.
    before: Vec<MemoryMessage>,
    /// What was said next: several, where the talk branches.
    children: Vec<MemoryChild>,
    /// Summaries that tell it.
    summaries: Vec<MemorySummary>,
    /// Facts that come from it.
    facts: Vec<MemoryFact>,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryChild {
    id: MessageId,
    role: Role,
    /// Its first 80 characters.
    text: String,
    on_path: bool,
}

impl From<Provenance> for MemoryProvenance {
    fn from(provenance: Provenance) -> Self {
        let child = |record: Record| MemoryChild {
            id: record.stored.id,
            role: record.stored.said.role,
            text: beginning(&record.stored.said.text),
            on_path: record.on_path,
        };
        Self {
            message: provenance.record.into(),
            before: provenance.before.into_iter().map(Into::into).collect(),
            children: provenance.children.into_iter().map(child).collect(),
            summaries: provenance.summaries.into_iter().map(Into::into).collect(),
            facts: provenance.facts.into_iter().map(Into::into).collect(),
        }
    }
}

/// What isn't sent stays as it is.
#[expect(clippy::option_option, reason = "a null that was sent takes a correction back")]
#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct MemoryMessageChange {
    /// Whether every prompt of its path tells it, as far as memory's share goes.
    #[serde(default)]
    pub(super) pinned: Option<bool>,
    /// What it should have said; null takes a correction back.
    #[serde(default, deserialize_with = "even_null")]
    #[schemars(with = "Option<String>")]
    pub(super) corrected: Option<Option<String>>,
    #[serde(default)]
    pub(super) forgotten: Option<bool>,
}

#[expect(clippy::option_option, reason = "a null that was sent takes a correction back")]
/// A null that was sent is told apart from a field that wasn't.
fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryDeletedMessages {
    /// How many messages.
    pub(super) deleted: usize,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryDeleted {
    pub(super) deleted: bool,
}

/// One of the two.
#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct MemoryPersonaRequest {
    #[serde(default)]
    pub(super) text: Option<String>,
    /// A character card, V1 to V3, as JSON.
    #[serde(default)]
    pub(super) card: Option<Map<String, Value>>,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryPersona {
    pub(super) persona: Option<String>,
    pub(super) persona_is_set: bool,
}

#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct MemoryFactRequest {
    pub(super) text: String,
    /// The message it was learnt from; it holds where the path leads through that one.
    #[serde(default)]
    pub(super) source_message: Option<MessageId>,
}

/// What isn't sent stays as it is.
#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct MemoryFactChange {
    #[serde(default)]
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) pinned: Option<bool>,
}

#[derive(Deserialize, JsonSchema)]
pub(in super::super) struct MemoryForkRequest {
    /// The new session's name.
    pub(super) to: String,
    /// The last message to copy; without it, all of the path that is talked on.
    #[serde(default)]
    pub(super) at_message: Option<MessageId>,
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryFork {
    session: String,
    messages: usize,
    facts: usize,
    summaries: usize,
}

impl MemoryFork {
    pub(super) fn new(session: String, forked: Forked) -> Self {
        let Forked { messages, facts, summaries } = forked;
        Self { session, messages, facts, summaries }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in super::super) struct MemoryImport {
    messages: usize,
    facts: usize,
    summaries: usize,
    /// What was there already, and lines that are no part of a talk.
    skipped: usize,
}

impl From<Imported> for MemoryImport {
    fn from(imported: Imported) -> Self {
        let Imported { messages, facts, summaries, skipped } = imported;
        Self { messages, facts, summaries, skipped }
    }
}
