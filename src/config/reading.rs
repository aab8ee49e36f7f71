//! Fills the sections from the layers. A setting that is refused keeps its default, so that the
//! reading goes on and finds all faults.

use super::layers::Layers;
use super::registry::registry;
use super::section::{Declared, Visitor};
use super::sources::{Source, Sources};
use super::value::{Kind, REDACTED, Value};
use super::{Config, ConfigFault, SettingInUse, checks};

pub(super) struct Reading {
    layers: Layers,
    in_use: Vec<SettingInUse>,
    refused: Vec<ConfigFault>,
}

impl Reading {
    pub(super) fn of(sources: &Sources) -> Self {
        Self { layers: Layers::of(sources), in_use: Vec::new(), refused: Vec::new() }
    }

    /// What was found, with how the settings go together. What a fault is about already isn't
    /// compared: it would be the default that is judged.
    pub(super) fn finish(
        self,
        config: &Config,
    ) -> (Vec<SettingInUse>, Vec<String>, Vec<ConfigFault>) {
        let mut faults = self.layers.faults;
        faults.extend(self.refused);
        let blamed: Vec<_> = faults.iter().filter_map(ConfigFault::setting).collect();
        let sound = |findings: Vec<checks::Finding>| {
            let sound = findings.into_iter();
            let sound = sound.filter(|found| !found.names.iter().any(|n| blamed.contains(n)));
            sound.map(|found| found.text).collect::<Vec<_>>()
        };
        let mut warnings = self.layers.warnings;
        warnings.extend(sound(checks::doubts(config)));
        let contradictions = sound(checks::contradictions(config));
        faults.extend(contradictions.into_iter().map(ConfigFault::Incompatible));
        (self.in_use, warnings, faults)
    }
}

impl Visitor for Reading {
    fn section(&mut self, _key: &'static str, _about: &'static str) {}

    fn setting<T: Value>(&mut self, declared: Declared<T>) -> T {
        // The registry was built by the same visit, so it knows them all.
        let Some(setting) = registry().find(&declared.name()) else {
            return declared.default;
        };
        let found = self.layers.find(&setting.name);
        let source = found.as_ref().map_or(Source::Default, |(source, _)| source.clone());
        let read = found.and_then(|(given_in, given)| {
            let read = declared.read(&given.text);
            if read.is_none() {
                let is_alias = setting.aliases.contains(&given.spelled.as_str());
                let hidden = T::KIND == Kind::Secret;
                self.refused.push(ConfigFault::Refused {
                    name: &setting.name,
                    set_as: is_alias.then_some(given.spelled),
                    value: if hidden { REDACTED.to_owned() } else { given.text },
                    given_in,
                    accepts: setting.accepts(),
                });
            }
            read
        });
        let is_default = read.as_ref().is_none_or(|value| *value == declared.default);
        let value = read.unwrap_or(declared.default);
        self.in_use.push(SettingInUse {
            name: &setting.name,
            value: value.show(),
            source,
            is_default,
        });
        value
    }
}
