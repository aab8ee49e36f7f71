//! Imported cards in the database: each file as it came, under its persona's key.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{CardFile, CardFormat};
use crate::store::StoreError;

/// Of all cards, in order.
pub(super) fn keys(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare("SELECT key FROM persona_cards ORDER BY key")?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn find(connection: &Connection, key: &str) -> Result<Option<CardFile>, StoreError> {
    let found = connection
        .query_row("SELECT format, file FROM persona_cards WHERE key = ?1", [key], |row| {
            let format: String = row.get(0)?;
            Ok(file(&format, row.get(1)?))
        })
        .optional()?;
    Ok(found)
}

fn file(format: &str, bytes: Vec<u8>) -> CardFile {
    let format = CardFormat::named(format).unwrap_or(CardFormat::Json);
    CardFile { format, bytes }
}

/// Whether it was written: without `replace`, one that is there stays.
pub(super) fn put(
    connection: &Connection,
    key: &str,
    card: &CardFile,
    now: i64,
    replace: bool,
) -> Result<bool, StoreError> {
    let or = if replace { "REPLACE" } else { "IGNORE" };
    let sql = format!(
        "INSERT OR {or} INTO persona_cards (key, format, file, made_at) VALUES (?1, ?2, ?3, ?4)"
    );
    Ok(connection.execute(&sql, params![key, card.format.name(), card.bytes, now])? > 0)
}

/// Whether there was one.
pub(super) fn remove(connection: &Connection, key: &str) -> Result<bool, StoreError> {
    Ok(connection.execute("DELETE FROM persona_cards WHERE key = ?1", [key])? > 0)
}
