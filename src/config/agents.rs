//! `[agents]`: how each job of the story API samples, and how long its answers get.

use super::section::section;

section! {
    /// How each job of the story API samples, and how many tokens its answer may have.
    Agents, "agents";

    /// Sampling temperature of `/generate-chapter`.
    endpoint_generate_chapter_temperature: f32 = 0.8, within(0.0, 2.0);

    /// Most tokens of a chapter that `/generate-chapter` writes.
    endpoint_generate_chapter_max_tokens: u32 = 2_000, within(500, 10_000);

    /// Sampling temperature of `/modify-chapter`.
    endpoint_modify_chapter_temperature: f32 = 0.7, within(0.0, 2.0);

    /// Most tokens of a chapter that `/modify-chapter` rewrites.
    endpoint_modify_chapter_max_tokens: u32 = 2_500, within(500, 10_000);

    /// Sampling temperature of `/character-feedback`.
    endpoint_character_feedback_temperature: f32 = 0.8, within(0.0, 2.0);

    /// Most tokens of a character's reaction from `/character-feedback`.
    endpoint_character_feedback_max_tokens: u32 = 800, within(100, 5_000);

    /// Sampling temperature of `/rater-feedback`.
    endpoint_rater_feedback_temperature: f32 = 0.7, within(0.0, 2.0);

    /// Most tokens of a rating from `/rater-feedback`.
    endpoint_rater_feedback_max_tokens: u32 = 600, within(100, 5_000);

    /// Sampling temperature of `/editor-review`.
    endpoint_editor_review_temperature: f32 = 0.6, within(0.0, 2.0);

    /// Most tokens of a review from `/editor-review`.
    endpoint_editor_review_max_tokens: u32 = 800, within(100, 5_000);

    /// Sampling temperature of `/flesh-out`.
    endpoint_flesh_out_temperature: f32 = 0.8, within(0.0, 2.0);

    /// Most tokens of a text that `/flesh-out` expands.
    endpoint_flesh_out_max_tokens: u32 = 600, within(100, 5_000);

    /// Sampling temperature of `/generate-character-details`.
    endpoint_generate_character_details_temperature: f32 = 0.7, within(0.0, 2.0);

    /// Most tokens of a character sheet from `/generate-character-details`.
    endpoint_generate_character_details_max_tokens: u32 = 1_000, within(100, 5_000);
}
