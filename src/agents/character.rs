//! A character: how it reacts, knowing only what it can know.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::sample_guidance;
use crate::prompts::Prompt;

/// The character's part of the prompt.
#[derive(Clone, Debug, Serialize)]
pub struct ReactPrompt {
    pub name: String,
    pub situation: Option<String>,
    pub guidance: String,
}

impl Prompt for ReactPrompt {
    const FILE: &'static str = "character/react.j2";

    fn sample() -> Self {
        Self {
            name: "Aria".into(),
            situation: Some("The gate falls shut.".into()),
            guidance: sample_guidance(),
        }
    }
}

/// A reaction, as the character answers and as clients read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reaction {
    /// What the character does.
    #[schemars(length(min = 1, max = 3), inner(length(min = 1, max = 120)))]
    pub actions: Vec<String>,
    /// What it says.
    #[schemars(length(min = 1, max = 3), inner(length(min = 1, max = 120)))]
    pub dialog: Vec<String>,
    /// What it feels in its body.
    #[schemars(length(min = 1, max = 3), inner(length(min = 1, max = 100)))]
    pub physical_sensations: Vec<String>,
    #[schemars(length(min = 1, max = 3), inner(length(min = 1, max = 80)))]
    pub emotions: Vec<String>,
    /// What it thinks and doesn't say.
    #[schemars(length(min = 1, max = 3), inner(length(min = 1, max = 120)))]
    pub internal_monologue: Vec<String>,
    /// What it wants now.
    #[schemars(length(max = 2), inner(length(min = 1, max = 100)))]
    pub goals: Vec<String>,
    /// What it is reminded of.
    #[schemars(length(max = 2), inner(length(min = 1, max = 100)))]
    pub memories: Vec<String>,
    /// What it means and doesn't say.
    #[schemars(length(max = 2), inner(length(min = 1, max = 100)))]
    pub subtext: Vec<String>,
}

/// Takes out lines in which another character is made to speak ("Tom: …"), and tells how many: a
/// character speaks for itself alone.
pub fn without_words_of_others(reaction: &mut Reaction, others: &[String]) -> usize {
    let before = reaction.dialog.len();
    reaction.dialog.retain(|line| {
        let speaker = line.split_once(':').map(|(speaker, _)| speaker.trim());
        !speaker.is_some_and(|speaker| others.iter().any(|other| same_name(other, speaker)))
    });
    before - reaction.dialog.len()
}

/// Whether `speaker` is this name, or its first word.
fn same_name(name: &str, speaker: &str) -> bool {
    let first = name.split_whitespace().next().unwrap_or(name);
    !speaker.is_empty()
        && [name, first].iter().any(|known| known.to_lowercase() == speaker.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_speaks_for_itself_alone() {
        let line = |text: &str| text.to_owned();
        let mut reaction = Reaction {
            dialog: vec![line("Stay here."), line("Tom: I won't."), line("Listen: it rains.")],
            ..Reaction::default()
        };
        let removed = without_words_of_others(&mut reaction, &["Tom Miller".to_owned()]);
        assert_eq!(removed, 1);
        assert_eq!(reaction.dialog, ["Stay here.", "Listen: it rains."]);
    }
}
