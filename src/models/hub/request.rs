//! Asks the hub for a file. The hub answers with a redirect to where the bytes lie, and only that
//! first answer says what the file must be (`x-linked-size`, `x-linked-etag`), so redirects are
//! followed by hand. The token goes to the endpoint itself and nowhere else.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url, redirect};

use super::PAUSE_BEFORE_RETRY;
use super::part::Part;
use crate::models::ModelError;
use crate::models::source::HubFile;

const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const MAX_REDIRECTS: usize = 6;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence for this long counts as a broken connection.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// A model hub that can be asked for files.
pub(in crate::models) struct Hub {
    client: Client,
    endpoint: Url,
    token: Option<HeaderValue>,
    pub(super) pause_before_retry: Duration,
}

/// What a file must be, as far as the hub says.
#[derive(Clone, Debug, Default)]
pub(super) struct Promise {
    pub(super) bytes: Option<u64>,
    /// In lower-case hexadecimal.
    pub(super) sha256: Option<String>,
}

/// The hub's answer, read as far as its headers.
pub(super) enum Answer {
    /// The file from its beginning.
    Whole(Response),
    /// The file from byte `start` on.
    Rest { response: Response, start: u64 },
    /// The part is longer than the file.
    PastTheEnd,
}

impl Hub {
    pub(in crate::models) fn new(
        endpoint: &str,
        token: Option<String>,
    ) -> Result<Self, ModelError> {
        let bad =
            |problem: String| ModelError::BadEndpoint { endpoint: endpoint.to_owned(), problem };
        let url = Url::parse(endpoint).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it begins with neither https:// nor http://".to_owned()));
        }
        let token = token
            .filter(|token| !token.trim().is_empty())
            .map(|token| bearer(token.trim()))
            .transpose()
            .map_err(|_| bad("its token holds characters that no header may".to_owned()))?;
        // Someone else may have installed a provider before us; theirs will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("rhapsode/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|error| bad(reason(error)))?;
        Ok(Self { client, endpoint: url, token, pause_before_retry: PAUSE_BEFORE_RETRY })
    }

    pub(super) fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }

    /// Where the file is asked for; the only address shown to people, as those behind redirects
    /// carry signatures.
    pub(super) fn address(&self, file: &HubFile) -> Url {
        let mut url = self.endpoint.clone();
        // An http(s) address can always hold a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(file.address_parts());
        }
        url
    }

    /// Asks for the bytes that `part` lacks.
    pub(super) async fn ask(
        &self,
        file: &HubFile,
        part: &Part,
    ) -> Result<(Answer, Promise), ModelError> {
        let address = self.address(file);
        let mut url = address.clone();
        let mut promise = Promise::default();
        for _ in 0..MAX_REDIRECTS {
            let response = self.send(&url, &address, part).await?;
            let at_hub = url.origin() == self.endpoint.origin();
            if at_hub {
                promise.learn(response.headers());
            }
            if !response.status().is_redirection() {
                let answer = self.read(response, &address, file, part, at_hub)?;
                promise.learn_size(&answer);
                return Ok((answer, promise));
            }
            url = next(&url, &response).map_err(|problem| untrusted(&address, problem))?;
        }
        Err(untrusted(&address, "it redirects without end".to_owned()))
    }

    async fn send(&self, url: &Url, address: &Url, part: &Part) -> Result<Response, ModelError> {
        let mut request = self
            .client
            .get(url.clone())
            // Ranges count bytes of the file, not of a compressed form of it.
            .header(header::ACCEPT_ENCODING, "identity")
            .headers(part.range_headers());
        if let Some(token) = &self.token
            && url.origin() == self.endpoint.origin()
        {
            request = request.header(header::AUTHORIZATION, token.clone());
        }
        request.send().await.map_err(|error| ModelError::Unreachable {
            url: address.to_string(),
            problem: reason(error),
        })
    }

    fn read(
        &self,
        response: Response,
        address: &Url,
        file: &HubFile,
        part: &Part,
        at_hub: bool,
    ) -> Result<Answer, ModelError> {
        match response.status() {
            StatusCode::OK => Ok(Answer::Whole(response)),
            StatusCode::PARTIAL_CONTENT if part.len() > 0 => {
                let (start, _) = content_range(response.headers()).ok_or_else(|| {
                    untrusted(address, "a part of the file, without saying which".to_owned())
                })?;
                Ok(Answer::Rest { response, start })
            }
            StatusCode::RANGE_NOT_SATISFIABLE if part.len() > 0 => Ok(Answer::PastTheEnd),
            status => Err(ModelError::Refused {
                url: address.to_string(),
                status: status.as_u16(),
                advice: self.advice(status, file, at_hub),
            }),
        }
    }

    fn advice(&self, status: StatusCode, file: &HubFile, at_hub: bool) -> String {
        let page =
            format!("{}/{}", self.endpoint.as_str().trim_end_matches('/'), file.repository());
        match status {
            _ if !at_hub => {
                "the place the hub points to does not hand it out; pull again later".into()
            }
            StatusCode::UNAUTHORIZED if self.token.is_some() => {
                "the token is not accepted; check HF_TOKEN".into()
            }
            StatusCode::UNAUTHORIZED => format!(
                "there is no public repository of this name. Check the spelling at {page}; \
                 for a private or gated one set HF_TOKEN"
            ),
            StatusCode::FORBIDDEN => format!(
                "this account may not read it. Accept the model's terms at {page}, and set \
                 HF_TOKEN to a token that may read it"
            ),
            StatusCode::NOT_FOUND => {
                format!("there is no such file or revision. See what there is at {page}/tree/main")
            }
            StatusCode::TOO_MANY_REQUESTS => "too many requests; pull again in a while".into(),
            status if status.is_server_error() => {
                "the hub has trouble of its own; pull again later".into()
            }
            _ => "this is not an answer a model hub gives; check HF_ENDPOINT".into(),
        }
    }
}

impl Promise {
    fn learn(&mut self, headers: &HeaderMap) {
        if let Some(bytes) = text(headers, &LINKED_SIZE).and_then(|text| text.parse().ok()) {
            self.bytes = Some(bytes);
        }
        let sha256 = [&LINKED_ETAG, &header::ETAG]
            .into_iter()
            .filter_map(|name| text(headers, name))
            .find_map(sha256_in_etag);
        if sha256.is_some() {
            self.sha256 = sha256;
        }
    }

    /// Where the hub named no size, that of the answer itself is the next best.
    fn learn_size(&mut self, answer: &Answer) {
        self.bytes = self.bytes.or_else(|| answer.total());
    }
}

impl Answer {
    /// Size of the whole file, as this answer has it.
    pub(super) fn total(&self) -> Option<u64> {
        match self {
            Self::Whole(response) => response.content_length(),
            Self::Rest { response, .. } => content_range(response.headers())?.1,
            Self::PastTheEnd => None,
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, header::InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn next(from: &Url, response: &Response) -> Result<Url, String> {
    let location = text(response.headers(), &header::LOCATION)
        .ok_or_else(|| format!("{} without a place to go to", response.status()))?;
    let to = from.join(location).map_err(|error| format!("a redirect to nowhere: {error}"))?;
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err("it redirects from https to an unencrypted address".to_owned());
    }
    Ok(to)
}

fn untrusted(address: &Url, problem: String) -> ModelError {
    ModelError::BadAnswer { url: address.to_string(), problem }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The hub's entity tags of large files are their SHA-256; others are something else.
fn sha256_in_etag(etag: &str) -> Option<String> {
    let etag = etag.trim_start_matches("W/").trim_matches('"');
    let is_sha256 = etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sha256.then(|| etag.to_ascii_lowercase())
}

/// `bytes 5-9/10` → (5, Some(10)); RFC 9110, section 14.4.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = text(headers, &header::CONTENT_RANGE)?.strip_prefix("bytes ")?;
    let (range, total) = range.split_once('/')?;
    let (start, _end) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

/// An error with its causes and without its address, which may carry a signature.
pub(super) fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
