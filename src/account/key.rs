//! The key that signs access tokens: the operator's, or one that is made at the first start and kept
//! beside the database, where only the server's own user can read it.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, EncodingKey};

use super::KeyError;
use crate::ids::Ids;

const FILE: &str = "jwt_secret";
/// As long as what HMAC-SHA-256 makes of it (RFC 7518, 3.2).
const LEAST_BYTES: usize = 32;
/// A file that is larger isn't one of ours.
const MOST_BYTES: u64 = 64 * 1024;

/// Signs and verifies. Cheap enough to clone once a server.
#[derive(Clone)]
pub struct SigningKey {
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
}

/// Never shown.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(****)")
    }
}

impl SigningKey {
    pub fn of_secret(secret: &[u8]) -> Self {
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        }
    }

    /// The one in this folder; it is made if there is none.
    pub fn in_folder(folder: &Path, ids: &Ids) -> Result<Self, KeyError> {
        let path = folder.join(FILE);
        let found = match read(&path)? {
            Some(found) => found,
            None => make(folder, &path, ids)?,
        };
        keep_to_owner(&path)?;
        Ok(Self::of_secret(&found))
    }

    /// What [`Self::in_folder`] would find; changes nothing.
    pub fn inspect(folder: &Path) -> Result<String, KeyError> {
        let path = folder.join(FILE);
        let found = read(&path)?;
        let will_be_made = if found.is_none() { " will be made" } else { "" };
        Ok(format!("{}{will_be_made}", path.display()))
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    let broken = |source| KeyError::File { path: path.to_owned(), source };
    let short = |bytes| KeyError::Short { path: path.to_owned(), bytes, least: LEAST_BYTES };
    match fs::metadata(path) {
        Ok(about) if about.len() > MOST_BYTES || !about.is_file() => Err(short(0)),
        Ok(_) => {
            let text = fs::read(path).map_err(broken)?;
            let secret = text.trim_ascii();
            if secret.len() < LEAST_BYTES {
                return Err(short(secret.len()));
            }
            Ok(Some(secret.to_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(broken(error)),
    }
}

/// Whole or not at all; where another server was faster, its key is taken.
fn make(folder: &Path, path: &Path, ids: &Ids) -> Result<Vec<u8>, KeyError> {
    let broken = |source| KeyError::File { path: path.to_owned(), source };
    let secret = URL_SAFE_NO_PAD.encode(ids.secret::<48>());
    fs::create_dir_all(folder).map_err(broken)?;
    // Only its owner can read it, from the beginning.
    let mut file = tempfile::Builder::new().prefix(".jwt").tempfile_in(folder).map_err(broken)?;
    file.write_all(secret.as_bytes()).map_err(broken)?;
    file.as_file().sync_all().map_err(broken)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(secret.into_bytes()),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
            let vanished = || broken(ErrorKind::NotFound.into());
            read(path)?.ok_or_else(vanished)
        }
        Err(error) => Err(broken(error.error)),
    }
}

#[cfg(unix)]
fn keep_to_owner(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let broken = |source| KeyError::File { path: PathBuf::from(path), source };
    let mode = fs::metadata(path).map_err(broken)?.permissions().mode();
    let others = 0o077;
    if mode & others == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|source| KeyError::Open { path: path.to_owned(), source })?;
    tracing::warn!(
        path = %path.display(),
        "others could read the key that signs tokens; they can't any more. If one might have: delete \
         the file, and a new one is made at the next start (all logins end)"
    );
    Ok(())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "it is fallible where files have modes")]
fn keep_to_owner(_: &Path) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn ids() -> Ids {
        Ids::unpredictable(Clock::system())
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper").join(FILE);
        assert!(SigningKey::inspect(folder.path()).unwrap().contains("will be made"));
        SigningKey::in_folder(path.parent().unwrap(), &ids()).unwrap();
        let made = fs::read(&path).unwrap();
        assert!(made.len() >= LEAST_BYTES);
        SigningKey::in_folder(path.parent().unwrap(), &ids()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), made);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let other = tempfile::tempdir().unwrap();
        SigningKey::in_folder(other.path(), &ids()).unwrap();
        assert_ne!(fs::read(other.path().join(FILE)).unwrap(), made);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_it_and_a_file_that_others_can_read_is_mended() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        SigningKey::in_folder(folder.path(), &ids()).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        SigningKey::in_folder(folder.path(), &ids()).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_file_that_holds_no_key_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "short\n").unwrap();
        for error in [
            SigningKey::in_folder(folder.path(), &ids()).unwrap_err(),
            SigningKey::inspect(folder.path()).unwrap_err(),
        ] {
            let told = error.to_string();
            assert!(told.contains("JWT_SECRET") && told.contains("Delete"), "{told}");
            assert!(told.contains(&path.display().to_string()), "{told}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"short\n");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(SigningKey::in_folder(folder.path(), &ids()).is_err());
    }

    #[test]
    fn servers_that_start_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| make(folder.path(), &path, &ids()))).collect();
            for start in starts {
                assert_eq!(start.join().unwrap().unwrap(), fs::read(&path).unwrap());
            }
        });
    }
}
