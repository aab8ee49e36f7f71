//! What is remembered, as a person looks at it: sessions, their messages of one path or all, where a
//! message comes from and what came of it, and a search for words. Changes nothing.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use super::edits::RecordError;
use super::facts::{self, Fact};
use super::history::Role;
use super::rows::{self, SessionRow, Stored};
use super::summaries::{self, Summary};
use super::{Memory, MessageId};

/// A session in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionBrief {
    pub name: String,
    /// On the path that is talked on.
    pub messages: usize,
    pub persona: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    pub used_at: i64,
}

/// One message, and how it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub stored: Stored,
    /// Whether it lies on the path that is talked on.
    pub on_path: bool,
    /// An answer at the end of the path, on which nobody has built yet: a swipe may still replace it.
    pub provisional: bool,
    /// Whether recall finds it by its meaning, too.
    pub has_vector: bool,
}

/// A session with some of its messages.
#[derive(Clone, Debug)]
pub struct SessionView {
    pub name: String,
    pub persona: Option<String>,
    pub persona_is_set: bool,
    /// In the order they were said; of several branches, in the order they were stored.
    pub messages: Vec<Record>,
    pub summaries: Vec<Summary>,
    /// All, superseded ones included.
    pub facts: Vec<Fact>,
    /// Messages there are.
    pub total: usize,
}

/// A message that holds the words.
#[derive(Clone, Debug)]
pub struct Found {
    pub record: Record,
    /// The higher, the better.
    pub score: f64,
    /// What stands around the words, these in brackets.
    pub snippet: String,
}

/// A message, where it comes from and what came of it.
#[derive(Clone, Debug)]
pub struct Provenance {
    pub record: Record,
    /// What was said before it on its path, in order.
    pub before: Vec<Record>,
    /// What was said next.
    pub children: Vec<Record>,
    pub summaries: Vec<Summary>,
    pub facts: Vec<Fact>,
}

/// Messages that are told before one.
const BEFORE: usize = 4;

impl Memory {
    /// The sessions, the most recently used first, and how many there are.
    pub async fn sessions(
        &self,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<SessionBrief>, usize), RecordError> {
        self.look(move |connection| {
            let mut briefs = Vec::new();
            for row in rows::sessions(connection, offset, limit)? {
                let tip = row.tip.map(|tip| rows::message_by_id(connection, row.id, tip));
                let tip = tip.transpose()?.flatten();
                briefs.push(SessionBrief {
                    name: row.name,
                    messages: tip.map_or(0, |tip| tip.depth + 1),
                    persona: row.persona,
                    created_at: row.created_at,
                    used_at: row.used_at,
                });
            }
            Ok((briefs, rows::count_sessions(connection)?))
        })
        .await
    }

    /// One session with its messages from `offset` on, `limit` at most: of the path that is talked
    /// on, or of all paths.
    pub async fn session(
        &self,
        name: String,
        (offset, limit): (usize, usize),
        branches: bool,
    ) -> Result<SessionView, RecordError> {
        self.look(move |connection| {
            let row = session(connection, &name)?;
            let path = rows::path_ids(connection, row.tip)?;
            let messages = match row.tip {
                _ if branches => {
                    rows::messages_after(connection, row.id, MessageId(0), offset, limit)?
                }
                Some(tip) => {
                    rows::path_between(connection, tip, offset, offset.saturating_add(limit))?
                }
                None => Vec::new(),
            };
            let messages = messages.into_iter();
            let messages = messages.map(|stored| record(connection, &row, &path, stored));
            let mut summaries = summaries::all(connection, row.id)?;
            summaries.retain(|summary| branches || path.contains(&summary.last_message));
            Ok(SessionView {
                messages: messages.collect::<Result<_, _>>()?,
                summaries,
                facts: facts::all(connection, row.id)?,
                total: if branches {
                    rows::count_messages(connection, row.id)?
                } else {
                    path.len()
                },
                name: row.name,
                persona: row.persona,
                persona_is_set: row.persona_is_set,
            })
        })
        .await
    }

    /// The messages of all paths that hold every one of these words, the best first.
    pub async fn search(
        &self,
        name: String,
        text: String,
        limit: usize,
    ) -> Result<Vec<Found>, RecordError> {
        self.look(move |connection| {
            let row = session(connection, &name)?;
            let Some(words) = quoted(&text) else { return Ok(Vec::new()) };
            let path = rows::path_ids(connection, row.tip)?;
            let mut statement = connection.prepare_cached(
                "SELECT message_words.rowid, bm25(message_words),
                    snippet(message_words, 0, '[', ']', '…', 24)
                 FROM message_words JOIN messages ON messages.id = message_words.rowid
                 WHERE message_words MATCH ?1 AND messages.session = ?2
                 ORDER BY bm25(message_words), message_words.rowid LIMIT ?3",
            )?;
            let parameters = params![words, row.id.0, rows::integer(limit)];
            let hits = statement.query_map(parameters, |row| {
                Ok((MessageId(row.get(0)?), row.get::<_, f64>(1)?, row.get::<_, String>(2)?))
            })?;
            let mut found = Vec::new();
            for hit in hits {
                let (id, rank, snippet) = hit?;
                let record = record_of(connection, &row, &path, id)?;
                found.push(Found { record, score: -rank, snippet });
            }
            Ok(found)
        })
        .await
    }

    /// One message of whatever path.
    pub async fn message(&self, name: String, id: MessageId) -> Result<Record, RecordError> {
        self.look(move |connection| {
            let row = session(connection, &name)?;
            let path = rows::path_ids(connection, row.tip)?;
            record_of(connection, &row, &path, id)
        })
        .await
    }

    /// One message, with where it comes from and what came of it.
    pub async fn provenance(&self, name: String, id: MessageId) -> Result<Provenance, RecordError> {
        self.look(move |connection| {
            let row = session(connection, &name)?;
            let path = rows::path_ids(connection, row.tip)?;
            let found = record_of(connection, &row, &path, id)?;
            let depth = found.stored.depth;
            let before = rows::path_between(connection, id, depth.saturating_sub(BEFORE), depth)?;
            let records = |stored: Vec<Stored>| {
                let stored = stored.into_iter();
                stored.map(|it| record(connection, &row, &path, it)).collect::<Result<_, _>>()
            };
            Ok(Provenance {
                before: records(before)?,
                children: records(rows::children(connection, id)?)?,
                summaries: summaries::telling(connection, row.id, &found.stored)?,
                facts: facts::from_message(connection, row.id, id)?,
                record: found,
            })
        })
        .await
    }

    /// Reads all of it in one state of the database.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, RecordError> + Send + 'static,
    ) -> Result<T, RecordError> {
        let read = move |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            Ok(work(&transaction))
        };
        self.inner.store.read(read).await?
    }
}

pub(super) fn record_of(
    connection: &Connection,
    row: &SessionRow,
    path: &HashSet<MessageId>,
    id: MessageId,
) -> Result<Record, RecordError> {
    let stored = rows::message_by_id(connection, row.id, id)?;
    record(connection, row, path, stored.ok_or(RecordError::NoMessage(id))?)
}

fn record(
    connection: &Connection,
    row: &SessionRow,
    path: &HashSet<MessageId>,
    stored: Stored,
) -> Result<Record, RecordError> {
    let is_last_answer = row.tip == Some(stored.id) && stored.said.role == Role::Assistant;
    Ok(Record {
        on_path: path.contains(&stored.id),
        provisional: is_last_answer && rows::children(connection, stored.id)?.is_empty(),
        has_vector: rows::has_vectors(connection, stored.id)?,
        stored,
    })
}

/// The session of this name.
pub(super) fn session(connection: &Connection, name: &str) -> Result<SessionRow, RecordError> {
    rows::session_named(connection, name)?.ok_or(RecordError::NoSession)
}

/// Every word as FTS5 takes it literally; `None` where there is none.
fn quoted(text: &str) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words = words.filter(|word| word.chars().any(char::is_alphanumeric));
    let words: Vec<_> = words.map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_literal() {
        assert_eq!(quoted("lamp OR NEAR(x)").unwrap(), r#""lamp" "OR" "NEAR(x)""#);
        assert_eq!(quoted("say \"it\"").unwrap(), r#""say" """it""""#);
        assert_eq!(quoted(" * - \0 \""), None);
    }

    proptest! {
        #[test]
        fn whatever_is_searched_for_is_no_syntax(text in "[\\PC\0\n\"*^:(){}+-]{0,40}") {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch("CREATE VIRTUAL TABLE words USING fts5 (text)").unwrap();
            if let Some(words) = quoted(&text) {
                let mut statement =
                    connection.prepare("SELECT 1 FROM words WHERE words MATCH ?1").unwrap();
                prop_assert!(statement.exists([words]).is_ok());
            }
        }
    }
}
