//! Who may talk here: users, their passwords, profiles, and where they are logged in.
//!
//! A login is a row. Its access tokens hold while the row does; its refresh tokens are one family, of
//! which only the newest holds, and one that comes a second time ends the login. Neither passwords nor
//! tokens are stored, only their hashes.

mod error;
mod key;
mod passwords;
mod profile;
mod registration;
mod rows;
#[cfg(test)]
mod tests;
mod tokens;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use self::error::{AccountError, Fault, KeyError};
pub use self::key::SigningKey;
use self::passwords::{Passwords, Verdict};
pub use self::profile::{Profile, ProfileChange};
pub use self::registration::Registration;
use self::rows::{Found, NewLogin};
use self::tokens::{Claims, RefreshToken, after};
use crate::clock::Clock;
use crate::ids::Ids;
use crate::store::{Store, StoreError};

/// Everything about accounts. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Clock,
    ids: Ids,
    passwords: Passwords,
    settings: AccountSettings,
}

#[derive(Clone, Debug)]
pub struct AccountSettings {
    pub key: SigningKey,
    pub algorithm: Algorithm,
    /// How long an access token holds.
    pub access_lifetime: Duration,
    /// How long a refresh token waits to be used.
    pub refresh_lifetime: Duration,
    pub registration_is_open: bool,
}

/// How access tokens are signed. There is one way, so that none can be talked into a weaker one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
}

/// A user's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub i64);

/// Who sent a request, and by which login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub user: UserId,
    pub login: String,
}

/// A user, as they registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// What they are called on the wire and in tokens.
    pub uid: String,
    pub email: String,
    pub username: String,
    pub full_name: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// Who somebody says to be.
pub struct Credentials {
    pub name: LoginName,
    pub password: String,
}

/// A user by one of their names.
#[derive(Clone)]
pub enum LoginName {
    Email(String),
    /// A username; what holds an @ is an email address.
    Username(String),
}

/// What a login gets.
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    /// How long the access token holds.
    pub expires_in: Duration,
}

/// Never shown.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(****)")
    }
}

impl LoginName {
    /// The same for every way to write one name: to count attempts by.
    pub fn canonical(&self) -> String {
        let (Self::Email(name) | Self::Username(name)) = self;
        name.trim().to_lowercase()
    }
}

impl Accounts {
    pub fn new(store: Store, clock: Clock, ids: Ids, settings: AccountSettings) -> Self {
        let passwords = Passwords::new(ids.clone());
        Self { inner: Arc::new(Inner { store, clock, ids, passwords, settings }) }
    }

    /// Makes an account and logs it in.
    pub async fn register(&self, registration: Registration) -> Result<Tokens, AccountError> {
        if !self.inner.settings.registration_is_open {
            return Err(AccountError::RegistrationClosed);
        }
        let new = registration.checked()?;
        let (email, username) = (new.email.clone(), new.username.clone());
        // Spares the hashing; what counts is asked again when the row is written.
        self.inner.read(move |connection| rows::not_taken(connection, &email, &username)).await?;
        let hash = self.inner.passwords.hash(new.password).await?;
        let (uid, now) = (self.inner.ids.user(), self.inner.now());
        let (refresh, login) = self.inner.new_login();
        let claims = self.inner.claims(&uid, &login.id);
        self.inner
            .change(move |transaction| {
                rows::not_taken(transaction, &new.email, &new.username)?;
                let user = rows::User {
                    uid: &uid,
                    email: &new.email,
                    username: &new.username,
                    full_name: new.full_name.as_deref(),
                    password: &hash,
                };
                let id = rows::add_user(transaction, &user, now)?;
                rows::add_login(transaction, id, &login, now)
            })
            .await?;
        self.inner.tokens(&claims, refresh)
    }

    pub async fn login(&self, credentials: Credentials) -> Result<Tokens, AccountError> {
        let Credentials { name, password } = credentials;
        registration::can_be_a_password_of_old(&password)?;
        let found = self.inner.read(move |connection| rows::find(connection, &name)).await?;
        let stored = found.as_ref().map(|found| found.password.clone());
        let verdict = self.inner.passwords.verify(password, stored).await?;
        let (Some(Found { id, uid, password: old }), true) = (found, verdict != Verdict::Wrong)
        else {
            return Err(AccountError::WrongCredentials);
        };
        let (refresh, login) = self.inner.new_login();
        let claims = self.inner.claims(&uid, &login.id);
        let now = self.inner.now();
        let dead_since = now.saturating_sub(after(0, self.inner.settings.access_lifetime));
        self.inner
            .change(move |transaction| {
                rows::sweep(transaction, dead_since)?;
                if !rows::note_login(transaction, id, now)? {
                    // It was deleted while its password was looked at.
                    return Err(AccountError::WrongCredentials);
                }
                if let Verdict::Outdated(new) = &verdict {
                    rows::replace_password(transaction, id, &old, new)?;
                }
                rows::add_login(transaction, id, &login, now)
            })
            .await?;
        self.inner.tokens(&claims, refresh)
    }

    /// New tokens for a refresh token, which is used up by it.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, AccountError> {
        let (used, new) = (RefreshToken::hash(token), RefreshToken::make(&self.inner.ids));
        let (hash, now) = (new.hash, self.inner.now());
        let expires_at = after(now, self.inner.settings.refresh_lifetime);
        let rotated = self.inner.change(move |transaction| {
            Ok(rows::rotate(transaction, &used, &hash, expires_at, now)?)
        });
        match rotated.await? {
            rows::Rotation::Done { login, uid } => {
                self.inner.tokens(&self.inner.claims(&uid, &login), new)
            }
            rows::Rotation::Reused => {
                tracing::warn!("a refresh token came a second time; its login was ended");
                Err(AccountError::RefreshReused)
            }
            rows::Rotation::Refused => Err(AccountError::RefreshRefused),
        }
    }

    /// Ends the login, with all its tokens, at once.
    pub async fn logout(&self, who: &SignedIn) -> Result<(), AccountError> {
        let (login, now) = (who.login.clone(), self.inner.now());
        self.inner.change(move |transaction| Ok(rows::end_login(transaction, &login, now)?)).await
    }

    /// Who sent this access token. The login is looked up each time.
    pub async fn signed_in(&self, access_token: &str) -> Result<SignedIn, AccountError> {
        let claims =
            tokens::verify(&self.inner.settings.key, access_token, self.inner.clock.now())?;
        let login = claims.sid.clone();
        let user = self
            .inner
            .read(move |connection| Ok(rows::user_of_login(connection, &claims.sid, &claims.sub)?))
            .await?;
        let user = user.ok_or(AccountError::NotSignedIn(
            "the access token's login has ended; log in again at /auth/login",
        ))?;
        Ok(SignedIn { user, login })
    }

    /// The user behind a name that a caller chose for somebody without an account; made when there is
    /// none. Nobody can log in as one.
    pub async fn guest(&self, name: &str) -> Result<UserId, AccountError> {
        let (name, uid) = (name.to_owned(), self.inner.ids.user());
        let now = self.inner.clock.now().as_millisecond();
        let made =
            self.inner.store.run(move |connection| rows::guest(connection, &name, &uid, now));
        Ok(made.await?)
    }

    /// The same, if there is one.
    pub async fn known_guest(&self, name: &str) -> Result<Option<UserId>, AccountError> {
        let name = name.to_owned();
        Ok(self.inner.store.read(move |connection| rows::known_guest(connection, &name)).await?)
    }

    pub async fn user(&self, id: UserId) -> Result<User, AccountError> {
        self.inner
            .read(move |connection| rows::user(connection, id)?.ok_or(AccountError::NoUser))
            .await
    }

    /// Whose name this is.
    pub async fn named(&self, name: LoginName) -> Result<Option<UserId>, AccountError> {
        let found = self.inner.read(move |connection| rows::find(connection, &name)).await?;
        Ok(found.map(|found| found.id))
    }

    /// Whether this is the user's password, before something that can't be taken back.
    pub async fn confirm(&self, id: UserId, password: String) -> Result<(), AccountError> {
        registration::can_be_a_password_of_old(&password)?;
        let stored = self.inner.read(move |connection| Ok(rows::password(connection, id)?)).await?;
        match self.inner.passwords.verify(password, stored).await? {
            Verdict::Wrong => Err(AccountError::WrongPassword),
            Verdict::Right | Verdict::Outdated(_) => Ok(()),
        }
    }

    /// Deletes the user and all that hangs on the row, down to the bytes in the file.
    pub async fn delete(&self, id: UserId) -> Result<(), AccountError> {
        self.inner.change(move |transaction| rows::delete_user(transaction, id)).await?;
        Ok(self.inner.store.settle().await?)
    }
}

impl Inner {
    /// Milliseconds since 1970.
    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    fn new_login(&self) -> (RefreshToken, NewLogin) {
        let refresh = RefreshToken::make(&self.ids);
        let login = NewLogin {
            id: self.ids.login(),
            refresh_hash: refresh.hash,
            expires_at: after(self.now(), self.settings.refresh_lifetime),
        };
        (refresh, login)
    }

    fn claims(&self, uid: &str, login: &str) -> Claims {
        let now: Timestamp = self.clock.now();
        let iat = now.as_second();
        let lifetime = i64::try_from(self.settings.access_lifetime.as_secs()).unwrap_or(i64::MAX);
        Claims {
            sub: uid.to_owned(),
            sid: login.to_owned(),
            iat,
            exp: iat.saturating_add(lifetime),
            jti: self.ids.login(),
        }
    }

    fn tokens(&self, claims: &Claims, refresh: RefreshToken) -> Result<Tokens, AccountError> {
        let access = match self.settings.algorithm {
            Algorithm::Hs256 => tokens::sign(&self.settings.key, claims)?,
        };
        Ok(Tokens { access, refresh: refresh.text, expires_in: self.settings.access_lifetime })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        self.store.read(move |connection| split(work(connection))).await?
    }

    /// One transaction.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        self.store
            .run(move |connection| {
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let done = split(work(&transaction))?;
                if done.is_ok() {
                    transaction.commit()?;
                }
                Ok(done)
            })
            .await?
    }
}

/// What is the store's own to know of, and the rest.
fn split<T>(done: Result<T, AccountError>) -> Result<Result<T, AccountError>, StoreError> {
    match done {
        Err(AccountError::Store(error)) => Err(error),
        other => Ok(other),
    }
}
