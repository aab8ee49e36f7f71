//! The request's context as the elements `context/` works with: who may see each, which layer it
//! lies in, how much it matters, and its words.

mod knowledge;
mod material;
mod older;
mod outline;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

pub(super) use self::knowledge::Knower;
pub(super) use self::material::{Material, Need, turn_id};
pub(super) use self::outline::OutlineItem;
pub(super) use self::outline::nearby;
use super::container::{
    CharacterContext, CharacterState, PlotElement, PriorityLevel, Scope, StructuredContext,
    SystemInstruction, UserRequest,
};
use super::{Fault, FaultKind, StoryError};
use crate::agents::shared::{
    CharacterText, InstructionText, NamedText, PlotElementText, RequestText,
};
use crate::context::{Agent, Audience, Element, ElementKind, KeepEnd, Layer, Phase, Priority};
use crate::distil::Strategy;
use crate::prompts::{Prompt, Prompts};
use crate::tokens::{TokenCount, TokenCounter};

/// What the levels are worth, by kind.
#[derive(Clone, Debug)]
pub struct Priorities {
    pub plot: Levels,
    pub user: Levels,
    pub system: Levels,
    pub character: Priority,
    pub system_prompt_prefix: Priority,
    pub system_prompt_suffix: Priority,
    pub assistant_prompt: Priority,
    pub editor_prompt: Priority,
    pub instruction: Priority,
    /// What a character, a rater or an editor is told to go by in this request.
    pub character_brief: Priority,
    pub rater_brief: Priority,
    pub editor_brief: Priority,
    /// A text that an agent is shown to work on.
    pub output: Priority,
}

#[derive(Clone, Copy, Debug)]
pub struct Levels {
    pub high: Priority,
    pub medium: Priority,
    pub low: Priority,
}

impl Levels {
    pub(super) fn of(self, level: PriorityLevel) -> Priority {
        match level {
            PriorityLevel::High => self.high,
            PriorityLevel::Medium => self.medium,
            PriorityLevel::Low => self.low,
        }
    }
}

/// A character reads of it what it knows.
const STORY_READERS: Audience =
    Audience::of(&[Agent::Writer, Agent::Rater, Agent::Editor, Agent::Character]);
const WORLD_READERS: Audience = Audience::EVERYBODY;
const CAST_READERS: Audience = Audience::of(&[Agent::Character, Agent::Writer]);

/// Turns a container into elements.
pub(super) struct Converter<'a> {
    prompts: &'a Prompts,
    counter: &'a dyn TokenCounter,
    priorities: &'a Priorities,
    include_relationships: bool,
    agent: Agent,
    knower: Option<Knower>,
    elements: Vec<Element>,
    ids: HashSet<String>,
    /// How often an id was wanted by more than one.
    counts: HashMap<String, usize>,
}

/// An element before its id, position and size are known.
struct Draft {
    id: Option<String>,
    kind: ElementKind,
    layer: Layer,
    audience: Audience,
    priority: Priority,
    text: String,
    keep_end: KeepEnd,
    type_name: String,
    tags: Vec<String>,
    character_id: Option<String>,
    phases: Vec<Phase>,
    concealed: bool,
    shortening: Shortening,
}

/// Whether an element may be told shorter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shortening {
    InItsKind,
    /// It goes first when there is no room: not worth the work.
    Never,
}

impl Draft {
    fn new(kind: ElementKind, layer: Layer, audience: Audience, priority: Priority) -> Self {
        Self {
            id: None,
            kind,
            layer,
            audience,
            priority,
            text: String::new(),
            keep_end: KeepEnd::Start,
            type_name: String::new(),
            tags: Vec::new(),
            character_id: None,
            phases: Vec::new(),
            concealed: false,
            shortening: Shortening::InItsKind,
        }
    }
}

/// For whom a container is converted.
pub(super) struct Reader {
    pub(super) agent: Agent,
    pub(super) include_relationships: bool,
    /// The character whose knowledge counts, where the agent is one.
    pub(super) knower: Option<Knower>,
}

impl<'a> Converter<'a> {
    pub(super) fn new(
        prompts: &'a Prompts,
        counter: &'a dyn TokenCounter,
        priorities: &'a Priorities,
        reader: Reader,
    ) -> Self {
        Self {
            prompts,
            counter,
            priorities,
            include_relationships: reader.include_relationships,
            agent: reader.agent,
            knower: reader.knower,
            elements: Vec::new(),
            ids: HashSet::new(),
            counts: HashMap::new(),
        }
    }

    /// All elements; `task` is what the prompt asks for anyway, and isn't said twice.
    pub(super) fn convert<'m>(
        mut self,
        story: &StructuredContext,
        task: Option<&str>,
        material: impl IntoIterator<Item = &'m Material>,
    ) -> Result<Vec<Element>, StoryError> {
        refuse_duplicate_characters(&story.character_contexts)?;
        self.older_shape(story, task)?;
        for (position, instruction) in story.system_instructions.iter().enumerate() {
            self.system_instruction(instruction, position)?;
        }
        for (position, element) in story.plot_elements.iter().enumerate() {
            self.plot_element(element, position)?;
        }
        for (position, character) in story.character_contexts.iter().enumerate() {
            self.character(character, position)?;
        }
        for (position, request) in story.user_requests.iter().enumerate() {
            self.user_request(request, position)?;
        }
        for (position, material) in material.into_iter().enumerate() {
            self.material(material, position)?;
        }
        Ok(self.elements)
    }

    fn push(&mut self, draft: Draft, fallback_id: &str) {
        let wanted =
            draft.id.filter(|id| !id.trim().is_empty()).unwrap_or_else(|| fallback_id.to_owned());
        let id = self.unique(wanted);
        let text = draft.text.trim_end().to_owned();
        // Counted with the line's end that follows it in the prompt, as one more token.
        let tokens = self.counter.count(&text) + TokenCount::new(1);
        let strategy = strategy(draft.kind, &draft.type_name);
        let worth_it = tokens >= SHORTEST_TOLD_SHORTER && draft.shortening != Shortening::Never;
        let shortens_to = strategy.filter(|_| worth_it).map(Strategy::ratio);
        let text_is_blank = text.trim().is_empty();
        self.elements.push(Element {
            audience: draft.audience,
            priority: draft.priority,
            tokens,
            keep_end: draft.keep_end,
            type_name: draft.type_name,
            tags: draft.tags,
            character_id: draft.character_id,
            phases: draft.phases,
            concealed: draft.concealed || (self.knower.is_some() && text_is_blank),
            shortens_to,
            ..Element::new(id, draft.kind, draft.layer, text, self.elements.len())
        });
    }

    /// The id, or the first of `id#2`, `id#3`, … that nothing else has.
    fn unique(&mut self, wanted: String) -> String {
        if self.ids.insert(wanted.clone()) {
            return wanted;
        }
        let mut number = *self.counts.entry(wanted.clone()).or_insert(1);
        loop {
            number += 1;
            let id = format!("{wanted}#{number}");
            if self.ids.insert(id.clone()) {
                self.counts.insert(wanted, number);
                return id;
            }
        }
    }

    fn words<P: Prompt>(&self, content: &str, prompt: &P) -> Result<String, StoryError> {
        // An element without words must not gain any from its template.
        if content.trim().is_empty() {
            return Ok(String::new());
        }
        Ok(self.prompts.render(prompt)?)
    }

    fn system_instruction(
        &mut self,
        instruction: &SystemInstruction,
        position: usize,
    ) -> Result<(), StoryError> {
        let audience = match instruction.scope {
            Scope::Global => Audience::EVERYBODY,
            Scope::Character => CAST_READERS,
            Scope::Scene => Audience::of(&[Agent::Writer]),
            Scope::Chapter => Audience::of(&[Agent::Writer, Agent::Editor]),
            Scope::Story => STORY_READERS,
        };
        let priority = self.priorities.system.of(instruction.priority);
        let content = instruction.content.clone();
        let text = self.words(&instruction.content, &InstructionText { content })?;
        let mut phases = Vec::new();
        for (key, object) in
            [("conditions", &instruction.conditions), ("metadata", &instruction.metadata)]
        {
            let path = ["structured_context", "system_instructions", &position.to_string(), key];
            phases.extend(phases_in(object.as_ref(), &path)?);
        }
        let draft = Draft {
            id: instruction.id.clone(),
            text,
            type_name: instruction.type_name.clone(),
            phases,
            ..Draft::new(ElementKind::SystemInstruction, Layer::System, audience, priority)
        };
        self.push(draft, &format!("system-{}", position + 1));
        Ok(())
    }

    fn plot_element(&mut self, element: &PlotElement, position: usize) -> Result<(), StoryError> {
        let kind = plot_kind(&element.type_name);
        let (layer, keep_end) = match kind {
            ElementKind::Passage => (Layer::RecentStory, KeepEnd::End),
            _ => (Layer::PlotAndWorld, KeepEnd::Start),
        };
        let audience = match (element.priority, kind) {
            (PriorityLevel::Low, _) => Audience::of(&[Agent::Writer]),
            (_, ElementKind::World) => WORLD_READERS,
            _ => STORY_READERS,
        };
        let knows = |knower: &Knower| knower.knows(element, kind == ElementKind::World);
        let concealed = self.knower.as_ref().is_some_and(|knower| !knows(knower));
        let text = match (kind, &self.knower) {
            (ElementKind::Plot, _) => {
                let kind = element.type_name.replace('_', " ");
                let content = element.content.clone();
                self.words(&element.content, &PlotElementText { kind, content })?
            }
            (ElementKind::Passage, Some(knower)) => knower.witnessed(&element.content),
            _ => element.content.clone(),
        };
        let phases = phases_in(
            element.metadata.as_ref(),
            &["structured_context", "plot_elements", &position.to_string(), "metadata"],
        )?;
        let priority = self.priorities.plot.of(element.priority);
        let draft = Draft {
            id: element.id.clone().or_else(|| element.element_id.clone()),
            text,
            keep_end,
            type_name: element.type_name.clone(),
            tags: element.tags.clone(),
            phases,
            concealed,
            shortening: match element.priority {
                PriorityLevel::Low => Shortening::Never,
                PriorityLevel::High | PriorityLevel::Medium => Shortening::InItsKind,
            },
            ..Draft::new(kind, layer, audience, priority)
        };
        self.push(draft, &format!("plot-{}", position + 1));
        Ok(())
    }

    fn character(&mut self, character: &CharacterContext, at: usize) -> Result<(), StoryError> {
        let state = match &character.current_state {
            None => Vec::new(),
            Some(CharacterState::Text(text)) if text.trim().is_empty() => Vec::new(),
            Some(CharacterState::Text(text)) => {
                vec![NamedText { name: "State".to_owned(), value: text.clone() }]
            }
            Some(CharacterState::Fields(fields)) => named_texts(fields),
        };
        let relationships = if self.include_relationships {
            named_texts(&character.relationships)
        } else {
            Vec::new()
        };
        let text = CharacterText {
            name: character.character_name.clone(),
            traits: character.personality_traits.clone(),
            state,
            goals: character.goals.clone(),
            relationships,
            recent_actions: character.recent_actions.clone(),
            memories: character.memories.clone(),
        };
        let concealed = self.knower.as_ref().is_some_and(|knower| !knower.is(character));
        self.character_draft(&text, Some(character.character_id.clone()), at, concealed)
    }

    fn character_draft(
        &mut self,
        text: &CharacterText,
        id: Option<String>,
        position: usize,
        concealed: bool,
    ) -> Result<(), StoryError> {
        let words = self.prompts.render(text)?;
        let priority = self.priorities.character;
        let draft = Draft {
            id: id.clone(),
            text: words,
            type_name: "character".to_owned(),
            character_id: id,
            concealed,
            ..Draft::new(ElementKind::Character, Layer::Characters, CAST_READERS, priority)
        };
        self.push(draft, &format!("character-{}", position + 1));
        Ok(())
    }

    fn user_request(&mut self, request: &UserRequest, position: usize) -> Result<(), StoryError> {
        let audience = match request.priority {
            PriorityLevel::High => Audience::EVERYBODY,
            PriorityLevel::Medium => Audience::of(&[Agent::Writer, Agent::Editor]),
            PriorityLevel::Low => Audience::NOBODY,
        };
        let words = RequestText {
            content: request.content.clone(),
            target: request.target.clone(),
            context: request.context.clone(),
        };
        let priority = self.priorities.user.of(request.priority);
        let draft = Draft {
            id: request.id.clone(),
            text: self.words(&request.content, &words)?,
            type_name: request.type_name.clone(),
            ..Draft::new(ElementKind::UserRequest, Layer::Immediate, audience, priority)
        };
        self.push(draft, &format!("request-{}", position + 1));
        Ok(())
    }
}

/// Shorter texts lose more by being told shorter than they take.
const SHORTEST_TOLD_SHORTER: TokenCount = TokenCount::new(48);

/// How a kind of element is told shorter; `None` where only its own words will do.
pub(super) fn strategy(kind: ElementKind, type_name: &str) -> Option<Strategy> {
    match kind {
        ElementKind::SystemInstruction | ElementKind::Brief => {
            Some(Strategy::SystemPromptOptimization)
        }
        ElementKind::Plot => Some(match type_name {
            "scene" | "transition" => Strategy::EventSequence,
            "dialogue" | "dialog" | "conversation" => Strategy::DialogueSummary,
            "emotion" | "emotional_moment" => Strategy::EmotionalMoment,
            _ => Strategy::PlotSummary,
        }),
        ElementKind::Character => Some(Strategy::CharacterDevelopment),
        ElementKind::UserRequest => Some(Strategy::FeedbackSummary),
        ElementKind::World => Some(Strategy::WorldBuilding),
        ElementKind::Passage | ElementKind::ArchivePassage => Some(Strategy::PlotSummary),
        ElementKind::Turn => Some(Strategy::ConversationHistory),
        ElementKind::Work | ElementKind::Summary | ElementKind::Memory | ElementKind::Feeling => {
            None
        }
    }
}

fn refuse_duplicate_characters(characters: &[CharacterContext]) -> Result<(), StoryError> {
    let mut seen = HashSet::new();
    let faults: Vec<_> = characters
        .iter()
        .enumerate()
        .filter(|(_, character)| !seen.insert(&character.character_id))
        .map(|(position, character)| Fault {
            path: [
                "structured_context",
                "character_contexts",
                &position.to_string(),
                "character_id",
            ]
            .map(str::to_owned)
            .to_vec(),
            message: format!("{:?} is used by an earlier character", character.character_id),
            kind: FaultKind::Wrong,
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(StoryError::Invalid(faults)) }
}

fn plot_kind(type_name: &str) -> ElementKind {
    match type_name.to_ascii_lowercase().as_str() {
        "chapter" | "previous_chapter" | "recent_story" | "chapter_text" => ElementKind::Passage,
        "world" | "worldbuilding" | "world_building" | "setting" | "lore" | "background"
        | "story_summary" => ElementKind::World,
        _ => ElementKind::Plot,
    }
}

/// The phases named by `phase` or `phases` in a free-form object.
fn phases_in(object: Option<&Map<String, Value>>, path: &[&str]) -> Result<Vec<Phase>, StoryError> {
    let Some(object) = object else {
        return Ok(Vec::new());
    };
    let mut phases = Vec::new();
    for key in ["phase", "phases"] {
        let named = match object.get(key) {
            None | Some(Value::Null) => continue,
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        for name in named {
            let phase = Phase::ALL.into_iter().find(|phase| Some(phase.name()) == name.as_str());
            let Some(phase) = phase else {
                let known = Phase::ALL.map(Phase::name).join(", ");
                let mut path: Vec<_> = path.iter().map(|&part| part.to_owned()).collect();
                path.push(key.to_owned());
                let message = format!("{name} is no phase; the phases are {known}");
                let kind = FaultKind::Wrong;
                return Err(StoryError::Invalid(vec![Fault { path, message, kind }]));
            };
            phases.push(phase);
        }
    }
    Ok(phases)
}

/// Named facts in the author's order; what has no value is left out.
fn named_texts(fields: &Map<String, Value>) -> Vec<NamedText> {
    fields
        .iter()
        .filter_map(|(name, value)| {
            let value = in_words(value)?;
            Some(NamedText { name: name.replace('_', " "), value })
        })
        .collect()
}

pub(super) fn in_words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.trim().is_empty()).then(|| text.clone()),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter_map(in_words).collect();
            (!items.is_empty()).then(|| items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<_> = named_texts(fields)
                .into_iter()
                .map(|field| format!("{}: {}", field.name, field.value))
                .collect();
            (!fields.is_empty()).then(|| fields.join(", "))
        }
        scalar => Some(scalar.to_string()),
    }
}
