//! Where settings come from, and the only place that reads the process environment.

use std::fmt;
use std::path::{Path, PathBuf};

use super::registry::registry;

/// What set a value. Later ones win.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Default,
    /// `rhapsode.toml`, or the file named in its place.
    ConfigFile(PathBuf),
    DotEnv,
    Environment,
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::ConfigFile(path) => path.display().fmt(formatter),
            Self::DotEnv => formatter.write_str(".env"),
            Self::Environment => formatter.write_str("environment"),
            Self::CommandLine => formatter.write_str("command line"),
        }
    }
}

/// All layers but the defaults. Plain data, so that tests need no real environment.
#[derive(Clone, Default)]
pub struct Sources {
    /// From the command line, names in either case. The last of a name wins.
    pub overrides: Vec<(String, String)>,
    /// Names that are no settings are ignored.
    pub environment: Vec<(String, String)>,
    /// A `.env` file that must exist.
    pub dotenv: Option<PathBuf>,
    /// A `rhapsode.toml` that must exist.
    pub toml: Option<PathBuf>,
}

impl Sources {
    /// The layers of this process: its environment, and `.env` and `rhapsode.toml` of the working
    /// directory where they exist. A config file that was asked for by name must exist.
    pub fn of_process(overrides: Vec<(String, String)>, config_file: Option<PathBuf>) -> Self {
        Self {
            overrides,
            environment: registry().names().filter_map(environment_variable).collect(),
            dotenv: if_present(".env"),
            toml: config_file.or_else(|| if_present("rhapsode.toml")),
        }
    }
}

/// A value that isn't Unicode is kept with replacement characters, so that its setting's own
/// check can name it.
#[expect(clippy::disallowed_methods, reason = "this is the room that reads the environment")]
fn environment_variable(name: &str) -> Option<(String, String)> {
    let value = std::env::var_os(name)?;
    Some((name.to_owned(), value.to_string_lossy().into_owned()))
}

/// A file that can't even be looked for is kept: loading it says why.
fn if_present(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    path.try_exists().unwrap_or(true).then(|| path.to_owned())
}

/// Names only: a value may be a secret.
impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(name, _)| name.clone()).collect()
        };
        formatter
            .debug_struct("Sources")
            .field("overrides", &names(&self.overrides))
            .field("environment", &names(&self.environment))
            .field("dotenv", &self.dotenv)
            .field("toml", &self.toml)
            .finish()
    }
}
