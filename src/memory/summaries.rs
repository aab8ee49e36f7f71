//! Summaries of what a prompt no longer holds. Every so many messages of a path are told in one; five
//! of those in one of the next level, and so on. Each stands at its place in the tree and says which
//! range it tells; the messages stay.

use std::sync::Arc;

use rusqlite::{Connection, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::edits::MADE_OF_TALK;
use super::history::Role;
use super::live::{Step, lock};
use super::rows::{self, Stored, integer};
use super::{Inner, Memory, MessageId, SessionId};
use crate::distil::{Account, Distilled, Source, Strategy, Urgency};
use crate::engine::ClientId;
use crate::store::StoreError;
use crate::tokens::{TokenCount, TokenCounter};

/// Summaries of one level that the next level tells in one.
const TOGETHER: usize = 5;
/// Longest summary.
const TOKENS: TokenCount = TokenCount::new(300);
/// Enough for 20 · 5¹² messages.
const MOST_LEVELS: u32 = 12;

/// One summary.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    pub id: i64,
    /// 0 tells messages; each level above tells summaries of the one below.
    pub level: u32,
    /// Positions on the path that it tells, both included.
    pub first_depth: usize,
    pub last_depth: usize,
    pub last_message: MessageId,
    pub text: String,
    pub tokens: TokenCount,
    /// How it was made.
    pub account: Account,
    /// Milliseconds since 1970.
    pub made_at: i64,
}

/// A stretch of the path in short, as prompts tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The summary's id.
    pub id: i64,
    pub first_depth: usize,
    pub last_depth: usize,
    pub text: String,
}

/// A summary that is to be made.
#[derive(Clone, Debug)]
struct Due {
    session: SessionId,
    level: u32,
    first_depth: usize,
    last_depth: usize,
    last_message: MessageId,
    sources: Vec<(String, String)>,
    /// The summaries among its sources.
    below: Vec<i64>,
}

impl Due {
    /// Whether what it tells is still told like that: while the model wrote, something may have been
    /// corrected, forgotten or deleted.
    fn still_stands(&self, connection: &Connection) -> Result<bool, StoreError> {
        if self.level == 0 {
            let lines = lines(connection, self.last_message, self.first_depth)?;
            return Ok(self.sources.iter().all(|(_, text)| *text == lines));
        }
        let mut statement = connection.prepare_cached("SELECT 1 FROM summaries WHERE id = ?1")?;
        for id in &self.below {
            if !statement.exists([id])? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A summary's place, without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    id: i64,
    level: u32,
    first: usize,
    last: usize,
    last_message: MessageId,
}

impl Memory {
    /// Makes one summary that is due on the path the session is talked on; tells whether there was
    /// one. Takes as long as the model takes; dropping the future stops it.
    pub async fn summarize_one(
        &self,
        name: &str,
        counter: Arc<dyn TokenCounter>,
    ) -> Result<bool, StoreError> {
        let (wanted, inner) = (name.to_owned(), Arc::clone(&self.inner));
        let due = self.inner.store.read(move |connection| inner.due(connection, &wanted)).await?;
        let Some(due) = due else { return Ok(false) };
        let strategy = Strategy::ConversationHistory;
        let sources = due.sources.iter().map(|(id, text)| Source {
            id: id.clone(),
            text: text.clone(),
            tokens: counter.count(text),
            strategy,
        });
        let client = ClientId::new("summaries");
        let roll = self.inner.distiller.roll(
            &client,
            sources.collect(),
            TOKENS,
            Urgency::Rolling,
            &|_| {},
        );
        let Ok(summary) = roll.await else { return Ok(false) };
        let inner = Arc::clone(&self.inner);
        let is_kept =
            self.inner.store.run(move |connection| inner.keep(connection, &due, &summary)).await?;
        if !is_kept {
            // The words may have been deleted after they were read.
            self.inner.distiller.forget(&MADE_OF_TALK).await?;
        }
        Ok(true)
    }
}

impl Inner {
    fn due(&self, connection: &mut Connection, name: &str) -> Result<Option<Due>, StoreError> {
        let Some(row) = rows::session_named(connection, name)? else { return Ok(None) };
        let live = self.live(&row);
        let path = {
            let mut live = lock(&live);
            live.turn_to(connection, row.tip)?;
            live.path().to_vec()
        };
        let ranges = ranges(connection, row.id)?;
        let Some(next) = next(&ranges, &path, self.settings.summarize_after) else {
            return Ok(None);
        };
        let Next { level, first, last, below } = next;
        let last_message = path[last].id;
        let sources = if level == 0 {
            vec![(format!("messages {first}–{last}"), lines(connection, last_message, first)?)]
        } else {
            let told = below.iter().map(|range| {
                let told = told_by(connection, range)?;
                Ok((format!("summary {}", range.id), told.text))
            });
            told.collect::<Result<_, StoreError>>()?
        };
        let below = below.iter().map(|range| range.id).collect();
        let (session, first_depth, last_depth) = (row.id, first, last);
        Ok(Some(Due { session, level, first_depth, last_depth, last_message, sources, below }))
    }

    /// Whether it was kept: what it tells may have been changed while the model wrote.
    fn keep(
        &self,
        connection: &Connection,
        due: &Due,
        summary: &Distilled,
    ) -> Result<bool, StoreError> {
        if !due.still_stands(connection)? {
            return Ok(false);
        }
        let added = connection.execute(
            "INSERT INTO summaries (session, level, first_depth, last_depth, last_message, text,
                tokens, account, made_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
             WHERE EXISTS (SELECT 1 FROM messages WHERE id = ?5)
             ON CONFLICT DO NOTHING",
            params![
                due.session.0,
                due.level,
                integer(due.first_depth),
                integer(due.last_depth),
                due.last_message.0,
                summary.text,
                integer(summary.tokens.get()),
                serde_json::to_string(&summary.account)?,
                self.now(),
            ],
        )?;
        Ok(added > 0)
    }
}

/// The messages from this depth to this one, as the one who summarises reads them.
fn lines(connection: &Connection, last: MessageId, first: usize) -> Result<String, StoreError> {
    let told = rows::path_to(connection, last, first)?;
    let told = told.iter().filter(|stored| !stored.forgotten);
    Ok(told.map(line).collect::<Vec<_>>().join("\n"))
}

/// As the one who summarises reads a message.
fn line(stored: &Stored) -> String {
    let speaker = stored.said.speaker.as_deref().unwrap_or(match stored.said.role {
        Role::User => "User",
        Role::Assistant => "Character",
    });
    let told = stored.told();
    if told.starts_with(speaker) { told.to_owned() } else { format!("{speaker}: {told}") }
}

/// What the next summary tells: the lowest level first, the oldest first. The newest answer isn't told
/// before somebody has built on it.
fn next(ranges: &[Range], path: &[Step], every: usize) -> Option<Next> {
    let built_on = path.len().saturating_sub(1);
    let mut below: Vec<Range> = Vec::new();
    for level in 0..MOST_LEVELS {
        // Those of this level on the path, one after the other from the beginning.
        let mut told: Vec<Range> = Vec::new();
        let mut at = 0;
        while let Some(range) =
            ranges.iter().find(|it| it.level == level && it.first == at && is_on(path, it))
        {
            told.push(*range);
            at = range.last + 1;
        }
        if level == 0 {
            let last = at + every.max(1) - 1;
            if last < built_on {
                return Some(Next { level, first: at, last, below: Vec::new() });
            }
        } else {
            let untold = below.iter().filter(|it| it.first >= at);
            let together: Vec<Range> = untold.take(TOGETHER).copied().collect();
            if let ([first, .., last], TOGETHER) = (together.as_slice(), together.len()) {
                let (first, last) = (first.first, last.last);
                return Some(Next { level, first, last, below: together });
            }
        }
        if told.len() < TOGETHER {
            return None;
        }
        below = told;
    }
    None
}

/// A summary to be made.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    level: u32,
    first: usize,
    last: usize,
    /// The summaries that it tells in one.
    below: Vec<Range>,
}

fn is_on(path: &[Step], range: &Range) -> bool {
    path.get(range.last).is_some_and(|step| step.id == range.last_message)
}

/// The summaries that tell the path up to this position: of each stretch the widest.
pub(super) fn cover(
    connection: &Connection,
    session: SessionId,
    path: &[Step],
    before: usize,
) -> Result<Vec<Told>, StoreError> {
    let ranges = ranges(connection, session)?;
    let mut at = 0;
    let mut cover = Vec::new();
    while let Some(widest) = ranges
        .iter()
        .filter(|it| it.first == at && it.last < before && is_on(path, it))
        .max_by_key(|it| it.last)
    {
        cover.push(told_by(connection, widest)?);
        at = widest.last + 1;
    }
    Ok(cover)
}

fn ranges(connection: &Connection, session: SessionId) -> Result<Vec<Range>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, level, first_depth, last_depth, last_message FROM summaries
         WHERE session = ?1 ORDER BY first_depth, level, id",
    )?;
    let rows = statement.query_map([session.0], |row| {
        let position = |at| row.get::<_, i64>(at).map(|it| usize::try_from(it).unwrap_or(0));
        Ok(Range {
            id: row.get(0)?,
            level: row.get(1)?,
            first: position(2)?,
            last: position(3)?,
            last_message: MessageId(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn told_by(connection: &Connection, range: &Range) -> Result<Told, StoreError> {
    let text = connection
        .prepare_cached("SELECT text FROM summaries WHERE id = ?1")?
        .query_row([range.id], |row| row.get(0))?;
    Ok(Told { id: range.id, first_depth: range.first, last_depth: range.last, text })
}

fn read(connection: &Connection, range: &Range) -> Result<Summary, StoreError> {
    let (text, tokens, account, made_at): (String, i64, String, i64) = connection
        .prepare_cached("SELECT text, tokens, account, made_at FROM summaries WHERE id = ?1")?
        .query_row([range.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    Ok(Summary {
        id: range.id,
        level: range.level,
        first_depth: range.first,
        last_depth: range.last,
        last_message: range.last_message,
        text,
        tokens: TokenCount::new(usize::try_from(tokens).unwrap_or(0)),
        account: serde_json::from_str(&account)?,
        made_at,
    })
}

/// Every summary of the session, of whatever path.
pub(super) fn all(connection: &Connection, session: SessionId) -> Result<Vec<Summary>, StoreError> {
    ranges(connection, session)?.iter().map(|range| read(connection, range)).collect()
}

/// Some of the session's summaries, in the order of [`all`].
pub(super) fn some(
    connection: &Connection,
    session: SessionId,
    skip: usize,
    most: usize,
) -> Result<Vec<Summary>, StoreError> {
    let ranges = ranges(connection, session)?;
    ranges.iter().skip(skip).take(most).map(|range| read(connection, range)).collect()
}

/// The summaries that tell this message, directly or by others.
pub(super) fn telling(
    connection: &Connection,
    session: SessionId,
    message: &Stored,
) -> Result<Vec<Summary>, StoreError> {
    let mut telling = Vec::new();
    for range in ranges(connection, session)? {
        if (range.first..=range.last).contains(&message.depth) {
            // Other paths have messages of this depth, too.
            let told = rows::path_between(
                connection,
                range.last_message,
                message.depth,
                message.depth + 1,
            )?;
            if told.iter().any(|stored| stored.id == message.id) {
                telling.push(read(connection, &range)?);
            }
        }
    }
    Ok(telling)
}

/// Takes back the summaries that told this message, so that they are made anew without it.
pub(super) fn drop_those_telling(
    connection: &Connection,
    session: SessionId,
    message: &Stored,
) -> Result<(), StoreError> {
    for summary in telling(connection, session, message)? {
        connection.execute("DELETE FROM summaries WHERE id = ?1", [summary.id])?;
    }
    Ok(())
}

/// Writes a summary down as it is told, its id aside. Tells whether it wasn't there already.
pub(super) fn copy(
    connection: &Connection,
    session: SessionId,
    summary: &Summary,
) -> Result<bool, StoreError> {
    let written = connection
        .prepare_cached(
            "INSERT INTO summaries (session, level, first_depth, last_depth, last_message, text,
                tokens, account, made_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            session.0,
            summary.level,
            integer(summary.first_depth),
            integer(summary.last_depth),
            summary.last_message.0,
            summary.text,
            integer(summary.tokens.get()),
            serde_json::to_string(&summary.account)?,
            summary.made_at,
        ])?;
    Ok(written > 0)
}

#[cfg(test)]
mod tests {
    use super::super::history::Hash;
    use super::*;

    fn path(length: i64) -> Vec<Step> {
        (0..length)
            .map(|id| Step {
                id: MessageId(id),
                own: Hash::START,
                chain: Hash::START,
                role: Role::User,
            })
            .collect()
    }

    fn range(level: u32, first: usize, last: usize) -> Range {
        let last_message = MessageId(i64::try_from(last).unwrap());
        Range { id: 0, level, first, last, last_message }
    }

    fn due(ranges: &[Range], length: i64, every: usize) -> Option<(u32, usize, usize)> {
        next(ranges, &path(length), every).map(|next| (next.level, next.first, next.last))
    }

    #[test]
    fn what_nobody_has_built_on_is_not_told() {
        assert_eq!(due(&[], 20, 20), None);
        assert_eq!(due(&[], 21, 20), Some((0, 0, 19)));
    }

    #[test]
    fn five_summaries_are_told_in_one_and_the_newest_messages_come_first() {
        let mut made: Vec<_> = (0..4).map(|at| range(0, at * 20, at * 20 + 19)).collect();
        assert_eq!(due(&made, 101, 20), Some((0, 80, 99)));
        made.push(range(0, 80, 99));
        assert_eq!(due(&made, 101, 20), Some((1, 0, 99)));
        made.push(range(1, 0, 99));
        assert_eq!(due(&made, 101, 20), None);
    }

    #[test]
    fn a_summary_of_an_abandoned_path_does_not_count() {
        let abandoned = Range { last_message: MessageId(999), ..range(0, 0, 19) };
        assert_eq!(due(&[abandoned], 30, 20), Some((0, 0, 19)));
    }

    #[test]
    fn a_summary_that_was_taken_back_is_made_anew_in_its_place() {
        let mut made: Vec<_> = (0..10).map(|at| range(0, at * 20, at * 20 + 19)).collect();
        made.push(range(1, 100, 199));
        made.retain(|it| it.first != 40);
        assert_eq!(due(&made, 201, 20), Some((0, 40, 59)));
        made.push(range(0, 40, 59));
        assert_eq!(due(&made, 201, 20), Some((1, 0, 99)));
    }

    /// Summaries are made until none is due, then more often or seldom, as the setting says; nothing
    /// is left out, nothing is told twice.
    #[test]
    fn another_length_leaves_no_gap() {
        let mut made = Vec::new();
        for (length, every) in [(101, 20), (333, 40), (400, 7), (650, 20)] {
            while let Some((level, first, last)) = due(&made, length, every) {
                made.push(range(level, first, last));
            }
            for level in 0..3 {
                let mut told: Vec<_> = made.iter().filter(|it| it.level == level).collect();
                told.sort_by_key(|it| it.first);
                let firsts: Vec<_> = told.iter().map(|it| it.first).collect();
                let ends: Vec<_> = told.iter().map(|it| it.last + 1).collect();
                let wanted = [0].iter().chain(&ends).take(ends.len());
                assert!(firsts.iter().eq(wanted), "{told:?}");
            }
            let told = made.iter().filter(|it| it.level == 0).map(|it| it.last + 1).max();
            let untold = usize::try_from(length).unwrap() - 1 - told.unwrap();
            assert!(untold < every, "{untold} of {length}");
        }
    }
}
