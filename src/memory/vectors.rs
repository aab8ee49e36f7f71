//! Vectors of what was said, made in the background: new messages, and all of a session again when
//! another embedder is in use. With the vector a message's emotion is judged anew.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::live::lock;
use super::rows::Vectors;
use super::{Inner, Memory, MessageId, SessionId, persona, rows};
use crate::emotion::importance;
use crate::store::StoreError;

/// Messages that are embedded at a time.
const AT_ONCE: usize = 16;

/// A message without a vector, and what it is embedded with, as recall tells them.
#[derive(PartialEq)]
struct Bare {
    id: MessageId,
    text: String,
    before: Option<String>,
}

impl Memory {
    /// Embeds some of what has no vector of this embedder yet in the session; tells whether there
    /// may be more. Slow and busy.
    pub async fn embed_some(&self, name: &str) -> Result<bool, StoreError> {
        let wanted = name.to_owned();
        let inner = Arc::clone(&self.inner);
        let found = self
            .inner
            .store
            .read(move |connection| {
                let Some(row) = rows::session_named(connection, &wanted)? else { return Ok(None) };
                let embedder = inner.embedder.id();
                let bare = bare_messages(connection, row.id, embedder)?;
                let chunks = persona::bare_chunks(connection, row.id, embedder)?;
                Ok(Some((row.id, bare, chunks)))
            })
            .await?;
        let Some((session, bare, chunks)) = found else { return Ok(false) };
        if bare.is_empty() && chunks.is_empty() {
            return Ok(false);
        }
        let may_be_more = bare.len() == AT_ONCE;
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
        let mut kept = Vec::new();
        for (bare, vectors) in &embedded.messages {
            let Bare { id, text, .. } = bare;
            // It may have been corrected or forgotten meanwhile.
            if told(&transaction, *id)?.as_ref() != Some(bare) {
                continue;
            }
            kept.push((*id, vectors));
            rows::set_vectors(&transaction, *id, self.embedder.id(), vectors)?;
            let feeling = self.feel(text, Some(&vectors.turn));
            transaction.execute(
                "UPDATE messages SET emotion = ?2, confidence = ?3, importance = ?4 WHERE id = ?1",
                params![
                    id.0,
                    feeling.emotion().name(),
                    feeling.confidence(),
                    importance(text, &feeling)
                ],
            )?;
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
            for (id, vectors) in kept {
                live.set_vectors(id, vectors);
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

const BARE: &str = "SELECT messages.id, messages.text, before.text FROM messages_told AS messages
    JOIN messages AS said ON said.id = messages.id
    LEFT JOIN messages_told AS before ON before.id = said.parent";

fn bare(row: &Row<'_>) -> rusqlite::Result<Bare> {
    Ok(Bare { id: MessageId(row.get(0)?), text: row.get(1)?, before: row.get(2)? })
}

fn bare_messages(
    connection: &Connection,
    session: SessionId,
    embedder: &str,
) -> Result<Vec<Bare>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "{BARE} LEFT JOIN message_vectors ON message_vectors.message = messages.id
            AND message_vectors.embedder = ?2
         WHERE said.session = ?1 AND message_vectors.message IS NULL
         ORDER BY messages.id DESC LIMIT ?3",
    ))?;
    let rows = statement.query_map(params![session.0, embedder, rows::integer(AT_ONCE)], bare)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A message as it is told now; `None` if it is gone or forgotten.
fn told(connection: &Connection, id: MessageId) -> Result<Option<Bare>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{BARE} WHERE messages.id = ?1"))?;
    Ok(statement.query_row([id.0], bare).optional()?)
}
