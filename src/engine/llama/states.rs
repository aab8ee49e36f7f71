//! What was read stays read: states of the KV cache on disk, so that a story needn't be read again
//! after a restart, or after others had the cache. It owns one folder for each model, and its files.
//!
//! A state is two files: llama.cpp's own, and beside it what it holds, written last. A pair that is
//! incomplete, damaged or not ours is left out with a warning; nothing depends on it. States tell
//! what was read to them, so only the owner of the folder may look into it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use llama_cpp_2::token::LlamaToken;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::models::hexadecimal;

/// States of one model, run in one way.
pub(super) struct StateStore {
    folder: PathBuf,
    /// Bytes that all models' states may take together.
    capacity: u64,
    entries: Vec<Entry>,
}

/// A state that can be asked for.
struct Entry {
    name: String,
    tokens: Vec<LlamaToken>,
    checksum: String,
}

/// What stands beside llama.cpp's file.
#[derive(Serialize, Deserialize)]
struct Label {
    /// Token ids, in order.
    tokens: Vec<i32>,
    /// SHA-256 of the other file, in hexadecimal digits.
    checksum: String,
}

/// A state that begins like the prompt.
pub(super) struct FoundState {
    index: usize,
    /// How many tokens of the prompt it holds.
    pub(super) common: usize,
    /// How many tokens it holds in all.
    pub(super) length: usize,
}

const STATE: &str = "state";
const LABEL: &str = "json";

impl StateStore {
    /// Opens, and makes, the folder of this fingerprint. Reads labels only, so it is quick.
    pub(super) fn open(root: &Path, fingerprint: &str, capacity: u64) -> io::Result<Self> {
        let folder = root.join(fingerprint);
        create_private_folder(&folder)?;
        let mut entries = Vec::new();
        for label in files_with_extension(&folder, LABEL)? {
            match read_label(&label) {
                Ok(entry) => entries.push(entry),
                Err(error) => tracing::warn!(
                    "{} isn't the label of a saved state ({error}); it is left out, and can be deleted",
                    label.display()
                ),
            }
        }
        Ok(Self { folder, capacity, entries })
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The state that holds most of the prompt's beginning.
    pub(super) fn find(&self, prompt: &[LlamaToken]) -> Option<FoundState> {
        let found = self.entries.iter().enumerate().map(|(index, entry)| {
            let pairs = entry.tokens.iter().zip(prompt);
            let common = pairs.take_while(|(one, other)| one == other).count();
            FoundState { index, common, length: entry.tokens.len() }
        });
        found.filter(|found| found.common > 0).max_by_key(|found| found.common)
    }

    /// The file to load, checked. A damaged one is forgotten, with a warning.
    pub(super) fn file(&mut self, found: &FoundState) -> Option<PathBuf> {
        let entry = self.entries.get(found.index)?;
        let path = self.path(&entry.name, STATE);
        match checksum(&path) {
            Ok(checksum) if checksum == entry.checksum => {
                // The time of the last use says what to delete first.
                let touched = File::open(&path).and_then(|file| file.set_modified(now()));
                if let Err(error) = touched {
                    tracing::debug!("{}: {error}", path.display());
                }
                Some(path)
            }
            outcome => {
                let why = outcome.map_or_else(|error| error.to_string(), |_| "damaged".to_owned());
                tracing::warn!("the saved state {} is left out: {why}", path.display());
                self.forget(found.index);
                None
            }
        }
    }

    /// Forgets a state that can't be used.
    pub(super) fn reject(&mut self, found: &FoundState) {
        if found.index < self.entries.len() {
            self.forget(found.index);
        }
    }

    /// Keeps the state of `tokens`, which `write` puts into a file. States that hold only a beginning
    /// of it go, and so do the oldest ones if there are too many bytes.
    pub(super) fn save(
        &mut self,
        tokens: &[LlamaToken],
        write: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let ids: Vec<i32> = tokens.iter().map(|token| token.0).collect();
        let name = name_of(&ids);
        let unfinished = self.path(&name, "part");
        let written =
            write(&unfinished).and_then(|()| checksum(&unfinished)).and_then(|checksum| {
                fs::rename(&unfinished, self.path(&name, STATE))?;
                let label = serde_json::to_vec(&Label { tokens: ids, checksum: checksum.clone() })?;
                fs::write(&unfinished, label)?;
                fs::rename(&unfinished, self.path(&name, LABEL))?;
                Ok(checksum)
            });
        let checksum = written.inspect_err(|_| {
            // Half a file is of no use, and the disk may be full.
            let _ = fs::remove_file(&unfinished);
        })?;
        self.entries.retain(|entry| entry.name != name);
        while let Some(index) = self.entries.iter().position(|old| tokens.starts_with(&old.tokens))
        {
            self.forget(index);
        }
        self.entries.push(Entry { name, tokens: tokens.to_vec(), checksum });
        self.keep_within_capacity()
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.folder.join(name).with_extension(extension)
    }

    /// Deletes every state, other models' too.
    pub(super) fn forget_all(&mut self) {
        while !self.entries.is_empty() {
            self.forget(0);
        }
        let root = self.folder.parent().unwrap_or(&self.folder);
        let others = fs::read_dir(root).into_iter().flatten().flatten();
        for folder in others.map(|entry| entry.path()).filter(|path| path.is_dir()) {
            for extension in [LABEL, STATE] {
                for path in files_with_extension(&folder, extension).unwrap_or_default() {
                    if let Err(error) = fs::remove_file(&path) {
                        tracing::warn!("{} can't be deleted: {error}", path.display());
                    }
                }
            }
        }
    }

    fn forget(&mut self, index: usize) {
        let entry = self.entries.swap_remove(index);
        for extension in [LABEL, STATE] {
            let path = self.path(&entry.name, extension);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("{} can't be deleted: {error}", path.display());
            }
        }
    }

    /// Deletes the states that were used least lately, other models' too.
    fn keep_within_capacity(&mut self) -> io::Result<()> {
        let root = self.folder.parent().unwrap_or(&self.folder);
        let mut states = Vec::new();
        for folder in fs::read_dir(root)? {
            let folder = folder?.path();
            if !folder.is_dir() {
                continue;
            }
            for path in files_with_extension(&folder, STATE)? {
                let about = fs::metadata(&path)?;
                states.push((about.modified()?, about.len(), path));
            }
        }
        states.sort();
        let mut bytes: u64 = states.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, size, path) in states {
            if bytes <= self.capacity {
                break;
            }
            fs::remove_file(&path)?;
            // A label may be missing.
            let _ = fs::remove_file(path.with_extension(LABEL));
            bytes -= size;
            let (folder, name) = (path.parent(), path.file_stem().and_then(|name| name.to_str()));
            if folder == Some(&*self.folder) {
                self.entries.retain(|entry| Some(&*entry.name) != name);
            }
        }
        Ok(())
    }
}

fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn files_with_extension(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    Ok(files)
}

fn read_label(path: &Path) -> anyhow::Result<Entry> {
    let label: Label = serde_json::from_slice(&fs::read(path)?)?;
    let name = name_of(&label.tokens);
    anyhow::ensure!(path.file_stem().is_some_and(|stem| stem == &*name), "it is named wrongly");
    anyhow::ensure!(path.with_extension(STATE).is_file(), "its state is missing");
    let tokens = label.tokens.into_iter().map(LlamaToken).collect();
    Ok(Entry { name, tokens, checksum: label.checksum })
}

/// States are named by what they hold, so one replaces itself.
fn name_of(tokens: &[i32]) -> String {
    let mut hash = Sha256::new();
    for token in tokens {
        hash.update(token.to_le_bytes());
    }
    hexadecimal(&hash.finalize()[..16])
}

fn checksum(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut HashWriter(&mut hash))?;
    Ok(hexadecimal(&hash.finalize()))
}

#[expect(clippy::disallowed_methods, reason = "files' own times, compared with each other only")]
fn now() -> SystemTime {
    SystemTime::now()
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a state depends on beside its tokens: the model's file, and how it is run. The file is known
/// by its size, its time, and its two ends.
pub(super) fn fingerprint(model: &Path, settings: &str) -> io::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const END: u64 = 1 << 20;
    let mut file = File::open(model)?;
    let about = file.metadata()?;
    let mut ends = Vec::new();
    (&mut file).take(END).read_to_end(&mut ends)?;
    file.seek(SeekFrom::Start(about.len().saturating_sub(END)))?;
    (&mut file).take(END).read_to_end(&mut ends)?;
    let mut hash = Sha256::new();
    hash.update(about.len().to_le_bytes());
    hash.update(ends);
    hash.update(settings);
    Ok(hexadecimal(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<LlamaToken> {
        text.bytes().map(|byte| LlamaToken(byte.into())).collect()
    }

    fn save(store: &mut StateStore, text: &str) {
        store.save(&tokens(text), |path| fs::write(path, text)).unwrap();
    }

    fn load(store: &mut StateStore, prompt: &str) -> Option<(String, usize)> {
        let found = store.find(&tokens(prompt))?;
        let path = store.file(&found)?;
        Some((fs::read_to_string(path).unwrap(), found.common))
    }

    #[test]
    fn a_state_is_found_again_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        save(&mut StateStore::open(root.path(), "model", 1_000).unwrap(), "the story so far");
        let mut store = StateStore::open(root.path(), "model", 1_000).unwrap();
        let found = load(&mut store, "the story goes on");
        assert_eq!(found, Some(("the story so far".to_owned(), 10)));
        let mut other = StateStore::open(root.path(), "another model", 1_000).unwrap();
        assert_eq!(load(&mut other, "the story goes on"), None);
    }

    #[test]
    fn a_longer_state_replaces_its_beginning() {
        let root = tempfile::tempdir().unwrap();
        let mut store = StateStore::open(root.path(), "model", 1_000).unwrap();
        save(&mut store, "the story");
        save(&mut store, "the story so far");
        assert_eq!(store.entries.len(), 1);
        assert_eq!(files_with_extension(&store.folder, STATE).unwrap().len(), 1);
    }

    #[test]
    fn damaged_and_foreign_files_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let mut store = StateStore::open(root.path(), "model", 1_000).unwrap();
        save(&mut store, "the story so far");
        save(&mut store, "another story");
        fs::write(store.folder.join("foreign.json"), "not a label").unwrap();
        let found = store.find(&tokens("the story")).unwrap();
        let damaged = store.path(&store.entries[found.index].name, STATE);
        fs::write(&damaged, "the sturgeon").unwrap();
        let mut store = StateStore::open(root.path(), "model", 1_000).unwrap();
        assert_eq!(store.entries.len(), 2);
        assert_eq!(load(&mut store, "the story"), None);
        assert!(!damaged.exists());
        assert!(load(&mut store, "another story").is_some());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_bytes() {
        let root = tempfile::tempdir().unwrap();
        let mut other = StateStore::open(root.path(), "another model", 25).unwrap();
        save(&mut other, "0123456789");
        let old = other.path(&other.entries[0].name, STATE);
        let before = SystemTime::UNIX_EPOCH;
        File::options().write(true).open(&old).unwrap().set_modified(before).unwrap();
        let mut store = StateStore::open(root.path(), "model", 25).unwrap();
        save(&mut store, "abcdefghij");
        assert!(old.exists());
        save(&mut store, "klmnopqrst");
        assert!(!old.exists());
        assert_eq!(store.entries.len(), 2);
    }

    #[test]
    fn what_can_not_be_written_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut store = StateStore::open(root.path(), "model", 1_000).unwrap();
        let failed = store.save(&tokens("the story"), |path| {
            fs::write(path, "half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), 0);
    }
}
