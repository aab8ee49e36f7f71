//! Takes markup apart into tags and text, in one pass and without building anything, however broken
//! it is. Reads HTML, XHTML and XML alike.

/// A piece of markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text with its character references.
    Text(&'a str),
    /// Text of a CDATA section, which has no character references.
    Raw(&'a str),
    Open(Tag<'a>),
    /// The name of an element that ends.
    Close(&'a str),
}

/// The tag that an element begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// As it is written, with its prefix.
    pub name: &'a str,
    attributes: &'a str,
    /// Whether it ends with `/>`.
    pub is_empty: bool,
}

/// The pieces of markup, in order; comments, declarations and instructions are left out.
pub(super) struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(markup: &'a str) -> Self {
        Self { rest: markup }
    }

    /// Goes to where an element's end tag begins, and gives what was before it. Without an end tag
    /// all the rest belongs to the element.
    pub(super) fn skip_to_end_of(&mut self, name: &str) -> &'a str {
        let is_end = |at: &usize| {
            let after = &self.rest.as_bytes()[at + 2..];
            after.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()))
        };
        let mut ends = self.rest.match_indices("</").map(|(at, _)| at);
        let (skipped, rest) = self.rest.split_at(ends.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        skipped
    }

    /// Everything up to the next `end`; all the rest if there is none.
    fn up_to(&mut self, from: usize, end: &str) -> &'a str {
        let inner = &self.rest[from..];
        let (inner, rest) = inner.split_once(end).unwrap_or((inner, ""));
        self.rest = rest;
        inner
    }

    fn text(&mut self) -> Piece<'a> {
        // A `<` that begins no tag is text.
        let begins_tag = |at: usize| {
            let next = self.rest.as_bytes().get(at + 1);
            next.is_some_and(|byte| {
                byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!' | b'?')
            })
        };
        let mut tags = self.rest.match_indices('<').map(|(at, _)| at).skip_while(|at| *at == 0);
        let end = tags.find(|at| begins_tag(*at)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Piece::Text(text)
    }

    fn open(&mut self) -> Option<Piece<'a>> {
        let inner = &self.rest[1..];
        let Some(end) = tag_end(inner) else {
            // Cut off in the middle of a tag.
            self.rest = "";
            return None;
        };
        let tag = &inner[..end];
        self.rest = &inner[end + 1..];
        let name_end = tag.find(|letter: char| letter.is_ascii_whitespace() || letter == '/');
        let (name, attributes) = tag.split_at(name_end.unwrap_or(tag.len()));
        let is_empty = attributes.ends_with('/');
        Some(Piece::Open(Tag { name, attributes: attributes.trim_end_matches('/'), is_empty }))
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        while !self.rest.is_empty() {
            let rest = self.rest;
            if rest.starts_with("<!--") {
                self.up_to(4, "-->");
            } else if rest.starts_with("<![CDATA[") {
                return Some(Piece::Raw(self.up_to(9, "]]>")));
            } else if rest.starts_with("<!") || rest.starts_with("<?") {
                self.up_to(2, ">");
            } else if rest.starts_with("</") {
                return Some(Piece::Close(self.up_to(2, ">").trim()));
            } else if rest.starts_with('<')
                && rest[1..].starts_with(|letter: char| letter.is_ascii_alphabetic())
            {
                return self.open();
            } else {
                return Some(self.text());
            }
        }
        None
    }
}

/// Where a tag's `>` is. Quotes after `=` hide it; a quote that nothing closes hides nothing.
fn tag_end(tag: &str) -> Option<usize> {
    let bytes = tag.as_bytes();
    let mut at = 0;
    let mut before = b' ';
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'>' => return Some(at),
            b'"' | b'\'' if before == b'=' => {
                let quote = char::from(byte);
                at += tag[at + 1..].find(quote).map_or(0, |length| length + 1);
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
        at += 1;
    }
    None
}

impl<'a> Tag<'a> {
    /// The name without its prefix, in small letters.
    pub(super) fn element(&self) -> String {
        element(self.name)
    }

    /// An attribute's value, with its character references.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.attributes;
        loop {
            rest = rest.trim_start_matches(|letter: char| {
                letter.is_ascii_whitespace() || matches!(letter, '/' | '=' | '"' | '\'')
            });
            if rest.is_empty() {
                return None;
            }
            let end = rest.find(|letter: char| letter.is_ascii_whitespace() || letter == '=');
            let (found, after) = rest.split_at(end.unwrap_or(rest.len()));
            let (value, after) = value(after);
            if found.eq_ignore_ascii_case(name) {
                return value;
            }
            rest = after;
        }
    }
}

/// An attribute's value, if it has one, and what follows.
fn value(after_name: &str) -> (Option<&str>, &str) {
    let Some(value) = after_name.trim_ascii_start().strip_prefix('=') else {
        return (None, after_name);
    };
    let value = value.trim_ascii_start();
    for quote in ['"', '\''] {
        if let Some((value, after)) = value.strip_prefix(quote).and_then(|it| it.split_once(quote))
        {
            return (Some(value), after);
        }
    }
    let end = value.find(|letter: char| letter.is_ascii_whitespace()).unwrap_or(value.len());
    let (value, after) = value.split_at(end);
    (Some(value), after)
}

/// An element's name without its prefix, in small letters.
pub(super) fn element(name: &str) -> String {
    let name = name.split_ascii_whitespace().next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelt(markup: &str) -> Vec<String> {
        Pieces::of(markup)
            .map(|piece| match piece {
                Piece::Text(text) => text.to_owned(),
                Piece::Raw(text) => format!("[{text}]"),
                Piece::Open(tag) => format!("+{}", tag.element()),
                Piece::Close(name) => format!("-{}", element(name)),
            })
            .collect()
    }

    #[test]
    fn broken_markup_comes_apart_too() {
        for (markup, pieces) in [
            ("a < b <b>c</b>", vec!["a < b ", "+b", "c", "-b"]),
            ("<!-- <p> --><P title='a>b'>x</P >", vec!["+p", "x", "-p"]),
            ("<?xml version='1.0'?><svg:g/>", vec!["+g"]),
            ("<p class=\"x>one</p><p>two", vec!["+p", "one", "-p", "+p", "two"]),
            ("<p>it's<p>\"so\"", vec!["+p", "it's", "+p", "\"so\""]),
            ("one<![CDATA[a<b]]><p", vec!["one", "[a<b]"]),
            ("<>x</>", vec!["<>x", "-"]),
        ] {
            assert_eq!(spelt(markup), pieces, "{markup}");
        }
    }

    #[test]
    fn attributes_are_found() {
        let Some(Piece::Open(tag)) =
            Pieces::of("<a ID=x1 name = 'y' checked href=\"z&amp;\"/>").next()
        else {
            panic!("no tag");
        };
        assert_eq!(tag.attribute("id"), Some("x1"));
        assert_eq!(tag.attribute("name"), Some("y"));
        assert_eq!(tag.attribute("href"), Some("z&amp;"));
        assert_eq!(tag.attribute("checked"), None);
        assert_eq!(tag.attribute("class"), None);
        assert!(tag.is_empty);
    }

    proptest! {
        #[test]
        fn any_markup_comes_apart(markup in "(<|>|/|!|-|\\?|=|\"|'|a|b|é| |\\[|CDATA|\\]){0,60}") {
            for piece in Pieces::of(&markup) {
                if let Piece::Open(tag) = piece {
                    tag.attribute("a");
                    tag.attribute("none");
                }
            }
        }
    }
}
