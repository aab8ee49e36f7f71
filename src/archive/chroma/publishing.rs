//! How documents come and go. A document is shown if and only if its record is there, so that the
//! record is written after all chunks and deleted before any.
//!
//! Chroma has no transactions. Two records may claim one path while two processes publish at once, or
//! for good where one was killed; then the later one has the path, everywhere, and the other is
//! deleted by whoever comes next. A record names the collection that its chunks are in: where somebody
//! deletes that, the records that stay count for nothing.

use std::collections::HashSet;
use std::sync::Arc;

use chromadb::collection::CollectionEntries;
use serde_json::{Value, json};

use super::collection::{BATCH, Collection, METADATA, TEXTS_AND_METADATA};
use super::failure::Failure;
use super::records::{self, Claim};
use super::session::Session;
use crate::archive::document::{Document, DocumentId, Embedded};

/// Ids in one condition; longer lists take several calls.
pub(super) const IDS_IN_A_FILTER: usize = 300;

/// How many chunks are there, from the first on without a gap.
pub(super) async fn staged(chunks: &Collection, id: &DocumentId) -> Result<usize, Failure> {
    let ids = chunks.ids(Some(of_document(id)), None).await?;
    let numbers: HashSet<usize> =
        ids.iter().filter_map(|id| records::parse_chunk_id(id)).map(|(_, index)| index).collect();
    Ok((0..numbers.len()).take_while(|index| numbers.contains(index)).count())
}

pub(super) async fn stage(
    chunks: &Collection,
    id: &DocumentId,
    embedded: &[Embedded],
    now: i64,
) -> Result<(), Failure> {
    for batch in embedded.chunks(BATCH) {
        let ids: Vec<_> = batch.iter().map(|it| records::chunk_id(id, it.chunk.index)).collect();
        chunks.upsert(records::chunk_entries(&ids, id, batch, now)).await?;
    }
    Ok(())
}

/// `now` is in milliseconds of Unix time.
pub(super) async fn publish(
    session: &Session,
    document: &Document,
    now: i64,
) -> Result<(), Failure> {
    let Some(chunks) = session.chunks().await? else { return Err(incomplete(document)) };
    if staged(&chunks, &document.id).await? < document.chunks {
        return Err(incomplete(document));
    }
    let shelf = Shelf { records: session.documents_or_new().await?, chunks };
    let rivals = shelf.claims_of_paths(&[&document.file_path]).await?;
    let later = rivals.iter().map(|claim| claim.published_at.saturating_add(1)).max();
    let claim = Claim {
        id: document.id.clone(),
        file_path: document.file_path.clone(),
        published_at: later.map_or(now, |later| later.max(now)),
        chunks_in: shelf.chunks.id().to_owned(),
    };
    shelf.write(document, &claim).await?;
    // Whoever replaced this document somewhere else may have deleted its chunks just now.
    if staged(&shelf.chunks, &document.id).await? < document.chunks {
        shelf.records.delete_by_ids(&[document.id.to_string()]).await?;
        return Err(incomplete(document));
    }
    let claims = shelf.claims_of_paths(&[&document.file_path]).await?;
    let (_, left_over) = records::winners(claims);
    shelf.delete(&left_over).await
}

/// Whether it was shown.
pub(super) async fn remove(session: &Session, id: &DocumentId) -> Result<bool, Failure> {
    let Some(chunks) = session.chunks().await? else { return Ok(false) };
    let Some(records) = session.documents().await? else {
        chunks.delete(of_document(id)).await?;
        return Ok(false);
    };
    let shelf = Shelf { records, chunks };
    let paths: Vec<String> =
        shelf.claims_of(&[id]).await?.into_iter().map(|claim| claim.file_path).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let (winners, left_over) = records::winners(shelf.claims_of_paths(&paths).await?);
    // What it had replaced must not come back.
    let was_shown = winners.values().any(|winner| winner.id == *id);
    let mut gone = if was_shown { left_over } else { Vec::new() };
    gone.push(id.clone());
    shelf.delete(&gone).await?;
    Ok(was_shown)
}

/// All that is shown, by path.
pub(super) async fn documents(session: &Session) -> Result<Vec<Arc<Document>>, Failure> {
    let Some(chunks) = session.chunks_now().await? else { return Ok(Vec::new()) };
    let Some(records) = session.documents().await? else { return Ok(Vec::new()) };
    let got = records.get(in_collection(&chunks), TEXTS_AND_METADATA).await?;
    let (winners, _) = records::winners(records::claims(&got)?);
    let shown: HashSet<_> = winners.into_values().map(|winner| winner.id).collect();
    let mut documents = records::documents(&got)?;
    documents.retain(|document| shown.contains(&document.id));
    documents.sort_by(|a, b| a.file_path.cmp(&b.file_path));
    Ok(documents.into_iter().map(Arc::new).collect())
}

/// Those of these documents that are shown.
pub(super) async fn of_ids(
    session: &Session,
    ids: &[DocumentId],
) -> Result<Vec<Arc<Document>>, Failure> {
    let Some(shelf) = shelf(session).await? else { return Ok(Vec::new()) };
    let ids: Vec<&DocumentId> = ids.iter().collect();
    let shown = shelf.shown(&ids).await?.iter().map(ToString::to_string).collect();
    let got = shelf.records.get_by_ids(shown, TEXTS_AND_METADATA).await?;
    Ok(records::documents(&got)?.into_iter().map(Arc::new).collect())
}

/// The document that has a path.
pub(super) async fn of_path(
    session: &Session,
    path: &str,
) -> Result<Option<Arc<Document>>, Failure> {
    let Some(shelf) = shelf(session).await? else { return Ok(None) };
    let (winners, _) = records::winners(shelf.claims_of_paths(&[path]).await?);
    let ids = winners.into_values().map(|winner| winner.id.to_string()).collect();
    let got = shelf.records.get_by_ids(ids, TEXTS_AND_METADATA).await?;
    Ok(records::documents(&got)?.pop().map(Arc::new))
}

async fn shelf(session: &Session) -> Result<Option<Shelf>, Failure> {
    let Some(chunks) = session.chunks().await? else { return Ok(None) };
    let records = session.documents().await?;
    Ok(records.map(|records| Shelf { records, chunks }))
}

/// Deletes chunks that were staged before `since`, in seconds of Unix time, and have no record, and
/// records that lost their path or whose chunks' collection was deleted.
pub(super) async fn sweep(session: &Session, since: i64) -> Result<(), Failure> {
    let Some(chunks) = session.chunks_now().await? else { return Ok(()) };
    let old = old_documents(&chunks, since).await?;
    let Some(records) = session.documents().await? else {
        return delete_given_up(&chunks, &old, since).await;
    };
    let elsewhere = json!({ "chunks_in": { "$ne": chunks.id() } });
    let void = records.ids(Some(elsewhere), None).await?;
    records.delete_by_ids(&void).await?;
    let shelf = Shelf { records, chunks };
    let all = shelf.records.get(in_collection(&shelf.chunks), METADATA).await?;
    let (winners, left_over) = records::winners(records::claims(&all)?);
    shelf.delete(&left_over).await?;
    let shown: HashSet<_> = winners.into_values().map(|winner| winner.id).collect();
    let given_up: Vec<_> = old.into_iter().filter(|id| !shown.contains(id)).collect();
    delete_given_up(&shelf.chunks, &given_up, since).await
}

/// Documents that were begun before that, shown or not: those whose first chunk is so old.
async fn old_documents(chunks: &Collection, since: i64) -> Result<Vec<DocumentId>, Failure> {
    let filter = json!({ "$and": [{ "index": 0 }, { "staged_at": { "$lt": since } }] });
    let ids = chunks.ids(Some(filter), None).await?;
    Ok(ids.iter().filter_map(|id| records::parse_chunk_id(id)).map(|(id, _)| id).collect())
}

/// Where some chunks are younger, somebody goes on with the document.
async fn delete_given_up(
    chunks: &Collection,
    documents: &[DocumentId],
    since: i64,
) -> Result<(), Failure> {
    for id in documents {
        let younger = json!({
            "$and": [{ "document": id }, { "staged_at": { "$gte": since } }]
        });
        if chunks.ids(Some(younger), Some(1)).await?.is_empty() {
            chunks.delete(of_document(id)).await?;
        }
    }
    Ok(())
}

/// The records, and the chunks they are of.
pub(super) struct Shelf {
    pub(super) records: Arc<Collection>,
    pub(super) chunks: Arc<Collection>,
}

impl Shelf {
    /// What is claimed by these documents.
    async fn claims_of(&self, ids: &[&DocumentId]) -> Result<Vec<Claim>, Failure> {
        let ids = ids.iter().map(ToString::to_string).collect();
        let got = self.records.get_by_ids(ids, METADATA).await?;
        let mut claims = records::claims(&got)?;
        claims.retain(|claim| claim.chunks_in == self.chunks.id());
        Ok(claims)
    }

    async fn claims_of_paths(&self, paths: &[&str]) -> Result<Vec<Claim>, Failure> {
        let mut claims = Vec::new();
        for paths in paths.chunks(IDS_IN_A_FILTER) {
            let filter = json!({
                "$and": [in_collection(&self.chunks), { "file_path": { "$in": paths } }]
            });
            claims.extend(records::claims(&self.records.get(filter, METADATA).await?)?);
        }
        Ok(claims)
    }

    /// Which of these documents are shown.
    pub(super) async fn shown(&self, ids: &[&DocumentId]) -> Result<Vec<DocumentId>, Failure> {
        let claims = self.claims_of(ids).await?;
        let paths: HashSet<&str> = claims.iter().map(|claim| claim.file_path.as_str()).collect();
        let paths: Vec<&str> = paths.into_iter().collect();
        let (winners, _) = records::winners(self.claims_of_paths(&paths).await?);
        let wins =
            |claim: &Claim| winners.get(&claim.file_path).is_some_and(|it| it.id == claim.id);
        Ok(claims.iter().filter(|claim| wins(claim)).map(|claim| claim.id.clone()).collect())
    }

    async fn write(&self, document: &Document, claim: &Claim) -> Result<(), Failure> {
        let text = serde_json::to_string(document)
            .map_err(|error| Failure::Refused(format!("{error} in the document's record")))?;
        let entries = CollectionEntries {
            ids: vec![document.id.as_str()],
            metadatas: Some(vec![claim.metadata()]),
            documents: Some(vec![&text]),
            embeddings: Some(vec![vec![1.0]]),
        };
        self.records.upsert(entries).await
    }

    /// Records first, so that nobody sees half a document.
    async fn delete(&self, ids: &[DocumentId]) -> Result<(), Failure> {
        let names: Vec<_> = ids.iter().map(ToString::to_string).collect();
        self.records.delete_by_ids(&names).await?;
        for id in ids {
            self.chunks.delete(of_document(id)).await?;
        }
        Ok(())
    }
}

fn of_document(id: &DocumentId) -> Value {
    json!({ "document": id })
}

fn in_collection(chunks: &Collection) -> Value {
    json!({ "chunks_in": chunks.id() })
}

fn incomplete(document: &Document) -> Failure {
    Failure::Disturbed(format!(
        "Chunks of {:?} are missing from the archive: somebody deleted them while it was added. \
         Add it again.",
        document.file_path
    ))
}
