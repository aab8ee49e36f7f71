//! What lies in the models directory, for lists and for start-up. Reads only; blocking.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ModelError;
use super::catalogue::{CATALOGUE, CatalogueModel, ModelKind};
use super::verify::{FileState, Scrutiny, begins_as_gguf, file_state};

/// Everything in a models directory that has to do with models.
#[derive(Debug)]
pub struct Inventory {
    /// Every model of the catalogue, there or not.
    pub catalogue: Vec<CatalogueItem>,
    /// GGUF files that are in no catalogue, by name.
    pub others: Vec<OtherModel>,
}

#[derive(Debug)]
pub struct CatalogueItem {
    pub model: &'static CatalogueModel,
    /// Where it is, or would be.
    pub path: PathBuf,
    pub state: ModelState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelState {
    Installed,
    /// None of its files is there.
    Missing,
    /// Pull it again. Says what is wrong.
    Damaged(String),
}

/// A GGUF file someone brought.
#[derive(Debug)]
pub struct OtherModel {
    pub name: String,
    pub path: PathBuf,
    pub bytes: u64,
    /// Whether it begins as GGUF files do.
    pub is_gguf: bool,
}

/// Looks through `models_dir`; one that does not exist holds nothing.
pub fn installed(models_dir: &Path, scrutiny: Scrutiny) -> Result<Inventory, ModelError> {
    let catalogue = CATALOGUE
        .iter()
        .map(|model| {
            Ok(CatalogueItem {
                model,
                path: model.path(models_dir),
                state: model_state(model, models_dir, scrutiny)?,
            })
        })
        .collect::<Result<_, ModelError>>()?;
    Ok(Inventory { catalogue, others: others(models_dir)? })
}

/// The text model to use where no setting names one: the catalogue's default if it is there, else
/// the only other GGUF file. `None` where there is nothing to choose, or no way to choose.
pub fn default_text_model(models_dir: &Path) -> Option<PathBuf> {
    let default = CATALOGUE
        .iter()
        .filter(|model| model.kind == ModelKind::TextGeneration)
        .find(|model| {
            model_state(model, models_dir, Scrutiny::Size)
                .is_ok_and(|state| state == ModelState::Installed)
        })
        .map(|model| model.path(models_dir));
    default.or_else(|| {
        let mut usable = others(models_dir).ok()?.into_iter().filter(|other| other.is_gguf);
        match (usable.next(), usable.next()) {
            (Some(only), None) => Some(only.path),
            _ => None,
        }
    })
}

fn model_state(
    model: &CatalogueModel,
    models_dir: &Path,
    scrutiny: Scrutiny,
) -> Result<ModelState, ModelError> {
    let mut missing = Vec::new();
    for file in model.files {
        let sha256 = (scrutiny == Scrutiny::Checksum).then_some(file.sha256);
        match file_state(&models_dir.join(file.target), Some(file.bytes), sha256)? {
            FileState::Right => {}
            FileState::Missing => missing.push(file.target),
            FileState::Wrong(difference) => {
                return Ok(ModelState::Damaged(format!("{}: {difference}", file.target)));
            }
        }
    }
    Ok(if missing.is_empty() {
        ModelState::Installed
    } else if missing.len() == model.files.len() {
        ModelState::Missing
    } else {
        ModelState::Damaged(format!("{} is missing", missing.join(", ")))
    })
}

fn others(models_dir: &Path) -> Result<Vec<OtherModel>, ModelError> {
    let entries = match fs::read_dir(models_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ModelError::file("read", models_dir)(error)),
    };
    let mut others = Vec::new();
    for entry in entries {
        let path = entry.map_err(ModelError::file("read", models_dir))?.path();
        let is_named_gguf = path
            .extension()
            .and_then(OsStr::to_str)
            .is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
        if !is_named_gguf || !path.is_file() || is_in_catalogue(&path, models_dir) {
            continue;
        }
        let metadata = path.metadata().map_err(ModelError::file("look at", &path))?;
        others.push(OtherModel {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: metadata.len(),
            is_gguf: begins_as_gguf(&path)?,
            path,
        });
    }
    others.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(others)
}

fn is_in_catalogue(path: &Path, models_dir: &Path) -> bool {
    CATALOGUE.iter().flat_map(|model| model.files).any(|file| models_dir.join(file.target) == path)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn state_of(name: &str, inventory: &Inventory) -> ModelState {
        let item = inventory.catalogue.iter().find(|item| item.model.name == name).unwrap();
        item.state.clone()
    }

    /// A file of the right size, without its content: sparse, so it costs nothing.
    fn pretend_installed(name: &str, models_dir: &Path) {
        for file in CatalogueModel::named(name).unwrap().files {
            let path = models_dir.join(file.target);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(path).unwrap().set_len(file.bytes).unwrap();
        }
    }

    #[test]
    fn a_directory_that_does_not_exist_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inventory = installed(&folder.path().join("none"), Scrutiny::Size).unwrap();
        assert!(inventory.catalogue.iter().all(|item| item.state == ModelState::Missing));
        assert!(inventory.others.is_empty());
        assert_eq!(default_text_model(&folder.path().join("none")), None);
    }

    #[test]
    fn sizes_tell_installed_from_damaged_and_hashes_tell_more() {
        let folder = tempfile::tempdir().unwrap();
        pretend_installed("all-minilm-l6-v2", folder.path());
        let by_size = installed(folder.path(), Scrutiny::Size).unwrap();
        assert_eq!(state_of("all-minilm-l6-v2", &by_size), ModelState::Installed);
        assert_eq!(state_of("smollm2-135m-instruct", &by_size), ModelState::Missing);
        let by_hash = installed(folder.path(), Scrutiny::Checksum).unwrap();
        assert!(matches!(state_of("all-minilm-l6-v2", &by_hash), ModelState::Damaged(_)));

        fs::remove_file(folder.path().join("all-MiniLM-L6-v2/config.json")).unwrap();
        let partly = installed(folder.path(), Scrutiny::Size).unwrap();
        assert_eq!(
            state_of("all-minilm-l6-v2", &partly),
            ModelState::Damaged("all-MiniLM-L6-v2/config.json is missing".to_owned())
        );
    }

    #[test]
    fn other_gguf_files_are_listed_and_a_lone_one_is_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let brought = folder.path().join("brought.gguf");
        fs::write(&brought, "GGUF and so on").unwrap();
        fs::write(folder.path().join("page.GGUF"), "<html>").unwrap();
        fs::write(folder.path().join("half.gguf.part"), "GGUF").unwrap();
        let inventory = installed(folder.path(), Scrutiny::Size).unwrap();
        let found: Vec<_> =
            inventory.others.iter().map(|other| (other.name.as_str(), other.is_gguf)).collect();
        assert_eq!(found, [("brought.gguf", true), ("page.GGUF", false)]);
        assert_eq!(default_text_model(folder.path()), Some(brought));

        fs::write(folder.path().join("second.gguf"), "GGUF").unwrap();
        assert_eq!(default_text_model(folder.path()), None);

        pretend_installed("smollm2-135m-instruct", folder.path());
        let default = folder.path().join("SmolLM2-135M-Instruct.Q4_1.gguf");
        assert_eq!(default_text_model(folder.path()), Some(default));
    }
}
