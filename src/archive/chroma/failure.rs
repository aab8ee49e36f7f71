//! What can go wrong between here and a ChromaDB server, and what to say about it.

use std::error::Error as _;
use std::fmt::Display;

use super::ChromaSettings;
use crate::archive::store::ArchiveStoreError;

/// So much of what a server says is shown, in characters.
const LONGEST_QUOTE: usize = 300;

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection broke, or there was none.
    Broken(String),
    /// No answer in time.
    Slow,
    /// The collection or the database isn't there (any more).
    Gone,
    /// It is there and has no time or is out of order.
    Overloaded(String),
    /// It wants a token, or another one.
    Denied,
    /// Nothing that speaks Chroma's second API answers there.
    NoChroma(String),
    /// It did not do what was asked.
    Refused(String),
    /// What was stored can't be what this store writes; a full sentence with what to do.
    Damaged(String),
    /// Somebody else changed it in between; a full sentence.
    Disturbed(String),
    OtherEmbedder {
        stored: String,
        ours: String,
    },
}

impl Failure {
    /// Of a call by the crate `chromadb`, whose errors are texts: `404 Not Found: …` where the server
    /// answered, and anything else where it did not.
    pub(super) fn of_call(error: &impl Display) -> Self {
        // With all causes, in one line.
        let text = format!("{error:#}");
        let status = text.get(..3).and_then(|status| status.parse().ok());
        let said = text.split_once(": ").map_or("", |(_, said)| said);
        match status {
            Some(status) => Self::of_status(status, said),
            None => Self::Broken(text),
        }
    }

    /// Of a call of our own.
    pub(super) fn of_request(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Slow;
        }
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self::Broken(text)
    }

    pub(super) fn of_status(status: u16, said: &str) -> Self {
        let answer = || format!("HTTP {status}: {}", quoted(said));
        // A collection that isn't there is 404, one in a database that isn't there 400.
        let names_what_is_missing =
            said.contains("does not exist") || said.contains("NotFoundError");
        match status {
            401 | 403 => Self::Denied,
            400 | 404 if names_what_is_missing => Self::Gone,
            404 | 405 | 410 => Self::NoChroma(answer()),
            408 | 429 | 500.. => Self::Overloaded(answer()),
            _ => Self::Refused(answer()),
        }
    }

    /// Whether the same call may do better over a new connection, at once.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Gone)
    }

    /// Whether the connection, and what is known of its collections, must not be used again.
    pub(super) fn ends_the_session(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Damaged(_) | Self::OtherEmbedder { .. })
    }

    /// What people are told; the token is in none of it.
    pub(super) fn for_people(self, settings: &ChromaSettings) -> ArchiveStoreError {
        let text = match self {
            Self::OtherEmbedder { stored, ours } => {
                return ArchiveStoreError::OtherEmbedder { stored, ours };
            }
            Self::Damaged(text) => return ArchiveStoreError::Unusable(text),
            Self::Refused(said) => {
                return ArchiveStoreError::Unusable(settings.without_token(&format!(
                    "The ChromaDB server at {} did not do what the archive asked ({said}). Look \
                     into its log; this server is made for ChromaDB 1.5.",
                    settings.url
                )));
            }
            Self::Broken(why) => away(settings, &format!("can't be reached ({why})")),
            Self::Slow => away(settings, "does not answer in time"),
            Self::Overloaded(said) => away(settings, &format!("is out of order ({said})")),
            Self::Gone => format!(
                "The collection {:?} of the ChromaDB server at {} was deleted while it was used. \
                 Try again.",
                settings.collection, settings.url
            ),
            Self::NoChroma(said) => format!(
                "No ChromaDB server of version 1 answers at CHROMA_URL {} ({said}). Set CHROMA_URL \
                 to the address of one, or start one: {}.",
                settings.url,
                command(&settings.url)
            ),
            Self::Denied => format!(
                "The ChromaDB server at CHROMA_URL {} does not let this server in. Set CHROMA_TOKEN \
                 to its token, and CHROMA_TOKEN_HEADER to the header that it looks into.",
                settings.url
            ),
            Self::Disturbed(text) => text,
        };
        ArchiveStoreError::Away(settings.without_token(&text))
    }
}

fn away(settings: &ChromaSettings, what: &str) -> String {
    format!(
        "The ChromaDB server at CHROMA_URL {} {what}. Start it ({}), or set CHROMA_URL to where it \
         is. The archive comes back by itself.",
        settings.url,
        command(&settings.url)
    )
}

/// How to start a server that is found at this address.
fn command(url: &str) -> String {
    let port = reqwest::Url::parse(url).ok().and_then(|url| url.port_or_known_default());
    format!("chroma run --path DIR --port {}", port.unwrap_or(8000))
}

/// Without line breaks, and no longer than people read.
fn quoted(said: &str) -> String {
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(LONGEST_QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, TokenHeader};

    fn settings() -> ChromaSettings {
        ChromaSettings {
            url: "http://127.0.0.1:8001".to_owned(),
            tenant: "default_tenant".to_owned(),
            database: "default_database".to_owned(),
            token: None::<Secret>,
            token_header: TokenHeader::Authorization,
            collection: "story_archive".to_owned(),
        }
    }

    #[test]
    fn the_texts_of_the_crate_are_told_apart() {
        let gone = r#"404 Not Found: {"error":"NotFoundError","message":"Collection [a] does not exist."}"#;
        let no_database = r#"400 Bad Request: {"error":"InvalidArgumentError","message":"Database [d] does not exist"}"#;
        let refused = r#"400 Bad Request: {"message":"Invalid where clause"}"#;
        assert_eq!(Failure::of_call(&gone), Failure::Gone);
        assert_eq!(Failure::of_call(&no_database), Failure::Gone);
        assert!(matches!(Failure::of_call(&refused), Failure::Refused(_)));
        assert!(matches!(Failure::of_call(&"404 Not Found: <html>"), Failure::NoChroma(_)));
        assert!(matches!(Failure::of_call(&"503 Unavailable: "), Failure::Overloaded(_)));
        assert_eq!(Failure::of_call(&"401 Unauthorized: no"), Failure::Denied);
        assert!(matches!(Failure::of_call(&"error sending request"), Failure::Broken(_)));
        assert!(matches!(Failure::of_call(&""), Failure::Broken(_)));
    }

    #[test]
    fn people_are_told_what_to_do() {
        let text = Failure::Broken("refused".to_owned()).for_people(&settings()).to_string();
        assert!(text.contains("CHROMA_URL http://127.0.0.1:8001 can't be reached"), "{text}");
        assert!(text.contains("chroma run --path DIR --port 8001"), "{text}");
        let text = Failure::Denied.for_people(&settings()).to_string();
        assert!(text.contains("CHROMA_TOKEN"), "{text}");
    }
}
