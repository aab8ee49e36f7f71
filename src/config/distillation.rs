//! `[distillation]`: how freely texts are retold when they are shortened for a prompt.

use super::section::section;

section! {
    /// Sampling temperatures of shortening texts that don't fit a prompt. Low ones keep closer to
    /// the source.
    Distillation, "distillation";

    /// Temperature of shortening anything that has no setting of its own.
    distillation_general_temperature: f32 = 0.3, within(0.0, 1.0), waits_for("distillation");

    /// Temperature of shortening plot.
    distillation_plot_summary_temperature: f32 = 0.3, within(0.0, 1.0), waits_for("distillation");

    /// Temperature of shortening characters.
    distillation_character_summary_temperature: f32 = 0.3, within(0.0, 1.0),
        waits_for("distillation");

    /// Temperature of shortening scenes.
    distillation_scene_summary_temperature: f32 = 0.3, within(0.0, 1.0), waits_for("distillation");

    /// Temperature of shortening dialogue; a little higher, so that its tone survives.
    distillation_dialogue_summary_temperature: f32 = 0.4, within(0.0, 1.0),
        waits_for("distillation");

    /// Temperature of shortening feedback; low, so that no point is lost.
    distillation_feedback_summary_temperature: f32 = 0.2, within(0.0, 1.0),
        waits_for("distillation");

    /// Temperature of shortening system prompts; very low, so that they go on saying the same.
    distillation_system_prompt_temperature: f32 = 0.1, within(0.0, 1.0), waits_for("distillation");

    /// Temperature of shortening conversations.
    distillation_conversation_temperature: f32 = 0.3, within(0.0, 1.0), waits_for("distillation");
}
