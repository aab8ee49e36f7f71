//! The files that cards come in. What one is, its bytes tell. A card's JSON goes from one format to
//! another as the text it is, so that nothing of it is lost: neither fields nobody here knows, nor
//! their order, nor how a number is written.

use serde_json::{Map, Value};

use super::{CardError, charx, png};

/// Of a file.
const LARGEST_FILE: usize = 32 * MIB;
/// Of a card's JSON, wherever it stands.
pub(super) const LARGEST_JSON: usize = 8 * MIB;
pub(super) const MIB: usize = 1024 * 1024;

/// A card's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFile {
    pub format: CardFormat,
    pub bytes: Vec<u8>,
}

/// How a card is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFormat {
    Json,
    Png,
    /// A zip archive with `card.json` and its assets.
    Charx,
}

impl CardFormat {
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Png => "png",
            Self::Charx => "charx",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Json, Self::Png, Self::Charx].into_iter().find(|format| format.name() == name)
    }
}

/// What a file holds.
pub(super) struct Content {
    /// As it was written.
    pub(super) json: String,
    /// A PNG without any card in it.
    pub(super) picture: Option<Vec<u8>>,
    pub(super) warnings: Vec<String>,
}

impl CardFile {
    /// Tells the format by the bytes. What lies inside is read when it is asked for.
    pub fn read(bytes: Vec<u8>) -> Result<Self, CardError> {
        if bytes.len() > LARGEST_FILE {
            let most_mib = LARGEST_FILE / MIB;
            return Err(CardError::TooLarge { what: "the file", most_mib });
        }
        let format = if png::is_png(&bytes) {
            CardFormat::Png
        } else if charx::is_zip(&bytes) {
            CardFormat::Charx
        } else if without_mark(&bytes).trim_ascii_start().starts_with(b"{") {
            CardFormat::Json
        } else {
            return Err(CardError::UnknownFormat);
        };
        Ok(Self { format, bytes })
    }

    /// The same card, packed otherwise. In its own format it stays as it is.
    pub fn in_format(self, format: CardFormat) -> Result<Self, CardError> {
        if self.format == format {
            return Ok(self);
        }
        let content = self.content()?;
        let bytes = match format {
            CardFormat::Json => content.json.into_bytes(),
            CardFormat::Png => png::write(&content)?,
            CardFormat::Charx => charx::write(&content)?,
        };
        Ok(Self { format, bytes })
    }

    pub(super) fn content(&self) -> Result<Content, CardError> {
        match self.format {
            CardFormat::Png => png::read(&self.bytes),
            CardFormat::Charx => charx::read(&self.bytes),
            CardFormat::Json => Ok(Content {
                json: text(&self.bytes, "JSON")?,
                picture: None,
                warnings: Vec::new(),
            }),
        }
    }
}

/// A text that isn't too large, without a byte order mark.
pub(super) fn text(bytes: &[u8], format: &'static str) -> Result<String, CardError> {
    if bytes.len() > LARGEST_JSON {
        let most_mib = LARGEST_JSON / MIB;
        return Err(CardError::TooLarge { what: "the card's JSON", most_mib });
    }
    String::from_utf8(without_mark(bytes).to_vec())
        .map_err(|error| damaged(format, format!("it is not UTF-8: {}", error.utf8_error())))
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

/// The card as a tree.
pub(super) fn tree(json: &str) -> Result<Map<String, Value>, CardError> {
    match serde_json::from_str(json) {
        Ok(Value::Object(card)) => Ok(card),
        Ok(_) => Err(damaged("JSON", "it is no object".to_owned())),
        Err(error) => Err(damaged("JSON", error.to_string())),
    }
}

pub(super) fn damaged(format: &'static str, reason: String) -> CardError {
    CardError::Damaged { format, reason }
}
