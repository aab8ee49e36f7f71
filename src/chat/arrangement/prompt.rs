//! The prompt: what was placed, as messages in their order.

use std::collections::{BTreeMap, HashMap};

use super::elements::{BEGINNING, PERSONA, STANDING};
use super::lore::Stands;
use super::{Draft, Recalled, Turn};
use crate::chat::transcript::Sent;
use crate::chat::words::{MemoryBlock, SummaryBlock};
use crate::chat::{ChatError, ChatService};
use crate::context::{self, Assembly, ElementKind};
use crate::engine::Message;

impl Draft {
    /// The prompt: the client's messages in their order, as far as they are placed, and the server's
    /// own blocks between them.
    pub(super) fn messages(
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
        let text_of = |id: &str| placed.get(id).map(|text| (*text).to_owned());
        let newest_depth = self.turns.last().map_or(0, |turn| turn.depth);
        let mut at_depth = self.lore.by_depth(self.first_placed(), newest_depth, &text_of);
        let mut messages = self.lore_beside(Stands::BeforePersona, &text_of);
        if let Some(persona) = self.persona.as_ref().filter(|persona| !persona.is_sent) {
            let text = placed.get(PERSONA).copied().unwrap_or(&persona.text);
            messages.push(Message::system(text));
        }
        if self.persona.as_ref().is_none_or(|persona| !persona.is_sent) {
            messages.extend(self.after_persona(&text_of));
        }
        for (place, message) in sent.iter().enumerate() {
            if place == first_said {
                messages.extend(summaries(service, &placed, recalled)?);
                messages.extend(self.not_sent(&placed, &mut at_depth));
            }
            if Some(place) == newest {
                messages.extend(self.memories(service, assembly, &text_of)?);
            }
            let turn = self.turn_at(place);
            messages.extend(turn.and_then(|turn| at_depth.remove(&turn.depth)).unwrap_or_default());
            let id = self.id_of(place, turn);
            let Some(text) = placed.get(id.as_str()) else { continue };
            let mut message = message.message();
            if *text != turn.map_or(message.content.as_str(), Turn::text) {
                message = Message { content: (*text).to_owned(), wire: None, ..message };
            }
            messages.push(message);
            if turn.is_some() {
                let calls = self.transcript.calls_after(place);
                messages.extend(sent[calls].iter().map(Sent::message));
            }
            if turn.is_some_and(|turn| turn.depth == newest_depth) {
                // Before instructions that follow the newest message.
                messages.extend(at_depth.remove(&(newest_depth + 1)).unwrap_or_default());
            }
            if id == PERSONA {
                messages.extend(self.after_persona(&text_of));
            }
        }
        messages.extend(at_depth.into_values().flatten());
        Ok(messages)
    }

    /// Position on the path of the first message that there is room for.
    fn first_placed(&self) -> usize {
        self.turns.first().map_or(0, |turn| turn.depth.max(self.first))
    }

    /// What is always told beside the persona.
    fn after_persona(&self, text_of: &dyn Fn(&str) -> Option<String>) -> Vec<Message> {
        let mut messages = self.lore_beside(Stands::AfterPersona, text_of);
        messages.extend(text_of(STANDING).map(Message::system));
        messages
    }

    fn lore_beside(
        &self,
        stands: Stands,
        text_of: &dyn Fn(&str) -> Option<String>,
    ) -> Vec<Message> {
        let entries = self.lore.standing(stands);
        entries.filter_map(|entry| text_of(&entry.id).map(Message::system)).collect()
    }

    /// The turn that the message in this place is.
    fn turn_at(&self, place: usize) -> Option<&Turn> {
        // Those that were sent stand last, in their order.
        let at = self.turns.binary_search_by_key(&Some(place), |turn| turn.sent_at).ok()?;
        self.turns.get(at)
    }

    /// The element that a message of the client's became.
    fn id_of(&self, place: usize, turn: Option<&Turn>) -> String {
        if let Some(turn) = turn {
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

    fn not_sent(
        &self,
        placed: &HashMap<&str, &str>,
        at_depth: &mut BTreeMap<usize, Vec<Message>>,
    ) -> Vec<Message> {
        let mut messages = Vec::new();
        for turn in self.turns.iter().filter(|turn| turn.sent_at.is_none()) {
            messages.extend(at_depth.remove(&turn.depth).unwrap_or_default());
            if let Some(text) = placed.get(format!("message-{}", turn.depth).as_str()) {
                messages.push(Message { content: (*text).to_owned(), ..turn.message.clone() });
            }
        }
        messages
    }

    /// What came to mind.
    fn memories(
        &self,
        service: &ChatService,
        assembly: &Assembly,
        text_of: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Message>, ChatError> {
        let lines = |wanted: &dyn Fn(&str) -> bool| {
            let is_wanted = |it: &context::Placed| it.kind == ElementKind::Memory && wanted(&it.id);
            assembly.texts(is_wanted).iter().map(|text| text.trim_end().to_owned()).collect()
        };
        let is_recalled = |id: &str| id.starts_with("memory-");
        let lore = self.lore.standing(Stands::InMind);
        let block = MemoryBlock {
            lore: lore.filter_map(|entry| text_of(&entry.id)).collect(),
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
