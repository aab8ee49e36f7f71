//! Speaks HTTP with the provider. The key goes to the base URL and nowhere else: no redirect is
//! followed.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, Url, redirect};
use serde_json::Value;

use super::failure::{self, Failure};
use super::frames::Framing;
use super::language::Call;
use super::retry::retry_after;
use super::{Provider, RemoteSettings};
use crate::clock::Clock;
use crate::config::Secret;
use crate::engine::EngineError;

/// Bytes of an error, or of a probe's answer, that are read.
const LONGEST_SHORT_ANSWER: usize = 1 << 20;
/// How long the rest of an error may take.
const TIME_FOR_AN_ERROR: Duration = Duration::from_secs(10);

pub(super) struct Caller {
    client: Client,
    base: String,
    key: Option<(HeaderName, HeaderValue)>,
    secret: Option<Secret>,
    clock: Clock,
}

impl Caller {
    pub(super) fn new(settings: &RemoteSettings, clock: Clock) -> Result<Self, EngineError> {
        let unfit = |what: &str, why: String| {
            EngineError::Unavailable(format!("{what} can't be used: {why}"))
        };
        let base = settings.base_url.trim_end_matches('/').to_owned();
        Url::parse(&base).map_err(|error| unfit("LLM_BASE_URL", error.to_string()))?;
        let key = settings.api_key.as_ref().map(|key| header(settings.provider, key)).transpose();
        let key = key.map_err(|()| unfit("LLM_API_KEY", "no header may hold it".to_owned()))?;
        // Someone else may have installed a provider before us; theirs will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("rhapsode/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(settings.connect_timeout)
            .build()
            .map_err(|error| unfit("the network", error.to_string()))?;
        Ok(Self { client, base, key, secret: settings.api_key.clone(), clock })
    }

    /// Sends a request for an answer that comes in frames; returns when it begins.
    pub(super) async fn ask(&self, call: &Call) -> Result<Response, Refusal> {
        let accepted = match call.framing {
            Framing::Events => "text/event-stream",
            Framing::Lines => "application/x-ndjson, application/json",
        };
        let request = self
            .client
            .post(format!("{}/{}", self.base, call.path))
            .header(ACCEPT, accepted)
            .header(CONTENT_TYPE, "application/json")
            // Another Rhapsode shall not remember once more what is remembered here.
            .header("x-memory", "off")
            .body(call.body.to_string());
        let response = self.send(request).await?;
        if call.framing == Framing::Events {
            expect_events(&response)?;
        }
        Ok(response)
    }

    /// A short JSON answer.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Refusal> {
        let response = self.send(self.client.get(format!("{}/{path}", self.base))).await?;
        let body = short_body(response).await;
        let parsed = serde_json::from_slice(&body);
        Ok(parsed.map_err(|_| Failure::nonsense("a list of models that can't be read"))?)
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<Response, Refusal> {
        if let Some((name, key)) = &self.key {
            request = request.header(name.clone(), key.clone());
        }
        let response = request.send().await.map_err(Failure::connection)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let after = retry_after(response.headers(), self.clock.now());
        let body = tokio::time::timeout(TIME_FOR_AN_ERROR, short_body(response)).await;
        let body = body.unwrap_or_default();
        let said = failure::said(&body, self.secret.as_ref());
        let failure = Failure::of_status(status.as_u16(), &said, after);
        let error = serde_json::from_slice(&body).unwrap_or_default();
        Err(Refusal { status: Some(status.as_u16()), error, failure })
    }

    /// The failure without the key, wherever a server put it.
    pub(super) fn without_key(&self, error: EngineError) -> EngineError {
        let clean = |text: String| match &self.secret {
            Some(key) => text.replace(key.expose(), "****"),
            None => text,
        };
        match error {
            EngineError::Refused { status, message, retry_after } => {
                EngineError::Refused { status, message: clean(message), retry_after }
            }
            EngineError::Unreachable(text) => EngineError::Unreachable(clean(text)),
            EngineError::BadAnswer(text) => EngineError::BadAnswer(clean(text)),
            other => other,
        }
    }
}

/// A request that got no answer.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What the server answered with, if it did.
    pub(super) status: Option<u16>,
    /// Its error; null if that is no JSON.
    pub(super) error: Value,
    pub(super) failure: Failure,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { status: None, error: Value::Null, failure }
    }
}

fn header(provider: Provider, key: &Secret) -> Result<(HeaderName, HeaderValue), ()> {
    let (name, value) = match provider {
        Provider::Gemini => (HeaderName::from_static("x-goog-api-key"), key.expose().to_owned()),
        Provider::OpenAi | Provider::Ollama => (AUTHORIZATION, format!("Bearer {}", key.expose())),
    };
    let mut value = HeaderValue::try_from(value).map_err(|_| ())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// A page for people, or an answer in one piece, would look like an answer that says nothing.
fn expect_events(response: &Response) -> Result<(), Failure> {
    let Some(kind) = response.headers().get(CONTENT_TYPE) else { return Ok(()) };
    let kind = kind.to_str().unwrap_or("unreadable");
    if kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream") {
        return Ok(());
    }
    let shown: String = kind.chars().take(60).collect();
    Err(Failure::nonsense(format!("{shown} instead of a stream of events")))
}

/// As much of a body as is worth reading; what there is when the connection breaks.
async fn short_body(response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_SHORT_ANSWER {
            break;
        }
    }
    body
}
