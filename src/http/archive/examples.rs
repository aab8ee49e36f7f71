//! Bodies to try the archive's routes with.

pub(in super::super) const DOCUMENT: &str = r#"{
    "file_name": "harbour.md",
    "content": "The Harbour\n\nAria kept the lighthouse for eleven years. On the night of the storm she let the lamp go out, and told nobody why.",
    "metadata": { "title": "The Harbour", "author": "R. Vance", "tags": ["sea"] }
}"#;

pub(in super::super) const SEARCH: &str =
    r#"{ "query": "a keeper who fails her light", "max_results": 3 }"#;
