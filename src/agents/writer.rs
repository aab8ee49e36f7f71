//! The writer: chapters from a structured context, rewritten chapters, sketches told in full,
//! biographies, character sheets and outlines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{NamedText, sample_guidance};
use crate::prompts::Prompt;

/// The writer's part of the prompt for a chapter.
#[derive(Clone, Debug, Serialize)]
pub struct ChapterPrompt {
    pub plot_point: Option<String>,
    pub guidance: String,
}

impl Prompt for ChapterPrompt {
    const FILE: &'static str = "writer/chapter.j2";

    fn sample() -> Self {
        Self { plot_point: Some("Aria finds the gate.".into()), guidance: sample_guidance() }
    }
}

/// The writer's part of the prompt for a rewritten text.
#[derive(Clone, Debug, Serialize)]
pub struct ModifyPrompt {
    pub request: Option<String>,
    pub guidance: String,
}

impl Prompt for ModifyPrompt {
    const FILE: &'static str = "writer/modify.j2";

    fn sample() -> Self {
        Self { request: Some("Let it rain.".into()), guidance: sample_guidance() }
    }
}

/// What a sketch is a sketch of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SketchPurpose {
    Worldbuilding,
    #[default]
    Chapter,
    PlotOutline,
}

/// The writer's part of the prompt for a sketch told in full.
#[derive(Clone, Debug, Serialize)]
pub struct FleshOutPrompt {
    pub purpose: SketchPurpose,
    pub context: Option<String>,
    pub guidance: String,
}

impl Prompt for FleshOutPrompt {
    const FILE: &'static str = "writer/flesh_out.j2";

    fn sample() -> Self {
        Self {
            purpose: SketchPurpose::Chapter,
            context: Some("the book's opening".into()),
            guidance: sample_guidance(),
        }
    }
}

/// The writer's part of the prompt for a biography.
#[derive(Clone, Debug, Serialize)]
pub struct BioPrompt {
    pub name: String,
    pub notes: Vec<NamedText>,
    pub guidance: String,
}

impl Prompt for BioPrompt {
    const FILE: &'static str = "writer/bio.j2";

    fn sample() -> Self {
        let notes = vec![NamedText { name: "Age".into(), value: "31".into() }];
        Self { name: "Aria".into(), notes, guidance: sample_guidance() }
    }
}

/// The writer's part of the prompt for a character sheet.
#[derive(Clone, Debug, Serialize)]
pub struct CharacterDetailsPrompt {
    pub others: Vec<NamedText>,
    pub guidance: String,
}

impl Prompt for CharacterDetailsPrompt {
    const FILE: &'static str = "writer/character_details.j2";

    fn sample() -> Self {
        let others = vec![NamedText { name: "Tom".into(), value: "a miller, her brother".into() }];
        Self { others, guidance: sample_guidance() }
    }
}

/// A character sheet, as the writer answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CharacterSheetAnswer {
    #[schemars(length(min = 1, max = 60))]
    pub name: String,
    #[schemars(length(max = 30))]
    pub sex: String,
    #[schemars(length(max = 30))]
    pub gender: String,
    #[schemars(length(max = 40))]
    pub sexual_preference: String,
    #[schemars(range(min = 0, max = 10000))]
    pub age: u32,
    #[schemars(length(max = 300))]
    pub physical_appearance: String,
    #[schemars(length(max = 200))]
    pub usual_clothing: String,
    #[schemars(length(max = 300))]
    pub personality: String,
    #[schemars(length(max = 300))]
    pub motivations: String,
    #[schemars(length(max = 200))]
    pub fears: String,
    #[schemars(length(max = 300))]
    pub relationships: String,
}

/// The writer's part of the prompt for an outline.
#[derive(Clone, Debug, Serialize)]
pub struct OutlinePrompt {
    pub guidance: String,
}

impl Prompt for OutlinePrompt {
    const FILE: &'static str = "writer/outline.j2";

    fn sample() -> Self {
        Self { guidance: sample_guidance() }
    }
}

/// An outline, as the writer answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutlineAnswer {
    #[schemars(length(min = 3, max = 15))]
    pub chapters: Vec<OutlinedChapter>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutlinedChapter {
    #[schemars(length(min = 1, max = 60))]
    pub title: String,
    #[schemars(length(min = 1, max = 240))]
    pub description: String,
    #[schemars(length(min = 1, max = 5), inner(length(min = 1, max = 80)))]
    pub key_plot_items: Vec<String>,
    #[schemars(length(max = 6), inner(length(min = 1, max = 40)))]
    pub involved_characters: Vec<String>,
}

/// What a model wrote, without the white space around it; `Err` if there is nothing else.
pub fn prose(written: &str) -> Result<String, String> {
    let text = written.trim();
    if text.is_empty() { Err("the model wrote nothing".to_owned()) } else { Ok(text.to_owned()) }
}
