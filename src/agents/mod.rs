//! The roles of the workshop. An agent is a profile (temperature, length), prompts with typed
//! contexts, and the parsing of what comes back. To add one: a file here with its contexts, its
//! templates under `prompts/<agent>/`, and a line in [`check_prompts`].
//!
//! All agents open with the same words over the same story, so that they share the longest possible
//! prefix; only what follows is an agent's own.

pub mod archivist;
pub mod character;
pub mod conversation;
pub mod editor;
pub mod rater;
pub mod shared;
pub mod writer;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

use crate::engine::Sampling;
use crate::prompts::{Prompt, PromptError, Prompts};
use crate::tokens::TokenCount;

/// How an agent writes.
#[derive(Clone, Debug)]
pub struct Profile {
    pub sampling: Sampling,
    pub max_tokens: TokenCount,
}

/// Reads an answer that must match its type's JSON Schema; else tells what is wrong with it.
pub fn structured<T: DeserializeOwned>(written: &str) -> Result<T, String> {
    serde_json::from_str(written.trim()).map_err(|error| match error.classify() {
        Category::Eof => "the answer ends before its JSON does".to_owned(),
        _ => format!("the answer is not the JSON that was asked for: {error}"),
    })
}

/// The JSON Schema that an answer of this type is held to while it is written.
pub fn schema_of<T: JsonSchema>() -> Arc<Value> {
    Arc::new(schemars::schema_for!(T).to_value())
}

/// Renders every agent's templates with their samples; all faults, not just the first.
pub fn check_prompts(prompts: &Prompts) -> Vec<PromptError> {
    fn check<P: Prompt>(prompts: &Prompts) -> Option<PromptError> {
        prompts.check::<P>().err()
    }
    [
        check::<shared::ArchivePassageText>,
        check::<shared::CharacterText>,
        check::<shared::InstructionText>,
        check::<shared::PlotElementText>,
        check::<shared::RequestText>,
        check::<shared::SystemPrompt>,
        check::<shared::StoryPrompt>,
        check::<shared::FeedbackText>,
        check::<shared::GuidancePrompt>,
        check::<writer::ChapterPrompt>,
        check::<writer::ModifyPrompt>,
        check::<writer::FleshOutPrompt>,
        check::<writer::BioPrompt>,
        check::<writer::CharacterDetailsPrompt>,
        check::<writer::OutlinePrompt>,
        check::<editor::ReviewPrompt>,
        check::<editor::EvaluatePrompt>,
        check::<rater::RatePrompt>,
        check::<character::ReactPrompt>,
        check::<conversation::ConversationPrompt>,
        check::<archivist::ArchivistPrompt>,
        check::<archivist::PassagePrompt>,
        check::<archivist::QuestionPrompt>,
        check::<archivist::StandalonePrompt>,
    ]
    .iter()
    .filter_map(|check| check(prompts))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered<P: Prompt>() -> String {
        Prompts::load(None).unwrap().render(&P::sample()).unwrap()
    }

    #[test]
    fn prompts_read_as_intended() {
        insta::assert_snapshot!("archive_passage", rendered::<shared::ArchivePassageText>());
        insta::assert_snapshot!("character", rendered::<shared::CharacterText>());
        insta::assert_snapshot!("instruction", rendered::<shared::InstructionText>());
        insta::assert_snapshot!("plot_element", rendered::<shared::PlotElementText>());
        insta::assert_snapshot!("request", rendered::<shared::RequestText>());
        insta::assert_snapshot!("system", rendered::<shared::SystemPrompt>());
        insta::assert_snapshot!("story", rendered::<shared::StoryPrompt>());
        insta::assert_snapshot!("feedback", rendered::<shared::FeedbackText>());
        insta::assert_snapshot!("guidance", rendered::<shared::GuidancePrompt>());
        insta::assert_snapshot!("chapter", rendered::<writer::ChapterPrompt>());
        insta::assert_snapshot!("modify", rendered::<writer::ModifyPrompt>());
        insta::assert_snapshot!("flesh_out", rendered::<writer::FleshOutPrompt>());
        insta::assert_snapshot!("bio", rendered::<writer::BioPrompt>());
        insta::assert_snapshot!("details", rendered::<writer::CharacterDetailsPrompt>());
        insta::assert_snapshot!("outline", rendered::<writer::OutlinePrompt>());
        insta::assert_snapshot!("review", rendered::<editor::ReviewPrompt>());
        insta::assert_snapshot!("evaluate", rendered::<editor::EvaluatePrompt>());
        insta::assert_snapshot!("rate", rendered::<rater::RatePrompt>());
        insta::assert_snapshot!("react", rendered::<character::ReactPrompt>());
        insta::assert_snapshot!("conversation", rendered::<conversation::ConversationPrompt>());
        insta::assert_snapshot!("archivist", rendered::<archivist::ArchivistPrompt>());
        insta::assert_snapshot!("archivist_passage", rendered::<archivist::PassagePrompt>());
        insta::assert_snapshot!("archivist_question", rendered::<archivist::QuestionPrompt>());
        insta::assert_snapshot!("archivist_standalone", rendered::<archivist::StandalonePrompt>());
    }

    #[test]
    fn every_shipped_prompt_can_be_filled() {
        assert!(check_prompts(&Prompts::load(None).unwrap()).is_empty());
    }
}
