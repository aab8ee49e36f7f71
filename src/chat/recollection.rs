//! What came to mind, in words; and the mood of the newest message.

use std::sync::Arc;

use super::transcript::Transcript;
use super::words::{NOTICEABLE, RecollectionText, age};
use crate::embedding::Embedder;
use crate::emotion::{Emotion, Feeling};
use crate::memory::{Memory, Role, Stored, recall};
use crate::prompts::{PromptError, Prompts};

/// What the newest message feels like, and what it is looked up by.
#[derive(Clone, Debug)]
pub(super) struct Mood {
    pub(super) feeling: Feeling,
    /// Its vector, the participants' names left out; `None` without an embedder.
    pub(super) cue: Option<Vec<f32>>,
}

impl Mood {
    /// The emotion, unless it is neutral or uncertain.
    pub(super) fn noticeable(&self) -> Option<Emotion> {
        let emotion = self.feeling.emotion();
        (emotion != Emotion::Neutral && self.feeling.confidence() >= NOTICEABLE).then_some(emotion)
    }
}

/// Embeds the newest message once, for recall and emotion alike; twice if it holds names.
pub(super) async fn mood(memory: Memory, transcript: Arc<Transcript>) -> Option<Mood> {
    let work = move || {
        let text = &transcript.newest()?.text;
        let nameless = recall::without_names(text, &transcript.participants());
        let embedder = memory.embedder();
        let vectors = vectors(&**embedder, text, &nameless);
        let (own, cue) = vectors.unzip();
        let felt_by = own.as_deref().map(|own| (embedder.id(), own));
        Some(Mood { feeling: memory.detector().feel(text, felt_by), cue })
    };
    tokio::task::spawn_blocking(work).await.ok().flatten()
}

fn vectors(embedder: &dyn Embedder, text: &str, nameless: &str) -> Option<(Vec<f32>, Vec<f32>)> {
    let texts = if text == nameless { vec![text] } else { vec![text, nameless] };
    match embedder.embed(&texts) {
        Ok(mut vectors) => {
            let cue = vectors.pop()?;
            Some((vectors.pop().unwrap_or_else(|| cue.clone()), cue))
        }
        Err(error) => {
            tracing::debug!("the newest message can't be embedded: {error}");
            None
        }
    }
}

/// Who speaks where no name is known.
pub(super) struct Speaker;

impl Speaker {
    pub(super) const USER: &str = "user";
}

/// A message that came to mind, as a line.
pub(super) fn recollection(
    prompts: &Prompts,
    stored: &Stored,
    now: i64,
) -> Result<String, PromptError> {
    let unnamed = match stored.said.role {
        Role::User => "User",
        Role::Assistant => "You",
    };
    let speaker = stored.said.speaker.as_deref().unwrap_or(unnamed).to_owned();
    let text = stored.told();
    let named = format!("{speaker}: ");
    let text = text.strip_prefix(&named).unwrap_or(text).to_owned();
    prompts.render(&RecollectionText { speaker, age: age(now - stored.said_at), text })
}

pub(super) fn fact_line(text: &str) -> String {
    format!("- {text}")
}
