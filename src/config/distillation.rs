//! `[distillation]`: how texts are shortened for a prompt, and how freely they are retold.

use super::choice::DistillationMethod;
use super::section::section;

section! {
    /// Shortening texts that don't fit a prompt, and its sampling temperatures. Low ones keep closer
    /// to the source.
    Distillation, "distillation";

    /// Who shortens a text: model (the model summarises, and names and numbers it lost are put
    /// back), extractive (the most telling sentences are kept as they are; much faster).
    distillation_method: DistillationMethod = DistillationMethod::Model;

    /// Shortened texts that are kept, so that they need not be made again; 0 keeps none. Those
    /// unused for longest go first.
    distillation_cache_entries: u32 = 10_000, within(0, 1_000_000);

    /// The longest that texts which are to be shortened together wait for the model, in seconds. Of
    /// those that aren't summarised by then the most telling sentences are used, and kept.
    distillation_timeout_seconds: u64 = 30, within(1, 3_600);

    /// Temperature of shortening anything that has no setting of its own.
    distillation_general_temperature: f32 = 0.3, within(0.0, 1.0);

    /// Temperature of shortening plot.
    distillation_plot_summary_temperature: f32 = 0.3, within(0.0, 1.0);

    /// Temperature of shortening characters.
    distillation_character_summary_temperature: f32 = 0.3, within(0.0, 1.0);

    /// Temperature of shortening scenes.
    distillation_scene_summary_temperature: f32 = 0.3, within(0.0, 1.0);

    /// Temperature of shortening dialogue; a little higher, so that its tone survives.
    distillation_dialogue_summary_temperature: f32 = 0.4, within(0.0, 1.0);

    /// Temperature of shortening feedback; low, so that no point is lost.
    distillation_feedback_summary_temperature: f32 = 0.2, within(0.0, 1.0);

    /// Temperature of shortening system prompts; very low, so that they go on saying the same.
    distillation_system_prompt_temperature: f32 = 0.1, within(0.0, 1.0);

    /// Temperature of shortening conversations.
    distillation_conversation_temperature: f32 = 0.3, within(0.0, 1.0);
}
