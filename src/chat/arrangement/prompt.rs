//! The prompt: what was placed, as messages in their order.

use std::collections::HashMap;

use super::elements::{BEGINNING, PERSONA};
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
            let turn = self.turn_at(place);
            let Some(text) = placed.get(self.id_of(place, turn).as_str()) else { continue };
            let mut message = message.message();
            if *text != turn.map_or(message.content.as_str(), Turn::text) {
                message = Message { content: (*text).to_owned(), wire: None, ..message };
            }
            messages.push(message);
            if turn.is_some() {
                let calls = self.transcript.calls_after(place);
                messages.extend(sent[calls].iter().map(Sent::message));
            }
        }
        Ok(messages)
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
