//! The roles of the workshop. An agent is a profile (temperature, length), prompts with typed
//! contexts, and the parsing of what comes back. To add one: a file here with its contexts, its
//! templates under `prompts/<agent>/`, and a line in [`check_prompts`].
//!
//! All agents open with the same words over the same story, so that they share the longest possible
//! prefix; only what follows is an agent's own.

pub mod shared;
pub mod writer;

use crate::engine::Sampling;
use crate::prompts::{Prompt, PromptError, Prompts};
use crate::tokens::TokenCount;

/// How an agent writes.
#[derive(Clone, Debug)]
pub struct Profile {
    pub sampling: Sampling,
    pub max_tokens: TokenCount,
}

/// Renders every agent's templates with their samples; all faults, not just the first.
pub fn check_prompts(prompts: &Prompts) -> Vec<PromptError> {
    fn check<P: Prompt>(prompts: &Prompts) -> Option<PromptError> {
        prompts.check::<P>().err()
    }
    [
        check::<shared::CharacterText>,
        check::<shared::InstructionText>,
        check::<shared::PlotElementText>,
        check::<shared::RequestText>,
        check::<shared::SystemPrompt>,
        check::<shared::StoryPrompt>,
        check::<writer::ChapterPrompt>,
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
        insta::assert_snapshot!("character", rendered::<shared::CharacterText>());
        insta::assert_snapshot!("instruction", rendered::<shared::InstructionText>());
        insta::assert_snapshot!("plot_element", rendered::<shared::PlotElementText>());
        insta::assert_snapshot!("request", rendered::<shared::RequestText>());
        insta::assert_snapshot!("system", rendered::<shared::SystemPrompt>());
        insta::assert_snapshot!("story", rendered::<shared::StoryPrompt>());
        insta::assert_snapshot!("chapter", rendered::<writer::ChapterPrompt>());
    }

    #[test]
    fn every_shipped_prompt_can_be_filled() {
        assert!(check_prompts(&Prompts::load(None).unwrap()).is_empty());
    }
}
