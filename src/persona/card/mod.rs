//! Character cards: V1, whose fields stand at the top, and V2 and V3, whose fields stand under `data`
//! (<https://github.com/malfoyslastname/character-card-spec-v2>,
//! <https://github.com/kwaroran/character-card-spec-v3>). This file makes the persona's text of one;
//! `file` knows the files they come in, `speaker` makes a whole persona.
//!
//! The crate `chara_card` is not used: it drops what it doesn't know in `extensions`, where SillyTavern
//! keeps sticky, cooldown and depth, refuses negative orders, and packs nothing.

mod charx;
mod error;
mod file;
mod png;
mod speaker;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::error::CardError;
pub use self::file::{CardFile, CardFormat};
pub(super) use self::speaker::{clean_text, of_persona, persona};
use crate::prompts::{Prompt, PromptError, Prompts};

/// What a persona takes from a card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// By which the character is called; a nickname, if the card has one.
    pub name: String,
    pub description: String,
    pub personality: String,
    pub scenario: String,
    /// Example messages.
    pub examples: String,
}

/// What is wrong with a card, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFault {
    /// Keys from the card on.
    pub path: Vec<&'static str>,
    pub fault: &'static str,
}

/// The words that make a persona of a card.
#[derive(Clone, Debug, Serialize)]
pub struct PersonaText {
    name: String,
    description: String,
    personality: String,
    scenario: String,
    examples: String,
}

/// What stands for the character and the user, whatever the case of its letters.
const PLACEHOLDERS: [&str; 5] = ["{{char}}", "<char>", "<bot>", "{{user}}", "<user>"];
/// What the placeholder of the user becomes.
const USER: &str = "User";
/// Begins each example.
const START: &str = "<START>";

impl Card {
    pub fn read(card: &Map<String, Value>) -> Result<Self, CardFault> {
        let (prefix, fields) = match card.get("data") {
            Some(Value::Object(data)) => (&["data"][..], data),
            Some(_) => return Err(CardFault { path: vec!["data"], fault: "must be an object" }),
            None => (&[][..], card),
        };
        let text = |name: &'static str| match fields.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.trim().to_owned()),
            Some(_) => {
                let path = prefix.iter().copied().chain([name]).collect();
                Err(CardFault { path, fault: "must be a text" })
            }
        };
        let (name, nickname) = (text("name")?, text("nickname")?);
        if name.is_empty() {
            let path = prefix.iter().copied().chain(["name"]).collect();
            return Err(CardFault { path, fault: "is required: the character's name" });
        }
        Ok(Self {
            name: if nickname.is_empty() { name } else { nickname },
            description: text("description")?,
            personality: text("personality")?,
            scenario: text("scenario")?,
            examples: text("mes_example")?,
        })
    }

    /// The persona's text.
    pub fn persona(&self, prompts: &Prompts) -> Result<String, PromptError> {
        let examples = self.examples.split(START).map(str::trim).filter(|it| !it.is_empty());
        let examples = examples.collect::<Vec<_>>().join("\n\n");
        let text = PersonaText {
            name: self.name.clone(),
            description: self.with_names(&self.description),
            personality: self.with_names(&self.personality),
            scenario: self.with_names(&self.scenario),
            examples: self.with_names(&examples),
        };
        Ok(prompts.render(&text)?.trim().to_owned())
    }

    /// The placeholders replaced, in one pass: what a name holds is no placeholder.
    pub(super) fn with_names(&self, text: &str) -> String {
        with_names(text, &self.name, USER)
    }
}

/// The placeholders of character and user replaced, in one pass.
pub(super) fn with_names(text: &str, character: &str, user: &str) -> String {
    static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        // Five short words always make one.
        AhoCorasick::builder().ascii_case_insensitive(true).build(PLACEHOLDERS).ok()
    });
    AUTOMATON.as_ref().map_or_else(
        || text.to_owned(),
        |automaton| automaton.replace_all(text, &[character, character, character, user, user]),
    )
}

impl Prompt for PersonaText {
    const FILE: &'static str = "chat/card.j2";

    fn sample() -> Self {
        Self {
            name: "Aria".into(),
            description: "Keeper of the lighthouse on Gull Rock.".into(),
            personality: "patient, dry".into(),
            scenario: "A stormy night.".into(),
            examples: "User: Who lit the lamp?\nAria: I did.".into(),
        }
    }
}
