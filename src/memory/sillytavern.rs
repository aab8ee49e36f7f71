//! Chats as SillyTavern keeps them: a line of the chat, then one a message. Other answers to the same
//! words are swipes of a message; what was said after a swipe that isn't shown has no place there.
//!
//! A message that is hidden there (`is_system`) isn't sent to a model: that is what a forgotten message
//! is written as, and what isn't read.

use jiff::Timestamp;
use jiff::civil::DateTime;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::export::{milliseconds, timestamp};
use super::history::Role;
use super::rows::{self, Stored};
use super::{MessageId, SessionId};
use crate::store::StoreError;

/// What user and character are called where a message doesn't say.
#[derive(Clone, Debug)]
pub(super) struct Names {
    user: String,
    character: String,
}

impl Names {
    pub(super) fn of(connection: &Connection, session: SessionId) -> Result<Self, StoreError> {
        let newest = |role: Role, otherwise: &str| -> Result<String, StoreError> {
            let found = connection
                .prepare_cached(
                    "SELECT speaker FROM messages
                     WHERE session = ?1 AND role = ?2 AND speaker IS NOT NULL
                     ORDER BY id DESC LIMIT 1",
                )?
                .query_row(params![session.0, role.name()], |row| row.get(0))
                .optional()?;
            Ok(found.unwrap_or_else(|| otherwise.to_owned()))
        };
        Ok(Self {
            user: newest(Role::User, "User")?,
            character: newest(Role::Assistant, "Character")?,
        })
    }
}

#[derive(Serialize)]
pub(super) struct Header {
    user_name: String,
    character_name: String,
    create_date: String,
    chat_metadata: Map<String, Value>,
}

pub(super) fn header(names: &Names, created_at: i64) -> Header {
    let created = Timestamp::from_millisecond(created_at).unwrap_or(Timestamp::UNIX_EPOCH);
    Header {
        user_name: names.user.clone(),
        character_name: names.character.clone(),
        create_date: created.strftime("%Y-%m-%d@%Hh%Mm%Ss").to_string(),
        chat_metadata: Map::new(),
    }
}

/// A message's line. What isn't told of it is the chat's default.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) is_user: bool,
    #[serde(default)]
    pub(super) is_system: bool,
    #[serde(default)]
    send_date: Value,
    pub(super) mes: String,
    #[serde(default)]
    extra: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swipe_id: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swipes: Option<Vec<String>>,
}

/// The line of a message; `None` if it is gone.
pub(super) fn message(
    connection: &Connection,
    id: MessageId,
    names: &Names,
) -> Result<Option<Message>, StoreError> {
    let Some(stored) = rows::any_message(connection, id)? else { return Ok(None) };
    let is_user = stored.said.role == Role::User;
    let otherwise = if is_user { &names.user } else { &names.character };
    let mut message = Message {
        name: stored.said.speaker.clone().or_else(|| Some(otherwise.clone())),
        is_user,
        is_system: stored.forgotten,
        send_date: timestamp(stored.said_at).into(),
        mes: shown(&stored),
        extra: Value::Object(Map::new()),
        swipe_id: None,
        swipes: None,
    };
    if !is_user && !stored.forgotten {
        let mut siblings = rows::siblings(connection, &stored)?;
        siblings.retain(|it| it.said.role == Role::Assistant && !it.forgotten);
        message.swipe_id = siblings.iter().position(|it| it.id == stored.id);
        message.swipes = Some(siblings.iter().map(shown).collect());
    }
    Ok(Some(message))
}

/// The text without the name that stands beside it anyway.
fn shown(stored: &Stored) -> String {
    let text = stored.told();
    let speaker = stored.said.speaker.as_deref().unwrap_or_default();
    let rest = text.strip_prefix(speaker).and_then(|rest| rest.strip_prefix(": "));
    rest.filter(|_| !speaker.is_empty()).unwrap_or(text).to_owned()
}

impl Message {
    /// All answers of this line, and which of them is shown; none of a line that isn't shown.
    pub(super) fn answers(&self) -> (Vec<&str>, usize) {
        let mut texts: Vec<&str> = Vec::new();
        if self.is_system || self.mes.trim().is_empty() {
            return (texts, 0);
        }
        if !self.is_user {
            let swipes = self.swipes.iter().flatten().map(String::as_str);
            texts.extend(swipes.filter(|swipe| !swipe.trim().is_empty()));
        }
        let chosen = self.swipe_id.filter(|at| texts.get(*at) == Some(&self.mes.as_str()));
        let chosen = chosen.or_else(|| texts.iter().position(|text| *text == self.mes));
        let chosen = chosen.unwrap_or_else(|| {
            texts.push(&self.mes);
            texts.len() - 1
        });
        (texts, chosen)
    }

    /// When it was said, in milliseconds since 1970, if that can be read.
    pub(super) fn said_at(&self) -> Option<i64> {
        match &self.send_date {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok().or_else(|| said_at(text.trim())),
            _ => None,
        }
    }
}

/// `2026-01-02T03:04:05.678Z`, `January 2, 2026 3:04am`, `2026-01-02@03h04m05s`, and
/// `2026-1-2 @03h 04m 05s 678ms`: the ways of several versions. Without a zone, UTC is taken.
fn said_at(text: &str) -> Option<i64> {
    let in_words = || DateTime::strptime("%B %d, %Y %I:%M%p", text).ok();
    let in_utc = |time: DateTime| {
        time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp().as_millisecond())
    };
    let time = milliseconds(text);
    time.or_else(|| in_words().or_else(|| from_numbers(text)).and_then(in_utc))
}

fn from_numbers(text: &str) -> Option<DateTime> {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|it| !it.is_empty());
    let numbers: Vec<i16> = numbers.map(|it| it.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day, rest @ ..] = numbers.as_slice() else { return None };
    let small = |at: usize| i8::try_from(rest.get(at).copied().unwrap_or(0)).ok();
    let nanoseconds = i32::from(rest.get(3).copied().unwrap_or(0)).checked_mul(1_000_000)?;
    let (month, day) = (i8::try_from(*month).ok()?, i8::try_from(*day).ok()?);
    DateTime::new(*year, month, day, small(0)?, small(1)?, small(2)?, nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(value: Value) -> Message {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn dates_of_all_versions_are_read() {
        let expected = milliseconds("2026-01-02T15:04:05Z");
        let minute = milliseconds("2026-01-02T15:04:00Z");
        let read = |date: Value| line(json!({ "mes": "x", "send_date": date })).said_at();
        assert_eq!(read("2026-01-02T15:04:05.000Z".into()), expected);
        assert_eq!(read("2026-01-02@15h04m05s".into()), expected);
        assert_eq!(read("2026-1-2 @15h 04m 05s 0ms".into()), expected);
        assert_eq!(read("January 2, 2026 3:04pm".into()), minute);
        assert_eq!(read(json!(expected)), expected);
        assert_eq!(read(json!(expected.unwrap().to_string())), expected);
        for nonsense in [json!("soon"), json!(null), json!("9999-99-99@1h1m1s"), json!([1])] {
            assert_eq!(read(nonsense), None);
        }
    }

    #[test]
    fn swipes_are_other_answers_and_the_one_shown_is_chosen() {
        let swiped = line(json!({ "mes": "b", "swipes": ["a", "b", "b", ""], "swipe_id": 2 }));
        assert_eq!(swiped.answers(), (vec!["a", "b", "b"], 2));
        let edited = line(json!({ "mes": "c", "swipes": ["a", "b"], "swipe_id": 1 }));
        assert_eq!(edited.answers(), (vec!["a", "b", "c"], 2));
        let wild = line(json!({ "mes": "a", "swipes": ["a"], "swipe_id": 900 }));
        assert_eq!(wild.answers(), (vec!["a"], 0));
        let said = line(json!({ "mes": "c", "is_user": true, "swipes": ["a"] }));
        assert_eq!(said.answers(), (vec!["c"], 0));
        let hidden = line(json!({ "mes": "c", "is_system": true }));
        assert_eq!(hidden.answers(), (Vec::new(), 0));
    }
}
