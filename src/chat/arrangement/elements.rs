//! A turn in the terms of `context`: what could stand in the prompt, and how much each of it matters.

use super::counted::other_system_messages;
use super::lore::Stands;
use super::{Draft, Recalled};
use crate::chat::recollection::{Speaker, fact_line, recollection};
use crate::chat::words::FeelingText;
use crate::chat::{ChatError, ChatService};
use crate::context::{Element, ElementKind, KeepEnd, Layer, Priority, Short};
use crate::distil::Distilled;
use crate::emotion::Feeling;
use crate::engine::Role;
use crate::tokens::{TokenCount, TokenCounter};

/// Above it, an element must be in.
pub(super) const HIGH: f64 = 0.8;
const MUST_BE_IN: f64 = 1.0;
const HISTORY: f64 = 0.75;
const LORE: f64 = 0.7;
const MEMORY: f64 = 0.6;
const SUMMARY: f64 = 0.5;
pub(super) const LINE_END: TokenCount = TokenCount::new(1);

pub(super) const PERSONA: &str = "persona";
pub(super) const STANDING: &str = "standing";
const FEELING: &str = "feeling";
pub(super) const BEGINNING: &str = "beginning";

impl Draft {
    pub(super) fn elements(
        &self,
        service: &ChatService,
        recalled: &Recalled,
        feeling: Option<&Feeling>,
        short: Option<Distilled>,
    ) -> Result<Vec<Element>, ChatError> {
        let mut list = Elements { counter: &*self.counter, elements: Vec::new() };
        self.add_system(&mut list, short);
        self.add_memory(service, &mut list, recalled, feeling)?;
        self.add_lore(&mut list);
        let newest = self.turns.last().map(|turn| turn.depth);
        for turn in self.turns.iter().filter(|turn| turn.depth >= self.first) {
            let priority = if Some(turn.depth) == newest { MUST_BE_IN } else { HISTORY };
            let id = format!("message-{}", turn.depth);
            let (text, layer) = (turn.text().to_owned(), Layer::RecentStory);
            let element = list.put(id, ElementKind::Turn, layer, priority, text, turn.tokens);
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
            let (text, tokens) = (persona.text.clone(), persona.tokens + self.per_message);
            let element = list.put(PERSONA.into(), kind, Layer::System, priority, text, tokens);
            element.type_name = "persona".into();
            element.short = short.map(|short| Short {
                tokens: short.tokens + self.per_message,
                text: short.text,
                account: short.account,
            });
        }
        if let Some((text, tokens)) = &self.standing {
            let layer = Layer::System;
            let element = list.put(STANDING.into(), kind, layer, MUST_BE_IN, text.clone(), *tokens);
            element.type_name = STANDING.into();
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

    /// What is always active goes with the persona, what comes and goes with memory.
    fn add_lore(&self, list: &mut Elements<'_>) {
        for entry in &self.lore.entries {
            let layer = match entry.stands {
                Stands::BeforePersona | Stands::AfterPersona => Layer::System,
                Stands::InMind | Stands::AtDepth(..) => Layer::PlotAndWorld,
            };
            let (id, text) = (entry.id.clone(), entry.text.clone());
            let element = list.add(id, ElementKind::World, layer, LORE, text);
            if entry.stands != Stands::InMind {
                element.tokens += self.per_message;
            }
            element.type_name = format!("lore: {}", entry.why);
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
        for (rank, known) in self.known.iter().enumerate() {
            // In the order of importance.
            let priority = MEMORY + 0.1 - rank as f64 * 1e-4;
            let (id, text) = (known.id.clone(), fact_line(&known.text));
            list.add(id, ElementKind::Memory, layer, priority, text).type_name = known.kind.into();
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
}

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
        let tokens = self.counter.count(&text) + LINE_END;
        self.put(id, kind, layer, priority, text, tokens)
    }

    /// One that is counted already.
    fn put(
        &mut self,
        id: String,
        kind: ElementKind,
        layer: Layer,
        priority: f64,
        text: String,
        tokens: TokenCount,
    ) -> &mut Element {
        let (position, priority) = (self.elements.len(), Priority::new(priority));
        self.elements.push(Element {
            priority,
            tokens,
            ..Element::new(id, kind, layer, text, position)
        });
        &mut self.elements[position]
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => Speaker::USER,
        Role::Assistant => "assistant",
    }
}
