//! The sections of a document, only so many of them and none with an endless title, whatever kind of
//! file they come from.

use super::super::document::Section;

/// Most sections of a document; more say nothing about where one is.
pub(super) const MOST: usize = 10_000;

/// Longest title of a section, and of a document, in characters.
const TITLE_CHARACTERS: usize = 200;

/// Sections in the order of the text; those that are too many are left out.
#[derive(Debug, Default)]
pub(super) struct Sections(Vec<Section>);

impl Sections {
    pub(super) fn push(&mut self, title: &str, char_start: usize) {
        if !self.is_full() {
            self.0.push(Section { title: shortened(title).to_owned(), char_start });
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    pub(super) fn into_vec(self) -> Vec<Section> {
        self.0
    }
}

/// As much of a title as is kept.
pub(super) fn shortened(title: &str) -> &str {
    let end = title.char_indices().nth(TITLE_CHARACTERS).map_or(title.len(), |(end, _)| end);
    title[..end].trim_end()
}
