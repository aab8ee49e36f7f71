//! One collection at the server, and calls of it that end in time.

use std::fmt::Display;
use std::time::Duration;

use chromadb::collection::{
    ChromaCollection, CollectionEntries, GetOptions, GetResult, QueryOptions, QueryResult,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::failure::Failure;

/// How long a question may take.
const TIME_TO_READ: Duration = Duration::from_secs(10);
/// How long a change may take: the server writes its index now and then.
const TIME_TO_WRITE: Duration = Duration::from_mins(1);
/// Records that are got at once.
const PAGE: usize = 300;
/// Most records that are written at once; Chroma takes some thousands.
pub(super) const BATCH: usize = 100;
/// Where a chunk collection keeps its embedder's name.
const EMBEDDER: &str = "embedder";

pub(super) struct Collection(ChromaCollection);

/// What of a record is wanted beside its id.
pub(super) const TEXTS_AND_METADATA: &[&str] = &["documents", "metadatas"];
pub(super) const METADATA: &[&str] = &["metadatas"];

impl Collection {
    pub(super) fn new(collection: ChromaCollection) -> Self {
        Self(collection)
    }

    pub(super) fn id(&self) -> &str {
        self.0.id()
    }

    /// Who made its vectors.
    pub(super) fn embedder(&self) -> Option<&str> {
        self.0.metadata()?.get(EMBEDDER)?.as_str()
    }

    pub(super) async fn count(&self) -> Result<usize, Failure> {
        reading(self.0.count()).await
    }

    /// Ids of the records that fit, of at most so many if `most` is given. They come in one piece, as
    /// pages would shift when others delete records.
    pub(super) async fn ids(
        &self,
        filter: Option<Value>,
        most: Option<usize>,
    ) -> Result<Vec<String>, Failure> {
        let options = GetOptions {
            where_metadata: filter,
            limit: most,
            include: Some(Vec::new()),
            ..GetOptions::default()
        };
        Ok(reading(self.0.get(options)).await?.ids)
    }

    /// The same of records whose text matches a regular expression.
    pub(super) async fn ids_matching(
        &self,
        pattern: &str,
        filter: Option<Value>,
        most: usize,
    ) -> Result<Vec<String>, Failure> {
        let options = GetOptions {
            where_metadata: filter,
            where_document: Some(json!({ "$regex": pattern })),
            limit: Some(most),
            include: Some(Vec::new()),
            ..GetOptions::default()
        };
        Ok(reading(self.0.get(options)).await?.ids)
    }

    /// The records that fit.
    pub(super) async fn get(&self, filter: Value, what: &[&str]) -> Result<GetResult, Failure> {
        let ids = self.ids(Some(filter), None).await?;
        self.get_by_ids(ids, what).await
    }

    /// Those of the records that there are.
    pub(super) async fn get_by_ids(
        &self,
        ids: Vec<String>,
        what: &[&str],
    ) -> Result<GetResult, Failure> {
        let mut all = GetResult {
            ids: Vec::new(),
            metadatas: Some(Vec::new()),
            documents: Some(Vec::new()),
            embeddings: Some(Vec::new()),
        };
        // No ids at all would be no condition.
        for page in ids.chunks(PAGE) {
            let options = GetOptions {
                ids: page.to_vec(),
                include: Some(what.iter().map(|&what| what.to_owned()).collect()),
                ..GetOptions::default()
            };
            let got = reading(self.0.get(options)).await?;
            all.ids.extend(got.ids);
            extend(&mut all.metadatas, got.metadatas);
            extend(&mut all.documents, got.documents);
            extend(&mut all.embeddings, got.embeddings);
        }
        Ok(all)
    }

    /// The nearest so many records, with their texts and vectors.
    pub(super) async fn nearest(
        &self,
        vector: &[f32],
        filter: Option<Value>,
        most: usize,
    ) -> Result<QueryResult, Failure> {
        let options = QueryOptions {
            query_embeddings: Some(vec![vector.to_vec()]),
            n_results: Some(most),
            where_metadata: filter,
            include: Some(vec!["documents", "embeddings"]),
            ..QueryOptions::default()
        };
        reading(self.0.query(options, None)).await
    }

    pub(super) async fn upsert(&self, entries: CollectionEntries<'_>) -> Result<(), Failure> {
        writing(self.0.upsert(entries, None)).await.map(|_| ())
    }

    pub(super) async fn delete_by_ids(&self, ids: &[String]) -> Result<(), Failure> {
        for batch in ids.chunks(BATCH) {
            let batch = batch.iter().map(String::as_str).collect();
            writing(self.0.delete(Some(batch), None, None)).await?;
        }
        Ok(())
    }

    pub(super) async fn delete(&self, filter: Value) -> Result<(), Failure> {
        writing(self.0.delete(None, Some(filter), None)).await
    }
}

/// What a new chunk collection is to know of itself. The metric is cosine; twice the default of
/// records are looked at, as the tenth nearest is missed less often then.
pub(super) fn properties_of_chunks(embedder: &str) -> Value {
    json!({ "hnsw:space": "cosine", "hnsw:search_ef": 200, EMBEDDER: embedder })
}

pub(super) async fn reading<T, E: Display>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    in_time(TIME_TO_READ, call).await
}

pub(super) async fn writing<T, E: Display>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    in_time(TIME_TO_WRITE, call).await
}

async fn in_time<T, E: Display>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| Failure::of_call(&error)),
        Err(_) => Err(Failure::Slow),
    }
}

fn extend<T>(all: &mut Option<Vec<T>>, more: Option<Vec<T>>) {
    all.get_or_insert_default().extend(more.unwrap_or_default());
}
