//! What the OpenAPI document says of these routes besides the table's columns.

use crate::http::memory::{Documentation, LIMIT, OFFSET, Parameter, USUAL};

const FORGET: Parameter = Parameter {
    name: "forget",
    description: "true forgets the facts that were learnt there, too",
    is_required: false,
    schema: r#"{"type": "boolean", "default": false}"#,
};
const SUPERSEDED: Parameter = Parameter {
    name: "superseded",
    description: "true tells what was known before, too",
    is_required: false,
    schema: r#"{"type": "boolean", "default": false}"#,
};
const TIER: Parameter = Parameter {
    name: "tier",
    description: "Only moments, or only whom and what one named",
    is_required: false,
    schema: r#"{"enum": ["episodic", "semantic"]}"#,
};
const PERSONA: Parameter = Parameter {
    name: "persona",
    description: "A persona's key",
    is_required: false,
    schema: r#"{"type": "string"}"#,
};

/// Where both ends of a talk could be meant.
const FROM_THE_OLDEST: Parameter = Parameter {
    name: "offset",
    description: "How many messages to pass over, from the oldest on",
    is_required: false,
    schema: r#"{"type": "integer", "minimum": 0, "default": 0}"#,
};
const OR_THE_NEWEST: Parameter = Parameter {
    name: "offset",
    description: "How many messages to pass over, from the oldest on; without it the newest are told",
    is_required: false,
    schema: r#"{"type": "integer", "minimum": 0}"#,
};

/// `None` for routes of other rooms, and those with nothing more to tell.
pub(in crate::http) fn documentation(method: &str, path: &str) -> Option<Documentation> {
    let query: &[Parameter] = match (method, path.strip_prefix("{api}").unwrap_or(path)) {
        ("get", "/chat/conversations") => &[OFFSET, LIMIT],
        ("get", "/chat/conversations/{id}/messages") => &[FROM_THE_OLDEST, LIMIT],
        ("get", "/session/{user_id}/history") => &[OR_THE_NEWEST, LIMIT],
        ("delete", "/chat/conversations/{id}") => &[FORGET],
        ("get", "/users/facts") => &[SUPERSEDED],
        ("get", "/users/memories") => &[TIER, OFFSET, LIMIT],
        ("get", "/relationship") => &[PERSONA],
        ("get", "/relationship/events") => &[PERSONA, OFFSET, LIMIT],
        ("post", "/users/facts") => return Some(Documentation { status: 201, ..USUAL }),
        _ => return None,
    };
    Some(Documentation { query, ..USUAL })
}
