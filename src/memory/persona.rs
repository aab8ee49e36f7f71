//! The persona of a session: its whole text, and pieces of it that recall finds when the whole is too
//! long for the prompt.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use text_splitter::{ChunkConfig, TextSplitter};

use super::SessionId;
use super::rows;
use crate::retrieval::{bytes, floats};
use crate::store::StoreError;

/// Characters of a piece, and how many of them it shares with the next.
const PIECE: usize = 200;
const OVERLAP: usize = 50;

/// Sets the persona in the place of an earlier one, pieces and all. Pieces that stay keep their
/// vectors.
pub(super) fn set(
    connection: &Connection,
    session: SessionId,
    text: &str,
    by_hand: bool,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE sessions SET persona = ?2, persona_is_set = ?3 WHERE id = ?1",
        params![session.0, text, by_hand],
    )?;
    let mut statement = connection.prepare_cached(
        "SELECT text, embedder, vector FROM persona_chunks
         WHERE session = ?1 AND embedder IS NOT NULL",
    )?;
    // Many personas differ in a line from turn to turn: the time, or what a lorebook adds.
    let made: HashMap<String, (String, Vec<u8>)> = statement
        .query_map([session.0], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect::<Result<_, _>>()?;
    connection.execute("DELETE FROM persona_chunks WHERE session = ?1", [session.0])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO persona_chunks (session, position, text, embedder, vector)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (position, piece) in pieces(text).into_iter().enumerate() {
        let (embedder, vector) = made.get(piece).cloned().unzip();
        statement.execute(params![session.0, rows::integer(position), piece, embedder, vector])?;
    }
    Ok(())
}

/// Takes the persona away; the client's next one counts again.
pub(super) fn clear(connection: &Connection, session: SessionId) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE sessions SET persona = NULL, persona_is_set = 0 WHERE id = ?1",
        [session.0],
    )?;
    connection.execute("DELETE FROM persona_chunks WHERE session = ?1", [session.0])?;
    Ok(())
}

fn pieces(text: &str) -> Vec<&str> {
    // The one way this fails is an overlap that is longer than the piece.
    let config = ChunkConfig::new(PIECE).with_overlap(OVERLAP);
    let config = config.unwrap_or_else(|_| ChunkConfig::new(PIECE));
    TextSplitter::new(config).chunks(text).collect()
}

/// So many of the pieces that this embedder hasn't seen.
pub(super) fn bare_chunks(
    connection: &Connection,
    session: SessionId,
    embedder: &str,
    most: usize,
) -> Result<Vec<(i64, String)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT position, text FROM persona_chunks
         WHERE session = ?1 AND embedder IS NOT ?2 ORDER BY position LIMIT ?3",
    )?;
    let parameters = params![session.0, embedder, rows::integer(most)];
    let rows = statement.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Kept only if the piece is still the same.
pub(super) fn set_vector(
    connection: &Connection,
    session: SessionId,
    position: i64,
    text: &str,
    embedder: &str,
    vector: &[f32],
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE persona_chunks SET embedder = ?4, vector = ?5
         WHERE session = ?1 AND position = ?2 AND text = ?3",
        params![session.0, position, text, embedder, bytes(vector)],
    )?;
    Ok(())
}

/// The pieces nearest to this vector, in the order of the persona.
pub(super) fn nearest(
    connection: &Connection,
    session: SessionId,
    embedder: &str,
    vector: &[f32],
    most: usize,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT position, text, vector FROM persona_chunks
         WHERE session = ?1 AND embedder = ?2 ORDER BY position",
    )?;
    let rows = statement.query_map(params![session.0, embedder], |row| {
        let bytes: Vec<u8> = row.get(2)?;
        let likeness: f32 = floats(&bytes).iter().zip(vector).map(|(a, b)| a * b).sum();
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, likeness))
    })?;
    let mut pieces: Vec<_> = rows.collect::<Result<_, _>>()?;
    pieces.sort_by(|one: &(i64, String, f32), other| other.2.total_cmp(&one.2));
    pieces.truncate(most);
    pieces.sort_by_key(|(position, ..)| *position);
    Ok(pieces.into_iter().map(|(_, text, _)| text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_all_of_a_persona() {
        let text = "Aria keeps a lamp in every window. ".repeat(30);
        let pieces = pieces(&text);
        assert!(pieces.len() > 5);
        assert!(pieces.iter().all(|piece| piece.chars().count() <= PIECE));
        let mut end = 0;
        for piece in pieces {
            let start = text[..].find(piece).unwrap();
            assert!(start <= end || text[end..].starts_with(char::is_whitespace));
            end = end.max(start + piece.len());
        }
    }
}
