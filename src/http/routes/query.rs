//! What may stand after the question mark of a route, as the OpenAPI document tells it.

/// One that stands after the question mark.
pub(in crate::http) struct Parameter {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) description: &'static str,
    pub(in crate::http) is_required: bool,
    /// JSON Schema.
    pub(in crate::http) schema: &'static str,
}

const fn optional(
    name: &'static str,
    description: &'static str,
    schema: &'static str,
) -> Parameter {
    Parameter { name, description, is_required: false, schema }
}

const fn required(name: &'static str, description: &'static str) -> Parameter {
    Parameter { name, description, is_required: true, schema: TEXT }
}

/// False unless it is told.
const fn flag(name: &'static str, description: &'static str) -> Parameter {
    optional(name, description, r#"{"type": "boolean", "default": false}"#)
}

const TEXT: &str = r#"{"type": "string"}"#;
const FROM_ZERO: &str = r#"{"type": "integer", "minimum": 0, "default": 0}"#;

pub(super) const OFFSET: Parameter =
    optional("offset", "How many to leave out at the beginning", FROM_ZERO);
pub(super) const LIMIT: Parameter = optional(
    "limit",
    "The most to answer with",
    r#"{"type": "integer", "minimum": 1, "maximum": 200, "default": 50}"#,
);
/// Where both ends of a talk could be meant.
pub(super) const FROM_THE_OLDEST: Parameter =
    optional("offset", "How many messages to pass over, from the oldest on", FROM_ZERO);
pub(super) const OR_THE_NEWEST: Parameter = optional(
    "offset",
    "How many messages to pass over, from the oldest on; without it the newest are told",
    r#"{"type": "integer", "minimum": 0}"#,
);
pub(super) const BRANCHES: Parameter = flag(
    "branches",
    "true answers with the messages of all branches, not only of the path that is talked on",
);
pub(super) const WORDS: Parameter =
    required("q", "Words that a message must hold, in any order; taken literally");
pub(super) const EXPORT_FORMAT: Parameter = optional(
    "format",
    "jsonl holds everything; sillytavern the path that is talked on, with other answers as swipes",
    r#"{"enum": ["jsonl", "sillytavern"], "default": "jsonl"}"#,
);
pub(super) const REPLACE: Parameter = flag("replace", "true deletes what the session held before");
pub(super) const KEY: Parameter =
    optional("key", "By which requests will name it; else the card's name makes one", TEXT);
pub(super) const REPLACE_PERSONA: Parameter =
    flag("replace", "true takes the place of an imported one with the same key");
pub(super) const CARD_FORMAT: Parameter = optional(
    "format",
    "The card's own, where it isn't told",
    r#"{"enum": ["json", "png", "charx"]}"#,
);
pub(super) const FORGET: Parameter =
    flag("forget", "true forgets the facts that were learnt there, too");
pub(super) const SUPERSEDED: Parameter =
    flag("superseded", "true tells what was known before, too");
pub(super) const TIER: Parameter = optional(
    "tier",
    "Only moments, or only whom and what one named",
    r#"{"enum": ["episodic", "semantic"]}"#,
);
pub(super) const PERSONA: Parameter = optional("persona", "A persona's key", TEXT);
pub(super) const FILE_PATH: Parameter = required("file_path", "A document's path, as it was added");
pub(super) const FILE_NAME: Parameter =
    optional("file_name", "Only documents of that file name or path", TEXT);
