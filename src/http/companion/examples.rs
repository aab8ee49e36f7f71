//! Bodies to try the endpoints with.

pub(in crate::http) const MESSAGE: &str =
    r#"{"message": "Hello! My name is Anna. How was your day?", "personality": "sarah"}"#;
pub(in crate::http) const CONVERSATION: &str = r#"{"title": "An evening by the sea"}"#;
pub(in crate::http) const PERSONALITY: &str = r#"{"personality": "sarah"}"#;
pub(in crate::http) const FACT: &str = r#"{"type": "likes", "value": "old maps"}"#;
pub(in crate::http) const FACT_CHANGE: &str = r#"{"value": "new maps"}"#;
pub(in crate::http) const MEMORY_CHANGE: &str = r#"{"text": "Mara is the user's sister."}"#;
pub(in crate::http) const EVENT: &str = r#"{"counts": false}"#;
pub(in crate::http) const DELETION: &str = r#"{"password": "correct horse battery staple"}"#;
pub(in crate::http) const LEGACY: &str =
    r#"{"message": "Hello! My name is Anna.", "user_id": "anna", "agent_role": "sarah"}"#;
