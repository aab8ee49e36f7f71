//! What can be set: names, aliases, kinds, defaults, ranges, meanings. Knows no values in use.

use std::sync::LazyLock;

use super::Config;
use super::section::{Declared, Visitor};
use super::value::{Kind, Value};

/// Every setting there is, in the order of the documents.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::of_config);
    &REGISTRY
}

#[derive(Debug)]
pub struct Registry {
    pub sections: Vec<SectionEntry>,
    pub settings: Vec<Setting>,
}

#[derive(Debug)]
pub struct SectionEntry {
    /// The field of `Config`, and the table of `rhapsode.toml`.
    pub key: &'static str,
    /// What the section is about, as one paragraph.
    pub about: String,
}

#[derive(Debug)]
pub struct Setting {
    pub name: String,
    pub section: &'static str,
    pub aliases: &'static [&'static str],
    /// What it does, in units, as one paragraph.
    pub doc: String,
    pub kind: Kind,
    /// As `.env` would write it; empty when unset.
    pub default: String,
    /// Whether it may stay unset.
    pub optional: bool,
    pub least: Option<String>,
    pub most: Option<String>,
    /// Demands beyond kind and range.
    pub shape: Option<&'static str>,
}

impl Registry {
    /// The setting of this name or alias, which must be in upper case.
    pub fn find(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name == name || setting.aliases.contains(&name))
    }

    /// Every name and alias.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().flat_map(|setting| {
            std::iter::once(setting.name.as_str()).chain(setting.aliases.iter().copied())
        })
    }

    /// The name that was likely meant by one that isn't known.
    pub fn nearest(&self, unknown: &str) -> Option<&str> {
        nearest(&unknown.to_ascii_uppercase(), self.names())
    }

    /// The section that was likely meant by one that isn't known.
    pub(super) fn nearest_section(&self, unknown: &str) -> Option<&'static str> {
        let keys = self.sections.iter().map(|section| section.key);
        nearest(&unknown.to_ascii_lowercase(), keys)
    }

    fn of_config() -> Self {
        let mut registry = Self { sections: Vec::new(), settings: Vec::new() };
        // Only the visit matters here; the Config it builds holds the defaults.
        let _defaults = Config::visit(&mut registry);
        registry
    }
}

impl Visitor for Registry {
    fn section(&mut self, key: &'static str, about: &'static str) {
        self.sections.push(SectionEntry { key, about: paragraph(about) });
    }

    fn setting<T: Value>(&mut self, declared: Declared<T>) -> T {
        let section = self.sections.last().map_or("", |section| section.key);
        self.settings.push(Setting {
            name: declared.name(),
            section,
            aliases: declared.aliases,
            doc: paragraph(declared.doc),
            kind: T::KIND,
            default: declared.default.show(),
            optional: T::OPTIONAL,
            least: declared.least.map(|least| format!("{least:?}")),
            most: declared.most.map(|most| format!("{most:?}")),
            shape: declared.shape.map(|(expected, _)| expected),
        });
        declared.default
    }
}

impl Setting {
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// The legal values, to follow "must be".
    pub fn accepts(&self) -> String {
        let kind = self.shape.map_or_else(|| self.kind.accepts(), str::to_owned);
        match (&self.least, &self.most) {
            (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
            (Some(least), None) => format!("{kind}, {least} or more"),
            (None, Some(most)) => format!("{kind}, {most} or less"),
            (None, None) => kind,
        }
    }
}

fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// More edits than this and the two are rather different words.
    const MOST_EDITS: usize = 3;
    let tolerance = (unknown.len() / 4).clamp(1, MOST_EDITS);
    known
        .map(|name| (strsim::damerau_levenshtein(name, unknown), name))
        .filter(|(edits, _)| *edits <= tolerance)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Doc comments are lines with a leading space; everywhere else they are one paragraph.
fn paragraph(lines: &str) -> String {
    lines.split_whitespace().collect::<Vec<_>>().join(" ")
}
