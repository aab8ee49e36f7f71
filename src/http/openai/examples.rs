//! Bodies to try the endpoints with.

pub(in super::super) const CHAT: &str = r#"{"messages": [{"role": "system", "content": "You are Aria, keeper of the lighthouse on Gull Rock. You speak in short, warm sentences."}, {"role": "user", "content": "Who lit the lamp tonight?"}], "max_tokens": 80, "user": "an-evening-with-aria"}"#;
pub(in super::super) const COMPLETION: &str =
    r#"{"prompt": "The lamp went out at midnight, and", "max_tokens": 40}"#;
pub(in super::super) const EMBEDDING: &str = r#"{"input": ["The lamp went out.", "It was dark."]}"#;
