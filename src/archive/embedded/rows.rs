//! The embedded archive's SQL.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::archive::{Chunk, Document, DocumentId, Embedded, SentenceVectors};
use crate::retrieval::{bytes, floats};
use crate::store::StoreError;

/// Who made the vectors; `None` before there are any.
pub(super) fn embedder(connection: &Connection) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT embedder FROM archive")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

pub(super) fn set_embedder(connection: &Connection, embedder: &str) -> Result<(), StoreError> {
    connection.execute("UPDATE archive SET embedder = ?1", [embedder])?;
    Ok(())
}

/// Grows with each document that comes, changes or goes.
pub(super) fn change(connection: &Connection) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT change FROM archive")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

pub(super) fn note_change(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("UPDATE archive SET change = change + 1", [])?;
    Ok(())
}

/// A document's number, published or not.
pub(super) fn number(connection: &Connection, id: &DocumentId) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT number FROM documents WHERE id = ?1")?;
    Ok(statement.query_row([id.as_str()], |row| row.get(0)).optional()?)
}

/// Makes a place for a document's chunks, if there is none, and notes the time.
pub(super) fn begin(
    connection: &Connection,
    id: &DocumentId,
    staged_at: i64,
) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO documents (id, staged_at) VALUES (?1, ?2)
         ON CONFLICT (id) DO UPDATE SET staged_at = excluded.staged_at
         RETURNING number",
    )?;
    Ok(statement.query_row(params![id.as_str(), staged_at], |row| row.get(0))?)
}

pub(super) fn put_chunk(
    connection: &Connection,
    document: i64,
    embedded: &Embedded,
) -> Result<(), StoreError> {
    let Embedded { chunk, vector, sentences } = embedded;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO chunks (document, position, text, byte_start, char_start, vector)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    statement.execute(params![
        document,
        integer(chunk.index),
        chunk.text,
        integer(chunk.byte_start),
        integer(chunk.char_start),
        bytes(vector),
    ])?;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO sentences (document, position, dimensions, vectors)
         VALUES (?1, ?2, ?3, ?4)",
    )?;
    let (position, dimensions) = (integer(chunk.index), integer(vector.len()));
    statement.execute(params![document, position, dimensions, sentences.bytes()])?;
    Ok(())
}

/// The vectors of a chunk's sentences; none if it has just gone.
pub(super) fn sentences(
    connection: &Connection,
    document: i64,
    position: usize,
) -> Result<SentenceVectors, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT vectors, dimensions FROM sentences WHERE document = ?1 AND position = ?2",
    )?;
    let found = statement
        .query_row(params![document, integer(position)], |row| {
            Ok(SentenceVectors::from_bytes(row.get(0)?, size(row.get(1)?)))
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// How many chunks there are from 0 on without a gap.
pub(super) fn staged(connection: &Connection, document: i64) -> Result<usize, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*), coalesce(max(position) + 1, 0) FROM chunks WHERE document = ?1",
    )?;
    let (count, end): (i64, i64) =
        statement.query_row([document], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // They come in order, in transactions: a gap would be another program's doing.
    Ok(if count == end { size(count) } else { 0 })
}

/// Shows a document; whoever had its path goes.
pub(super) fn publish(connection: &Connection, document: &Document) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM documents WHERE file_path = ?1 AND id <> ?2",
        params![document.file_path, document.id.as_str()],
    )?;
    connection.execute(
        "UPDATE documents SET file_path = ?2, body = ?3 WHERE id = ?1",
        params![document.id.as_str(), document.file_path, serde_json::to_string(document)?],
    )?;
    Ok(())
}

/// Whether there was such a document, and whether it was published.
pub(super) fn remove(connection: &Connection, id: &DocumentId) -> Result<Option<bool>, StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM documents WHERE id = ?1 RETURNING body IS NOT NULL")?;
    Ok(statement.query_row([id.as_str()], |row| row.get(0)).optional()?)
}

/// All published documents, by path.
pub(super) fn documents(connection: &Connection) -> Result<Vec<Document>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT body FROM documents WHERE file_path IS NOT NULL ORDER BY file_path",
    )?;
    let bodies = statement.query_map([], |row| row.get::<_, String>(0))?;
    bodies.map(|body| Ok(serde_json::from_str(&body?)?)).collect()
}

/// Ids and numbers of all published documents.
pub(super) fn published(connection: &Connection) -> Result<Vec<(i64, DocumentId)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, id FROM documents WHERE file_path IS NOT NULL ORDER BY number",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let mut published = Vec::new();
    for row in rows {
        let (number, id) = row?;
        published.extend(DocumentId::parse(&id).map(|id| (number, id)));
    }
    Ok(published)
}

/// Chunks of a document by their numbers, in order; those that there are.
pub(super) fn chunks(
    connection: &Connection,
    id: &DocumentId,
    numbers: &Range<usize>,
) -> Result<Vec<Chunk>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT position, text, byte_start, char_start FROM chunks
         WHERE document = (SELECT number FROM documents WHERE id = ?1)
             AND position >= ?2 AND position < ?3
         ORDER BY position",
    )?;
    let (first, end) = (integer(numbers.start), integer(numbers.end));
    let rows = statement.query_map(params![id.as_str(), first, end], chunk)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn chunk(row: &Row<'_>) -> rusqlite::Result<Chunk> {
    Ok(Chunk {
        index: size(row.get(0)?),
        text: row.get(1)?,
        byte_start: size(row.get(2)?),
        char_start: size(row.get(3)?),
    })
}

/// Calls `each` with the texts and vectors of a document's chunks, in order.
pub(super) fn each_chunk(
    connection: &Connection,
    document: i64,
    mut each: impl FnMut(&str, &[f32]),
) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT text, vector FROM chunks WHERE document = ?1 ORDER BY position")?;
    let mut rows = statement.query([document])?;
    while let Some(row) = rows.next()? {
        let vector = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        each(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?, &floats(vector));
    }
    Ok(())
}

/// Deletes what was staged before that time and never published.
pub(super) fn sweep(connection: &Connection, before: i64) -> Result<usize, StoreError> {
    let mut statement = connection
        .prepare_cached("DELETE FROM documents WHERE file_path IS NULL AND staged_at < ?1")?;
    Ok(statement.execute([before])?)
}

/// SQLite's integers are signed.
fn integer(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn size(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}
