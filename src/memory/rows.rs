//! The SQL of sessions and their messages. Blocking; called with the store's connection.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::history::{Hash, Role, Said};
use super::{MessageId, SessionId};
use crate::emotion::Emotion;
use crate::retrieval::{bytes, floats};
use crate::store::StoreError;

/// A session's own row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SessionRow {
    pub(super) id: SessionId,
    pub(super) name: String,
    pub(super) is_recognised: bool,
    pub(super) created_at: i64,
    pub(super) used_at: i64,
    pub(super) tip: Option<MessageId>,
    pub(super) persona: Option<String>,
    pub(super) persona_is_set: bool,
    pub(super) lore_timers: Option<String>,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub id: MessageId,
    pub parent: Option<MessageId>,
    /// How many messages lie before it on its path.
    pub depth: usize,
    pub(super) own: Hash,
    pub(super) chain: Hash,
    pub said: Said,
    /// Whether the answer ended before the model ended it.
    pub interrupted: bool,
    /// Milliseconds since 1970.
    pub said_at: i64,
    pub emotion: Emotion,
    /// Of the emotion, 0 to 1.
    pub confidence: f32,
    /// 0 to 1.
    pub importance: f32,
    pub pinned: bool,
    pub forgotten: bool,
    pub corrected: Option<String>,
}

impl Stored {
    /// What recall tells of it.
    pub fn told(&self) -> &str {
        self.corrected.as_deref().unwrap_or(&self.said.text)
    }
}

/// A message that is to be stored.
#[derive(Clone, Debug)]
pub(super) struct NewMessage<'a> {
    pub(super) said: &'a Said,
    pub(super) interrupted: bool,
    pub(super) said_at: i64,
    pub(super) emotion: Emotion,
    pub(super) confidence: f32,
    pub(super) importance: f32,
}

const MESSAGE: &str = "id, parent, depth, own, chain, role, speaker, text, interrupted, said_at, \
    emotion, confidence, importance, pinned, forgotten, corrected";

fn message(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let depth: i64 = row.get(2)?;
    let (own, chain): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
    let (role, emotion): (String, String) = (row.get(5)?, row.get(10)?);
    Ok(Stored {
        id: MessageId(row.get(0)?),
        parent: row.get::<_, Option<i64>>(1)?.map(MessageId),
        depth: usize::try_from(depth).unwrap_or(0),
        own: Hash::from_bytes(&own),
        chain: Hash::from_bytes(&chain),
        said: Said { role: Role::named(&role), speaker: row.get(6)?, text: row.get(7)? },
        interrupted: row.get(8)?,
        said_at: row.get(9)?,
        emotion: emotion.parse().unwrap_or(Emotion::Neutral),
        confidence: row.get(11)?,
        importance: row.get(12)?,
        pinned: row.get(13)?,
        forgotten: row.get(14)?,
        corrected: row.get(15)?,
    })
}

const SESSION: &str = "id, name, is_recognised, created_at, used_at, tip, persona, persona_is_set,
    lore_timers";

/// See [`super::is_private`].
const NOT_PRIVATE: &str = "name NOT GLOB 'private/*'";

fn session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        id: SessionId(row.get(0)?),
        name: row.get(1)?,
        is_recognised: row.get(2)?,
        created_at: row.get(3)?,
        used_at: row.get(4)?,
        tip: row.get::<_, Option<i64>>(5)?.map(MessageId),
        persona: row.get(6)?,
        persona_is_set: row.get(7)?,
        lore_timers: row.get(8)?,
    })
}

pub(super) fn session_named(
    connection: &Connection,
    name: &str,
) -> Result<Option<SessionRow>, StoreError> {
    let sql = format!("SELECT {SESSION} FROM sessions WHERE name = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([name], session).optional()?)
}

pub(super) fn session_by_id(
    connection: &Connection,
    id: SessionId,
) -> Result<Option<SessionRow>, StoreError> {
    let sql = format!("SELECT {SESSION} FROM sessions WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id.0], session).optional()?)
}

/// Those that clients may name, the most recently used first.
pub(super) fn sessions(
    connection: &Connection,
    offset: usize,
    limit: usize,
) -> Result<Vec<SessionRow>, StoreError> {
    let sql = format!(
        "SELECT {SESSION} FROM sessions WHERE {NOT_PRIVATE}
         ORDER BY used_at DESC, id DESC LIMIT ?1 OFFSET ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([integer(limit), integer(offset)], session)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Names and beginnings of sessions whose persona was set by hand, in the order of names.
pub(super) fn with_persona(connection: &Connection) -> Result<Vec<(String, i64)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT name, created_at FROM sessions WHERE persona_is_set ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Names of those that clients may not name, begun before this time.
pub(super) fn private(connection: &Connection, before: i64) -> Result<Vec<String>, StoreError> {
    let sql = format!("SELECT name FROM sessions WHERE NOT ({NOT_PRIVATE}) AND created_at < ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([before], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn count_sessions(connection: &Connection) -> Result<usize, StoreError> {
    let sql = format!("SELECT count(*) FROM sessions WHERE {NOT_PRIVATE}");
    let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(super) fn new_session(
    connection: &Connection,
    name: &str,
    is_recognised: bool,
    now: i64,
) -> Result<SessionId, StoreError> {
    connection.execute(
        "INSERT INTO sessions (name, is_recognised, created_at, used_at) VALUES (?1, ?2, ?3, ?3)
         ON CONFLICT (name) DO UPDATE SET used_at = excluded.used_at",
        params![name, is_recognised, now],
    )?;
    let id = connection
        .query_row("SELECT id FROM sessions WHERE name = ?1", [name], |row| row.get(0))?;
    Ok(SessionId(id))
}

pub(super) fn set_lore_timers(
    connection: &Connection,
    session: SessionId,
    timers: Option<&str>,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE sessions SET lore_timers = ?2 WHERE id = ?1",
        params![session.0, timers],
    )?;
    Ok(())
}

pub(super) fn set_tip(
    connection: &Connection,
    session: SessionId,
    tip: MessageId,
    now: i64,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE sessions SET tip = ?2, used_at = ?3 WHERE id = ?1",
        params![session.0, tip.0, now],
    )?;
    Ok(())
}

/// The message's id; that of the same message in the same place, if there is one already.
pub(super) fn add_message(
    connection: &Connection,
    session: SessionId,
    parent: Option<&Stored>,
    new: &NewMessage<'_>,
) -> Result<Stored, StoreError> {
    let own = Hash::of(new.said);
    let chain = parent.map_or(Hash::START, |parent| parent.chain).then(own);
    let depth = parent.map_or(0, |parent| parent.depth + 1);
    connection
        .prepare_cached(
            "INSERT INTO messages (session, parent, depth, own, chain, role, speaker, text,
                interrupted, said_at, emotion, confidence, importance, is_recognised)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
                (SELECT is_recognised FROM sessions WHERE id = ?1))
             ON CONFLICT (session, chain) DO UPDATE SET interrupted = min(interrupted, excluded.interrupted)",
        )?
        .execute(params![
            session.0,
            parent.map(|parent| parent.id.0),
            integer(depth),
            own.bytes(),
            chain.bytes(),
            new.said.role.name(),
            new.said.speaker,
            new.said.text,
            new.interrupted,
            new.said_at,
            new.emotion.name(),
            new.confidence,
            new.importance,
        ])?;
    let found = message_by_chain(connection, session, chain)?;
    found.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
}

pub(super) fn message_by_chain(
    connection: &Connection,
    session: SessionId,
    chain: Hash,
) -> Result<Option<Stored>, StoreError> {
    let sql = format!("SELECT {MESSAGE} FROM messages WHERE session = ?1 AND chain = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params![session.0, chain.bytes()], message).optional()?)
}

pub(super) fn message_by_id(
    connection: &Connection,
    session: SessionId,
    id: MessageId,
) -> Result<Option<Stored>, StoreError> {
    let sql = format!("SELECT {MESSAGE} FROM messages WHERE session = ?1 AND id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params![session.0, id.0], message).optional()?)
}

/// A message whatever its session.
pub(super) fn any_message(
    connection: &Connection,
    id: MessageId,
) -> Result<Option<Stored>, StoreError> {
    let sql = format!("SELECT {MESSAGE} FROM messages WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id.0], message).optional()?)
}

/// What was said in the same place, itself included.
pub(super) fn siblings(
    connection: &Connection,
    stored: &Stored,
) -> Result<Vec<Stored>, StoreError> {
    // The plus keeps SQLite from going through the whole session.
    let sql = format!(
        "SELECT {MESSAGE} FROM messages WHERE parent IS ?1
            AND +session = (SELECT session FROM messages WHERE id = ?2) ORDER BY id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![stored.parent.map(|it| it.0), stored.id.0], message)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The session's pinned messages, of all its paths, in order.
pub(super) fn pinned(
    connection: &Connection,
    session: SessionId,
) -> Result<Vec<Stored>, StoreError> {
    let sql = format!(
        "SELECT {MESSAGE} FROM messages WHERE session = ?1 AND pinned AND NOT forgotten
         ORDER BY depth, id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([session.0], message)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Messages with this very text or this very history, of one session or of all that were recognised;
/// the newest first.
pub(super) fn messages_like(
    connection: &Connection,
    session: Option<SessionId>,
    by: Like,
    most: usize,
) -> Result<Vec<(SessionId, Stored)>, StoreError> {
    let (column, hash) = match by {
        Like::Text(own) => ("own", own),
        Like::History(chain) => ("chain", chain),
    };
    // Each has an index of its own.
    let whose = if session.is_some() { "session = ?3" } else { "is_recognised AND ?3 IS NULL" };
    let sql = format!(
        "SELECT {MESSAGE}, session FROM messages WHERE {column} = ?1 AND {whose}
         ORDER BY id DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let parameters = params![hash.bytes(), integer(most), session.map(|it| it.0)];
    let rows =
        statement.query_map(parameters, |row| Ok((SessionId(row.get(16)?), message(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What messages are looked up by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Like {
    Text(Hash),
    History(Hash),
}

/// The path that ends with this message, from depth `from` on, in order.
pub(super) fn path_to(
    connection: &Connection,
    end: MessageId,
    from: usize,
) -> Result<Vec<Stored>, StoreError> {
    path_between(connection, end, from, usize::MAX)
}

/// Of the path that ends with this message the depths from `from` to before `to`, in order.
pub(super) fn path_between(
    connection: &Connection,
    end: MessageId,
    from: usize,
    to: usize,
) -> Result<Vec<Stored>, StoreError> {
    let mut statement = connection.prepare_cached(&path(&columns_of("messages")))?;
    let rows = statement.query_map(params![end.0, integer(from), integer(to)], message)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Like [`path_to`], with what this embedder made of each. One at a time: the vectors of a long talk
/// take more than all that is kept of them.
pub(super) fn walk_path(
    connection: &Connection,
    end: MessageId,
    from: usize,
    embedder: &str,
    mut take: impl FnMut(&Stored, Option<&Vectors>),
) -> Result<(), StoreError> {
    let mut ids = connection.prepare_cached(&path("messages.id"))?;
    let columns = columns_of("messages");
    // Sorted as wholes, they would all stand in memory after all.
    let mut one = connection.prepare_cached(&format!(
        "SELECT {columns}, made.embedder IS NOT NULL, made.turn, made.window FROM messages
         LEFT JOIN message_vectors AS made ON made.message = messages.id AND made.embedder = ?2
         WHERE messages.id = ?1"
    ))?;
    let ids = ids.query_map(params![end.0, integer(from), i64::MAX], |row| row.get(0))?;
    for id in ids.collect::<rusqlite::Result<Vec<i64>>>()? {
        let (stored, made) = one.query_row(params![id, embedder], |row| {
            let made = if row.get(16)? { Some(vectors(row, 17)?) } else { None };
            Ok((message(row)?, made))
        })?;
        take(&stored, made.as_ref());
    }
    Ok(())
}

/// The SQL of a path: from the message ?1 up to depth ?2, those before depth ?3.
fn path(columns: &str) -> String {
    format!(
        "WITH RECURSIVE path (at, deep, up) AS (
            SELECT id, depth, parent FROM messages WHERE id = ?1
            UNION ALL
            SELECT messages.id, messages.depth, messages.parent FROM messages
            JOIN path ON messages.id = path.up WHERE path.deep > ?2
         )
         SELECT {columns} FROM path JOIN messages ON messages.id = path.at
         WHERE path.deep >= ?2 AND path.deep < ?3 ORDER BY path.deep"
    )
}

fn columns_of(table: &str) -> String {
    let columns = MESSAGE.split(", ").map(|column| format!("{table}.{}", column.trim()));
    columns.collect::<Vec<_>>().join(", ")
}

/// The messages of the path to `tip` that were stored after this one, in order.
pub(super) fn path_after(
    connection: &Connection,
    session: SessionId,
    tip: MessageId,
    after: MessageId,
) -> Result<Vec<Stored>, StoreError> {
    let mut path = Vec::new();
    let mut next = Some(tip);
    while let Some(id) = next.filter(|id| *id > after) {
        let Some(stored) = message_by_id(connection, session, id)? else { break };
        next = stored.parent;
        path.push(stored);
    }
    path.reverse();
    Ok(path)
}

/// The messages of the path that ends with this one.
pub(super) fn path_ids(
    connection: &Connection,
    end: Option<MessageId>,
) -> Result<HashSet<MessageId>, StoreError> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE path (at) AS (
            SELECT ?1 UNION ALL
            SELECT messages.parent FROM messages JOIN path ON messages.id = path.at
            WHERE messages.parent IS NOT NULL
         )
         SELECT at FROM path WHERE at IS NOT NULL",
    )?;
    let rows = statement.query_map([end.map(|it| it.0)], |row| Ok(MessageId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The session's messages of all paths with ids above this one, parents before their children.
pub(super) fn messages_after(
    connection: &Connection,
    session: SessionId,
    after: MessageId,
    skip: usize,
    most: usize,
) -> Result<Vec<Stored>, StoreError> {
    let sql = format!(
        "SELECT {MESSAGE} FROM messages WHERE session = ?1 AND id > ?2
         ORDER BY id LIMIT ?3 OFFSET ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let parameters = params![session.0, after.0, integer(most), integer(skip)];
    let rows = statement.query_map(parameters, message)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn count_messages(
    connection: &Connection,
    session: SessionId,
) -> Result<usize, StoreError> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM messages WHERE session = ?1")?
        .query_row([session.0], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// What was said next: several, where the talk branches.
pub(super) fn children(
    connection: &Connection,
    parent: MessageId,
) -> Result<Vec<Stored>, StoreError> {
    let sql = format!("SELECT {MESSAGE} FROM messages WHERE parent = ?1 ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([parent.0], message)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes the vectors of a message away, and of those that were embedded together with it.
pub(super) fn drop_vectors(connection: &Connection, id: MessageId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM message_vectors
         WHERE message = ?1 OR message IN (SELECT id FROM messages WHERE parent = ?1)",
        "UPDATE messages SET has_vectors = 0 WHERE id = ?1 OR parent = ?1",
    ] {
        connection.execute(sql, [id.0])?;
    }
    Ok(())
}

/// What a message is found by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vectors {
    /// Of the message alone.
    pub(super) turn: Vec<f32>,
    /// Of the message together with the one before.
    pub(super) window: Vec<f32>,
}

/// A message's vectors, if this embedder made them.
pub(super) fn vectors_of(
    connection: &Connection,
    id: MessageId,
    embedder: &str,
) -> Result<Option<Vectors>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT turn, window FROM message_vectors WHERE message = ?1 AND embedder = ?2",
        )?
        .query_row(params![id.0, embedder], |row| vectors(row, 0))
        .optional()?)
}

/// Turn and window, from this column on.
fn vectors(row: &Row<'_>, at: usize) -> rusqlite::Result<Vectors> {
    let (turn, window): (Vec<u8>, Vec<u8>) = (row.get(at)?, row.get(at + 1)?);
    Ok(Vectors { turn: floats(&turn), window: floats(&window) })
}

pub(super) fn set_vectors(
    connection: &Connection,
    id: MessageId,
    embedder: &str,
    vectors: &Vectors,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO message_vectors (message, embedder, turn, window)
             SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM messages WHERE id = ?1)
             ON CONFLICT (message) DO UPDATE SET
                embedder = excluded.embedder, turn = excluded.turn, window = excluded.window",
        )?
        .execute(params![id.0, embedder, bytes(&vectors.turn), bytes(&vectors.window)])?;
    connection
        .prepare_cached("UPDATE messages SET has_vectors = 1 WHERE id = ?1")?
        .execute([id.0])?;
    Ok(())
}

/// Whether the message has vectors of the embedder in use.
pub(super) fn has_vectors(connection: &Connection, id: MessageId) -> Result<bool, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM messages WHERE id = ?1 AND has_vectors")?;
    Ok(statement.exists([id.0])?)
}

/// SQLite's integers are signed.
pub(super) fn integer(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
