//! `[context]`: what goes into a prompt, how much of it, and what is kept about it.

use super::choice::{AllocationMode, OverflowStrategy, TokenizerChoice};
use super::section::section;

section! {
    /// What goes into a prompt, how much of each layer, and what happens when it doesn't fit.
    /// Sizes are in tokens, priorities from 0 to 1. When the model's window is smaller than these
    /// sizes, all layers are scaled down to it and the receipt says so.
    Context, "context";

    /// Most tokens of a prompt together with the space kept free for its answer.
    context_max_tokens: u32 = 32_000, within(1_000, 100_000);

    /// Tokens of `CONTEXT_MAX_TOKENS` that are kept free for the answer.
    context_buffer_tokens: u32 = 2_000, within(100, 10_000);

    /// Budget of layer A, system instructions, in tokens.
    context_layer_a_tokens: u32 = 2_000, within(100, 10_000);

    /// Budget of layer B, the immediate request, in tokens. At 0 it shares layer A's budget.
    context_layer_b_tokens: u32 = 0, within(0, 5_000);

    /// Budget of layer C, the recent story, in tokens.
    context_layer_c_tokens: u32 = 13_000, within(1_000, 25_000);

    /// Budget of layer D, characters and the scene, in tokens.
    context_layer_d_tokens: u32 = 5_000, within(500, 10_000);

    /// Budget of layer E, plot and world, in tokens.
    context_layer_e_tokens: u32 = 10_000, within(1_000, 20_000);

    /// What becomes of budget that a layer doesn't need: static (each layer keeps to its own),
    /// dynamic (it is lent to layers that need more), adaptive (the whole budget is shared out
    /// by need).
    context_allocation_mode: AllocationMode = AllocationMode::Dynamic;

    /// What becomes of a layer that is still too full: reject (the request is refused with status
    /// 422), truncate (it is cut at sentence ends within its own budget, and nothing is told
    /// shorter), borrow (it first takes
    /// up to 30 % of its own budget from others' unused space), reallocate (it first takes
    /// everything that others leave unused).
    context_overflow_strategy: OverflowStrategy = OverflowStrategy::Reallocate;

    /// Tokens of context above which older parts are summarised.
    context_summarization_threshold: u32 = 25_000, within(1_000, 100_000);

    /// Milliseconds of assembling a prompt above which a warning is logged and noted in the
    /// receipt. Nothing is cut off.
    context_assembly_timeout: u64 = 100, within(10, 10_000);

    /// Whether story requests may have passages of the archive looked up for the prompt.
    context_enable_rag: bool = true;

    /// Whether receipts are kept in the database, so that they can be asked for by id.
    context_enable_monitoring: bool = true;

    /// Number of receipts that are kept; the oldest go first.
    receipts_kept: u32 = 1_000, within(0, 1_000_000);

    /// Whether token counts of texts seen before are remembered in memory.
    context_enable_caching: bool = true;

    /// Which tokenizer counts tokens: auto (the loaded model's, an estimate before it is loaded),
    /// model (the loaded model's only), o200k or cl100k (those vocabularies), estimate (from the
    /// length of the text).
    tokenizer: TokenizerChoice = TokenizerChoice::Auto;

    /// Elements with a lower priority than this are left out.
    context_min_priority_threshold: f64 = 0.1, within(0.0, 1.0);

    /// Elements with a priority above this must be in the prompt; where they don't fit, the
    /// request is refused with status 422.
    context_high_priority_threshold: f64 = 0.7, within(0.0, 1.0);

    /// Priority of plot elements that a request marks as high.
    context_priority_plot_high: f64 = 0.8, within(0.0, 1.0);

    /// Priority of plot elements that a request marks as medium.
    context_priority_plot_medium: f64 = 0.5, within(0.0, 1.0);

    /// Priority of plot elements that a request marks as low.
    context_priority_plot_low: f64 = 0.2, within(0.0, 1.0);

    /// Priority of characters.
    context_priority_character: f64 = 0.7, within(0.0, 1.0);

    /// Priority of the user's requests that are marked as high.
    context_priority_user_high: f64 = 0.8, within(0.0, 1.0);

    /// Priority of the user's requests that are marked as medium.
    context_priority_user_medium: f64 = 0.5, within(0.0, 1.0);

    /// Priority of the user's requests that are marked as low. No agent is told of those; the
    /// receipt shows them with this priority.
    context_priority_user_low: f64 = 0.2, within(0.0, 1.0);

    /// Priority of system instructions that a request marks as high.
    context_priority_system_high: f64 = 0.8, within(0.0, 1.0);

    /// Priority of system instructions that a request marks as medium.
    context_priority_system_medium: f64 = 0.5, within(0.0, 1.0);

    /// Priority of system instructions that a request marks as low.
    context_priority_system_low: f64 = 0.2, within(0.0, 1.0);

    /// Priority of the prefix that a story puts before every system prompt.
    context_adapter_system_prefix_priority: f64 = 1.0, within(0.0, 1.0);

    /// Priority of the suffix that a story puts after every system prompt.
    context_adapter_system_suffix_priority: f64 = 1.0, within(0.0, 1.0);

    /// Priority of a story's own prompt for the writing assistant.
    context_adapter_writing_assistant_priority: f64 = 0.8, within(0.0, 1.0);

    /// Priority of a story's own prompt for the writing editor.
    context_adapter_writing_editor_priority: f64 = 0.8, within(0.0, 1.0);

    /// Priority of the prompt that a character speaks by.
    context_adapter_character_prompt_priority: f64 = 0.7, within(0.0, 1.0);

    /// Priority of the prompt that a rater judges by.
    context_adapter_rater_prompt_priority: f64 = 0.8, within(0.0, 1.0);

    /// Priority of the prompt that the editor reviews by.
    context_adapter_editor_prompt_priority: f64 = 0.8, within(0.0, 1.0);

    /// Priority of the plot point that older editors send in `plotContext`, where it differs from
    /// the request's own.
    context_adapter_instruction_priority: f64 = 0.9, within(0.0, 1.0);

    /// Priority of earlier outputs that an agent is shown, such as a chapter under review.
    context_adapter_output_priority: f64 = 0.6, within(0.0, 1.0);
}
