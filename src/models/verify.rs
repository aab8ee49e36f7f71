//! Is a file what it should be? Sizes for a quick look, SHA-256 where it must be sure. Blocking:
//! hashing gigabytes belongs on a blocking thread.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::ModelError;

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrutiny {
    /// Sizes only: at once.
    Size,
    /// Every byte: about a second a gigabyte.
    Checksum,
}

/// What looking at a file found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    Right,
    Missing,
    Wrong(Difference),
}

/// In what a file differs from what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Size { found: u64, expected: u64 },
    Sha256 { found: String, expected: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { found, expected } => {
                write!(f, "it has {found} bytes instead of {expected}")
            }
            Self::Sha256 { found, expected } => {
                write!(f, "its SHA-256 is {found} instead of {expected}")
            }
        }
    }
}

/// Compares a file with what is known of it; what is `None` is not compared.
pub(super) fn file_state(
    path: &Path,
    bytes: Option<u64>,
    sha256: Option<&str>,
) -> Result<FileState, ModelError> {
    let found = match path.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(FileState::Missing),
        Err(error) => return Err(ModelError::file("look at", path)(error)),
    };
    if let Some(expected) = bytes
        && expected != found
    {
        return Ok(FileState::Wrong(Difference::Size { found, expected }));
    }
    let Some(expected) = sha256 else {
        return Ok(FileState::Right);
    };
    let found = sha256_of(path)?;
    if found == expected {
        Ok(FileState::Right)
    } else {
        Ok(FileState::Wrong(Difference::Sha256 { found, expected: expected.to_owned() }))
    }
}

/// The first four bytes of a GGUF file.
const GGUF_MAGIC: &[u8; 4] = b"GGUF";

/// Whether the file begins as a GGUF file does.
pub(super) fn begins_as_gguf(path: &Path) -> Result<bool, ModelError> {
    let mut file = File::open(path).map_err(ModelError::file("open", path))?;
    let mut start = [0; GGUF_MAGIC.len()];
    match file.read_exact(&mut start) {
        Ok(()) => Ok(&start == GGUF_MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(ModelError::file("read", path)(error)),
    }
}

fn sha256_of(path: &Path) -> Result<String, ModelError> {
    let mut file = File::open(path).map_err(ModelError::file("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(ModelError::file("read", path))?;
        if count == 0 {
            return Ok(hexadecimal(&hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// In lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "abc", from FIPS 180-4's examples.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn size_then_hash_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        assert_eq!(file_state(&path, Some(3), Some(ABC)).unwrap(), FileState::Missing);
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(file_state(&path, Some(3), Some(ABC)).unwrap(), FileState::Right);
        assert_eq!(
            file_state(&path, Some(4), Some(ABC)).unwrap(),
            FileState::Wrong(Difference::Size { found: 3, expected: 4 })
        );
        std::fs::write(&path, "abd").unwrap();
        let state = file_state(&path, Some(3), Some(ABC)).unwrap();
        assert!(matches!(state, FileState::Wrong(Difference::Sha256 { .. })), "{state:?}");
        assert_eq!(file_state(&path, Some(3), None).unwrap(), FileState::Right);
    }

    #[test]
    fn a_web_page_is_no_gguf() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (content, expected) in [("GGUF\u{3}", true), ("<html>", false), ("GG", false)] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(begins_as_gguf(&path).unwrap(), expected, "{content}");
        }
    }
}
