//! Mending what is remembered: messages that are pinned, corrected, forgotten or deleted, the persona,
//! facts, whole sessions.
//!
//! Each change is one transaction. What depended on the old words goes with them: vectors and
//! summaries are made anew, and the session in working memory is read anew.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::facts::{self, Fact};
use super::records::{Record, record_of, session};
use super::rows::{self, SessionRow};
use super::{Inner, Memory, MessageId, is_private, persona, summaries};
use crate::distil::Strategy;
use crate::emotion::importance;
use crate::store::StoreError;

/// Why something can't be shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("there is no session of this name; the list of sessions tells the names there are")]
    NoSession,
    #[error("the session has no message {}; with branches=true all of its messages are listed", .0.0)]
    NoMessage(MessageId),
    #[error("the session has no fact {0}; the session's own page lists its facts")]
    NoFact(i64),
    #[error("there is a session of this name already; choose another, or delete that one")]
    Exists,
    #[error("fact {old} was superseded by fact {by}; change that one")]
    Superseded { old: i64, by: i64 },
    /// A field of the request.
    #[error("{field}: {fault}")]
    Wrong { field: &'static str, fault: &'static str },
    /// What is imported.
    #[error("line {line}: {fault}")]
    Line { line: usize, fault: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for RecordError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What is to become of a message; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub pinned: Option<bool>,
    /// `Some(None)` takes a correction back.
    pub corrected: Option<Option<String>>,
    pub forgotten: Option<bool>,
}

/// What is to become of a fact; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactChange {
    pub text: Option<String>,
    pub pinned: Option<bool>,
}

/// What the distiller made of a talk's words may be kept under the words' hash.
pub(super) const MADE_OF_TALK: [Strategy; 2] =
    [Strategy::ConversationHistory, Strategy::SystemPromptOptimization];

impl Memory {
    pub async fn change_message(
        &self,
        name: String,
        id: MessageId,
        change: Change,
    ) -> Result<Record, RecordError> {
        if let Some(Some(text)) = &change.corrected {
            not_blank("corrected", text)?;
        }
        let is_forgotten = change.forgotten == Some(true);
        let session = name.clone();
        let changed = self
            .change(name, move |inner, connection, row| {
                inner.change_message(connection, row, id, &change)
            })
            .await?;
        if is_forgotten {
            self.forget_what_was_made(&session).await?;
        }
        Ok(changed)
    }

    /// Deletes a message and all that was said after it; tells how many that were.
    pub async fn delete_message(&self, name: String, id: MessageId) -> Result<usize, RecordError> {
        let session = name.clone();
        let deleted = self
            .change(name, move |_, connection, row| {
                let message = rows::message_by_id(connection, row.id, id)?;
                let message = message.ok_or(RecordError::NoMessage(id))?;
                let path = rows::path_ids(connection, row.tip)?;
                if path.contains(&id) {
                    connection.execute(
                        "UPDATE sessions SET tip = ?2 WHERE id = ?1",
                        params![row.id.0, message.parent.map(|it| it.0)],
                    )?;
                }
                delete_with_descendants(connection, id)
            })
            .await?;
        self.forget_what_was_made(&session).await?;
        self.inner.store.settle().await?;
        Ok(deleted)
    }

    /// Deletes all of a session, down to the bytes in the file.
    pub async fn delete_session(&self, name: String) -> Result<(), RecordError> {
        let session = name.clone();
        self.delete_rows(name).await?;
        self.forget_what_was_made(&session).await?;
        Ok(self.inner.store.settle().await?)
    }

    /// Deletes sessions that belong to somebody; those that are gone already don't matter.
    pub async fn delete_private(&self, names: Vec<String>) -> Result<(), RecordError> {
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let deleted = self.delete_rows(name).await;
            if !matches!(deleted, Ok(()) | Err(RecordError::NoSession)) {
                return deleted;
            }
        }
        self.inner.distiller.forget(&MADE_OF_TALK).await?;
        Ok(self.inner.store.settle().await?)
    }

    async fn delete_rows(&self, name: String) -> Result<(), RecordError> {
        self.change(name, |inner, connection, row| {
            inner.drop_waiting(connection, row.id)?;
            delete_content(connection, row)?;
            connection.execute("DELETE FROM sessions WHERE id = ?1", [row.id.0])?;
            Ok(())
        })
        .await
    }

    /// Names of sessions that belong to somebody and were begun before this time (milliseconds since
    /// 1970).
    pub async fn private_sessions(&self, before: i64) -> Result<Vec<String>, RecordError> {
        self.look(move |connection| Ok(rows::private(connection, before)?)).await
    }

    /// Drops what was made of talks, and prompts that the engine keeps on disk; of somebody's own talks
    /// it keeps none.
    async fn forget_what_was_made(&self, session: &str) -> Result<(), StoreError> {
        self.inner.distiller.forget(&MADE_OF_TALK).await?;
        if !is_private(session) {
            self.inner.distiller.forget_prompts().await;
        }
        Ok(())
    }

    /// Sets the persona by hand, so that the client's doesn't count; makes the session if there is none.
    pub async fn set_persona(&self, name: String, text: String) -> Result<(), RecordError> {
        can_be_named("session", &name)?;
        not_blank("text", &text)?;
        let inner = Arc::clone(&self.inner);
        self.inner
            .store
            .run(move |connection| {
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let known = rows::session_named(&transaction, &name)?;
                let session = known.map_or_else(
                    || rows::new_session(&transaction, &name, false, inner.now()),
                    |row| Ok(row.id),
                )?;
                persona::set(&transaction, session, &text, true)?;
                Ok(transaction.commit()?)
            })
            .await?;
        Ok(())
    }

    /// Takes the persona away; the client's next one counts again.
    pub async fn clear_persona(&self, name: String) -> Result<(), RecordError> {
        self.change(name, |_, connection, row| Ok(persona::clear(connection, row.id)?)).await
    }

    pub async fn add_fact(
        &self,
        name: String,
        text: String,
        source: Option<MessageId>,
    ) -> Result<Fact, RecordError> {
        not_blank("text", &text)?;
        self.change(name, move |inner, connection, row| {
            if let Some(source) = source
                && rows::message_by_id(connection, row.id, source)?.is_none()
            {
                let fault = "the session has no such message";
                return Err(RecordError::Wrong { field: "source_message", fault });
            }
            let id = facts::add(connection, row.id, &text, source, inner.now())?;
            fact(connection, row, id)
        })
        .await
    }

    /// A changed text makes a new fact, which takes the place of the old one.
    pub async fn change_fact(
        &self,
        name: String,
        id: i64,
        change: FactChange,
    ) -> Result<Fact, RecordError> {
        if let Some(text) = &change.text {
            not_blank("text", text)?;
        }
        self.change(name, move |inner, connection, row| {
            let old = fact(connection, row, id)?;
            if let Some(by) = old.superseded_by {
                return Err(RecordError::Superseded { old: id, by });
            }
            let text = change.text.as_ref().filter(|text| **text != old.text);
            let now = inner.now();
            let id =
                text.map_or(Ok(id), |text| facts::supersede(connection, row.id, &old, text, now))?;
            if let Some(pinned) = change.pinned {
                facts::pin(connection, id, pinned)?;
            }
            fact(connection, row, id)
        })
        .await
    }

    pub async fn remove_fact(&self, name: String, id: i64) -> Result<(), RecordError> {
        self.change(name, move |_, connection, row| {
            facts::remove(connection, row.id, id)?.then_some(()).ok_or(RecordError::NoFact(id))
        })
        .await
    }

    /// One change of one session. In working memory it is read anew afterwards.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        name: String,
        work: impl FnOnce(&Inner, &Connection, &SessionRow) -> Result<T, RecordError> + Send + 'static,
    ) -> Result<T, RecordError> {
        let inner = Arc::clone(&self.inner);
        let run = move |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = session(&transaction, &name)
                .and_then(|row| Ok((row.id, work(&inner, &transaction, &row)?)));
            let (id, done) = match done {
                Ok(done) => done,
                // Dropping the transaction undoes it.
                Err(error) => return Ok(Err(error)),
            };
            transaction.commit()?;
            inner.working.forget(id);
            Ok(Ok(done))
        };
        self.inner.store.run_large(run).await?
    }
}

impl Inner {
    fn change_message(
        &self,
        connection: &Connection,
        row: &SessionRow,
        id: MessageId,
        change: &Change,
    ) -> Result<Record, RecordError> {
        let path = rows::path_ids(connection, row.tip)?;
        let old = record_of(connection, row, &path, id)?.stored;
        let corrected = change.corrected.clone().unwrap_or_else(|| old.corrected.clone());
        let corrected = corrected.filter(|text| *text != old.said.text);
        let forgotten = change.forgotten.unwrap_or(old.forgotten);
        let pinned = change.pinned.unwrap_or(old.pinned);
        if (&corrected, forgotten) != (&old.corrected, old.forgotten) {
            let told = corrected.as_ref().unwrap_or(&old.said.text);
            let feeling = self.feel(told, None);
            connection.execute(
                "UPDATE messages SET corrected = ?2, forgotten = ?3, emotion = ?4, confidence = ?5,
                    importance = ?6 WHERE id = ?1",
                params![
                    id.0,
                    corrected,
                    forgotten,
                    feeling.emotion().name(),
                    feeling.confidence(),
                    importance(told, &feeling)
                ],
            )?;
            rows::drop_vectors(connection, id)?;
            summaries::drop_those_telling(connection, row.id, &old)?;
        }
        connection
            .execute("UPDATE messages SET pinned = ?2 WHERE id = ?1", params![id.0, pinned])?;
        record_of(connection, row, &path, id)
    }
}

/// The longest name of a session, in bytes.
const LONGEST_NAME: usize = 1_000;

/// Whether a session can have this name.
pub(super) fn can_be_named(field: &'static str, name: &str) -> Result<(), RecordError> {
    if is_private(name) {
        let fault = "names of this beginning are kept for conversations of accounts";
        return Err(RecordError::Wrong { field, fault });
    }
    if name.len() > LONGEST_NAME {
        let fault = "a session's name has 1000 bytes at most";
        return Err(RecordError::Wrong { field, fault });
    }
    not_blank(field, name)
}

fn not_blank(field: &'static str, text: &str) -> Result<(), RecordError> {
    let fault = "must hold more than blanks";
    if text.trim().is_empty() { Err(RecordError::Wrong { field, fault }) } else { Ok(()) }
}

fn fact(connection: &Connection, row: &SessionRow, id: i64) -> Result<Fact, RecordError> {
    facts::find(connection, row.id, id)?.ok_or(RecordError::NoFact(id))
}

/// From the leaves inwards: SQLite would follow a thousand messages from parent to child, no further.
fn delete_with_descendants(connection: &Connection, id: MessageId) -> Result<usize, RecordError> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE gone (at) AS (
            SELECT ?1 UNION ALL SELECT messages.id FROM messages JOIN gone ON parent = gone.at
         )
         SELECT at FROM gone ORDER BY at DESC",
    )?;
    let gone: Vec<i64> =
        statement.query_map([id.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    delete(connection, &gone)?;
    Ok(gone.len())
}

/// Everything of a session but its own row.
pub(super) fn delete_content(connection: &Connection, row: &SessionRow) -> Result<(), RecordError> {
    persona::clear(connection, row.id)?;
    for table in ["summaries", "facts"] {
        connection.execute(&format!("DELETE FROM {table} WHERE session = ?1"), [row.id.0])?;
    }
    let mut statement =
        connection.prepare_cached("SELECT id FROM messages WHERE session = ?1 ORDER BY id DESC")?;
    let gone: Vec<i64> =
        statement.query_map([row.id.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    delete(connection, &gone)?;
    connection.execute("UPDATE sessions SET tip = NULL WHERE id = ?1", [row.id.0])?;
    Ok(())
}

/// From so many messages on it is faster to write the index of words anew than to take the words of
/// each message out of it.
const MANY: usize = 1_000;

/// Children have higher ids than their parents, and stand first here.
fn delete(connection: &Connection, newest_first: &[i64]) -> Result<(), RecordError> {
    let are_many = newest_first.len() >= MANY;
    let at_once = "INSERT INTO message_words (message_words, rank) VALUES ('secure-delete', ?1)";
    if are_many {
        connection.execute(at_once, [0])?;
    }
    let mut statement = connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?;
    for id in newest_first {
        statement.execute([id])?;
    }
    if are_many {
        connection.execute("INSERT INTO message_words (message_words) VALUES ('optimize')", [])?;
        connection.execute(at_once, [1])?;
    }
    Ok(())
}

/// Whether one message is another or lies before it on its path.
pub(super) fn leads_to(
    connection: &Connection,
    earlier: MessageId,
    later: MessageId,
) -> Result<bool, RecordError> {
    let found = connection
        .prepare_cached(
            "WITH RECURSIVE path (at) AS (
                SELECT ?2 UNION ALL
                SELECT messages.parent FROM messages JOIN path ON messages.id = path.at
                WHERE messages.parent >= ?1
             )
             SELECT 1 FROM path WHERE at = ?1",
        )?
        .query_row(params![earlier.0, later.0], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}
