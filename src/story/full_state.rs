//! The later shape of a request's context: the editor's whole state of a story. It becomes the typed
//! shape, so that everything after this file knows one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::container::{
    CharacterContext, CharacterState, PlotContext, PlotElement, PreviousChapter, PriorityLevel,
    StorySummary, StructuredContext, SystemPrompts, Worldbuilding,
};
use super::elements::{OutlineItem, nearby};

/// A story as a later editor has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RequestContext {
    pub configuration: StoryConfiguration,
    pub worldbuilding: Option<Worldbuilding>,
    pub characters: Vec<CharacterDetails>,
    pub character_states: Vec<CharacterMoment>,
    pub story_outline: Option<StoryOutline>,
    pub chapters: Vec<ChapterDetails>,
    pub context_metadata: Option<StoryMetadata>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoryConfiguration {
    pub system_prompts: StoryPrompts,
    pub raters: Vec<RaterConfiguration>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoryPrompts {
    pub main_prefix: Option<String>,
    pub main_suffix: Option<String>,
    pub assistant_prompt: Option<String>,
    pub editor_prompt: Option<String>,
}

/// A rater that the author has set up.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RaterConfiguration {
    pub id: String,
    pub name: String,
    pub system_prompt: String,
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}

/// A character's sheet.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CharacterDetails {
    pub id: String,
    pub name: String,
    pub basic_bio: String,
    pub sex: String,
    pub gender: String,
    pub sexual_preference: String,
    /// 0: nobody entered one.
    pub age: i64,
    pub physical_appearance: String,
    pub usual_clothing: String,
    pub personality: String,
    pub motivations: String,
    pub fears: String,
    pub relationships: String,
    pub is_hidden: bool,
    pub last_modified: Option<String>,
}

/// How a character is at the moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CharacterMoment {
    pub name: String,
    pub recent_actions: Vec<String>,
    pub recent_dialog: Vec<String>,
    #[serde(rename = "physicalSensations")]
    pub physical_sensations: Vec<String>,
    pub emotions: Vec<String>,
    #[serde(rename = "internalMonologue")]
    pub internal_monologue: Vec<String>,
    pub goals: Vec<String>,
    pub memories: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoryOutline {
    pub summary: Option<String>,
    pub content: String,
    pub outline_items: Vec<OutlineItem>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChapterDetails {
    pub id: String,
    pub number: i64,
    pub title: String,
    pub content: String,
    pub plot_point: Option<String>,
    pub key_plot_items: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StoryMetadata {
    pub story_id: String,
    pub story_title: String,
}

impl RequestContext {
    pub(super) fn chapter(&self, number: i64) -> Option<&ChapterDetails> {
        self.chapters.iter().find(|chapter| chapter.number == number)
    }

    pub(super) fn character(&self, name: &str) -> Option<&CharacterDetails> {
        self.characters.iter().find(|sheet| sheet.name == name || sheet.id == name)
    }

    /// What happens in a chapter: what it says itself, else what the outline does.
    pub(super) fn plot_point(&self, number: i64) -> Option<String> {
        let said = self.chapter(number).and_then(|chapter| {
            let point = chapter.plot_point.clone().filter(|point| !point.trim().is_empty());
            let items = chapter.key_plot_items.join("; ");
            point.or_else(|| (!items.is_empty()).then_some(items))
        });
        let outlined = || {
            let items = &self.story_outline.as_ref()?.outline_items;
            let item = items.iter().find(|item| item.order == Some(number))?;
            Some(item.in_words()).filter(|text| !text.is_empty())
        };
        said.or_else(outlined)
    }

    /// The typed shape, for work on one chapter: what comes before it is the story so far, and the
    /// outline near it is told. Without a number, every chapter is.
    pub(super) fn to_structured(&self, chapter: Option<i64>) -> StructuredContext {
        let prompts = &self.configuration.system_prompts;
        let outline = self.story_outline.as_ref();
        let mut earlier: Vec<_> = self
            .chapters
            .iter()
            .filter(|it| chapter.is_none_or(|number| it.number < number))
            .collect();
        earlier.sort_by_key(|chapter| chapter.number);
        let previous = |it: &&ChapterDetails| PreviousChapter {
            number: Some(it.number),
            title: Some(it.title.clone()),
            content: it.content.clone(),
        };
        StructuredContext {
            plot_elements: self.plot_elements(chapter),
            character_contexts: self.character_contexts(),
            system_prompts: Some(SystemPrompts {
                main_prefix: prompts.main_prefix.clone(),
                main_suffix: prompts.main_suffix.clone(),
                assistant_prompt: prompts.assistant_prompt.clone(),
                editor_prompt: prompts.editor_prompt.clone(),
            }),
            worldbuilding: self.worldbuilding.clone(),
            story_summary: outline
                .and_then(|outline| outline.summary.clone())
                .map(|summary| StorySummary { summary }),
            previous_chapters: earlier.iter().map(previous).collect(),
            plot_context: outline
                .map(|outline| PlotContext { point: None, outline: Some(outline.content.clone()) }),
            ..StructuredContext::default()
        }
    }

    fn plot_elements(&self, chapter: Option<i64>) -> Vec<PlotElement> {
        let title = self.context_metadata.iter().map(|data| data.story_title.trim());
        let title = title.filter(|title| !title.is_empty()).map(|title| PlotElement {
            id: Some("story_title".to_owned()),
            element_id: None,
            type_name: "title".to_owned(),
            content: title.to_owned(),
            priority: PriorityLevel::Medium,
            tags: Vec::new(),
            metadata: None,
        });
        let items = self.story_outline.iter().flat_map(|outline| &outline.outline_items);
        let items: Vec<_> = items.cloned().collect();
        title.chain(nearby(&items, chapter, &[])).collect()
    }

    /// Every character that is not hidden, with its moment; moments without a sheet stand alone.
    fn character_contexts(&self) -> Vec<CharacterContext> {
        let moment = |name: &str| self.character_states.iter().find(|moment| moment.name == name);
        let shown = self.characters.iter().filter(|sheet| !sheet.is_hidden);
        let mut contexts: Vec<_> =
            shown.map(|sheet| character(sheet, moment(&sheet.name))).collect();
        let is_known = |name: &str| self.characters.iter().any(|sheet| sheet.name == name);
        for alone in self.character_states.iter().filter(|moment| !is_known(&moment.name)) {
            let name = alone.name.clone();
            let sheet = CharacterDetails { name, ..CharacterDetails::default() };
            contexts.push(character(&sheet, Some(alone)));
        }
        contexts
    }
}

impl CharacterDetails {
    /// What the sheet says, in its order; what nobody entered is left out.
    pub(super) fn entries(&self) -> Vec<(&'static str, String)> {
        let age = if self.age > 0 { self.age.to_string() } else { String::new() };
        let entries = [
            ("biography", self.basic_bio.clone()),
            ("sex", self.sex.clone()),
            ("gender", self.gender.clone()),
            ("sexual preference", self.sexual_preference.clone()),
            ("age", age),
            ("physical appearance", self.physical_appearance.clone()),
            ("usual clothing", self.usual_clothing.clone()),
            ("personality", self.personality.clone()),
            ("motivations", self.motivations.clone()),
            ("fears", self.fears.clone()),
            ("relationships", self.relationships.clone()),
        ];
        entries.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect()
    }
}

fn character(sheet: &CharacterDetails, moment: Option<&CharacterMoment>) -> CharacterContext {
    let mut state = Map::new();
    let mut relationships = Map::new();
    for (name, value) in sheet.entries() {
        let entries = if name == "relationships" { &mut relationships } else { &mut state };
        let name = if name == "relationships" { "others" } else { name };
        entries.insert(name.to_owned(), Value::String(value));
    }
    if let Some(moment) = moment {
        let now = [
            ("emotions", &moment.emotions),
            ("physical sensations", &moment.physical_sensations),
            ("thoughts", &moment.internal_monologue),
            ("said lately", &moment.recent_dialog),
        ];
        for (name, values) in now.into_iter().filter(|(_, values)| !values.is_empty()) {
            state.insert(name.to_owned(), json!(values));
        }
    }
    let of_moment = |list: fn(&CharacterMoment) -> &Vec<String>| {
        moment.map(|moment| list(moment).clone()).unwrap_or_default()
    };
    let id = if sheet.id.is_empty() { &sheet.name } else { &sheet.id };
    CharacterContext {
        character_id: id.clone(),
        character_name: sheet.name.clone(),
        current_state: (!state.is_empty()).then_some(CharacterState::Fields(state)),
        recent_actions: of_moment(|moment| &moment.recent_actions),
        relationships,
        goals: of_moment(|moment| &moment.goals),
        memories: of_moment(|moment| &moment.memories),
        personality_traits: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> RequestContext {
        serde_json::from_value(json!({
            "configuration": {"system_prompts": {"main_prefix": "Be brief."}},
            "characters": [{"id": "c1", "name": "Aria", "basic_bio": "A smith.", "age": 0},
                           {"id": "c2", "name": "Ghost", "is_hidden": true}],
            "character_states": [{"name": "Aria", "emotions": ["fear"], "goals": ["leave"]}],
            "chapters": [{"number": 2, "title": "Two", "content": "Second."},
                         {"number": 1, "title": "One", "content": "First."}],
            "story_outline": {"content": "All of it.", "outline_items": [
                {"title": "The gate", "description": "It opens", "order": 2}]}
        }))
        .unwrap()
    }

    #[test]
    fn chapters_before_the_one_at_hand_are_the_story_so_far() {
        let numbers = |chapter| -> Vec<_> {
            let story = state().to_structured(chapter);
            story.previous_chapters.iter().map(|chapter| chapter.number.unwrap()).collect()
        };
        assert_eq!(numbers(Some(2)), [1]);
        assert_eq!(numbers(None), [1, 2]);
    }

    #[test]
    fn a_character_has_its_sheet_and_its_moment_and_hidden_ones_stay_out() {
        let contexts = state().to_structured(None).character_contexts;
        assert_eq!(contexts.len(), 1);
        assert_eq!(contexts[0].goals, ["leave"]);
        let Some(CharacterState::Fields(fields)) = &contexts[0].current_state else { panic!() };
        assert_eq!(fields["biography"], "A smith.");
        assert_eq!(fields["emotions"], json!(["fear"]));
        assert!(!fields.contains_key("age"));
    }

    #[test]
    fn a_chapter_without_a_plot_point_takes_the_outlines() {
        assert_eq!(state().plot_point(2).unwrap(), "The gate. It opens.");
        assert_eq!(state().plot_point(7), None);
    }
}
