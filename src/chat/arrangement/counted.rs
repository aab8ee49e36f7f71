//! What of a talk could stand in the prompt, counted.

use super::elements::LINE_END;
use super::{Persona, Turn};
use crate::chat::ChatError;
use crate::chat::transcript::Transcript;
use crate::engine::{Engine, Message, Role};
use crate::memory::{self, Place};
use crate::tokens::{TokenCount, TokenCounter};

/// What models take for a picture of usual size.
const PICTURE: TokenCount = TokenCount::new(1_000);

pub(super) fn persona(
    transcript: &Transcript,
    place: Option<&Place>,
    counter: &dyn TokenCounter,
) -> Option<Persona> {
    let stored = place.and_then(|place| place.persona.as_deref());
    let by_hand = place.is_some_and(|place| place.persona_is_set);
    let clients = transcript.persona();
    let (text, is_sent) = match (clients, stored) {
        (Some(clients), _) if !by_hand => (clients, true),
        (_, Some(stored)) => (stored, false),
        (Some(clients), None) => (clients, true),
        (None, None) => return None,
    };
    Some(Persona { text: text.to_owned(), tokens: counter.count(text), is_sent })
}

pub(super) fn other_system_messages<'a>(
    transcript: &'a Transcript,
    persona: Option<&Persona>,
) -> impl Iterator<Item = (usize, &'a str)> {
    let is_sent = persona.is_some_and(|persona| persona.is_sent);
    transcript
        .sent
        .iter()
        .enumerate()
        .skip(usize::from(is_sent))
        .filter(|(_, message)| message.role == Role::System)
        .map(|(place, message)| (place, message.content.as_str()))
}

pub(super) fn turns(
    transcript: &Transcript,
    place: Option<&Place>,
    counter: &dyn TokenCounter,
    per_message: TokenCount,
) -> Vec<Turn> {
    let count = |message: &Message| {
        counter.count(&message.content) + of_wire(message, counter) + per_message + LINE_END
    };
    let turn = |depth, message: Message, sent_at: Option<usize>| {
        let calls = sent_at.map_or(0..0, |place| transcript.calls_after(place));
        let of_calls = transcript.sent[calls].iter().map(|sent| count(&sent.message()));
        let tokens = count(&message) + of_calls.sum();
        Turn { depth, message, tokens, sent_at }
    };
    let earlier = place.map_or(&[][..], |place| &place.earlier);
    let mut turns: Vec<Turn> = earlier
        .iter()
        .map(|stored| {
            let role = match stored.said.role {
                memory::Role::User => Role::User,
                memory::Role::Assistant => Role::Assistant,
            };
            // What is forgotten keeps its place, so that positions follow each other.
            let told = if stored.forgotten { "" } else { stored.told() };
            turn(stored.depth, Message::new(role, told), None)
        })
        .collect();
    let history = transcript.history().len();
    for (at, message) in transcript.sent.iter().enumerate() {
        let Some(said) = transcript.said_at(at) else { continue };
        // The last one may be the beginning of the answer; without a question, all are.
        if said < history {
            let depth = place.map_or(said, |place| place.depth_of(said));
            turns.push(turn(depth, message.message(), Some(at)));
        } else if transcript.beginning().is_none() {
            turns.push(turn(said, message.message(), Some(at)));
        }
    }
    turns
}

/// What a message holds beside its text: calls by their length, pictures and the like by a guess.
fn of_wire(message: &Message, counter: &dyn TokenCounter) -> TokenCount {
    let Some(wire) = &message.wire else { return TokenCount::ZERO };
    let calls = wire.get("tool_calls").filter(|calls| !calls.is_null());
    let of_calls = calls.map_or(TokenCount::ZERO, |calls| counter.count(&calls.to_string()));
    let parts = wire["content"].as_array().into_iter().flatten();
    let pictures = parts.filter(|part| part["text"].as_str().is_none()).count();
    of_calls + PICTURE.scaled(pictures as f64)
}

/// What the chat template adds: to the whole, and for each message.
pub(super) fn template_tokens(engine: &dyn Engine) -> Result<(TokenCount, TokenCount), ChatError> {
    let opening = [Message::system("."), Message::user(".")];
    let exchange = [Message::assistant("."), Message::user(".")];
    let bare = engine.prompt_tokens(&opening)?;
    let longer = engine.prompt_tokens(&[opening, exchange].concat())?;
    Ok((bare, (longer - bare).scaled(0.5)))
}
