//! Rolls several texts into one that fits: summaries of them, summaries of those in groups, and in
//! the end a choice of sentences. Each sentence stays traced to the sources.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::cache::Key;
use super::distiller::{Approach, Distiller, Task, blocking};
use super::extract::Limit;
use super::made::Made;
use super::prompt::{Kind, NamesPrompt};
use super::reading::{Reading, share};
use super::sentences::sentences;
use super::{Account, DistilError, Distilled, Method, SentenceOrigin, Source, Strategy, Urgency};
use crate::embedding::Embedder;
use crate::engine::ClientId;
use crate::tokens::{TokenCount, TokenCounter};

/// Summaries that a model merges at a time.
const GROUP: usize = 5;
/// A summary that keeps more than this of its source isn't worth the model's time.
const LARGEST_SHARE: f64 = 0.9;
const BETWEEN: &str = "\n\n";
/// Share of a summary's room that names without a sentence may take.
const MOST_FOR_NAMES: f64 = 0.5;
const ROUNDS_FOR_NAMES: usize = 4;
const LINE_END: TokenCount = TokenCount::new(1);

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
        match self.approach(urgency) {
            Approach::Model(_) => self.roll_summaries(client, sources, target, done).await,
            Approach::Extractive(degraded) => {
                let key = rolled_key(&sources, target, &*self.counter());
                let mut rolled = if let Some(found) = self.find(key).await {
                    found
                } else {
                    let woven = self.woven(&sources).await?;
                    let rolled = self.squeeze(sources, woven, target, urgency).await?;
                    self.keep(key, &rolled).await;
                    rolled
                };
                rolled.account.degraded = degraded.filter(|_| rolled.account.ratio < 1.0);
                Ok(rolled)
            }
        }
    }

    /// Summaries, summaries of those, and a choice of sentences if that is still too long.
    async fn roll_summaries(
        &self,
        client: &ClientId,
        sources: Arc<Vec<Source>>,
        target: TokenCount,
        done: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Distilled, DistilError> {
        let mut woven = self.woven(&sources).await?;
        if woven.tokens > target {
            let summaries = self.first_round(client, &sources, target, &woven, done).await?;
            let finished = summaries.len();
            woven = self.weave(summaries, 1).await?;
            if woven.tokens > target && finished > 1 {
                let done = |count| done(finished + count);
                let strategy = strategy_of(&sources);
                woven = self.second_round(client, strategy, target, woven, finished, &done).await?;
            }
        }
        self.squeeze(sources, woven, target, Urgency::Rolling).await
    }

    async fn woven(&self, sources: &Arc<Vec<Source>>) -> Result<Woven, DistilError> {
        let (this, whole) = (self.clone(), Arc::clone(sources));
        blocking(move || Woven::of_sources(&whole, &*this.counter())).await
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
        // Half of the way in this round, by ratio; the other half in the next.
        let halfway = needed.sqrt();
        let tasks = sources.iter().map(|source| {
            let share = needed.max(source.strategy.ratio().min(halfway)).min(LARGEST_SHARE);
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
        woven: Woven,
        target: TokenCount,
        urgency: Urgency,
    ) -> Result<Distilled, DistilError> {
        let embedder = self.embedder_for(urgency);
        let this = self.clone();
        blocking(move || {
            let counter = this.counter();
            let woven = if woven.tokens > target {
                let made = this.reduced(&woven.text, target, embedder.as_deref(), &*counter);
                woven.reduced_to(made)
            } else {
                woven
            };
            let all = Woven::of_sources(&sources, &*counter);
            let kept = Reading::of(&all.text, &*counter).covered_by(&woven.text);
            let account = Account {
                strategy: strategy_of(&sources),
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

impl Distiller {
    /// Some of the text's sentences, and a line with the names that they lack.
    fn reduced(
        &self,
        text: &str,
        target: TokenCount,
        embedder: Option<&dyn Embedder>,
        counter: &dyn TokenCounter,
    ) -> Made {
        let extracted = |target| Made::extracted(text, target, Limit::Hard, embedder, counter).0;
        let reading = Reading::of(text, counter);
        let most = target.scaled(MOST_FOR_NAMES);
        let mut reserved = TokenCount::ZERO;
        let mut made = extracted(target);
        // Fewer sentences lack more names.
        for _ in 0..ROUNDS_FOR_NAMES {
            let lacking = self.names_line(&reading, &made.text, most, counter);
            let needed =
                lacking.map_or(TokenCount::ZERO, |(line, _)| counter.count(&line) + LINE_END);
            if needed <= reserved {
                break;
            }
            reserved = needed;
            made = extracted(target - reserved);
        }
        let room = target - made.tokens - LINE_END;
        if let Some((line, mentions)) = self.names_line(&reading, &made.text, room, counter) {
            made.text.push('\n');
            let start = made.text.len();
            made.text.push_str(&line);
            made.origins.push((start..made.text.len(), mentions));
            made.tokens = counter.count(&made.text);
        }
        made
    }

    /// As many names as fit, most mentioned first, and where they stand.
    fn names_line(
        &self,
        reading: &Reading<'_>,
        told: &str,
        room: TokenCount,
        counter: &dyn TokenCounter,
    ) -> Option<(String, Vec<Range<usize>>)> {
        let mut mentions = reading.missing_mentions(told);
        while !mentions.is_empty() {
            let names = mentions.iter().map(|mention| reading.text[mention.clone()].to_owned());
            let line = self.prompts.render(&NamesPrompt { names: names.collect() }).ok()?;
            let tokens = counter.count(&line);
            if tokens <= room {
                return Some((line, mentions));
            }
            let share = room.get() as f64 / tokens.get() as f64;
            let fewer = TokenCount::new(mentions.len()).scaled(share).get();
            mentions.truncate(fewer.min(mentions.len() - 1));
        }
        None
    }
}

fn strategy_of(sources: &[Source]) -> Strategy {
    sources.first().map_or(Strategy::ConversationHistory, |source| source.strategy)
}

/// Names a choice of sentences from several sources.
fn rolled_key(sources: &[Source], target: TokenCount, counter: &dyn TokenCounter) -> Key {
    let target = target.to_string();
    let mut fields = vec!["rolled", counter.name(), &target];
    // The account names the sources.
    fields.extend(sources.iter().flat_map(|source| [source.id.as_str(), &source.text]));
    Key::of(&fields)
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
