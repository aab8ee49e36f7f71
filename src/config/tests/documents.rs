//! Claims about the documents that are written from the registry.

use super::files;
use crate::config::reference::{configuration_md, env_example};
use crate::config::{Source, registry};

#[test]
fn the_env_example_read_back_gives_the_defaults() {
    let example = env_example();
    let taken: Vec<_> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| !line.is_empty() && !line.starts_with(' '))
        .collect();
    assert_eq!(taken.len(), registry().settings.len());
    let config = files().dotenv(&taken.join("\n")).load();
    for setting in config.settings() {
        assert!(setting.is_default, "{} {}", setting.name, setting.value);
        let empty = setting.value.is_empty();
        assert_eq!(setting.source, if empty { Source::Default } else { Source::DotEnv });
    }
    assert!(example.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn the_configuration_document_has_one_row_a_setting() {
    let document = configuration_md();
    let is_row = |line: &&str| line.starts_with("| `");
    let rows: Vec<_> = document.lines().filter(is_row).collect();
    assert_eq!(rows.len(), registry().settings.len());
    for (row, setting) in rows.iter().zip(&registry().settings) {
        assert!(row.starts_with(&format!("| `{}` |", setting.name)), "{row}");
        assert_eq!(row.replace("\\|", "").matches('|').count(), 6, "{row}");
    }
    assert!(document.contains("Also: `API_HOST`, `FASTAPI_HOST`."));
}

#[test]
fn every_setting_says_what_it_does() {
    for setting in &registry().settings {
        assert!(setting.doc.len() > 15 && setting.doc.ends_with('.'), "{}", setting.name);
    }
}
