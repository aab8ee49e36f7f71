//! What of a talk goes into the prompt, and in which order. The decision itself is `context`'s; here a
//! talk is put into its terms, and its answer into messages. Blocking: texts are counted.

mod counted;
mod elements;
mod lore;
mod prompt;

use std::sync::Arc;

use self::counted::{other_system_messages, persona, template_tokens, turns};
use self::elements::{HIGH, LINE_END};
use self::lore::InPlay;
use super::room::{Room, first_in_prompt, first_of};
use super::transcript::Transcript;
use super::{ChatError, ChatService, Known, TurnRequest};
use crate::context::{
    self, Agent, AllocationMode, Assembly, ContextError, Filter, OverflowStrategy, Priority, Rules,
};
use crate::distil::Distilled;
use crate::emotion::Feeling;
use crate::engine::{EngineError, Generation, Message};
use crate::memory::{Place, Recalled};
use crate::tokens::{TokenCount, TokenCounter};

/// How often a prompt that came out too long is assembled anew with less room.
const ATTEMPTS: usize = 4;
/// Share of memory's room that facts and the mood take when nothing is recalled.
const FOR_MOOD: f64 = 0.3;
/// What a persona's neighbourhood takes: headings of blocks.
const HEADINGS: TokenCount = TokenCount::new(48);

/// A turn, counted, before anything came to mind.
pub(super) struct Draft {
    transcript: Arc<Transcript>,
    counter: Arc<dyn TokenCounter>,
    room: Room,
    persona: Option<Persona>,
    /// How the speaker is to treat the user, and its tokens as a message.
    standing: Option<(String, TokenCount)>,
    known: Vec<Known>,
    lore: InPlay,
    /// Messages of the path in order, those that the client didn't send first.
    turns: Vec<Turn>,
    /// Position on the path of the first message in the prompt.
    first: usize,
    per_message: TokenCount,
}

pub(super) struct Persona {
    pub(super) text: String,
    pub(super) tokens: TokenCount,
    /// Whether it is the client's first message.
    is_sent: bool,
}

struct Turn {
    depth: usize,
    message: Message,
    /// The message's, and those of the calls of tools that stay with it.
    tokens: TokenCount,
    /// Where it stands among what the client sent.
    sent_at: Option<usize>,
}

impl Turn {
    /// What it is as an element, which must not be empty.
    fn text(&self) -> &str {
        let is_wordless = self.message.content.is_empty() && self.message.wire.is_some();
        if is_wordless { "…" } else { &self.message.content }
    }
}

/// What the other steps of a turn found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) recalled: Recalled,
    pub(super) feeling: Option<Feeling>,
    pub(super) persona: Option<Distilled>,
    pub(super) notes: Vec<String>,
}

/// A prompt that fits.
pub(super) struct Arranged {
    pub(super) messages: Vec<Message>,
    pub(super) assembly: Assembly,
    pub(super) room: Room,
    pub(super) agent: Agent,
    pub(super) tokenizer: String,
    pub(super) notes: Vec<String>,
}

impl Draft {
    pub(super) fn new(
        service: &ChatService,
        transcript: Arc<Transcript>,
        place: Option<&Place>,
        request: &TurnRequest,
    ) -> Result<Self, ChatError> {
        let missing = || EngineError::Unavailable("TOKENIZER=model, but no model is loaded".into());
        let counter = service.tokenizers.counter().ok_or_else(missing)?;
        let (bare, per_message) = template_tokens(&*service.engine)?;
        let window = service.engine.status().window.unwrap_or(service.settings.window);
        let fixed = bare + per_message.scaled(2.0) + HEADINGS;
        let mut room = Room::new(window, request.max_tokens, fixed, service.settings.shares);
        let persona = persona(&transcript, place, &*counter);
        let mut turns = turns(&transcript, place, &*counter, per_message);
        let lore = request.beside.lore.as_ref().map_or_else(InPlay::default, |lore| {
            let timers = place.and_then(|place| place.lore_timers.as_deref());
            InPlay::new(lore, timers, &turns, window.get(), &*counter)
        });
        if let Some(most) = request.beside.most_messages {
            let first = turns.last().map_or(0, |newest| first_of(newest.depth + 1, most));
            turns.retain(|turn| turn.depth >= first);
        }
        let system: TokenCount = other_system_messages(&transcript, persona.as_ref())
            .map(|(_, text)| counter.count(text) + per_message)
            .chain(lore.beside_persona().map(|entry| counter.count(&entry.text) + per_message))
            .sum();
        let standing = request.beside.standing.clone().map(|text| {
            let tokens = counter.count(&text) + per_message + LINE_END;
            (text, tokens)
        });
        let system = system + standing.as_ref().map_or(TokenCount::ZERO, |(_, tokens)| *tokens);
        let of_persona = persona.as_ref().map_or(TokenCount::ZERO, |it| it.tokens + per_message);
        room.lend_to_system((of_persona + system).min(room.most_for_persona()));
        let known = request.beside.known.clone();
        let mut draft = Self {
            transcript,
            counter,
            room,
            persona,
            standing,
            known,
            lore,
            turns,
            first: 0,
            per_message,
        };
        draft.first = draft.first(of_persona + system);
        Ok(draft)
    }

    /// Where nothing is older than the prompt, nothing needs to be recalled, and history has its room.
    fn first(&self, system: TokenCount) -> usize {
        let Some(oldest) = self.turns.first().map(|turn| turn.depth) else { return 0 };
        let sizes: Vec<TokenCount> = self.turns.iter().map(|turn| turn.tokens).collect();
        let system = system.min(self.room.most_for_persona());
        let whole: TokenCount = sizes.iter().copied().sum();
        let reserve = self.room.memory.scaled(FOR_MOOD);
        if oldest == 0 && whole <= self.room.for_history(system, reserve) {
            return 0;
        }
        let room = self.room.for_history(system, self.room.memory);
        first_in_prompt(&sizes, oldest, room)
    }

    /// Position on the path of the first message that is going to be in the prompt.
    pub(super) fn first_in_prompt(&self) -> usize {
        self.first
    }

    /// What of the lorebook lasts into the next turn.
    pub(super) fn lore_timers(&self) -> Option<String> {
        self.lore.timers.clone()
    }

    /// The persona and the tokens it may take, where those are fewer than it has.
    pub(super) fn persona_to_shorten(&self) -> Option<(&Persona, TokenCount)> {
        let standing = self.standing.as_ref().map_or(TokenCount::ZERO, |(_, tokens)| *tokens);
        let most = self.room.most_for_persona() - standing;
        self.persona.as_ref().filter(|persona| persona.tokens > most).map(|it| (it, most))
    }

    /// Assembles the prompt and hands it to the engine, which alone knows how long it really is: one
    /// that came out too long is taken back, and assembled with less room.
    pub(super) fn arrange(
        &self,
        service: &ChatService,
        found: Found,
        submit: impl Fn(Vec<Message>) -> Result<Generation, EngineError>,
    ) -> Result<(Arranged, Generation), ChatError> {
        let Found { recalled, feeling, persona, mut notes } = found;
        let elements = self.elements(service, &recalled, feeling.as_ref(), persona)?;
        self.note_what_is_left_out(&recalled, &mut notes);
        let budget = self.room.window - self.room.reserved_for_answer;
        let mut available = self.room.available();
        for _ in 0..ATTEMPTS {
            let rules = self.rules(available);
            let assembly = context::assemble(&elements, &rules, &*self.counter);
            let assembly = assembly.map_err(|error| self.too_large(error))?;
            let messages = self.messages(service, &assembly, &recalled)?;
            let tokens = match submit(messages.clone()) {
                Ok(generation) if generation.prompt_tokens <= budget => {
                    let arranged = Arranged {
                        messages,
                        assembly,
                        room: self.room,
                        agent: Agent::Character,
                        tokenizer: self.counter.name().to_owned(),
                        notes,
                    };
                    return Ok((arranged, generation));
                }
                Ok(generation) => generation.prompt_tokens,
                Err(EngineError::PromptTooLong { prompt, .. }) => prompt,
                Err(error) => return Err(error.into()),
            };
            let share = budget.get() as f64 / tokens.get().max(1) as f64;
            available = available.min(assembly.tokens()).scaled(share * 0.98);
            notes.push(format!(
                "the prompt came to {tokens} tokens, {} more than there is room for; assembled again",
                tokens - budget
            ));
        }
        Err(ChatError::TooLarge { fixed: budget, window: self.room.window })
    }

    fn too_large(&self, error: ContextError) -> ChatError {
        match error {
            ContextError::HighPriorityTooLarge { needed, .. } => {
                ChatError::TooLarge { fixed: needed + self.room.fixed, window: self.room.window }
            }
            other => other.into(),
        }
    }

    fn rules(&self, available: TokenCount) -> Rules {
        Rules {
            agent: Agent::Character,
            company: Vec::new(),
            phase: None,
            filter: Filter::default(),
            budgets: self.room.budgets(),
            available,
            allocation: AllocationMode::Dynamic,
            overflow: OverflowStrategy::Reallocate,
            high_priority: Priority::new(HIGH),
            lowest_priority: Priority::new(0.0),
            prefer_recent: true,
            may_shorten: true,
        }
    }

    fn note_what_is_left_out(&self, recalled: &Recalled, notes: &mut Vec<String>) {
        if self.transcript.has_stray_calls() {
            notes.push("results of tools before anything that was said are left out".into());
        }
        let left_out = self.lore.left_out.iter();
        notes.extend(left_out.map(|(id, why)| format!("lore-{id} is left out: {why}")));
        if self.first == 0 {
            return;
        }
        let told: usize =
            recalled.summaries.iter().map(|it| it.last_depth + 1 - it.first_depth).sum();
        notes.push(format!(
            "the first {} messages of the talk don't fit; summaries tell {told} of them, recall looks through all",
            self.first
        ));
    }
}
