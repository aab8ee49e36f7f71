//! The documents for users, written from the registry: `CONFIGURATION.md` and `.env.example`.

use std::fmt::Write;

use super::registry::{Registry, SectionEntry, Setting, registry};
use super::value::Kind;

const INTRODUCTION: &str = "\
# Configuration

Nothing has to be set: every setting has a default. This page is generated from the code; `rhapsode check` shows the values in use, where each comes from, and everything that is wrong.

## Where settings come from

The first of these that names a setting wins:

1. the command line
2. the environment
3. `.env` in the working directory
4. `rhapsode.toml` in the working directory, or the file given by `--config`
5. the default

In the environment and in `.env` names are in upper case. In `rhapsode.toml` they may be in lower case too, and stand in the table of their section:

```toml
port = 8080

[engine]
model_path = \"models/story.gguf\"
llm_n_ctx = 8192
```

- A value that can't be read or is out of its range keeps the server from starting. All such faults are reported at once.
- A name that is no setting is a fault in `rhapsode.toml` and on the command line. Elsewhere it is ignored, since the environment is shared; a likely typo in `.env` is warned about.
- Some settings have aliases, the names that other servers use. A setting and its alias may both be set in one place only if they agree.
- An optional setting left empty in the environment or in `.env` counts as not set there. On the command line and in `rhapsode.toml`, empty unsets it.
- In `.env`, quote values that hold spaces, and use single quotes where they hold `$` or `\\`: outside them `$NAME` stands for the environment's `NAME`.
- true/false may also be written 1/0, yes/no or on/off. Sizes in bytes take plain numbers or units: KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024). Words are taken in any case.

Rules between settings: `CONTEXT_BUFFER_TOKENS` is less than `CONTEXT_MAX_TOKENS`; the five `CONTEXT_LAYER_*_TOKENS` together are at most `CONTEXT_MAX_TOKENS` − `CONTEXT_BUFFER_TOKENS`; `CONTEXT_MIN_PRIORITY_THRESHOLD` is at most `CONTEXT_HIGH_PRIORITY_THRESHOLD`; the four `*_TOKEN_PERCENT` are 100 together; `ARCHIVE_CHUNK_OVERLAP` leaves room in `ARCHIVE_CHUNK_CHARACTERS`; `ARCHIVE_BACKEND=chroma` needs `CHROMA_URL`; an `LLM_PROVIDER` other than llama needs its URL, model or key; `HOST` beyond this machine needs `API_KEYS` or `ALLOW_OPEN`. `rhapsode check` names what is broken.
";

const ENV_HEADER: &str = "\
# Settings of Rhapsode. Copy this file to .env, and take the # off the lines that you change.
# Command line and environment win over this file, and it wins over rhapsode.toml.
# CONFIGURATION.md says more.
";

/// All settings as a Markdown document, a table a section.
pub fn configuration_md() -> String {
    let mut document = INTRODUCTION.to_owned();
    for section in &registry().sections {
        let SectionEntry { key, about } = section;
        let _ = write!(document, "\n## `[{key}]`\n\n{about}\n\n");
        document
            .push_str("| Setting | Type | Default | Range | Meaning |\n|---|---|---|---|---|\n");
        for setting in registry().of_section(section) {
            let text = meaning(setting);
            let cells = [
                format!("`{}`", setting.name),
                setting.kind.noun().to_owned(),
                default_cell(setting),
                range_cell(setting),
                text,
            ];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(document, "| {} |", cells.join(" | "));
        }
    }
    document
}

/// All settings as a `.env` file, commented out, at their defaults.
pub fn env_example() -> String {
    let mut document = ENV_HEADER.to_owned();
    for section in &registry().sections {
        let heading = wrapped(&section.about.replace('`', ""));
        let _ = write!(document, "\n\n# ---- {} ----\n{heading}", section.key);
        for setting in registry().of_section(section) {
            let text = meaning(setting);
            let mut text = text.replace('`', "");
            let range = range_cell(setting).replace('`', "");
            if !range.is_empty() {
                let _ = write!(text, " ({range})");
            }
            let default = env_value(&setting.default);
            let _ = write!(document, "\n{}#{}={default}\n", wrapped(&text), setting.name);
        }
    }
    document
}

impl Registry {
    fn of_section(&self, section: &SectionEntry) -> impl Iterator<Item = &Setting> {
        let key = section.key;
        self.settings.iter().filter(move |setting| setting.section == key)
    }
}

fn default_cell(setting: &Setting) -> String {
    if setting.default.is_empty() { "unset".to_owned() } else { format!("`{}`", setting.default) }
}

fn range_cell(setting: &Setting) -> String {
    match (&setting.least, &setting.most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("{least} or more"),
        (None, Some(most)) => format!("{most} or less"),
        (None, None) => match setting.kind {
            Kind::Choice(words) => in_code(words),
            _ => String::new(),
        },
    }
}

fn in_code(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The doc and the aliases.
fn meaning(setting: &Setting) -> String {
    let mut text = setting.doc.clone();
    if !setting.aliases.is_empty() {
        let _ = write!(text, " Also: {}.", in_code(setting.aliases));
    }
    text
}

/// Quoted where a `.env` reader would take it apart.
fn env_value(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~/:,+".contains(c);
    if value.chars().all(is_plain) { value.to_owned() } else { format!("'{value}'") }
}

/// As comment lines of at most 100 columns.
fn wrapped(text: &str) -> String {
    const COLUMNS: usize = 100;
    let mut lines = String::from("#");
    let mut column = 1;
    for word in text.split_whitespace() {
        let length = word.chars().count() + 1;
        if column + length > COLUMNS {
            lines.push_str("\n#");
            column = 1;
        }
        let _ = write!(lines, " {word}");
        column += length;
    }
    lines.push('\n');
    lines
}
