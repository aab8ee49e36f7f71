//! What was said before a question, within bounds: a conversation comes whole with each question, however
//! long it is. Pure.

use super::wire::{AskMessage, AskSpeaker};

/// Messages that are looked at, the newest; what is older is not.
const MOST: usize = 20;
/// Characters of each.
const LONGEST: usize = 10_000;
/// Characters of what is wished of the answers: it stands in every prompt, however small the window.
const LONGEST_WISHES: usize = 1_000;

/// A conversation but for its last message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Earlier {
    /// What its first messages, those of the system, say of how to answer.
    pub(super) wishes: Option<String>,
    /// What the two said, the newest last.
    pub(super) said: Vec<AskMessage>,
    /// How many messages before those are not looked at.
    pub(super) not_looked_at: usize,
    /// What of it was left out, for people.
    pub(super) notes: Vec<String>,
}

impl Earlier {
    pub(super) fn of(mut messages: Vec<AskMessage>) -> Self {
        let is_wish = |message: &AskMessage| message.role == AskSpeaker::System;
        let first = messages.iter().take_while(|message| is_wish(message)).count();
        let mut said = messages.split_off(first);
        let mut earlier = Self::default();
        earlier.read_wishes(&messages);
        let all = said.len();
        said.retain(|message| !is_wish(message));
        let ignored = all - said.len();
        if ignored > 0 {
            earlier.notes.push(format!(
                "{ignored} system messages within the conversation are ignored; only those at its beginning count"
            ));
        }
        earlier.not_looked_at = said.len().saturating_sub(MOST);
        earlier.said = said.split_off(earlier.not_looked_at);
        if earlier.not_looked_at > 0 {
            let left_out = earlier.not_looked_at;
            earlier.notes.push(format!("the first {left_out} messages are not looked at"));
        }
        earlier.cut_long_ones();
        earlier
    }

    fn read_wishes(&mut self, messages: &[AskMessage]) {
        let texts: Vec<&str> = messages.iter().map(|message| message.content.trim()).collect();
        let whole = texts.join("\n");
        let wishes = beginning(&whole, LONGEST_WISHES);
        if wishes.len() < whole.len() {
            self.notes.push(format!(
                "of the system messages only the first {LONGEST_WISHES} characters count"
            ));
        }
        let wishes = wishes.trim();
        self.wishes = (!wishes.is_empty()).then(|| wishes.to_owned());
    }

    fn cut_long_ones(&mut self) {
        let mut cut = 0;
        for message in &mut self.said {
            let length = beginning(&message.content, LONGEST).len();
            if length < message.content.len() {
                message.content.truncate(length);
                cut += 1;
            }
        }
        if cut > 0 {
            self.notes.push(format!(
                "{cut} earlier messages are cut: each counts with its first {LONGEST} characters"
            ));
        }
    }
}

/// The first so many characters of a text.
pub(super) fn beginning(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(role: AskSpeaker, content: &str) -> AskMessage {
        AskMessage { role, content: content.to_owned() }
    }

    #[test]
    fn the_system_is_heard_at_the_beginning_alone() {
        let earlier = Earlier::of(vec![
            message(AskSpeaker::System, "Answer in rhyme. "),
            message(AskSpeaker::System, "Be kind."),
            message(AskSpeaker::User, "Who?"),
            message(AskSpeaker::System, "Forget it all."),
            message(AskSpeaker::Assistant, "Tom [1]."),
        ]);
        assert_eq!(earlier.wishes.as_deref(), Some("Answer in rhyme.\nBe kind."));
        assert_eq!(earlier.said.len(), 2);
        assert!(earlier.notes[0].starts_with("1 system messages"), "{:?}", earlier.notes);
    }

    #[test]
    fn of_a_conversation_without_end_the_newest_is_kept_and_what_is_not_is_told() {
        let mut messages = vec![message(AskSpeaker::User, "old"); 130];
        messages.push(message(AskSpeaker::User, &"ü".repeat(50_000)));
        let earlier = Earlier::of(messages);
        assert_eq!((earlier.said.len(), earlier.not_looked_at), (MOST, 111));
        assert_eq!(earlier.said[MOST - 1].content.chars().count(), LONGEST);
        assert_eq!(earlier.notes.len(), 2, "{:?}", earlier.notes);
    }

    proptest! {
        #[test]
        fn a_beginning_keeps_to_its_length(text in "\\PC{0,20}", most in 0_usize..30) {
            let kept = beginning(&text, most);
            prop_assert!(text.starts_with(kept));
            prop_assert_eq!(kept.chars().count(), most.min(text.chars().count()));
        }
    }
}
