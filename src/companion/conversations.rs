//! The conversations of a user: whose each is, with which persona, how far it was learnt from. Blocking.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Page;
use crate::account::UserId;
use crate::memory::{self, MessageId};
use crate::store::StoreError;

/// A talk of a user with a persona.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    pub(super) id: i64,
    /// What it is called on the wire.
    pub uid: String,
    /// The persona's key.
    pub persona: String,
    pub title: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    pub used_at: i64,
    pub(super) user: UserId,
    pub(super) learnt_to: MessageId,
    pub(super) studied_to: MessageId,
}

impl Conversation {
    /// The name of its session in memory.
    pub(super) fn session(&self) -> String {
        memory::private(&self.uid)
    }
}

const COLUMNS: &str = "id, uid, persona, title, created_at, used_at, user, learnt_to, studied_to";

fn conversation(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: row.get(0)?,
        uid: row.get(1)?,
        persona: row.get(2)?,
        title: row.get(3)?,
        created_at: row.get(4)?,
        used_at: row.get(5)?,
        user: UserId(row.get(6)?),
        learnt_to: MessageId(row.get(7)?),
        studied_to: MessageId(row.get(8)?),
    })
}

pub(super) fn add(
    connection: &Connection,
    user: UserId,
    uid: &str,
    persona: &str,
    now: i64,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO conversations (uid, user, persona, created_at, used_at)
         VALUES (?1, ?2, ?3, ?4, ?4)",
        params![uid, user.0, persona, now],
    )?;
    Ok(())
}

/// The user's own of this name; another's is none.
pub(super) fn find(
    connection: &Connection,
    user: UserId,
    uid: &str,
) -> Result<Option<Conversation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM conversations WHERE uid = ?1 AND user = ?2");
    let parameters = params![uid, user.0];
    Ok(connection.prepare_cached(&sql)?.query_row(parameters, conversation).optional()?)
}

pub(super) fn by_id(connection: &Connection, id: i64) -> Result<Option<Conversation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM conversations WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], conversation).optional()?)
}

/// The one with this persona, or with any, that was used last.
pub(super) fn newest(
    connection: &Connection,
    user: UserId,
    persona: Option<&str>,
) -> Result<Option<Conversation>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM conversations WHERE user = ?1 AND (?2 IS NULL OR persona = ?2)
         ORDER BY used_at DESC, id DESC LIMIT 1"
    );
    let parameters = params![user.0, persona];
    Ok(connection.prepare_cached(&sql)?.query_row(parameters, conversation).optional()?)
}

/// The most recently used first, and how many there are.
pub(super) fn page(
    connection: &Connection,
    user: UserId,
    page: Page,
) -> Result<(Vec<Conversation>, u32), StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM conversations WHERE user = ?1
         ORDER BY used_at DESC, id DESC LIMIT ?2 OFFSET ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![user.0, page.limit, page.offset], conversation)?;
    let page = rows.collect::<Result<_, _>>()?;
    let sql = "SELECT count(*) FROM conversations WHERE user = ?1";
    Ok((page, connection.prepare_cached(sql)?.query_row([user.0], |row| row.get(0))?))
}

pub(super) fn all(connection: &Connection, user: UserId) -> Result<Vec<Conversation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM conversations WHERE user = ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([user.0], conversation)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Those whose messages are newer than what was learnt, or, if models study, than what was studied: a
/// process ended, or the database took them late.
pub(super) fn behind(connection: &Connection, studies: bool) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT conversations.id FROM conversations
         JOIN sessions ON sessions.name = 'private/' || conversations.uid
         WHERE sessions.tip > conversations.learnt_to
            OR ?1 AND sessions.tip > conversations.studied_to",
    )?;
    let rows = statement.query_map([studies], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a conversation or a visit has this session.
pub(super) fn has_session(connection: &Connection, session: &str) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM conversations WHERE 'private/' || uid = ?1
         UNION ALL SELECT 1 FROM visits WHERE 'private/' || uid = ?1",
    )?;
    Ok(statement.exists([session])?)
}

pub(super) fn change(
    connection: &Connection,
    id: i64,
    persona: &str,
    title: Option<&str>,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE conversations SET persona = ?2, title = ?3 WHERE id = ?1",
        params![id, persona, title],
    )?;
    Ok(())
}

pub(super) fn learnt(
    connection: &Connection,
    id: i64,
    to: MessageId,
    used_at: i64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE conversations SET learnt_to = ?2, used_at = ?3 WHERE id = ?1")?
        .execute(params![id, to.0, used_at])?;
    Ok(())
}

pub(super) fn studied(connection: &Connection, id: i64, to: MessageId) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE conversations SET studied_to = max(studied_to, ?2) WHERE id = ?1",
        params![id, to.0],
    )?;
    Ok(())
}

pub(super) fn remove(connection: &Connection, id: i64) -> Result<(), StoreError> {
    connection.execute("DELETE FROM conversations WHERE id = ?1", [id])?;
    Ok(())
}
