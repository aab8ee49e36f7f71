//! Passwords: hashed with Argon2id, verified also where an earlier deployment left bcrypt's hashes.
//!
//! Hashing costs CPU and memory on purpose. It runs off the async threads, few at a time, and only so
//! many may wait: a storm of logins is refused, and neither memory nor other requests suffer.

use std::sync::Arc;
use std::thread::available_parallelism;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;

use super::AccountError;
use crate::ids::Ids;

/// KiB of memory that one hash takes. With [`PASSES`] over it about 80 ms on a core of a small server:
/// long enough to make guessing dear, short enough to log in. Well above what OWASP asks for at least
/// (19 MiB, two passes); more passes rather than more memory, as several run at once.
const MEMORY_KIB: u32 = 32 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// Hashes at the same time, at most; each takes a core and [`MEMORY_KIB`].
const MOST_AT_ONCE: usize = 4;
/// Those that may wait for each that runs: about two seconds.
const WAITING_FOR_EACH: usize = 32;
/// Seconds after which the line has moved.
const RETRY_AFTER_SECONDS: u64 = 3;

/// A stored hash that asks for more than this was made to stall the server.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;
const MOST_BCRYPT_ROUNDS: u32 = 16;

/// Hashes and verifies. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passwords {
    ids: Ids,
    /// Those that run or wait.
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// What came of a look at a password.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Wrong,
    Right,
    /// Right, but its hash isn't as strong as today's; here is one that is.
    Outdated(String),
}

impl Passwords {
    pub(super) fn new(ids: Ids) -> Self {
        // Half of the cores are left to everybody else.
        let cores = available_parallelism().map_or(1, usize::from);
        let at_once = (cores / 2).clamp(1, MOST_AT_ONCE);
        Self::with_places(ids, at_once, at_once * WAITING_FOR_EACH)
    }

    fn with_places(ids: Ids, at_once: usize, waiting: usize) -> Self {
        Self {
            ids,
            admitted: Arc::new(Semaphore::new(at_once + waiting)),
            running: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// A PHC string.
    pub(super) async fn hash(&self, password: String) -> Result<String, AccountError> {
        let salt = self.ids.secret();
        self.work(move || hashed(&password, &salt)).await
    }

    /// Where there is no stored hash, the same work is done for nothing.
    pub(super) async fn verify(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<Verdict, AccountError> {
        let salt = self.ids.secret();
        self.work(move || {
            let Some(stored) = stored else {
                verified(&password, &nobodys())?;
                return Ok(Verdict::Wrong);
            };
            if !verified(&password, &stored)? {
                return Ok(Verdict::Wrong);
            }
            if is_current(&stored) {
                return Ok(Verdict::Right);
            }
            hashed(&password, &salt).map(Verdict::Outdated)
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, AccountError> {
        let busy = |_| AccountError::Busy { retry_after_seconds: RETRY_AFTER_SECONDS };
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(crypto)?;
        // The places are held until the work is done, even if nobody waits for it any more.
        let working = tokio::task::spawn_blocking(move || {
            let _places = (admitted, running);
            work()
        });
        working.await.map_err(crypto)?
    }
}

fn crypto(error: impl std::fmt::Display) -> AccountError {
    AccountError::Crypto(error.to_string())
}

fn argon2() -> Result<Argon2<'static>, AccountError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(crypto)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hashed(password: &str, salt: &[u8; 16]) -> Result<String, AccountError> {
    let hash = argon2()?.hash_password_with_salt(password.as_bytes(), salt).map_err(crypto)?;
    Ok(hash.to_string())
}

/// A hash like all others, of no password.
fn nobodys() -> String {
    let (salt, hash) = ("A".repeat(22), "A".repeat(43));
    format!("{}{salt}${hash}", head())
}

/// What every hash that is made today begins with.
fn head() -> String {
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")
}

fn is_current(stored: &str) -> bool {
    stored.starts_with(&head())
}

fn verified(password: &str, stored: &str) -> Result<bool, AccountError> {
    const UNREADABLE: &str = "the stored hash can't be read";
    if stored.starts_with("$2") {
        let rounds = stored.get(4..6).and_then(|rounds| rounds.parse().ok());
        if rounds.is_none_or(|rounds: u32| rounds > MOST_BCRYPT_ROUNDS) {
            return Err(crypto(UNREADABLE));
        }
        return bcrypt::verify(password, stored).map_err(|_| crypto(UNREADABLE));
    }
    let hash = PasswordHash::new(stored).map_err(|_| crypto(UNREADABLE))?;
    let params = Params::try_from(&hash).map_err(|_| crypto(UNREADABLE))?;
    if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES {
        return Err(crypto(UNREADABLE));
    }
    Ok(argon2()?.verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn passwords(at_once: usize, waiting: usize) -> Passwords {
        Passwords::with_places(Ids::unpredictable(Clock::system()), at_once, waiting)
    }

    #[tokio::test]
    async fn a_hash_is_argon2id_with_a_salt_of_its_own_and_verifies_only_its_password() {
        let passwords = passwords(1, 4);
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        let again = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=32768,t=3,p=1$"), "{hash}");
        assert_ne!(hash, again);
        let verdict = async |password: &str, hash: Option<&String>| {
            passwords.verify(password.to_owned(), hash.cloned()).await.unwrap()
        };
        assert_eq!(verdict("correct horse", Some(&hash)).await, Verdict::Right);
        assert_eq!(verdict("correct horsf", Some(&hash)).await, Verdict::Wrong);
        assert_eq!(verdict("", None).await, Verdict::Wrong);
    }

    /// Unknown users are to cost what known ones do.
    #[test]
    fn nobodys_hash_is_like_any_other_and_verifies_nothing() {
        assert!(is_current(&nobodys()));
        assert_eq!(nobodys().len(), hashed("x", &[7; 16]).unwrap().len());
        for password in ["", "AAAA", "correct horse"] {
            assert!(!verified(password, &nobodys()).unwrap());
        }
    }

    #[tokio::test]
    async fn hashes_of_earlier_deployments_are_outdated() {
        let passwords = passwords(1, 4);
        let bcrypt = bcrypt::hash("correct horse", 4).unwrap();
        let weaker = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(1024, 1, 1, None).unwrap(),
        );
        let weaker = weaker.hash_password_with_salt(b"correct horse", &[1; 16]).unwrap();
        let kinds = ["$2a", "$2b", "$2y"].map(|kind| bcrypt.replacen("$2b", kind, 1));
        for old in kinds.into_iter().chain([weaker.to_string()]) {
            let verdict = passwords.verify("correct horse".to_owned(), Some(old.clone())).await;
            let Verdict::Outdated(new) = verdict.unwrap() else { panic!("{old} isn't outdated") };
            assert!(is_current(&new) && verified("correct horse", &new).unwrap());
            let verdict = passwords.verify("wrong".to_owned(), Some(old)).await.unwrap();
            assert_eq!(verdict, Verdict::Wrong);
        }
    }

    #[test]
    fn a_stored_hash_that_is_none_or_would_stall_is_an_error() {
        for stored in [
            "",
            "$2b$31$abcdefghijklmnopqrstuuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$2b$",
            "$2b$ü4",
            "secret",
            "$argon2id$v=19$m=4194304,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(verified("x", stored).is_err(), "{stored}");
        }
    }

    #[tokio::test]
    async fn only_so_many_wait_and_the_rest_are_told_to_come_back() {
        let passwords = passwords(1, 1);
        let place = Arc::clone(&passwords.running).acquire_owned().await.unwrap();
        let login = || {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.verify("x".to_owned(), None).await })
        };
        let waiting = [login(), login()];
        while passwords.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = login().await.unwrap();
        assert!(matches!(refused, Err(AccountError::Busy { retry_after_seconds: 1.. })));
        drop(place);
        for login in waiting {
            assert_eq!(login.await.unwrap().unwrap(), Verdict::Wrong);
        }
    }
}
