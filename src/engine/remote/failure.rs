//! Why one try failed, in words that say what to do, and whether another is worth it.
//!
//! What a server says may quote the key or the prompt. It reaches the one who asked, with the key
//! taken out; logs and `/health` get the status and our own words only.

use std::error::Error as _;
use std::time::Duration;

use serde_json::Value;

use crate::config::Secret;
use crate::engine::EngineError;

/// Characters that are quoted of what a server says.
const LONGEST_QUOTE: usize = 300;

/// One try that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: EngineError,
    /// Whether the same request may do better.
    pub(super) again: bool,
    /// How long the provider asks to wait before that.
    pub(super) after: Option<Duration>,
}

impl Failure {
    /// Asking again changes nothing.
    pub(super) fn lasting(error: EngineError) -> Self {
        Self { error, again: false, after: None }
    }

    pub(super) fn passing(error: EngineError) -> Self {
        Self { error, again: true, after: None }
    }

    /// The answer isn't one.
    pub(super) fn nonsense(what: impl Into<String>) -> Self {
        Self::lasting(EngineError::BadAnswer(what.into()))
    }

    /// The connection couldn't be made, or broke.
    pub(super) fn connection(error: reqwest::Error) -> Self {
        let lasting = error.is_builder();
        let what = if error.is_connect() { "can't be reached" } else { "broke the connection" };
        let error = EngineError::Unreachable(format!(
            "the model's server {what} ({}); check that it runs, and LLM_BASE_URL",
            reason(error)
        ));
        Self { error, again: !lasting, after: None }
    }

    /// The server answered with an error, in a status or in the middle of its answer.
    pub(super) fn of_status(status: u16, said: &str, after: Option<Duration>) -> Self {
        let again = status == 429 || status == 408 || status >= 500;
        let error = if again && status != 429 {
            EngineError::Unreachable(format!(
                "the model's server failed with status {status}; try again later, or look at its log{}",
                quoted(said)
            ))
        } else {
            let message = format!("{}{}", advice(status), quoted(said));
            EngineError::Refused { status, message, retry_after: after }
        };
        Self { error, again, after }
    }
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (it says: {said})") }
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => "it points to another address; set LLM_BASE_URL to that one",
        401 | 403 => "check LLM_API_KEY (for gemini also GEMINI_API_KEY), and what it allows",
        402 => "the account has no credit",
        404 | 405 => "check LLM_MODEL and LLM_BASE_URL",
        413 => "send less, or lower LLM_N_CTX to the model's window",
        429 => "the limit of requests is reached; wait, or lower LLM_MAX_IN_FLIGHT",
        _ => "it doesn't accept what was asked; LLM_N_CTX may be larger than its model's window",
    }
}

/// The error without anything a server said.
pub(super) fn in_own_words(error: &EngineError) -> String {
    match error {
        EngineError::Refused { status, .. } => {
            let message = advice(*status).to_owned();
            EngineError::Refused { status: *status, message, retry_after: None }.to_string()
        }
        other => {
            let text = other.to_string();
            text.split_once(" (it says: ").map_or(text.clone(), |(own, _)| own.to_owned())
        }
    }
}

/// What a server's error says, without the key, line ends and the rest of a long page.
pub(super) fn said(body: &[u8], key: Option<&Secret>) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let text = message(&value).unwrap_or_default();
    clean(text, key)
}

pub(super) fn clean(text: &str, key: Option<&Secret>) -> String {
    let text = match key {
        Some(key) if !key.expose().is_empty() => text.replace(key.expose(), "****"),
        _ => text.to_owned(),
    };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().map(plain).take(LONGEST_QUOTE).collect();
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        short.push('…');
    }
    short.trim().to_owned()
}

/// The shapes that providers' errors have: `{error: {message}}`, `{error}`, `{message}`, `{detail}`,
/// FastAPI's `{detail: [{msg}]}` and Gemini's list of one.
pub(super) fn message(error: &Value) -> Option<&str> {
    let inner = inner(error);
    let told = [inner.get("message"), inner.get("detail"), Some(inner)];
    let first = details(inner).first().and_then(|detail| detail.get("msg"));
    told.into_iter().flatten().chain(first).find_map(Value::as_str)
}

/// One thing that a server's error says, whole, and the place in the request that it points to.
#[derive(Debug, PartialEq)]
pub(super) struct Complaint {
    pub(super) text: String,
    pub(super) place: Option<String>,
}

/// All that a server's error says: a message with OpenAI's `param`, or a list where each entry has
/// its `loc`.
pub(super) fn complaints(error: &Value) -> Vec<Complaint> {
    let inner = inner(error);
    let listed = details(inner).iter().filter_map(|detail| {
        let steps = detail["loc"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let place = steps.collect::<Vec<_>>().join(".");
        Some(Complaint { text: detail["msg"].as_str()?.to_owned(), place: placed(&place) })
    });
    let listed: Vec<_> = listed.collect();
    if !listed.is_empty() {
        return listed;
    }
    let place = inner["param"].as_str().and_then(placed);
    message(error).map(|text| Complaint { text: text.to_owned(), place }).into_iter().collect()
}

fn placed(place: &str) -> Option<String> {
    // Proxies written in Python say `None`.
    (!matches!(place, "" | "None")).then(|| place.to_owned())
}

fn inner(error: &Value) -> &Value {
    let error = error.get(0).unwrap_or(error);
    error.get("error").unwrap_or(error)
}

/// FastAPI's list of what is wrong, which Mistral wraps into its message.
fn details(inner: &Value) -> &[Value] {
    let list = inner["detail"].as_array().or_else(|| inner["message"]["detail"].as_array());
    list.map_or(&[], Vec::as_slice)
}

/// An error with its causes and without its address.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_providers_error_is_read() {
        for error in [
            json!({"error": {"message": "no", "type": "invalid_request_error", "code": null}}),
            json!({"error": "no"}),
            json!({"message": "no", "object": "error", "code": 400}),
            json!({"detail": "no"}),
            json!({"detail": [{"type": "missing", "loc": ["body"], "msg": "no"}]}),
            json!({"object": "error", "message": {"detail": [{"msg": "no"}]}}),
            json!([{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}]),
        ] {
            assert_eq!(said(error.to_string().as_bytes(), None), "no", "{error}");
        }
        for odd in [&b"<html>"[..], b"", b"null", b"[]", b"{\"error\":{\"message\":7}}", b"\xff"] {
            assert_eq!(said(odd, None), "");
        }
    }

    #[test]
    fn a_quote_is_short_and_on_one_line() {
        let long = clean(&"a\n".repeat(1000), None);
        assert!(long.chars().count() <= LONGEST_QUOTE + 1 && !long.contains('\n'));
    }

    #[test]
    fn our_own_words_quote_nobody() {
        for status in [400, 401, 429, 500, 503] {
            let error = Failure::of_status(status, "the prompt was: secret", None).error;
            assert!(error.to_string().contains("secret"));
            let own = in_own_words(&error);
            assert!(own.contains(&status.to_string()) && !own.contains("secret"), "{own}");
        }
    }
}
