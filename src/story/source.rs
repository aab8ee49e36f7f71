//! The story that a request carries, in whichever shape it came.

use std::sync::Arc;

use super::container::{ContextProcessingConfig, StructuredContext};
use super::elements::nearby;
use super::full_state::RequestContext;
use super::{Fault, FaultKind, StoryError};

/// A request's story and how its context is to be made.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) story: Arc<StructuredContext>,
    pub(super) config: Arc<ContextProcessingConfig>,
    /// The story in the later shape, if it came so.
    pub(super) full: Option<Arc<RequestContext>>,
}

/// Whether a request can do without a story.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

impl Source {
    /// `chapter` is the one at hand, where the request names one.
    pub(super) fn new(
        structured: Option<StructuredContext>,
        full: Option<RequestContext>,
        config: Option<ContextProcessingConfig>,
        chapter: Option<i64>,
        presence: Presence,
    ) -> Result<Self, StoryError> {
        let config = config.unwrap_or_default();
        config.check()?;
        let mut story = match (&structured, &full) {
            (Some(_), Some(_)) => {
                return Err(StoryError::fault(
                    &["request_context"],
                    "is a story, and so is structured_context; send one of them",
                ));
            }
            (None, None) if presence == Presence::Required => {
                return Err(StoryError::missing(
                    &["structured_context"],
                    "is required (or request_context, the later shape)",
                ));
            }
            (_, Some(full)) => full.to_structured(chapter.or(config.chapter_number)),
            (_, None) => structured.unwrap_or_default(),
        };
        outline_of(&config, chapter, &mut story);
        Ok(Self { story: Arc::new(story), config: Arc::new(config), full: full.map(Arc::new) })
    }

    pub(super) fn is_later_shape(&self) -> bool {
        self.full.is_some()
    }
}

/// An outline that stands in the processing configuration is part of the story.
fn outline_of(
    config: &ContextProcessingConfig,
    chapter: Option<i64>,
    story: &mut StructuredContext,
) {
    let chapter = config.chapter_number.or(chapter);
    let near = nearby(&config.draft_outline_items, chapter, &story.plot_elements);
    story.plot_elements.extend(near);
    if let Some(outline) = &config.plot_outline_content {
        let plot = story.plot_context.get_or_insert_default();
        if plot.outline.is_none() {
            plot.outline = Some(outline.clone());
        }
    }
}

impl StoryError {
    /// One fault, at a place in the body.
    pub(super) fn fault(path: &[&str], message: impl Into<String>) -> Self {
        Self::fault_of(FaultKind::Wrong, path, message)
    }

    /// Something the body lacks.
    pub(super) fn missing(path: &[&str], message: impl Into<String>) -> Self {
        Self::fault_of(FaultKind::Missing, path, message)
    }

    fn fault_of(kind: FaultKind, path: &[&str], message: impl Into<String>) -> Self {
        let path = path.iter().map(|&step| step.to_owned()).collect();
        Self::Invalid(vec![Fault { path, message: message.into(), kind }])
    }
}

/// What a request lacks, all of it told at once.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// The value, or its default where it is missing: then what follows can be looked at all the same,
    /// and [`Self::told`] refuses the request. What is wrong ends it at once, as what follows may hang
    /// on it; what was missing before is told with it.
    pub(super) fn or_default<T: Default>(
        &mut self,
        read: Result<T, StoryError>,
    ) -> Result<T, StoryError> {
        match read {
            Err(StoryError::Invalid(faults)) => {
                let is_missing = faults.iter().all(|fault| fault.kind == FaultKind::Missing);
                self.0.extend(faults);
                if is_missing {
                    return Ok(T::default());
                }
                Err(StoryError::Invalid(std::mem::take(&mut self.0)))
            }
            other => other,
        }
    }

    /// Notes a fault that no value was read for.
    pub(super) fn add(&mut self, fault: StoryError) -> Result<(), StoryError> {
        self.or_default(Err(fault))
    }

    pub(super) fn told(self) -> Result<(), StoryError> {
        if self.0.is_empty() { Ok(()) } else { Err(StoryError::Invalid(self.0)) }
    }
}

/// The first text that says something, as it stands.
pub(super) fn first_said<T: AsRef<str>>(texts: impl IntoIterator<Item = Option<T>>) -> Option<T> {
    texts.into_iter().flatten().find(|text| !text.as_ref().trim().is_empty())
}

/// The text a request must have; what is blank counts as missing.
pub(super) fn required(
    text: Option<&str>,
    path: &[&str],
    message: &str,
) -> Result<String, StoryError> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| StoryError::missing(path, message))
}
