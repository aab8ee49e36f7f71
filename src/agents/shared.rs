//! The part of the prompt that is the same for every agent over the same story: the author's
//! instructions, then plot, characters and what happened so far, in the order of [`Layer`].

use serde::Serialize;

use crate::context::{Assembly, ElementKind, Layer};
use crate::prompts::Prompt;

/// A character, as the model reads it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CharacterText {
    pub name: String,
    pub traits: Vec<String>,
    pub state: Vec<NamedText>,
    pub goals: Vec<String>,
    pub relationships: Vec<NamedText>,
    pub recent_actions: Vec<String>,
    pub memories: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct NamedText {
    pub name: String,
    pub value: String,
}

impl Prompt for CharacterText {
    const FILE: &'static str = "story/character.j2";

    fn sample() -> Self {
        let named = |name: &str, value: &str| NamedText { name: name.into(), value: value.into() };
        Self {
            name: "Aria".into(),
            traits: vec!["brave".into(), "short-tempered".into()],
            state: vec![named("mood", "determined")],
            goals: vec!["find the gate".into()],
            relationships: vec![named("Tom", "her brother"), named("the Warden", "feared")],
            recent_actions: vec!["left the village".into()],
            memories: vec!["her mother's song".into()],
        }
    }
}

/// A scene, a twist, a piece of the world.
#[derive(Clone, Debug, Serialize)]
pub struct PlotElementText {
    pub kind: String,
    pub content: String,
}

impl Prompt for PlotElementText {
    const FILE: &'static str = "story/plot_element.j2";

    fn sample() -> Self {
        Self { kind: "scene".into(), content: "Hero enters forest".into() }
    }
}

/// A rule of the author's.
#[derive(Clone, Debug, Serialize)]
pub struct InstructionText {
    pub content: String,
}

impl Prompt for InstructionText {
    const FILE: &'static str = "story/instruction.j2";

    fn sample() -> Self {
        Self { content: "Never break the fourth wall.".into() }
    }
}

/// What the author asks for this time.
#[derive(Clone, Debug, Serialize)]
pub struct RequestText {
    pub content: String,
    pub target: Option<String>,
    pub context: Option<String>,
}

impl Prompt for RequestText {
    const FILE: &'static str = "story/request.j2";

    fn sample() -> Self {
        Self {
            content: "Add sensory details".into(),
            target: Some("the forest".into()),
            context: Some("readers found it flat".into()),
        }
    }
}

/// Opens every prompt.
#[derive(Clone, Debug, Serialize)]
pub struct SystemPrompt {
    pub instructions: Vec<String>,
}

impl Prompt for SystemPrompt {
    const FILE: &'static str = "story/system.j2";

    fn sample() -> Self {
        Self { instructions: vec!["- Never break the fourth wall.".into()] }
    }
}

/// The story itself.
#[derive(Clone, Debug, Serialize)]
pub struct StoryPrompt {
    pub background: Vec<String>,
    pub plot: Vec<String>,
    pub characters: Vec<String>,
    pub recent_story: Vec<String>,
}

impl Prompt for StoryPrompt {
    const FILE: &'static str = "story/context.j2";

    fn sample() -> Self {
        Self {
            background: vec!["The forest has no paths.".into()],
            plot: vec!["- scene: Hero enters forest".into()],
            characters: vec!["Aria\n  Personality: brave".into()],
            recent_story: vec!["The gate had closed behind her.".into()],
        }
    }
}

/// An assembled context, sorted into the places a prompt has for it.
#[derive(Clone, Debug)]
pub struct StoryParts {
    pub system: SystemPrompt,
    pub story: StoryPrompt,
    pub guidance: Vec<String>,
}

impl StoryParts {
    pub fn of(assembly: &Assembly) -> Self {
        let layer = |layer| assembly.texts(|placed| placed.layer == layer);
        let plot_and_world = |wanted: fn(ElementKind) -> bool| {
            assembly.texts(|placed| placed.layer == Layer::PlotAndWorld && wanted(placed.kind))
        };
        Self {
            system: SystemPrompt { instructions: layer(Layer::System) },
            story: StoryPrompt {
                background: plot_and_world(|kind| kind == ElementKind::World),
                plot: plot_and_world(|kind| kind != ElementKind::World),
                characters: layer(Layer::Characters),
                recent_story: layer(Layer::RecentStory),
            },
            guidance: layer(Layer::Immediate),
        }
    }

    /// Every heading and no element: what a prompt takes before anything is put in.
    pub fn only_headings() -> Self {
        let blank = || vec![String::new()];
        Self {
            system: SystemPrompt { instructions: blank() },
            story: StoryPrompt {
                background: blank(),
                plot: blank(),
                characters: blank(),
                recent_story: blank(),
            },
            guidance: blank(),
        }
    }
}
