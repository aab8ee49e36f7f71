//! The layers of settings, stacked by figment: command line over environment over `.env` over
//! `rhapsode.toml`. A layer speaks of settings by their main names; aliases end here.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};

use super::faults::ConfigFault;
use super::registry::{Setting, registry};
use super::sources::{Source, Sources};
use super::value::REDACTED;
use super::{dotenv, toml_file};

/// What one source says.
pub(super) struct Layer {
    pub(super) source: Source,
    given: BTreeMap<&'static str, Given>,
}

/// One setting in one layer.
#[derive(Clone)]
pub(super) struct Given {
    /// The name it was given by: the main one, an alias, or with a table before it.
    pub(super) spelled: String,
    pub(super) text: String,
}

/// All layers of a load, with what was wrong in reading them.
#[derive(Default)]
pub(super) struct Layers {
    /// From the lowest to the highest.
    read: Vec<Layer>,
    stacked: Figment,
    pub(super) faults: Vec<ConfigFault>,
    pub(super) warnings: Vec<String>,
}

impl Layers {
    pub(super) fn of(sources: &Sources) -> Self {
        let mut all = Self::default();
        if let Some(path) = &sources.toml {
            all.add_toml(path);
        }
        if let Some(path) = &sources.dotenv {
            all.add_dotenv(path);
        }
        all.add_environment(&sources.environment);
        all.add_overrides(&sources.overrides);
        all
    }

    /// What the topmost layer that names this setting says of it.
    pub(super) fn find(&self, name: &str) -> Option<(Source, Given)> {
        let metadata = self.stacked.find_metadata(name)?;
        let layer = self.read.iter().find(|layer| layer.label() == metadata.name)?;
        Some((layer.source.clone(), layer.given.get(name)?.clone()))
    }

    fn push(&mut self, layer: Layer) {
        self.stacked = std::mem::take(&mut self.stacked).merge(&layer);
        self.read.push(layer);
    }

    fn add_toml(&mut self, path: &Path) {
        let mut layer = Layer::new(Source::ConfigFile(path.to_owned()));
        let entries = read(path).and_then(|text| toml_file::entries(path, &text));
        let entries = entries.unwrap_or_else(|fault| {
            self.faults.push(fault);
            Vec::new()
        });
        for entry in entries {
            let setting = match entry.setting(&layer.source) {
                Ok(setting) => setting,
                Err(fault) => {
                    self.faults.push(fault);
                    continue;
                }
            };
            self.faults.extend(layer.give(setting, &entry.spelled(), entry.text));
        }
        self.push(layer);
    }

    /// Names that are no settings belong to others, unless they look like a typo.
    fn add_dotenv(&mut self, path: &Path) {
        let mut layer = Layer::new(Source::DotEnv);
        let pairs = read(path).map(|text| dotenv::pairs(path, &text));
        let (pairs, faults) = pairs.unwrap_or_else(|fault| (Vec::new(), vec![fault]));
        self.faults.extend(faults);
        // As elsewhere, the last line of a name wins; a map keeps it, and the count of lines.
        let mut last: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for (name, text) in pairs {
            let times = last.get(&name).map_or(0, |(times, _)| *times);
            last.insert(name, (times + 1, text));
        }
        for (name, (times, text)) in last {
            match registry().find(&name) {
                Some(setting) => {
                    if times > 1 {
                        let warning = format!("{name} stands {times} times in .env: the last wins");
                        self.warnings.push(warning);
                    }
                    self.faults.extend(layer.give_unless_empty(setting, &name, text));
                }
                None => self.warnings.extend(registry().nearest(&name).map(|nearest| {
                    format!("{name} in .env is no setting and is ignored; did you mean {nearest}?")
                })),
            }
        }
        self.push(layer);
    }

    fn add_environment(&mut self, pairs: &[(String, String)]) {
        let mut layer = Layer::new(Source::Environment);
        for (name, text) in pairs {
            if let Some(setting) = registry().find(name) {
                self.faults.extend(layer.give_unless_empty(setting, name, text.clone()));
            }
        }
        self.push(layer);
    }

    fn add_overrides(&mut self, pairs: &[(String, String)]) {
        let mut layer = Layer::new(Source::CommandLine);
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        for (name, text) in pairs {
            last.insert(name.to_ascii_uppercase(), text.clone());
        }
        for (name, text) in last {
            match registry().find(&name) {
                Some(setting) => self.faults.extend(layer.give(setting, &name, text)),
                None => self.faults.push(ConfigFault::Unknown {
                    given_in: Source::CommandLine,
                    nearest: registry().nearest(&name).map(str::to_owned),
                    name,
                }),
            }
        }
        self.push(layer);
    }
}

impl Layer {
    fn new(source: Source) -> Self {
        Self { source, given: BTreeMap::new() }
    }

    /// figment's name for the layer: no two sources share it.
    fn label(&self) -> String {
        format!("{:?}", self.source)
    }

    /// Records a value. Given twice, by two spellings, it must be the same both times.
    fn give(
        &mut self,
        setting: &'static Setting,
        spelled: &str,
        text: String,
    ) -> Option<ConfigFault> {
        let Some(before) = self.given.get(setting.name.as_str()) else {
            let given = Given { spelled: spelled.to_owned(), text };
            self.given.insert(&setting.name, given);
            return None;
        };
        if before.text.trim() == text.trim() {
            return None;
        }
        let shown = |text: &str| {
            if setting.is_secret() { REDACTED.to_owned() } else { format!("{text:?}") }
        };
        let first = format!("{} = {}", before.spelled, shown(&before.text));
        Some(ConfigFault::Contradicted {
            name: &setting.name,
            both: format!("{first} and {spelled} = {}", shown(&text)),
            given_in: self.source.clone(),
        })
    }

    /// Environments and `.env` files unset an optional setting by leaving it empty.
    fn give_unless_empty(
        &mut self,
        setting: &'static Setting,
        spelled: &str,
        text: String,
    ) -> Option<ConfigFault> {
        if setting.optional && text.trim().is_empty() {
            return None;
        }
        self.give(setting, spelled, text)
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.label())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let values = self.given.iter();
        let values = values.map(|(name, given)| ((*name).to_owned(), given.text.clone().into()));
        Ok(Map::from([(Profile::Default, values.collect())]))
    }
}

fn read(path: &Path) -> Result<String, ConfigFault> {
    std::fs::read_to_string(path).map_err(|error| ConfigFault::File {
        path: path.to_owned(),
        line: None,
        problem: format!("can't be read: {error}"),
    })
}
