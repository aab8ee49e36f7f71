//! Bodies to try the endpoints with.

pub(in crate::http) const START: &str = r#"{"user_id": "kiosk-7", "persona": "supportive_coach"}"#;
pub(in crate::http) const CHAT: &str =
    r#"{"user_id": "kiosk-7", "message": "I keep putting off my thesis."}"#;
