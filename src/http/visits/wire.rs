//! Sessions of visitors, as they stand on the wire. Times are RFC 3339.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::companion::{Reply, USUAL_VISITED, Visit};
use crate::memory::{Record, Role, SessionView, timestamp};

fn usual_persona() -> String {
    USUAL_VISITED.to_owned()
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct SessionStartRequest {
    /// A name that the caller chooses for its user.
    #[schemars(length(min = 1, max = 200))]
    pub(super) user_id: String,
    /// A persona's key.
    #[serde(default = "usual_persona", alias = "persona_name")]
    pub(super) persona: String,
    /// Anything; it comes back with the session.
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
}

/// An open session.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct SessionOpen {
    user_id: String,
    /// The persona's key.
    persona: String,
    message_count: usize,
    created_at: String,
    last_activity: String,
    session_id: String,
    metadata: Map<String, Value>,
}

impl From<Visit> for SessionOpen {
    fn from(visit: Visit) -> Self {
        Self {
            user_id: visit.visitor,
            persona: visit.persona,
            message_count: visit.messages,
            created_at: timestamp(visit.created_at),
            last_activity: timestamp(visit.used_at),
            session_id: visit.uid,
            metadata: visit.metadata,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct SessionChatRequest {
    #[schemars(length(min = 1, max = 200))]
    pub(super) user_id: String,
    #[schemars(length(min = 1, max = 5000))]
    pub(super) message: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct SessionReply {
    response: String,
    user_id: String,
    session_id: String,
    /// The persona's key.
    persona: String,
    timestamp: String,
    tokens_used: usize,
}

impl SessionReply {
    pub(super) fn new(reply: Reply, user_id: String) -> Self {
        Self {
            response: reply.response,
            user_id,
            session_id: reply.conversation,
            persona: reply.persona.key.clone(),
            timestamp: timestamp(reply.said_at),
            tokens_used: reply.usage.prompt_tokens.get() + reply.usage.completion_tokens.get(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct SessionHistory {
    user_id: String,
    persona: String,
    /// Messages there are.
    message_count: usize,
    /// The newest last.
    messages: Vec<SessionMessage>,
}

impl SessionHistory {
    pub(super) fn new(visit: Visit, view: SessionView) -> Self {
        Self {
            user_id: visit.visitor,
            persona: visit.persona,
            message_count: view.total,
            messages: view.messages.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct SessionMessage {
    role: Role,
    content: String,
    timestamp: String,
    /// Its id, emotion and importance.
    metadata: Value,
}

impl From<Record> for SessionMessage {
    fn from(record: Record) -> Self {
        let stored = record.stored;
        Self {
            role: stored.said.role,
            content: stored.said.text,
            timestamp: timestamp(stored.said_at),
            metadata: json!({
                "message_id": stored.id,
                "emotion": stored.emotion,
                "importance": stored.importance,
                "interrupted": stored.interrupted,
            }),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct SessionCleared {
    pub(super) status: &'static str,
    pub(super) message: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct ActiveSessions {
    pub(super) active_users: Vec<String>,
    pub(super) count: usize,
}

/// What a client sends through a WebSocket: something said, or {"type": "stop"}.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct SocketMessage {
    pub(super) text: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// What a client is told through a WebSocket.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(in crate::http) enum SocketEvent {
    Chunk {
        content: String,
    },
    Complete {
        response: String,
        /// Whether the client stopped it, or the answer ended before the model ended it.
        #[serde(skip_serializing_if = "Option::is_none")]
        stopped: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens_used: Option<usize>,
    },
    Error {
        message: String,
    },
}
