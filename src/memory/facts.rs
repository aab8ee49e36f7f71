//! Facts of a session, put down by hand: what is true whatever recall finds. A changed fact takes the
//! place of the old one, which stays.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use schemars::JsonSchema;
use serde::Serialize;

use super::{MessageId, SessionId};
use crate::store::StoreError;

/// Something to be kept in mind.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Fact {
    pub id: i64,
    pub text: String,
    /// The message it was learnt from; it holds where the talk's path leads through that one.
    pub source_message: Option<MessageId>,
    /// Whether prompts tell it, before anything that is recalled and as far as memory's share of the
    /// window goes.
    pub pinned: bool,
    /// Milliseconds since 1970.
    pub made_at: i64,
    /// The fact that took its place.
    pub superseded_by: Option<i64>,
}

const FACT: &str = "id, text, source_message, pinned, made_at, superseded_by";

fn fact(row: &Row<'_>) -> rusqlite::Result<Fact> {
    Ok(Fact {
        id: row.get(0)?,
        text: row.get(1)?,
        source_message: row.get::<_, Option<i64>>(2)?.map(MessageId),
        pinned: row.get(3)?,
        made_at: row.get(4)?,
        superseded_by: row.get(5)?,
    })
}

/// All, superseded ones included, the oldest first.
pub(super) fn all(connection: &Connection, session: SessionId) -> Result<Vec<Fact>, StoreError> {
    let sql = format!("SELECT {FACT} FROM facts WHERE session = ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([session.0], fact)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Those that go into a prompt on this path.
pub(super) fn valid(
    connection: &Connection,
    session: SessionId,
    on_path: &dyn Fn(MessageId) -> bool,
) -> Result<Vec<Fact>, StoreError> {
    let mut facts = all(connection, session)?;
    facts.retain(|fact| {
        fact.pinned && fact.superseded_by.is_none() && fact.source_message.is_none_or(on_path)
    });
    Ok(facts)
}

pub(super) fn find(
    connection: &Connection,
    session: SessionId,
    id: i64,
) -> Result<Option<Fact>, StoreError> {
    let sql = format!("SELECT {FACT} FROM facts WHERE session = ?1 AND id = ?2");
    Ok(connection.prepare_cached(&sql)?.query_row(params![session.0, id], fact).optional()?)
}

pub(super) fn add(
    connection: &Connection,
    session: SessionId,
    text: &str,
    source: Option<MessageId>,
    now: i64,
) -> Result<i64, StoreError> {
    connection.execute(
        "INSERT INTO facts (session, text, source_message, made_at) VALUES (?1, ?2, ?3, ?4)",
        params![session.0, text, source.map(|it| it.0), now],
    )?;
    Ok(connection.last_insert_rowid())
}

/// The new fact's id.
pub(super) fn supersede(
    connection: &Connection,
    session: SessionId,
    old: &Fact,
    text: &str,
    now: i64,
) -> Result<i64, StoreError> {
    let new = add(connection, session, text, old.source_message, now)?;
    pin(connection, new, old.pinned)?;
    succeed(connection, old.id, new)?;
    Ok(new)
}

pub(super) fn pin(connection: &Connection, id: i64, pinned: bool) -> Result<(), StoreError> {
    connection.execute("UPDATE facts SET pinned = ?2 WHERE id = ?1", params![id, pinned])?;
    Ok(())
}

/// Whether there was one. What it had superseded stays, unpinned: it doesn't come back.
pub(super) fn remove(
    connection: &Connection,
    session: SessionId,
    id: i64,
) -> Result<bool, StoreError> {
    connection.execute(
        "UPDATE facts SET pinned = 0 WHERE session = ?1 AND superseded_by = ?2",
        params![session.0, id],
    )?;
    let removed = connection
        .execute("DELETE FROM facts WHERE session = ?1 AND id = ?2", params![session.0, id])?;
    Ok(removed > 0)
}

/// Of this message.
pub(super) fn from_message(
    connection: &Connection,
    session: SessionId,
    source: MessageId,
) -> Result<Vec<Fact>, StoreError> {
    let sql =
        format!("SELECT {FACT} FROM facts WHERE session = ?1 AND source_message = ?2 ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![session.0, source.0], fact)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes a fact down as it is told, its id aside.
pub(super) fn copy(
    connection: &Connection,
    session: SessionId,
    fact: &Fact,
) -> Result<i64, StoreError> {
    let id = add(connection, session, &fact.text, fact.source_message, fact.made_at)?;
    pin(connection, id, fact.pinned)?;
    Ok(id)
}

/// Says which fact took the place of an older one.
pub(super) fn succeed(connection: &Connection, old: i64, new: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE facts SET superseded_by = ?2 WHERE id = ?1")?
        .execute(params![old, new])?;
    Ok(())
}
