//! Why somebody isn't let in, or something about an account can't be done.

use std::path::PathBuf;

use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Fields of a request that aren't as they must be.
    #[error("{}", told(.0))]
    Invalid(Vec<Fault>),
    #[error(
        "this server takes no new accounts; ask whoever runs it for one (ENABLE_REGISTRATION=true opens it)"
    )]
    RegistrationClosed,
    #[error("there is an account with this {0} already; log in with it, or choose another")]
    Taken(&'static str),
    /// The same for an unknown name and a wrong password.
    #[error("the name or the password is wrong; check both, or register at /auth/register")]
    WrongCredentials,
    #[error("the password is wrong; send the account's current one")]
    WrongPassword,
    /// No token, or one that doesn't hold here (any more).
    #[error("this needs a login that holds: {0}")]
    NotSignedIn(&'static str),
    #[error(
        "the refresh token doesn't hold (it is unknown, expired or of a login that ended); log in again at /auth/login"
    )]
    RefreshRefused,
    #[error(
        "the refresh token was used before, so its login is ended, in case it was stolen; log in again at /auth/login"
    )]
    RefreshReused,
    #[error("there is no such account")]
    NoUser,
    #[error("too many logins at once; send it again in {retry_after_seconds} seconds")]
    Busy { retry_after_seconds: u64 },
    #[error("a password can't be hashed, or a token not be signed: {0}")]
    Crypto(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub field: &'static str,
    pub message: String,
}

impl Fault {
    pub(super) fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl From<rusqlite::Error> for AccountError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

fn told(faults: &[Fault]) -> String {
    let lines: Vec<_> =
        faults.iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
    lines.join("; ")
}

/// Why the key that signs tokens can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "{path} holds the key that signs tokens and can't be used: {source}. Give the server the right to read and write it, set another DB_PATH, or set JWT_SECRET"
    )]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} holds no key that signs tokens: it has {bytes} bytes, and {least} is the least. Delete it, and a new one is made (all logins end), or set JWT_SECRET"
    )]
    Short { path: PathBuf, bytes: usize, least: usize },
    #[error(
        "{path} holds the key that signs tokens, others can read it, and that can't be changed: {source}. Run chmod 600 on it, or set JWT_SECRET"
    )]
    Open { path: PathBuf, source: std::io::Error },
}
