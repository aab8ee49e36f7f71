//! What is asked and answered, as clients write and read it.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::AskError;
use crate::archive::{DocumentId, Filter};
use crate::story::{ContextMetadata, Degradation};

/// Characters of the longest question.
const LONGEST_QUESTION: usize = 10_000;

/// A question about what the archive holds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AskRequest {
    /// May name files, `source:alice.txt` or `source:"my story.txt"`; and ask for whole documents,
    /// with words such as "in detail" or "everything about".
    pub question: String,
    #[serde(flatten)]
    pub options: AskOptions,
}

/// A conversation about what the archive holds; its last message is the question. Of those before it
/// the newest 20 count, each with its first 10000 characters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AskChatRequest {
    #[schemars(length(min = 1))]
    pub messages: Vec<AskMessage>,
    #[serde(flatten)]
    pub options: AskOptions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskMessage {
    pub role: AskSpeaker,
    pub content: String,
}

/// Read in letters of either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AskSpeaker {
    User,
    Assistant,
    /// Says at the beginning how answers are wished; not what from, which are the passages alone.
    System,
}

impl<'de> Deserialize<'de> for AskSpeaker {
    fn deserialize<D: Deserializer<'de>>(role: D) -> Result<Self, D::Error> {
        let role = String::deserialize(role)?;
        match role.to_ascii_lowercase().as_str() {
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            "system" => Ok(Self::System),
            _ => Err(D::Error::unknown_variant(&role, &["user", "assistant", "system"])),
        }
    }
}

/// How a question is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AskOptions {
    /// Passages to answer from. A follow-up keeps those of the question before and may add half as
    /// many.
    #[schemars(range(min = 1, max = 20))]
    pub n_context_chunks: usize,
    /// Most tokens of the answer.
    #[schemars(range(min = 50, max = 4096))]
    pub max_tokens: u32,
    /// `RAG_DEFAULT_TEMPERATURE` if not given.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f32>,
    /// Answer from this file alone: its name or its path.
    pub filter_file_name: Option<String>,
    /// Answer from documents whose metadata are so, as in a search: a value, a list of values of which
    /// one will do, or comparisons such as {"$gte": 3}.
    pub filter: Option<Map<String, Value>>,
}

impl Default for AskOptions {
    fn default() -> Self {
        Self {
            n_context_chunks: 5,
            max_tokens: 1024,
            temperature: None,
            filter_file_name: None,
            filter: None,
        }
    }
}

/// An answer from the archive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AskResponse {
    /// The question as it was asked.
    pub query: String,
    /// Each statement with the number of its source: `[1]`.
    pub answer: String,
    /// What the answer cites, the first cited first.
    pub sources: Vec<CitedSource>,
    pub total_sources: usize,
    /// What else there is to know, above all why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info_message: Option<String>,
    /// Whether the archive holds anything about it; false, too, where the model says that it doesn't.
    pub found: bool,
    /// Statements of the answer whose words no source has. Without a citation they are the model's own;
    /// with one they are a doubt, as what is told in another language shares no words either.
    pub unsupported: Vec<String>,
    #[serde(flatten)]
    pub degradation: Degradation,
    /// What the model was shown, and why; null where none was asked. Its receipt names the agent
    /// `worldbuilding`: the archivist is none of the workshop's, and shares that one's rules.
    pub context_metadata: Option<ContextMetadata>,
}

/// Where a statement comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CitedSource {
    /// As the answer cites it.
    pub number: usize,
    pub file_path: String,
    pub file_name: String,
    /// The document's words, as far as the model was shown them. Of a whole document that was told
    /// shorter to fit (the receipt calls it `distilled`) the words it was told from, which the model
    /// didn't read itself.
    pub matching_section: String,
    /// 1 / (1 + d), d the squared Euclidean distance of question and passage as vectors; 0 where they
    /// weren't compared.
    pub similarity_score: f64,
    /// Words and meaning together, 0 to 1.
    pub score: f32,
    /// Where it lies in the document, in characters.
    pub char_start: usize,
    pub char_end: usize,
    /// What is left out of its middle, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omitted: Option<CharacterRange>,
    pub document_id: DocumentId,
    /// The heading of the part of the document it begins in.
    pub chapter: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CharacterRange {
    pub char_start: usize,
    pub char_end: usize,
}

impl AskOptions {
    pub(super) fn check(&self) -> Result<(), AskError> {
        if !(1..=20).contains(&self.n_context_chunks) {
            return Err(AskError::wrong("n_context_chunks", "must be from 1 to 20"));
        }
        if !(50..=4096).contains(&self.max_tokens) {
            return Err(AskError::wrong("max_tokens", "must be from 50 to 4096"));
        }
        if self.temperature.is_some_and(|it| !(0.0..=2.0).contains(&it)) {
            return Err(AskError::wrong("temperature", "must be from 0 to 2"));
        }
        Ok(self.documents().check()?)
    }

    /// Which documents the question is about.
    pub(super) fn documents(&self) -> Filter {
        let named = self.filter_file_name.as_deref().filter(|name| !name.trim().is_empty());
        Filter { file: named.map(str::to_owned), metadata: self.filter.clone().unwrap_or_default() }
    }
}

impl AskRequest {
    pub(super) fn messages(self) -> Vec<AskMessage> {
        vec![AskMessage { role: AskSpeaker::User, content: self.question }]
    }
}

/// The newest message must be a question.
pub(super) fn check_messages(messages: &[AskMessage], field: &[&str]) -> Result<(), AskError> {
    let Some(last) = messages.last() else {
        return Err(AskError::wrong("messages", "must hold at least one message"));
    };
    let wrong = |fault: &'static str| Err(AskError::wrong_at(field, fault));
    if last.role != AskSpeaker::User {
        return wrong("the last message must be the user's: there is nothing to answer");
    }
    if last.content.trim().is_empty() {
        return wrong("is empty: there is nothing to answer");
    }
    if last.content.chars().nth(LONGEST_QUESTION).is_some() {
        return wrong("is longer than 10000 characters: ask shorter");
    }
    Ok(())
}
