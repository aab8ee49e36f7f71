//! What a companion learns from what its user said: moves of the relationship, facts, moments. Plain
//! rules, applied to each message once and in order, whenever it was stored; blocking.

use rusqlite::{Connection, TransactionBehavior};

use super::conversations::{self, Conversation};
use super::facts::{self, FactSource, Learnt, NewFact};
use super::moments::{self, NewMemory, Tier};
use super::standing::{self, Origin};
use super::stated::{FactKind, Stated, stated};
use crate::emotion::Emotion;
use crate::memory::{Role, Stored};
use crate::persona::relationship::{Move, Said, is_manipulation, signals};
use crate::store::StoreError;

/// Least confidence of an emotion that counts.
const NOTICEABLE: f32 = 0.4;
/// Least importance of a moment that is remembered, and of one with a strong emotion.
const IMPORTANT: f32 = 0.85;
const STRONG: (f32, f32) = (0.7, 0.6);
/// Longest moment, in characters.
const LONGEST_MOMENT: usize = 300;

/// Learns from those of the messages that are new to the conversation. One transaction: what was
/// learnt, and how far, change together.
pub(super) fn learn(
    connection: &mut Connection,
    conversation: i64,
    said: &[Stored],
) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // It may have been deleted meanwhile, or learnt from by another task.
    let Some(conversation) = conversations::by_id(&transaction, conversation)? else {
        return Ok(());
    };
    let is_new = |stored: &&Stored| stored.id > conversation.learnt_to;
    let Some(last) = said.iter().rfind(is_new) else { return Ok(()) };
    for stored in said.iter().filter(is_new).filter(|stored| stored.said.role == Role::User) {
        learn_from(&transaction, &conversation, stored)?;
    }
    let used_at = conversation.used_at.max(last.said_at);
    conversations::learnt(&transaction, conversation.id, last.id, used_at)?;
    Ok(transaction.commit()?)
}

fn learn_from(
    connection: &Connection,
    conversation: &Conversation,
    stored: &Stored,
) -> Result<(), StoreError> {
    let text = stored.told();
    // Plain questions read as surprise.
    let is_plain = matches!(stored.emotion, Emotion::Neutral | Emotion::Surprise);
    let is_emotional = !is_plain && stored.confidence >= NOTICEABLE;
    let is_sad_or_afraid =
        is_emotional && matches!(stored.emotion, Emotion::Sadness | Emotion::Fear);
    let origin = Origin {
        user: conversation.user,
        persona: &conversation.persona,
        conversation: conversation.id,
        message: stored.id,
        at: stored.said_at,
    };
    let mut moves = Vec::new();
    if standing::find(connection, origin.user, origin.persona)?.is_none() {
        moves.push(Move::FirstInteraction);
    }
    // Who talks to the machine tells nothing of themself.
    let is_meant = !is_manipulation(text);
    for stated in stated(text).iter().filter(|_| is_meant) {
        if learn_fact(connection, origin, stated)? {
            moves.extend(moved_by(stated.kind));
            moves.push(Move::PersonalShare);
        }
    }
    moves.extend(signals(Said { text, is_emotional, is_sad_or_afraid }));
    let moves = at_most_once(connection, origin, moves)?;
    standing::apply(connection, origin, &moves)?;
    if is_meant && is_memorable(stored) {
        let moment = NewMemory {
            user: origin.user,
            tier: Tier::Episodic,
            text: shortened(text),
            subject: None,
            emotion: Some(stored.emotion),
            importance: f64::from(stored.importance),
            conversation: conversation.id,
            message: stored.id,
            at: stored.said_at,
        };
        moments::add(connection, &moment)?;
    }
    Ok(())
}

/// Whether it is believed; what is known already may be new to this persona.
fn learn_fact(
    connection: &Connection,
    origin: Origin<'_>,
    stated: &Stated,
) -> Result<bool, StoreError> {
    let Origin { user, conversation, message, at, .. } = origin;
    let new = NewFact {
        user,
        kind: stated.kind,
        value: &stated.value,
        source: FactSource::Stated,
        origin: Some((conversation, message)),
        at,
    };
    let learnt = facts::learn(connection, &new)?;
    if let (FactKind::Relation, Some((role, name))) = (stated.kind, stated.value.split_once(": ")) {
        let entity = NewMemory {
            user,
            tier: Tier::Semantic,
            text: &format!("{name} is the user's {role}."),
            subject: Some(name),
            emotion: None,
            importance: FactSource::Stated.confidence(),
            conversation,
            message,
            at,
        };
        moments::add(connection, &entity)?;
    }
    Ok(learnt != Learnt::Refused)
}

fn moved_by(kind: FactKind) -> Option<Move> {
    match kind {
        FactKind::Name => Some(Move::NameShared),
        FactKind::Age => Some(Move::AgeShared),
        FactKind::Location => Some(Move::LocationShared),
        FactKind::Occupation => Some(Move::OccupationShared),
        _ => None,
    }
}

/// What a persona is told once, it is told once: another name doesn't count again. Nor do milestones.
fn at_most_once(
    connection: &Connection,
    origin: Origin<'_>,
    moves: Vec<Move>,
) -> Result<Vec<Move>, StoreError> {
    let mut kept: Vec<Move> = Vec::new();
    for what in moves {
        let happens_once = what.is_milestone()
            || matches!(
                what,
                Move::NameShared | Move::AgeShared | Move::LocationShared | Move::OccupationShared
            );
        let is_again =
            happens_once && standing::has_happened(connection, origin.user, origin.persona, what)?;
        if !is_again && !kept.contains(&what) {
            kept.push(what);
        }
    }
    Ok(kept)
}

fn is_memorable(stored: &Stored) -> bool {
    let (importance, confidence) = STRONG;
    let is_strong = stored.emotion != Emotion::Neutral
        && stored.importance >= importance
        && stored.confidence >= confidence;
    stored.importance >= IMPORTANT || is_strong
}

fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST_MOMENT).map_or(text.len(), |(at, _)| at);
    text[..end].trim()
}
