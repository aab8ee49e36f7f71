//! Has the model summarise a source: cut into parts that fit its window, asked side by side, each
//! answer checked. A part that fails is made of its own sentences.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::check::check;
use super::distiller::{Distiller, Round, Task, blocking};
use super::extract::Limit;
use super::made::Made;
use super::prompt::messages;
use super::reading::Reading;
use super::sentences::sentences;
use super::{DistilError, Distilled};
use crate::embedding::Embedder;
use crate::engine::{ClientId, EngineError, FinishReason, GenerateRequest, Generation};
use crate::telemetry;
use crate::tokens::{TokenCount, TokenCounter};

/// What a summary may take beyond its target: models count badly, and end with a sentence.
const ROOM_BEYOND_TARGET: f64 = 1.3;
const ROOM_FOR_AN_END: TokenCount = TokenCount::new(32);
/// A model loses more of a longer text than it saves.
const LONGEST_PART: TokenCount = TokenCount::new(6_000);
/// Shorter parts are not worth a prompt.
const SHORTEST_PART: TokenCount = TokenCount::new(64);
const TOO_LATE: &str = "the model's summaries weren't finished within DISTILLATION_TIMEOUT_SECONDS";

/// Why there is no summary.
#[derive(Debug)]
struct Refusal {
    reason: String,
    /// Whether it may be otherwise next time.
    passing: bool,
}

/// A stretch of the source that fits the model.
#[derive(Clone, Debug)]
struct Part {
    range: Range<usize>,
    tokens: TokenCount,
    target: TokenCount,
}

/// A part's turn: whatever is needed to have it summarised.
#[derive(Clone)]
struct Turn {
    task: Arc<Task>,
    part: Part,
}

impl Turn {
    fn text(&self) -> &str {
        &self.task.source.text[self.part.range.clone()]
    }
}

impl Distiller {
    /// The source in the model's words, as far as they stand; kept, unless the engine failed.
    pub(super) async fn summarise(
        &self,
        round: &Round<'_>,
        model: &str,
        task: Task,
    ) -> Result<Distilled, DistilError> {
        let task = Arc::new(task);
        let (this, to_cut) = (self.clone(), Arc::clone(&task));
        let parts = match blocking(move || this.parts(&to_cut)).await? {
            Ok(parts) => parts,
            Err(refusal) => {
                let task = Arc::unwrap_or_clone(task);
                return self.choose_sentences(round, task, Some(refusal.reason)).await;
            }
        };
        let turns = parts.into_iter().map(|part| Turn { task: Arc::clone(&task), part });
        let answers: Vec<(Part, Result<Made, Refusal>)> = stream::iter(turns)
            .map(|turn| self.take_turn(round, turn))
            .buffered(self.settings.side_by_side.max(1))
            .try_collect()
            .await?;
        let passing = |answer: &Result<Made, Refusal>| matches!(answer, Err(r) if r.passing);
        if let [(_, answer @ Err(refusal))] = &answers[..]
            && passing(answer)
        {
            // Its sentences may have been chosen before.
            let reason = Some(refusal.reason.clone());
            return self.choose_sentences(round, Arc::unwrap_or_clone(task), reason).await;
        }
        let lasts = !answers.iter().any(|(_, answer)| passing(answer));
        let (this, model) = (self.clone(), model.to_owned());
        let embedder = round.embedder.clone();
        let (distilled, key) = blocking(move || {
            let counter = this.counter();
            let made = put_together(&task, answers, embedder.as_deref(), &*counter);
            (made.accounted(&task.source), this.model_key(&task, &model, &*counter))
        })
        .await?;
        if lasts {
            self.keep(key, &distilled).await;
        }
        Ok(distilled)
    }

    /// Has one part summarised, and holds the summary against it.
    async fn take_turn(
        &self,
        round: &Round<'_>,
        turn: Turn,
    ) -> Result<(Part, Result<Made, Refusal>), DistilError> {
        let (written, reason) = match self.ask(round, &turn).await? {
            Ok(answer) => answer,
            Err(refusal) => return Ok((turn.part, Err(refusal))),
        };
        tracing::trace!(target: telemetry::GENERATION, content = written, "answer");
        let (this, embedder) = (self.clone(), round.embedder.clone());
        blocking(move || {
            let counter = this.counter();
            let reading = Reading::of(turn.text(), &*counter);
            let (Part { tokens, target, .. }, embedder) = (turn.part.clone(), embedder.as_deref());
            let checked = check(&reading, tokens, target, (&written, reason), embedder, &*counter);
            let refused = |reason| Refusal { reason, passing: false };
            let answer = checked.map(Made::from).map_err(refused);
            (turn.part.clone(), answer)
        })
        .await
    }

    /// What the model wrote, or why it didn't.
    async fn ask(
        &self,
        round: &Round<'_>,
        turn: &Turn,
    ) -> Result<Result<(String, FinishReason), Refusal>, DistilError> {
        let _permit = round.permits.acquire().await.map_err(|_| DistilError::Lost)?;
        let deadline = *round.begun.get_or_init(Instant::now) + self.settings.deadline;
        // The same text would be too late again; the next request must not wait for it anew.
        let too_late = || Refusal { reason: TOO_LATE.to_owned(), passing: false };
        if Instant::now() >= deadline {
            return Ok(Err(too_late()));
        }
        let (this, client, turn) = (self.clone(), round.client.clone(), turn.clone());
        let generation = match blocking(move || this.queue(client, &turn, deadline)).await? {
            Ok(generation) => generation,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(match tokio::time::timeout_at(deadline.into(), generation.text()).await {
            Ok(Ok((written, finished))) => Ok((written, finished.reason)),
            Err(_) | Ok(Err(EngineError::DeadlinePassed)) => Err(too_late()),
            Ok(Err(error)) => Err(Refusal { reason: error.to_string(), passing: true }),
        })
    }

    fn queue(
        &self,
        client: ClientId,
        turn: &Turn,
        deadline: Instant,
    ) -> Result<Generation, Refusal> {
        let refusal = |reason: String| Refusal { reason, passing: true };
        let Turn { task, part, .. } = turn;
        let messages = messages(&self.prompts, task.kind, turn.text(), part.target)
            .map_err(|error| refusal(error.to_string()))?;
        for message in &messages {
            tracing::trace!(
                target: telemetry::GENERATION,
                role = ?message.role,
                content = message.content,
                "prompt"
            );
        }
        let mut sampling = self.settings.sampling.clone();
        sampling.temperature = self.settings.temperatures.of(task.kind);
        sampling.seed = self.ids.sampler_seed();
        let request = GenerateRequest {
            deadline: Some(deadline),
            private: task.kind.is_of_talk(),
            ..GenerateRequest::new(client, messages, sampling, room_for(part.target))
        };
        self.engine.submit(request).map_err(|error| refusal(error.to_string()))
    }

    /// The source in as few parts as fit the model's window, each with its share of the target.
    fn parts(&self, task: &Task) -> Result<Vec<Part>, Refusal> {
        let refusal = |reason: String| Refusal { reason, passing: true };
        let bare = messages(&self.prompts, task.kind, "", task.target)
            .map_err(|error| refusal(error.to_string()))?;
        let fixed = self.engine.prompt_tokens(&bare).map_err(|error| refusal(error.to_string()))?;
        // Sizes are the model's here, whatever counts budgets.
        let counter = self.engine.counter().unwrap_or_else(|| self.counter());
        let text = &task.source.text;
        let total = counter.count(text);
        let share = task.target.get() as f64 / task.source.tokens.get().max(1) as f64;
        let window = self.engine.status().window.unwrap_or(LONGEST_PART);
        let room = window - fixed - ROOM_FOR_AN_END;
        let longest = room.scaled(1.0 / (1.0 + ROOM_BEYOND_TARGET * share)).min(LONGEST_PART);
        if total <= longest {
            let range = 0..text.len();
            return Ok(vec![Part { range, tokens: task.source.tokens, target: task.target }]);
        }
        if longest < SHORTEST_PART {
            return Err(refusal(format!(
                "the model's window of {window} tokens has no room for the text; raise LLM_N_CTX"
            )));
        }
        let budgets = self.counter();
        let parts = cut(text, total, longest, &*counter).into_iter().map(|range| {
            let tokens = budgets.count(&text[range.clone()]);
            Part { range, tokens, target: tokens.scaled(share) }
        });
        Ok(parts.collect())
    }
}

/// The parts as one text; of those without a summary, their sentences.
fn put_together(
    task: &Task,
    answers: Vec<(Part, Result<Made, Refusal>)>,
    embedder: Option<&dyn Embedder>,
    counter: &dyn TokenCounter,
) -> Made {
    let text = &task.source.text;
    let made = answers.into_iter().map(|(part, answer)| {
        let made = answer.unwrap_or_else(|refusal| {
            let slice = &text[part.range.clone()];
            let (made, _) = Made::extracted(slice, part.target, Limit::Soft, embedder, counter);
            Made { degraded: Some(refusal.reason), ..made }
        });
        (part.range, made)
    });
    let mut parts: Vec<_> = made.collect();
    match parts.pop() {
        Some((_, only)) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            Made::of_parts(text, parts, counter)
        }
    }
}

fn room_for(target: TokenCount) -> TokenCount {
    target.scaled(ROOM_BEYOND_TARGET) + ROOM_FOR_AN_END
}

/// Runs of whole sentences of about the same size, none above `longest` by more than a sentence
/// counted alone differs from the same in its text.
fn cut(
    text: &str,
    total: TokenCount,
    longest: TokenCount,
    counter: &dyn TokenCounter,
) -> Vec<Range<usize>> {
    /// Of what fits, so that small differences in counting don't matter.
    const SAFE: f64 = 0.9;
    let safe = longest.scaled(SAFE).get().max(1);
    let size = total.get().div_ceil(total.get().div_ceil(safe).max(1));
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut used = 0;
    for sentence in sentences(text) {
        let tokens = counter.count(&text[sentence.clone()]).get();
        match parts.last_mut() {
            Some(part) if used + tokens <= size => {
                part.end = sentence.end;
                used += tokens;
            }
            _ => {
                parts.push(sentence);
                used = tokens;
            }
        }
    }
    parts
}
