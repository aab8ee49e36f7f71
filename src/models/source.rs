//! What a person names when pulling: a model of the catalogue, or `hf:` and a file on a model hub.
//! Names are checked here, so that no later step meets a path that leaves its folder.

use std::fmt;
use std::str::FromStr;

use super::{CatalogueModel, ModelError};

/// The form a hub file is written in, for messages.
pub(super) const HUB_FORM: &str = "hf:organisation/repository/path/file.gguf, \
                                   with @revision at the end if it is not 'main'";

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    Catalogue(&'static CatalogueModel),
    Hub(HubFile),
}

impl FromStr for ModelSource {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("hf:") {
            text.parse().map(Self::Hub)
        } else {
            CatalogueModel::named(text).map(Self::Catalogue)
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue(model) => f.write_str(model.name),
            Self::Hub(file) => file.fmt(f),
        }
    }
}

/// One file on a model hub. Made only by parsing, so its parts are safe to put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    organisation: String,
    repository: String,
    /// Folders and file name within the repository; never empty.
    path: Vec<String>,
    revision: String,
}

impl HubFile {
    /// The name it gets in the models directory.
    pub fn file_name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    pub(super) fn is_gguf(&self) -> bool {
        self.file_name().to_ascii_lowercase().ends_with(".gguf")
    }

    /// `organisation/repository`, as the hub's pages are named.
    pub(super) fn repository(&self) -> String {
        format!("{}/{}", self.organisation, self.repository)
    }

    /// Parts of the address below the endpoint. A `/` within a part (`refs/pr/1`) must be escaped.
    pub(super) fn address_parts(&self) -> impl Iterator<Item = &str> {
        [&self.organisation, &self.repository, "resolve", &self.revision]
            .into_iter()
            .chain(self.path.iter().map(String::as_str))
    }
}

impl FromStr for HubFile {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| ModelError::BadHubFile { given: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<HubFile, &'static str> {
    let text = text.strip_prefix("hf:").ok_or("it does not begin with hf:")?;
    if text.starts_with('/') {
        return Err("it begins with a slash");
    }
    let mut parts = text.splitn(3, '/');
    let organisation = parts.next().unwrap_or_default();
    let repository = parts.next().ok_or("the repository is missing")?;
    if organisation.contains('@') || repository.contains('@') {
        return Err("the revision goes at the end");
    }
    let rest = parts.next().ok_or("the file is missing")?;
    let (path, revision) = rest.split_once('@').unwrap_or((rest, "main"));
    if ![organisation, repository].into_iter().all(is_repository_name) {
        return Err("organisation and repository are letters, digits, '-', '_' and '.'");
    }
    if !path.split('/').all(is_plain_part) {
        return Err(
            "a part of the path is empty, begins with a dot, or holds a character no file name should",
        );
    }
    if !revision.split('/').all(is_plain_part) {
        return Err("the revision is not a branch, tag or commit");
    }
    Ok(HubFile {
        organisation: organisation.to_owned(),
        repository: repository.to_owned(),
        path: path.split('/').map(str::to_owned).collect(),
        revision: revision.to_owned(),
    })
}

fn is_repository_name(text: &str) -> bool {
    is_plain_part(text)
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// No empty part, no `.` or `..`, no hidden file (ours begin with a dot), nothing that Windows or a
/// terminal reads as more than a name.
fn is_plain_part(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && !text
            .chars()
            .any(|c| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|'))
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.repository(), self.path.join("/"))?;
        if self.revision == "main" { Ok(()) } else { write!(f, "@{}", self.revision) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_file_is_read_and_written_alike() {
        for text in [
            "hf:bartowski/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf",
            "hf:org/repo/deep/er/model-00001-of-00003.gguf@v1.0",
            "hf:org/repo/model.gguf@refs/pr/1",
        ] {
            assert_eq!(text.parse::<ModelSource>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn main_is_the_revision_unless_one_is_given() {
        let file: HubFile = "hf:org/repo/deep/model.gguf".parse().unwrap();
        let parts: Vec<_> = file.address_parts().collect();
        assert_eq!(parts, ["org", "repo", "resolve", "main", "deep", "model.gguf"]);
        assert_eq!(file.file_name(), "model.gguf");
    }

    #[test]
    fn names_that_leave_their_folder_are_refused() {
        for text in [
            "hf:",
            "hf:org",
            "hf:org/repo",
            "hf:org/repo/",
            "hf:/org/repo/file.gguf",
            "hf:org//file.gguf",
            "hf:../repo/file.gguf",
            "hf:org/repo/../file.gguf",
            "hf:org/repo/folder/..",
            "hf:org/repo//etc/passwd",
            "hf:org/repo/..\\file.gguf",
            "hf:org/repo/C:file.gguf",
            "hf:org/repo/.pull.lock",
            "hf:org/repo/file.gguf@",
            "hf:org/repo/file.gguf@../main",
            "hf:or g/repo/file.gguf",
            "hf:org/repo?x=1/file.gguf",
        ] {
            let error = text.parse::<ModelSource>().unwrap_err();
            assert!(matches!(error, ModelError::BadHubFile { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn a_revision_after_the_repository_is_explained() {
        let message = "hf:org/repo@v1/file.gguf".parse::<ModelSource>().unwrap_err().to_string();
        assert!(message.contains("the revision goes at the end"), "{message}");
    }
}
