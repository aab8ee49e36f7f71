//! `[validation]`: when a text is ready for the next phase of writing.

use super::section::section;

section! {
    /// When a text is ready for the next phase of writing. Each criterion scores from 0 to 1; the
    /// mean of all decides.
    Validation, "validation";

    /// Mean score that lets a text pass into the next phase.
    validation_phase_transition_threshold: f64 = 0.7, within(0.0, 1.0);

    /// Words at which an outline scores full marks for its length; a shorter one scores in
    /// proportion.
    validation_outline_min_word_ratio: f64 = 50.0, within(1.0, 1000.0);

    /// Score of an outline that speaks of a conflict.
    validation_conflict_present_score: f64 = 1.0, within(0.0, 1.0);

    /// Score of an outline that speaks of none.
    validation_conflict_absent_score: f64 = 0.3, within(0.0, 1.0);

    /// Score of an outline that names characters.
    validation_characters_present_score: f64 = 1.0, within(0.0, 1.0);

    /// Score of an outline that names none.
    validation_characters_absent_score: f64 = 0.2, within(0.0, 1.0);

    /// Words at which a chapter scores full marks for its length; a shorter one scores in
    /// proportion.
    validation_chapter_min_word_ratio: f64 = 500.0, within(1.0, 5000.0);

    /// Score of a chapter with dialogue.
    validation_dialogue_present_score: f64 = 1.0, within(0.0, 1.0);

    /// Score of a chapter without dialogue.
    validation_dialogue_absent_score: f64 = 0.7, within(0.0, 1.0);

    /// Score of a text whose phases were all gone through.
    validation_completion_score: f64 = 1.0, within(0.0, 1.0);

    /// Score of a text that skipped a phase, as from outline straight to final edit.
    validation_incomplete_score: f64 = 0.5, within(0.0, 1.0);

    /// Words at which a text that skipped a phase scores full marks for its length; a shorter one
    /// scores in proportion.
    validation_summary_min_word_ratio: f64 = 200.0, within(1.0, 2000.0);
}
