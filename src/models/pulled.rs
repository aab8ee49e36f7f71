//! What a pull came to: fields for programs, a sentence for a person.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// A model that is now there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// As it was asked for.
    pub name: String,
    /// What to give the engine or the embedder.
    pub path: PathBuf,
    pub bytes: u64,
    pub outcome: Outcome,
    pub checksum: Checksum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    AlreadyThere,
    Fetched,
    /// Something damaged was in its place.
    Replaced,
}

/// Whose word the content was checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksum {
    /// The catalogue's.
    Pinned,
    /// The hub's.
    Hub,
    /// Nobody's: the hub gave none, so only the size is known to be right.
    NotGiven,
}

impl fmt::Display for Pulled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::AlreadyThere => "is already there",
            Outcome::Fetched => "is here",
            Outcome::Replaced => "was damaged and is now right",
        };
        let checksum = match self.checksum {
            Checksum::Pinned => "checksum as pinned",
            Checksum::Hub => "checksum as the hub says",
            Checksum::NotGiven => "not checked: the hub gives no checksum for it",
        };
        let megabytes = self.bytes as f64 / 1e6;
        write!(
            f,
            "{} {outcome}: {} ({megabytes:.1} MB, {checksum})",
            self.name,
            self.path.display()
        )
    }
}
