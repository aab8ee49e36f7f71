//! The words that the server adds to a talk: summaries, what is remembered, the mood of the moment.

use serde::Serialize;

use crate::emotion::{Emotion, Feeling};
use crate::persona::PersonaText;
use crate::prompts::{Prompt, PromptError, Prompts};

/// What no longer fits, told shorter.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct SummaryBlock {
    pub(super) summaries: Vec<String>,
}

/// What came to mind, just before the newest message: what changes with every turn stands as late in
/// the prompt as it can, so that the engine finds all before it read already.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct MemoryBlock {
    /// Entries of a lorebook.
    pub(super) lore: Vec<String>,
    pub(super) facts: Vec<String>,
    pub(super) memories: Vec<String>,
    pub(super) feeling: Option<String>,
}

impl MemoryBlock {
    pub(super) fn is_empty(&self) -> bool {
        self.lore.is_empty()
            && self.facts.is_empty()
            && self.memories.is_empty()
            && self.feeling.is_none()
    }
}

/// One message that came to mind.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RecollectionText {
    pub(super) speaker: String,
    /// How long ago, in words.
    pub(super) age: Option<String>,
    pub(super) text: String,
}

/// The mood of the newest message.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FeelingText {
    pub(super) emotion: Emotion,
    pub(super) is_strong: bool,
    /// When it was felt before, as recollections.
    pub(super) moments: Vec<String>,
}

/// Least confidence in an emotion that is worth a word.
pub(super) const NOTICEABLE: f32 = 0.4;
/// Confidence above which the words are stronger.
const STRONG: f32 = 0.6;

impl FeelingText {
    /// `None` for a mood that is neutral or uncertain.
    pub(super) fn of(feeling: &Feeling, moments: Vec<String>) -> Option<Self> {
        let (emotion, confidence) = (feeling.emotion(), feeling.confidence());
        let is_noticeable = emotion != Emotion::Neutral && confidence >= NOTICEABLE;
        is_noticeable.then_some(Self { emotion, is_strong: confidence > STRONG, moments })
    }
}

/// How long ago that was, in words; `None` within the last hour.
pub(super) fn age(milliseconds: i64) -> Option<String> {
    const HOUR: i64 = 3_600_000;
    const UNITS: [(i64, &str); 5] = [
        (HOUR * 24 * 365, "year"),
        (HOUR * 24 * 30, "month"),
        (HOUR * 24 * 7, "week"),
        (HOUR * 24, "day"),
        (HOUR, "hour"),
    ];
    let (length, unit) = UNITS.into_iter().find(|(length, _)| milliseconds >= *length)?;
    let count = milliseconds / length;
    let plural = if count == 1 { "" } else { "s" };
    Some(format!("{count} {unit}{plural} ago"))
}

impl Prompt for SummaryBlock {
    const FILE: &'static str = "chat/summary.j2";

    fn sample() -> Self {
        Self { summaries: vec!["User and Aria lit the lamp and waited for the ship.".into()] }
    }
}

impl Prompt for MemoryBlock {
    const FILE: &'static str = "chat/memory.j2";

    fn sample() -> Self {
        Self {
            lore: vec!["Gull Rock lies four miles off the coast.".into()],
            facts: vec!["- Aria's sister is called Mara.".into()],
            memories: vec!["- Aria (2 days ago): The lamp burned blue last night.".into()],
            feeling: Some("[The user seems to feel joy.]".into()),
        }
    }
}

impl Prompt for RecollectionText {
    const FILE: &'static str = "chat/recollection.j2";

    fn sample() -> Self {
        Self {
            speaker: "Aria".into(),
            age: Some("2 days ago".into()),
            text: "The lamp burned blue last night.".into(),
        }
    }
}

impl Prompt for FeelingText {
    const FILE: &'static str = "chat/feeling.j2";

    fn sample() -> Self {
        Self {
            emotion: Emotion::Fear,
            is_strong: true,
            moments: vec!["- User (3 hours ago): I hate that cellar.".into()],
        }
    }
}

/// Renders every template of talks with its sample; all faults, not just the first.
pub fn check_prompts(prompts: &Prompts) -> Vec<PromptError> {
    [
        prompts.check::<SummaryBlock>(),
        prompts.check::<MemoryBlock>(),
        prompts.check::<RecollectionText>(),
        prompts.check::<FeelingText>(),
        prompts.check::<PersonaText>(),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered<P: Prompt>() -> String {
        Prompts::load(None).unwrap().render(&P::sample()).unwrap()
    }

    #[test]
    fn the_words_read_as_intended() {
        insta::assert_snapshot!("summary", rendered::<SummaryBlock>());
        insta::assert_snapshot!("memory", rendered::<MemoryBlock>());
        insta::assert_snapshot!("recollection", rendered::<RecollectionText>());
        insta::assert_snapshot!("feeling", rendered::<FeelingText>());
        let mild = FeelingText { is_strong: false, moments: Vec::new(), ..FeelingText::sample() };
        insta::assert_snapshot!(
            "mild_feeling",
            Prompts::load(None).unwrap().render(&mild).unwrap()
        );
    }

    #[test]
    fn ages_are_told_in_the_widest_unit() {
        const HOUR: i64 = 3_600_000;
        assert_eq!(age(HOUR - 1), None);
        assert_eq!(age(HOUR).unwrap(), "1 hour ago");
        assert_eq!(age(HOUR * 50).unwrap(), "2 days ago");
        assert_eq!(age(HOUR * 24 * 800).unwrap(), "2 years ago");
    }
}
