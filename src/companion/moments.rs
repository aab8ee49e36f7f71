//! What is remembered of a user across conversations: moments (episodic), and whom and what the user
//! named (semantic). Blocking.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Page;
use crate::account::UserId;
use crate::emotion::Emotion;
use crate::memory::MessageId;
use crate::store::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A moment worth remembering, in the user's words.
    Episodic,
    /// Somebody or something the user named, and what that is to the user.
    Semantic,
}

impl Tier {
    pub fn name(self) -> &'static str {
        match self {
            Self::Episodic => "episodic",
            Self::Semantic => "semantic",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Episodic, Self::Semantic].into_iter().find(|it| it.name() == name)
    }
}

/// Something remembered of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserMemory {
    pub id: i64,
    pub tier: Tier,
    pub text: String,
    /// Of a semantic one: whom or what it is about.
    pub subject: Option<String>,
    /// Of an episodic one.
    pub emotion: Option<Emotion>,
    /// From 0 to 1.
    pub importance: f64,
    /// The conversation's name on the wire.
    pub conversation: String,
    pub message: Option<MessageId>,
    pub mentions: u32,
    /// Milliseconds since 1970.
    pub made_at: i64,
    pub mentioned_at: i64,
}

#[derive(Clone, Debug)]
pub(super) struct NewMemory<'a> {
    pub(super) user: UserId,
    pub(super) tier: Tier,
    pub(super) text: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) emotion: Option<Emotion>,
    pub(super) importance: f64,
    pub(super) conversation: i64,
    pub(super) message: MessageId,
    pub(super) at: i64,
}

/// Memories of one tier that a user has at most; beyond, the least important go.
const MOST: u32 = 500;

const COLUMNS: &str = "user_memories.id, tier, text, subject, emotion, importance,
    conversations.uid, message, mentions, made_at, mentioned_at";
const JOINED: &str =
    "user_memories JOIN conversations ON conversations.id = user_memories.conversation";

fn memory(row: &Row<'_>) -> rusqlite::Result<UserMemory> {
    let emotion: Option<String> = row.get(4)?;
    Ok(UserMemory {
        id: row.get(0)?,
        tier: Tier::named(&row.get::<_, String>(1)?).unwrap_or(Tier::Episodic),
        text: row.get(2)?,
        subject: row.get(3)?,
        emotion: emotion.and_then(|name| name.parse().ok()),
        importance: row.get(5)?,
        conversation: row.get(6)?,
        message: row.get::<_, Option<i64>>(7)?.map(MessageId),
        mentions: row.get(8)?,
        made_at: row.get(9)?,
        mentioned_at: row.get(10)?,
    })
}

/// The newest first, and how many there are.
pub(super) fn page(
    connection: &Connection,
    user: UserId,
    tier: Option<Tier>,
    page: Page,
) -> Result<(Vec<UserMemory>, u32), StoreError> {
    const OF: &str = "user_memories.user = ?1 AND (?2 IS NULL OR tier = ?2)";
    let tier = tier.map(Tier::name);
    let sql = format!(
        "SELECT {COLUMNS} FROM {JOINED} WHERE {OF}
         ORDER BY user_memories.id DESC LIMIT ?3 OFFSET ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![user.0, tier, page.limit, page.offset], memory)?;
    let page = rows.collect::<Result<_, _>>()?;
    let sql = format!("SELECT count(*) FROM user_memories WHERE {OF}");
    let count = connection.prepare_cached(&sql)?.query_row(params![user.0, tier], |row| row.get(0));
    Ok((page, count?))
}

pub(super) fn find(
    connection: &Connection,
    user: UserId,
    id: i64,
) -> Result<Option<UserMemory>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {JOINED} WHERE user_memories.user = ?1 AND user_memories.id = ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params![user.0, id], memory).optional()?)
}

/// The same about the same is a mention of it.
pub(super) fn add(connection: &Connection, new: &NewMemory<'_>) -> Result<(), StoreError> {
    let mentioned = connection
        .prepare_cached(
            "UPDATE user_memories SET mentions = mentions + 1, mentioned_at = max(mentioned_at, ?4)
             WHERE user = ?1 AND tier = ?2 AND lower(text) = lower(?3)",
        )?
        .execute(params![new.user.0, new.tier.name(), new.text, new.at])?;
    if mentioned > 0 {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO user_memories (user, tier, text, subject, emotion, importance,
                conversation, message, made_at, mentioned_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
        )?
        .execute(params![
            new.user.0,
            new.tier.name(),
            new.text,
            new.subject,
            new.emotion.map(Emotion::name),
            new.importance,
            new.conversation,
            new.message.0,
            new.at
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM user_memories WHERE id IN (
                SELECT id FROM user_memories WHERE user = ?1 AND tier = ?2
                ORDER BY importance DESC, id DESC LIMIT -1 OFFSET ?3
             )",
        )?
        .execute(params![new.user.0, new.tier.name(), MOST])?;
    Ok(())
}

/// The most important moments of other conversations than this one.
pub(super) fn elsewhere(
    connection: &Connection,
    user: UserId,
    conversation: i64,
    limit: u32,
) -> Result<Vec<UserMemory>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {JOINED}
         WHERE user_memories.user = ?1 AND tier = 'episodic' AND conversation != ?2
         ORDER BY importance DESC, user_memories.id DESC LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![user.0, conversation, limit], memory)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is known of whom the text names, the most mentioned first.
pub(super) fn named_in(
    connection: &Connection,
    user: UserId,
    text: &str,
    limit: usize,
) -> Result<Vec<UserMemory>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {JOINED}
         WHERE user_memories.user = ?1 AND tier = 'semantic'
         ORDER BY mentions DESC, user_memories.id DESC"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([user.0], memory)?;
    let text = text.to_lowercase();
    let is_named = |memory: &UserMemory| {
        memory.subject.as_deref().is_some_and(|subject| holds_word(&text, &subject.to_lowercase()))
    };
    let mut found = Vec::new();
    for memory in rows {
        let memory = memory?;
        if is_named(&memory) {
            found.push(memory);
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

fn holds_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let is_border = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        is_border(text[..at].chars().next_back())
            && is_border(text[at + word.len()..].chars().next())
    })
}

pub(super) fn correct(
    connection: &Connection,
    user: UserId,
    id: i64,
    text: &str,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE user_memories SET text = ?3 WHERE user = ?1 AND id = ?2",
        params![user.0, id, text],
    )?;
    Ok(())
}

pub(super) fn remove(connection: &Connection, user: UserId, id: i64) -> Result<bool, StoreError> {
    let removed = connection
        .execute("DELETE FROM user_memories WHERE user = ?1 AND id = ?2", params![user.0, id])?;
    Ok(removed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_within_a_word_is_not_named() {
        assert!(holds_word("how is tom today", "tom"));
        assert!(holds_word("tom's boat", "tom"));
        assert!(!holds_word("tomorrow", "tom"));
        assert!(holds_word("tomorrow tom comes", "tom"));
    }
}
