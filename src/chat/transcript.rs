//! A client's messages, read as a talk: who the character is, what was said, and what the client puts
//! in between (lore, author's notes, instructions).

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::{Message, Role};
use crate::memory::{self, Said};

/// A message as a client sends it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub role: Role,
    pub name: Option<String>,
    pub content: String,
    /// The message as it came, where it holds more than text.
    pub wire: Option<Arc<Value>>,
}

impl Sent {
    /// Whether it calls tools, or tells what came of it: part of the prompt, and nothing said.
    fn is_call(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| {
            let calls = wire.get("tool_calls").is_some_and(|calls| !calls.is_null());
            calls || wire["role"] == "tool" || wire["role"] == "function"
        })
    }

    /// What is remembered of it. A picture alone has no words.
    fn said(&self, role: memory::Role) -> Said {
        let has_words = !self.content.trim().is_empty() || self.wire.is_none();
        let text = if has_words { &self.content } else { WORDLESS };
        Said::new(role, self.name.clone(), text.to_owned())
    }

    pub(super) fn message(&self) -> Message {
        Message {
            wire: self.wire.clone(),
            name: self.name.clone(),
            ..Message::new(self.role, self.content.clone())
        }
    }
}

/// What stands for a message without words.
const WORDLESS: &str = "[something without words]";
/// Names that are told apart, the newest speakers' first.
const MOST_PARTICIPANTS: usize = 200;

/// The client's messages, and what they are to the talk.
#[derive(Clone, Debug)]
pub(super) struct Transcript {
    pub(super) sent: Vec<Sent>,
    /// What was said, and where it stands among the messages.
    said: Vec<Said>,
    places: Vec<usize>,
    /// Whether the last message is the beginning of the answer.
    goes_on: bool,
}

impl Transcript {
    pub(super) fn new(sent: Vec<Sent>) -> Self {
        let mut said = Vec::new();
        let mut places = Vec::new();
        for (place, message) in sent.iter().enumerate() {
            let role = match message.role {
                Role::System => continue,
                _ if message.is_call() => continue,
                Role::User => memory::Role::User,
                Role::Assistant => memory::Role::Assistant,
            };
            said.push(message.said(role));
            places.push(place);
        }
        let somebody_asked = said.iter().any(|said| said.role == memory::Role::User);
        // A character's message with an instruction after it is answered by another character.
        let goes_on = somebody_asked
            && sent.last().is_some_and(|last| last.role == Role::Assistant && !last.is_call());
        Self { sent, said, places, goes_on }
    }

    /// What was said up to the message that is to be answered; nothing if no user has spoken.
    pub(super) fn history(&self) -> &[Said] {
        if !self.said.iter().any(|said| said.role == memory::Role::User) {
            return &[];
        }
        &self.said[..self.said.len() - usize::from(self.goes_on)]
    }

    /// The first system message.
    pub(super) fn persona(&self) -> Option<&str> {
        let first = self.sent.first().filter(|first| first.role == Role::System)?;
        Some(first.content.as_str()).filter(|text| !text.trim().is_empty())
    }

    /// The message that is to be answered.
    pub(super) fn newest(&self) -> Option<&Said> {
        self.history().last()
    }

    /// The beginning of the answer, where the client wants it continued.
    pub(super) fn beginning(&self) -> Option<&Said> {
        self.said.last().filter(|_| self.goes_on)
    }

    /// The position among what was said of the message in this place.
    pub(super) fn said_at(&self, place: usize) -> Option<usize> {
        self.places.binary_search(&place).ok()
    }

    /// The places right after this one that hold calls of tools and what came of them. They stay with
    /// what was said before: a model refuses results of calls that it can't see.
    pub(super) fn calls_after(&self, place: usize) -> Range<usize> {
        let after = self.sent[place + 1..].iter();
        place + 1..place + 1 + after.take_while(|sent| sent.is_call()).count()
    }

    /// Whether there are calls, or results of some, before anything that was said.
    pub(super) fn has_stray_calls(&self) -> bool {
        let first = self.places.first().copied().unwrap_or(self.sent.len());
        self.sent[..first].iter().any(Sent::is_call)
    }

    /// Names of those who speak.
    pub(super) fn participants(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for said in self.said.iter().rev() {
            names.extend(said.speaker.as_ref());
            if names.len() == MOST_PARTICIPANTS {
                break;
            }
        }
        names.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use Role::{Assistant, System, User};

    fn transcript(messages: &[(Role, &str)]) -> Transcript {
        let sent = messages.iter().map(|(role, text)| Sent {
            role: *role,
            name: None,
            content: (*text).to_owned(),
            wire: None,
        });
        Transcript::new(sent.collect())
    }

    #[test]
    fn system_messages_are_not_part_of_what_was_said() {
        let talk = transcript(&[
            (System, "You are Aria."),
            (Assistant, "Welcome."),
            (System, "[It is night.]"),
            (User, "Hello."),
            (System, "[Be brief.]"),
        ]);
        assert_eq!(talk.persona(), Some("You are Aria."));
        let texts: Vec<_> = talk.history().iter().map(|said| said.text.as_str()).collect();
        assert_eq!(texts, ["Welcome.", "Hello."]);
        assert_eq!((talk.said_at(1), talk.said_at(2), talk.said_at(3)), (Some(0), None, Some(1)));
        assert!(talk.beginning().is_none());
    }

    #[test]
    fn an_answer_at_the_end_is_continued() {
        let talk = transcript(&[(User, "Hello."), (Assistant, "Aria: Good")]);
        assert_eq!(talk.beginning().unwrap().text, "Aria: Good");
        assert_eq!(talk.history().len(), 1);
        assert_eq!(talk.participants(), ["Aria"]);
    }

    #[test]
    fn in_a_group_the_next_character_answers_the_one_before() {
        let talk = transcript(&[(User, "Hi."), (Assistant, "Aria: Hi."), (System, "[Now Bo.]")]);
        assert!(talk.beginning().is_none());
        assert_eq!(talk.newest().unwrap().text, "Aria: Hi.");
    }

    #[test]
    fn calls_of_tools_stay_with_what_was_said_before() {
        let wire = |role, text: &str, wire: Value| Sent {
            role,
            name: None,
            content: text.to_owned(),
            wire: Some(Arc::new(wire)),
        };
        let said = |role, text: &str| Sent { wire: None, ..wire(role, text, Value::Null) };
        let talk = Transcript::new(vec![
            said(User, "What is the weather?"),
            wire(Assistant, "", json!({ "role": "assistant", "tool_calls": [{ "id": "1" }] })),
            wire(User, "{\"rain\": true}", json!({ "role": "tool", "tool_call_id": "1" })),
        ]);
        assert_eq!(talk.newest().unwrap().text, "What is the weather?");
        assert_eq!((talk.calls_after(0), talk.said_at(2)), (1..3, None));
        assert!(talk.beginning().is_none() && !talk.has_stray_calls());
        let picture =
            wire(User, "", json!({ "role": "user", "content": [{ "type": "image_url" }] }));
        assert_eq!(Transcript::new(vec![picture]).newest().unwrap().text, WORDLESS);
    }

    #[test]
    fn where_no_user_has_spoken_there_is_no_talk() {
        assert!(
            transcript(&[(System, "You are Aria."), (Assistant, "Welcome.")]).history().is_empty()
        );
        assert!(transcript(&[]).history().is_empty());
    }
}
