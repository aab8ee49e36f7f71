//! A whole persona from a card, and a card from a persona.
//!
//! A card's own system prompt stands before what the server makes of its description, or around it
//! where `{{original}}` stands. What this server alone knows lies in `extensions.rhapsode`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::file::tree;
use super::{Card, CardError, CardFile, CardFormat};
use crate::persona::lorebook::Lorebook;
use crate::persona::{DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE, Persona, key};
use crate::prompts::Prompts;

/// Stands for what the server would say by itself.
const ORIGINAL: &str = "{{original}}";
const ROLE: &str = "character";
const MOST_TAGS: usize = 100;

/// The card's persona and what of the card can't be used. Without a key its name makes one.
pub(in super::super) fn persona(
    file: &CardFile,
    key: Option<String>,
    prompts: &Prompts,
) -> Result<(Persona, Vec<String>), CardError> {
    let content = file.content()?;
    let tree = tree(&content.json)?;
    let card = clean(&Card::read(&tree)?)?;
    let mut fields = Fields {
        data: tree.get("data").and_then(Value::as_object).unwrap_or(&tree),
        card: &card,
        warnings: content.warnings,
    };
    let original = card.persona(prompts)?;
    let system_prompt = match fields.text("system_prompt") {
        None => original,
        Some(own) if own.contains(ORIGINAL) => own.replace(ORIGINAL, &original),
        Some(own) if has_only_a_name(&card) => own,
        Some(own) => format!("{own}\n\n{original}"),
    };
    let after_history = fields.text("post_history_instructions");
    let after_history = after_history.map(|text| text.replace(ORIGINAL, "").trim().to_owned());
    let (temperature, max_tokens) = (fields.temperature(), fields.max_tokens());
    let persona = Persona {
        key: key.unwrap_or_else(|| key::of_name(&card.name)),
        name: card.name.clone(),
        role: fields.ours("role").and_then(Value::as_str).unwrap_or(ROLE).to_owned(),
        system_prompt,
        temperature,
        max_tokens,
        tags: fields.tags(),
        greeting: fields.text("first_mes"),
        after_history: after_history.filter(|text| !text.is_empty()),
        book: fields.book(&tree),
    };
    Ok((persona, fields.warnings))
}

fn has_only_a_name(card: &Card) -> bool {
    let texts = [&card.description, &card.personality, &card.scenario, &card.examples];
    texts.into_iter().all(String::is_empty)
}

/// A card's fields that are not the persona's text. A fault in one is a warning.
struct Fields<'a> {
    data: &'a Map<String, Value>,
    card: &'a Card,
    warnings: Vec<String>,
}

impl<'a> Fields<'a> {
    /// A text with the placeholders replaced; `None` where it is blank.
    fn text(&mut self, name: &str) -> Option<String> {
        match self.data.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => {
                let text = self.card.with_names(clean_text(text).trim());
                (!text.is_empty()).then_some(text)
            }
            Some(_) => {
                self.warn(name, "is no text and is ignored");
                None
            }
        }
    }

    fn warn(&mut self, name: &str, fault: &str) {
        self.warnings.push(format!("{name} {fault}"));
    }

    fn ours(&self, name: &str) -> Option<&'a Value> {
        self.data.get("extensions")?.get("rhapsode")?.get(name)
    }

    fn temperature(&mut self) -> f32 {
        let Some(value) = self.ours("temperature") else { return DEFAULT_TEMPERATURE };
        match value.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it lies between 0 and 2")]
            Some(number) if (0.0..=2.0).contains(&number) => number as f32,
            _ => {
                self.warn("extensions.rhapsode.temperature", "is not from 0 to 2 and is ignored");
                DEFAULT_TEMPERATURE
            }
        }
    }

    fn max_tokens(&mut self) -> u32 {
        let Some(value) = self.ours("max_tokens") else { return DEFAULT_MAX_TOKENS };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| *number > 0).unwrap_or_else(|| {
            self.warn("extensions.rhapsode.max_tokens", "is not 1 or more and is ignored");
            DEFAULT_MAX_TOKENS
        })
    }

    fn tags(&mut self) -> Vec<String> {
        match self.data.get("tags") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(tags)) => {
                let texts = tags.iter().filter_map(Value::as_str).map(clean_text);
                let texts = texts.map(|tag| tag.trim().to_owned());
                texts.filter(|tag| !tag.is_empty()).take(MOST_TAGS).collect()
            }
            Some(_) => {
                self.warn("tags", "is no list and is ignored");
                Vec::new()
            }
        }
    }

    fn book(&mut self, card: &Map<String, Value>) -> Option<Arc<Lorebook>> {
        let (book, warnings) = Lorebook::of_card(&Value::Object(card.clone()));
        self.warnings.extend(warnings);
        (!book.is_empty()).then(|| Arc::new(book))
    }
}

fn clean(card: &Card) -> Result<Card, CardError> {
    let name = clean_text(&card.name).replace(['\n', '\t'], " ");
    if name.trim().is_empty() {
        return Err(CardError::Field { path: vec!["name"], fault: "has no letter in it" });
    }
    Ok(Card {
        name: name.trim().to_owned(),
        description: clean_text(&card.description),
        personality: clean_text(&card.personality),
        scenario: clean_text(&card.scenario),
        examples: clean_text(&card.examples),
    })
}

/// Without characters that no text needs, such as NUL.
pub(in super::super) fn clean_text(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    text.chars().filter(|it| !it.is_control() || matches!(it, '\n' | '\t')).collect()
}

/// A V2 card of a persona that has none.
pub(in super::super) fn of_persona(persona: &Persona) -> CardFile {
    let card = json!({
        "spec": "chara_card_v2",
        "spec_version": "2.0",
        "data": {
            "name": persona.name,
            "description": "",
            "personality": "",
            "scenario": "",
            "first_mes": persona.greeting.as_deref().unwrap_or_default(),
            "mes_example": "",
            "creator_notes": "",
            "system_prompt": persona.system_prompt,
            "post_history_instructions": persona.after_history.as_deref().unwrap_or_default(),
            "alternate_greetings": [],
            "tags": persona.tags,
            "creator": "",
            "character_version": "",
            "extensions": { "rhapsode": {
                "role": persona.role,
                "temperature": shortest(persona.temperature),
                "max_tokens": persona.max_tokens,
            } },
        },
    });
    CardFile { format: CardFormat::Json, bytes: format!("{card:#}\n").into_bytes() }
}

/// 0.7, not 0.699999988079071.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}
