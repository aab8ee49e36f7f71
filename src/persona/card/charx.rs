//! CHARX: a zip archive with `card.json` and the card's assets. Names in it are never used as paths,
//! and of no entry more is unpacked than its place allows.

use std::io::{Cursor, Read as _, Write as _};

use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::CardError;
use super::file::{Content, LARGEST_JSON, MIB, damaged, text, tree};
use super::png;

const FORMAT: &str = "CHARX";
const CARD: &str = "card.json";
/// Where a picture is put that no asset names.
const PICTURE: &str = "assets/icon/image/main.png";
const LARGEST_PICTURE: usize = 32 * MIB;
/// Entries of an archive; each costs memory before it is looked at.
const MOST_ENTRIES: usize = 10_000;
/// Begins an entry of the table at an archive's end.
const TABLE_ENTRY: &[u8] = b"PK\x01\x02";
/// Begins the address of an asset in the archive; the first is the specification's own spelling.
const EMBEDDED: [&str; 2] = ["embeded://", "embedded://"];

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

pub(super) fn read(bytes: &[u8]) -> Result<Content, CardError> {
    let entries = bytes.windows(TABLE_ENTRY.len()).filter(|it| *it == TABLE_ENTRY).count();
    if entries > MOST_ENTRIES {
        return Err(damaged(FORMAT, format!("it has more than {MOST_ENTRIES} entries")));
    }
    let mut archive =
        ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(FORMAT, error.to_string()))?;
    let json =
        unpacked(&mut archive, CARD, LARGEST_JSON).map_err(|reason| damaged(FORMAT, reason))?;
    let json = text(&json, FORMAT)?;
    let card = Value::Object(tree(&json)?);
    // A card without a picture is one all the same.
    let picture = icon(&card).into_iter().chain([PICTURE]).find_map(|name| {
        let picture = unpacked(&mut archive, name, LARGEST_PICTURE).ok()?;
        (picture.len() <= LARGEST_PICTURE && png::is_picture(&picture)).then_some(picture)
    });
    Ok(Content { json, picture, warnings: Vec::new() })
}

/// Where the card's main icon lies in the archive.
fn icon(card: &Value) -> Option<&str> {
    let assets = card.pointer("/data/assets")?.as_array()?;
    let is_icon = |asset: &&Value| asset["type"] == "icon";
    let main = assets.iter().filter(is_icon).find(|asset| asset["name"] == "main");
    let address = main.or_else(|| assets.iter().find(is_icon))?["uri"].as_str()?;
    EMBEDDED.iter().find_map(|scheme| address.strip_prefix(scheme))
}

/// One byte more than allowed at most, whatever the archive says of its size.
fn unpacked(archive: &mut Archive<'_>, name: &str, most: usize) -> Result<Vec<u8>, String> {
    let entry = archive.by_name(name).map_err(|error| format!("{name}: {error}"))?;
    let mut bytes = Vec::new();
    entry
        .take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{name}: {error}"))?;
    Ok(bytes)
}

pub(super) fn write(content: &Content) -> Result<Vec<u8>, CardError> {
    let card = Value::Object(tree(&content.json)?);
    // Others may take names for paths.
    let is_plain = |name: &&str| !name.contains(['\\', ':']) && !name.split('/').any(is_no_name);
    let icon = icon(&card).filter(|name| *name != CARD).filter(is_plain).unwrap_or(PICTURE);
    let packed = || {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        archive.start_file(CARD, options)?;
        archive.write_all(content.json.as_bytes())?;
        if let Some(picture) = &content.picture {
            archive.start_file(icon, options)?;
            archive.write_all(picture)?;
        }
        archive.finish()
    };
    match packed() {
        Ok(archive) => Ok(archive.into_inner()),
        Err(error) => Err(damaged(FORMAT, error.to_string())),
    }
}

fn is_no_name(step: &str) -> bool {
    matches!(step, "" | "." | "..")
}
