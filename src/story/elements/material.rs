//! What an agent is shown beside the story: the text it works on, its own brief, what others said
//! about a text, the turns of a conversation.

use std::sync::Arc;

use super::{Converter, Draft};
use crate::agents::shared::{ArchivePassageText, FeedbackText, InstructionText};
use crate::archive::Passage;
use crate::context::{Agent, Audience, ElementKind, KeepEnd, Layer, Priority};
use crate::story::StoryError;

/// Something beside the story.
#[derive(Clone, Debug)]
pub(in crate::story) enum Material {
    /// The text the agent works on.
    Work { name: &'static str, text: String, need: Need },
    /// What one agent is told to go by.
    Brief(String),
    /// What somebody said about a text.
    Feedback { source: String, text: String },
    /// A passage of the archive.
    Archive(Arc<Passage>),
    /// A message of a conversation, the last one first in importance.
    Turn { number: usize, text: String },
}

/// Whether an agent can work on a part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::story) enum Need {
    /// Only on the whole: what it doesn't see would be lost.
    Whole,
    /// On as much as fits.
    AsMuchAsFits,
}

impl Converter<'_> {
    pub(super) fn material(&mut self, material: &Material, at: usize) -> Result<(), StoryError> {
        match material {
            Material::Work { name, text, need } => self.work(name, text, *need),
            Material::Brief(text) => self.brief(text)?,
            Material::Feedback { source, text } => self.feedback(source, text, at)?,
            Material::Archive(passage) => self.archive_passage(passage)?,
            Material::Turn { number, text } => self.turn(*number, text),
        }
        Ok(())
    }

    fn work(&mut self, name: &str, text: &str, need: Need) {
        let priority = match need {
            Need::Whole => Priority::new(1.0),
            Need::AsMuchAsFits => self.priorities.output,
        };
        let text = match &self.knower {
            Some(knower) => knower.witnessed(text),
            None => text.to_owned(),
        };
        let (kind, layer) = (ElementKind::Work, Layer::RecentStory);
        let draft = Draft {
            text,
            type_name: name.to_owned(),
            ..Draft::new(kind, layer, Audience::EVERYBODY, priority)
        };
        self.push(draft, name);
    }

    fn brief(&mut self, text: &str) -> Result<(), StoryError> {
        let priority = match self.agent {
            Agent::Rater => self.priorities.rater_brief,
            Agent::Character => self.priorities.character_brief,
            Agent::Writer | Agent::Editor | Agent::Worldbuilding => self.priorities.editor_brief,
        };
        let words = self.words(text, &InstructionText { content: text.to_owned() })?;
        let (kind, audience) = (ElementKind::Brief, Audience::of(&[self.agent]));
        let draft = Draft {
            text: words,
            type_name: "brief".to_owned(),
            ..Draft::new(kind, Layer::Immediate, audience, priority)
        };
        self.push(draft, "brief");
        Ok(())
    }

    fn feedback(&mut self, source: &str, text: &str, at: usize) -> Result<(), StoryError> {
        let feedback = FeedbackText { source: source.to_owned(), content: text.to_owned() };
        let words = self.words(text, &feedback)?;
        let (kind, audience) = (ElementKind::UserRequest, Audience::of(&[self.agent]));
        let draft = Draft {
            text: words,
            type_name: "feedback".to_owned(),
            ..Draft::new(kind, Layer::Immediate, audience, self.priorities.user.medium)
        };
        self.push(draft, &format!("feedback-{}", at + 1));
        Ok(())
    }

    /// Its id says where it is from; no character knows of it.
    fn archive_passage(&mut self, passage: &Passage) -> Result<(), StoryError> {
        let document = &passage.document;
        let content = passage.text.trim().to_owned();
        let (file_name, chapter) = (document.file_name.clone(), passage.section.clone());
        let words = ArchivePassageText { file_name, chapter, content };
        let text = self.words(&passage.text, &words)?;
        let audience =
            Audience::of(&[Agent::Writer, Agent::Editor, Agent::Rater, Agent::Worldbuilding]);
        let (kind, layer) = (ElementKind::ArchivePassage, Layer::PlotAndWorld);
        let draft = Draft {
            text,
            type_name: "archive".to_owned(),
            tags: vec!["archive".to_owned()],
            ..Draft::new(kind, layer, audience, self.priorities.plot.medium)
        };
        let std::ops::Range { start, end } = passage.characters;
        self.push(draft, &format!("archive:{}:{start}-{end}", document.file_path));
        Ok(())
    }

    fn turn(&mut self, number: usize, text: &str) {
        let priority = self.priorities.user.medium;
        let (kind, audience) = (ElementKind::Turn, Audience::of(&[self.agent]));
        let draft = Draft {
            text: text.to_owned(),
            type_name: "message".to_owned(),
            keep_end: KeepEnd::End,
            ..Draft::new(kind, Layer::RecentStory, audience, priority)
        };
        self.push(draft, &turn_id(number));
    }
}

/// The id of a conversation's turn among a job's elements.
pub(in crate::story) fn turn_id(number: usize) -> String {
    format!("message-{number}")
}
