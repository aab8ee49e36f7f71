//! Agents in conversation with the author.

use serde::Serialize;

use super::shared::sample_guidance;
use crate::context::Agent;
use crate::prompts::Prompt;

/// Opens a conversation: who the agent is, and the story as far as it was told.
#[derive(Clone, Debug, Serialize)]
pub struct ConversationPrompt {
    pub agent: Agent,
    pub instructions: Vec<String>,
    pub story: String,
    pub topic: Option<String>,
    pub guidance: String,
}

impl Prompt for ConversationPrompt {
    const FILE: &'static str = "chat/system.j2";

    fn sample() -> Self {
        Self {
            agent: Agent::Worldbuilding,
            instructions: vec!["- Never break the fourth wall.".into()],
            story: "=== STORY BACKGROUND ===\nThe forest has no paths.\n".into(),
            topic: Some("the forest".into()),
            guidance: sample_guidance(),
        }
    }
}
