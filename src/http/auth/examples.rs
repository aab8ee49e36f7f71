//! Bodies to try the endpoints with.

pub(in super::super) const REGISTER: &str =
    r#"{"email": "mira@example.org", "username": "mira", "password": "correct horse battery"}"#;
pub(in super::super) const LOGIN: &str =
    r#"{"username": "mira", "password": "correct horse battery"}"#;
pub(in super::super) const REFRESH: &str =
    r#"{"refresh_token": "the refresh_token of the last answer"}"#;
pub(in super::super) const PROFILE: &str =
    r#"{"name": "Mira", "age": 34, "location": "Gull Rock", "preferences": {"tone": "dry"}}"#;
