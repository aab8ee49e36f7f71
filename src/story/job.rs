//! What all jobs do before a model writes: turn the request into elements, plan what the agent sees
//! within the live window, have it told shorter where it doesn't fit, assemble, queue, account for it.
//!
//! What can be refused is refused in [`StoryService::plan`], before the first event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::container::{ContextProcessingConfig, MinPriority};
use super::elements::{Converter, Knower, Material, Reader};
use super::preview::Preview;
use super::source::Source;
use super::{ContextMetadata, StoryError, StoryService};
use crate::agents::Profile;
use crate::agents::shared::StoryParts;
use crate::context::{
    self, Agent, Assembly, Attempt, Element, ElementKind, Filter, Fitting, Outcome,
    OverflowStrategy, Plan, Priority, PromptReport, Receipt, Rules, Window,
};
use crate::engine::{ClientId, EngineError, GenerateRequest, Generation, Message, milliseconds};
use crate::prompts::{PromptError, Prompts};
use crate::telemetry;
use crate::tokens::{TokenCount, TokenCounter};

/// Above the least that a context takes told shorter.
const ROOM_FOR_LAYERS: f64 = 1.25;

/// The agent's prompt around an assembled context.
pub(super) type Words =
    Box<dyn Fn(&Prompts, &StoryParts) -> Result<Vec<Message>, PromptError> + Send + Sync>;

/// One answer that is wanted of one agent.
pub(super) struct Job {
    pub(super) client: ClientId,
    pub(super) agent: Agent,
    /// Other agents that are to be told the same.
    pub(super) company: Vec<Agent>,
    pub(super) profile: Profile,
    pub(super) source: Source,
    /// What the agent is asked to do, in the author's words.
    pub(super) task: Option<String>,
    /// What it is shown beside the story.
    pub(super) material: Vec<Material>,
    /// The character whose knowledge counts.
    pub(super) knower: Option<Knower>,
    pub(super) words: Words,
    pub(super) json_schema: Option<Arc<Value>>,
    /// Whether the answer repeats most of what it was shown.
    pub(super) prompt_lookup: bool,
    /// Most tokens the elements may take, where others are to have the same room.
    pub(super) most_room: Option<TokenCount>,
    /// Whether it is queued only when it is followed: where there are many.
    pub(super) queue_later: bool,
}

impl Job {
    /// A job without anything special.
    pub(super) fn new(
        client: ClientId,
        agent: Agent,
        profile: Profile,
        source: Source,
        words: Words,
    ) -> Self {
        Self {
            client,
            agent,
            company: Vec::new(),
            profile,
            source,
            task: None,
            material: Vec::new(),
            knower: None,
            words,
            json_schema: None,
            prompt_lookup: false,
            most_room: None,
            queue_later: false,
        }
    }

    pub(super) fn config(&self) -> &ContextProcessingConfig {
        &self.source.config
    }
}

/// A job whose request stands in the engine's queue.
pub(super) struct QueuedJob {
    pub(super) generation: Generation,
    pub(super) receipt: Receipt,
    pub(super) processing_time_ms: f64,
    /// To ask the same again.
    pub(super) request: GenerateRequest,
}

impl QueuedJob {
    pub(super) fn metadata(&self) -> ContextMetadata {
        ContextMetadata::new(self.receipt.clone(), self.processing_time_ms)
    }

    /// What to say where the agent saw only a part of the text it was to work on.
    pub(super) fn partial_view(&self) -> Option<String> {
        let work = self.receipt.elements.iter().find(|it| it.kind == ElementKind::Work)?;
        match work.outcome {
            Outcome::Kept | Outcome::Distilled => None,
            Outcome::Trimmed => Some(format!(
                "only the first {} of the text's {} tokens fit the window; raise LLM_N_CTX, or send less at once",
                work.tokens_used, work.tokens
            )),
            Outcome::Dropped => {
                Some(format!("the text was not shown to the agent: {}", work.reason.in_words()))
            }
        }
    }
}

/// A job that can be done: what the agent sees is planned.
pub(super) struct PlannedJob {
    pub(super) service: Arc<StoryService>,
    pub(super) job: Job,
    pub(super) elements: Vec<Element>,
    pub(super) window: Window,
    pub(super) plan: Plan,
    notes: Vec<String>,
    working_time: Duration,
    queued: Option<QueuedJob>,
}

impl StoryService {
    /// Decides what the agent sees, and queues the request if nothing has to be told shorter first.
    /// Takes time in proportion to the story; runs where blocking is allowed.
    pub(super) fn plan(self: &Arc<Self>, job: Job) -> Result<PlannedJob, StoryError> {
        let started = Instant::now();
        self.engine.ready()?;
        let counter = self.counter()?;
        let mut notes = notes_on(&job);
        let consulted = self.consult(&job)?;
        notes.extend(consulted.note);
        let elements = self.elements(&job, &consulted.material, &*counter)?;
        let window = self.window(&job)?;
        let planning = Instant::now();
        let room = self.wanted_room(&job, &elements, window.room());
        let plan = context::plan(&elements, &self.rules(&job, room), &*counter)?;
        self.note_slowness(planning.elapsed(), elements.len(), &mut notes);
        let mut planned = PlannedJob {
            service: Arc::clone(self),
            job,
            elements,
            window,
            plan,
            notes,
            working_time: started.elapsed(),
            queued: None,
        };
        if planned.plan.is_settled() && !planned.job.queue_later {
            planned.submit()?;
        }
        Ok(planned)
    }

    /// What the agent would see in windows of these sizes.
    pub(super) fn previews(
        self: &Arc<Self>,
        job: Job,
        windows: &[TokenCount],
    ) -> Result<Vec<Preview>, StoryError> {
        let counter = self.counter()?;
        let consulted = self.consult(&job)?;
        let elements = self.elements(&job, &consulted.material, &*counter)?;
        let mut planned = PlannedJob {
            service: Arc::clone(self),
            notes: notes_on(&job).into_iter().chain(consulted.note).collect(),
            job,
            elements,
            window: Window::default(),
            plan: Plan::default(),
            working_time: Duration::ZERO,
            queued: None,
        };
        windows.iter().map(|&window| planned.preview(window, &*counter)).collect()
    }

    /// What there is room for in a job's prompt.
    pub(super) fn room(&self, job: &Job) -> Result<TokenCount, StoryError> {
        Ok(self.window(job)?.room())
    }

    pub(super) fn elements(
        &self,
        job: &Job,
        found: &[Material],
        counter: &dyn TokenCounter,
    ) -> Result<Vec<Element>, StoryError> {
        let reader = Reader {
            agent: job.agent,
            include_relationships: job.config().include_relationships.unwrap_or(true),
            knower: job.knower.clone(),
        };
        Converter::new(&self.prompts, counter, &self.settings.priorities, reader).convert(
            &job.source.story,
            job.task.as_deref(),
            job.material.iter().chain(found),
        )
    }

    fn note_slowness(&self, time: Duration, elements: usize, notes: &mut Vec<String>) {
        if time <= self.settings.assembly_limit {
            return;
        }
        let assembly_ms = milliseconds(time);
        tracing::warn!(
            assembly_ms,
            elements,
            "assembling a context took longer than CONTEXT_ASSEMBLY_TIMEOUT"
        );
        notes
            .push(format!("assembly took {assembly_ms:.0} ms, more than CONTEXT_ASSEMBLY_TIMEOUT"));
    }

    pub(super) fn counter(&self) -> Result<Arc<dyn TokenCounter>, StoryError> {
        let missing = || EngineError::Unavailable("TOKENIZER=model, but no model is loaded".into());
        Ok(self.tokenizers.counter().ok_or_else(missing)?)
    }

    fn window(&self, job: &Job) -> Result<Window, StoryError> {
        let tokens = self.engine.status().window.unwrap_or(self.settings.most_prompt_tokens);
        self.window_of(job, tokens)
    }

    /// The window against the configured one.
    pub(super) fn window_of(&self, job: &Job, tokens: TokenCount) -> Result<Window, StoryError> {
        let most = job.config().most_tokens().map_or(tokens, TokenCount::new);
        let most = self.settings.most_prompt_tokens.min(most);
        let bare = (job.words)(&self.prompts, &StoryParts::only_headings(job.agent))?;
        let fixed = self.engine.prompt_tokens(&bare)?;
        let mut window = Window::new(tokens, job.profile.max_tokens, most, fixed)?;
        if let Some(most) = job.most_room {
            window.prompt_budget =
                window.prompt_budget.min(TokenCount::new(fixed.get() + most.get()));
        }
        Ok(window)
    }

    pub(super) fn rules(&self, job: &Job, room: TokenCount) -> Rules {
        let (settings, config) = (&self.settings, job.config());
        Rules {
            agent: job.agent,
            company: job.company.clone(),
            phase: config.phase(),
            filter: self.filter(config),
            budgets: settings.budgets,
            available: room,
            allocation: settings.allocation,
            overflow: settings.overflow,
            high_priority: settings.high_priority,
            lowest_priority: settings.lowest_priority,
            prefer_recent: config.prioritize_recent.unwrap_or(true),
            may_shorten: self.may_shorten(job),
        }
    }

    fn may_shorten(&self, job: &Job) -> bool {
        job.config().summarization_enabled.unwrap_or(true)
            && self.settings.overflow != OverflowStrategy::Truncate
    }

    /// The room that a context is to take: where it is longer than the threshold for telling it
    /// shorter, as much as it takes told shorter. Nothing is cut or refused for the threshold's sake.
    pub(super) fn wanted_room(
        &self,
        job: &Job,
        elements: &[Element],
        room: TokenCount,
    ) -> TokenCount {
        let threshold = match job.config().summarization_threshold {
            Some(share) if share <= 1.0 => room.scaled(share),
            Some(tokens) => TokenCount::new(1).scaled(tokens),
            None => self.settings.summarization_threshold,
        };
        // A summary stands for what it tells.
        let elements = || elements.iter().filter(|element| !element.tells_others);
        let whole: TokenCount = elements().map(|element| element.tokens).sum();
        if !self.may_shorten(job) || whole <= threshold {
            return room;
        }
        let least = |element: &Element| {
            let may_be_shorter = element.priority <= self.settings.high_priority;
            let share = element.shortens_to.filter(|_| may_be_shorter).unwrap_or(1.0);
            element.tokens.scaled(share)
        };
        let least: TokenCount = elements().map(least).sum();
        // Layers are filled one by one; what one has left another may lack.
        room.min(threshold.max(least.scaled(ROOM_FOR_LAYERS)))
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

    /// Keeps the receipt. A database that can't doesn't keep a chapter from being written.
    pub(super) async fn keep(&self, receipt: &Receipt) {
        let Some(book) = &self.receipts else { return };
        if let Err(error) = book.save(receipt).await {
            tracing::error!(receipt_id = %receipt.id, "the receipt couldn't be kept: {error}");
        }
    }
}

impl PlannedJob {
    /// What has to be told shorter before the request can be queued.
    pub(super) fn to_shorten(&self) -> usize {
        let together: usize =
            self.plan.gather.iter().map(|gathering| gathering.members.len()).sum();
        if self.queued.is_some() { 0 } else { self.plan.shorten.len() + together }
    }

    /// The queued job; queues it if that wasn't done yet.
    pub(super) fn into_queued(mut self) -> Result<QueuedJob, StoryError> {
        self.submit()?;
        self.queued.ok_or(StoryError::Lost)
    }

    fn preview(
        &mut self,
        window: TokenCount,
        counter: &dyn TokenCounter,
    ) -> Result<Preview, StoryError> {
        let seen = self.service.window_of(&self.job, window).and_then(|sizes| {
            self.window = sizes;
            let room = self.service.wanted_room(&self.job, &self.elements, sizes.room());
            let rules = self.service.rules(&self.job, room);
            let plan = context::plan(&self.elements, &rules, counter)?;
            let tokens = sizes.fixed + plan.assembly.tokens();
            let prompt = PromptReport { tokens, ..PromptReport::default() };
            Ok(self.receipt(plan.assembly, rules.available, prompt, counter.name()))
        });
        let window = window.get();
        match seen {
            Ok(receipt) => Ok(Preview { window, receipt: Some(receipt), error: None }),
            Err(error @ (StoryError::Context(_) | StoryError::RequestTooLarge { .. })) => {
                Ok(Preview { window, receipt: None, error: Some(error.to_string()) })
            }
            Err(error) => Err(error),
        }
    }

    /// Assembles, counts and queues. Blocking.
    fn submit(&mut self) -> Result<(), StoryError> {
        if self.queued.is_some() {
            return Ok(());
        }
        let started = Instant::now();
        let counter = self.service.counter()?;
        let Fitting { assembly, available, prompt } = self.fit(&*counter)?;
        let request = self.generate_request(prompt);
        let generation = self.service.engine.submit(request.clone())?;
        let prompt = PromptReport {
            tokens: generation.prompt_tokens,
            predicted_cached_tokens: generation.predicted_cached_tokens,
            cached_tokens: None,
        };
        let receipt = self.receipt(assembly, available, prompt, counter.name());
        tracing::info!(
            receipt_id = %receipt.id,
            agent = self.job.agent.name(),
            prompt_tokens = receipt.prompt.tokens.get(),
            elements = receipt.elements.len(),
            "the {}'s prompt of {} tokens is queued",
            self.job.agent.name(),
            receipt.prompt.tokens
        );
        let processing_time_ms = milliseconds(self.working_time + started.elapsed());
        self.queued = Some(QueuedJob { generation, receipt, processing_time_ms, request });
        Ok(())
    }

    /// Assembles until the whole prompt is within its budget.
    fn fit(&mut self, counter: &dyn TokenCounter) -> Result<Fitting<Vec<Message>>, StoryError> {
        let (service, job, elements) = (&self.service, &self.job, &self.elements);
        let room = service.wanted_room(job, elements, self.window.room());
        self.window.fit(room, &mut self.notes, |available| {
            let rules = service.rules(job, available);
            let assembly = context::assemble(elements, &rules, counter)?;
            let parts = StoryParts::of(&assembly, job.agent);
            let prompt = (job.words)(&service.prompts, &parts)?;
            let tokens = service.engine.prompt_tokens(&prompt)?;
            Ok::<_, StoryError>(Attempt { assembly, prompt, tokens })
        })
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
        let (service, job) = (&self.service, &self.job);
        let mut sampling = job.profile.sampling.clone();
        sampling.seed = service.ids.sampler_seed();
        GenerateRequest {
            json_schema: job.json_schema.clone(),
            prompt_lookup: job.prompt_lookup,
            deadline: Some(Instant::now() + service.settings.generation_limit),
            ..GenerateRequest::new(job.client.clone(), messages, sampling, job.profile.max_tokens)
        }
    }

    pub(super) fn receipt(
        &self,
        assembly: Assembly,
        available: TokenCount,
        prompt: PromptReport,
        tokenizer: &str,
    ) -> Receipt {
        let service = &self.service;
        Receipt {
            id: service.ids.receipt(),
            created_at: service.clock.now().to_string(),
            agent: self.job.agent,
            phase: self.job.config().phase(),
            model: service.engine.status().model,
            tokenizer: tokenizer.to_owned(),
            budget: self.window.report(available, &service.settings.budgets),
            layers: assembly.layers,
            elements: assembly.elements,
            prompt,
            notes: self.notes.clone(),
        }
    }
}

fn notes_on(job: &Job) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(other) = job.config().target_agent.filter(|&agent| agent != job.agent) {
        notes.push(format!(
            "target_agent says {}, but this endpoint's agent is the {}",
            other.name(),
            job.agent.name()
        ));
    }
    if let (Some(phase), Some(current)) = (job.config().phase, job.config().current_phase)
        && phase != current
    {
        notes.push("phase and current_phase differ; current_phase counts".to_owned());
    }
    for key in job.config().unknown.keys() {
        notes.push(format!("context_processing_config.{key} has no effect"));
    }
    for key in job.config().custom_filters.iter().flat_map(|filters| filters.unknown.keys()) {
        notes.push(format!("context_processing_config.custom_filters.{key} has no effect"));
    }
    notes
}
