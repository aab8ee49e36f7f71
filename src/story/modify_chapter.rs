//! A chapter, rewritten as asked and otherwise left as it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container::{ContextProcessingConfig, StructuredContext};
use super::elements::{Material, Need};
use super::full_state::RequestContext;
use super::generate_chapter::word_count;
use super::job::{Job, Words};
use super::single::{Degradation, Desk, Events, Phases, StoryRequest, ask, told};
use super::source::{Faults, Presence, Source, first_said};
use super::{ContextMetadata, JobPhase, StoryError};
use crate::agents::Profile;
use crate::agents::writer::{self, ModifyPrompt};
use crate::context::Agent;
use crate::engine::{ClientId, FinishReason, Usage};

const PHASES: Phases = Phases {
    preparing: told(JobPhase::ContextProcessing, 20, "Putting the context together"),
    reading: Some(told(JobPhase::Analyzing, 40, "Reading the chapter")),
    writing: told(JobPhase::Modifying, 70, "Rewriting the chapter"),
    finishing: told(JobPhase::Finalizing, 90, "Finishing the chapter"),
};

/// A request to rewrite a chapter.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ModifyChapterRequest {
    /// The chapter. With the later shape, the one that `chapter_number` names.
    #[serde(rename = "currentChapter")]
    pub current_chapter: Option<String>,
    /// What to change.
    #[serde(rename = "userRequest")]
    pub user_request: Option<String>,
    pub structured_context: Option<StructuredContext>,
    pub context_processing_config: Option<ContextProcessingConfig>,
    /// The later shape: the whole state of the story, instead of `structured_context`.
    pub request_context: Option<RequestContext>,
    /// Which chapter to rewrite (later shape).
    pub chapter_number: Option<i64>,
    /// What to change (later shape).
    pub user_feedback: Option<String>,
    pub character_feedback: Vec<CharacterRemark>,
    pub rater_feedback: Vec<RaterRemark>,
    pub editor_feedback: Vec<EditorRemark>,
}

/// What a character said, to be worked in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CharacterRemark {
    pub character_name: String,
    /// `action`, `dialog`, `sensation`, `emotion`, `thought`, or any other word.
    #[serde(default, rename = "type")]
    pub type_name: Option<String>,
    pub content: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RaterRemark {
    pub rater_name: String,
    pub content: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EditorRemark {
    pub content: String,
}

/// A rewritten chapter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModifyChapterResponse {
    pub modified_chapter: String,
    pub word_count: usize,
    /// How much of it is new, in words.
    pub changes_summary: String,
    pub usage: Usage,
    #[serde(flatten)]
    pub degradation: Degradation,
    #[serde(rename = "context_metadata")]
    pub context_metadata: Option<ContextMetadata>,
}

/// A chapter to be rewritten, and what for: what both the plain and the agentic endpoint begin with.
pub(super) struct Commission {
    pub(super) chapter: String,
    pub(super) request: Option<String>,
    pub(super) remarks: Vec<Material>,
    pub(super) source: Source,
}

impl ModifyChapterRequest {
    pub(super) fn commission(self) -> Result<Commission, StoryError> {
        let number = self.chapter_number;
        let remarks = remarks(&self);
        let mut faults = Faults::default();
        let source = faults.or_default(Source::new(
            self.structured_context,
            self.request_context,
            self.context_processing_config,
            number,
            Presence::Required,
        ))?;
        let text = self.current_chapter.as_deref();
        let chapter =
            faults.or_default(chapter_at_hand(text, "currentChapter", number, &source))?;
        let request = first_said([self.user_request, self.user_feedback]);
        if request.is_none() && remarks.is_empty() && source.story.user_requests.is_empty() {
            faults.add(StoryError::fault(
                &["userRequest"],
                "there is nothing to change; say what in userRequest, or send feedback to work in",
            ))?;
        }
        faults.told()?;
        Ok(Commission { chapter, request, remarks, source })
    }
}

impl Commission {
    /// The job of rewriting `text` once.
    pub(super) fn rewriting(
        &self,
        client: ClientId,
        profile: Profile,
        text: &str,
        more_remarks: &[Material],
    ) -> Job {
        let request = self.request.clone();
        let words: Words = Box::new(move |prompts, parts| {
            let request = request.clone();
            parts.messages(prompts, |guidance| ModifyPrompt { request, guidance })
        });
        let work = Material::Work { name: "chapter", text: text.to_owned(), need: Need::Whole };
        let mut material = vec![work];
        material.extend(self.remarks.iter().chain(more_remarks).cloned());
        Job {
            task: self.request.clone(),
            material,
            prompt_lookup: true,
            ..Job::new(client, Agent::Writer, profile, self.source.clone(), words)
        }
    }
}

impl StoryRequest for ModifyChapterRequest {
    type Response = ModifyChapterResponse;

    fn begin(self, desk: Desk) -> Result<Events<ModifyChapterResponse>, StoryError> {
        let commission = self.commission()?;
        let phases = PHASES.of_later_shape(commission.source.is_later_shape());
        let profile = desk.service.settings.profiles.modify.clone();
        let job = commission.rewriting(desk.client.clone(), profile, &commission.chapter, &[]);
        let before = commission.chapter;
        ask(&desk, job, phases, writer::prose, move |mut answer| {
            let modified_chapter = answer.text()?;
            Ok(ModifyChapterResponse {
                word_count: word_count(&modified_chapter),
                changes_summary: changes(&before, &modified_chapter),
                modified_chapter,
                usage: answer.finished.usage,
                degradation: Degradation::because(cut_short(answer.finished.reason)),
                context_metadata: Some(answer.context),
            })
        })
    }
}

/// What to say of a text that has no end.
pub(super) fn cut_short(reason: FinishReason) -> Option<String> {
    let said = match reason {
        FinishReason::Stop | FinishReason::ToolCalls => return None,
        FinishReason::Length => {
            "the text stopped at its limit of tokens, so its end is missing; raise the endpoint's \
             MAX_TOKENS or LLM_N_CTX, or send less at once"
        }
        FinishReason::ContentFilter => {
            "a filter of the model's provider ended the text, so its end is missing; ask in other \
             words, or another model"
        }
    };
    Some(said.to_owned())
}

/// The chapter a request is about: its own text, or the one that the story has under its number.
pub(super) fn chapter_at_hand(
    text: Option<&str>,
    field: &str,
    number: Option<i64>,
    source: &Source,
) -> Result<String, StoryError> {
    // As it stands: quotes are told by their place in it.
    if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
        return Ok(text.to_owned());
    }
    let Some(full) = &source.full else {
        return Err(StoryError::missing(&[field], "is required, and must not be blank"));
    };
    let Some(number) = number else {
        return Err(StoryError::missing(
            &["chapter_number"],
            format!("is required (or {field}, the text itself)"),
        ));
    };
    let Some(chapter) = full.chapter(number) else {
        let known: Vec<_> = full.chapters.iter().map(|it| it.number.to_string()).collect();
        let message = format!("the story has no chapter {number}; it has {}", known.join(", "));
        return Err(StoryError::fault(&["chapter_number"], message));
    };
    let text = chapter.content.as_str();
    if text.trim().is_empty() {
        let message = format!("chapter {number} is empty; there is nothing to work on");
        return Err(StoryError::fault(&["chapter_number"], message));
    }
    Ok(text.to_owned())
}

fn remarks(request: &ModifyChapterRequest) -> Vec<Material> {
    let characters = request.character_feedback.iter().map(|remark| {
        let kind = remark.type_name.as_deref().filter(|kind| !kind.trim().is_empty());
        let source = match kind {
            Some(kind) => format!("{} ({kind})", remark.character_name),
            None => remark.character_name.clone(),
        };
        (source, &remark.content)
    });
    let raters =
        request.rater_feedback.iter().map(|remark| (remark.rater_name.clone(), &remark.content));
    let editors =
        request.editor_feedback.iter().map(|remark| ("Editor".to_owned(), &remark.content));
    characters
        .chain(raters)
        .chain(editors)
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(source, text)| Material::Feedback { source, text: text.clone() })
        .collect()
}

/// How many words changed, by a difference of words.
pub(super) fn changes(before: &str, after: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) =
        (before.split_whitespace().collect(), after.split_whitespace().collect());
    let deadline = std::time::Instant::now() + LONGEST_COMPARISON;
    let operations = similar::capture_diff_slices_deadline(
        similar::Algorithm::Myers,
        &old,
        &new,
        Some(deadline),
    );
    let (mut removed, mut added) = (0, 0);
    for operation in operations {
        match operation {
            similar::DiffOp::Equal { .. } => {}
            similar::DiffOp::Delete { old_len, .. } => removed += old_len,
            similar::DiffOp::Insert { new_len, .. } => added += new_len,
            similar::DiffOp::Replace { old_len, new_len, .. } => {
                removed += old_len;
                added += new_len;
            }
        }
    }
    match (removed, added) {
        (0, 0) => "Nothing was changed".to_owned(),
        _ => format!(
            "{removed} of {} words removed or replaced, {added} written; {} words now",
            old.len(),
            new.len()
        ),
    }
}

/// Beyond it the difference is told roughly.
const LONGEST_COMPARISON: std::time::Duration = std::time::Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_in_words() {
        let said = changes("the cat sat on the mat", "the dog sat on the mat now");
        assert_eq!(said, "1 of 6 words removed or replaced, 2 written; 7 words now");
        assert_eq!(changes("the  cat", "the cat"), "Nothing was changed");
    }
}
