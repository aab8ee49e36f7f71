//! What a model is told when it shortens a text: instructions first, the same for every text of a
//! kind, so that they are read once; then the text.

use serde::Serialize;

use super::Strategy;
use crate::engine::Message;
use crate::prompts::{Prompt, PromptError, Prompts};
use crate::tokens::TokenCount;

/// What is to be shortened: a source, or summaries of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Source(Strategy),
    Summaries,
}

impl Kind {
    /// Whether somebody may have it forgotten.
    pub(super) fn is_of_talk(self) -> bool {
        match self {
            Self::Source(strategy) => {
                matches!(
                    strategy,
                    Strategy::ConversationHistory | Strategy::SystemPromptOptimization
                )
            }
            Self::Summaries => true,
        }
    }
}

/// Declares the instructions of each kind: a type a template, as every template has its own.
macro_rules! instructions {
    ($($(#[doc = $doc:literal])+ $kind:pat => $prompt:ident = $file:literal;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, Default, Serialize)]
            pub(super) struct $prompt {}

            impl Prompt for $prompt {
                const FILE: &'static str = $file;

                fn sample() -> Self {
                    Self {}
                }
            }
        )+

        /// The instructions for texts of this kind.
        pub(super) fn instructions(prompts: &Prompts, kind: Kind) -> Result<String, PromptError> {
            match kind {
                $($kind => prompts.render(&$prompt {}),)+
            }
        }

        /// Renders every template of this room with its sample; all faults, not just the first.
        pub fn check_prompts(prompts: &Prompts) -> Vec<PromptError> {
            [$(prompts.check::<$prompt>(),)+ prompts.check::<TextPrompt>(), prompts.check::<NamesPrompt>()]
                .into_iter()
                .filter_map(Result::err)
                .collect()
        }
    };
}

instructions! {
    /// How to shorten plot.
    Kind::Source(Strategy::PlotSummary) =>
        PlotSummaryPrompt = "distil/plot_summary.j2";
    /// How to shorten what is told of a character.
    Kind::Source(Strategy::CharacterDevelopment) =>
        CharacterDevelopmentPrompt = "distil/character_development.j2";
    /// How to shorten a dialogue.
    Kind::Source(Strategy::DialogueSummary) =>
        DialogueSummaryPrompt = "distil/dialogue_summary.j2";
    /// How to shorten a scene.
    Kind::Source(Strategy::EventSequence) =>
        EventSequencePrompt = "distil/event_sequence.j2";
    /// How to shorten a moment of feeling.
    Kind::Source(Strategy::EmotionalMoment) =>
        EmotionalMomentPrompt = "distil/emotional_moment.j2";
    /// How to shorten a description of the world.
    Kind::Source(Strategy::WorldBuilding) =>
        WorldBuildingPrompt = "distil/world_building.j2";
    /// How to shorten feedback.
    Kind::Source(Strategy::FeedbackSummary) =>
        FeedbackSummaryPrompt = "distil/feedback_summary.j2";
    /// How to shorten instructions to a model.
    Kind::Source(Strategy::SystemPromptOptimization) =>
        SystemPromptOptimizationPrompt = "distil/system_prompt_optimization.j2";
    /// How to shorten a talk.
    Kind::Source(Strategy::ConversationHistory) =>
        ConversationHistoryPrompt = "distil/conversation_history.j2";
    /// How to make one text of several summaries.
    Kind::Summaries =>
        SummariesPrompt = "distil/summaries.j2";
}

/// The text itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TextPrompt {
    pub text: String,
    /// Most words that the answer may have.
    pub words: usize,
}

impl Prompt for TextPrompt {
    const FILE: &'static str = "distil/text.j2";

    fn sample() -> Self {
        Self {
            text: "Aria left Oakhill at dawn. Tom, her brother, did not know.".into(),
            words: 10,
        }
    }
}

/// Names that a summary of much has no sentence for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NamesPrompt {
    pub names: Vec<String>,
}

impl Prompt for NamesPrompt {
    const FILE: &'static str = "distil/names.j2";

    fn sample() -> Self {
        Self { names: vec!["Tom".into(), "Oakhill".into()] }
    }
}

/// What a model is sent to shorten a text to about `target` tokens.
pub(super) fn messages(
    prompts: &Prompts,
    kind: Kind,
    text: &str,
    target: TokenCount,
) -> Result<Vec<Message>, PromptError> {
    // English takes about four tokens for three words.
    const WORDS_A_TOKEN: f64 = 0.75;
    const FEWEST: usize = 10;
    let words = target.scaled(WORDS_A_TOKEN).get().max(FEWEST);
    let text = TextPrompt { text: text.to_owned(), words };
    Ok(vec![Message::system(instructions(prompts, kind)?), Message::user(prompts.render(&text)?)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_read_as_intended() {
        let prompts = Prompts::load(None).unwrap();
        let kinds = Strategy::ALL.map(Kind::Source).into_iter().chain([Kind::Summaries]);
        for kind in kinds {
            let name = match kind {
                Kind::Source(strategy) => strategy.name(),
                Kind::Summaries => "summaries",
            };
            insta::assert_snapshot!(name, instructions(&prompts, kind).unwrap());
        }
        insta::assert_snapshot!("names", prompts.render(&NamesPrompt::sample()).unwrap());
        insta::assert_snapshot!("text", prompts.render(&TextPrompt::sample()).unwrap());
    }

    #[test]
    fn every_shipped_prompt_can_be_filled() {
        assert!(check_prompts(&Prompts::load(None).unwrap()).is_empty());
    }

    #[test]
    fn the_instructions_do_not_depend_on_the_text() {
        let prompts = Prompts::load(None).unwrap();
        let kind = Kind::Source(Strategy::PlotSummary);
        let of = |text, target| messages(&prompts, kind, text, TokenCount::new(target)).unwrap();
        assert_eq!(of("One.", 40)[0], of("Another.", 900)[0]);
        assert_ne!(of("One.", 40)[1], of("Another.", 900)[1]);
    }
}
