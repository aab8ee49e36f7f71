//! A place to work within the models directory: on the same file system, so that a finished file is
//! moved to its name in one step and never seen half. One pull at a time holds it, and whoever gets
//! it clears away what a killed pull left behind.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::{ModelError, Progress};

const LOCK_FILE: &str = ".pull.lock";
const STAGING_PREFIX: &str = ".pulling-";
/// How often to ask again while another pull works.
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// The right to write into a models directory. Dropping it removes its staging folder.
pub(super) struct Workspace {
    models_dir: PathBuf,
    staging: TempDir,
    /// Held open: closing it is what lets the next one in. `None` where the file system has no locks.
    _lock: Option<File>,
}

impl Workspace {
    /// Creates the models directory where needed, and waits for any other pull to end.
    pub(super) async fn enter(
        models_dir: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, ModelError> {
        fs::create_dir_all(models_dir).map_err(ModelError::file("create", models_dir))?;
        let lock = lock(models_dir, progress).await?;
        if lock.is_some() {
            sweep(models_dir, progress)?;
        }
        let staging = tempfile::Builder::new()
            .prefix(STAGING_PREFIX)
            .tempdir_in(models_dir)
            .map_err(ModelError::file("create a folder in", models_dir))?;
        Ok(Self { models_dir: models_dir.to_owned(), staging, _lock: lock })
    }

    pub(super) fn models_dir(&self) -> &Path {
        &self.models_dir
    }

    /// For files in the making.
    pub(super) fn staging(&self) -> &Path {
        self.staging.path()
    }
}

async fn lock(models_dir: &Path, progress: &dyn Progress) -> Result<Option<File>, ModelError> {
    let path = models_dir.join(LOCK_FILE);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(ModelError::file("open", &path))?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // Asking again, not waiting in the kernel: this future can be dropped at any time.
            Err(TryLockError::WouldBlock) => {
                if !told {
                    progress.say("Another pull is at work here; waiting for it.");
                    told = true;
                }
                tokio::time::sleep(LOCK_INTERVAL).await;
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(None);
            }
            Err(TryLockError::Error(error)) => {
                return Err(ModelError::file("lock", &path)(error));
            }
        }
    }
}

fn sweep(models_dir: &Path, progress: &dyn Progress) -> Result<(), ModelError> {
    let entries = fs::read_dir(models_dir).map_err(ModelError::file("read", models_dir))?;
    for entry in entries {
        let entry = entry.map_err(ModelError::file("read", models_dir))?;
        let is_leftover = entry.file_name().to_string_lossy().starts_with(STAGING_PREFIX);
        // A leftover costs room, but no pull fails for it.
        if is_leftover && let Err(error) = fs::remove_dir_all(entry.path()) {
            progress.say(&format!("Could not remove {}: {error}", entry.path().display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::NoProgress;
    use super::*;

    #[tokio::test]
    async fn leftovers_of_a_killed_pull_are_swept() {
        let models_dir = tempfile::tempdir().unwrap();
        let leftover = models_dir.path().join(".pulling-dead");
        fs::create_dir(&leftover).unwrap();
        fs::write(leftover.join("half.whl"), "half").unwrap();
        let workspace = Workspace::enter(models_dir.path(), &NoProgress).await.unwrap();
        assert!(!leftover.exists());
        let staging = workspace.staging().to_owned();
        assert!(staging.exists());
        drop(workspace);
        assert!(!staging.exists());
    }

    #[tokio::test]
    async fn a_second_pull_waits_for_the_first() {
        let models_dir = tempfile::tempdir().unwrap();
        let first = Workspace::enter(models_dir.path(), &NoProgress).await.unwrap();
        let second = Workspace::enter(models_dir.path(), &NoProgress);
        tokio::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        second.await.unwrap();
    }
}
