//! The writer: prose from a structured context.

use serde::Serialize;

use super::shared::StoryParts;
use crate::engine::Message;
use crate::prompts::{Prompt, PromptError, Prompts};

/// The writer's part of the prompt for a chapter.
#[derive(Clone, Debug, Serialize)]
pub struct ChapterPrompt {
    pub plot_point: Option<String>,
    pub guidance: Vec<String>,
}

impl Prompt for ChapterPrompt {
    const FILE: &'static str = "writer/chapter.j2";

    fn sample() -> Self {
        Self {
            plot_point: Some("Aria finds the gate.".into()),
            guidance: vec!["- Add sensory details".into()],
        }
    }
}

/// What the writer is sent to write a chapter.
pub fn chapter_messages(
    prompts: &Prompts,
    parts: StoryParts,
    plot_point: Option<&str>,
) -> Result<Vec<Message>, PromptError> {
    let task =
        ChapterPrompt { plot_point: plot_point.map(str::to_owned), guidance: parts.guidance };
    let story = prompts.render(&parts.story)?;
    Ok(vec![
        Message::system(prompts.render(&parts.system)?),
        Message::user(story + &prompts.render(&task)?),
    ])
}

/// The chapter's text: what the model wrote, without the white space around it.
pub fn chapter_text(written: &str) -> &str {
    written.trim()
}
