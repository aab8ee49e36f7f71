//! A connection to the server: it is alive, tenant and database are there, and which collections it
//! has is known.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chromadb::client::{ChromaAuthMethod, ChromaClient, ChromaClientOptions, ChromaTokenHeader};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, redirect};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::ChromaSettings;
use super::collection::{Collection, properties_of_chunks, reading, writing};
use super::failure::Failure;
use super::records::object;
use crate::config::TokenHeader;

/// How long connecting may take, waiting for others who connect included.
pub(super) const TIME_TO_CONNECT: Duration = Duration::from_secs(10);
/// Bytes of an error that are read.
const LONGEST_ERROR: usize = 1 << 16;
/// Longest name of a collection.
const LONGEST_NAME: usize = 512;

pub(super) struct Session {
    client: ChromaClient,
    chunks_name: String,
    documents_name: String,
    /// Collections that were seen.
    chunks: Mutex<Option<Arc<Collection>>>,
    documents: Mutex<Option<Arc<Collection>>>,
}

impl Session {
    pub(super) async fn connect(settings: &ChromaSettings) -> Result<Self, Failure> {
        Door::new(settings)?.prepare(settings).await?;
        let options = ChromaClientOptions {
            url: Some(settings.url.clone()),
            auth: authentication(settings),
            database: database_path(settings),
        };
        // The crate builds a hundred HTTP clients, which takes too long for a thread that others
        // wait for.
        let runtime = tokio::runtime::Handle::current();
        let building = move || runtime.block_on(reading(ChromaClient::new(options)));
        let client = tokio::task::spawn_blocking(building)
            .await
            .map_err(|error| Failure::Broken(error.to_string()))??;
        Ok(Self {
            client,
            chunks_name: settings.collection.clone(),
            documents_name: documents_name(&settings.collection),
            chunks: Mutex::default(),
            documents: Mutex::default(),
        })
    }

    /// The collection of chunks, if there is one.
    pub(super) async fn chunks(&self) -> Result<Option<Arc<Collection>>, Failure> {
        match known(&self.chunks) {
            Some(collection) => Ok(Some(collection)),
            None => self.chunks_now().await,
        }
    }

    /// The same, asking the server whether it is still there.
    pub(super) async fn chunks_now(&self) -> Result<Option<Arc<Collection>>, Failure> {
        let collection = self.find(&self.chunks_name).await?;
        if collection.as_ref().is_some_and(|collection| collection.embedder().is_none()) {
            return Err(foreign(&self.chunks_name));
        }
        Ok(collection.map(|collection| remember(&self.chunks, collection)))
    }

    /// The collection of chunks whose vectors this embedder makes; makes it if there is none.
    pub(super) async fn chunks_of(&self, embedder: &str) -> Result<Arc<Collection>, Failure> {
        if let Some(collection) = known(&self.chunks) {
            expect_embedder(&collection, embedder)?;
            return Ok(collection);
        }
        // An existing collection keeps what it knows of itself, so that the first one decides.
        let properties = object(properties_of_chunks(embedder));
        let call = self.client.get_or_create_collection(&self.chunks_name, Some(properties));
        let collection = Collection::new(writing(call).await?);
        if collection.embedder().is_none() {
            return Err(foreign(&self.chunks_name));
        }
        expect_embedder(&collection, embedder)?;
        Ok(remember(&self.chunks, collection))
    }

    /// The collection of the published documents' records, if there is one.
    pub(super) async fn documents(&self) -> Result<Option<Arc<Collection>>, Failure> {
        if let Some(collection) = known(&self.documents) {
            return Ok(Some(collection));
        }
        let collection = self.find(&self.documents_name).await?;
        Ok(collection.map(|collection| remember(&self.documents, collection)))
    }

    /// The same; makes it if there is none.
    pub(super) async fn documents_or_new(&self) -> Result<Arc<Collection>, Failure> {
        if let Some(collection) = known(&self.documents) {
            return Ok(collection);
        }
        let call = self.client.get_or_create_collection(&self.documents_name, None);
        let collection = Collection::new(writing(call).await?);
        Ok(remember(&self.documents, collection))
    }

    async fn find(&self, name: &str) -> Result<Option<Collection>, Failure> {
        match reading(self.client.get_collection(name)).await {
            Ok(collection) => Ok(Some(Collection::new(collection))),
            Err(Failure::Gone) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

pub(super) fn expect_embedder(collection: &Collection, ours: &str) -> Result<(), Failure> {
    match collection.embedder() {
        Some(stored) if stored != ours => {
            Err(Failure::OtherEmbedder { stored: stored.to_owned(), ours: ours.to_owned() })
        }
        _ => Ok(()),
    }
}

fn known(collection: &Mutex<Option<Arc<Collection>>>) -> Option<Arc<Collection>> {
    collection.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn remember(known: &Mutex<Option<Arc<Collection>>>, collection: Collection) -> Arc<Collection> {
    let collection = Arc::new(collection);
    *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&collection));
    collection
}

fn foreign(name: &str) -> Failure {
    Failure::Damaged(format!(
        "The ChromaDB collection {name:?} was not made by this server. Set \
         ARCHIVE_COLLECTION_NAME to a name that nobody else uses, or delete the collection."
    ))
}

/// The crate knows the tenant of the token's identity only, and puts the database's name into paths
/// as it is: `…/tenants/IDENTITY/databases/DATABASE/collections`. URLs lose their dot segments before
/// they are sent (RFC 3986, 5.2.4), so this name leads to the tenant that was asked for, whatever the
/// identity's is. Tenant and database are names of letters, digits, dots, hyphens and underscores
/// without two dots in a row; `config` sees to it.
fn database_path(settings: &ChromaSettings) -> String {
    format!("../../{}/databases/{}", settings.tenant, settings.database)
}

/// The name beside the chunks' that the documents' records are found by; of long names the end
/// gives way to a hash, as they would grow too long.
fn documents_name(collection: &str) -> String {
    let name = format!("{collection}-documents");
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let digest = Sha256::digest(collection.as_bytes());
    let hash = digest.iter().take(8).fold(0_u64, |hash, &byte| hash << 8 | u64::from(byte));
    let start: String = collection.chars().take(LONGEST_NAME / 2).collect();
    format!("{start}-{hash:016x}-documents")
}

fn authentication(settings: &ChromaSettings) -> ChromaAuthMethod {
    let Some(token) = &settings.token else { return ChromaAuthMethod::None };
    let header = match settings.token_header {
        TokenHeader::Authorization => ChromaTokenHeader::Authorization,
        TokenHeader::XChromaToken => ChromaTokenHeader::XChromaToken,
    };
    ChromaAuthMethod::TokenAuth { token: token.expose().to_owned(), header }
}

/// What the crate can't do, in requests of our own. No redirect is followed, so that a token goes
/// nowhere but to the server.
struct Door {
    client: Client,
    base: String,
    token: Option<(HeaderName, HeaderValue)>,
}

impl Door {
    fn new(settings: &ChromaSettings) -> Result<Self, Failure> {
        // Someone else may have installed a provider before us; theirs will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("rhapsode/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .timeout(TIME_TO_CONNECT)
            .build()
            .map_err(Failure::of_request)?;
        Ok(Self { client, base: format!("{}/api/v2", settings.url), token: header(settings)? })
    }

    /// Whether the server is alive, and tenant and database are there; they are made otherwise.
    async fn prepare(&self, settings: &ChromaSettings) -> Result<(), Failure> {
        let ChromaSettings { tenant, database, .. } = settings;
        self.call(Method::GET, "/heartbeat", None).await?;
        let databases = format!("/tenants/{tenant}/databases");
        match self.call(Method::GET, &format!("{databases}/{database}"), None).await {
            Err(Failure::Gone) => {}
            other => return other,
        }
        self.call(Method::POST, "/tenants", Some(tenant)).await?;
        self.call(Method::POST, &databases, Some(database)).await
    }

    /// Gets something, or makes something of this name, which may be there already.
    async fn call(&self, method: Method, path: &str, name: Option<&str>) -> Result<(), Failure> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some((header, token)) = &self.token {
            request = request.header(header.clone(), token.clone());
        }
        if let Some(name) = name {
            let body = json!({ "name": name }).to_string();
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(Failure::of_request)?;
        let status = response.status();
        if status.is_success() || status == StatusCode::CONFLICT {
            return Ok(());
        }
        if status.is_redirection() {
            return Err(Failure::NoChroma(format!("HTTP {}", status.as_u16())));
        }
        Err(Failure::of_status(status.as_u16(), &error(response).await))
    }
}

fn header(settings: &ChromaSettings) -> Result<Option<(HeaderName, HeaderValue)>, Failure> {
    let Some(token) = &settings.token else { return Ok(None) };
    let (name, value) = match settings.token_header {
        TokenHeader::Authorization => (AUTHORIZATION, format!("Bearer {}", token.expose())),
        TokenHeader::XChromaToken => {
            (HeaderName::from_static("x-chroma-token"), token.expose().to_owned())
        }
    };
    let mut value = HeaderValue::try_from(value).map_err(|_| Failure::Denied)?;
    value.set_sensitive(true);
    Ok(Some((name, value)))
}

/// As much of an error as is worth reading; what there is when the connection breaks.
async fn error(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_ERROR {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_documents_collections_differ_and_are_never_too_long() {
        assert_eq!(documents_name("story_archive"), "story_archive-documents");
        let (a, b) = ("x".repeat(512), "x".repeat(511) + "y");
        assert_ne!(documents_name(&a), documents_name(&b));
        for name in [a, b, "x".repeat(502), "x".repeat(503)] {
            assert!(documents_name(&name).len() <= LONGEST_NAME);
        }
    }
}
