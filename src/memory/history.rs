//! A conversation as clients send it, and the hashes by which it is recognised. Pure.
//!
//! Only what user and characters said counts: the system messages around it change from turn to turn
//! (lore, author's notes), and are the client's own business.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    User,
    Assistant,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    pub(super) fn named(name: &str) -> Self {
        if name == "user" { Self::User } else { Self::Assistant }
    }
}

/// One message of a talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub role: Role,
    /// The speaker's name, where the client tells one.
    pub speaker: Option<String>,
    pub text: String,
}

impl Said {
    /// Reads the speaker off a beginning such as `Aria: `, if the client didn't name one; the text
    /// stays as it is.
    pub fn new(role: Role, speaker: Option<String>, text: String) -> Self {
        let speaker = speaker.or_else(|| prefix(&text).map(ToOwned::to_owned));
        Self { role, speaker, text }
    }
}

/// 128 bits of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Hash([u8; 16]);

impl Hash {
    /// What the path before the first message counts as.
    pub(super) const START: Self = Self([0; 16]);

    /// Of a message alone. Blanks at its ends and the width of those within don't count, nor does a
    /// speaker's name before it: clients add and remove them.
    pub(super) fn of(said: &Said) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(said.role.name());
        let words =
            prefix(&said.text).map_or(said.text.as_str(), |name| &said.text[name.len() + 1..]);
        for word in words.split_whitespace() {
            hasher.update([0]);
            hasher.update(word);
        }
        Self::ended(hasher)
    }

    /// Of a path that goes on with this message: `self` is the path before it.
    #[must_use]
    pub(super) fn then(self, own: Self) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(own.0);
        Self::ended(hasher)
    }

    fn ended(hasher: Sha256) -> Self {
        let whole = hasher.finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        Self(half)
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut own = [0; 16];
        let length = bytes.len().min(own.len());
        own[..length].copy_from_slice(&bytes[..length]);
        Self(own)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The longest name that is taken for one.
const LONGEST_NAME: usize = 40;
/// The most words that a name has.
const MOST_WORDS: usize = 4;

/// `Aria` of `Aria: Come in.`
pub(super) fn prefix(text: &str) -> Option<&str> {
    let (name, rest) = text.split_once(':')?;
    let begins_like_a_name = name.chars().next().is_some_and(char::is_uppercase);
    let is_name = begins_like_a_name
        && name.len() <= LONGEST_NAME
        && rest.starts_with(' ')
        && name.split(' ').count() <= MOST_WORDS
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '\'' | '-' | '.' | '_'));
    is_name.then_some(name)
}

/// Where a history meets a path that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meeting {
    /// Position on the path of the history's first message.
    pub(super) from: usize,
    /// Messages that agree from there on.
    pub(super) length: usize,
}

/// The place where most of the history agrees with the path, from its first message on; of several,
/// the latest. A history that doesn't begin where the path does was trimmed by the client's window.
pub(super) fn meet(path: &[Hash], history: &[Hash]) -> Option<Meeting> {
    let agreeing = agreements(path, history);
    let best = agreeing.iter().enumerate().max_by_key(|(_, length)| **length);
    best.filter(|(_, length)| **length > 0).map(|(from, &length)| Meeting { from, length })
}

/// For each position of the path, how much of the history's beginning stands there. Linear, by the Z
/// algorithm (Gusfield, *Algorithms on Strings, Trees and Sequences*, 1.3), so that a talk that
/// repeats itself takes no longer.
fn agreements(path: &[Hash], history: &[Hash]) -> Vec<usize> {
    let both: Vec<Option<&Hash>> =
        history.iter().map(Some).chain([None]).chain(path.iter().map(Some)).collect();
    let mut lengths = vec![0; both.len()];
    let (mut left, mut right) = (0, 0);
    for at in 1..both.len() {
        let mut length = if at < right { lengths[at - left].min(right - at) } else { 0 };
        while at + length < both.len()
            && both[length].is_some()
            && both[length] == both[at + length]
        {
            length += 1;
        }
        if at + length > right {
            (left, right) = (at, at + length);
        }
        lengths[at] = length;
    }
    lengths.split_off(history.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Hash {
        Hash::of(&Said::new(Role::User, None, text.to_owned()))
    }

    fn hashes(texts: &str) -> Vec<Hash> {
        texts.split(' ').map(hash).collect()
    }

    #[test]
    fn names_and_blanks_around_a_message_do_not_change_it() {
        assert_eq!(hash("Come  in.\n"), hash("Come in."));
        assert_eq!(hash("Aria: Come in."), hash("Come in."));
        assert_ne!(hash("Come in!"), hash("Come in."));
        assert_ne!(hash("Comein."), hash("Come in."));
        let said = |role| Hash::of(&Said::new(role, None, "Come in.".to_owned()));
        assert_ne!(said(Role::User), said(Role::Assistant));
    }

    #[test]
    fn a_speaker_is_read_off_the_text_and_a_sentence_is_not() {
        assert_eq!(prefix("Captain Vane: Come in."), Some("Captain Vane"));
        for text in ["What I mean is this: run.", "12:30 it was", "http://x", "note: run", ""] {
            assert_eq!(prefix(text), None, "{text}");
        }
    }

    #[test]
    fn a_history_meets_its_path_wherever_it_was_trimmed() {
        let path = hashes("a b c d e");
        assert_eq!(meet(&path, &hashes("a b c x")), Some(Meeting { from: 0, length: 3 }));
        assert_eq!(meet(&path, &hashes("d e f")), Some(Meeting { from: 3, length: 2 }));
        assert_eq!(meet(&path, &hashes("x y")), None);
        assert_eq!(meet(&hashes("a b a b"), &hashes("a b")), Some(Meeting { from: 2, length: 2 }));
    }

    #[test]
    fn paths_that_differ_anywhere_have_different_hashes() {
        let chain = |texts: &str| hashes(texts).into_iter().fold(Hash::START, Hash::then);
        assert_eq!(chain("a b"), chain("a b"));
        assert_ne!(chain("a b"), chain("b a"));
        assert_ne!(chain("a b"), chain("x b"));
    }
}
