//! A session as lines of JSON, which another server reads again: one of the session, one a message of
//! all branches, then facts and summaries. Vectors are made anew. Or as a chat of SillyTavern.
//!
//! Read in pieces, so that a long talk takes little memory.

use std::str::FromStr;

use jiff::Timestamp;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::edits::RecordError;
use super::history::Role;
use super::records::session;
use super::rows::{self, SessionRow, Stored};
use super::sillytavern::{self, Names};
use super::summaries::{self, Summary};
use super::{Memory, MessageId, facts};
use crate::distil::Account;
use crate::emotion::Emotion;
use crate::store::StoreError;
use crate::tokens::TokenCount;

/// How a session is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Everything, in lines of [`Line`].
    Jsonl,
    /// The path that is talked on, with other answers as swipes.
    SillyTavern,
}

/// The version of the lines.
pub(super) const VERSION: u32 = 1;

/// One line of an export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line {
    Session(SessionLine),
    Message(MessageLine),
    Fact(FactLine),
    Summary(SummaryLine),
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionLine {
    pub version: u32,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub persona: Option<String>,
    #[serde(default)]
    pub persona_is_set: bool,
    /// RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// The newest message of the path that is talked on; without it, the last line's.
    #[serde(default)]
    pub tip: Option<i64>,
}

/// A message. Its id counts within the file alone; its parent stands on an earlier line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessageLine {
    pub id: i64,
    #[serde(default)]
    pub parent: Option<i64>,
    pub role: Role,
    #[serde(default)]
    pub speaker: Option<String>,
    pub text: String,
    #[serde(default)]
    pub corrected: Option<String>,
    #[serde(default)]
    pub interrupted: bool,
    /// RFC 3339.
    #[serde(default)]
    pub said_at: Option<String>,
    /// What isn't told of emotion, confidence and importance is judged anew.
    #[serde(default)]
    pub emotion: Option<Emotion>,
    #[serde(default)]
    pub confidence: Option<f32>,
    #[serde(default)]
    pub importance: Option<f32>,
    #[serde(default)]
    pub pinned: bool,
    #[serde(default)]
    pub forgotten: bool,
}

/// A fact. Its id counts within the file alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FactLine {
    pub id: i64,
    pub text: String,
    #[serde(default)]
    pub source_message: Option<i64>,
    #[serde(default = "yes")]
    pub pinned: bool,
    /// RFC 3339.
    #[serde(default)]
    pub made_at: Option<String>,
    #[serde(default)]
    pub superseded_by: Option<i64>,
}

/// A summary, with how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SummaryLine {
    pub level: u32,
    pub first_depth: usize,
    pub last_depth: usize,
    pub last_message: i64,
    pub text: String,
    pub tokens: TokenCount,
    pub account: Account,
    /// RFC 3339.
    #[serde(default)]
    pub made_at: Option<String>,
}

fn yes() -> bool {
    true
}

/// Milliseconds since 1970 in RFC 3339.
pub fn timestamp(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// RFC 3339 in milliseconds since 1970.
pub(super) fn milliseconds(text: &str) -> Option<i64> {
    Timestamp::from_str(text).ok().map(Timestamp::as_millisecond)
}

/// Messages, or summaries, that are read at a time.
const PIECE: usize = 500;

/// An export that is being read.
pub struct Export {
    memory: Memory,
    row: SessionRow,
    format: Format,
    next: Next,
}

/// What comes next.
#[derive(Debug)]
enum Next {
    Beginning,
    MessagesAfter(MessageId),
    /// The rest of the path, newest first.
    Path(Vec<MessageId>, Names),
    Facts,
    SummariesAfter(usize),
    Nothing,
}

impl Memory {
    pub async fn export(&self, name: String, format: Format) -> Result<Export, RecordError> {
        let row = self.look(move |connection| session(connection, &name)).await?;
        Ok(Export { memory: self.clone(), row, format, next: Next::Beginning })
    }
}

impl Export {
    /// The next lines, each with its end; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<String>, RecordError> {
        let at = std::mem::replace(&mut self.next, Next::Nothing);
        if matches!(at, Next::Nothing) {
            return Ok(None);
        }
        let (row, format) = (self.row.clone(), self.format);
        let read = move |connection: &Connection| match at {
            Next::Beginning if format == Format::SillyTavern => beginning_of_chat(connection, &row),
            Next::Path(path, names) => some_of_path(connection, path, names),
            at => some_lines(connection, &row, &at),
        };
        let (lines, next) = self.memory.look(move |connection| Ok(read(connection)?)).await?;
        self.next = next;
        Ok(Some(lines))
    }
}

fn some_lines(
    connection: &Connection,
    row: &SessionRow,
    at: &Next,
) -> Result<(String, Next), StoreError> {
    let mut lines = String::new();
    let next = match at {
        Next::Beginning => {
            add(&mut lines, &Line::Session(SessionLine::of(row)))?;
            Next::MessagesAfter(MessageId(0))
        }
        Next::MessagesAfter(after) => {
            let messages = rows::messages_after(connection, row.id, *after, 0, PIECE)?;
            let last = messages.last().map(|stored| stored.id);
            for stored in messages {
                add(&mut lines, &Line::Message(MessageLine::of(stored)))?;
            }
            last.map_or(Next::Facts, Next::MessagesAfter)
        }
        Next::Facts => {
            for fact in facts::all(connection, row.id)? {
                add(&mut lines, &Line::Fact(FactLine::of(fact)))?;
            }
            Next::SummariesAfter(0)
        }
        Next::SummariesAfter(after) => {
            let summaries = summaries::some(connection, row.id, *after, PIECE)?;
            let is_last = summaries.is_empty();
            for summary in summaries {
                add(&mut lines, &Line::Summary(SummaryLine::of(summary)))?;
            }
            if is_last { Next::Nothing } else { Next::SummariesAfter(after + PIECE) }
        }
        Next::Path(..) | Next::Nothing => Next::Nothing,
    };
    Ok((lines, next))
}

fn beginning_of_chat(
    connection: &Connection,
    row: &SessionRow,
) -> Result<(String, Next), StoreError> {
    let names = Names::of(connection, row.id)?;
    let mut lines = String::new();
    add(&mut lines, &sillytavern::header(&names, row.created_at))?;
    let mut path: Vec<_> = rows::path_ids(connection, row.tip)?.into_iter().collect();
    // Children have higher ids than their parents.
    path.sort_unstable_by(|one, other| other.cmp(one));
    Ok((lines, Next::Path(path, names)))
}

fn some_of_path(
    connection: &Connection,
    mut path: Vec<MessageId>,
    names: Names,
) -> Result<(String, Next), StoreError> {
    let mut lines = String::new();
    for id in path.split_off(path.len().saturating_sub(PIECE)).into_iter().rev() {
        if let Some(message) = sillytavern::message(connection, id, &names)? {
            add(&mut lines, &message)?;
        }
    }
    let next = if path.is_empty() { Next::Nothing } else { Next::Path(path, names) };
    Ok((lines, next))
}

fn add(lines: &mut String, line: &impl Serialize) -> Result<(), StoreError> {
    lines.push_str(&serde_json::to_string(line)?);
    lines.push('\n');
    Ok(())
}

impl SessionLine {
    fn of(row: &SessionRow) -> Self {
        Self {
            version: VERSION,
            name: row.name.clone(),
            persona: row.persona.clone(),
            persona_is_set: row.persona_is_set,
            created_at: Some(timestamp(row.created_at)),
            tip: row.tip.map(|tip| tip.0),
        }
    }
}

impl MessageLine {
    fn of(stored: Stored) -> Self {
        Self {
            id: stored.id.0,
            parent: stored.parent.map(|parent| parent.0),
            role: stored.said.role,
            speaker: stored.said.speaker,
            text: stored.said.text,
            corrected: stored.corrected,
            interrupted: stored.interrupted,
            said_at: Some(timestamp(stored.said_at)),
            emotion: Some(stored.emotion),
            confidence: Some(stored.confidence),
            importance: Some(stored.importance),
            pinned: stored.pinned,
            forgotten: stored.forgotten,
        }
    }
}

impl FactLine {
    fn of(fact: facts::Fact) -> Self {
        Self {
            id: fact.id,
            text: fact.text,
            source_message: fact.source_message.map(|source| source.0),
            pinned: fact.pinned,
            made_at: Some(timestamp(fact.made_at)),
            superseded_by: fact.superseded_by,
        }
    }
}

impl SummaryLine {
    fn of(summary: Summary) -> Self {
        Self {
            level: summary.level,
            first_depth: summary.first_depth,
            last_depth: summary.last_depth,
            last_message: summary.last_message.0,
            text: summary.text,
            tokens: summary.tokens,
            account: summary.account,
            made_at: Some(timestamp(summary.made_at)),
        }
    }
}
