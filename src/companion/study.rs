//! What a model reads out of what a user said, in idle time: facts and relations that plain patterns
//! don't find. Its answer is held to a schema, and believed only as far as the text bears it out: each
//! quote must stand in what was said, and each value in its quote.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::conversations::{self, Conversation};
use super::facts::{self, FactSource, NewFact};
use super::moments::{self, NewMemory, Tier};
use super::stated::{self, FactKind};
use super::words::{StudyInstructions, StudyText};
use super::{CompanionError, Companions};
use crate::engine::{ClientId, EngineError, EngineState, GenerateRequest, Message, Sampling};
use crate::memory::{MessageId, Role, Stored};
use crate::persona::relationship::straightened;
use crate::prompts::Prompt as _;
use crate::telemetry;
use crate::tokens::TokenCount;

/// Conversations that a model is to look at, in order, and whether somebody is at it.
#[derive(Default)]
pub(super) struct Queue {
    conversations: Mutex<VecDeque<i64>>,
    has_worker: AtomicBool,
    /// By conversation: after which message stands what couldn't be studied, and how often.
    failures: Mutex<HashMap<i64, (MessageId, u32)>>,
}

/// Messages that are looked at together, and the most bytes of them.
const MOST_MESSAGES: usize = 8;
const MOST_BYTES: usize = 4_000;
const ANSWER: TokenCount = TokenCount::new(400);
/// After so many failures a part is passed over.
const MOST_FAILURES: u32 = 3;
const DEADLINE: Duration = Duration::from_mins(2);

/// What a model noted down.
#[derive(Debug, Default, Deserialize, JsonSchema)]
struct Notes {
    #[schemars(length(max = 8))]
    facts: Vec<FactNote>,
    #[schemars(length(max = 8))]
    relations: Vec<RelationNote>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct FactNote {
    kind: FactKind,
    #[schemars(length(max = 80))]
    value: String,
    #[schemars(length(max = 300))]
    quote: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RelationNote {
    #[schemars(length(max = 60))]
    subject: String,
    #[schemars(length(max = 60))]
    relation: String,
    #[schemars(length(max = 60))]
    object: String,
    #[schemars(length(max = 300))]
    quote: String,
}

static SCHEMA: LazyLock<Arc<Value>> =
    LazyLock::new(|| Arc::new(schemars::schema_for!(Notes).to_value()));

impl Queue {
    /// Whether a worker is wanted.
    fn push(&self, conversation: i64) -> bool {
        let mut waiting = self.conversations.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.contains(&conversation) {
            waiting.push_back(conversation);
        }
        !self.has_worker.swap(true, Ordering::AcqRel)
    }

    /// For the worker; `None` sends it home.
    fn pop(&self) -> Option<i64> {
        let mut waiting = self.conversations.lock().unwrap_or_else(PoisonError::into_inner);
        let next = waiting.pop_front();
        if next.is_none() {
            self.has_worker.store(false, Ordering::Release);
        }
        next
    }

    /// Whether the part after this message has failed once too often, with this failure.
    fn has_failed_for_good(&self, conversation: i64, after: MessageId) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (part, times) = failures.entry(conversation).or_insert((after, 0));
        if *part != after {
            (*part, *times) = (after, 0);
        }
        *times += 1;
        let is_enough = *times >= MOST_FAILURES;
        if is_enough {
            failures.remove(&conversation);
        }
        is_enough
    }
}

impl Companions {
    pub(super) fn study_later(&self, conversation: i64) {
        if !self.inner.settings.studies || !self.inner.to_study.push(conversation) {
            return;
        }
        let companions = self.clone();
        tokio::spawn(async move {
            while let Some(conversation) = companions.inner.to_study.pop() {
                if let Err(error) = companions.study(conversation).await {
                    tracing::warn!(conversation, "a conversation couldn't be studied: {error}");
                }
            }
        });
    }

    /// Until nothing is new; whoever speaks meanwhile comes first.
    async fn study(&self, conversation: i64) -> Result<(), CompanionError> {
        let chat = &self.inner.chat;
        loop {
            let studying = || async move {
                if chat.engine.status().state != EngineState::Ready {
                    return Ok(false);
                }
                self.study_some(conversation).await
            };
            if !chat.when_quiet(studying).await? {
                return Ok(());
            }
        }
    }

    /// Whether there is more to look at.
    async fn study_some(&self, id: i64) -> Result<bool, CompanionError> {
        let found = self.look(move |connection| Ok(conversations::by_id(connection, id)?)).await?;
        let Some(conversation) = found else { return Ok(false) };
        let after = conversation.studied_to;
        let said = self.inner.memory.said_after(conversation.session(), after).await?;
        // What isn't learnt from yet has its turn first.
        let said = said.into_iter().take_while(|stored| stored.id <= conversation.learnt_to);
        let (part, has_more) = first_part(said.collect());
        let Some(last) = part.last().map(|stored| stored.id) else { return Ok(false) };
        let users: Vec<Stored> =
            part.into_iter().filter(|stored| stored.said.role == Role::User).collect();
        let notes = if users.is_empty() { Ok(Notes::default()) } else { self.ask(&users).await };
        let notes = match notes {
            Err(error) if self.inner.to_study.has_failed_for_good(id, after) => {
                tracing::warn!(conversation = id, "messages are passed over: {error}");
                Notes::default()
            }
            notes => notes?,
        };
        self.change(move |connection| {
            // It may have been deleted meanwhile, or studied by another process.
            let Some(conversation) = conversations::by_id(connection, id)? else { return Ok(()) };
            if conversation.studied_to == after {
                put_down(connection, &conversation, &users, &notes)?;
                conversations::studied(connection, id, last)?;
            }
            Ok(())
        })
        .await?;
        Ok(has_more)
    }

    /// What the model notes; nothing where its answer can't be read.
    async fn ask(&self, said: &[Stored]) -> Result<Notes, CompanionError> {
        let prompts = &self.inner.prompts;
        let text = StudyText { messages: said.iter().map(|it| it.told().to_owned()).collect() };
        let request = GenerateRequest {
            client: ClientId::default(),
            messages: vec![
                Message::system(prompts.render(&StudyInstructions::sample())?.trim()),
                Message::user(prompts.render(&text)?.trim()),
            ],
            sampling: Sampling { temperature: 0.0, ..self.inner.settings.sampling.clone() },
            max_tokens: ANSWER,
            stop: Vec::new(),
            json_schema: Some(Arc::clone(&SCHEMA)),
            prompt_lookup: true,
            deadline: Some(Instant::now() + DEADLINE),
            logit_bias: Vec::new(),
            logprobs: None,
            tools: None,
            private: true,
        };
        let engine = Arc::clone(&self.inner.chat.engine);
        let submitted = tokio::task::spawn_blocking(move || engine.submit(request)).await;
        let generation = submitted.map_err(|_| EngineError::Lost)??;
        let (text, _) = generation.text().await?;
        tracing::trace!(target: telemetry::GENERATION, content = text, "notes");
        // An answer that was cut off is none.
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// So many of the messages as are looked at together, and whether there are more.
fn first_part(mut said: Vec<Stored>) -> (Vec<Stored>, bool) {
    let mut bytes = 0;
    let fitting = said.iter().take(MOST_MESSAGES).take_while(|stored| {
        bytes += stored.told().len();
        bytes <= MOST_BYTES
    });
    let count = fitting.count().max(1).min(said.len());
    let has_more = count < said.len();
    said.truncate(count);
    (said, has_more)
}

fn put_down(
    connection: &rusqlite::Connection,
    conversation: &Conversation,
    said: &[Stored],
    notes: &Notes,
) -> Result<(), CompanionError> {
    let user = conversation.user;
    for note in &notes.facts {
        let Some((source, sentence)) = bearing(said, &note.quote, &[&note.value]) else { continue };
        let Some(value) = read(note, &sentence) else { continue };
        let new = NewFact {
            user,
            kind: note.kind,
            value: &value,
            source: FactSource::Model,
            origin: Some((conversation.id, source.id)),
            at: source.said_at,
        };
        facts::learn(connection, &new)?;
    }
    for note in &notes.relations {
        let named = [note.subject.as_str(), note.object.as_str()];
        let Some((source, _)) = bearing(said, &note.quote, &named) else { continue };
        let text =
            format!("{} {} {}", note.subject.trim(), note.relation.trim(), note.object.trim());
        let new = NewMemory {
            user,
            tier: Tier::Semantic,
            text: &text,
            subject: Some(note.subject.trim()),
            emotion: None,
            importance: FactSource::Model.confidence(),
            conversation: conversation.id,
            message: source.id,
            at: source.said_at,
        };
        moments::add(connection, &new)?;
    }
    Ok(())
}

/// Shorter words prove nothing.
const SHORTEST_QUOTE: usize = 6;

/// What the note says of the user, as far as it is of the user: names and ages are found by plain
/// patterns or not at all.
fn read(note: &FactNote, sentence: &str) -> Option<String> {
    let value = straightened(note.value.trim());
    match note.kind {
        FactKind::Name | FactKind::Age => None,
        FactKind::Location | FactKind::Occupation | FactKind::Birthday => {
            stated::cleaned(note.kind, &value, sentence).filter(|_| stated::is_of_self(sentence))
        }
        FactKind::Likes | FactKind::Dislikes if stated::names_family(sentence) => None,
        FactKind::Likes | FactKind::Dislikes | FactKind::Relation | FactKind::Other => {
            stated::fault(note.kind, &value).is_none().then_some(value)
        }
    }
}

/// The message in which the quote stands and its sentence there, and in the quote these words; `None`
/// where the text doesn't bear the note out, and for what is asked, supposed or told by others.
fn bearing<'a>(said: &'a [Stored], quote: &str, words: &[&str]) -> Option<(&'a Stored, String)> {
    let quote = normal(quote);
    let is_borne = quote.chars().count() >= SHORTEST_QUOTE
        && !quote.ends_with('?')
        && words.iter().all(|word| {
            let word = normal(word);
            !word.is_empty() && quote.contains(&word)
        });
    let holding = |stored: &&'a Stored| {
        let mut sentences = stated::statements(stored.told()).into_iter();
        sentences.find(|sentence| normal(sentence).contains(&quote))
    };
    let mut found = said.iter().filter_map(|stored| Some((stored, holding(&stored)?)));
    found.next().filter(|_| is_borne)
}

fn normal(text: &str) -> String {
    let text = straightened(text);
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: FactKind, value: &str) -> FactNote {
        FactNote { kind, value: value.into(), quote: String::new() }
    }

    #[test]
    fn what_is_told_of_others_is_no_fact_of_the_user() {
        use FactKind::{Age, Likes, Location, Name, Occupation};
        for (kind, value, sentence) in [
            (Name, "Mara", "My sister Mara keeps the lighthouse."),
            (Age, "12", "My son is 12."),
            (Location, "Oslo", "My brother lives in Oslo."),
            (Location, "Oslo", "Tom lives in Oslo."),
            (Occupation, "baker", "My dear mother and I say she is a baker."),
            (Likes, "tea", "My boss likes tea."),
            (Likes, "tea}", "Tea} it is."),
        ] {
            assert_eq!(read(&note(kind, value), sentence), None, "{sentence}");
        }
        let told = "I have spent my whole life in Oslo.";
        assert_eq!(read(&note(Location, "Oslo"), told).as_deref(), Some("Oslo"));
        assert_eq!(read(&note(Likes, "Sailing"), "Sailing rocks.").as_deref(), Some("Sailing"));
    }

    #[test]
    fn a_part_is_passed_over_after_its_third_failure() {
        let queue = Queue::default();
        let failed = |part| queue.has_failed_for_good(1, MessageId(part));
        assert_eq!([failed(1), failed(1), failed(2), failed(2)], [false; 4]);
        assert!(failed(2));
        assert!(!failed(3));
    }
}
