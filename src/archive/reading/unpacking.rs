//! Looks into a zip archive before anything else does: what it really unpacks to, whether it is an
//! EPUB, and whether somebody locked it.

use std::borrow::Cow;
use std::io::{self, Cursor, Read, Write};

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::ReadingError;
use super::tags::{Piece, Pieces, element};

/// Pictures and fonts count too: an EPUB may unpack to so many times the text that is taken.
const UNPACKED_FACTOR: usize = 4;

/// Most files in an EPUB.
const MOST_FILES: usize = 10_000;

/// Deepest markup in the files that describe an EPUB; its readers go down as deep.
const DEEPEST: usize = 200;

const CONTAINER: &str = "META-INF/container.xml";
const ENCRYPTION: &str = "META-INF/encryption.xml";
const RIGHTS: &str = "META-INF/rights.xml";

/// Ways to garble fonts, which leave the text alone.
const FONT_ALGORITHMS: [&str; 2] =
    ["http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"];

/// Whether a zip archive is an EPUB rather than something else.
pub(super) fn is_epub(bytes: &[u8]) -> Result<bool, ReadingError> {
    let archive = archive(bytes)?;
    Ok(archive.index_for_name(CONTAINER).is_some() || starts_as_epub(bytes))
}

/// What a zip archive is that is no EPUB, where a file in it tells.
pub(super) fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    let archive = archive(bytes).ok()?;
    [
        ("word/document.xml", "a Word document"),
        ("xl/workbook.xml", "an Excel workbook"),
        ("ppt/presentation.xml", "a PowerPoint presentation"),
        ("META-INF/manifest.xml", "an OpenDocument file"),
    ]
    .into_iter()
    .find_map(|(name, kind)| archive.index_for_name(name).map(|_| kind))
}

/// Whether its first file says that it is an EPUB, as the format wants it; such a file may still be
/// cut off.
pub(super) fn starts_as_epub(bytes: &[u8]) -> bool {
    bytes.get(30..58).is_some_and(|start| start == b"mimetypeapplication/epub+zip")
}

/// Unpacks everything once, into nothing, and refuses what is too much to be read.
pub(super) fn check(bytes: &[u8], largest: usize) -> Result<(), ReadingError> {
    let mut archive = archive(bytes)?;
    if archive.len() > MOST_FILES {
        return Err(ReadingError::TooManyFiles { most: MOST_FILES });
    }
    if archive.index_for_name(RIGHTS).is_some() && archive.index_for_name(ENCRYPTION).is_some() {
        return Err(ReadingError::Encrypted);
    }
    let most = largest.saturating_mul(UNPACKED_FACTOR);
    let mut left = most;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(unreadable)?;
        let name = file.name().map(Cow::into_owned).unwrap_or_default();
        let is_described = ["opf", "ncx", "xml"].iter().any(|end| name.ends_with(end));
        let mut start = Markup { kept: Vec::new(), keeps: is_described || is_page(&name) };
        let limit = u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1);
        let unpacked = io::copy(&mut file.by_ref().take(limit), &mut start)
            .map_err(|error| ReadingError::Damaged(error.to_string()))?;
        left = usize::try_from(unpacked)
            .ok()
            .and_then(|unpacked| left.checked_sub(unpacked))
            .ok_or(ReadingError::UnpacksTooLarge { most })?;
        let markup = String::from_utf8_lossy(&start.kept);
        if name == ENCRYPTION && locks_text(&markup) {
            return Err(ReadingError::Encrypted);
        }
        // A page is described by itself only where it is the table of contents.
        if (is_described || markup.contains("<nav")) && depth(&markup) > DEEPEST {
            return Err(ReadingError::Damaged(format!("{name:?} is nested too deep")));
        }
    }
    Ok(())
}

fn archive(bytes: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>, ReadingError> {
    ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)
}

fn unreadable(error: ZipError) -> ReadingError {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => ReadingError::Encrypted,
        error => ReadingError::Damaged(error.to_string()),
    }
}

fn is_page(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".xhtml", ".html", ".htm"].iter().any(|end| name.ends_with(end))
}

/// Takes what is unpacked, and keeps it where it is markup.
struct Markup {
    kept: Vec<u8>,
    keeps: bool,
}

impl Write for Markup {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.keeps {
            self.kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether something else than a font is encrypted.
fn locks_text(encryption: &str) -> bool {
    let mut algorithm = "";
    let mut is_in_key = false;
    let mut locks = false;
    for piece in Pieces::of(encryption) {
        match piece {
            Piece::Open(tag) => match tag.element().as_str() {
                "encrypteddata" => algorithm = "",
                "keyinfo" | "encryptedkey" if !tag.is_empty => is_in_key = true,
                "encryptionmethod" if !is_in_key => {
                    algorithm = tag.attribute("Algorithm").unwrap_or_default();
                }
                "cipherreference" if !is_in_key => {
                    locks |= !FONT_ALGORITHMS.contains(&algorithm)
                        && !is_dressing(tag.attribute("URI").unwrap_or_default());
                }
                _ => {}
            },
            Piece::Close(name) if matches!(element(name).as_str(), "keyinfo" | "encryptedkey") => {
                is_in_key = false;
            }
            _ => {}
        }
    }
    locks
}

/// Files that a text can be read without.
fn is_dressing(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = ["otf", "ttf", "woff", "woff2", "css", "jpg", "jpeg", "png", "gif", "svg", "webp"];
    name.rsplit_once('.').is_some_and(|(_, end)| ends.contains(&end))
}

/// How deep elements lie within one another.
fn depth(markup: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for piece in Pieces::of(markup) {
        match piece {
            Piece::Open(tag) if !tag.is_empty => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            Piece::Close(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbled_fonts_lock_nothing() {
        let data = |algorithm: &str, uri: &str| {
            format!(
                "<enc:EncryptedData><enc:EncryptionMethod Algorithm=\"{algorithm}\"/><ds:KeyInfo>\
                 <enc:EncryptionMethod Algorithm='x'/></ds:KeyInfo><enc:CipherData>\
                 <enc:CipherReference URI=\"{uri}\"/></enc:CipherData></enc:EncryptedData>"
            )
        };
        let aes = "http://www.w3.org/2001/04/xmlenc#aes128-cbc";
        assert!(!locks_text(&data(FONT_ALGORITHMS[0], "OEBPS/a.otf")));
        assert!(!locks_text(&data(FONT_ALGORITHMS[1], "OEBPS/font.bin")));
        assert!(!locks_text(&data(aes, "OEBPS/cover.jpg")));
        assert!(locks_text(&data(aes, "OEBPS/one.xhtml")));
        let both = data(FONT_ALGORITHMS[0], "a.otf") + &data(aes, "OEBPS/content.opf");
        assert!(locks_text(&both));
    }

    #[test]
    fn depth_counts_elements_that_are_open() {
        assert_eq!(depth("<a><b/><c></c></a><d><e>"), 2);
        assert_eq!(depth(&"<a>".repeat(500)), 500);
    }
}
