//! What the model is shown: instruction, what was said before, sources and question as elements of
//! `context`, told shorter where they don't fit, packed into the live window, and accounted for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::inquiry::Inquiry;
use super::sources::Source;
use super::wire::{AskMessage, AskSpeaker};
use super::{AskError, AskingService, blocking};
use crate::agents::archivist::{ArchivistPrompt, QuestionPrompt};
use crate::context::{
    self, Agent, Assembly, Attempt, Element, ElementKind, Filter, Fitting, KeepEnd, Layer, Outcome,
    OverflowStrategy, Priority, PromptReport, Receipt, Rules, Short, Window,
};
use crate::distil::{Distilled, Source as Text, Strategy, Urgency};
use crate::engine::{
    ClientId, EngineError, GenerateRequest, Generation, Message, Role, milliseconds,
};
use crate::telemetry;
use crate::tokens::{TokenCount, TokenCounter};

/// Above it, an element must be in.
const HIGH: f64 = 0.8;
const MUST_BE_IN: f64 = 1.0;
/// Passages that were found; the best is this much, each further one a little less.
const PASSAGE: f64 = 0.7;
/// Whole documents: what they have beyond the passages matters less.
const DOCUMENT: f64 = 0.6;
const TURN: f64 = 0.5;
/// What is shorter isn't told shorter.
const WORTH_SHORTENING: TokenCount = TokenCount::new(64);
/// The line's end after an element.
const LINE_END: TokenCount = TokenCount::new(1);
const INSTRUCTION: &str = "instruction";
const QUESTION: &str = "question";
const PASSAGES: &str = "archive_passage";
const DOCUMENTS: &str = "archive_document";

/// A question with all that may be shown for it.
pub(super) struct Draft {
    service: Arc<AskingService>,
    client: ClientId,
    inquiry: Inquiry,
    sources: Vec<Source>,
    elements: Vec<Element>,
    /// For each element, what it is.
    parts: Vec<Part>,
    counter: Arc<dyn TokenCounter>,
    window: Window,
    notes: Vec<String>,
    to_shorten: Vec<usize>,
    started: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Instruction,
    /// Position among the messages before.
    Turn(usize),
    /// Position among the sources.
    Source(usize),
    Question,
}

/// A question in the engine's queue.
pub(super) struct Queued {
    pub(super) generation: Generation,
    pub(super) receipt: Receipt,
    pub(super) processing_time_ms: f64,
    /// The sources in the prompt, as far as they are in it.
    pub(super) shown: Vec<Source>,
}

impl Draft {
    /// Blocking: texts are counted.
    pub(super) fn new(
        service: Arc<AskingService>,
        client: ClientId,
        inquiry: Inquiry,
        sources: Vec<Source>,
    ) -> Result<Self, AskError> {
        let missing = || EngineError::Unavailable("TOKENIZER=model, but no model is loaded".into());
        let counter = service.tokenizers.counter().ok_or_else(missing)?;
        let mut draft = Self {
            service,
            client,
            inquiry,
            sources,
            elements: Vec::new(),
            parts: Vec::new(),
            counter,
            window: Window::default(),
            notes: Vec::new(),
            to_shorten: Vec::new(),
            started: Instant::now(),
        };
        let per_message = draft.measure()?;
        draft.collect(per_message)?;
        draft.notes.clone_from(&draft.inquiry.earlier.notes);
        let room = draft.window.room();
        let plan = context::plan(&draft.elements, &draft.rules(room), &*draft.counter)?;
        let gathered = plan.gather.iter().flat_map(|gathering| &gathering.members);
        draft.to_shorten = plan.shorten.iter().chain(gathered).copied().collect();
        Ok(draft)
    }

    /// How many elements have to be told shorter.
    pub(super) fn to_shorten(&self) -> usize {
        self.to_shorten.len()
    }

    /// Measures the window; what one more message takes of it.
    fn measure(&mut self) -> Result<TokenCount, AskError> {
        let (engine, settings) = (&self.service.engine, &self.service.settings);
        let tokens = engine.status().window.unwrap_or(settings.most_prompt_tokens);
        let wanted = TokenCount::from(self.inquiry.options.max_tokens);
        let question = Message::user(self.question(vec![String::new()], String::new())?);
        let bare = [Message::system(""), question.clone()];
        let fixed = engine.prompt_tokens(&bare)?;
        self.window = Window::new(tokens, wanted, settings.most_prompt_tokens, fixed)?;
        let turns = [Message::system(""), Message::user(""), Message::assistant(""), question];
        Ok((engine.prompt_tokens(&turns)? - fixed).scaled(0.5))
    }

    fn collect(&mut self, per_message: TokenCount) -> Result<(), AskError> {
        let wishes = self.inquiry.earlier.wishes.clone();
        let instruction = self.service.prompts.render(&ArchivistPrompt { wishes })?;
        let instruction = instruction.trim_end().to_owned();
        let kind = ElementKind::SystemInstruction;
        self.add(Part::Instruction, INSTRUCTION.into(), kind, Layer::System, instruction);
        for at in 0..self.sources.len() {
            let text = self.sources[at].rendered(&self.service.prompts)?;
            let (id, is_document) = (self.sources[at].id(), self.sources[at].is_document);
            let kind = ElementKind::Passage;
            let element = self.add(Part::Source(at), id, kind, Layer::PlotAndWorld, text);
            let best = if is_document { DOCUMENT } else { PASSAGE };
            element.priority =
                Priority::new(best - f64::from(u8::try_from(at).unwrap_or(u8::MAX)) * 1e-3);
            let type_name = if is_document { DOCUMENTS } else { PASSAGES };
            type_name.clone_into(&mut element.type_name);
            if is_document && element.tokens > WORTH_SHORTENING {
                element.shortens_to = Some(Strategy::PlotSummary.ratio());
            }
        }
        for at in 0..self.inquiry.earlier.said.len() {
            let AskMessage { role, content } = self.inquiry.earlier.said[at].clone();
            let id = format!("message-{}", self.inquiry.earlier.not_looked_at + at + 1);
            let (kind, layer) = (ElementKind::Turn, Layer::RecentStory);
            let element = self.add(Part::Turn(at), id, kind, layer, content);
            element.priority = Priority::new(TURN);
            element.tokens += per_message;
            role_of(role).1.clone_into(&mut element.type_name);
            element.keep_end = KeepEnd::End;
            if element.tokens > WORTH_SHORTENING {
                element.shortens_to = Some(Strategy::ConversationHistory.ratio());
            }
        }
        let question = self.inquiry.question.text.clone();
        let kind = ElementKind::UserRequest;
        self.add(Part::Question, QUESTION.into(), kind, Layer::Immediate, question);
        Ok(())
    }

    fn add(
        &mut self,
        part: Part,
        id: String,
        kind: ElementKind,
        layer: Layer,
        text: String,
    ) -> &mut Element {
        let (position, priority) = (self.elements.len(), Priority::new(MUST_BE_IN));
        let tokens = self.counter.count(&text) + LINE_END;
        self.parts.push(part);
        self.elements.push(Element {
            type_name: id.clone(),
            priority,
            tokens,
            ..Element::new(id, kind, layer, text, position)
        });
        &mut self.elements[position]
    }

    fn rules(&self, available: TokenCount) -> Rules {
        let settings = &self.service.settings;
        Rules {
            // Nobody of the workshop answers here; whoever knows the world of the story does.
            agent: Agent::Worldbuilding,
            company: Vec::new(),
            phase: None,
            filter: Filter::default(),
            budgets: settings.budgets,
            available,
            allocation: settings.allocation,
            overflow: settings.overflow,
            high_priority: Priority::new(HIGH),
            lowest_priority: Priority::new(0.0),
            prefer_recent: true,
            may_shorten: settings.overflow != OverflowStrategy::Truncate,
        }
    }

    /// Has told shorter what doesn't fit: whole documents, and what was said before.
    pub(super) async fn shortened(mut self) -> Result<Self, AskError> {
        let settings = &self.service.settings;
        let is_source = |at: &usize| matches!(self.parts[*at], Part::Source(_));
        let (documents, turns): (Vec<usize>, Vec<usize>) =
            self.to_shorten.iter().copied().partition(is_source);
        let documents = self.tell(documents, settings.document_temperature).await?;
        let turns = self.tell(turns, settings.conversation_temperature).await?;
        for (at, Distilled { text, tokens, account }) in documents.into_iter().chain(turns) {
            let (text, tokens) = match self.parts[at] {
                Part::Source(source) => {
                    let told = self.sources[source].told(&self.service.prompts, &text)?;
                    let tokens = self.counter.count(&told);
                    (told, tokens)
                }
                _ => (text, tokens),
            };
            let element = &mut self.elements[at];
            element.short = Some(Short { text, tokens: tokens + LINE_END, account });
        }
        Ok(self)
    }

    async fn tell(
        &self,
        elements: Vec<usize>,
        temperature: f32,
    ) -> Result<Vec<(usize, Distilled)>, AskError> {
        let texts = elements.iter().map(|&at| {
            let element = &self.elements[at];
            let (text, strategy) = match self.parts[at] {
                Part::Source(source) => (self.sources[source].text(), Strategy::PlotSummary),
                _ => (element.text.clone(), Strategy::ConversationHistory),
            };
            Text { id: element.id.clone(), text, tokens: element.tokens, strategy }
        });
        let distiller = self.service.distiller.at_temperature(temperature);
        let texts = texts.collect();
        let told = distiller.distil(&self.client, texts, Urgency::Rolling, &|_| {}).await?;
        Ok(elements.into_iter().zip(told).collect())
    }

    /// Assembles, counts and queues.
    pub(super) async fn queued(self) -> Result<Queued, AskError> {
        blocking(move || self.submit()).await
    }

    fn submit(mut self) -> Result<Queued, AskError> {
        let Fitting { assembly, available, prompt } = self.fit()?;
        let shown = self.shown(&assembly);
        let generation = self.service.engine.submit(self.generate_request(prompt))?;
        let prompt = PromptReport {
            tokens: generation.prompt_tokens,
            predicted_cached_tokens: generation.predicted_cached_tokens,
            cached_tokens: None,
        };
        let receipt = self.receipt(assembly, available, prompt);
        tracing::info!(
            receipt_id = %receipt.id,
            prompt_tokens = receipt.prompt.tokens.get(),
            sources = shown.len(),
            "the archivist's prompt of {} tokens is queued",
            receipt.prompt.tokens
        );
        let processing_time_ms = milliseconds(self.started.elapsed());
        Ok(Queued { generation, receipt, processing_time_ms, shown })
    }

    /// Assembles until the whole prompt is within its budget.
    fn fit(&mut self) -> Result<Fitting<Vec<Message>>, AskError> {
        let mut notes = std::mem::take(&mut self.notes);
        let fitting = self.window.fit(self.window.room(), &mut notes, |available| {
            let assembly =
                context::assemble(&self.elements, &self.rules(available), &*self.counter)?;
            let prompt = self.messages(&assembly)?;
            let tokens = self.service.engine.prompt_tokens(&prompt)?;
            Ok::<_, AskError>(Attempt { assembly, prompt, tokens })
        });
        self.notes = notes;
        fitting
    }

    fn messages(&self, assembly: &Assembly) -> Result<Vec<Message>, AskError> {
        let placed: HashMap<&str, &str> =
            assembly.placed.iter().map(|it| (it.id.as_str(), it.text.as_str())).collect();
        let (mut system, mut said, mut passages) = (String::new(), Vec::new(), Vec::new());
        for (element, part) in self.elements.iter().zip(&self.parts) {
            let Some(&text) = placed.get(element.id.as_str()) else { continue };
            match *part {
                Part::Instruction => text.clone_into(&mut system),
                Part::Source(_) => passages.push(text.to_owned()),
                Part::Turn(at) => {
                    said.push(Message::new(role_of(self.inquiry.earlier.said[at].role).0, text));
                }
                Part::Question => {}
            }
        }
        let question = self.question(passages, self.inquiry.question.text.clone())?;
        let mut messages = vec![Message::system(system)];
        messages.append(&mut said);
        messages.push(Message::user(question));
        Ok(messages)
    }

    fn question(&self, passages: Vec<String>, question: String) -> Result<String, AskError> {
        let in_detail = self.inquiry.question.wants_detail;
        let prompt = QuestionPrompt { passages, question, in_detail };
        Ok(self.service.prompts.render(&prompt)?.trim().to_owned())
    }

    /// The sources in the prompt. One that was told shorter counts whole.
    fn shown(&self, assembly: &Assembly) -> Vec<Source> {
        let mut shown = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let &Part::Source(source) = part else { continue };
            let (element, source) = (&self.elements[at], &self.sources[source]);
            let fate = assembly.elements.iter().find(|report| report.id == element.id);
            let placed = assembly.placed.iter().find(|placed| placed.id == element.id);
            let Some((fate, placed)) = fate.zip(placed) else { continue };
            shown.extend(match fate.outcome {
                Outcome::Trimmed => source.cut(&element.text, placed.text.len()),
                _ => Some(source.clone()),
            });
        }
        shown
    }

    fn generate_request(&self, messages: Vec<Message>) -> GenerateRequest {
        for message in &messages {
            tracing::trace!(
                target: telemetry::GENERATION,
                role = ?message.role,
                content = message.content,
                "prompt"
            );
        }
        let (service, options) = (&self.service, &self.inquiry.options);
        let mut sampling = service.settings.sampling.clone();
        sampling.temperature = options.temperature.unwrap_or(sampling.temperature);
        sampling.seed = service.ids.sampler_seed();
        let most = TokenCount::from(options.max_tokens);
        GenerateRequest {
            deadline: Some(Instant::now() + service.settings.generation_limit),
            // Small models ask themselves another one.
            stop: vec!["\n===".to_owned()],
            ..GenerateRequest::new(self.client.clone(), messages, sampling, most)
        }
    }

    fn receipt(&self, assembly: Assembly, available: TokenCount, prompt: PromptReport) -> Receipt {
        let service = &self.service;
        Receipt {
            id: service.ids.receipt(),
            created_at: service.clock.now().to_string(),
            agent: Agent::Worldbuilding,
            phase: None,
            model: service.engine.status().model,
            tokenizer: self.counter.name().to_owned(),
            budget: self.window.report(available, &service.settings.budgets),
            layers: assembly.layers,
            elements: assembly.elements,
            prompt,
            notes: self.notes.clone(),
        }
    }
}

fn role_of(speaker: AskSpeaker) -> (Role, &'static str) {
    match speaker {
        AskSpeaker::User => (Role::User, "user"),
        AskSpeaker::Assistant => (Role::Assistant, "assistant"),
        AskSpeaker::System => (Role::System, "system"),
    }
}
