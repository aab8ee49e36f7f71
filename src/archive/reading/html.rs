//! Text of an HTML or XHTML page: its blocks one below the other, without markup.
//!
//! A page is first reduced to lines, whatever its markup does, and some of them are rendered at a
//! time, as they are written. So neither depth, nor tags that nobody closes, nor tables cost more than their
//! letters.

use std::collections::{HashMap, HashSet};

use html2text::config;
use html2text::render::{TaggedLineElement, TrivialDecorator};

use super::error::ReadingError;
use super::sections::{self, shortened};
use super::tags::{Piece, Pieces, Tag, element};

/// Reduced markup that is rendered at once, in bytes; a block that is longer goes alone.
const BATCH_BYTES: usize = 64 * 1024;

/// No line is broken to fit a width.
const WIDTH: usize = usize::MAX / 4;

/// Most titles and authors that are read for the first ones that say something.
const MOST_TRIED: usize = 20;

/// What a scene break looks like in text.
const RULE: &str = "* * *";

/// A page as text.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub text: String,
    /// Number of the text's characters.
    pub characters: usize,
    pub title: Option<String>,
    pub author: Option<String>,
    pub language: Option<String>,
    pub headings: Vec<Heading>,
    /// Where the elements lie whose ids were asked for, in characters.
    pub places: HashMap<String, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub title: String,
    /// Where it begins, in characters.
    pub char_start: usize,
}

/// Reads a page of at most `largest` bytes of text and looks for the elements with these ids.
pub(super) fn page(
    markup: &str,
    ids: &HashSet<String>,
    largest: usize,
) -> Result<Page, ReadingError> {
    let mut reader = PageReader { blocks: Blocks::new(largest), ..PageReader::default() };
    let mut pieces = Pieces::of(markup);
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Text(text) => reader.blocks.text(text, false)?,
            Piece::Raw(text) => reader.blocks.text(text, true)?,
            Piece::Close(name) => reader.close(&element(name))?,
            Piece::Open(tag) => match tag.element().as_str() {
                "title" if !tag.is_empty => {
                    let title = pieces.skip_to_end_of(tag.name);
                    if reader.page.title.is_none() && reader.tries_once_more() {
                        reader.page.title = words(title)?;
                    }
                }
                name @ ("script" | "style" | "template" | "iframe" | "noframes") => {
                    if !tag.is_empty {
                        pieces.skip_to_end_of(if tag.name.contains(':') { tag.name } else { name });
                    }
                }
                name => reader.open(name, tag, ids)?,
            },
        }
    }
    reader.finish()
}

/// Text of a title or an attribute; `None` if there is none.
fn words(text: &str) -> Result<Option<String>, ReadingError> {
    let mut blocks = Blocks::new(usize::MAX);
    blocks.text(text, false)?;
    blocks.flush()?;
    Ok(one_line(&blocks.text))
}

fn one_line(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = shortened(&line);
    (!line.is_empty()).then(|| line.to_owned())
}

#[derive(Default)]
struct PageReader {
    page: Page,
    blocks: Blocks,
    /// Ids found and their places' numbers.
    found: HashMap<String, usize>,
    /// Where headings begin and end.
    headings: Vec<(usize, usize)>,
    /// The heading we are in.
    heading: Option<usize>,
    /// Titles and authors that were read.
    tried: usize,
}

impl PageReader {
    fn open(
        &mut self,
        name: &str,
        tag: Tag<'_>,
        ids: &HashSet<String>,
    ) -> Result<(), ReadingError> {
        match name {
            "html" => self.page.language = language(tag),
            "meta" => self.meta(tag)?,
            "br" => self.blocks.new_line()?,
            "td" | "th" => self.blocks.text(" ", false)?,
            "hr" => {
                self.blocks.new_block(Gap::Paragraph)?;
                self.blocks.text(RULE, false)?;
            }
            _ => {}
        }
        if let Some(gap) = gap(name) {
            self.blocks.new_block(gap)?;
        }
        if is_heading(name) || name == "p" {
            self.end_heading();
        }
        if is_heading(name) && !tag.is_empty && self.headings.len() < sections::MOST {
            self.heading = Some(self.blocks.place());
        }
        if name == "pre" && !tag.is_empty {
            self.blocks.is_as_written = true;
        }
        self.find(name, tag, ids);
        Ok(())
    }

    fn close(&mut self, name: &str) -> Result<(), ReadingError> {
        if is_heading(name) {
            self.end_heading();
        }
        if let Some(gap) = gap(name) {
            self.blocks.new_block(gap)?;
        }
        if name == "pre" {
            self.blocks.is_as_written = false;
        }
        Ok(())
    }

    fn find(&mut self, name: &str, tag: Tag<'_>, ids: &HashSet<String>) {
        if ids.is_empty() {
            return;
        }
        let id = tag.attribute("id").or_else(|| tag.attribute("name").filter(|_| name == "a"));
        let Some(id) = id.filter(|id| ids.contains(*id)) else { return };
        if !self.found.contains_key(id) {
            let place = self.blocks.place();
            self.found.insert(id.to_owned(), place);
        }
    }

    fn end_heading(&mut self) {
        if let Some(start) = self.heading.take() {
            self.headings.push((start, self.blocks.place()));
        }
    }

    fn meta(&mut self, tag: Tag<'_>) -> Result<(), ReadingError> {
        let name = tag.attribute("name").or_else(|| tag.attribute("property")).unwrap_or_default();
        let names_author = ["author", "dc.creator", "dcterms.creator"]
            .iter()
            .any(|it| name.eq_ignore_ascii_case(it));
        if let Some(content) = tag.attribute("content").filter(|_| names_author)
            && self.page.author.is_none()
            && self.tries_once_more()
        {
            self.page.author = words(content)?;
        }
        Ok(())
    }

    /// Whether one more title or author, of those that turn out empty, is read.
    fn tries_once_more(&mut self) -> bool {
        self.tried += 1;
        self.tried <= MOST_TRIED
    }

    fn finish(mut self) -> Result<Page, ReadingError> {
        self.end_heading();
        self.blocks.flush()?;
        self.blocks.set_places_at_end();
        let blocks = self.blocks;
        let headings = self.headings.into_iter().filter_map(|(start, end)| {
            let (start, end) = (blocks.places[start], blocks.places[end]);
            let title = one_line(blocks.text.get(start.byte..end.byte)?)?;
            Some(Heading { title, char_start: start.character })
        });
        let places = self.found.into_iter();
        Ok(Page {
            headings: headings.collect(),
            places: places.map(|(id, place)| (id, blocks.places[place].character)).collect(),
            characters: blocks.end.character,
            text: blocks.text,
            ..self.page
        })
    }
}

fn language(tag: Tag<'_>) -> Option<String> {
    let language = tag.attribute("lang").or_else(|| tag.attribute("xml:lang"))?.trim();
    let is_tag = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    (!language.is_empty() && language.len() <= 35 && language.chars().all(is_tag))
        .then(|| language.to_owned())
}

fn is_heading(name: &str) -> bool {
    matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6")
}

/// What is between two blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    Line,
    Paragraph,
}

/// How an element is set off from what is before and after it; `None` if it stands within a line.
fn gap(name: &str) -> Option<Gap> {
    match name {
        "p" | "blockquote" | "pre" | "ul" | "ol" | "dl" | "table" | "section" | "article"
        | "header" | "footer" | "aside" | "figure" | "main" | "nav" | "form" | "fieldset"
        | "details" | "address" | "center" | "body" | "hr" => Some(Gap::Paragraph),
        name if is_heading(name) => Some(Gap::Paragraph),
        "div" | "li" | "dt" | "dd" | "tr" | "caption" | "figcaption" | "summary" | "legend"
        | "option" => Some(Gap::Line),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    byte: usize,
    character: usize,
}

/// Blocks of reduced markup on their way to text.
#[derive(Default)]
struct Blocks {
    text: String,
    end: Place,
    largest: usize,
    /// Reduced markup that is not rendered yet.
    batch: String,
    /// Whether a block is open.
    is_open: bool,
    /// Whether a space would be the second one, or a line's first.
    ends_with_space: bool,
    /// What is between the last block and the next.
    gap: Gap,
    /// Whether line ends and spaces stay as they are.
    is_as_written: bool,
    /// By number; those that the text has not reached yet lie at its beginning.
    places: Vec<Place>,
    /// Places that the next text begins at.
    waiting: Vec<usize>,
    /// Places that went through rendering and had no text after them; the next line begins at them.
    carried: Vec<usize>,
}

impl Blocks {
    fn new(largest: usize) -> Self {
        Self { largest, ..Self::default() }
    }

    /// Numbers the place where we are.
    fn place(&mut self) -> usize {
        let number = self.places.len();
        self.places.push(Place::default());
        if self.is_open {
            self.mark(number);
        } else {
            self.waiting.push(number);
        }
        number
    }

    fn mark(&mut self, number: usize) {
        self.batch.push_str("<a id=");
        self.batch.push_str(&number.to_string());
        self.batch.push_str("></a>");
    }

    fn text(&mut self, text: &str, is_raw: bool) -> Result<(), ReadingError> {
        if !self.is_open && text.trim_ascii().is_empty() {
            return Ok(());
        }
        if !self.is_as_written {
            self.begin();
            self.push(text, is_raw);
            return Ok(());
        }
        for line in text.split_inclusive('\n') {
            self.begin();
            self.push(line, is_raw);
            if line.ends_with('\n') && self.batch.len() > BATCH_BYTES {
                self.end();
                self.flush()?;
            }
        }
        Ok(())
    }

    fn push(&mut self, text: &str, is_raw: bool) {
        for letter in text.chars() {
            let is_space = letter.is_ascii_whitespace() && !self.is_as_written;
            match letter {
                _ if is_space && self.ends_with_space => {}
                _ if is_space => self.batch.push(' '),
                '<' => self.batch.push_str("&lt;"),
                '&' if is_raw => self.batch.push_str("&amp;"),
                letter => self.batch.push(letter),
            }
            self.ends_with_space = is_space;
        }
    }

    fn begin(&mut self) {
        if self.is_open {
            return;
        }
        self.is_open = true;
        self.ends_with_space = true;
        // The line end that follows <pre> belongs to the tag.
        self.batch.push_str(if self.batch.is_empty() { "<pre>\n" } else { "\n" });
        if self.gap == Gap::Paragraph {
            self.batch.push('\n');
        }
        self.gap = Gap::Line;
        for number in std::mem::take(&mut self.waiting) {
            self.mark(number);
        }
    }

    fn end(&mut self) {
        self.is_open = false;
    }

    fn new_block(&mut self, gap: Gap) -> Result<(), ReadingError> {
        self.end();
        self.gap = self.gap.max(gap);
        if self.batch.len() > BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// A line that is empty is the gap between paragraphs.
    fn new_line(&mut self) -> Result<(), ReadingError> {
        let gap = if self.is_open { Gap::Line } else { Gap::Paragraph };
        self.new_block(gap)
    }

    /// Renders what is waiting.
    fn flush(&mut self) -> Result<(), ReadingError> {
        self.end();
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let lines = config::with_decorator(TrivialDecorator::new())
            .lines_from_read(batch.as_bytes(), WIDTH)
            .map_err(|error| ReadingError::Unreadable(error.to_string()))?;
        let mut gap = Gap::Line;
        let mut marks = Vec::new();
        for line in lines {
            let mut words = Place::default();
            let mut text = String::new();
            for part in line.iter() {
                match part {
                    TaggedLineElement::Str(part) => {
                        let before = text.len();
                        text.extend(part.s.chars().filter_map(letter));
                        words.character += text[before..].chars().count();
                        words.byte = text.len();
                    }
                    TaggedLineElement::FragmentStart(id) => {
                        marks.extend(id.parse().map(|number: usize| (number, words)));
                    }
                }
            }
            let text = text.trim_end();
            if text.is_empty() {
                gap = Gap::Paragraph;
                // They belong to the line that comes next.
                self.carried.extend(marks.drain(..).map(|(number, _)| number));
                continue;
            }
            self.push_line(text, gap, &mut marks)?;
            gap = Gap::Line;
        }
        self.carried.extend(marks.into_iter().map(|(number, _)| number));
        Ok(())
    }

    fn push_line(
        &mut self,
        line: &str,
        gap: Gap,
        marks: &mut Vec<(usize, Place)>,
    ) -> Result<(), ReadingError> {
        if !self.text.is_empty() {
            let between = if gap == Gap::Paragraph { "\n\n" } else { "\n" };
            self.text.push_str(between);
            self.end.character += between.len();
        }
        let start = Place { byte: self.text.len(), character: self.end.character };
        self.text.push_str(line);
        self.end.character += line.chars().count();
        self.end.byte = self.text.len();
        for number in self.carried.drain(..) {
            self.places[number] = start;
        }
        for (number, place) in marks.drain(..) {
            // Spaces at the line's end are gone.
            self.places[number] = Place {
                byte: (start.byte + place.byte).min(self.end.byte),
                character: (start.character + place.character).min(self.end.character),
            };
        }
        if self.text.len() > self.largest {
            return Err(ReadingError::TooMuchText { largest: self.largest });
        }
        Ok(())
    }

    /// No text comes any more.
    fn set_places_at_end(&mut self) {
        for number in self.waiting.iter().chain(&self.carried) {
            self.places[*number] = self.end;
        }
    }
}

/// Spaces that don't break are spaces; letters that nobody sees go.
fn letter(letter: char) -> Option<char> {
    match letter {
        '\u{a0}' => Some(' '),
        '\u{ad}' | '\u{feff}' => None,
        letter if letter.is_control() && letter != '\t' => None,
        letter => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(markup: &str) -> Page {
        page(markup, &HashSet::new(), usize::MAX).unwrap()
    }

    #[test]
    fn a_page_becomes_its_text() {
        let page = read(
            "<!DOCTYPE html><html lang=en><head><title>Rain &amp;\n Tide</title>\
             <meta name='Author' content=\"Ann O&#39;Neill\"><style>p { }</style>\
             <script>if (a < b) { document.write('<p>no</p>') }</script></head><body>\
             <h1>The <i>Tide</i></h1><p>It   was\nlate &mdash; <b>too</b> late.<p>She s&shy;aid: 1 < 2.\
             <hr><ul><li>one<li>two</ul><table><tr><td>a<td>b<tr><td>c</table>x<br>y<br><br>z\
             <pre>  as\n\n written</pre></body></html>",
        );
        assert_eq!(
            page.text,
            "The Tide\n\nIt was late — too late.\n\nShe said: 1 < 2.\n\n* * *\n\none\ntwo\n\na b\nc\n\n\
             x\ny\n\nz\n\n  as\n\n written"
        );
        assert_eq!(page.title.as_deref(), Some("Rain & Tide"));
        assert_eq!(page.author.as_deref(), Some("Ann O'Neill"));
        assert_eq!(page.language.as_deref(), Some("en"));
        assert_eq!(page.headings, [Heading { title: "The Tide".to_owned(), char_start: 0 }]);
        assert_eq!(page.characters, page.text.chars().count());
    }

    #[test]
    fn xhtml_closes_elements_at_once_and_may_be_broken() {
        let page = read(
            "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml' xml:lang='de'><head>\
             <title/><script src='x.js'/></head><body><p/><div><p>One & two</div></b><p class=\"x>\
             three</p><![CDATA[a<b&amp;c]]><p>four",
        );
        assert_eq!(page.text, "One & two\n\nthree\n\na<b&amp;c\n\nfour");
        assert_eq!(page.title, None);
        assert_eq!(page.language.as_deref(), Some("de"));
    }

    #[test]
    fn headings_and_places_lie_where_the_text_has_them() {
        let filler = "<p>Es grünt so grün, 🦀 und überall.</p>".repeat(3_000);
        let markup = format!(
            "<h1 id=a>I<br>Übermut</h1>{filler}<p>And <a name=b></a>then<a id='c'> </a></p>\
             {filler}<div id=d><h2>II</h2></div>last<h3></h3><p id=e></p>"
        );
        let ids = ["a", "b", "c", "d", "e", "missing"].map(str::to_owned).into();
        let page = page(&markup, &ids, usize::MAX).unwrap();
        let from = |place: usize| page.text.chars().skip(place).collect::<String>();
        assert_eq!(page.places["a"], 0);
        assert!(from(page.places["b"]).starts_with("then\n\nEs"));
        assert_eq!(from(page.places["c"]).trim_start(), from(page.places["c"] + 2));
        assert!(from(page.places["d"]).starts_with("II\n\nlast"));
        assert_eq!(from(page.places["e"]), "");
        assert_eq!(page.places.len(), 5);
        let titles: Vec<_> = page.headings.iter().map(|heading| &heading.title[..]).collect();
        assert_eq!(titles, ["I Übermut", "II"]);
        assert_eq!(page.headings[1].char_start, page.places["d"]);
    }

    #[test]
    fn headings_without_words_wait_for_the_next_line() {
        let empty = "<h2></h2>".repeat(9_000);
        let blank = "<p>&nbsp;</p>".repeat(40_000);
        let markup = format!("one{empty}<a id=a></a>{blank}<h1>Two</h1>three{blank}<p id=b>");
        let page = page(&markup, &["a", "b"].map(str::to_owned).into(), usize::MAX).unwrap();
        assert_eq!(page.text, "one\n\nTwo\n\nthree");
        assert_eq!(page.headings, [Heading { title: "Two".to_owned(), char_start: 5 }]);
        assert_eq!((page.places["a"], page.places["b"]), (5, 15));
    }

    #[test]
    fn markup_of_any_depth_is_read() {
        for (start, end) in [
            ("<div>", "</div>"),
            ("<b>", ""),
            ("<font size=1><p>", ""),
            ("<table><tr><td>", "</table>"),
            ("<ul><li>", "</ul>"),
            ("<blockquote>", ""),
            ("<a href='x'><svg><math>", ""),
            ("<select><option>", ""),
            ("<pre>\n", ""),
            ("<template/><title/><script/>", ""),
            ("<p a=\"", ""),
            ("<![CDATA[", ""),
            ("<h1>", ""),
            ("", "</p>"),
        ] {
            let depth = 20_000;
            let markup = format!("first{}x{}", start.repeat(depth), end.repeat(depth));
            let text = read(&markup).text;
            assert!(text.starts_with("first"), "{start}: {}", text.len());
        }
    }

    #[test]
    fn too_much_text_is_refused() {
        let markup = "<p>four".repeat(30_000);
        let error = page(&markup, &HashSet::new(), 100_000).unwrap_err();
        assert_eq!(error, ReadingError::TooMuchText { largest: 100_000 });
    }
}
