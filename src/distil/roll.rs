//! Rolls several texts into one that fits: summaries of them, summaries of those in groups, and in
//! the end a choice of sentences. Each sentence stays traced to the sources.

use std::collections::HashMap;
use std::sync::Arc;

use super::distiller::{Approach, Distiller, Task, blocking};
use super::extract::Limit;
use super::made::Made;
use super::prompt::Kind;
use super::reading::{Reading, share};
use super::sentences::sentences;
use super::{Account, DistilError, Distilled, Method, SentenceOrigin, Source, Strategy, Urgency};
use crate::engine::ClientId;
use crate::tokens::{TokenCount, TokenCounter};

/// Summaries that a model merges at a time.
const GROUP: usize = 5;
/// A summary that keeps more than this of its source isn't worth the model's time.
const LARGEST_SHARE: f64 = 0.9;
const BETWEEN: &str = "\n\n";

/// Several texts as one.
struct Woven {
    text: String,
    tokens: TokenCount,
    sentences: Vec<SentenceOrigin>,
    method: Method,
    degraded: Option<String>,
    cached: bool,
    /// How many rounds it took.
    depth: u8,
}

impl Distiller {
    /// Makes one text of at most `target` tokens of several, which follow each other in time; those
    /// may be summaries themselves ([`Account::traced`] then leads further back). At most three
    /// rounds. `done` hears how many texts are finished, those of later rounds included.
    pub async fn roll(
        &self,
        client: &ClientId,
        sources: Vec<Source>,
        target: TokenCount,
        urgency: Urgency,
        done: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Distilled, DistilError> {
        let sources = Arc::new(sources);
        let strategy = sources.first().map_or(Strategy::ConversationHistory, |s| s.strategy);
        let (this, whole) = (self.clone(), Arc::clone(&sources));
        let mut woven = blocking(move || Woven::of_sources(&whole, &*this.counter())).await?;
        let approach = self.approach(urgency);
        let may_summarise = woven.tokens > target && matches!(approach, Approach::Model(_));
        if may_summarise {
            let summaries = self.first_round(client, &sources, target, &woven, done).await?;
            let finished = summaries.len();
            woven = self.weave(summaries, 1).await?;
            if woven.tokens > target && finished > 1 {
                let done = |count| done(finished + count);
                woven = self.second_round(client, strategy, target, woven, finished, &done).await?;
            }
        } else if let Approach::Extractive(degraded) = approach {
            woven.degraded = degraded.filter(|_| woven.tokens > target);
        }
        self.squeeze(sources, strategy, woven, target, urgency).await
    }

    /// Each source by itself, no shorter than need be.
    async fn first_round(
        &self,
        client: &ClientId,
        sources: &[Source],
        target: TokenCount,
        whole: &Woven,
        done: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Vec<Distilled>, DistilError> {
        let needed = target.get() as f64 / whole.tokens.get().max(1) as f64;
        let tasks = sources.iter().map(|source| {
            let share = needed.max(source.strategy.ratio()).min(LARGEST_SHARE);
            Task { target: source.tokens.scaled(share), ..Task::by_ratio(source.clone()) }
        });
        self.carry_out(client, tasks.collect(), Urgency::Rolling, done).await
    }

    /// Groups of summaries that follow each other.
    async fn second_round(
        &self,
        client: &ClientId,
        strategy: Strategy,
        target: TokenCount,
        woven: Woven,
        count: usize,
        done: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Woven, DistilError> {
        let this = self.clone();
        let (groups, before) = blocking(move || {
            let counter = this.counter();
            (woven.groups(count.div_ceil(GROUP), strategy, &*counter), woven)
        })
        .await?;
        let total: TokenCount = groups.iter().map(|(source, _)| source.tokens).sum();
        let needed = target.get() as f64 / total.get().max(1) as f64;
        let mut earlier = HashMap::new();
        let mut tasks = Vec::new();
        for (source, origins) in groups {
            let target = source.tokens.scaled(needed);
            earlier.insert(source.id.clone(), origins);
            tasks.push(Task { source, kind: Kind::Summaries, target });
        }
        let merged = self.carry_out(client, tasks, Urgency::Rolling, done).await?;
        let traced = merged.into_iter().map(|distilled| Distilled {
            account: distilled.account.traced(&earlier),
            ..distilled
        });
        let mut after = self.weave(traced.collect(), 2).await?;
        after.method = after.method.max(before.method);
        after.degraded = before.degraded.or(after.degraded);
        after.cached &= before.cached;
        Ok(after)
    }

    async fn weave(&self, texts: Vec<Distilled>, depth: u8) -> Result<Woven, DistilError> {
        let this = self.clone();
        blocking(move || Woven::of_summaries(&texts, depth, &*this.counter())).await
    }

    /// The text as it is if it fits, else some of its sentences, and the account of it all.
    async fn squeeze(
        &self,
        sources: Arc<Vec<Source>>,
        strategy: Strategy,
        woven: Woven,
        target: TokenCount,
        urgency: Urgency,
    ) -> Result<Distilled, DistilError> {
        let embedder = self.embedder_for(urgency);
        let this = self.clone();
        blocking(move || {
            let counter = this.counter();
            let woven = if woven.tokens > target {
                let hard = Limit::Hard;
                let text = &woven.text;
                let (made, _) = Made::extracted(text, target, hard, embedder.as_deref(), &*counter);
                woven.reduced_to(made)
            } else {
                woven
            };
            let all = Woven::of_sources(&sources, &*counter);
            let kept = Reading::of(&all.text, &*counter).covered_by(&woven.text);
            let account = Account {
                strategy,
                method: woven.method,
                ratio: woven.tokens.get() as f64 / all.tokens.get().max(1) as f64,
                quality: share(&kept),
                degraded: woven.degraded,
                cached: woven.cached,
                depth: woven.depth.max(1),
                sentences: woven.sentences,
            };
            Distilled { text: woven.text, tokens: woven.tokens, account }
        })
        .await
    }
}

impl Woven {
    /// The sources as they are.
    fn of_sources(sources: &[Source], counter: &dyn TokenCounter) -> Self {
        let parts = sources.iter().map(|source| {
            let origins = sentences(&source.text)
                .into_iter()
                .map(|range| SentenceOrigin::new(range.clone(), &source.id, vec![range]))
                .collect();
            (source.text.as_str(), origins)
        });
        let (text, sentences) = side_by_side(parts);
        let tokens = counter.count(&text);
        let method = Method::Extractive;
        Self { text, tokens, sentences, method, degraded: None, cached: false, depth: 0 }
    }

    fn of_summaries(summaries: &[Distilled], depth: u8, counter: &dyn TokenCounter) -> Self {
        let accounts = || summaries.iter().map(|summary| &summary.account);
        let method = accounts().map(|account| account.method).max().unwrap_or(Method::Extractive);
        let degraded = accounts().find_map(|account| account.degraded.clone());
        let cached = accounts().all(|account| account.cached);
        let parts = summaries.iter().map(|s| (s.text.as_str(), s.account.sentences.clone()));
        let (text, sentences) = side_by_side(parts);
        let tokens = counter.count(&text);
        Self { text, tokens, sentences, method, degraded, cached, depth }
    }

    /// The text in so many sources of about the same number of sentences; each with the origins of
    /// its own.
    fn groups(
        &self,
        count: usize,
        strategy: Strategy,
        counter: &dyn TokenCounter,
    ) -> Vec<(Source, Vec<SentenceOrigin>)> {
        let size = self.sentences.len().div_ceil(count.max(1)).max(1);
        let group = |(number, origins): (usize, &[SentenceOrigin])| {
            let (start, end) = (origins.first()?.start, origins.last()?.end);
            let text = self.text[start..end].to_owned();
            let moved = |origin: &SentenceOrigin| SentenceOrigin {
                start: origin.start - start,
                end: origin.end - start,
                spans: origin.spans.clone(),
            };
            let tokens = counter.count(&text);
            let source = Source { id: number.to_string(), text, tokens, strategy };
            Some((source, origins.iter().map(moved).collect()))
        };
        self.sentences.chunks(size).enumerate().filter_map(group).collect()
    }

    /// Only some of its sentences: a round more.
    fn reduced_to(self, made: Made) -> Self {
        const WOVEN: &str = "woven";
        let origins = made.origins.into_iter();
        let sentences =
            origins.map(|(place, from)| SentenceOrigin::new(place, WOVEN, from)).collect();
        let account = Account {
            strategy: Strategy::ConversationHistory,
            method: Method::Extractive,
            ratio: 1.0,
            quality: made.quality,
            degraded: None,
            cached: false,
            depth: 1,
            sentences,
        };
        let earlier = HashMap::from([(WOVEN.to_owned(), self.sentences)]);
        Self {
            text: made.text,
            tokens: made.tokens,
            sentences: account.traced(&earlier).sentences,
            method: Method::Extractive,
            degraded: self.degraded,
            cached: self.cached,
            depth: self.depth + 1,
        }
    }
}

/// Texts after one another, with the origins of their sentences.
fn side_by_side<'a>(
    parts: impl Iterator<Item = (&'a str, Vec<SentenceOrigin>)>,
) -> (String, Vec<SentenceOrigin>) {
    let mut text = String::new();
    let mut sentences = Vec::new();
    for (part, origins) in parts {
        if !text.is_empty() && !part.is_empty() {
            text.push_str(BETWEEN);
        }
        let by = text.len();
        sentences.extend(origins.into_iter().map(|origin| origin.moved(by)));
        text.push_str(part);
    }
    (text, sentences)
}
