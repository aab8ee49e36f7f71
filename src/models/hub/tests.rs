//! The hub is played by a server on a free port, and the place it redirects to by another, so that
//! the two are different hosts to the client.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::models::verify::hexadecimal;

const FILE: &str = "hf:org/repo/deep/model.gguf";

/// Long enough to come in several chunks.
fn content() -> Bytes {
    (*b"GGUF").into_iter().chain((0..300_000_u32).map(|n| (n % 251) as u8)).collect()
}

fn sha256(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

/// What a server does with one request.
#[derive(Clone)]
enum Reply {
    /// Honours `Range` and `If-Range`.
    File {
        content: Bytes,
        etag: Option<&'static str>,
    },
    /// Honours neither.
    Whole(Bytes),
    /// Promises all and breaks off after `sent` bytes.
    Truncated {
        content: Bytes,
        etag: Option<&'static str>,
        sent: usize,
    },
    /// Answers a range with another one.
    WrongRange(Bytes),
    Redirect {
        to: String,
        bytes: Option<usize>,
        sha256: Option<String>,
    },
    Status(StatusCode),
}

/// A server that gives its replies in order and the last one for ever.
struct Server {
    origin: String,
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    task: JoinHandle<()>,
}

type Script = (Arc<Mutex<VecDeque<Reply>>>, Arc<Mutex<Vec<(String, HeaderMap)>>>);

impl Server {
    async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Script = (Arc::new(Mutex::new(replies.into_iter().collect())), seen.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(script);
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { origin, seen, task }
    }

    fn seen(&self) -> Vec<(String, HeaderMap)> {
        self.seen.lock().unwrap().clone()
    }

    /// The `Range` header of each request, in order.
    fn ranges(&self) -> Vec<Option<String>> {
        let range =
            |headers: &HeaderMap| Some(headers.get(header::RANGE)?.to_str().unwrap().to_owned());
        self.seen().iter().map(|(_, headers)| range(headers)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State((replies, seen)): State<Script>, request: Request) -> Response {
    let headers = request.headers().clone();
    seen.lock().unwrap().push((request.uri().path().to_owned(), headers.clone()));
    let reply = {
        let mut replies = replies.lock().unwrap();
        if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
    };
    match reply.unwrap() {
        Reply::File { content, etag } => file(content, etag, &headers),
        Reply::Whole(content) => content.into_response(),
        Reply::Truncated { content, etag, sent } => truncated(&content, etag, sent),
        Reply::WrongRange(content) => {
            partial(content.slice(7..), &format!("bytes 7-{}/{}", content.len() - 1, content.len()))
        }
        Reply::Redirect { to, bytes, sha256 } => redirect(&to, bytes, sha256),
        Reply::Status(status) => status.into_response(),
    }
}

fn file(content: Bytes, etag: Option<&'static str>, headers: &HeaderMap) -> Response {
    let start = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().unwrap().strip_prefix("bytes=")?.strip_suffix('-'))
        .map(|start| start.parse::<usize>().unwrap());
    let same = headers.get(header::IF_RANGE).is_none_or(|tag| Some(tag.to_str().unwrap()) == etag);
    let mut response = match start {
        Some(start) if same && start >= content.len() => {
            return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        }
        Some(start) if same => {
            let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
            partial(content.slice(start..), &range)
        }
        _ => content.into_response(),
    };
    if let Some(etag) = etag {
        response.headers_mut().insert(header::ETAG, HeaderValue::from_static(etag));
    }
    response
}

fn partial(content: Bytes, range: &str) -> Response {
    (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, range)], content).into_response()
}

fn truncated(content: &Bytes, etag: Option<&'static str>, sent: usize) -> Response {
    let start = content.slice(..sent);
    let body = async_stream::stream! {
        yield Ok(start);
        // Gives the server the moment in which it sends what it has.
        tokio::task::yield_now().await;
        yield Err(std::io::Error::other("the cable was pulled"));
    };
    let mut response = Body::from_stream(body).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, content.len().into());
    if let Some(etag) = etag {
        response.headers_mut().insert(header::ETAG, HeaderValue::from_static(etag));
    }
    response
}

fn redirect(to: &str, bytes: Option<usize>, sha256: Option<String>) -> Response {
    let mut response = (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
    let headers = response.headers_mut();
    if let Some(bytes) = bytes {
        headers.insert("x-linked-size", bytes.into());
    }
    if let Some(sha256) = sha256 {
        headers.insert("x-linked-etag", format!("\"{sha256}\"").parse().unwrap());
    }
    response
}

/// Notes what is said.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>, Mutex<u64>);

impl Progress for Notes {
    fn say(&self, sentence: &str) {
        self.0.lock().unwrap().push(sentence.to_owned());
    }

    fn bytes(&self, done: u64, _total: Option<u64>) {
        *self.1.lock().unwrap() = done;
    }

    fn finished(&self) {}
}

/// A hub that redirects to a store, and a models directory.
struct Bench {
    hub: Server,
    store: Server,
    folder: tempfile::TempDir,
    notes: Notes,
}

impl Bench {
    /// The hub tells size and SHA-256 of [`content`].
    async fn with_store(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::new(replies, Some(content().len()), Some(sha256(&content()))).await
    }

    async fn new(
        replies: impl IntoIterator<Item = Reply>,
        bytes: Option<usize>,
        sha256: Option<String>,
    ) -> Self {
        let store = Server::start(replies).await;
        let to = format!("{}/store/blob?signature=secret", store.origin);
        let hub = Server::start([Reply::Redirect { to, bytes, sha256 }]).await;
        Self { hub, store, folder: tempfile::tempdir().unwrap(), notes: Notes::default() }
    }

    async fn pull(&self) -> Result<Pulled, ModelError> {
        self.pull_as(None).await
    }

    async fn pull_as(&self, token: Option<&str>) -> Result<Pulled, ModelError> {
        let mut hub = Hub::new(&self.hub.origin, token.map(str::to_owned)).unwrap();
        hub.pause_before_retry = Duration::ZERO;
        let workspace = Workspace::enter(self.folder.path(), &self.notes).await.unwrap();
        hub.pull(&FILE.parse().unwrap(), &workspace, &self.notes).await
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("model.gguf")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".pull.lock")
            .collect();
        names.sort();
        names
    }

    fn said(&self, words: &str) -> bool {
        self.notes.0.lock().unwrap().iter().any(|sentence| sentence.contains(words))
    }

    fn assert_fetched(&self, pulled: &Pulled) {
        assert_eq!(pulled.outcome, Outcome::Fetched);
        assert_eq!(pulled.path, self.target());
        assert!(fs::read(self.target()).unwrap() == content(), "the file is not what was sent");
        assert_eq!(self.names(), ["model.gguf"]);
        assert_eq!(*self.notes.1.lock().unwrap(), content().len() as u64);
    }
}

fn good() -> Reply {
    Reply::File { content: content(), etag: Some("\"v1\"") }
}

fn cut(sent: usize) -> Reply {
    Reply::Truncated { content: content(), etag: Some("\"v1\""), sent }
}

#[tokio::test]
async fn a_file_comes_by_redirect_and_the_token_stays_at_the_hub() {
    let bench = Bench::with_store([good()]).await;
    let pulled = bench.pull_as(Some("hf_secret")).await.unwrap();
    bench.assert_fetched(&pulled);
    assert_eq!(pulled.checksum, Checksum::Hub);

    let (path, at_hub) = bench.hub.seen().remove(0);
    assert_eq!(path, "/org/repo/resolve/main/deep/model.gguf");
    assert_eq!(at_hub[header::AUTHORIZATION], "Bearer hf_secret");
    let (path, at_store) = bench.store.seen().remove(0);
    assert_eq!(path, "/store/blob");
    assert!(!at_store.contains_key(header::AUTHORIZATION));
}

#[tokio::test]
async fn a_mirror_may_live_below_a_path() {
    let bench = Bench::with_store([good()]).await;
    let endpoint = format!("{}/mirror/", bench.hub.origin);
    let hub = Hub::new(&endpoint, None).unwrap();
    let workspace = Workspace::enter(bench.folder.path(), &bench.notes).await.unwrap();
    let file = "hf:org/repo/model.gguf@refs/pr/1".parse().unwrap();
    let pulled = hub.pull(&file, &workspace, &bench.notes).await.unwrap();
    drop(workspace);
    bench.assert_fetched(&pulled);
    assert_eq!(bench.hub.seen()[0].0, "/mirror/org/repo/resolve/refs%2Fpr%2F1/model.gguf");
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_where_it_broke() {
    let bench = Bench::with_store([cut(100_000), good()]).await;
    let pulled = bench.pull().await.unwrap();
    bench.assert_fetched(&pulled);
    assert_eq!(bench.store.ranges(), [None, Some("bytes=100000-".to_owned())]);
    assert_eq!(bench.store.seen()[1].1[header::IF_RANGE], "\"v1\"");
}

#[tokio::test]
async fn a_second_pull_goes_on_where_the_first_gave_up() {
    let unavailable = Reply::Status(StatusCode::SERVICE_UNAVAILABLE);
    let bench = Bench::with_store([cut(100_000), unavailable, good()]).await;
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Refused { status: 503, .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(bench.names(), ["model.gguf.part", "model.gguf.part.json"]);

    let pulled = bench.pull().await.unwrap();
    bench.assert_fetched(&pulled);
    assert_eq!(bench.store.ranges()[2].as_deref(), Some("bytes=100000-"));
    assert!(bench.said("100000 bytes are here from an earlier pull"));
}

#[tokio::test]
async fn a_connection_that_never_gets_further_is_given_up() {
    let bench = Bench::with_store([cut(100_000), cut(0)]).await;
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Interrupted { .. }), "{error}");
    assert!(!bench.target().exists());
}

#[tokio::test]
async fn a_server_that_ignores_ranges_starts_over() {
    let bench = Bench::with_store([cut(100_000), Reply::Whole(content())]).await;
    let pulled = bench.pull().await.unwrap();
    bench.assert_fetched(&pulled);
    assert!(bench.said("starting over"));
}

#[tokio::test]
async fn an_unasked_range_is_not_appended() {
    let bench = Bench::with_store([cut(100_000), Reply::WrongRange(content()), good()]).await;
    let pulled = bench.pull().await.unwrap();
    bench.assert_fetched(&pulled);
    assert_eq!(bench.store.ranges()[2], None);
}

#[tokio::test]
async fn a_file_without_tag_or_checksum_is_never_taken_up() {
    let cut = Reply::Truncated { content: content(), etag: None, sent: 100_000 };
    let plain = Reply::File { content: content(), etag: None };
    let bench = Bench::new([cut, plain], None, None).await;
    let pulled = bench.pull().await.unwrap();
    bench.assert_fetched(&pulled);
    assert_eq!(bench.store.ranges(), [None, None]);
    assert_eq!(pulled.checksum, Checksum::NotGiven);
    assert!(bench.said("gives no checksum"));
}

#[tokio::test]
async fn a_part_of_a_file_that_changed_is_thrown_away() {
    let bench = Bench::with_store([good()]).await;
    let part = bench.folder.path().join("model.gguf.part");
    fs::write(&part, "GGUF of old").unwrap();
    let label = format!(r#"{{"source":"{FILE}","etag":null,"sha256":"{}"}}"#, sha256(b"old"));
    fs::write(part.with_extension("part.json"), label).unwrap();
    let pulled = bench.pull().await.unwrap();
    bench.assert_fetched(&pulled);
    assert!(bench.said("has changed on the hub"));
}

#[tokio::test]
async fn a_whole_part_needs_only_the_check() {
    let bench = Bench::with_store([good()]).await;
    let part = bench.folder.path().join("model.gguf.part");
    fs::write(&part, content()).unwrap();
    let label = format!(r#"{{"source":"{FILE}","sha256":"{}"}}"#, sha256(&content()));
    fs::write(part.with_extension("part.json"), label).unwrap();
    assert_eq!(bench.pull().await.unwrap().outcome, Outcome::Fetched);
    assert_eq!(bench.names(), ["model.gguf"]);
}

#[tokio::test]
async fn wrong_content_leaves_no_file() {
    let mut other = content().to_vec();
    other[1000] ^= 1;
    let bench = Bench::with_store([Reply::File { content: other.into(), etag: None }]).await;
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Corrupt { .. }), "{error}");
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn a_wrong_length_leaves_no_file() {
    for len in [content().len() - 1, content().len() + 1] {
        let mut other = content().to_vec();
        other.resize(len, 0);
        let bench = Bench::with_store([Reply::Whole(other.into())]).await;
        bench.pull().await.unwrap_err();
        assert!(!bench.target().exists(), "{len}");
    }
}

#[tokio::test]
async fn a_web_page_is_not_taken_for_a_model() {
    let bench = Bench::new([Reply::Whole("<html>Please sign in".into())], None, None).await;
    let error = bench.pull().await.unwrap_err();
    assert!(error.to_string().contains("does not begin as a GGUF file"), "{error}");
    assert!(bench.names().is_empty());
}

#[tokio::test]
async fn a_file_that_is_there_is_recognised_and_another_is_kept() {
    let bench = Bench::with_store([good()]).await;
    bench.pull().await.unwrap();
    assert_eq!(bench.pull().await.unwrap().outcome, Outcome::AlreadyThere);

    fs::write(bench.target(), "GGUF, someone's own").unwrap();
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::Occupied { .. }), "{error}");
    assert_eq!(fs::read(bench.target()).unwrap(), b"GGUF, someone's own");
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    for (status, token, advice) in [
        (401, None, "set HF_TOKEN"),
        (401, Some("hf_wrong"), "the token is not accepted"),
        (403, None, "Accept the model's terms"),
        (404, None, "no such file or revision"),
        (429, None, "in a while"),
        (500, None, "trouble of its own"),
        (418, None, "check HF_ENDPOINT"),
    ] {
        let hub = Server::start([Reply::Status(StatusCode::from_u16(status).unwrap())]).await;
        let store = Server::start([]).await;
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench { hub, store, folder, notes: Notes::default() };
        let message = bench.pull_as(token).await.unwrap_err().to_string();
        assert!(message.contains(advice), "{status}: {message}");
        assert!(bench.names().is_empty());
    }
}

#[tokio::test]
async fn redirects_without_end_are_given_up() {
    let to = "/again".to_owned();
    let hub = Server::start([Reply::Redirect { to, bytes: None, sha256: None }]).await;
    let store = Server::start([]).await;
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench { hub, store, folder, notes: Notes::default() };
    let error = bench.pull().await.unwrap_err();
    assert!(matches!(error, ModelError::BadAnswer { .. }), "{error}");
}

#[test]
fn an_endpoint_must_be_a_web_address() {
    for endpoint in ["", "huggingface.co", "ftp://example.org"] {
        let error = Hub::new(endpoint, None).err().unwrap();
        assert!(matches!(error, ModelError::BadEndpoint { .. }), "{endpoint}: {error}");
    }
}
