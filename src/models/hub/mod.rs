//! Brings one file from a model hub: ask, receive into a `.part` file (going on where an earlier
//! pull broke off), check, rename. `request` speaks HTTP, `part` keeps the unfinished file.

mod part;
mod request;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use request::Hub;
use request::Promise;

use self::part::{Part, Received};
use super::pulled::{Checksum, Outcome, Pulled};
use super::source::HubFile;
use super::verify::{Difference, FileState, begins_as_gguf, file_state};
use super::workspace::Workspace;
use super::{ModelError, Progress};

/// The hub that `hf:` means unless a setting names a mirror.
pub const DEFAULT_HUB_ENDPOINT: &str = "https://huggingface.co";

/// How many times in a row a connection may break without more being here than ever before.
const FRUITLESS_TRIES: u32 = 3;

impl Hub {
    /// Brings `file` to its name in the models directory, or finds it there.
    pub(super) async fn pull(
        &self,
        file: &HubFile,
        workspace: &Workspace,
        progress: &dyn Progress,
    ) -> Result<Pulled, ModelError> {
        let target = workspace.models_dir().join(file.file_name());
        let mut part = Part::open(workspace.models_dir(), file)?;
        let (mut answer, mut promise) = self.ask(file, &part).await?;
        if target.exists() {
            return self.compare(file, target, promise).await;
        }
        progress.say(&format!("Fetching {file} from {}.", self.host()));
        if part.len() > 0 {
            progress.say(&format!("{} bytes are here from an earlier pull.", part.len()));
        }
        let (mut most, mut fruitless) = (part.len(), 0);
        loop {
            match part.receive(answer, &promise, progress).await? {
                Received::Everything => break,
                // Without its bytes the part asks for the whole file, so this ends.
                Received::NotTheSame(why) => {
                    progress.say(&format!("{why}; starting over."));
                    part.clear()?;
                }
                Received::BrokeOff(problem) => {
                    fruitless = if part.len() > most { 0 } else { fruitless + 1 };
                    most = most.max(part.len());
                    if fruitless >= FRUITLESS_TRIES {
                        let file = file.to_string();
                        return Err(ModelError::Interrupted { file, done: part.len(), problem });
                    }
                    if !part.can_go_on() {
                        part.clear()?;
                    }
                    tokio::time::sleep(self.pause_before_retry * fruitless).await;
                }
            }
            (answer, promise) = self.ask(file, &part).await?;
        }
        progress.finished();
        let checksum = check(file, &part, promise, progress).await?;
        let bytes = part.len();
        part.finish(&target)?;
        Ok(Pulled {
            name: file.to_string(),
            path: target,
            bytes,
            outcome: Outcome::Fetched,
            checksum,
        })
    }

    /// The name is taken: by the same file, or by one that is not ours to overwrite.
    async fn compare(
        &self,
        file: &HubFile,
        target: PathBuf,
        promise: Promise,
    ) -> Result<Pulled, ModelError> {
        let (state, checksum) = inspect(&target, promise).await?;
        if let FileState::Wrong(difference) = state {
            return Err(ModelError::Occupied {
                url: self.address(file).to_string(),
                difference: difference.to_string(),
                path: target,
            });
        }
        let bytes = fs::metadata(&target).map_err(ModelError::file("look at", &target))?.len();
        Ok(Pulled {
            name: file.to_string(),
            path: target,
            bytes,
            outcome: Outcome::AlreadyThere,
            checksum,
        })
    }
}

/// Checks a whole part against what the hub promised; what fails is thrown away.
async fn check(
    file: &HubFile,
    part: &Part,
    promise: Promise,
    progress: &dyn Progress,
) -> Result<Checksum, ModelError> {
    if promise.sha256.is_some() {
        progress.say("Checking its SHA-256.");
    } else {
        progress.say("The hub gives no checksum for this file: only its size can be checked.");
    }
    let (state, checksum) = inspect(part.path(), promise).await?;
    let problem = match state {
        FileState::Wrong(Difference::Sha256 { found, expected }) => {
            Some(format!("its SHA-256 is {found}, the hub says {expected}"))
        }
        FileState::Wrong(difference) => Some(difference.to_string()),
        FileState::Missing => Some("it vanished".to_owned()),
        FileState::Right if file.is_gguf() && !begins_as_gguf(part.path())? => {
            Some("it does not begin as a GGUF file does".to_owned())
        }
        FileState::Right => None,
    };
    match problem {
        None => Ok(checksum),
        Some(problem) => {
            part.discard()?;
            Err(ModelError::Corrupt { file: file.to_string(), problem })
        }
    }
}

async fn inspect(path: &Path, promise: Promise) -> Result<(FileState, Checksum), ModelError> {
    let path = path.to_owned();
    let checksum = if promise.sha256.is_some() { Checksum::Hub } else { Checksum::NotGiven };
    let state = tokio::task::spawn_blocking(move || {
        file_state(&path, promise.bytes, promise.sha256.as_deref())
    })
    .await??;
    Ok((state, checksum))
}

/// Grows with every fruitless try.
const PAUSE_BEFORE_RETRY: Duration = Duration::from_secs(2);
