//! A client's messages, read as a talk: who the character is, what was said, and what the client puts
//! in between (lore, author's notes, instructions).

use std::collections::BTreeSet;
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
    pub(super) fn message(&self) -> Message {
        Message {
            wire: self.wire.clone(),
            name: self.name.clone(),
            ..Message::new(self.role, self.content.clone())
        }
    }
}

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
                Role::User => memory::Role::User,
                Role::Assistant => memory::Role::Assistant,
            };
            said.push(Said::new(role, message.name.clone(), message.content.clone()));
            places.push(place);
        }
        let somebody_asked = said.iter().any(|said| said.role == memory::Role::User);
        // A character's message with an instruction after it is answered by another character.
        let goes_on =
            somebody_asked && sent.last().is_some_and(|last| last.role == Role::Assistant);
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

    /// Names of those who speak.
    pub(super) fn participants(&self) -> Vec<String> {
        let names: BTreeSet<&String> =
            self.said.iter().filter_map(|said| said.speaker.as_ref()).collect();
        names.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
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
    fn where_no_user_has_spoken_there_is_no_talk() {
        assert!(
            transcript(&[(System, "You are Aria."), (Assistant, "Welcome.")]).history().is_empty()
        );
        assert!(transcript(&[]).history().is_empty());
    }
}
