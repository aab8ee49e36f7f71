//! How a user and a persona stand to each other, as it is stored: each move with the message it came
//! from. Blocking. The rules are [`crate::persona::relationship`]'s.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Page;
use crate::account::UserId;
use crate::memory::MessageId;
use crate::persona::relationship::{Move, Score, idle};
use crate::store::StoreError;

/// A move of a score, or a milestone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingEvent {
    pub id: i64,
    pub persona: String,
    pub what: Move,
    pub points: i64,
    /// The conversation's name on the wire, as long as that is there.
    pub conversation: Option<String>,
    pub message: Option<MessageId>,
    /// Milliseconds since 1970.
    pub made_at: i64,
    pub taken_back_at: Option<i64>,
}

/// A score, and when the user last spoke to the persona (milliseconds since 1970).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) score: Score,
    pub(super) spoken_at: i64,
}

impl Standing {
    /// The score now, what the absence since costs taken off.
    pub(super) fn at(self, now: i64) -> Score {
        self.score.moved(absence(self.spoken_at, now))
    }
}

/// Points that the time between these costs; times beyond what a calendar holds cost nothing.
fn absence(since: i64, now: i64) -> i64 {
    let at = |milliseconds| Timestamp::from_millisecond(milliseconds).ok();
    at(since).zip(at(now)).map_or(0, |(since, now)| idle(since, now))
}

/// Where a move comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) user: UserId,
    pub(super) persona: &'a str,
    pub(super) conversation: i64,
    pub(super) message: MessageId,
    pub(super) at: i64,
}

pub(super) fn find(
    connection: &Connection,
    user: UserId,
    persona: &str,
) -> Result<Option<Standing>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT score, spoken_at FROM relationships WHERE user = ?1 AND persona = ?2",
    )?;
    let found = statement.query_row(params![user.0, persona], |row| {
        Ok(Standing { score: Score::new(row.get(0)?), spoken_at: row.get(1)? })
    });
    Ok(found.optional()?)
}

/// Of all personas, by key.
pub(super) fn all(
    connection: &Connection,
    user: UserId,
) -> Result<Vec<(String, Standing)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT persona, score, spoken_at FROM relationships WHERE user = ?1 ORDER BY persona",
    )?;
    let rows = statement.query_map([user.0], |row| {
        Ok((row.get(0)?, Standing { score: Score::new(row.get(1)?), spoken_at: row.get(2)? }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Puts down what the user's message did; what the absence before it cost comes first.
pub(super) fn apply(
    connection: &Connection,
    origin: Origin<'_>,
    moves: &[Move],
) -> Result<(), StoreError> {
    let before = find(connection, origin.user, origin.persona)?;
    let mut score = before.map_or_else(Score::default, |it| it.score);
    let away = before.map_or(0, |it| absence(it.spoken_at, origin.at));
    if away != 0 {
        put(connection, origin, Move::Idle, away)?;
        score = score.moved(away);
    }
    for what in moves {
        put(connection, origin, *what, what.points())?;
        score = score.moved(what.points());
    }
    let spoken_at = before.map_or(origin.at, |it| it.spoken_at.max(origin.at));
    connection
        .prepare_cached(
            "INSERT INTO relationships (user, persona, score, spoken_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user, persona)
             DO UPDATE SET score = excluded.score, spoken_at = excluded.spoken_at",
        )?
        .execute(params![origin.user.0, origin.persona, score.get(), spoken_at])?;
    Ok(())
}

fn put(
    connection: &Connection,
    origin: Origin<'_>,
    what: Move,
    points: i64,
) -> Result<(), StoreError> {
    let Origin { user, persona, conversation, message, at } = origin;
    connection
        .prepare_cached(
            "INSERT INTO relationship_events
                (user, persona, move, points, conversation, message, made_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![user.0, persona, what.name(), points, conversation, message.0, at])?;
    Ok(())
}

/// Whether it ever happened between these two, taken back or not.
pub(super) fn has_happened(
    connection: &Connection,
    user: UserId,
    persona: &str,
    what: Move,
) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM relationship_events WHERE user = ?1 AND persona = ?2 AND move = ?3 LIMIT 1",
    )?;
    Ok(statement.exists(params![user.0, persona, what.name()])?)
}

/// Milestones that were reached, in order.
pub(super) fn milestones(
    connection: &Connection,
    user: UserId,
    persona: &str,
) -> Result<Vec<(Move, i64)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT move, made_at FROM relationship_events
         WHERE user = ?1 AND persona = ?2 AND taken_back_at IS NULL ORDER BY id",
    )?;
    let rows = statement
        .query_map(params![user.0, persona], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    let reached = rows.into_iter().filter_map(|(name, at)| Some((Move::named(&name)?, at)));
    Ok(reached.filter(|(what, _)| what.is_milestone()).collect())
}

const COLUMNS: &str = "relationship_events.id, relationship_events.persona, move, points,
    conversations.uid, message, made_at, taken_back_at";
const JOINED: &str = "relationship_events
    LEFT JOIN conversations ON conversations.id = relationship_events.conversation";

fn event(row: &Row<'_>) -> rusqlite::Result<Option<StandingEvent>> {
    let Some(what) = Move::named(&row.get::<_, String>(2)?) else { return Ok(None) };
    Ok(Some(StandingEvent {
        id: row.get(0)?,
        persona: row.get(1)?,
        what,
        points: row.get(3)?,
        conversation: row.get(4)?,
        message: row.get::<_, Option<i64>>(5)?.map(MessageId),
        made_at: row.get(6)?,
        taken_back_at: row.get(7)?,
    }))
}

/// The newest first, and how many there are.
pub(super) fn events(
    connection: &Connection,
    user: UserId,
    persona: Option<&str>,
    page: Page,
) -> Result<(Vec<StandingEvent>, u32), StoreError> {
    const OF: &str = "relationship_events.user = ?1
        AND (?2 IS NULL OR relationship_events.persona = ?2)";
    let sql = format!(
        "SELECT {COLUMNS} FROM {JOINED} WHERE {OF}
         ORDER BY relationship_events.id DESC LIMIT ?3 OFFSET ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![user.0, persona, page.limit, page.offset], event)?;
    let found: Vec<_> = rows.collect::<Result<_, _>>()?;
    let sql = format!("SELECT count(*) FROM relationship_events WHERE {OF}");
    let count =
        connection.prepare_cached(&sql)?.query_row(params![user.0, persona], |row| row.get(0))?;
    Ok((found.into_iter().flatten().collect(), count))
}

pub(super) fn event_of(
    connection: &Connection,
    user: UserId,
    id: i64,
) -> Result<Option<StandingEvent>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {JOINED}
         WHERE relationship_events.user = ?1 AND relationship_events.id = ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params![user.0, id], event).optional()?.flatten())
}

/// Takes a move back, or makes it count again; the score becomes what all moves that count come to.
pub(super) fn take_back(
    connection: &Connection,
    user: UserId,
    event: &StandingEvent,
    at: Option<i64>,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE relationship_events SET taken_back_at = ?2 WHERE id = ?1",
        params![event.id, at],
    )?;
    let mut statement = connection.prepare_cached(
        "SELECT points FROM relationship_events
         WHERE user = ?1 AND persona = ?2 AND taken_back_at IS NULL ORDER BY id",
    )?;
    let points = statement
        .query_map(params![user.0, event.persona], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    connection.execute(
        "UPDATE relationships SET score = ?3 WHERE user = ?1 AND persona = ?2",
        params![user.0, event.persona, Score::of(points).get()],
    )?;
    Ok(())
}
