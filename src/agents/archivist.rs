//! The archivist: answers questions about finished stories from passages of them.

use serde::Serialize;

use crate::prompts::Prompt;

/// What the archivist goes by.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ArchivistPrompt {
    /// How the reader would like answers.
    pub wishes: Option<String>,
}

impl Prompt for ArchivistPrompt {
    const FILE: &'static str = "archivist/system.j2";

    fn sample() -> Self {
        Self { wishes: Some("Answer in one sentence.".into()) }
    }
}

/// A passage with its number.
#[derive(Clone, Debug, Serialize)]
pub struct PassagePrompt {
    pub number: usize,
    pub file_name: String,
    /// The heading of the part of the document it lies in.
    pub section: Option<String>,
    pub text: String,
    /// The document's end, where its middle is left out.
    pub ending: Option<String>,
}

impl Prompt for PassagePrompt {
    const FILE: &'static str = "archivist/passage.j2";

    fn sample() -> Self {
        Self {
            number: 1,
            file_name: "Frankenstein.txt".into(),
            section: Some("Chapter 5".into()),
            text: "It was on a dreary night of November.".into(),
            ending: Some("He was soon borne away by the waves.".into()),
        }
    }
}

/// The question, after the passages that may answer it.
#[derive(Clone, Debug, Serialize)]
pub struct QuestionPrompt {
    pub passages: Vec<String>,
    pub question: String,
    /// Whether more than a few sentences are wanted.
    pub in_detail: bool,
}

impl Prompt for QuestionPrompt {
    const FILE: &'static str = "archivist/question.j2";

    fn sample() -> Self {
        Self {
            passages: vec![
                "[1] Frankenstein.txt:\nIt was on a dreary night.".into(),
                "[2] Alice.txt:\nAlice was beginning to get very tired.".into(),
            ],
            question: "When did the creature come to life?".into(),
            in_detail: false,
        }
    }
}

/// Asks for a follow-up question in words that can be searched for.
#[derive(Clone, Debug, Serialize)]
pub struct StandalonePrompt {
    pub previous: String,
    /// How the question before was answered, in short.
    pub answer: Option<String>,
    pub question: String,
}

impl Prompt for StandalonePrompt {
    const FILE: &'static str = "archivist/standalone.j2";

    fn sample() -> Self {
        Self {
            previous: "When did the creature come to life?".into(),
            answer: Some("On a dreary night of November [1].".into()),
            question: "What did he do next?".into(),
        }
    }
}
