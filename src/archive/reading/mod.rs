//! Reading files: what format and encoding a file is in, its text, and what it says about itself.
//!
//! Nothing that a client sends is believed: sizes are measured while unpacking, markup may be broken
//! or nested without end, and a name tells the format only where the content doesn't.

mod encoding;
mod epub;
mod error;
mod html;
mod markdown;
mod plain;
mod sections;
mod tags;
mod unpacking;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::document::Section;

use sections::Sections;

pub use error::ReadingError;

/// Bytes in which a file's format shows itself.
const START_BYTES: usize = 1_024;

/// A file as text.
#[derive(Clone, PartialEq)]
pub struct Reading {
    /// Lines end with `\n`; there is no byte order mark and no control character but `\n` and `\t`.
    pub text: String,
    /// What the file says about itself: `title`, `author` (a list where there are several),
    /// `language`, `date`, `publisher`.
    pub metadata: Map<String, Value>,
    /// Its parts that have headings, in the order of the text.
    pub sections: Vec<Section>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text stays out of logs.
        formatter
            .debug_struct("Reading")
            .field("bytes", &self.text.len())
            .field("sections", &self.sections.len())
            .finish_non_exhaustive()
    }
}

/// Reads a file of at most `largest` bytes, whose text may have as many. It takes time: seconds for
/// tens of megabytes of HTML.
pub fn read(file_name: &str, bytes: &[u8], largest: usize) -> Result<Reading, ReadingError> {
    if bytes.len() > largest {
        return Err(ReadingError::TooLarge { bytes: bytes.len(), largest });
    }
    if bytes.trim_ascii().is_empty() {
        return Err(ReadingError::Empty);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return zipped(bytes, largest);
    }
    if let Some(kind) = unread_format(bytes) {
        return Err(ReadingError::Binary(kind.to_owned()));
    }
    let ending = file_name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let is_page = matches!(ending.as_deref(), Some("html" | "htm" | "xhtml" | "xht"));
    let text =
        encoding::text(bytes, is_page || begins_as_page(&String::from_utf8_lossy(start(bytes))))
            .ok_or_else(|| ReadingError::Binary(kind(bytes)))?;
    if text.len() > largest {
        return Err(ReadingError::TooMuchText { largest });
    }
    if text.trim().is_empty() {
        return Err(ReadingError::Empty);
    }
    if is_page || begins_as_page(&text) {
        return read_page(&text, largest);
    }
    Ok(match ending.as_deref() {
        Some("md" | "markdown" | "mdown" | "mkd") => read_markdown(text),
        _ => Reading { metadata: plain::metadata(&text), sections: plain::sections(&text), text },
    })
}

fn start(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(START_BYTES)]
}

fn read_markdown(text: String) -> Reading {
    let (sections, title) = markdown::sections(&text);
    let metadata = title.map(|title| ("title".to_owned(), title.into())).into_iter().collect();
    Reading { text, metadata, sections }
}

fn read_page(markup: &str, largest: usize) -> Result<Reading, ReadingError> {
    let page = html::page(markup, &HashSet::new(), largest)?;
    if page.text.is_empty() {
        return Err(ReadingError::NoText("HTML page"));
    }
    let title = page.title.or_else(|| page.headings.first().map(|first| first.title.clone()));
    let told = [("title", title), ("author", page.author), ("language", page.language)];
    let metadata =
        told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    let mut sections = Sections::default();
    for heading in &page.headings {
        sections.push(&heading.title, heading.char_start);
    }
    Ok(Reading { text: page.text, metadata: metadata.collect(), sections: sections.into_vec() })
}

fn zipped(bytes: &[u8], largest: usize) -> Result<Reading, ReadingError> {
    match unpacking::is_epub(bytes) {
        Ok(true) => epub::read(bytes, largest),
        Err(error) if unpacking::starts_as_epub(bytes) => Err(error),
        _ => {
            let told = unpacking::other_kind(bytes).map(str::to_owned);
            Err(ReadingError::Binary(told.unwrap_or_else(|| kind(bytes))))
        }
    }
}

/// Whether text is an HTML page, whatever its file is called.
fn begins_as_page(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    // A declaration and comments may stand before it.
    while rest.starts_with("<?xml") || rest.starts_with("<!--") {
        let end = if rest.starts_with("<?") { "?>" } else { "-->" };
        let Some((_, after)) = rest.split_once(end) else { return false };
        rest = after.trim_start();
    }
    let start: String = rest.chars().take(15).collect::<String>().to_ascii_lowercase();
    ["<!doctype html", "<html", "<head>", "<body"].iter().any(|begin| start.starts_with(begin))
}

/// Formats that are mostly letters and yet no text to be searched.
fn unread_format(bytes: &[u8]) -> Option<&'static str> {
    if start(bytes).windows(5).any(|window| window == b"%PDF-") && str::from_utf8(bytes).is_err() {
        return Some("a PDF document");
    }
    [
        (&b"%PDF-"[..], "a PDF document"),
        (b"{\\rtf", "an RTF document"),
        (b"%!PS", "a PostScript document"),
    ]
    .into_iter()
    .find_map(|(begin, kind)| bytes.starts_with(begin).then_some(kind))
}

/// What a file is that isn't text, in words.
fn kind(bytes: &[u8]) -> String {
    use infer::MatcherType;
    let Some(found) = infer::get(bytes) else { return "binary data".to_owned() };
    let mime = found.mime_type();
    match (found.matcher_type(), found.extension()) {
        (_, "doc" | "docx") => "a Word document".to_owned(),
        (_, "odt") => "an OpenDocument text".to_owned(),
        (_, "zip") => "a zip archive".to_owned(),
        (MatcherType::Image, _) => format!("an image ({mime})"),
        (MatcherType::Audio, _) => format!("a sound ({mime})"),
        (MatcherType::Video, _) => format!("a video ({mime})"),
        (MatcherType::Archive, _) => format!("an archive ({mime})"),
        (MatcherType::Doc | MatcherType::Book, _) => format!("a document ({mime})"),
        (MatcherType::Font, _) => format!("a font ({mime})"),
        _ => format!("binary data ({mime})"),
    }
}
