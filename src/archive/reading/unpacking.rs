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

/// Most entries of a table of contents, however they lie within one another: what reads them goes
/// down as deep when it lets them go.
const MOST_CONTENTS: usize = 100_000;

/// Most times that a package says what it says about something it has said; each may lead to the next.
const MOST_REFINED: usize = 2_000;

/// Elements that are or hold entries of a table of contents, in an NCX and in a page.
const CONTENTS: [&[u8]; 4] = [b"navPoint", b"pageTarget", b"navMap", b"pageList"];
const NAV: &[u8] = b"nav";
const LIST_ITEM: &[u8] = b"li";

/// The attribute that leads from one of a package's statements to another.
const REFINES: &[u8] = b"refines";

/// Bytes of an element's name that are looked at.
const NAME_BYTES: usize = 16;

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
        let mut start = Unpacked { is_kept: name == ENCRYPTION, ..Unpacked::default() };
        let limit = u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1);
        let unpacked = io::copy(&mut file.by_ref().take(limit), &mut start)
            .map_err(|error| ReadingError::Damaged(error.to_string()))?;
        left = usize::try_from(unpacked)
            .ok()
            .and_then(|unpacked| left.checked_sub(unpacked))
            .ok_or(ReadingError::UnpacksTooLarge { most })?;
        if name == ENCRYPTION && locks_text(&String::from_utf8_lossy(&start.kept)) {
            return Err(ReadingError::Encrypted);
        }
        if start.is_endless() {
            return Err(ReadingError::Damaged(format!("{name:?} describes too much")));
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

/// Takes what is unpacked and counts what would lead deep down if it described an EPUB. A package
/// tells which files describe it, by any name and type, so it counts in all of them. It counts too
/// much rather than too little: in comments, too, and in letters of two bytes.
#[derive(Default)]
struct Unpacked {
    kept: Vec<u8>,
    is_kept: bool,
    /// The element's name that we are in, as far as it is known, without its prefix.
    name: Option<Vec<u8>>,
    /// Letters of [`REFINES`] that were just read.
    matched: usize,
    contents: usize,
    navs: usize,
    list_items: usize,
    refined: usize,
}

impl Unpacked {
    fn is_endless(&self) -> bool {
        let list_items = if self.navs > 0 { self.list_items } else { 0 };
        self.contents.max(self.navs + list_items) > MOST_CONTENTS || self.refined > MOST_REFINED
    }

    fn look_at(&mut self, byte: u8) {
        let Some(name) = &mut self.name else {
            if byte == b'<' {
                self.name = Some(Vec::new());
            }
            return;
        };
        match byte {
            b'<' | b':' => name.clear(),
            b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n' => {
                match name.as_slice() {
                    NAV => self.navs += 1,
                    LIST_ITEM => self.list_items += 1,
                    name if CONTENTS.contains(&name) => self.contents += 1,
                    _ => {}
                }
                self.name = None;
            }
            byte if name.len() < NAME_BYTES => name.push(byte),
            _ => {}
        }
    }
}

impl Write for Unpacked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_kept {
            self.kept.extend_from_slice(bytes);
        }
        for &byte in bytes.iter().filter(|byte| **byte != 0) {
            self.look_at(byte);
            self.matched = match self.matched {
                matched if byte == REFINES[matched] => matched + 1,
                _ => usize::from(byte == REFINES[0]),
            };
            if self.matched == REFINES.len() {
                self.refined += 1;
                self.matched = 0;
            }
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
    fn what_leads_deep_is_counted_in_any_spelling() {
        let counted = |bytes: &[u8]| {
            let mut unpacked = Unpacked::default();
            // However it comes.
            for piece in bytes.chunks(3) {
                unpacked.write_all(piece).unwrap();
            }
            [unpacked.contents, unpacked.navs, unpacked.list_items, unpacked.refined]
        };
        let markup = "<navPoint><x:navPoint a='b'/></navPoint><nav\n><li><link><li/><!-- <li> -->\
                      <pageTarget><meta rrefines='#a' opf:refines='#b'>";
        assert_eq!(counted(markup.as_bytes()), [3, 1, 3, 2]);
        let wide: Vec<u8> = markup.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(counted(&wide), [3, 1, 3, 2]);
    }
}
