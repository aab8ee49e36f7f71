//! What of a talk goes into the prompt, and in which order. The decision itself is `context`'s; here a
//! talk is put into its terms, and its answer into messages. Blocking: texts are counted.

use std::collections::HashMap;
use std::sync::Arc;

use super::recollection::{Speaker, fact_line, recollection};
use super::room::{Room, first_in_prompt};
use super::transcript::Transcript;
use super::words::{FeelingText, MemoryBlock, SummaryBlock};
use super::{ChatError, ChatService};
use crate::context::{
    self, Agent, AllocationMode, Assembly, Audience, ContextError, Element, ElementKind, Filter,
    KeepEnd, Layer, OverflowStrategy, Priority, Rules, Short,
};
use crate::distil::Distilled;
use crate::emotion::Feeling;
use crate::engine::{Engine, EngineError, Message, Role};
use crate::memory::{self, Place, Recalled};
use crate::tokens::{TokenCount, TokenCounter};

/// How often a prompt that came out too long is assembled anew with less room.
const ATTEMPTS: usize = 4;
/// Above it, an element must be in.
const HIGH: f64 = 0.8;
const MUST_BE_IN: f64 = 1.0;
const HISTORY: f64 = 0.75;
const LORE: f64 = 0.7;
const MEMORY: f64 = 0.6;
const SUMMARY: f64 = 0.5;
/// What a persona's neighbourhood takes: headings of blocks.
const HEADINGS: TokenCount = TokenCount::new(48);
const LINE_END: TokenCount = TokenCount::new(1);

const PERSONA: &str = "persona";
const FEELING: &str = "feeling";
const BEGINNING: &str = "beginning";

/// A turn, counted, before anything came to mind.
pub(super) struct Draft {
    transcript: Arc<Transcript>,
    counter: Arc<dyn TokenCounter>,
    room: Room,
    persona: Option<Persona>,
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
    tokens: TokenCount,
    /// Where it stands among what the client sent.
    sent_at: Option<usize>,
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
        max_tokens: TokenCount,
    ) -> Result<Self, ChatError> {
        let missing = || EngineError::Unavailable("TOKENIZER=model, but no model is loaded".into());
        let counter = service.tokenizers.counter().ok_or_else(missing)?;
        let (bare, per_message) = template_tokens(&*service.engine)?;
        let window = service.engine.status().window.unwrap_or(service.settings.window);
        let fixed = bare + per_message.scaled(2.0) + HEADINGS;
        let mut room = Room::new(window, max_tokens, fixed, service.settings.shares);
        let persona = persona(&transcript, place, &*counter);
        let turns = turns(&transcript, place, &*counter, per_message);
        let lore: TokenCount = other_system_messages(&transcript, persona.as_ref())
            .map(|(_, text)| counter.count(text) + per_message)
            .sum();
        let of_persona = persona.as_ref().map_or(TokenCount::ZERO, |it| it.tokens + per_message);
        room.lend_to_system((of_persona + lore).min(room.most_for_persona()));
        let mut draft = Self { transcript, counter, room, persona, turns, first: 0, per_message };
        draft.first = draft.first(of_persona + lore);
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

    /// The persona and the tokens it may take, where those are fewer than it has.
    pub(super) fn persona_to_shorten(&self) -> Option<(&Persona, TokenCount)> {
        let most = self.room.most_for_persona();
        self.persona.as_ref().filter(|persona| persona.tokens > most).map(|it| (it, most))
    }

    pub(super) fn arrange(
        &self,
        service: &ChatService,
        found: Found,
    ) -> Result<Arranged, ChatError> {
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
            let tokens = service.engine.prompt_tokens(&messages)?;
            if tokens <= budget {
                return Ok(Arranged {
                    messages,
                    assembly,
                    room: self.room,
                    agent: Agent::Character,
                    tokenizer: self.counter.name().to_owned(),
                    notes,
                });
            }
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

    fn elements(
        &self,
        service: &ChatService,
        recalled: &Recalled,
        feeling: Option<&Feeling>,
        short: Option<Distilled>,
    ) -> Result<Vec<Element>, ChatError> {
        let mut list = Elements { counter: &*self.counter, elements: Vec::new() };
        self.add_system(&mut list, short);
        self.add_memory(service, &mut list, recalled, feeling)?;
        let newest = self.turns.last().map(|turn| turn.depth);
        for turn in self.turns.iter().filter(|turn| turn.depth >= self.first) {
            let priority = if Some(turn.depth) == newest { MUST_BE_IN } else { HISTORY };
            let id = format!("message-{}", turn.depth);
            let text = turn.message.content.clone();
            let element = list.add(id, ElementKind::Turn, Layer::RecentStory, priority, text);
            element.tokens = turn.tokens;
            element.keep_end = KeepEnd::End;
            role_name(turn.message.role).clone_into(&mut element.type_name);
        }
        if let Some(beginning) = self.transcript.beginning() {
            let text = beginning.text.clone();
            let kind = ElementKind::Turn;
            list.add(BEGINNING.into(), kind, Layer::RecentStory, MUST_BE_IN, text);
        }
        Ok(list.elements)
    }

    fn add_system(&self, list: &mut Elements<'_>, short: Option<Distilled>) {
        let kind = ElementKind::SystemInstruction;
        if let Some(persona) = &self.persona {
            // A persona that is told shorter must leave room to choose; the shorter one then fits.
            let priority = if short.is_some() { HIGH } else { MUST_BE_IN };
            let element =
                list.add(PERSONA.into(), kind, Layer::System, priority, persona.text.clone());
            element.tokens = persona.tokens + self.per_message;
            element.type_name = "persona".into();
            element.short = short.map(|short| Short {
                tokens: short.tokens + self.per_message,
                text: short.text,
                account: short.account,
            });
        }
        let after_the_newest = self.transcript.sent.len().saturating_sub(1);
        for (place, text) in other_system_messages(&self.transcript, self.persona.as_ref()) {
            // Instructions after the last message are what the client wants most.
            let priority = if place == after_the_newest { MUST_BE_IN } else { LORE };
            let id = format!("system-{place}");
            let element = list.add(id, kind, Layer::System, priority, text.to_owned());
            element.tokens += self.per_message;
            element.type_name = "system".into();
        }
    }

    fn add_memory(
        &self,
        service: &ChatService,
        list: &mut Elements<'_>,
        recalled: &Recalled,
        feeling: Option<&Feeling>,
    ) -> Result<(), ChatError> {
        let now = service.clock.now().as_millisecond();
        let (layer, prompts) = (Layer::PlotAndWorld, &service.prompts);
        for fact in &recalled.facts {
            let id = format!("fact-{}", fact.id);
            list.add(id, ElementKind::Memory, layer, MEMORY + 0.1, fact_line(&fact.text));
        }
        for pinned in recalled.pinned.iter().filter(|it| it.depth < self.first) {
            let text = recollection(prompts, pinned, now)?;
            let id = format!("pinned-{}", pinned.id.0);
            list.add(id, ElementKind::Memory, layer, MEMORY + 0.1, text).type_name =
                "pinned".into();
        }
        for piece in &recalled.persona {
            let id = format!("persona-piece-{}", list.elements.len());
            list.add(id, ElementKind::Memory, layer, MEMORY + 0.05, fact_line(piece)).type_name =
                "persona".into();
        }
        for (rank, memory) in recalled.memories.iter().enumerate() {
            let text = recollection(prompts, &memory.stored, now)?;
            let id = format!("memory-{}", memory.stored.id.0);
            // In the order of relevance.
            let priority = MEMORY - rank as f64 * 1e-3;
            list.add(id, ElementKind::Memory, layer, priority, text).type_name = "recalled".into();
        }
        // The newest summaries matter most.
        for summary in &recalled.summaries {
            let id = format!("summary-{}", summary.id);
            let text = summary.text.clone();
            let element = list.add(id, ElementKind::Summary, layer, SUMMARY, text);
            element.type_name = format!("messages {}–{}", summary.first_depth, summary.last_depth);
            element.keep_end = KeepEnd::End;
        }
        let is_told = |id| recalled.memories.iter().any(|it| it.stored.id == id);
        let moments = recalled.moments.iter().filter(|it| !is_told(it.id) && it.depth < self.first);
        let moments: Result<Vec<_>, _> =
            moments.map(|stored| recollection(prompts, stored, now)).collect();
        if let Some(text) = feeling.map(|it| FeelingText::of(it, moments.unwrap_or_default())) {
            let text = text.map(|text| prompts.render(&text)).transpose()?;
            if let Some(text) = text {
                list.add(FEELING.into(), ElementKind::Feeling, layer, MEMORY + 0.15, text);
            }
        }
        Ok(())
    }

    /// The prompt: the client's messages in their order, as far as they are placed, and the server's
    /// own blocks between them.
    fn messages(
        &self,
        service: &ChatService,
        assembly: &Assembly,
        recalled: &Recalled,
    ) -> Result<Vec<Message>, ChatError> {
        let placed: HashMap<&str, &str> =
            assembly.placed.iter().map(|it| (it.id.as_str(), it.text.as_str())).collect();
        let sent = &self.transcript.sent;
        let is_said = |place: &usize| self.transcript.said_at(*place).is_some();
        let first_said = (0..sent.len()).find(is_said).unwrap_or(sent.len());
        let newest = self.turns.last().and_then(|turn| turn.sent_at);
        let mut messages = Vec::new();
        if let Some(persona) = self.persona.as_ref().filter(|persona| !persona.is_sent) {
            let text = placed.get(PERSONA).copied().unwrap_or(&persona.text);
            messages.push(Message::system(text));
        }
        for (place, message) in sent.iter().enumerate() {
            if place == first_said {
                messages.extend(summaries(service, &placed, recalled)?);
                messages.extend(self.not_sent(&placed));
            }
            if Some(place) == newest {
                messages.extend(memories(service, assembly)?);
            }
            let id = self.id_of(place);
            let Some(text) = placed.get(id.as_str()) else { continue };
            let mut message = message.message();
            if *text != message.content {
                message = Message { content: (*text).to_owned(), wire: None, ..message };
            }
            messages.push(message);
        }
        Ok(messages)
    }

    /// The element that a message of the client's became.
    fn id_of(&self, place: usize) -> String {
        if let Some(turn) = self.turns.iter().find(|turn| turn.sent_at == Some(place)) {
            return format!("message-{}", turn.depth);
        }
        if self.transcript.said_at(place).is_some() {
            return BEGINNING.to_owned();
        }
        match &self.persona {
            Some(persona) if persona.is_sent && place == 0 => PERSONA.to_owned(),
            _ => format!("system-{place}"),
        }
    }

    fn not_sent(&self, placed: &HashMap<&str, &str>) -> Vec<Message> {
        let turns = self.turns.iter().filter(|turn| turn.sent_at.is_none());
        turns
            .filter_map(|turn| {
                let text = placed.get(format!("message-{}", turn.depth).as_str())?;
                Some(Message { content: (*text).to_owned(), ..turn.message.clone() })
            })
            .collect()
    }
}

/// What no longer fits, told shorter.
fn summaries(
    service: &ChatService,
    placed: &HashMap<&str, &str>,
    recalled: &Recalled,
) -> Result<Option<Message>, ChatError> {
    let summaries = recalled.summaries.iter();
    let summaries: Vec<String> = summaries
        .filter_map(|it| placed.get(format!("summary-{}", it.id).as_str()))
        .map(|text| (*text).to_owned())
        .collect();
    if summaries.is_empty() {
        return Ok(None);
    }
    let block = service.prompts.render(&SummaryBlock { summaries })?;
    Ok(Some(Message::system(block.trim_end())))
}

/// What came to mind.
fn memories(service: &ChatService, assembly: &Assembly) -> Result<Option<Message>, ChatError> {
    let lines = |wanted: &dyn Fn(&str) -> bool| {
        let is_wanted = |it: &context::Placed| it.kind == ElementKind::Memory && wanted(&it.id);
        assembly.texts(is_wanted).iter().map(|text| text.trim_end().to_owned()).collect()
    };
    let is_recalled = |id: &str| id.starts_with("memory-");
    let block = MemoryBlock {
        facts: lines(&|id| !is_recalled(id)),
        memories: lines(&is_recalled),
        feeling: assembly
            .texts(|it| it.kind == ElementKind::Feeling)
            .pop()
            .map(|text| text.trim_end().to_owned()),
    };
    if block.is_empty() {
        return Ok(None);
    }
    Ok(Some(Message::system(service.prompts.render(&block)?.trim_end())))
}

/// Share of memory's room that facts and the mood take when nothing is recalled.
const FOR_MOOD: f64 = 0.3;

struct Elements<'a> {
    counter: &'a dyn TokenCounter,
    elements: Vec<Element>,
}

impl Elements<'_> {
    fn add(
        &mut self,
        id: String,
        kind: ElementKind,
        layer: Layer,
        priority: f64,
        text: String,
    ) -> &mut Element {
        let position = self.elements.len();
        let tokens = self.counter.count(&text) + LINE_END;
        self.elements.push(Element {
            id,
            kind,
            layer,
            audience: Audience::EVERYBODY,
            priority: Priority::new(priority),
            text,
            tokens,
            position,
            keep_end: KeepEnd::Start,
            type_name: String::new(),
            tags: Vec::new(),
            character_id: None,
            phases: Vec::new(),
            concealed: false,
            shortens_to: None,
            short: None,
            told_by: None,
            tells_others: false,
        });
        &mut self.elements[position]
    }
}

fn persona(
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

fn other_system_messages<'a>(
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

fn turns(
    transcript: &Transcript,
    place: Option<&Place>,
    counter: &dyn TokenCounter,
    per_message: TokenCount,
) -> Vec<Turn> {
    let turn = |depth, message: Message, sent_at| {
        let tokens = counter.count(&message.content) + per_message + LINE_END;
        Turn { depth, message, tokens, sent_at }
    };
    let earlier = place.map_or(&[][..], |place| &place.earlier);
    let mut turns: Vec<Turn> = earlier
        .iter()
        .filter(|stored| !stored.forgotten)
        .map(|stored| {
            let role = match stored.said.role {
                memory::Role::User => Role::User,
                memory::Role::Assistant => Role::Assistant,
            };
            turn(stored.depth, Message::new(role, stored.told()), None)
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

/// What the chat template adds: to the whole, and for each message.
fn template_tokens(engine: &dyn Engine) -> Result<(TokenCount, TokenCount), ChatError> {
    let opening = [Message::system("."), Message::user(".")];
    let exchange = [Message::assistant("."), Message::user(".")];
    let bare = engine.prompt_tokens(&opening)?;
    let longer = engine.prompt_tokens(&[opening, exchange].concat())?;
    Ok((bare, (longer - bare).scaled(0.5)))
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => Speaker::USER,
        Role::Assistant => "assistant",
    }
}
