//! What all story jobs do before and while a model writes: assemble the context within the live
//! window, queue the request, account for it.

use std::sync::Arc;
use std::time::Instant;

use super::container::{ContextProcessingConfig, MinPriority, StructuredContext};
use super::elements::Converter;
use super::{ContextMetadata, StoryError, StoryService};
use crate::agents::Profile;
use crate::agents::shared::StoryParts;
use crate::context::{
    Agent, Assembly, BudgetReport, Element, Filter, Priority, PromptReport, Receipt, Rules,
    assemble,
};
use crate::engine::{ClientId, EngineError, GenerateRequest, Generation, Message, milliseconds};
use crate::prompts::PromptError;
use crate::telemetry;
use crate::tokens::{TokenCount, TokenCounter};

/// How often a prompt that came out too long is assembled anew with less room. The first try counts
/// piece by piece; the whole differs from the sum by a few tokens at most, if it is the model's own
/// tokenizer that counts.
const ATTEMPTS: u32 = 4;

/// A job whose request stands in the engine's queue.
pub(super) struct QueuedJob {
    pub(super) generation: Generation,
    pub(super) receipt: Receipt,
    pub(super) processing_time_ms: f64,
}

impl QueuedJob {
    pub(super) fn metadata(&self) -> ContextMetadata {
        ContextMetadata::new(self.receipt.clone(), self.processing_time_ms)
    }
}

/// What distinguishes one job from another.
pub(super) struct Job<'a> {
    pub(super) client: &'a ClientId,
    pub(super) agent: Agent,
    pub(super) profile: &'a Profile,
    pub(super) story: &'a StructuredContext,
    pub(super) config: &'a ContextProcessingConfig,
    /// What the agent is asked to do, in the author's words.
    pub(super) task: Option<&'a str>,
    pub(super) stop: Vec<String>,
    /// The agent's prompt around an assembled context.
    pub(super) messages: &'a dyn Fn(StoryParts) -> Result<Vec<Message>, PromptError>,
}

/// How many tokens there are, and for what.
struct Window {
    tokens: TokenCount,
    reserved_for_answer: TokenCount,
    prompt_budget: TokenCount,
    fixed: TokenCount,
}

/// A context that fits, and the tokens it was given.
struct Fitting {
    assembly: Assembly,
    available: TokenCount,
}

impl StoryService {
    /// Assembles, counts and queues. Takes time in proportion to the story; runs where blocking is
    /// allowed.
    pub(super) fn queue(&self, job: &Job<'_>) -> Result<QueuedJob, StoryError> {
        let started = Instant::now();
        let counter = self.counter()?;
        let mut notes = notes_on(job);
        let elements = Converter::new(
            &self.prompts,
            &*counter,
            &self.settings.priorities,
            job.config.include_relationships.unwrap_or(true),
        )
        .convert(job.story, job.task)?;
        let conversion_time = started.elapsed();

        let window = self.window(job)?;
        let (fitting, messages) = self.fit(job, &elements, &window, &*counter, &mut notes)?;
        let assembly_time = started.elapsed().saturating_sub(conversion_time);
        if assembly_time > self.settings.assembly_limit {
            tracing::warn!(
                assembly_ms = milliseconds(assembly_time),
                elements = fitting.assembly.elements.len(),
                "assembling a context took longer than CONTEXT_ASSEMBLY_TIMEOUT"
            );
            notes.push(format!(
                "assembly took {:.0} ms, more than CONTEXT_ASSEMBLY_TIMEOUT",
                milliseconds(assembly_time)
            ));
        }

        let generation = self.engine.submit(self.generate_request(job, messages))?;
        let receipt = self.receipt(job, fitting, &window, &*counter, notes, &generation);
        tracing::info!(
            receipt_id = %receipt.id,
            agent = job.agent.name(),
            prompt_tokens = receipt.prompt.tokens.get(),
            elements = receipt.elements.len(),
            "the {}'s prompt of {} tokens is queued",
            job.agent.name(),
            receipt.prompt.tokens
        );
        let processing_time_ms = milliseconds(started.elapsed());
        Ok(QueuedJob { generation, receipt, processing_time_ms })
    }

    fn counter(&self) -> Result<Arc<dyn TokenCounter>, StoryError> {
        self.engine.ready()?;
        let missing = || EngineError::Unavailable("TOKENIZER=model, but no model is loaded".into());
        Ok(self.tokenizers.counter().ok_or_else(missing)?)
    }

    /// The live window against the configured one. The answer gets what the agent may write, but
    /// never more than half of the window: a small model must still see some story.
    fn window(&self, job: &Job<'_>) -> Result<Window, StoryError> {
        let tokens = self.engine.status().window.unwrap_or(self.settings.most_prompt_tokens);
        let reserved_for_answer = job.profile.max_tokens.min(tokens.scaled(0.5));
        let prompt_budget = self
            .settings
            .most_prompt_tokens
            .min(tokens - reserved_for_answer)
            .min(job.config.most_tokens().map_or(tokens, TokenCount::new));
        let bare = (job.messages)(StoryParts::only_headings())?;
        let fixed = self.engine.prompt_tokens(&bare)?;
        if fixed >= prompt_budget {
            return Err(StoryError::RequestTooLarge { fixed, budget: prompt_budget });
        }
        Ok(Window { tokens, reserved_for_answer, prompt_budget, fixed })
    }

    /// Assembles until the whole prompt, as the model's tokenizer reads it, is within its budget.
    fn fit(
        &self,
        job: &Job<'_>,
        elements: &[Element],
        window: &Window,
        counter: &dyn TokenCounter,
        notes: &mut Vec<String>,
    ) -> Result<(Fitting, Vec<Message>), StoryError> {
        let mut available = window.prompt_budget - window.fixed;
        let mut attempt = 1;
        loop {
            let assembly = assemble(elements, &self.rules(job, available), counter)?;
            let messages = (job.messages)(StoryParts::of(&assembly))?;
            let prompt_tokens = self.engine.prompt_tokens(&messages)?;
            if prompt_tokens <= window.prompt_budget {
                return Ok((Fitting { assembly, available }, messages));
            }
            if attempt == ATTEMPTS {
                let budget = window.prompt_budget;
                return Err(StoryError::RequestTooLarge { fixed: prompt_tokens, budget });
            }
            attempt += 1;
            // What the counter takes for so many tokens is really more, in this proportion.
            let placed = prompt_tokens - window.fixed;
            let wanted = window.prompt_budget - window.fixed;
            let share = wanted.get() as f64 / placed.get().max(1) as f64;
            available = available.min(assembly.tokens()).scaled(share * 0.98);
            notes.push(format!(
                "the prompt came to {prompt_tokens} tokens of the model's, {} more than {} had counted; assembled again",
                prompt_tokens - window.prompt_budget,
                counter.name()
            ));
        }
    }

    fn rules(&self, job: &Job<'_>, available: TokenCount) -> Rules {
        let settings = &self.settings;
        Rules {
            agent: job.agent,
            phase: job.config.phase(),
            filter: self.filter(job.config),
            budgets: settings.budgets,
            available,
            allocation: settings.allocation,
            overflow: settings.overflow,
            high_priority: settings.high_priority,
            lowest_priority: settings.lowest_priority,
            prefer_recent: job.config.prioritize_recent.unwrap_or(true),
        }
    }

    pub(super) fn filter(&self, config: &ContextProcessingConfig) -> Filter {
        let Some(filters) = &config.custom_filters else { return Filter::default() };
        let min_priority = filters.min_priority.map(|least| match least {
            MinPriority::Level(level) => self.settings.priorities.plot.of(level),
            MinPriority::Number(number) => Priority::new(number),
        });
        let set = |words: &[String]| words.iter().cloned().collect();
        Filter {
            required_tags: set(&filters.required_tags),
            excluded_tags: set(&filters.excluded_tags),
            allowed_types: set(&filters.allowed_types),
            character_ids: set(&filters.character_ids),
            min_priority,
        }
    }

    fn generate_request(&self, job: &Job<'_>, messages: Vec<Message>) -> GenerateRequest {
        for message in &messages {
            tracing::trace!(
                target: telemetry::GENERATION,
                role = ?message.role,
                content = message.content,
                "prompt"
            );
        }
        let mut sampling = job.profile.sampling.clone();
        sampling.seed = self.ids.sampler_seed();
        GenerateRequest {
            client: job.client.clone(),
            messages,
            sampling,
            max_tokens: job.profile.max_tokens,
            stop: job.stop.clone(),
            json_schema: None,
            prompt_lookup: false,
            deadline: Some(Instant::now() + self.settings.generation_limit),
        }
    }

    fn receipt(
        &self,
        job: &Job<'_>,
        fitting: Fitting,
        window: &Window,
        counter: &dyn TokenCounter,
        notes: Vec<String>,
        generation: &Generation,
    ) -> Receipt {
        let Fitting { assembly, available } = fitting;
        Receipt {
            id: self.ids.receipt(),
            created_at: self.clock.now().to_string(),
            agent: job.agent,
            phase: job.config.phase(),
            model: self.engine.status().model,
            tokenizer: counter.name().to_owned(),
            budget: BudgetReport {
                window: window.tokens,
                reserved_for_answer: window.reserved_for_answer,
                fixed: window.fixed,
                available,
                scale: self.settings.budgets.scale_to(available),
            },
            layers: assembly.layers,
            elements: assembly.elements,
            prompt: PromptReport {
                tokens: generation.prompt_tokens,
                predicted_cached_tokens: generation.predicted_cached_tokens,
                cached_tokens: None,
            },
            notes,
        }
    }

    /// Keeps the receipt. A database that can't doesn't keep a chapter from being written.
    pub(super) async fn keep(&self, receipt: &Receipt) {
        let Some(book) = &self.receipts else { return };
        if let Err(error) = book.save(receipt).await {
            tracing::error!(receipt_id = %receipt.id, "the receipt couldn't be kept: {error}");
        }
    }
}

fn notes_on(job: &Job<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(other) = job.config.target_agent.filter(|&agent| agent != job.agent) {
        notes.push(format!(
            "target_agent says {}, but this endpoint's agent is the {}",
            other.name(),
            job.agent.name()
        ));
    }
    for key in job.config.unknown.keys() {
        notes.push(format!("context_processing_config.{key} has no effect"));
    }
    notes
}
