//! Where a conversation belongs: the session, and the message of its tree on which the newest words
//! build. Blocking.
//!
//! What agrees with the client's history is the same talk, wherever the client's window began; where
//! they part, another path of the tree begins.

use rusqlite::Connection;

use super::history::{Hash, Role, Said, meet};
use super::live::Live;
use super::rows::{self, Like, Stored};
use super::{MessageId, SessionId};
use crate::store::StoreError;

/// Which session a conversation is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The client names it.
    Named(String),
    /// The caller began it ([`super::Memory::begin`]), and sends only what is new: it goes on where it
    /// stands, whatever is said. Where it is gone, nothing is stored.
    Continued(String),
    /// By what was said. The name is for a new one.
    Recognised { otherwise: String },
}

/// The part of a history that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The last message that agrees; `None` where nothing was said before.
    pub(super) end: Option<MessageId>,
    /// How many of the messages that were sent agree.
    pub(super) matched: usize,
}

/// Messages at the end of a history that are tried as places to go on from: they may be edited, or
/// new.
const TRIES: usize = 8;
/// Messages with the same text that are looked at.
const NAMESAKES: usize = 16;
/// A single message that agrees shows nothing, unless it is as long as this, in bytes.
const TELLING: usize = 60;
/// Up to so many messages that agree, another persona makes it another talk.
const OPENING: usize = 2;

/// Follows a history within a session, whose path is left at where it was found.
pub(super) fn follow(
    connection: &Connection,
    live: &mut Live,
    whose: &Whose,
    tip: Option<MessageId>,
    history: &[Said],
) -> Result<Known, StoreError> {
    let own: Vec<Hash> = history.iter().map(Hash::of).collect();
    if live.path().is_empty() {
        live.turn_to(connection, tip)?;
    }
    if matches!(whose, Whose::Continued(_)) {
        live.turn_to(connection, tip)?;
        return Ok(Known { end: tip, matched: 0 });
    }
    if history.len() == 1 {
        return match whose {
            Whose::Named(_) | Whose::Continued(_) => follow_newest(connection, live, tip, &own),
            Whose::Recognised { .. } => follow_opening(connection, live, &own),
        };
    }
    let mut known = along_the_path(connection, live, &own)?;
    // All but the newest message is expected to be known.
    if known.matched + 1 < own.len()
        && let Some((_, end, matched)) = elsewhere(connection, Some(live.session), history, &own)?
        && matched > known.matched
    {
        known = Known { end: Some(end.id), matched };
    }
    // What agrees with nothing is said next, unless a talk was recognised by its messages alone.
    if known.matched == 0 && matches!(whose, Whose::Named(_)) {
        known.end = tip;
    }
    live.turn_to(connection, known.end)?;
    Ok(known)
}

/// A client that names its session and sends only the newest message goes on where the talk stands. The one exchange that
/// can't be told apart from such a client's is the talk's first, asked for again.
fn follow_newest(
    connection: &Connection,
    live: &mut Live,
    tip: Option<MessageId>,
    own: &[Hash],
) -> Result<Known, StoreError> {
    live.turn_to(connection, tip)?;
    if let [first, answer] = live.path()
        && Some(&first.own) == own.first()
        && answer.role == Role::Assistant
    {
        let end = Some(first.id);
        live.turn_to(connection, end)?;
        return Ok(Known { end, matched: 1 });
    }
    Ok(Known { end: tip, matched: 0 })
}

/// A talk that was recognised by one message begins with it, whatever was said since.
fn follow_opening(
    connection: &Connection,
    live: &mut Live,
    own: &[Hash],
) -> Result<Known, StoreError> {
    let opening = from_the_start(connection, Some(live.session), own)?;
    let known = opening
        .map_or_else(Known::default, |(_, end, matched)| Known { end: Some(end.id), matched });
    live.turn_to(connection, known.end)?;
    Ok(known)
}

/// On the path that is talked on, and further along branches of it.
fn along_the_path(connection: &Connection, live: &Live, own: &[Hash]) -> Result<Known, StoreError> {
    let path: Vec<Hash> = live.path().iter().map(|step| step.own).collect();
    let Some(meeting) = meet(&path, own) else { return Ok(Known::default()) };
    let last = live.path()[meeting.from + meeting.length - 1];
    let (mut end, mut chain, mut matched) = (last.id, last.chain, meeting.length);
    while let Some(own) = own.get(matched) {
        chain = chain.then(*own);
        let Some(next) = rows::message_by_chain(connection, live.session, chain)? else { break };
        (end, matched) = (next.id, matched + 1);
    }
    Ok(Known { end: Some(end), matched })
}

/// Anywhere: in one session, or in all that are recognised by what was said in them.
fn elsewhere(
    connection: &Connection,
    session: Option<SessionId>,
    history: &[Said],
    own: &[Hash],
) -> Result<Option<(SessionId, Stored, usize)>, StoreError> {
    let whole = from_the_start(connection, session, own)?;
    let matched = whole.as_ref().map_or(0, |(_, _, matched)| *matched);
    // One message in the middle of a talk shows nothing, however long it is.
    if matched + 1 >= own.len() || own.len() == 1 {
        return Ok(whole);
    }
    let trimmed = trimmed(connection, session, history, own, matched)?;
    Ok(trimmed.or(whole))
}

/// The longest beginning of the history that is stored as the beginning of a talk. Whatever is stored,
/// its beginnings are too, so halving finds it.
fn from_the_start(
    connection: &Connection,
    session: Option<SessionId>,
    own: &[Hash],
) -> Result<Option<(SessionId, Stored, usize)>, StoreError> {
    let mut chain = Hash::START;
    let chains: Vec<Hash> = own
        .iter()
        .map(|own| {
            chain = chain.then(*own);
            chain
        })
        .collect();
    let (mut known, mut unknown) = (0, chains.len() + 1);
    let mut best = None;
    while known + 1 < unknown {
        let middle = known.midpoint(unknown);
        let like = Like::History(chains[middle - 1]);
        match rows::messages_like(connection, session, like, 1)?.pop() {
            Some((session, stored)) => {
                best = Some((session, stored, middle));
                known = middle;
            }
            None => unknown = middle,
        }
    }
    Ok(best)
}

/// A stretch that the whole beginning of the history agrees with, though the talk began before it.
fn trimmed(
    connection: &Connection,
    session: Option<SessionId>,
    history: &[Said],
    own: &[Hash],
    at_least: usize,
) -> Result<Option<(SessionId, Stored, usize)>, StoreError> {
    for last in (at_least..own.len()).rev().take(TRIES) {
        if last == 0 && history[0].text.len() < TELLING {
            break;
        }
        let like = Like::Text(own[last]);
        for (session, stored) in rows::messages_like(connection, session, like, NAMESAKES)? {
            if agrees_backwards(connection, session, &stored, &own[..last])? {
                return Ok(Some((session, stored, last + 1)));
            }
        }
    }
    Ok(None)
}

fn agrees_backwards(
    connection: &Connection,
    session: SessionId,
    end: &Stored,
    before: &[Hash],
) -> Result<bool, StoreError> {
    let mut parent = end.parent;
    for own in before.iter().rev() {
        let Some(id) = parent else { return Ok(false) };
        match rows::message_by_id(connection, session, id)? {
            Some(stored) if stored.own == *own => parent = stored.parent,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The session that this history continues. An opening that many talks share shows nothing: somebody
/// must have said something, and where that and a short answer is all, to the same persona.
pub(super) fn recognise(
    connection: &Connection,
    persona: Option<&str>,
    history: &[Said],
) -> Result<Option<SessionId>, StoreError> {
    let own: Vec<Hash> = history.iter().map(Hash::of).collect();
    let Some((session, end, matched)) = elsewhere(connection, None, history, &own)? else {
        return Ok(None);
    };
    let known = &history[..matched];
    if !known.iter().any(|said| said.role == Role::User) {
        return Ok(None);
    }
    if matched > OPENING || holds_an_answer(known) {
        return Ok(Some(session));
    }
    for (session, _) in rows::messages_like(connection, None, Like::History(end.chain), NAMESAKES)?
    {
        let stored = rows::session_by_id(connection, session)?.and_then(|row| row.persona);
        if stored.as_deref().map(str::trim) == persona.map(str::trim) {
            return Ok(Some(session));
        }
    }
    Ok(None)
}

/// Whether somebody was answered at length: no other talk has that.
fn holds_an_answer(known: &[Said]) -> bool {
    known.windows(2).any(|pair| {
        let roles = (pair[0].role, pair[1].role);
        roles == (Role::User, Role::Assistant) && pair[1].text.len() >= TELLING
    })
}
