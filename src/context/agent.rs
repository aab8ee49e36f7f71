//! The roles that read a story, and the phases of writing it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is going to read the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Agent {
    Writer,
    Character,
    Rater,
    Editor,
    Worldbuilding,
}

impl Agent {
    pub const ALL: [Self; 5] =
        [Self::Writer, Self::Character, Self::Rater, Self::Editor, Self::Worldbuilding];

    pub fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Character => "character",
            Self::Rater => "rater",
            Self::Editor => "editor",
            Self::Worldbuilding => "worldbuilding",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The agents an element is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience(u8);

impl Audience {
    pub const NOBODY: Self = Self(0);
    pub const EVERYBODY: Self = Self::of(&Agent::ALL);

    pub const fn of(agents: &[Agent]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < agents.len() {
            bits |= agents[at].bit();
            at += 1;
        }
        Self(bits)
    }

    pub const fn includes(self, agent: Agent) -> bool {
        self.0 & agent.bit() != 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// How many agents share it. What more of them share stands earlier in the prompt.
    pub const fn breadth(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// How far the story is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    PlotOutline,
    ChapterDetail,
    FinalEdit,
}

impl Phase {
    pub const ALL: [Self; 3] = [Self::PlotOutline, Self::ChapterDetail, Self::FinalEdit];

    pub fn name(self) -> &'static str {
        match self {
            Self::PlotOutline => "plot_outline",
            Self::ChapterDetail => "chapter_detail",
            Self::FinalEdit => "final_edit",
        }
    }
}
