//! The part of the prompt that is the same for every agent over the same story: the author's
//! instructions, then plot, characters and what happened so far, in the order of [`Layer`].

use serde::Serialize;

use crate::context::{Agent, Assembly, ElementKind, Layer, Placed};
use crate::engine::Message;
use crate::prompts::{Prompt, PromptError, Prompts};

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

/// A passage of another text that was looked up.
#[derive(Clone, Debug, Serialize)]
pub struct ArchivePassageText {
    pub file_name: String,
    /// The heading that it stands under.
    pub chapter: Option<String>,
    pub content: String,
}

impl Prompt for ArchivePassageText {
    const FILE: &'static str = "story/archive_passage.j2";

    fn sample() -> Self {
        Self {
            file_name: "tales.txt".into(),
            chapter: Some("The Wood".into()),
            content: "The trees close behind whoever lies.".into(),
        }
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

/// What somebody said about a text.
#[derive(Clone, Debug, Serialize)]
pub struct FeedbackText {
    pub source: String,
    pub content: String,
}

impl Prompt for FeedbackText {
    const FILE: &'static str = "story/feedback.j2";

    fn sample() -> Self {
        Self { source: "Aria".into(), content: "I would never have let him go.".into() }
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

/// The story itself, and the text that the agent works on.
#[derive(Clone, Debug, Serialize)]
pub struct StoryPrompt {
    pub background: Vec<String>,
    pub plot: Vec<String>,
    /// Passages of other texts that were looked up.
    pub archive: Vec<String>,
    pub characters: Vec<String>,
    pub recent_story: Vec<String>,
    pub work: Vec<String>,
}

impl Prompt for StoryPrompt {
    const FILE: &'static str = "story/context.j2";

    fn sample() -> Self {
        Self {
            background: vec!["The forest has no paths.".into()],
            plot: vec!["- scene: Hero enters forest".into()],
            archive: vec!["- From tales.txt: The trees close behind whoever lies.".into()],
            characters: vec!["Aria\n  Personality: brave".into()],
            recent_story: vec!["The gate had closed behind her.".into()],
            work: vec!["She walked until the light was gone.".into()],
        }
    }
}

/// What is said to one agent alone, after what all are told: instructions that are not for everybody,
/// the agent's own brief, and what the author asks for this time.
#[derive(Clone, Debug, Serialize)]
pub struct GuidancePrompt {
    pub heading: &'static str,
    pub instructions: Vec<String>,
    pub requests: Vec<String>,
}

impl Prompt for GuidancePrompt {
    const FILE: &'static str = "story/guidance.j2";

    fn sample() -> Self {
        Self {
            heading: heading(Agent::Editor),
            instructions: vec!["- Look at the commas.".into()],
            requests: vec!["- Add sensory details".into()],
        }
    }
}

impl GuidancePrompt {
    /// As it stands in an agent's own prompt.
    pub fn in_words(&self, prompts: &Prompts) -> Result<String, PromptError> {
        Ok(prompts.render(self)?.trim_end().to_owned())
    }
}

/// Guidance in words, as it stands in the samples of agents' prompts.
pub(super) fn sample_guidance() -> String {
    "\n=== USER GUIDANCE ===\n- Add sensory details".to_owned()
}

/// The contract's headings for what is an agent's own.
fn heading(agent: Agent) -> &'static str {
    match agent {
        Agent::Writer => "WRITING GUIDELINES",
        Agent::Editor => "EDITORIAL GUIDELINES",
        Agent::Rater => "EVALUATION CRITERIA",
        Agent::Character => "CHARACTER CONTEXT",
        Agent::Worldbuilding => "WORLDBUILDING GUIDELINES",
    }
}

/// An assembled context, sorted into the places a prompt has for it.
#[derive(Clone, Debug)]
pub struct StoryParts {
    pub system: SystemPrompt,
    pub story: StoryPrompt,
    pub guidance: GuidancePrompt,
    /// Turns of a conversation that are to be shown, by the elements' ids.
    pub turns: Vec<(String, String)>,
}

impl StoryParts {
    pub fn of(assembly: &Assembly, agent: Agent) -> Self {
        let texts = |layer: Layer, wanted: fn(&Placed) -> bool| {
            assembly.texts(|placed| placed.layer == layer && wanted(placed))
        };
        let is = |kind: ElementKind| {
            move |placed: &&Placed| placed.kind == kind && placed.layer == Layer::RecentStory
        };
        let turns = assembly.placed.iter().filter(is(ElementKind::Turn));
        Self {
            system: SystemPrompt { instructions: texts(Layer::System, |placed| placed.is_for_all) },
            story: StoryPrompt {
                background: texts(Layer::PlotAndWorld, |placed| placed.kind == ElementKind::World),
                plot: texts(Layer::PlotAndWorld, |placed| {
                    !matches!(placed.kind, ElementKind::World | ElementKind::ArchivePassage)
                }),
                archive: texts(Layer::PlotAndWorld, |placed| {
                    placed.kind == ElementKind::ArchivePassage
                }),
                characters: texts(Layer::Characters, |_| true),
                recent_story: texts(Layer::RecentStory, |placed| {
                    !matches!(placed.kind, ElementKind::Work | ElementKind::Turn)
                }),
                work: texts(Layer::RecentStory, |placed| placed.kind == ElementKind::Work),
            },
            guidance: GuidancePrompt {
                heading: heading(agent),
                instructions: [
                    texts(Layer::System, |placed| !placed.is_for_all),
                    texts(Layer::Immediate, |placed| placed.kind == ElementKind::Brief),
                ]
                .concat(),
                requests: texts(Layer::Immediate, |placed| placed.kind != ElementKind::Brief),
            },
            turns: turns.map(|placed| (placed.id.clone(), placed.text.clone())).collect(),
        }
    }

    /// Every heading and no element: what a prompt takes before anything is put in.
    pub fn only_headings(agent: Agent) -> Self {
        let blank = || vec![String::new()];
        Self {
            system: SystemPrompt { instructions: blank() },
            story: StoryPrompt {
                background: blank(),
                plot: blank(),
                // Seldom there; where it is, the prompt is counted as a whole.
                archive: Vec::new(),
                characters: blank(),
                recent_story: blank(),
                work: blank(),
            },
            guidance: GuidancePrompt {
                heading: heading(agent),
                instructions: blank(),
                requests: blank(),
            },
            turns: Vec::new(),
        }
    }

    /// The messages of a prompt: what all agents are told, then the agent's own task, which is given
    /// the guidance in words.
    pub fn messages<P: Prompt>(
        &self,
        prompts: &Prompts,
        task: impl FnOnce(String) -> P,
    ) -> Result<Vec<Message>, PromptError> {
        let task = task(self.guidance.in_words(prompts)?);
        let story = prompts.render(&self.story)?;
        Ok(vec![
            Message::system(prompts.render(&self.system)?),
            Message::user(story + &prompts.render(&task)?),
        ])
    }
}
