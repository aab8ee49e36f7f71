//! A copy of a session's path, to go on from somewhere in another way.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::edits::{RecordError, can_be_named};
use super::rows::{self, SessionRow, Stored};
use super::{Inner, Memory, MessageId, SessionId, facts, persona, summaries};

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forked {
    pub messages: usize,
    pub facts: usize,
    pub summaries: usize,
}

impl Memory {
    /// Copies the path up to this message, else up to where the talk stands, into a new session: with
    /// persona, pins, corrections, vectors, and the facts and summaries that hold on it.
    pub async fn fork(
        &self,
        name: String,
        to: String,
        at: Option<MessageId>,
    ) -> Result<Forked, RecordError> {
        can_be_named("to", &to)?;
        self.change(name, move |inner, connection, row| inner.fork(connection, row, &to, at)).await
    }
}

impl Inner {
    fn fork(
        &self,
        connection: &Connection,
        row: &SessionRow,
        to: &str,
        at: Option<MessageId>,
    ) -> Result<Forked, RecordError> {
        if rows::session_named(connection, to)?.is_some() {
            return Err(RecordError::Exists);
        }
        if let Some(at) = at
            && rows::message_by_id(connection, row.id, at)?.is_none()
        {
            return Err(RecordError::NoMessage(at));
        }
        let now = self.now();
        let session = rows::new_session(connection, to, false, now)?;
        if let Some(text) = &row.persona {
            persona::set(connection, session, text, row.persona_is_set)?;
        }
        let path = at.or(row.tip);
        let path = path.map_or(Ok(Vec::new()), |end| rows::path_to(connection, end, 0))?;
        let mut new_ids = HashMap::new();
        let mut parent = None;
        for stored in &path {
            let new = copy_message(connection, session, stored, parent)?;
            new_ids.insert(stored.id, new);
            parent = Some(new);
        }
        if let Some(tip) = parent {
            rows::set_tip(connection, session, tip, now)?;
        }
        Ok(Forked {
            messages: path.len(),
            facts: copy_facts(connection, row.id, session, &new_ids)?,
            summaries: copy_summaries(connection, row.id, session, &new_ids)?,
        })
    }
}

fn copy_message(
    connection: &Connection,
    session: SessionId,
    stored: &Stored,
    parent: Option<MessageId>,
) -> Result<MessageId, RecordError> {
    connection
        .prepare_cached(
            "INSERT INTO messages (session, parent, depth, own, chain, role, speaker, text,
                interrupted, said_at, emotion, confidence, importance, pinned, forgotten, corrected,
                has_vectors, is_recognised)
             SELECT ?2, ?3, depth, own, chain, role, speaker, text, interrupted, said_at, emotion,
                confidence, importance, pinned, forgotten, corrected, has_vectors,
                (SELECT is_recognised FROM sessions WHERE id = ?2) FROM messages WHERE id = ?1",
        )?
        .execute(params![stored.id.0, session.0, parent.map(|it| it.0)])?;
    let new = MessageId(connection.last_insert_rowid());
    connection
        .prepare_cached(
            "INSERT INTO message_vectors (message, embedder, turn, window)
             SELECT ?2, embedder, turn, window FROM message_vectors WHERE message = ?1",
        )?
        .execute(params![stored.id.0, new.0])?;
    Ok(new)
}

/// Those that hold on the path, and how they took each other's place.
fn copy_facts(
    connection: &Connection,
    from: SessionId,
    to: SessionId,
    new_ids: &HashMap<MessageId, MessageId>,
) -> Result<usize, RecordError> {
    let mut copied = HashMap::new();
    let all = facts::all(connection, from)?;
    for fact in &all {
        let source = fact.source_message.map(|source| new_ids.get(&source).copied());
        if source == Some(None) {
            continue;
        }
        let mut copy = fact.clone();
        copy.source_message = source.flatten();
        copied.insert(fact.id, facts::copy(connection, to, &copy)?);
    }
    for fact in &all {
        let new = fact.superseded_by.and_then(|by| copied.get(&by));
        if let (Some(&old), Some(&new)) = (copied.get(&fact.id), new) {
            facts::succeed(connection, old, new)?;
        }
    }
    Ok(copied.len())
}

fn copy_summaries(
    connection: &Connection,
    from: SessionId,
    to: SessionId,
    new_ids: &HashMap<MessageId, MessageId>,
) -> Result<usize, RecordError> {
    let mut copied = 0;
    for mut summary in summaries::all(connection, from)? {
        if let Some(&last) = new_ids.get(&summary.last_message) {
            summary.last_message = last;
            copied += usize::from(summaries::copy(connection, to, &summary)?);
        }
    }
    Ok(copied)
}
