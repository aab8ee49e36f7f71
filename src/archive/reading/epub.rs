//! EPUB: its pages in the order they are read in, and its table of contents.

use std::collections::{HashMap, HashSet};
use std::io::Cursor;

use rbook::Epub;
use rbook::epub::manifest::EpubManifestEntry;
use serde_json::{Map, Value};

use super::super::document::Section;
use super::error::ReadingError;
use super::html::{Page, page};
use super::sections::{self, Sections, shortened};
use super::{Reading, encoding, unpacking};

/// Most authors of a book.
const MOST_AUTHORS: usize = 20;

/// For as many entries of a table of contents, one in the other, as are let through.
const STACK_BYTES: usize = 128 << 20;

/// What is between two pages.
const BETWEEN_PAGES: &str = "\n\n";

/// Reads an EPUB of at most `largest` bytes of text.
pub(super) fn read(bytes: &[u8], largest: usize) -> Result<Reading, ReadingError> {
    unpacking::check(bytes, largest)?;
    // Tables of contents are let go of by going down into them.
    std::thread::scope(|scope| {
        let reading = std::thread::Builder::new()
            .name("epub".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || read_checked(bytes, largest))
            .map_err(damaged)?;
        let lost = |_| Err(ReadingError::Damaged("its description makes no sense".to_owned()));
        reading.join().unwrap_or_else(lost)
    })
}

fn read_checked(bytes: &[u8], largest: usize) -> Result<Reading, ReadingError> {
    let epub = Epub::read(Cursor::new(bytes.to_vec())).map_err(damaged)?;
    let contents = contents(&epub);
    let book = Book::read(&epub, &contents, largest)?;
    if book.text.trim().is_empty() {
        return Err(ReadingError::NoText("EPUB"));
    }
    let mut sections = book.sections(contents);
    if sections.is_empty() {
        sections = book.headings.into_vec();
    }
    Ok(Reading { text: book.text, metadata: metadata(&epub), sections })
}

fn damaged(error: impl std::error::Error) -> ReadingError {
    ReadingError::Damaged(error.to_string())
}

/// An entry of the table of contents.
struct Entry {
    title: String,
    path: String,
    id: Option<String>,
}

fn contents(epub: &Epub) -> Vec<Entry> {
    let Some(root) = epub.toc().contents() else { return Vec::new() };
    let entry = |label: &str, href: rbook::ebook::element::Href<'_>| {
        let title = label.split_whitespace().collect::<Vec<_>>().join(" ");
        (!title.is_empty()).then(|| Entry {
            title: shortened(&title).to_owned(),
            path: href.path().decode().into_owned(),
            id: href.fragment().map(str::to_owned),
        })
    };
    root.flatten().filter_map(|it| entry(it.label(), it.href()?)).take(sections::MOST).collect()
}

/// The pages put together.
#[derive(Default)]
struct Book {
    text: String,
    characters: usize,
    /// Where each page begins, and the places in it, in characters of the book.
    pages: HashMap<String, (usize, HashMap<String, usize>)>,
    headings: Sections,
}

impl Book {
    fn read(epub: &Epub, contents: &[Entry], largest: usize) -> Result<Self, ReadingError> {
        let mut ids: HashMap<&str, HashSet<String>> = HashMap::new();
        for entry in contents {
            ids.entry(&entry.path).or_default().extend(entry.id.clone());
        }
        let none = HashSet::new();
        let mut book = Self::default();
        for entry in epub.spine() {
            let Some(file) = entry.manifest_entry().filter(is_page) else { continue };
            let path = file.href().path().decode().into_owned();
            if book.pages.contains_key(&path) {
                continue;
            }
            let bytes = file.read_bytes().map_err(damaged)?;
            let markup = encoding::text(&bytes, true)
                .ok_or_else(|| ReadingError::Damaged(format!("{path:?} is not text")))?;
            let left = largest.saturating_sub(book.text.len());
            let page = page(&markup, ids.get(path.as_str()).unwrap_or(&none), left)
                .map_err(|error| with_limit(error, largest))?;
            book.add(path, page);
        }
        Ok(book)
    }

    fn add(&mut self, path: String, page: Page) {
        if !self.text.is_empty() && !page.text.is_empty() {
            self.text.push_str(BETWEEN_PAGES);
            self.characters += BETWEEN_PAGES.len();
        }
        let start = self.characters;
        let places = page.places.into_iter().map(|(id, place)| (id, start + place)).collect();
        self.pages.insert(path, (start, places));
        for heading in page.headings {
            self.headings.push(&heading.title, start + heading.char_start);
        }
        self.text.push_str(&page.text);
        self.characters += page.characters;
    }

    /// Entries of the table of contents that lead to a page, in the order of the text.
    fn sections(&self, contents: Vec<Entry>) -> Vec<Section> {
        let mut sections: Vec<Section> = contents
            .into_iter()
            .filter_map(|entry| {
                let (start, places) = self.pages.get(&entry.path)?;
                let place = entry.id.and_then(|id| places.get(&id).copied());
                Some(Section { title: entry.title, char_start: place.unwrap_or(*start) })
            })
            .filter(|section| section.char_start < self.characters)
            .collect();
        sections.sort_by_key(|section| section.char_start);
        sections.dedup();
        sections
    }
}

/// The whole book's limit, where what was left of it is too little.
fn with_limit(error: ReadingError, largest: usize) -> ReadingError {
    match error {
        ReadingError::TooMuchText { .. } => ReadingError::TooMuchText { largest },
        error => error,
    }
}

/// Whether it is a page to be read; the page that is the table of contents says nothing new.
fn is_page(file: &EpubManifestEntry<'_>) -> bool {
    matches!(file.media_type(), "application/xhtml+xml" | "text/html" | "text/x-oeb1-document")
        && !file.properties().has_property("nav")
}

fn metadata(epub: &Epub) -> Map<String, Value> {
    let told = epub.metadata();
    let mut metadata = Map::new();
    let mut set = |name: &str, value: &str| {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        if !value.is_empty() {
            metadata.insert(name.to_owned(), shortened(&value).into());
        }
    };
    if let Some(title) = told.title() {
        set("title", title.value());
    }
    if let Some(language) = told.language() {
        set("language", language.value());
    }
    if let Some(date) = told.published_entry() {
        set("date", date.value());
    }
    if let Some(publisher) = told.publishers().next() {
        set("publisher", publisher.value());
    }
    let authors = told.creators().map(|author| shortened(author.value().trim()));
    let authors: Vec<&str> = authors.take(MOST_AUTHORS).collect();
    match authors[..] {
        [] => {}
        [author] => set("author", author),
        _ => {
            metadata.insert("author".to_owned(), authors.into());
        }
    }
    metadata
}
