//! Vectors of what was said, made in the background: new messages, and everything again when another
//! embedder is in use. With the vector a message's emotion is judged anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::live::lock;
use super::rows::Vectors;
use super::{Inner, Memory, MessageId, SessionId, persona, rows};
use crate::emotion::{Feeling, importance};
use crate::store::StoreError;

/// Messages that are embedded at a time, and pieces of a persona.
const AT_ONCE: usize = 16;

/// A message without a vector, and what it is embedded with, as recall tells them.
#[derive(PartialEq)]
struct Bare {
    id: MessageId,
    text: String,
    before: Option<String>,
}

impl Memory {
    /// Sees to it that vectors of another embedder don't count; tells whether there were any. Loads
    /// the embedder.
    pub async fn adopt_embedder(&self) -> Result<bool, StoreError> {
        if self.inner.has_adopted.load(Ordering::Acquire) {
            return Ok(false);
        }
        let embedder = Arc::clone(&self.inner.embedder);
        let loaded = tokio::task::spawn_blocking(move || embedder.id().to_owned());
        let embedder = loaded.await.map_err(|_| StoreError::Lost)?;
        // One that can't be loaded has no name; the vectors of the other stay.
        let has_changed = !embedder.is_empty()
            && self.inner.store.run_large(move |connection| adopt(connection, &embedder)).await?;
        if has_changed {
            self.inner.working.clear();
        }
        self.inner.has_adopted.store(true, Ordering::Release);
        Ok(has_changed)
    }

    /// Sessions in which something has no vector yet.
    pub async fn neglected(&self) -> Result<Vec<String>, StoreError> {
        self.inner.store.read(|connection| neglected(connection)).await
    }

    /// Embeds some of what has no vector yet in the session, the newest first; tells whether there may
    /// be more. Slow and busy.
    pub async fn embed_some(&self, name: &str) -> Result<bool, StoreError> {
        let wanted = name.to_owned();
        let inner = Arc::clone(&self.inner);
        let found = self
            .inner
            .store
            .read(move |connection| {
                let Some(row) = rows::session_named(connection, &wanted)? else { return Ok(None) };
                let bare = bare_messages(connection, row.id)?;
                let chunks =
                    persona::bare_chunks(connection, row.id, inner.embedder.id(), AT_ONCE)?;
                Ok(Some((row.id, bare, chunks)))
            })
            .await?;
        let Some((session, bare, chunks)) = found else { return Ok(false) };
        if bare.is_empty() && chunks.is_empty() {
            return Ok(false);
        }
        let may_be_more = bare.len() == AT_ONCE || chunks.len() == AT_ONCE;
        let inner = Arc::clone(&self.inner);
        let embedded = tokio::task::spawn_blocking(move || inner.embed(bare, chunks))
            .await
            .map_err(|_| StoreError::Lost)?;
        let Some(embedded) = embedded else { return Ok(false) };
        let inner = Arc::clone(&self.inner);
        self.inner
            .store
            .run(move |connection| inner.keep_vectors(connection, session, &embedded))
            .await?;
        Ok(may_be_more)
    }
}

/// What was embedded: messages with their texts, and pieces of the persona.
struct Embedded {
    messages: Vec<(Bare, Vectors)>,
    pieces: Vec<(i64, String, Vec<f32>)>,
}

impl Inner {
    /// `None` if the embedder can't; it has said so by itself.
    fn embed(&self, bare: Vec<Bare>, pieces: Vec<(i64, String)>) -> Option<Embedded> {
        let windows: Vec<String> = bare.iter().map(Bare::window).collect();
        let texts: Vec<&str> = bare
            .iter()
            .map(|bare| bare.text.as_str())
            .chain(windows.iter().map(String::as_str))
            .chain(pieces.iter().map(|(_, text)| text.as_str()))
            .collect();
        let mut vectors = match self.embedder.embed(&texts) {
            Ok(vectors) => vectors,
            Err(error) => {
                tracing::debug!("messages can't be embedded: {error}");
                return None;
            }
        };
        let of_pieces = vectors.split_off(bare.len() * 2);
        let of_windows = vectors.split_off(bare.len());
        let messages = bare.into_iter().zip(vectors.into_iter().zip(of_windows));
        let messages = messages.map(|(bare, (turn, window))| (bare, Vectors { turn, window }));
        let pieces = pieces.into_iter().zip(of_pieces);
        let pieces = pieces.map(|((at, text), vector)| (at, text, vector));
        Some(Embedded { messages: messages.collect(), pieces: pieces.collect() })
    }

    fn keep_vectors(
        &self,
        connection: &mut Connection,
        session: SessionId,
        embedded: &Embedded,
    ) -> Result<(), StoreError> {
        let transaction = connection.transaction()?;
        let mut kept: Vec<(MessageId, &Vectors, Feeling, f32)> = Vec::new();
        for (bare, vectors) in &embedded.messages {
            let Bare { id, text, .. } = bare;
            // It may have been corrected or forgotten meanwhile.
            if told(&transaction, *id)?.as_ref() != Some(bare) {
                continue;
            }
            rows::set_vectors(&transaction, *id, self.embedder.id(), vectors)?;
            let feeling = self.feel(text, Some(&vectors.turn));
            let importance = importance(text, &feeling);
            transaction.execute(
                "UPDATE messages SET emotion = ?2, confidence = ?3, importance = ?4 WHERE id = ?1",
                params![id.0, feeling.emotion().name(), feeling.confidence(), importance],
            )?;
            kept.push((*id, vectors, feeling, importance));
        }
        for (position, text, vector) in &embedded.pieces {
            persona::set_vector(
                &transaction,
                session,
                *position,
                text,
                self.embedder.id(),
                vector,
            )?;
        }
        transaction.commit()?;
        if let Some(live) = self.working.find(session) {
            let mut live = lock(&live);
            for (id, vectors, feeling, importance) in kept {
                live.set_vectors(id, vectors, feeling.emotion(), importance);
            }
        }
        Ok(())
    }
}

impl Bare {
    /// The message together with the one before.
    fn window(&self) -> String {
        match &self.before {
            Some(before) => format!("{before}\n{}", self.text),
            None => self.text.clone(),
        }
    }
}

/// Whether the vectors so far are another embedder's; then they no longer count.
fn adopt(connection: &mut Connection, embedder: &str) -> Result<bool, StoreError> {
    let transaction = connection.transaction()?;
    let former: Option<String> = transaction
        .query_row("SELECT embedder FROM embedded_by", [], |row| row.get(0))
        .optional()?;
    if former.as_deref() == Some(embedder) {
        return Ok(false);
    }
    transaction.execute(
        "INSERT INTO embedded_by (id, embedder) VALUES (1, ?1)
         ON CONFLICT (id) DO UPDATE SET embedder = excluded.embedder",
        [embedder],
    )?;
    if former.is_some() {
        transaction.execute("UPDATE messages SET has_vectors = 0 WHERE has_vectors", [])?;
    }
    transaction.commit()?;
    Ok(former.is_some())
}

fn neglected(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT name FROM sessions WHERE EXISTS (
            SELECT 1 FROM messages WHERE messages.session = sessions.id
                AND NOT has_vectors AND NOT forgotten
         ) ORDER BY used_at DESC",
    )?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A message and the one before, as they are told.
const BARE: &str = "SELECT messages.id, coalesce(messages.corrected, messages.text), before.text
    FROM messages LEFT JOIN messages_told AS before ON before.id = messages.parent";

fn bare(row: &Row<'_>) -> rusqlite::Result<Bare> {
    Ok(Bare { id: MessageId(row.get(0)?), text: row.get(1)?, before: row.get(2)? })
}

fn bare_messages(connection: &Connection, session: SessionId) -> Result<Vec<Bare>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "{BARE} WHERE messages.session = ?1 AND NOT messages.has_vectors AND NOT messages.forgotten
         ORDER BY messages.id DESC LIMIT ?2",
    ))?;
    let rows = statement.query_map(params![session.0, rows::integer(AT_ONCE)], bare)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A message as it is told now; `None` if it is gone or forgotten.
fn told(connection: &Connection, id: MessageId) -> Result<Option<Bare>, StoreError> {
    let mut statement = connection
        .prepare_cached(&format!("{BARE} WHERE messages.id = ?1 AND NOT messages.forgotten"))?;
    Ok(statement.query_row([id.0], bare).optional()?)
}
