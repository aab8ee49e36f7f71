//! Cards in pictures: base64 of their JSON in text chunks, `ccv3` (V3) preferred over `chara`. The
//! picture itself is never decoded.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use img_parts::png::{Png, PngChunk};
use img_parts::{Bytes, ImageICC as _};
use serde_json::Value;

use super::CardError;
use super::file::{Content, LARGEST_JSON, MIB, damaged, text, tree};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const FORMAT: &str = "PNG";
/// Of the last chunk.
const END: [u8; 4] = *b"IEND";
/// Keywords of a card, the better one first.
const KEYWORDS: [&str; 2] = ["ccv3", "chara"];
const V3: &str = "chara_card_v3";
/// For a card without a picture: one plain colour.
const PLAIN: &[u8] = include_bytes!("plain.png");

/// However careful its writer was with padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

pub(super) fn read(bytes: &[u8]) -> Result<Content, CardError> {
    let mut png = parse(bytes)?;
    let mut warnings = Vec::new();
    let mut refused = None;
    for keyword in KEYWORDS {
        let found = png.chunks().iter().find(|chunk| keyword_of(chunk) == Some(keyword));
        let Some(chunk) = found else { continue };
        match card(chunk) {
            Ok(json) => {
                png.chunks_mut().retain(|chunk| keyword_of(chunk).is_none());
                return Ok(Content { json, picture: Some(encode(png)), warnings });
            }
            Err(error) => {
                warnings.push(format!("its {keyword} can't be used: {error}"));
                refused.get_or_insert(error);
            }
        }
    }
    Err(refused.unwrap_or_else(|| damaged(FORMAT, "it is a picture without a card".to_owned())))
}

/// A V3 card is also written as V2, for those who know no other.
pub(super) fn write(content: &Content) -> Result<Vec<u8>, CardError> {
    let mut png = parse(content.picture.as_deref().unwrap_or(PLAIN))?;
    let mut card = tree(&content.json)?;
    let mut chunks = Vec::new();
    if card.get("spec").and_then(Value::as_str) == Some(V3) {
        chunks.push(chunk("ccv3", &content.json));
        card.insert("spec".to_owned(), "chara_card_v2".into());
        card.insert("spec_version".to_owned(), "2.0".into());
        chunks.insert(0, chunk("chara", &Value::Object(card).to_string()));
    } else {
        chunks.push(chunk("chara", &content.json));
    }
    let end = png.chunks().iter().position(|chunk| chunk.kind() == END);
    let end = end.unwrap_or(png.chunks().len());
    png.chunks_mut().splice(end..end, chunks);
    Ok(encode(png))
}

/// Whether this is a picture that a card can be put in.
pub(super) fn is_picture(bytes: &[u8]) -> bool {
    parse(bytes).is_ok()
}

fn parse(bytes: &[u8]) -> Result<Png, CardError> {
    let png = Png::from_bytes(Bytes::copy_from_slice(bytes))
        .map_err(|error| damaged(FORMAT, error.to_string()))?;
    if png.chunk_by_type(END).is_none() {
        return Err(damaged(FORMAT, "it breaks off".to_owned()));
    }
    Ok(png)
}

fn encode(png: Png) -> Vec<u8> {
    png.encoder().bytes().to_vec()
}

fn chunk(keyword: &str, json: &str) -> PngChunk {
    let content = format!("{keyword}\0{}", BASE64.encode(json));
    PngChunk::new(*b"tEXt", content.into())
}

/// Of a chunk that holds a card.
fn keyword_of(chunk: &PngChunk) -> Option<&'static str> {
    if !matches!(&chunk.kind(), b"tEXt" | b"zTXt" | b"iTXt") {
        return None;
    }
    let (keyword, _) = split(chunk.contents())?;
    KEYWORDS.into_iter().find(|known| keyword.eq_ignore_ascii_case(known.as_bytes()))
}

/// What stands before and after the first NUL.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let nul = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..nul], &bytes[nul + 1..]))
}

/// The JSON in a chunk.
fn card(chunk: &PngChunk) -> Result<String, CardError> {
    let broken = |reason: &str| damaged(FORMAT, reason.to_owned());
    let encoded = said(chunk).ok_or_else(|| broken("the chunk with its card is damaged"))?;
    let encoded: Vec<u8> = encoded.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if encoded.len() / 4 * 3 > LARGEST_JSON + 3 {
        let most_mib = LARGEST_JSON / MIB;
        return Err(CardError::TooLarge { what: "the card's JSON", most_mib });
    }
    let json = BASE64.decode(encoded).map_err(|_| broken("the card in it is not in base64"))?;
    let json = text(&json, FORMAT)?;
    tree(&json)?;
    Ok(json)
}

/// The text of a text chunk (PNG 1.2, section 4.2.3).
fn said(chunk: &PngChunk) -> Option<Vec<u8>> {
    let (_, rest) = split(chunk.contents())?;
    match &chunk.kind() {
        b"tEXt" => Some(rest.to_vec()),
        b"zTXt" => inflated(rest.split_first().filter(|(method, _)| **method == 0)?.1),
        _ => {
            let (flags, rest) = rest.split_at_checked(2)?;
            let (_language, rest) = split(rest)?;
            let (_translated, said) = split(rest)?;
            match flags {
                [0, _] => Some(said.to_vec()),
                [1, 0] => inflated(said),
                _ => None,
            }
        }
    }
}

/// Bounded to 16 MiB by the crate, which unpacks colour profiles in this way.
fn inflated(compressed: &[u8]) -> Option<Vec<u8>> {
    let mut png = Png::from_bytes(Bytes::from_static(SIGNATURE)).ok()?;
    let content = [b"text\0\0", compressed].concat();
    png.chunks_mut().push(PngChunk::new(*b"iCCP", content.into()));
    png.icc_profile().map(|text| text.to_vec())
}
