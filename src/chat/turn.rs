//! From a client's messages to a request in the engine's queue.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::answer::{Answer, Begun, Remembering};
use super::arrangement::{Draft, Found};
use super::recollection::{Mood, mood};
use super::transcript::Transcript;
use super::{ChatError, ChatService, MemoryState, Remembers, TurnRequest, blocking};
use crate::context::{BudgetReport, PromptReport, Receipt};
use crate::distil::{Distilled, Source, Strategy, Urgency};
use crate::engine::{GenerateRequest, Generation, Message, milliseconds};
use crate::memory::{Cue, Memory, Place, Recalled, Talk, Whose};
use crate::store::StoreError;
use crate::telemetry;

/// Where a turn stands in memory, as far as that could be found out in time.
struct Situation {
    place: Option<Place>,
    /// What the newest message feels like, which is still being found out.
    mood: Option<JoinHandle<Option<Mood>>>,
    state: MemoryState,
    whose: Option<Whose>,
    notes: Vec<String>,
}

/// The mood, unless that takes too long.
async fn felt(
    mood: JoinHandle<Option<Mood>>,
    by: Instant,
    notes: &mut Vec<String>,
) -> Option<Mood> {
    let mood = timeout_at(by.into(), mood).await.ok().and_then(Result::ok).flatten();
    if mood.is_none() {
        let note = "the newest message's vector wasn't there in time; words alone were compared";
        notes.push(note.to_owned());
    }
    mood
}

impl ChatService {
    /// Answers a turn. What can be refused is refused here; after that, the answer's events say what
    /// happens. Dropping the answer stops the model, and what was said so far is remembered.
    pub async fn answer(self: &Arc<Self>, request: TurnRequest) -> Result<Answer, ChatError> {
        let started = Instant::now();
        self.engine.ready()?;
        let looked_up_by = started + self.settings.patience;
        let speaking = self.upkeep.speak();
        let transcript = Arc::new(Transcript::new(request.messages.clone()));
        let situation = self.identify(&request, &transcript, looked_up_by).await;
        let Situation { place, mood, mut state, whose, mut notes } = situation;
        let draft = {
            let (service, transcript) = (Arc::clone(self), Arc::clone(&transcript));
            let (place, request) = (place.clone(), request.clone());
            blocking(move || Draft::new(&service, transcript, place.as_ref(), &request)).await?
        };
        let mood = match mood {
            Some(mood) => felt(mood, looked_up_by, &mut notes).await,
            None => None,
        };
        let searching = Instant::now();
        let recalled = match (&self.memory, &place) {
            (Some(memory), Some(place)) => {
                let cue = self.cue(&transcript, mood.as_ref(), &draft);
                self.in_time(memory.recall(place, cue), looked_up_by, &mut state, &mut notes).await
            }
            _ => None,
        };
        self.count_recall(searching, recalled.as_ref(), mood.as_ref());
        let persona = self.shortened_persona(&request, &draft, looked_up_by).await;
        let found = Found {
            recalled: recalled.unwrap_or_default(),
            feeling: mood.as_ref().map(|mood| mood.feeling),
            persona,
            notes,
        };
        let lore_timers = draft.lore_timers();
        let (service, asked) = (Arc::clone(self), request.clone());
        let (generations, receipt) =
            blocking(move || service.queue(&asked, &draft, found, started)).await?;
        // The model is at work already; the client can ask for the receipt as soon as it knows its id.
        let mut kept = self.keep(&receipt);
        let is_kept = timeout_at(looked_up_by.into(), &mut kept).await.is_ok();
        let is_remembered = request.remembers == Remembers::Fully;
        let remembering = whose.filter(|_| is_remembered).map(|whose| Remembering {
            talk: Talk {
                whose,
                persona: transcript.persona().map(str::to_owned),
                history: transcript.history().to_vec(),
                feeling: mood.map(|mood| mood.feeling),
                lore_timers,
            },
            beginning: transcript.beginning().cloned(),
            session: place.map(|place| place.name),
            held: request.held.clone(),
        });
        self.metrics.context_tokens.observe(receipt.prompt.tokens.get() as f64);
        let kept = (!is_kept).then_some(kept);
        let begun = Begun { receipt, kept, memory: state, started, speaking };
        Ok(Answer::new(Arc::clone(self), generations, begun, remembering))
    }

    /// The session. What the newest message feels like is found out beside that, and beside the draft.
    async fn identify(
        &self,
        request: &TurnRequest,
        transcript: &Arc<Transcript>,
        by: Instant,
    ) -> Situation {
        let mut notes = Vec::new();
        let nothing =
            |state| Situation { place: None, mood: None, state, whose: None, notes: Vec::new() };
        let Some(memory) = &self.memory else { return nothing(MemoryState::Off) };
        if request.remembers == Remembers::Nothing || transcript.history().is_empty() {
            return nothing(MemoryState::Off);
        }
        let mut state = match request.remembers {
            Remembers::Quietly => MemoryState::Quiet,
            _ => MemoryState::On,
        };
        let whose = request.whose.clone().unwrap_or_else(|| memory.recognised());
        let mood = tokio::spawn(mood(memory.clone(), Arc::clone(transcript)));
        // An answer whose session isn't known yet is still remembered, once the database answers.
        let place = self.place(memory, &whose, transcript, request.remembers);
        let place = self.in_time(place, by, &mut state, &mut notes).await;
        Situation { place, mood: Some(mood), state, whose: Some(whose), notes }
    }

    /// Where the talk stands. What the client says was said before, and isn't known, is stored first,
    /// so that it can be recalled.
    async fn place(
        &self,
        memory: &Memory,
        whose: &Whose,
        transcript: &Transcript,
        remembers: Remembers,
    ) -> Result<Place, StoreError> {
        let persona = transcript.persona().map(str::to_owned);
        let history = transcript.history().to_vec();
        let place = memory.place(whose.clone(), persona.clone(), history.clone()).await?;
        let unknown = history.len() - place.matched;
        if unknown <= 1 || remembers != Remembers::Fully {
            return Ok(place);
        }
        let before = history[..history.len() - 1].to_vec();
        let whose = whose.clone();
        let talk = Talk {
            whose: whose.clone(),
            persona: persona.clone(),
            history: before,
            feeling: None,
            lore_timers: None,
        };
        memory.catch_up(talk).await?;
        memory.place(whose, persona, history).await
    }

    /// What memory says, unless it fails or takes too long.
    async fn in_time<T>(
        &self,
        looking: impl Future<Output = Result<T, StoreError>>,
        by: Instant,
        state: &mut MemoryState,
        notes: &mut Vec<String>,
    ) -> Option<T> {
        let problem = match timeout_at(by.into(), looking).await {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took longer than {:?}", self.settings.patience),
        };
        tracing::error!("memory couldn't be looked into: {problem}");
        notes.push(format!("memory couldn't be looked into: {problem}"));
        *state = MemoryState::Degraded;
        None
    }

    fn cue(&self, transcript: &Transcript, mood: Option<&Mood>, draft: &Draft) -> Cue {
        Cue {
            text: transcript.newest().map(|said| said.text.clone()).unwrap_or_default(),
            vector: mood.and_then(|mood| mood.cue.clone()),
            participants: transcript.participants(),
            emotion: mood.and_then(Mood::noticeable),
            before: draft.first_in_prompt(),
            limit: self.settings.recalled,
            pieces: if draft.persona_to_shorten().is_some() { self.settings.recalled } else { 0 },
        }
    }

    /// A persona that is too long for its share and memory's together, told shorter.
    async fn shortened_persona(
        &self,
        request: &TurnRequest,
        draft: &Draft,
        by: Instant,
    ) -> Option<Distilled> {
        let (persona, target) = draft.persona_to_shorten()?;
        let source = Source {
            id: "persona".into(),
            text: persona.text.clone(),
            tokens: persona.tokens,
            strategy: Strategy::SystemPromptOptimization,
        };
        let rolled = self.distiller.roll(
            &request.client,
            vec![source],
            target,
            // Nobody waits half a minute for an answer in a talk.
            Urgency::Emergency,
            &|_| {},
        );
        let problem = match timeout_at(by.into(), rolled).await {
            Ok(Ok(short)) => return Some(short),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it took longer than {:?}", self.settings.patience),
        };
        tracing::error!("the persona couldn't be told shorter: {problem}");
        None
    }

    fn count_recall(&self, since: Instant, recalled: Option<&Recalled>, mood: Option<&Mood>) {
        if let Some(recalled) = recalled {
            self.metrics.rag_retrievals.inc();
            self.metrics.rag_retrieval_duration.observe(since.elapsed().as_secs_f64());
            self.metrics.rag_results.observe(recalled.memories.len() as f64);
        }
        if let Some(feeling) = mood.map(|mood| &mood.feeling) {
            let emotion = [feeling.emotion().name()];
            self.metrics.emotions_detected.with_label_values(&emotion).inc();
            let confidence = f64::from(feeling.confidence());
            self.metrics.emotion_confidence.with_label_values(&emotion).observe(confidence);
        }
    }

    fn queue(
        &self,
        asked: &TurnRequest,
        draft: &Draft,
        found: Found,
        started: Instant,
    ) -> Result<(Vec<Generation>, Receipt), ChatError> {
        let submit = |messages: Vec<Message>, choice: usize| {
            let mut sampling = asked.sampling.clone();
            sampling.seed = sampling.seed.wrapping_add(u32::try_from(choice).unwrap_or(0));
            self.engine.submit(GenerateRequest {
                client: asked.client.clone(),
                messages,
                sampling,
                max_tokens: asked.max_tokens,
                stop: asked.stop.clone(),
                json_schema: asked.json_schema.clone(),
                prompt_lookup: false,
                deadline: Some(Instant::now() + self.settings.generation_limit),
                logit_bias: asked.logit_bias.clone(),
                logprobs: asked.logprobs,
                tools: asked.tools.clone(),
                private: matches!(asked.whose, Some(Whose::Continued(_))),
            })
        };
        let (arranged, first) = draft.arrange(self, found, |messages| submit(messages, 0))?;
        for message in &arranged.messages {
            tracing::trace!(
                target: telemetry::GENERATION,
                role = ?message.role,
                content = message.content,
                "prompt"
            );
        }
        let prompt = PromptReport {
            tokens: first.prompt_tokens,
            predicted_cached_tokens: first.predicted_cached_tokens,
            cached_tokens: None,
        };
        let mut generations = vec![first];
        for choice in 1..asked.choices {
            generations.push(submit(arranged.messages.clone(), choice)?);
        }
        let room = arranged.room;
        let receipt = Receipt {
            id: self.ids.receipt(),
            created_at: self.clock.now().to_string(),
            agent: arranged.agent,
            phase: None,
            model: self.engine.status().model,
            tokenizer: arranged.tokenizer,
            budget: BudgetReport {
                window: room.window,
                reserved_for_answer: room.reserved_for_answer,
                fixed: room.fixed,
                available: room.available(),
                scale: 1.0,
            },
            layers: arranged.assembly.layers,
            elements: arranged.assembly.elements,
            prompt,
            notes: arranged.notes,
        };
        tracing::info!(
            receipt_id = %receipt.id,
            prompt_tokens = receipt.prompt.tokens.get(),
            elements = receipt.elements.len(),
            duration_ms = milliseconds(started.elapsed()),
            "a turn's prompt of {} tokens is queued",
            receipt.prompt.tokens
        );
        Ok((generations, receipt))
    }
}
