//! One request that has a sequence: what of its prompt is read, what is written, and what its next
//! batch holds.

use std::time::{Duration, Instant};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::token::LlamaToken;

use super::Job;
use super::answer::AnswerText;
use super::likelihood::Likelihood;
use super::lookup::PromptLookup;
use super::tree::SequenceId;
use super::vocabulary::Vocabulary;
use crate::engine::{
    ClientId, EngineError, Event, FinishReason, Finished, Timings, Usage, milliseconds,
};
use crate::tokens::TokenCount;

pub(super) struct Running {
    pub(super) sequence: SequenceId,
    job: Job,
    /// Tokens of prompt and answer that are in the KV cache.
    held: usize,
    /// The token written last, which isn't in the cache yet.
    last: Option<LlamaToken>,
    written: usize,
    text: AnswerText,
    likelihood: Option<Likelihood>,
    lookup: Option<PromptLookup>,
    cached_tokens: TokenCount,
    queued: Duration,
    admitted: Instant,
    first_token: Option<Instant>,
}

/// What a batch holds of one sequence.
pub(super) struct Portion {
    pub(super) tokens: Vec<LlamaToken>,
    /// Position of the first of them.
    pub(super) from: usize,
    /// Whether every token's logits are wanted, or at most the last one's.
    pub(super) kind: PortionKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortionKind {
    /// A part of the prompt, the end not included.
    Prompt,
    /// The end of the prompt: its last logits choose the first token.
    PromptEnd,
    /// The token written last, and a draft of what may follow.
    Answer,
}

impl Portion {
    pub(super) fn wants_logits(&self, index: usize) -> bool {
        match self.kind {
            PortionKind::Prompt => false,
            PortionKind::PromptEnd => index + 1 == self.tokens.len(),
            PortionKind::Answer => true,
        }
    }
}

/// What became of a request in one step.
pub(super) enum Progress {
    Goes,
    Finished(FinishReason),
}

/// Why a request ended without an answer.
pub(super) enum Stopped {
    /// Nobody waits for it any more.
    Abandoned,
    Failed(EngineError),
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl Running {
    pub(super) fn new(job: Job, sequence: SequenceId, held: usize) -> Self {
        let cached_tokens = TokenCount::new(held);
        let prompt_tokens = TokenCount::new(job.prompt.len());
        job.events.send(Event::Started { prompt_tokens, cached_tokens });
        Self {
            sequence,
            held,
            last: None,
            written: 0,
            text: AnswerText::new(&job.request.stop),
            likelihood: job.request.logprobs.map(Likelihood::new),
            lookup: job.request.prompt_lookup.then(|| PromptLookup::new(&job.prompt)),
            cached_tokens,
            queued: job.queued_at.elapsed(),
            admitted: Instant::now(),
            first_token: None,
            job,
        }
    }

    pub(super) fn client(&self) -> &ClientId {
        &self.job.request.client
    }

    pub(super) fn prompt(&self) -> &[LlamaToken] {
        &self.job.prompt
    }

    /// Whether its prompt is still being read.
    pub(super) fn reads(&self) -> bool {
        self.last.is_none()
    }

    /// Tokens of its prompt that are still to be read.
    pub(super) fn unread(&self) -> usize {
        self.job.prompt.len().saturating_sub(self.held)
    }

    pub(super) fn admitted(&self) -> Instant {
        self.admitted
    }

    /// Cells it may still come to need.
    pub(super) fn needs(&self) -> usize {
        self.job.prompt.len() + self.job.max_tokens.get() - self.held
    }

    /// Whether to go on.
    pub(super) fn check(&self, closing: bool) -> Result<(), Stopped> {
        self.job.check(closing)
    }

    /// At most so many tokens of its prompt.
    pub(super) fn prompt_portion(&self, most: usize) -> Portion {
        let end = self.job.prompt.len().min(self.held + most);
        let whole = end == self.job.prompt.len();
        Portion {
            tokens: self.job.prompt[self.held..end].to_vec(),
            from: self.held,
            kind: if whole { PortionKind::PromptEnd } else { PortionKind::Prompt },
        }
    }

    /// The token written last, and at most so many drafted ones.
    pub(super) fn answer_portion(&mut self, most_drafted: usize) -> Option<Portion> {
        let last = self.last?;
        // The last token that may be written is never read.
        let room = self.job.max_tokens.get().saturating_sub(self.written + 1);
        let mut tokens = vec![last];
        if let Some(lookup) = &mut self.lookup {
            tokens.extend(lookup.draft(most_drafted.min(room)));
        }
        Some(Portion { tokens, from: self.held, kind: PortionKind::Answer })
    }

    /// Samples from what the batch computed, whose logits for this portion begin at `logits`. Tells
    /// how many of the portion's tokens the sequence keeps.
    pub(super) fn advance(
        &mut self,
        portion: &Portion,
        context: &LlamaContext<'_>,
        logits: i32,
        vocabulary: &Vocabulary,
    ) -> (usize, Result<Progress, EngineError>) {
        match portion.kind {
            PortionKind::Prompt => {
                self.held += portion.tokens.len();
                (portion.tokens.len(), Ok(Progress::Goes))
            }
            PortionKind::PromptEnd => {
                self.held += portion.tokens.len();
                self.first_token = Some(Instant::now());
                let count = i32::try_from(portion.tokens.len()).unwrap_or(i32::MAX);
                let progress = self.write(context, logits + count - 1, vocabulary);
                (portion.tokens.len(), progress)
            }
            PortionKind::Answer => {
                let (kept, progress) = self.verify(portion, context, logits, vocabulary);
                self.held += kept;
                (kept, progress)
            }
        }
    }

    /// Samples after the first token, and after each drafted one for as long as the draft is right.
    fn verify(
        &mut self,
        portion: &Portion,
        context: &LlamaContext<'_>,
        mut logits: i32,
        vocabulary: &Vocabulary,
    ) -> (usize, Result<Progress, EngineError>) {
        let draft = &portion.tokens[1..];
        let mut right = 0;
        let progress = loop {
            match self.write(context, logits, vocabulary) {
                Ok(Progress::Goes) => {}
                ended => break ended,
            }
            if draft.get(right) != self.last.as_ref() {
                break Ok(Progress::Goes);
            }
            right += 1;
            logits += 1;
        };
        if let Some(lookup) = &mut self.lookup
            && !draft.is_empty()
        {
            lookup.checked(draft.len(), right);
        }
        (right + 1, progress)
    }

    /// Writes the token that these logits choose.
    fn write(
        &mut self,
        context: &LlamaContext<'_>,
        logits: i32,
        vocabulary: &Vocabulary,
    ) -> Result<Progress, EngineError> {
        let token = self.job.sampler.sample(context, logits)?;
        self.written += 1;
        self.last = Some(token);
        if vocabulary.ends_generation(token) {
            return Ok(Progress::Finished(FinishReason::Stop));
        }
        if let Some(lookup) = &mut self.lookup {
            lookup.push(token);
        }
        if let Some(likelihood) = &mut self.likelihood {
            likelihood.observe(token, context.get_logits_ith(logits), vocabulary);
        }
        let passed = self.text.push(|bytes| vocabulary.bytes(token, bytes));
        self.show(passed.text);
        if passed.stopped || self.job.sampler.is_complete() {
            return Ok(Progress::Finished(FinishReason::Stop));
        }
        if self.written >= self.job.max_tokens.get() {
            return Ok(Progress::Finished(FinishReason::Length));
        }
        Ok(Progress::Goes)
    }

    fn show(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        if let Some(likelihood) = &mut self.likelihood {
            self.job.events.send(Event::Tokens(likelihood.of_next(&text)));
        }
        self.job.events.send(Event::Text(text));
    }

    /// Ends the answer; tells the tokens a second it was written with, and how long it all took.
    pub(super) fn finish(mut self, reason: FinishReason) -> (Option<f64>, Duration) {
        let rest = self.text.finish();
        self.show(rest);
        let prefill = self.first_token.map_or(Duration::ZERO, |first| first - self.admitted);
        let decode = self.first_token.map_or(Duration::ZERO, |first| first.elapsed());
        let usage = Usage {
            prompt_tokens: TokenCount::new(self.job.prompt.len()),
            cached_tokens: self.cached_tokens,
            completion_tokens: TokenCount::new(self.written),
        };
        let timings = Timings {
            queue_ms: milliseconds(self.queued),
            prefill_ms: milliseconds(prefill),
            decode_ms: milliseconds(decode),
        };
        self.job.events.send(Event::Finished(Finished { reason, usage, timings }));
        let rate = (self.written > 1).then(|| self.written as f64 / decode.as_secs_f64());
        (rate, self.admitted.elapsed())
    }

    pub(super) fn fail(self, error: EngineError) {
        self.job.events.send(Event::Failed(error));
    }
}
