//! Reading a session that was exported, or a chat of SillyTavern.
//!
//! The whole body is read and judged before the database is touched, and written in one transaction:
//! either all of it counts or nothing. What is there already, by the hash of its path, is left as it
//! is, so that reading the same twice adds nothing.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior, params};

use super::edits::{RecordError, can_be_named, delete_content, leads_to};
use super::export::{Line, MessageLine, SessionLine, VERSION, milliseconds};
use super::facts::{self, Fact};
use super::history::{Hash, Role, Said};
use super::rows::{self, SessionRow, integer};
use super::summaries::{self, Summary};
use super::{Inner, Memory, MessageId, SessionId, persona, sillytavern};
use crate::emotion::{Emotion, importance};

/// What was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    pub messages: usize,
    pub facts: usize,
    pub summaries: usize,
    /// What was there already, and lines that are no part of a talk.
    pub skipped: usize,
}

/// A body that makes sense. Messages are named by their place in it.
#[derive(Default)]
struct Body {
    session: Option<SessionLine>,
    messages: Vec<NewMessage>,
    facts: Vec<(i64, Fact)>,
    summaries: Vec<Summary>,
    /// The newest message of the path that is talked on.
    tip: Option<usize>,
    skipped: usize,
}

/// Messages in one body: as many bytes as a request may have would make gigabytes of tiny ones.
const MOST_MESSAGES: usize = 500_000;

impl Body {
    fn push(&mut self, at: usize, new: NewMessage) -> Result<(), RecordError> {
        if self.messages.len() == MOST_MESSAGES {
            return Err(wrong(at, format!("{MOST_MESSAGES} messages are the most at a time")));
        }
        self.messages.push(new);
        Ok(())
    }
}

struct NewMessage {
    parent: Option<usize>,
    depth: usize,
    own: Hash,
    chain: Hash,
    said: Said,
    corrected: Option<String>,
    interrupted: bool,
    said_at: i64,
    emotion: Emotion,
    confidence: f32,
    importance: f32,
    pinned: bool,
    forgotten: bool,
}

impl Memory {
    /// Reads lines of JSON into a session, which is made if there is none; with `replace` into the
    /// place of what it held.
    pub async fn import(
        &self,
        name: String,
        body: impl AsRef<[u8]> + Send + 'static,
        replace: bool,
    ) -> Result<Imported, RecordError> {
        can_be_named("session", &name)?;
        let inner = Arc::clone(&self.inner);
        let read = tokio::task::spawn_blocking(move || inner.read(body.as_ref()));
        let body = read.await.map_err(|_| crate::store::StoreError::Lost)??;
        let inner = Arc::clone(&self.inner);
        let write = move |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            match inner.write(&transaction, &name, &body, replace) {
                Ok((session, imported)) => {
                    transaction.commit()?;
                    inner.working.forget(session);
                    Ok(Ok(imported))
                }
                // Dropping the transaction undoes it.
                Err(error) => Ok(Err(error)),
            }
        };
        self.inner.store.run_large(write).await?
    }
}

/// What a line is about, for those after it.
#[derive(Default)]
struct Names {
    /// Places of messages by their ids in the file.
    messages: HashMap<i64, usize>,
    /// Lines that tell which fact was superseded by which.
    superseding: Vec<(usize, i64)>,
    facts: HashMap<i64, usize>,
}

impl Inner {
    fn read(&self, bytes: &[u8]) -> Result<Body, RecordError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let mut lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).peekable();
        let Some((at, first)) = lines.peek().copied() else {
            return Err(wrong(0, "there is nothing in the body; it is lines of JSON"));
        };
        let first: serde_json::Value = parsed(at, first)?;
        if first["type"] == "session" {
            self.read_lines(lines)
        } else if ["user_name", "character_name", "chat_metadata", "mes"]
            .iter()
            .any(|key| first.get(key).is_some())
        {
            self.read_chat(lines)
        } else {
            Err(wrong(
                at,
                "it begins neither an export ({\"type\": \"session\", …}) nor a chat of SillyTavern ({\"user_name\": …, \"character_name\": …})",
            ))
        }
    }

    fn read_lines<'a>(
        &self,
        lines: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> Result<Body, RecordError> {
        let mut body = Body::default();
        let mut names = Names::default();
        for (at, line) in lines {
            match parsed(at, line)? {
                Line::Session(_) if body.session.is_some() => {
                    return Err(wrong(at, "a second session begins; import one at a time"));
                }
                Line::Session(session) if session.version != VERSION => {
                    return Err(wrong(at, format!("this version reads version {VERSION} only")));
                }
                Line::Session(session) => body.session = Some(session),
                Line::Message(message) => {
                    let id = message.id;
                    let parent = message.parent.map(|id| names.message(at, id)).transpose()?;
                    let new = self.new_message(at, &body, parent, message)?;
                    if names.messages.insert(id, body.messages.len()).is_some() {
                        return Err(wrong(at, format!("an earlier line has the id {id}, too")));
                    }
                    body.push(at, new)?;
                }
                Line::Fact(fact) => self.read_fact(at, fact, &mut names, &mut body)?,
                Line::Summary(summary) => {
                    let last = names.message(at, summary.last_message)?;
                    let fits = summary.first_depth <= summary.last_depth
                        && body.messages[last].depth == summary.last_depth;
                    if !fits {
                        return Err(wrong(at, "its depths are not those of its messages"));
                    }
                    body.summaries.push(Summary {
                        id: 0,
                        level: summary.level,
                        first_depth: summary.first_depth,
                        last_depth: summary.last_depth,
                        last_message: placed(last),
                        text: summary.text,
                        tokens: summary.tokens,
                        account: summary.account,
                        made_at: self.time(at, summary.made_at.as_deref())?,
                    });
                }
            }
        }
        for &(at, by) in &names.superseding {
            if !names.facts.contains_key(&by) {
                return Err(wrong(at, format!("no line tells the fact {by}, which superseded it")));
            }
        }
        let tip = body.session.as_ref().and_then(|session| session.tip);
        body.tip = tip.map(|tip| names.message(0, tip)).transpose()?;
        body.tip = body.tip.or(body.messages.len().checked_sub(1));
        Ok(body)
    }

    fn read_fact(
        &self,
        at: usize,
        fact: super::export::FactLine,
        names: &mut Names,
        body: &mut Body,
    ) -> Result<(), RecordError> {
        let source = fact.source_message.map(|id| names.message(at, id)).transpose()?;
        if names.facts.insert(fact.id, at).is_some() {
            return Err(wrong(at, format!("an earlier line has the id {}, too", fact.id)));
        }
        names.superseding.extend(fact.superseded_by.map(|by| (at, by)));
        let new = Fact {
            id: fact.id,
            text: fact.text,
            source_message: source.map(placed),
            pinned: fact.pinned,
            made_at: self.time(at, fact.made_at.as_deref())?,
            superseded_by: fact.superseded_by,
        };
        body.facts.push((fact.id, new));
        Ok(())
    }

    fn read_chat<'a>(
        &self,
        lines: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> Result<Body, RecordError> {
        let mut body = Body::default();
        let mut time = self.now();
        for (count, (at, line)) in lines.enumerate() {
            let value: serde_json::Value = parsed(at, line)?;
            // Old chats have no line of their own.
            if count == 0 && value.get("mes").is_none() {
                continue;
            }
            let message: sillytavern::Message =
                serde_json::from_value(value).map_err(|error| faulty(at, &error))?;
            let (texts, chosen) = message.answers();
            body.skipped += usize::from(texts.is_empty());
            time = message.said_at().unwrap_or(time);
            let role = if message.is_user { Role::User } else { Role::Assistant };
            let (parent, first) = (body.tip, body.messages.len());
            for text in &texts {
                let speaker = message.name.clone().filter(|name| !name.trim().is_empty());
                let said = Said { role, speaker, text: (*text).to_owned() };
                let new = self.unmarked(&body, parent, said, time);
                body.push(at, new)?;
            }
            if !texts.is_empty() {
                body.tip = Some(first + chosen);
            }
        }
        Ok(body)
    }

    fn new_message(
        &self,
        at: usize,
        body: &Body,
        parent: Option<usize>,
        line: MessageLine,
    ) -> Result<NewMessage, RecordError> {
        let said_at = self.time(at, line.said_at.as_deref())?;
        let said = Said { role: line.role, speaker: line.speaker, text: line.text };
        let judged = (line.emotion, line.confidence, line.importance);
        let (parent, place) = (parent.map(|at| &body.messages[at]), parent);
        let (own, chain, depth) = NewMessage::place(parent, &said);
        let (emotion, confidence, importance) =
            if let (Some(emotion), Some(confidence), Some(importance)) = judged {
                (emotion, confidence.clamp(0.0, 1.0), importance.clamp(0.0, 1.0))
            } else {
                self.judged(line.corrected.as_ref().unwrap_or(&said.text))
            };
        Ok(NewMessage {
            parent: place,
            depth,
            own,
            chain,
            said,
            corrected: line.corrected,
            interrupted: line.interrupted,
            said_at,
            emotion,
            confidence,
            importance,
            pinned: line.pinned,
            forgotten: line.forgotten,
        })
    }

    /// A message of which only the words are known.
    fn unmarked(&self, body: &Body, parent: Option<usize>, said: Said, said_at: i64) -> NewMessage {
        let (own, chain, depth) = NewMessage::place(parent.map(|at| &body.messages[at]), &said);
        let (emotion, confidence, importance) = self.judged(&said.text);
        NewMessage {
            parent,
            depth,
            own,
            chain,
            said,
            corrected: None,
            interrupted: false,
            said_at,
            emotion,
            confidence,
            importance,
            pinned: false,
            forgotten: false,
        }
    }

    fn judged(&self, text: &str) -> (Emotion, f32, f32) {
        let feeling = self.feel(text, None);
        (feeling.emotion(), feeling.confidence(), importance(text, &feeling))
    }

    fn time(&self, at: usize, text: Option<&str>) -> Result<i64, RecordError> {
        let Some(text) = text else { return Ok(self.now()) };
        milliseconds(text)
            .ok_or_else(|| wrong(at, "a time is written like 2026-01-02T03:04:05Z (RFC 3339)"))
    }

    fn write(
        &self,
        connection: &Connection,
        name: &str,
        body: &Body,
        replace: bool,
    ) -> Result<(SessionId, Imported), RecordError> {
        let known = rows::session_named(connection, name)?;
        if let Some(row) = known.as_ref().filter(|_| replace) {
            delete_content(connection, row)?;
        }
        let is_new = known.is_none() || replace;
        let session = known.map_or_else(
            || rows::new_session(connection, name, false, self.now()),
            |row| Ok(row.id),
        )?;
        let row = rows::session_by_id(connection, session)?.ok_or(RecordError::NoSession)?;
        self.write_session(connection, &row, body, is_new)?;
        let mut imported = Imported { skipped: body.skipped, ..Imported::default() };
        let ids = write_messages(connection, session, body, &mut imported)?;
        write_facts(connection, session, body, &ids, &mut imported)?;
        for summary in &body.summaries {
            let last_message = ids[index(summary.last_message)];
            let summary = Summary { last_message, ..summary.clone() };
            let is_added = summaries::copy(connection, session, &summary)?;
            imported.summaries += usize::from(is_added);
            imported.skipped += usize::from(!is_added);
        }
        if let Some(tip) = body.tip.map(|tip| ids[tip]) {
            // A talk that went on elsewhere goes on from there.
            let goes_on = match row.tip.filter(|_| !is_new) {
                Some(old) => old != tip && leads_to(connection, old, tip)?,
                None => true,
            };
            if goes_on {
                rows::set_tip(connection, session, tip, self.now())?;
            }
        }
        Ok((session, imported))
    }

    fn write_session(
        &self,
        connection: &Connection,
        row: &SessionRow,
        body: &Body,
        is_new: bool,
    ) -> Result<(), RecordError> {
        let Some(session) = &body.session else { return Ok(()) };
        if is_new {
            connection.execute(
                "UPDATE sessions SET created_at = ?2 WHERE id = ?1",
                params![row.id.0, self.time(0, session.created_at.as_deref())?],
            )?;
        }
        if let Some(text) = session.persona.as_ref().filter(|_| is_new || row.persona.is_none()) {
            persona::set(connection, row.id, text, session.persona_is_set)?;
        }
        Ok(())
    }
}

impl NewMessage {
    /// Its hashes and its depth below this parent.
    fn place(parent: Option<&Self>, said: &Said) -> (Hash, Hash, usize) {
        let own = Hash::of(said);
        let before = parent.map_or(Hash::START, |parent| parent.chain);
        (own, before.then(own), parent.map_or(0, |parent| parent.depth + 1))
    }
}

impl Names {
    fn message(&self, at: usize, id: i64) -> Result<usize, RecordError> {
        let place = self.messages.get(&id).copied();
        place.ok_or_else(|| wrong(at, format!("it names message {id}, which no line before tells")))
    }
}

/// The ids of the body's messages, in their order.
fn write_messages(
    connection: &Connection,
    session: SessionId,
    body: &Body,
    imported: &mut Imported,
) -> Result<Vec<MessageId>, RecordError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO messages (session, parent, depth, own, chain, role, speaker, text, corrected,
            interrupted, said_at, emotion, confidence, importance, pinned, forgotten, is_recognised)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,
            (SELECT is_recognised FROM sessions WHERE id = ?1))
         ON CONFLICT (session, chain) DO NOTHING",
    )?;
    let mut find =
        connection.prepare_cached("SELECT id FROM messages WHERE session = ?1 AND chain = ?2")?;
    let mut ids: Vec<MessageId> = Vec::with_capacity(body.messages.len());
    for new in &body.messages {
        let added = insert.execute(params![
            session.0,
            new.parent.map(|parent| ids[parent].0),
            integer(new.depth),
            new.own.bytes(),
            new.chain.bytes(),
            new.said.role.name(),
            new.said.speaker,
            new.said.text,
            new.corrected,
            new.interrupted,
            new.said_at,
            new.emotion.name(),
            new.confidence,
            new.importance,
            new.pinned,
            new.forgotten,
        ])?;
        imported.messages += added;
        imported.skipped += usize::from(added == 0);
        ids.push(MessageId(if added > 0 {
            connection.last_insert_rowid()
        } else {
            find.query_row(params![session.0, new.chain.bytes()], |row| row.get(0))?
        }));
    }
    Ok(ids)
}

fn write_facts(
    connection: &Connection,
    session: SessionId,
    body: &Body,
    ids: &[MessageId],
    imported: &mut Imported,
) -> Result<(), RecordError> {
    // Two facts may be the same in all but their ids; each stands for one.
    let mut known: HashMap<_, Vec<i64>> = HashMap::new();
    for Fact { id, text, source_message, made_at, .. } in facts::all(connection, session)? {
        known.entry((text, source_message, made_at)).or_default().push(id);
    }
    let mut written: HashMap<i64, (i64, bool)> = HashMap::new();
    for (name, fact) in &body.facts {
        let source_message = fact.source_message.map(|source| ids[index(source)]);
        let fact = Fact { source_message, ..fact.clone() };
        let twins = known.get_mut(&(fact.text.clone(), source_message, fact.made_at));
        let (id, is_new) = match twins.and_then(Vec::pop) {
            Some(twin) => (twin, false),
            None => (facts::copy(connection, session, &fact)?, true),
        };
        written.insert(*name, (id, is_new));
        imported.facts += usize::from(is_new);
        imported.skipped += usize::from(!is_new);
    }
    for (name, fact) in &body.facts {
        let by = fact.superseded_by.and_then(|by| written.get(&by));
        if let (Some(&(old, true)), Some(&(new, _))) = (written.get(name), by) {
            facts::succeed(connection, old, new)?;
        }
    }
    Ok(())
}

/// Until the messages are written, one is named by its place in the body.
fn placed(index: usize) -> MessageId {
    MessageId(integer(index))
}

fn index(placed: MessageId) -> usize {
    usize::try_from(placed.0).unwrap_or(0)
}

fn wrong(at: usize, fault: impl Into<String>) -> RecordError {
    RecordError::Line { line: at + 1, fault: fault.into() }
}

fn faulty(at: usize, error: &serde_json::Error) -> RecordError {
    // The error counts lines within this one.
    let text = error.to_string();
    wrong(at, text.rsplit_once(" at line ").map_or(text.as_str(), |(fault, _)| fault))
}

fn parsed<T: serde::de::DeserializeOwned>(at: usize, line: &[u8]) -> Result<T, RecordError> {
    serde_json::from_slice(line).map_err(|error| faulty(at, &error))
}
