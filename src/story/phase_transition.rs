//! Whether a phase of writing is done well enough to go on to the next. Plain rules, no model.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::elements::Knower;
use super::generate_chapter::word_count;
use crate::context::Phase;

/// Paragraphs of a finished chapter.
const FEWEST_PARAGRAPHS: usize = 3;
/// Words that tell of a conflict.
const CONFLICT_WORDS: [&str; 24] = [
    "conflict",
    "struggle",
    "fight",
    "battle",
    "war",
    "against",
    "oppose",
    "enemy",
    "rival",
    "threat",
    "danger",
    "problem",
    "obstacle",
    "challenge",
    "crisis",
    "betray",
    "argue",
    "confront",
    "escape",
    "secret",
    "revenge",
    "murder",
    "attack",
    "tension",
];
const DIALOGUE_MARKS: [char; 6] = ['"', '“', '”', '«', '»', '„'];

/// The question.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTransitionRequest {
    pub from_phase: Phase,
    pub to_phase: Phase,
    /// What the phase has brought: the outline, the chapter.
    pub phase_output: String,
    /// Anything about the story; characters in it are looked for in the output.
    #[serde(default)]
    pub story_context: Option<Map<String, Value>>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PhaseTransitionResponse {
    pub valid: bool,
    /// Mean of the criteria's scores.
    pub overall_score: f64,
    pub validation_results: Vec<ValidationResult>,
    pub recommendations: Vec<String>,
    pub metadata: PhaseTransitionMetadata,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ValidationResult {
    pub criterion: String,
    pub passed: bool,
    pub message: String,
    /// 0 to 1.
    pub score: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTransitionMetadata {
    /// RFC 3339, UTC.
    pub validated_at: String,
    pub from_phase: Phase,
    pub to_phase: Phase,
    pub output_word_count: usize,
    pub threshold: f64,
}

/// How strict it is.
#[derive(Clone, Copy, Debug)]
pub struct PhaseValidation {
    /// Mean score from which a transition is valid.
    pub threshold: f64,
    /// Words of an outline that score 1.
    pub outline_words: f64,
    /// Words of a chapter that score 1.
    pub chapter_words: f64,
    /// Words of a text that skips a phase that score 1.
    pub summary_words: f64,
    pub conflict: Presence,
    pub characters: Presence,
    pub dialogue: Presence,
    /// Of a text with all its paragraphs, and of a sequence that skips a phase.
    pub completion: Presence,
}

/// Scores for something that is there, or isn't.
#[derive(Clone, Copy, Debug)]
pub struct Presence {
    pub present: f64,
    pub absent: f64,
}

impl Presence {
    fn of(self, is_present: bool) -> f64 {
        if is_present { self.present } else { self.absent }
    }
}

/// A step that isn't one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no transition from {from} to {to}; there are plot_outline to chapter_detail, chapter_detail to final_edit, and plot_outline to final_edit"
)]
pub struct TransitionError {
    from: &'static str,
    to: &'static str,
}

impl PhaseTransitionRequest {
    /// Judges the output by the rules of its transition.
    pub fn judge(
        &self,
        rules: &PhaseValidation,
        now: Timestamp,
    ) -> Result<PhaseTransitionResponse, TransitionError> {
        let words = word_count(&self.phase_output);
        let scored = match (self.from_phase, self.to_phase) {
            (Phase::PlotOutline, Phase::ChapterDetail) => self.outline_to_detail(rules, words),
            (Phase::ChapterDetail, Phase::FinalEdit) => self.detail_to_final(rules, words),
            (Phase::PlotOutline, Phase::FinalEdit) => skipping(rules, words),
            (from, to) => return Err(TransitionError { from: from.name(), to: to.name() }),
        };
        let total: f64 = scored.iter().map(|it| it.score).sum();
        let overall_score = total / scored.len() as f64;
        let recommendations = scored.iter().filter(|it| it.score < rules.threshold);
        let recommendations = recommendations.map(|it| it.advice.to_owned()).collect();
        let results = scored.into_iter().map(|it| ValidationResult {
            criterion: it.criterion.to_owned(),
            passed: it.score >= rules.threshold,
            message: it.message,
            score: it.score,
        });
        Ok(PhaseTransitionResponse {
            valid: overall_score >= rules.threshold,
            overall_score,
            validation_results: results.collect(),
            recommendations,
            metadata: PhaseTransitionMetadata {
                validated_at: now.to_string(),
                from_phase: self.from_phase,
                to_phase: self.to_phase,
                output_word_count: words,
                threshold: rules.threshold,
            },
        })
    }

    fn outline_to_detail(&self, rules: &PhaseValidation, words: usize) -> Vec<Scored> {
        let text = self.phase_output.to_lowercase();
        let mut told = text.split(|c: char| !c.is_alphabetic());
        // "fighting" tells of a fight; "warm" doesn't tell of a war.
        let has_conflict = told.any(|told| {
            CONFLICT_WORDS
                .iter()
                .any(|word| told == *word || (word.len() > 4 && told.starts_with(word)))
        });
        let has_characters = self.tells_of_characters();
        vec![
            length(
                words,
                rules.outline_words,
                "Say more about what happens before the chapters are written",
            ),
            Scored {
                criterion: "conflict",
                score: rules.conflict.of(has_conflict),
                message: presence("a conflict", has_conflict),
                advice: "Say what stands in the characters' way",
            },
            Scored {
                criterion: "characters",
                score: rules.characters.of(has_characters),
                message: presence("characters", has_characters),
                advice: "Name the characters who act in the outline",
            },
        ]
    }

    fn detail_to_final(&self, rules: &PhaseValidation, words: usize) -> Vec<Scored> {
        let has_dialogue = self.phase_output.contains(DIALOGUE_MARKS);
        let lines = self.phase_output.trim().lines().map(|line| line.trim().is_empty());
        let blank = lines.collect::<Vec<_>>();
        let paragraphs = blank.split(|is_blank| *is_blank).filter(|it| !it.is_empty()).count();
        let complete = rules.completion.present;
        let share = (paragraphs as f64 / FEWEST_PARAGRAPHS as f64).min(1.0);
        vec![
            length(words, rules.chapter_words, "Write the chapter out before editing it"),
            Scored {
                criterion: "dialogue",
                score: rules.dialogue.of(has_dialogue),
                message: presence("dialogue", has_dialogue),
                advice: "Let the characters speak",
            },
            Scored {
                criterion: "structure",
                score: share * complete,
                message: format!("The text has {paragraphs} paragraphs"),
                advice: "Divide the chapter into paragraphs, three at least",
            },
        ]
    }

    /// Whether characters of the story are named, or somebody is at all where none are known.
    fn tells_of_characters(&self) -> bool {
        let names = self.story_context.as_ref().map(names_in).unwrap_or_default();
        if !names.is_empty() {
            return names
                .iter()
                .any(|name| Knower::new(name, name).takes_part_in(&self.phase_output));
        }
        let sentences = self.phase_output.split_inclusive(['.', '!', '?', '\n']);
        sentences.into_iter().any(|sentence| {
            sentence.split_whitespace().skip(1).any(|word| {
                word.chars().next().is_some_and(char::is_uppercase) && word.chars().count() > 1
            })
        })
    }
}

/// One criterion's outcome, before it is told.
struct Scored {
    criterion: &'static str,
    score: f64,
    message: String,
    advice: &'static str,
}

/// From an outline straight to the last edit: possible, not advised.
fn skipping(rules: &PhaseValidation, words: usize) -> Vec<Scored> {
    vec![
        Scored {
            criterion: "sequence",
            score: rules.completion.absent,
            message: "The phase chapter_detail is skipped".to_owned(),
            advice: "Go through chapter_detail first",
        },
        length(words, rules.summary_words, "Write more before the last edit"),
    ]
}

fn length(words: usize, enough: f64, advice: &'static str) -> Scored {
    Scored {
        criterion: "length",
        score: (words as f64 / enough).min(1.0),
        message: format!("{words} words; {enough:.0} are enough"),
        advice,
    }
}

fn presence(of: &str, is_present: bool) -> String {
    if is_present { format!("There is {of}") } else { format!("No sign of {of}") }
}

/// Names of characters in a story of any form.
fn names_in(story: &Map<String, Value>) -> Vec<String> {
    let lists = ["characters", "character_contexts", "involved_characters"];
    let found = lists.iter().filter_map(|key| story.get(*key));
    let entries = found.flat_map(|list| match list {
        Value::Array(entries) => entries.iter().collect::<Vec<_>>(),
        Value::Object(entries) => entries.values().collect(),
        _ => Vec::new(),
    });
    let name = |entry: &Value| match entry {
        Value::String(name) => Some(name.clone()),
        Value::Object(character) => ["character_name", "name"]
            .iter()
            .find_map(|key| character.get(*key).and_then(Value::as_str))
            .map(str::to_owned),
        _ => None,
    };
    entries.filter_map(name).filter(|name| !name.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULES: PhaseValidation = PhaseValidation {
        threshold: 0.7,
        outline_words: 50.0,
        chapter_words: 500.0,
        summary_words: 200.0,
        conflict: Presence { present: 1.0, absent: 0.3 },
        characters: Presence { present: 1.0, absent: 0.2 },
        dialogue: Presence { present: 1.0, absent: 0.7 },
        completion: Presence { present: 1.0, absent: 0.5 },
    };

    fn judged(from: &str, to: &str, output: &str, story: &Value) -> PhaseTransitionResponse {
        let request: PhaseTransitionRequest = serde_json::from_value(json!({
            "from_phase": from, "to_phase": to, "phase_output": output, "story_context": story
        }))
        .unwrap();
        request.judge(&RULES, Timestamp::UNIX_EPOCH).unwrap()
    }

    fn scores(response: &PhaseTransitionResponse) -> Vec<f64> {
        response.validation_results.iter().map(|result| result.score).collect()
    }

    #[test]
    fn an_outline_needs_length_conflict_and_characters() {
        let outline = "Aria must fight the Warden. ".repeat(10);
        let story = json!({"characters": [{"name": "Aria"}]});
        let response = judged("plot_outline", "chapter_detail", &outline, &story);
        assert!(response.valid);
        assert_eq!(scores(&response), [1.0, 1.0, 1.0]);
        let response = judged("plot_outline", "chapter_detail", "it rains", &json!({}));
        assert!(!response.valid);
        assert_eq!(scores(&response), [0.04, 0.3, 0.2]);
        assert_eq!(response.recommendations.len(), 3);
    }

    #[test]
    fn a_chapter_needs_length_dialogue_and_paragraphs() {
        let chapter = format!("{}\n\n“Stop,” he said.", "It rained on. ".repeat(100));
        let response = judged("chapter_detail", "final_edit", &chapter, &Value::Null);
        let expected = [303.0 / 500.0, 1.0, 2.0 / 3.0];
        for (score, expected) in scores(&response).iter().zip(expected) {
            assert!((score - expected).abs() < 1e-9, "{response:?}");
        }
        assert_eq!(response.metadata.output_word_count, 303);
    }

    #[test]
    fn skipping_a_phase_is_a_warning() {
        let response = judged("plot_outline", "final_edit", &"word ".repeat(200), &Value::Null);
        assert_eq!(scores(&response), [0.5, 1.0]);
        assert!(response.valid);
    }

    #[test]
    fn going_back_is_no_transition() {
        let request = PhaseTransitionRequest {
            from_phase: Phase::FinalEdit,
            to_phase: Phase::PlotOutline,
            phase_output: String::new(),
            story_context: None,
        };
        let error = request.judge(&RULES, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(error.to_string().contains("from final_edit to plot_outline"), "{error}");
    }
}
