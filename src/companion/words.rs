//! The words that a companion adds to a prompt: how the two stand, what is known of the user; and what
//! a model is told that looks for facts.

use serde::Serialize;

use crate::persona::relationship::Stage;
use crate::prompts::{Prompt, PromptError, Prompts};

/// How persona and user stand: style and topics of the stage.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StandingText {
    pub(super) stage: Stage,
    pub(super) user: String,
}

/// Something known of the user.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FactText<'a> {
    pub(super) kind: &'a str,
    pub(super) value: &'a str,
}

/// What to look for in what a user said.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct StudyInstructions {}

/// What the user said.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StudyText {
    pub(super) messages: Vec<String>,
}

impl Prompt for StandingText {
    const FILE: &'static str = "companion/standing.j2";

    fn sample() -> Self {
        Self { stage: Stage::Friend, user: "Anna".into() }
    }
}

impl Prompt for FactText<'_> {
    const FILE: &'static str = "companion/fact.j2";

    fn sample() -> Self {
        Self { kind: "name", value: "Anna" }
    }
}

impl Prompt for StudyInstructions {
    const FILE: &'static str = "companion/study.j2";

    fn sample() -> Self {
        Self {}
    }
}

impl Prompt for StudyText {
    const FILE: &'static str = "companion/said.j2";

    fn sample() -> Self {
        Self { messages: vec!["My sister Mara keeps the lighthouse.".into()] }
    }
}

/// Renders every template of companions with its sample; all faults, not just the first.
pub fn check_prompts(prompts: &Prompts) -> Vec<PromptError> {
    [
        prompts.check::<StandingText>(),
        prompts.check::<FactText<'_>>(),
        prompts.check::<StudyInstructions>(),
        prompts.check::<StudyText>(),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered<P: Prompt>(prompt: &P) -> String {
        Prompts::load(None).unwrap().render(prompt).unwrap()
    }

    #[test]
    fn each_stage_has_words_of_its_own_and_only_two_are_romantic() {
        let mut told = Vec::new();
        for stage in Stage::ALL {
            let text = rendered(&StandingText { stage, user: "Anna".into() });
            let is_closed = text.contains("no romance, no flirting");
            assert_eq!(is_closed, stage < Stage::RomanticInterest, "{text}");
            assert!(!told.contains(&text));
            told.push(text);
        }
        insta::assert_snapshot!("standing", told.join("\n---\n"));
    }

    #[test]
    fn facts_read_as_sentences() {
        let kinds = ["name", "age", "location", "occupation", "birthday", "likes", "dislikes"];
        let more = ["relation", "gender", "preferences", "moment", "other"];
        let lines: Vec<_> = kinds
            .into_iter()
            .chain(more)
            .map(|kind| rendered(&FactText { kind, value: "…" }).trim().to_owned())
            .collect();
        insta::assert_snapshot!("facts", lines.join("\n"));
    }

    #[test]
    fn the_instructions_of_the_study_are_what_they_are() {
        insta::assert_snapshot!("study", rendered(&StudyInstructions::sample()));
        insta::assert_snapshot!("said", rendered(&StudyText::sample()));
    }
}
