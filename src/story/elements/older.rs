//! The older editors' shape: prompts, world, summary, chapters, cast and outline.

use super::{Converter, Draft, Knower, STORY_READERS, WORLD_READERS, in_words, named_texts};
use crate::agents::shared::{CharacterText, NamedText, PlotElementText, RequestText};
use crate::context::{Agent, Audience, ElementKind, KeepEnd, Layer};
use crate::story::StoryError;
use crate::story::container::{
    CharacterSheet, PlotContext, PreviousChapter, StructuredContext, SystemPrompts,
};

impl Converter<'_> {
    /// `task` is what the prompt asks for anyway.
    pub(super) fn older_shape(
        &mut self,
        story: &StructuredContext,
        task: Option<&str>,
    ) -> Result<(), StoryError> {
        if let Some(prompts) = &story.system_prompts {
            self.system_prompts(prompts);
        }
        if let Some(world) = &story.worldbuilding {
            self.world("worldbuilding", &world.content, false);
        }
        if let Some(summary) = &story.story_summary {
            // It tells of everybody.
            self.world("storySummary", &summary.summary, self.knower.is_some());
        }
        if let Some(plot) = &story.plot_context {
            self.outline(plot)?;
            self.plot_point(plot, task)?;
        }
        for (position, chapter) in story.previous_chapters.iter().enumerate() {
            self.previous_chapter(chapter, position);
        }
        let shown = story.characters.iter().filter(|sheet| !sheet.is_hidden);
        for (position, sheet) in shown.enumerate() {
            let text = character_of_sheet(sheet, self.include_relationships);
            let is_own = |knower: &Knower| knower.is_of_sheet(sheet);
            let concealed = self.knower.as_ref().is_some_and(|knower| !is_own(knower));
            self.character_draft(&text, sheet.id.clone(), position, concealed)?;
        }
        Ok(())
    }

    fn system_prompts(&mut self, prompts: &SystemPrompts) {
        const WRITER: Audience = Audience::of(&[Agent::Writer]);
        const EDITOR: Audience = Audience::of(&[Agent::Editor]);
        const ALL: Audience = Audience::EVERYBODY;
        let priorities = self.priorities;
        let texts = [
            ("mainPrefix", &prompts.main_prefix, ALL, priorities.system_prompt_prefix),
            ("mainSuffix", &prompts.main_suffix, ALL, priorities.system_prompt_suffix),
            ("assistantPrompt", &prompts.assistant_prompt, WRITER, priorities.assistant_prompt),
            ("editorPrompt", &prompts.editor_prompt, EDITOR, priorities.editor_prompt),
        ];
        for (name, text, audience, priority) in texts {
            let Some(text) = text else { continue };
            let kind = ElementKind::SystemInstruction;
            let draft = Draft {
                text: text.clone(),
                type_name: name.to_owned(),
                ..Draft::new(kind, Layer::System, audience, priority)
            };
            self.push(draft, name);
        }
    }

    fn world(&mut self, name: &str, text: &str, concealed: bool) {
        let priority = self.priorities.plot.medium;
        let draft = Draft {
            text: text.to_owned(),
            type_name: name.to_owned(),
            concealed,
            ..Draft::new(ElementKind::World, Layer::PlotAndWorld, WORLD_READERS, priority)
        };
        self.push(draft, name);
    }

    fn outline(&mut self, plot: &PlotContext) -> Result<(), StoryError> {
        let Some(outline) = &plot.outline else { return Ok(()) };
        let words =
            PlotElementText { kind: "chapter outline".to_owned(), content: outline.clone() };
        let priority = self.priorities.plot.medium;
        let draft = Draft {
            text: self.words(outline, &words)?,
            type_name: "chapter_outline".to_owned(),
            concealed: self.knower.is_some(),
            ..Draft::new(ElementKind::Plot, Layer::PlotAndWorld, STORY_READERS, priority)
        };
        self.push(draft, "plotOutline");
        Ok(())
    }

    /// These editors send a plot point beside the request's own.
    fn plot_point(&mut self, plot: &PlotContext, task: Option<&str>) -> Result<(), StoryError> {
        let plot_point = plot.point.as_deref().map(str::trim);
        let Some(content) = plot_point.filter(|&text| Some(text) != task) else { return Ok(()) };
        let request = RequestText { content: content.to_owned(), target: None, context: None };
        let (kind, priority) = (ElementKind::UserRequest, self.priorities.instruction);
        let draft = Draft {
            text: self.words(content, &request)?,
            type_name: "plotPoint".to_owned(),
            concealed: self.knower.is_some(),
            ..Draft::new(kind, Layer::Immediate, Audience::EVERYBODY, priority)
        };
        self.push(draft, "plotPoint");
        Ok(())
    }

    fn previous_chapter(&mut self, chapter: &PreviousChapter, position: usize) {
        let (kind, priority) = (ElementKind::Passage, self.priorities.plot.medium);
        let told = match &self.knower {
            Some(knower) => knower.witnessed(&chapter.content),
            None => chapter.content.clone(),
        };
        let draft = Draft {
            text: match &chapter.title {
                Some(title) if !title.trim().is_empty() && !told.is_empty() => {
                    format!("{title}\n{told}")
                }
                _ => told,
            },
            keep_end: KeepEnd::End,
            type_name: "chapter".to_owned(),
            ..Draft::new(kind, Layer::RecentStory, STORY_READERS, priority)
        };
        let number = chapter.number.map_or_else(|| (position + 1).to_string(), |n| n.to_string());
        self.push(draft, &format!("chapter-{number}"));
    }
}

/// A name, and whatever else was noted, in the author's order.
fn character_of_sheet(sheet: &CharacterSheet, include_relationships: bool) -> CharacterText {
    const BOOKKEEPING: [&str; 4] = ["lastModified", "last_modified", "metadata", "relationships"];
    let mut text = CharacterText { name: sheet.name.clone(), ..CharacterText::default() };
    let mut state = sheet.details.clone();
    let relationships = state.get("relationships").and_then(in_words);
    if let Some(value) = relationships.filter(|_| include_relationships) {
        text.relationships = vec![NamedText { name: "others".to_owned(), value }];
    }
    // These editors send 0 for an age that nobody entered.
    state.retain(|name, value| !BOOKKEEPING.contains(&name.as_str()) && value.as_i64() != Some(0));
    text.state = named_texts(&state);
    text
}
