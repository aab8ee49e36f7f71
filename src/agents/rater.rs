//! The rater: scores in named respects, each with quotes that must exist in the text.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::editor::Suggestion;
use super::shared::sample_guidance;
use crate::prompts::Prompt;

/// What is judged where the request names nothing else.
pub const USUAL_DIMENSIONS: [&str; 4] = ["plot", "characters", "prose", "pacing"];

/// The rater's part of the prompt.
#[derive(Clone, Debug, Serialize)]
pub struct RatePrompt {
    pub subject: Option<String>,
    pub dimensions: Vec<String>,
    pub guidance: String,
}

impl Prompt for RatePrompt {
    const FILE: &'static str = "rater/rate.j2";

    fn sample() -> Self {
        Self {
            subject: Some("Aria finds the gate.".into()),
            dimensions: USUAL_DIMENSIONS.map(str::to_owned).to_vec(),
            guidance: sample_guidance(),
        }
    }
}

/// A rating, as the rater answers.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RatingAnswer {
    #[schemars(length(min = 1, max = 400))]
    pub opinion: String,
    pub scores: BTreeMap<String, ScoreAnswer>,
    #[schemars(length(max = 4))]
    pub suggestions: Vec<Suggestion>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreAnswer {
    #[schemars(range(min = 1, max = 10))]
    pub score: u8,
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    #[schemars(length(max = 2), inner(length(min = 1, max = 120)))]
    pub evidence: Vec<String>,
}

/// The schema of a rating in these respects: the type's own, with exactly these keys in `scores`.
pub fn schema(dimensions: &[String]) -> Arc<Value> {
    let mut schema = schemars::schema_for!(RatingAnswer).to_value();
    let score = schema["properties"]["scores"]["additionalProperties"].clone();
    let properties: Map<_, _> =
        dimensions.iter().map(|name| (name.clone(), score.clone())).collect();
    schema["properties"]["scores"] = json!({
        "type": "object",
        "properties": properties,
        "required": dimensions,
        "additionalProperties": false,
    });
    Arc::new(schema)
}

/// A quote, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// As it stands in the text.
    pub quote: String,
    /// Offset of its first character in the text that was rated, in Unicode code points.
    pub start: usize,
    /// Offset after its last one.
    pub end: usize,
}

/// Finds a quote in a text, however the model wrote its white space, quotation marks and capital
/// letters. `None` if it isn't there.
pub fn find_quote(text: &NormalisedText<'_>, quote: &str) -> Option<Evidence> {
    let wanted: Vec<char> =
        normalised(quote.trim_matches(is_quotation_mark)).map(|(_, c)| c).collect();
    let wanted = trimmed(&wanted);
    // A word that stands everywhere is no evidence.
    if wanted.len() < SHORTEST_QUOTE {
        return None;
    }
    let at = text.characters.windows(wanted.len()).position(|window| window == wanted)?;
    let start = text.offsets[at];
    let end = text.offsets[at + wanted.len() - 1] + 1;
    let quote = text.text.chars().skip(start).take(end - start).collect();
    Some(Evidence { quote, start, end })
}

const SHORTEST_QUOTE: usize = 4;

/// A text made ready to look quotes up in it.
pub struct NormalisedText<'a> {
    text: &'a str,
    characters: Vec<char>,
    /// Where each of them stands in the text, in code points.
    offsets: Vec<usize>,
}

impl<'a> NormalisedText<'a> {
    pub fn new(text: &'a str) -> Self {
        let (offsets, characters) = normalised(text).unzip();
        Self { text, characters, offsets }
    }
}

/// Lower case, one space for any white space, one kind of quotation mark and dash.
fn normalised(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut after_space = false;
    text.chars().enumerate().filter_map(move |(offset, c)| {
        let was_space = std::mem::replace(&mut after_space, c.is_whitespace());
        match c {
            c if c.is_whitespace() => (!was_space).then_some((offset, ' ')),
            '“' | '”' | '„' | '«' | '»' => Some((offset, '"')),
            '’' | '‘' => Some((offset, '\'')),
            '–' | '—' => Some((offset, '-')),
            // A letter whose lower case is several keeps its own form.
            c => {
                let mut lower = c.to_lowercase();
                let first = lower.next().unwrap_or(c);
                Some((offset, if lower.next().is_none() { first } else { c }))
            }
        }
    })
}

fn is_quotation_mark(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„' | '«' | '»' | '…') || c.is_whitespace()
}

fn trimmed(characters: &[char]) -> &[char] {
    let start = characters.iter().take_while(|&&c| c == ' ').count();
    let end = characters.iter().rev().take_while(|&&c| c == ' ' || c == '.').count();
    characters.get(start..characters.len().saturating_sub(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "“Curiouser  and\ncuriouser!” cried Alice. Ärger war’s nicht.";

    fn found(quote: &str) -> Option<Evidence> {
        find_quote(&NormalisedText::new(TEXT), quote)
    }

    #[test]
    fn a_quote_is_found_as_it_stands_in_the_text() {
        let evidence = found("\"curiouser and curiouser!\"").unwrap();
        assert_eq!(evidence.quote, "Curiouser  and\ncuriouser!");
        assert_eq!((evidence.start, evidence.end), (1, 26));
        assert_eq!(found("ärger war's nicht").unwrap().quote, "Ärger war’s nicht");
    }

    #[test]
    fn what_is_not_in_the_text_is_no_evidence() {
        assert_eq!(found("cried the Queen"), None);
        assert_eq!(found(""), None);
        assert_eq!(found("..."), None);
    }

    #[test]
    fn the_schema_asks_for_exactly_the_named_respects() {
        let schema = schema(&["mood".to_owned(), "plot".to_owned()]);
        let validator = jsonschema::validator_for(&schema).unwrap();
        let score = json!({"score": 7, "confidence": 0.5, "evidence": []});
        let rating =
            |scores: Value| json!({"opinion": "Good.", "scores": scores, "suggestions": []});
        assert!(validator.is_valid(&rating(json!({"mood": score, "plot": score}))));
        assert!(!validator.is_valid(&rating(json!({"mood": score}))));
        let with_another = json!({"mood": score, "plot": score, "style": score});
        assert!(!validator.is_valid(&rating(with_another)));
    }

    proptest! {
        #[test]
        fn offsets_point_at_the_quote(text in "\\PC{0,60}", quote in "\\PC{0,10}", from in 0_usize..60, length in 4_usize..20) {
            let inside: String = text.chars().skip(from).take(length).collect();
            for quote in [quote, inside] {
                if let Some(evidence) = find_quote(&NormalisedText::new(&text), &quote) {
                    let there: String =
                        text.chars().skip(evidence.start).take(evidence.end - evidence.start).collect();
                    prop_assert_eq!(there, evidence.quote);
                }
            }
        }
    }
}
