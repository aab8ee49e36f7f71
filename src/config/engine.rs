//! `[engine]`: the model, how it is loaded, how it speaks when a request doesn't say.

use std::path::PathBuf;

use super::choice::FlashAttention;
use super::section::section;
use super::value::{ByteCount, Secret};

section! {
    /// The model, how it is loaded, and how it speaks when a request doesn't say.
    Engine, "engine";

    /// Path of the GGUF file of the model. When unset, the model that `rhapsode models pull` put
    /// into `MODELS_DIR` is used. Without any the server starts, and jobs that need a model answer
    /// with status 503.
    model_path: Option<PathBuf> = None;

    /// Folder that fetched models are kept in. It is created when missing.
    models_dir: PathBuf = PathBuf::from("./models");

    /// URL of the model hub that models are fetched from. When unset, the default hub is used.
    hf_endpoint: Option<String> = None,
        shaped("a URL that starts with http:// or https:// and holds no user name", is_web_address);

    /// Token for the model hub, for models that ask for one. It is never logged or shown.
    hf_token: Option<Secret> = None;

    /// Size of the model's context window, in tokens: prompt and answer together. Larger windows
    /// take more memory. Where `LLM_PROVIDER` is another server, this is its model's window, which
    /// nobody checks.
    llm_n_ctx: u32 = 4096, within(256, 1_048_576), also(&["MODEL_CONTEXT_SIZE"]);

    /// Number of the model's layers that are put on the GPU: -1 all, 0 none.
    llm_n_gpu_layers: i32 = -1, at_least(-1);

    /// Number of CPU threads that compute. When unset, the engine measures how many the machine
    /// really gives, at most one for each core, and follows when neighbours come and go.
    llm_n_threads: Option<u32> = None, at_least(1), also(&["MODEL_THREADS"]);

    /// Sampling temperature of the agents that have none of their own (biographies and outlines): 0
    /// always takes the likeliest token, higher values vary more. Talk (`/v1`) takes 0.9 where a
    /// request names none.
    llm_temperature: f32 = 0.7, within(0.0, 2.0);

    /// Nucleus sampling: only the likeliest tokens that together reach this probability are drawn
    /// from. 1 turns it off, which is what talk (`/v1`) does where a request names none.
    llm_top_p: f32 = 0.95, within(0.0, 1.0);

    /// Only this many of the likeliest tokens are drawn from, unless a request for talk says otherwise.
    llm_top_k: u32 = 40, at_least(1);

    /// Tokens less likely than this share of the likeliest one's probability are not drawn, unless a
    /// request for talk says otherwise. 0 turns it off.
    llm_min_p: f32 = 0.05, within(0.0, 1.0);

    /// Most tokens of one answer, as the token routes tell it. Every agent has a limit of its own,
    /// and talk (`/v1`) takes 800 where a request names none (see `RESPONSE_TOKEN_PERCENT`).
    llm_max_tokens: u32 = 2048, at_least(1);

    /// How strongly tokens that were used lately are held back, unless a request for talk says
    /// otherwise: 1 not at all.
    llm_repeat_penalty: f32 = 1.1, within(1.0, 2.0);

    /// Number of requests that may wait for the model; one more is refused with status 429.
    llm_queue_size: usize = 32, within(1, 10_000);

    /// Number of requests that are read and written at the same time. One client gets at most one
    /// fewer, so that another never waits for all of them.
    llm_parallel: usize = 8, within(1, 32);

    /// Tokens that the KV cache holds for all requests together. Requests that don't fit beside
    /// those that run wait. When unset, it is one context window; a larger cache takes more memory
    /// and lets more long requests run at once.
    llm_kv_tokens: Option<u32> = None, within(256, 16_777_216);

    /// Whether flash attention computes. On a CPU `off` is faster for one long context and for many
    /// agents over the same one, `on` for many clients with long contexts of their own; `auto`
    /// follows the requests. Where layers are on a GPU, `auto` is `on`.
    llm_flash_attention: FlashAttention = FlashAttention::Auto;

    /// Whether the same request with the same seed gives the same text whatever else is computed at
    /// the same time or was computed before. On a CPU it costs up to a third of the speed at which
    /// long prompts are read. Otherwise rounding may tip the choice between two likely words.
    llm_reproducible: bool = false;

    /// Seconds that one generation may take before it is stopped.
    llm_generation_timeout_seconds: u64 = 1800, within(1, 86_400);

    /// Bytes of disk, under `DB_PATH`, for the states of prompts seen before, so that the next
    /// prompt with the same beginning starts sooner, after a restart too. The files tell what was
    /// in the prompts. 0 keeps none.
    llm_cache_capacity: ByteCount = ByteCount::gib(2);

    /// Whether llama.cpp's own log lines appear in the server's log.
    llm_verbose: bool = false;

    /// Whether prompts and outputs are logged: as TRACE lines of the target
    /// `rhapsode::generation`, whatever `LOG_LEVEL` says.
    llm_verbose_generation: bool = false;
}

/// A user name would come with a password, and this value is shown; `HF_TOKEN` is not.
pub(super) fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://");
    let rest = rest.or_else(|| url.strip_prefix("http://"));
    let unfit = |c: char| c.is_whitespace() || c == '@';
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(unfit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_a_web_address_without_a_user() {
        for good in ["https://hub.example", "http://localhost:9000/hub"] {
            assert!(is_web_address(good), "{good}");
        }
        for bad in ["hub.example", "https://", "https://a b", "https://me:hunter2@hub.example"] {
            assert!(!is_web_address(bad), "{bad}");
        }
    }
}
