//! What the OpenAPI document says of these routes besides the table's columns.

use crate::http::memory::{Documentation, Parameter, USUAL};

const KEY: Parameter = Parameter {
    name: "key",
    description: "By which requests will name it; else the card's name makes one",
    is_required: false,
    schema: r#"{"type": "string"}"#,
};
const REPLACE: Parameter = Parameter {
    name: "replace",
    description: "true takes the place of an imported one with the same key",
    is_required: false,
    schema: r#"{"type": "boolean", "default": false}"#,
};
const FORMAT: Parameter = Parameter {
    name: "format",
    description: "The card's own, where it isn't told",
    is_required: false,
    schema: r#"{"enum": ["json", "png", "charx"]}"#,
};

pub(super) const PNG: &str = "image/png";
pub(super) const JSON: &str = "application/json";
pub(super) const ZIP: &str = "application/zip";
pub(super) const BYTES: &str = "application/octet-stream";

/// `None` for routes of other rooms, and those with nothing more to tell.
pub(in super::super) fn documentation(method: &str, path: &str) -> Option<Documentation> {
    match (method, path.strip_prefix("{api}/personas")?) {
        ("post", "/import") => Some(Documentation {
            query: &[KEY, REPLACE],
            status: 201,
            takes_files: &[PNG, JSON, ZIP, BYTES],
            ..USUAL
        }),
        ("get", "/{key}/export") => {
            Some(Documentation { query: &[FORMAT], answers_files: &[JSON, PNG, ZIP], ..USUAL })
        }
        _ => None,
    }
}
