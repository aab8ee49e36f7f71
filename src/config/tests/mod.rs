//! Claims about the whole room. What one file does alone is tested in that file.

use std::fs;

use tempfile::TempDir;

use super::{Config, SettingInUse, Sources};

mod contract;
mod documents;
mod faulty;
mod layered;

/// Sources with files that live as long as their folder.
struct Files {
    folder: TempDir,
    sources: Sources,
}

fn files() -> Files {
    Files { folder: TempDir::new().unwrap(), sources: Sources::default() }
}

impl Files {
    fn toml(mut self, text: &str) -> Self {
        let path = self.folder.path().join("rhapsode.toml");
        fs::write(&path, text).unwrap();
        self.sources.toml = Some(path);
        self
    }

    fn dotenv(mut self, text: &str) -> Self {
        let path = self.folder.path().join(".env");
        fs::write(&path, text).unwrap();
        self.sources.dotenv = Some(path);
        self
    }

    fn environment(mut self, pairs: &[(&str, &str)]) -> Self {
        self.sources.environment = owned(pairs);
        self
    }

    fn overrides(mut self, pairs: &[(&str, &str)]) -> Self {
        self.sources.overrides = owned(pairs);
        self
    }

    fn load(&self) -> Config {
        Config::load(&self.sources).unwrap()
    }

    /// The faults as a person reads them, with the folder's path taken off.
    fn faults(&self) -> String {
        let folder = format!("{}{}", self.folder.path().display(), std::path::MAIN_SEPARATOR);
        Config::load(&self.sources).unwrap_err().to_string().replace(&folder, "")
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn in_use<'a>(config: &'a Config, name: &str) -> &'a SettingInUse {
    config.settings().find(|setting| setting.name == name).unwrap()
}
