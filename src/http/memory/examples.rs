//! Bodies to try the endpoints with.

pub(in super::super) const CHANGE: &str =
    r#"{"corrected": "The lamp burned green last night.", "pinned": true}"#;
pub(in super::super) const PERSONA: &str = r#"{"card": {"spec": "chara_card_v2", "spec_version": "2.0", "data": {"name": "Aria", "description": "{{char}} keeps the lighthouse on Gull Rock.", "personality": "patient, dry", "scenario": "A stormy night.", "mes_example": "<START>\n{{user}}: Who lit the lamp?\n{{char}}: I did."}}}"#;
pub(in super::super) const FACT: &str = r#"{"text": "Aria's sister is called Mara."}"#;
pub(in super::super) const FACT_CHANGE: &str = r#"{"text": "Aria's sister was called Mara."}"#;
pub(in super::super) const FORK: &str = r#"{"to": "another-evening-with-aria"}"#;
