//! What can be wrong with the settings, in words that say what to do. A secret's value is
//! redacted before it gets here.

use std::path::PathBuf;

use super::Source;

/// Everything that is wrong, one fault a line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigFaults(pub Vec<ConfigFault>);

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigFault {
    /// A value outside its type, range or choices. `set_as` is the alias it was set by, if any.
    #[error("{name} = {value:?} ({given_in}{}): must be {accepts}", by_alias(.set_as.as_deref()))]
    Refused {
        name: &'static str,
        set_as: Option<String>,
        value: String,
        given_in: Source,
        accepts: String,
    },

    /// A name in `rhapsode.toml` or on the command line that is no setting.
    #[error("{name} ({given_in}): no such setting{}", did_you_mean(.nearest.as_deref()))]
    Unknown { name: String, given_in: Source, nearest: Option<String> },

    /// A setting in a table of `rhapsode.toml` that isn't its own.
    #[error("{name} ({given_in}): belongs in the table [{table}], or above all tables")]
    Misplaced { name: String, given_in: Source, table: &'static str },

    /// One setting, set twice in one place to different values; `both` spells them out.
    #[error("{name} ({given_in}): has two different values, {both}; keep one")]
    Contradicted { name: &'static str, both: String, given_in: Source },

    /// Settings that are legal each, but not together.
    #[error("{0}")]
    Incompatible(String),

    /// A file that can't be read or understood.
    #[error("{}{}: {problem}", path.display(), at_line(*.line))]
    File { path: PathBuf, line: Option<usize>, problem: String },
}

impl ConfigFault {
    /// The setting it is about, where it is about one.
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            Self::Refused { name, .. } | Self::Contradicted { name, .. } => Some(name),
            Self::Unknown { .. }
            | Self::Misplaced { .. }
            | Self::Incompatible(_)
            | Self::File { .. } => None,
        }
    }
}

fn lines(faults: &[ConfigFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn by_alias(set_as: Option<&str>) -> String {
    set_as.map_or_else(String::new, |alias| format!(", as {alias}"))
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}
