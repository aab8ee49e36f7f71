//! `[archive]`: where finished stories are searched, and how answers from them sample.

use super::section::section;

section! {
    /// Where finished stories are searched by meaning, and how answers from them sample.
    Archive, "archive";

    /// Path of the archive's vector database. When unset, the archive is off.
    archive_db_path: Option<std::path::PathBuf> = None, waits_for("the archive");

    /// Name of the collection that holds the archive.
    archive_collection_name: String = "story_archive".to_owned(), waits_for("the archive");

    /// Sampling temperature when the archive is searched with a model's help.
    endpoint_archive_search_temperature: f32 = 0.3, within(0.0, 1.0), waits_for("the archive");

    /// Sampling temperature when found passages are summarised.
    endpoint_archive_summarize_temperature: f32 = 0.4, within(0.0, 1.0), waits_for("the archive");

    /// Sampling temperature of answers to questions about the archive.
    rag_default_temperature: f32 = 0.3, within(0.0, 1.0), waits_for("the archive");

    /// Sampling temperature of summaries made on the way to such an answer.
    rag_summarization_temperature: f32 = 0.4, within(0.0, 1.0), waits_for("the archive");
}
