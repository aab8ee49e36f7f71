//! The unfinished file of a pull, `NAME.part`, and beside it `NAME.part.json`, which says of what it
//! is the beginning. Only where both sides agree on that are bytes appended to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::Response;
use reqwest::header::{self, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;

use super::request::{Answer, Promise, reason};
use crate::models::source::HubFile;
use crate::models::{ModelError, Progress};

pub(super) struct Part {
    path: PathBuf,
    label_path: PathBuf,
    label: Label,
    len: u64,
}

/// Of what a part is the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Label {
    /// As the person named it, revision included.
    source: String,
    /// Strong entity tag of where the bytes lay.
    etag: Option<String>,
    sha256: Option<String>,
    bytes: Option<u64>,
}

/// What came of receiving.
pub(super) enum Received {
    Everything,
    /// What the server has is not what the part is the beginning of; says why.
    NotTheSame(&'static str),
    /// The connection failed; what came is kept.
    BrokeOff(String),
}

impl Part {
    /// Takes up what an earlier pull of the same file left, and clears away what cannot be gone on
    /// with.
    pub(super) fn open(models_dir: &Path, file: &HubFile) -> Result<Self, ModelError> {
        let path = models_dir.join(format!("{}.part", file.file_name()));
        let label_path = models_dir.join(format!("{}.part.json", file.file_name()));
        let label = fs::read(&label_path)
            .ok()
            .and_then(|json| serde_json::from_slice::<Label>(&json).ok())
            .filter(|label| label.source == file.to_string() && label.can_be_recognised());
        let len = path.metadata().map_or(0, |metadata| metadata.len());
        let fresh = Label { source: file.to_string(), ..Label::default() };
        let mut part = Self { path, label_path, label: label.clone().unwrap_or(fresh), len };
        if label.is_none() {
            part.clear()?;
        }
        Ok(part)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are here.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Asks for the bytes after those that are here, and for all if the file has changed since.
    pub(super) fn range_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.len == 0 {
            return headers;
        }
        if let Ok(range) = HeaderValue::try_from(format!("bytes={}-", self.len)) {
            headers.insert(header::RANGE, range);
        }
        if let Some(etag) = self.label.etag.as_ref().and_then(|etag| etag.parse().ok()) {
            headers.insert(header::IF_RANGE, etag);
        }
        headers
    }

    /// Whether a later answer can be told to continue this part.
    pub(super) fn can_go_on(&self) -> bool {
        self.label.can_be_recognised()
    }

    /// Forgets what is here.
    pub(super) fn clear(&mut self) -> Result<(), ModelError> {
        self.discard()?;
        self.len = 0;
        self.label = Label { source: std::mem::take(&mut self.label.source), ..Label::default() };
        Ok(())
    }

    /// Removes both files.
    pub(super) fn discard(&self) -> Result<(), ModelError> {
        for path in [&self.path, &self.label_path] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ModelError::file("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives the whole and checked file its name.
    pub(super) fn finish(self, target: &Path) -> Result<(), ModelError> {
        fs::rename(&self.path, target).map_err(ModelError::file("write", target))?;
        self.discard()
    }

    /// Receives what the answer holds.
    pub(super) async fn receive(
        &mut self,
        answer: Answer,
        promise: &Promise,
        progress: &dyn Progress,
    ) -> Result<Received, ModelError> {
        let whole = promise.bytes;
        if self.len > 0 {
            if self.label.contradicts(promise) {
                return Ok(Received::NotTheSame("The file has changed on the hub"));
            }
            // Nothing is missing but the check: the last pull ended just before it. Only where
            // the check can tell.
            if whole == Some(self.len) && promise.sha256.is_some() {
                return Ok(Received::Everything);
            }
        }
        let response = match answer {
            Answer::PastTheEnd => {
                return Ok(Received::NotTheSame("More is here than the hub has"));
            }
            Answer::Rest { start, .. } if start != self.len => {
                return Ok(Received::NotTheSame("The hub sends another part than asked for"));
            }
            Answer::Rest { response, .. } => response,
            Answer::Whole(response) => {
                if self.len > 0 {
                    progress.say("The hub sends the file from its beginning; starting over.");
                }
                self.begin(&response, promise)?;
                response
            }
        };
        self.append(response, whole, progress).await
    }

    /// Starts with nothing, and writes down of what.
    fn begin(&mut self, response: &Response, promise: &Promise) -> Result<(), ModelError> {
        self.clear()?;
        self.label.etag = response
            .headers()
            .get(header::ETAG)
            .and_then(|etag| etag.to_str().ok())
            // A weak tag (W/"…") does not promise the same bytes.
            .filter(|etag| etag.starts_with('"'))
            .map(str::to_owned);
        self.label.sha256.clone_from(&promise.sha256);
        self.label.bytes = promise.bytes;
        let json = serde_json::to_vec_pretty(&self.label).map_err(io::Error::from);
        json.and_then(|json| fs::write(&self.label_path, json))
            .map_err(ModelError::file("write", &self.label_path))
    }

    async fn append(
        &mut self,
        mut response: Response,
        whole: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<Received, ModelError> {
        let mut output = tokio::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.path)
            .await
            .map_err(ModelError::file("open", &self.path))?;
        let broken = loop {
            progress.bytes(self.len, whole);
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    output
                        .write_all(&chunk)
                        .await
                        .map_err(ModelError::file("write", &self.path))?;
                    self.len += chunk.len() as u64;
                }
                Ok(None) => break None,
                Err(error) => break Some(reason(error)),
            }
            if whole.is_some_and(|whole| self.len > whole) {
                break None;
            }
        };
        output.flush().await.map_err(ModelError::file("write", &self.path))?;
        output.sync_all().await.map_err(ModelError::file("write", &self.path))?;
        Ok(match broken {
            Some(problem) => Received::BrokeOff(problem),
            None if whole.is_some_and(|whole| self.len < whole) => {
                Received::BrokeOff("the connection ended too soon".to_owned())
            }
            // Too much is found by the check that follows.
            None => Received::Everything,
        })
    }
}

impl Label {
    /// Without either there is no telling whether a later answer continues this part.
    fn can_be_recognised(&self) -> bool {
        self.etag.is_some() || self.sha256.is_some()
    }

    /// Whether the hub now promises another file. Where it has stopped giving a checksum, the
    /// entity tag in `If-Range` decides.
    fn contradicts(&self, promise: &Promise) -> bool {
        let other_sha256 = match (&self.sha256, &promise.sha256) {
            (Some(ours), Some(theirs)) => ours != theirs,
            (Some(_), None) | (None, _) => self.etag.is_none(),
        };
        let other_size = matches!((self.bytes, promise.bytes), (Some(a), Some(b)) if a != b);
        other_sha256 || other_size
    }
}
