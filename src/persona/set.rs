//! The file of personas, and what is in force of it. A changed file is taken up within a second of its
//! next use; a bad one is refused, told once, and the running set stays.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use super::{Persona, PersonaError, YamlFault, yaml};
use crate::clock::Clock;

/// Used where no file is named and none of this name lies in the working folder.
pub(super) const SHIPPED: &str = include_str!("../../personas.yaml");
const USUAL_FILE: &str = "personas.yaml";
const LARGEST: u64 = 1024 * 1024;
/// A file that changed within this many milliseconds of being read may change again without its
/// time doing so.
const CERTAIN_AFTER: i64 = 2_000;

/// How often the file is looked at: a disk that is slow, or far away, holds nobody up for longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file, and what is in force of it.
pub(super) struct FileSet {
    path: PathBuf,
    running: Mutex<Arc<Running>>,
    /// Held by the one that looks at the file; the others go on with what is in force.
    looking: Mutex<Looking>,
}

/// The personas of the file, in its order.
#[derive(Clone)]
pub(super) struct Running {
    personas: Vec<Arc<Persona>>,
    error: Option<String>,
}

struct Looking {
    seen: Seen,
    looked_at: Option<Instant>,
    every: Duration,
}

/// The file as it was when it was last read.
#[derive(Default)]
struct Seen {
    /// `None` where it could not be looked at.
    stamp: Option<Stamp>,
    /// What it held, as long as the stamp alone can't tell whether it still does.
    uncertain: Option<String>,
}

/// By which a change is told.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }

    fn is_certain(&self, now: Timestamp) -> bool {
        let modified = self.modified.and_then(|modified| Timestamp::try_from(modified).ok());
        modified.is_some_and(|modified| {
            (now.as_millisecond() - modified.as_millisecond()).abs() > CERTAIN_AFTER
        })
    }
}

impl Running {
    pub(super) fn personas(&self) -> &[Arc<Persona>] {
        &self.personas
    }

    pub(super) fn find(&self, key: &str) -> Option<&Arc<Persona>> {
        self.personas.iter().find(|persona| persona.key == key)
    }

    /// Why the file as it is now is not in force.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

impl FileSet {
    /// `None` is the usual file where it exists, else the shipped set.
    pub(super) fn open(file: Option<PathBuf>, clock: &Clock) -> Result<Self, PersonaError> {
        let is_named = file.is_some();
        let path = file.unwrap_or_else(|| PathBuf::from(USUAL_FILE));
        if !is_named && !path.exists() {
            let personas = parse(&path, SHIPPED)?;
            return Ok(Self::of(path, personas, Seen::default()));
        }
        let (text, seen) = read(&path, clock)?;
        let personas = parse(&path, &text)?;
        Ok(Self::of(path, personas, seen))
    }

    fn of(path: PathBuf, personas: Vec<Arc<Persona>>, seen: Seen) -> Self {
        let looking = Looking { seen, looked_at: None, every: LOOK_EVERY };
        let running = Arc::new(Running { personas, error: None });
        Self { path, running: Mutex::new(running), looking: Mutex::new(looking) }
    }

    pub(super) fn look_every(&self, every: Duration) {
        self.looking.lock().unwrap_or_else(PoisonError::into_inner).every = every;
    }

    pub(super) fn is_shipped(&self) -> bool {
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        looking.seen.stamp.is_none() && self.running().error.is_none()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in force, of the file as it was a moment ago.
    pub(super) fn now(&self, clock: &Clock) -> Arc<Running> {
        if let Ok(mut looking) = self.looking.try_lock()
            && looking.is_due()
            && let Some(taken) = looking.look(&self.path, clock)
        {
            self.take(taken);
        }
        self.running()
    }

    fn running(&self) -> Arc<Running> {
        Arc::clone(&self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, taken: Result<Vec<Arc<Persona>>, PersonaError>) {
        let running = match taken {
            Ok(personas) => {
                tracing::info!("{} was taken up: {} personas", self.path.display(), personas.len());
                Running { personas, error: None }
            }
            Err(error) => {
                tell(&error);
                Running { error: Some(error.to_string()), ..Running::clone(&self.running()) }
            }
        };
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(running);
    }
}

impl Looking {
    fn is_due(&mut self) -> bool {
        let is_due = self.looked_at.is_none_or(|looked_at| looked_at.elapsed() >= self.every);
        if is_due {
            self.looked_at = Some(Instant::now());
        }
        is_due
    }

    /// What the file holds, if it changed since.
    fn look(
        &mut self,
        path: &Path,
        clock: &Clock,
    ) -> Option<Result<Vec<Arc<Persona>>, PersonaError>> {
        let stamp = std::fs::metadata(path).ok().map(|it| Stamp::of(&it));
        if stamp == self.seen.stamp && self.seen.uncertain.is_none() {
            return None;
        }
        let before = std::mem::take(&mut self.seen);
        match read(path, clock) {
            Ok((text, seen)) => {
                let is_same = before.uncertain.as_ref() == Some(&text);
                self.seen = seen;
                (!is_same).then(|| parse(path, &text))
            }
            Err(error) => {
                self.seen = Seen { stamp, uncertain: None };
                Some(Err(error))
            }
        }
    }
}

fn tell(error: &PersonaError) {
    let first = match error {
        PersonaError::File { faults, .. } => faults.first(),
        _ => None,
    };
    let (line, key) = (first.map(|it| it.line), first.map(|it| it.key.as_str()));
    tracing::warn!(line, key, "the personas stay as they were: {error}");
}

fn parse(path: &Path, text: &str) -> Result<Vec<Arc<Persona>>, PersonaError> {
    match yaml::read(text) {
        Ok(personas) => Ok(personas.into_iter().map(Arc::new).collect()),
        Err(faults) => Err(PersonaError::File { path: path.to_owned(), faults }),
    }
}

/// What the file holds, and how it looked just before.
fn read(path: &Path, clock: &Clock) -> Result<(String, Seen), PersonaError> {
    let unreadable = |source| PersonaError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let stamp = Stamp::of(&metadata);
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let fault = |line: usize, fault: &str| {
        let line = u64::try_from(line).unwrap_or(u64::MAX);
        let fault = YamlFault { line, column: 1, key: String::new(), fault: fault.to_owned() };
        PersonaError::File { path: path.to_owned(), faults: vec![fault] }
    };
    if bytes.len() as u64 > LARGEST {
        return Err(fault(1, "it is larger than 1 MiB; keep the prompts shorter"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        fault(line, "it is not UTF-8; save it as that")
    })?;
    let uncertain = (!stamp.is_certain(clock.now())).then(|| text.clone());
    Ok((text, Seen { stamp: Some(stamp), uncertain }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_at_once_in_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.yaml");
        std::fs::write(&path, "aria: {system_prompt: You are Aria.}\n").unwrap();
        let clock = Clock::system();
        let set = FileSet::open(Some(path.clone()), &clock).unwrap();
        set.look_every(Duration::from_hours(1));
        let has_mara = || set.now(&clock).find("mara").is_some();
        assert!(!has_mara());
        std::fs::write(&path, "mara: {system_prompt: You are Mara.}\n").unwrap();
        assert!(!has_mara(), "it was looked at a moment ago");
        set.look_every(Duration::ZERO);
        assert!(has_mara());
        // Nobody waits for the one that looks.
        let looking = set.looking.lock().unwrap();
        assert!(has_mara());
        drop(looking);
    }
}
