//! What the OpenAPI document says of these routes besides the table's columns.

use super::super::{companion, personas};

/// More about one route.
pub(in super::super) struct Documentation {
    pub(in super::super) query: &'static [Parameter],
    /// Of the answer.
    pub(in super::super) status: u16,
    /// Whether the body is lines of JSON.
    pub(in super::super) takes_lines: bool,
    pub(in super::super) answers_lines: bool,
    /// Content types besides the form, where the body is a file.
    pub(in super::super) takes_files: &'static [&'static str],
    /// Content types, where the answer is a file.
    pub(in super::super) answers_files: &'static [&'static str],
}

/// One that stands after the question mark.
pub(in super::super) struct Parameter {
    pub(in super::super) name: &'static str,
    pub(in super::super) description: &'static str,
    pub(in super::super) is_required: bool,
    /// JSON Schema.
    pub(in super::super) schema: &'static str,
}

pub(in super::super) const USUAL: Documentation = Documentation {
    query: &[],
    status: 200,
    takes_lines: false,
    answers_lines: false,
    takes_files: &[],
    answers_files: &[],
};

pub(in super::super) const OFFSET: Parameter = Parameter {
    name: "offset",
    description: "How many to leave out at the beginning",
    is_required: false,
    schema: r#"{"type": "integer", "minimum": 0, "default": 0}"#,
};
pub(in super::super) const LIMIT: Parameter = Parameter {
    name: "limit",
    description: "The most to answer with",
    is_required: false,
    schema: r#"{"type": "integer", "minimum": 1, "maximum": 200, "default": 50}"#,
};
const BRANCHES: Parameter = Parameter {
    name: "branches",
    description: "true answers with the messages of all branches, not only of the path that is talked on",
    is_required: false,
    schema: r#"{"type": "boolean", "default": false}"#,
};
const WORDS: Parameter = Parameter {
    name: "q",
    description: "Words that a message must hold, in any order; taken literally",
    is_required: true,
    schema: r#"{"type": "string"}"#,
};
const FORMAT: Parameter = Parameter {
    name: "format",
    description: "jsonl holds everything; sillytavern the path that is talked on, with other answers as swipes",
    is_required: false,
    schema: r#"{"enum": ["jsonl", "sillytavern"], "default": "jsonl"}"#,
};
const REPLACE: Parameter = Parameter {
    name: "replace",
    description: "true deletes what the session held before",
    is_required: false,
    schema: r#"{"type": "boolean", "default": false}"#,
};

/// Of whatever route; most of other rooms have nothing more to tell.
pub(in super::super) fn documentation(method: &str, path: &str) -> Documentation {
    let of_others =
        personas::documentation(method, path).or_else(|| companion::documentation(method, path));
    if let Some(documentation) = of_others {
        return documentation;
    }
    match (method, path.strip_prefix("{api}/memory").unwrap_or_default()) {
        ("get", "") if path.ends_with("/memory") => {
            Documentation { query: &[OFFSET, LIMIT], ..USUAL }
        }
        ("get", "/{session}") => Documentation { query: &[OFFSET, LIMIT, BRANCHES], ..USUAL },
        ("get", "/{session}/search") => Documentation { query: &[WORDS, LIMIT], ..USUAL },
        ("post", "") if path.ends_with("/auth/register") => Documentation { status: 201, ..USUAL },
        ("post", "/{session}/facts" | "/{session}/fork") => Documentation { status: 201, ..USUAL },
        ("get", "/{session}/export") => {
            Documentation { query: &[FORMAT], answers_lines: true, ..USUAL }
        }
        ("post", "/{session}/import") => {
            Documentation { query: &[REPLACE], takes_lines: true, ..USUAL }
        }
        _ => USUAL,
    }
}
