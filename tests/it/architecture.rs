//! The house's rules, read off the source: arrows run one way, each technology has one room.

use std::path::{Path, PathBuf};

/// Rooms from top to bottom; a room may use those below it and its own row.
const ROWS: &[&[&str]] = &[
    &["main", "cli"],
    &["app"],
    &["http"],
    &["companion"],
    &["story", "chat", "account", "archive"],
    &["receipts"],
    &["agents", "memory", "persona"],
    &["context", "distil", "emotion", "retrieval"],
    &["engine", "embedding", "models", "prompts", "tokens", "store"],
    &["config", "telemetry", "metrics"],
    &["ids"],
    &["clock"],
];

/// Crates, and the only rooms that may name them.
const TECHNOLOGIES: &[(&str, &[&str])] = &[
    ("axum", &["http", "app"]),
    ("tower_http", &["http"]),
    ("llama_cpp_2", &["engine/llama"]),
    ("llguidance", &["engine/llama"]),
    ("minijinja", &["prompts"]),
    ("minijinja_contrib", &["prompts"]),
    (
        "rusqlite",
        &[
            "store",
            "receipts",
            "distil",
            "memory",
            "account",
            "persona",
            "companion",
            "archive/embedded",
        ],
    ),
    ("argon2", &["account"]),
    ("bcrypt", &["account"]),
    ("jsonwebtoken", &["account"]),
    ("governor", &["http"]),
    ("img_parts", &["persona"]),
    ("serde_saphyr", &["persona"]),
    ("fancy_regex", &["persona", "companion"]),
    ("figment", &["config"]),
    ("dotenvy", &["config"]),
    ("candle_core", &["embedding"]),
    ("candle_nn", &["embedding"]),
    ("candle_transformers", &["embedding"]),
    ("tiktoken_rs", &["tokens"]),
    ("hashbrown", &["retrieval"]),
    ("pulp", &["retrieval"]),
    ("rust_stemmers", &["retrieval"]),
    ("chromadb", &["archive/chroma"]),
    ("rbook", &["archive/reading"]),
    ("html2text", &["archive/reading"]),
    ("chardetng", &["archive/reading"]),
    ("infer", &["archive/reading"]),
    ("clap", &["cli", "main"]),
    ("prometheus", &["metrics"]),
    ("reqwest", &["models", "engine/remote", "archive/chroma"]),
    ("sse_stream", &["engine/remote"]),
];

fn source_files() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        // Tests may play the other side: a hub, a peer.
        .filter(|path| {
            !path.ends_with("tests.rs") && !path.components().any(|c| c.as_os_str() == "tests")
        })
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            (name, without_comments_and_tests(&std::fs::read_to_string(&path).unwrap()))
        })
        .collect()
}

fn without_comments_and_tests(source: &str) -> String {
    let code: Vec<_> = source
        .lines()
        .take_while(|line| !line.starts_with("mod tests {"))
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    code.join("\n")
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

fn row(room: &str) -> usize {
    ROWS.iter().position(|row| row.contains(&room)).unwrap_or_else(|| panic!("{room} has no row"))
}

#[test]
fn arrows_run_one_way() {
    for (file, source) in source_files().iter().filter(|(file, _)| file != "lib.rs") {
        let from = room(file);
        for used in source.split("crate::").skip(1) {
            let name: String =
                used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() || name == from {
                continue;
            }
            assert!(row(from) <= row(&name), "{file} uses crate::{name}, which lies above it");
        }
    }
}

#[test]
fn each_technology_has_its_room() {
    for (file, source) in source_files() {
        for (technology, rooms) in TECHNOLOGIES {
            let named = [
                format!("use {technology}::"),
                format!(" {technology}::"),
                format!("({technology}::"),
            ];
            if named.iter().any(|name| source.contains(name.as_str())) {
                let allowed = rooms.iter().any(|room| {
                    file.starts_with(&format!("{room}/")) || file == format!("{room}.rs")
                });
                assert!(allowed, "{file} names {technology}, which belongs to {rooms:?}");
            }
        }
    }
}

#[test]
fn every_file_says_what_it_owns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, _) in source_files() {
        let source = std::fs::read_to_string(root.join(&file)).unwrap();
        assert!(source.starts_with("//!"), "{file} does not open with //!");
    }
}

#[test]
fn every_setting_is_used() {
    let used: String = source_files()
        .into_iter()
        .filter(|(file, _)| room(file) != "config")
        .map(|(_, source)| source)
        .collect();
    for setting in &rhapsode::config::registry().settings {
        let field = format!(".{}", setting.name.to_lowercase());
        assert!(used.contains(&field), "{} is read nowhere", setting.name);
    }
}
