//! A source as a model is shown it: its words under its number, and what of them is left where it was
//! cut. Pure.

use super::sources::{Piece, Source};
use crate::agents::archivist::PassagePrompt;
use crate::prompts::{PromptError, Prompts};

impl Source {
    /// Under its number.
    pub(super) fn rendered(&self, prompts: &Prompts) -> Result<String, PromptError> {
        let (text, ending) = match &self.pieces[..] {
            [head, tail, ..] => (&head.text, Some(tail.text.trim().to_owned())),
            [text] => (&text.text, None),
            [] => return Ok(String::new()),
        };
        self.with_words(prompts, text.trim().to_owned(), ending)
    }

    /// Under its number, told shorter.
    pub(super) fn told(&self, prompts: &Prompts, text: &str) -> Result<String, PromptError> {
        self.with_words(prompts, text.trim().to_owned(), None)
    }

    fn with_words(
        &self,
        prompts: &Prompts,
        text: String,
        ending: Option<String>,
    ) -> Result<String, PromptError> {
        let prompt = PassagePrompt {
            number: self.number,
            file_name: self.document.file_name.clone(),
            section: self.section.clone(),
            text,
            ending,
        };
        Ok(prompts.render(&prompt)?.trim_end().to_owned())
    }

    /// What is left of it where only the first bytes of `rendered` were shown; `None` if none of its
    /// words were.
    pub(super) fn cut(&self, rendered: &str, bytes: usize) -> Option<Self> {
        let (mut pieces, mut from) = (Vec::new(), 0);
        for piece in &self.pieces {
            let words = piece.text.trim_start();
            let blank = piece.text.len() - words.len();
            // A template that changes the words leaves it open which of them are shown.
            let Some(at) = rendered[from..].find(words.trim_end()) else {
                return Some(self.clone());
            };
            let start = from + at;
            from = start + words.trim_end().len();
            let left = words.get(..bytes.saturating_sub(start).min(words.trim_end().len()));
            if let Some(text) = left.filter(|text| !text.trim().is_empty()) {
                pieces.push(Piece {
                    text: text.to_owned(),
                    char_start: piece.char_start + piece.text[..blank].chars().count(),
                });
            }
        }
        (!pieces.is_empty()).then(|| Self { pieces, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::archive::{Document, DocumentId};

    const TEXT: &str = "\nIt was a dreary night. I saw the dull yellow eye open.\n";

    fn source(pieces: Vec<Piece>) -> Source {
        let document = Document {
            id: DocumentId::of(TEXT),
            file_path: "novels/night.txt".to_owned(),
            file_name: "night.txt".to_owned(),
            metadata: serde_json::Map::new(),
            sections: Vec::new(),
            bytes: 0,
            characters: 0,
            chunks: 1,
            added_at: String::new(),
        };
        Source {
            number: 4,
            document: Arc::new(document),
            pieces,
            section: None,
            similarity: 0.0,
            score: 0.0,
            is_document: false,
        }
    }

    #[test]
    fn a_source_that_was_cut_reaches_as_far_as_it_was_shown() {
        let source = source(vec![Piece { text: TEXT.to_owned(), char_start: 100 }]);
        let rendered = source.rendered(&Prompts::load(None).unwrap()).unwrap();
        assert!(rendered.starts_with("[4] night.txt:\nIt was"), "{rendered}");
        let shown = rendered.find(" I saw").unwrap();
        let cut = source.cut(&rendered, shown).unwrap();
        assert_eq!(cut.text(), "It was a dreary night.");
        assert_eq!(cut.characters(), 101..123);
        assert_eq!(cut.id(), "novels/night.txt#char=101,123");
        assert!(source.cut(&rendered, 5).is_none());
    }

    #[test]
    fn of_a_document_without_its_middle_the_end_is_cut_first() {
        let piece = |text: &str, char_start| Piece { text: text.to_owned(), char_start };
        let source = source(vec![piece("It began. ", 0), piece(" It ended. All slept.", 500)]);
        let rendered = source.rendered(&Prompts::load(None).unwrap()).unwrap();
        let shown = rendered.find(" All").unwrap();
        let cut = source.cut(&rendered, shown).unwrap();
        assert_eq!(cut.pieces, [piece("It began.", 0), piece("It ended.", 501)]);
        let omitted = cut.cited().omitted.unwrap();
        assert_eq!((omitted.char_start, omitted.char_end), (9, 501));
    }
}
