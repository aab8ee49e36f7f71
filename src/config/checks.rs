//! What no single setting shows: settings that contradict each other, and those that are legal
//! together but likely not meant.

use super::{ArchiveBackend, Config, Provider};

/// What was found, and the settings it is about.
pub(super) struct Finding {
    pub(super) names: &'static [&'static str],
    pub(super) text: String,
}

/// Settings that can't hold at once.
pub(super) fn contradictions(config: &Config) -> Vec<Finding> {
    let mut contradictions: Vec<_> = [
        buffer_within_window(config),
        layers_within_budget(config),
        thresholds_in_order(config),
        archive_has_a_server(config),
        chunks_go_on(config),
    ]
    .into_iter()
    .flatten()
    .collect();
    contradictions.extend(shares_of_a_window(config));
    contradictions.extend(provider_has_what_it_needs(config));
    contradictions
}

/// Settings that can hold at once, though hardly anyone would want it.
pub(super) fn doubts(config: &Config) -> Vec<Finding> {
    let mut doubts: Vec<_> = [debug_for_strangers(config), generation_within_window(config)]
        .into_iter()
        .flatten()
        .collect();
    doubts.extend(priorities_in_order(config));
    doubts
}

fn buffer_within_window(config: &Config) -> Option<Finding> {
    let (most, buffer) = (config.context.context_max_tokens, config.context.context_buffer_tokens);
    (buffer >= most).then(|| Finding {
        names: &["CONTEXT_MAX_TOKENS", "CONTEXT_BUFFER_TOKENS"],
        text: format!(
            "CONTEXT_BUFFER_TOKENS is {buffer} and leaves nothing of CONTEXT_MAX_TOKENS, {most}: \
             lower the buffer, or raise the window"
        ),
    })
}

fn layers_within_budget(config: &Config) -> Option<Finding> {
    let context = &config.context;
    let layers = [
        ("CONTEXT_LAYER_A_TOKENS", context.context_layer_a_tokens),
        ("CONTEXT_LAYER_B_TOKENS", context.context_layer_b_tokens),
        ("CONTEXT_LAYER_C_TOKENS", context.context_layer_c_tokens),
        ("CONTEXT_LAYER_D_TOKENS", context.context_layer_d_tokens),
        ("CONTEXT_LAYER_E_TOKENS", context.context_layer_e_tokens),
    ];
    let (most, buffer) = (context.context_max_tokens, context.context_buffer_tokens);
    // A buffer that leaves nothing is a finding of its own.
    let budget = most.checked_sub(buffer).filter(|budget| *budget > 0)?;
    let sum: u32 = layers.iter().map(|(_, tokens)| tokens).sum();
    let excess = sum.checked_sub(budget).filter(|excess| *excess > 0)?;
    let (largest, tokens) = layers.into_iter().max_by_key(|(_, tokens)| *tokens)?;
    let terms = layers.map(|(_, tokens)| tokens.to_string()).join(" + ");
    Some(Finding {
        names: &[
            "CONTEXT_MAX_TOKENS",
            "CONTEXT_BUFFER_TOKENS",
            "CONTEXT_LAYER_A_TOKENS",
            "CONTEXT_LAYER_B_TOKENS",
            "CONTEXT_LAYER_C_TOKENS",
            "CONTEXT_LAYER_D_TOKENS",
            "CONTEXT_LAYER_E_TOKENS",
        ],
        text: format!(
            "CONTEXT_LAYER_A_TOKENS to CONTEXT_LAYER_E_TOKENS are {terms} = {sum}, but \
             CONTEXT_MAX_TOKENS − CONTEXT_BUFFER_TOKENS is {most} − {buffer} = {budget}: lower \
             the layers by {excess} in all (the largest is {largest}, {tokens}), or raise \
             CONTEXT_MAX_TOKENS to {}",
            sum + buffer
        ),
    })
}

fn shares_of_a_window(config: &Config) -> Option<Finding> {
    let chat = &config.chat;
    let shares = [
        chat.system_token_percent,
        chat.rag_token_percent,
        chat.history_token_percent,
        chat.response_token_percent,
    ];
    let sum: f64 = shares.iter().sum();
    ((sum - 100.0).abs() > 0.01).then(|| Finding {
        names: &[
            "SYSTEM_TOKEN_PERCENT",
            "RAG_TOKEN_PERCENT",
            "HISTORY_TOKEN_PERCENT",
            "RESPONSE_TOKEN_PERCENT",
        ],
        text: format!(
            "SYSTEM_TOKEN_PERCENT, RAG_TOKEN_PERCENT, HISTORY_TOKEN_PERCENT and \
             RESPONSE_TOKEN_PERCENT are {} = {sum}, and must be 100 together",
            shares.map(|share| share.to_string()).join(" + ")
        ),
    })
}

fn thresholds_in_order(config: &Config) -> Option<Finding> {
    let least = config.context.context_min_priority_threshold;
    let high = config.context.context_high_priority_threshold;
    (least > high).then(|| Finding {
        names: &["CONTEXT_MIN_PRIORITY_THRESHOLD", "CONTEXT_HIGH_PRIORITY_THRESHOLD"],
        text: format!(
            "CONTEXT_MIN_PRIORITY_THRESHOLD is {least} and CONTEXT_HIGH_PRIORITY_THRESHOLD \
             {high}, so elements between them would have to be both in the prompt and left out: \
             lower the first, or raise the second"
        ),
    })
}

fn archive_has_a_server(config: &Config) -> Option<Finding> {
    let archive = &config.archive;
    let is_missing =
        archive.archive_backend == ArchiveBackend::Chroma && archive.chroma_url.is_none();
    is_missing.then(|| Finding {
        names: &["ARCHIVE_BACKEND", "CHROMA_URL"],
        text:
            "ARCHIVE_BACKEND is chroma, and CHROMA_URL is unset: set it to the ChromaDB server's \
               URL, such as http://127.0.0.1:8001"
                .to_owned(),
    })
}

fn chunks_go_on(config: &Config) -> Option<Finding> {
    let archive = &config.archive;
    let (chunk, overlap) = (archive.archive_chunk_characters, archive.archive_chunk_overlap);
    (2 * overlap >= chunk).then(|| Finding {
        names: &["ARCHIVE_CHUNK_CHARACTERS", "ARCHIVE_CHUNK_OVERLAP"],
        text: format!(
            "ARCHIVE_CHUNK_OVERLAP is {overlap}, half of ARCHIVE_CHUNK_CHARACTERS, {chunk}, or \
             more: lower the overlap, or raise the chunk"
        ),
    })
}

fn provider_has_what_it_needs(config: &Config) -> Vec<Finding> {
    let remote = &config.remote;
    let provider = remote.llm_provider;
    let mut missing = Vec::new();
    let mut needs = |names: &'static [&'static str], text: String| {
        missing.push(Finding { names, text });
    };
    if provider == Provider::Llama {
        return missing;
    }
    let model_is_needed = provider != Provider::Gemini;
    if provider == Provider::Openai && remote.llm_base_url.is_none() {
        let text = "LLM_PROVIDER is openai, and LLM_BASE_URL is unset: set it to the server's URL, \
                    such as https://api.openai.com/v1 or http://127.0.0.1:8000/v1";
        needs(&["LLM_PROVIDER", "LLM_BASE_URL"], text.to_owned());
    }
    if model_is_needed && remote.llm_model.is_none() {
        let text =
            format!("LLM_PROVIDER is {provider}, and LLM_MODEL is unset: set it to a model's name");
        needs(&["LLM_PROVIDER", "LLM_MODEL"], text);
    }
    let asks_openai =
        remote.llm_base_url.as_ref().is_some_and(|url| url.contains("//api.openai.com"));
    if remote.llm_api_key.is_none() {
        if provider == Provider::Gemini && remote.gemini_api_key.is_none() {
            let text =
                "LLM_PROVIDER is gemini, and there is no key: set GEMINI_API_KEY or LLM_API_KEY";
            needs(&["LLM_PROVIDER", "GEMINI_API_KEY", "LLM_API_KEY"], text.to_owned());
        } else if provider == Provider::Openai && asks_openai {
            let text = "LLM_BASE_URL is OpenAI's, and LLM_API_KEY is unset: set it to your key";
            needs(&["LLM_BASE_URL", "LLM_API_KEY"], text.to_owned());
        }
    }
    missing
}

fn debug_for_strangers(config: &Config) -> Option<Finding> {
    let server = &config.server;
    (server.debug && !server.host.is_loopback()).then(|| Finding {
        names: &["DEBUG", "HOST"],
        text: format!(
            "DEBUG is on while HOST {} can be reached from other machines: error answers show \
             their cause to anyone who can connect. Set DEBUG=false unless you trust them all",
            server.host
        ),
    })
}

fn generation_within_window(config: &Config) -> Option<Finding> {
    let (most, window) = (config.engine.llm_max_tokens, config.engine.llm_n_ctx);
    (most >= window).then(|| Finding {
        names: &["LLM_MAX_TOKENS", "LLM_N_CTX"],
        text: format!(
            "LLM_MAX_TOKENS is {most} and leaves no room for a prompt in LLM_N_CTX, {window}: \
             the token routes tell of longer answers than there can be; lower it, or raise LLM_N_CTX"
        ),
    })
}

fn priorities_in_order(config: &Config) -> impl Iterator<Item = Finding> {
    let context = &config.context;
    let kinds: [(_, &[_], _); 3] = [
        (
            "CONTEXT_PRIORITY_PLOT",
            &[
                "CONTEXT_PRIORITY_PLOT_LOW",
                "CONTEXT_PRIORITY_PLOT_MEDIUM",
                "CONTEXT_PRIORITY_PLOT_HIGH",
            ],
            [
                context.context_priority_plot_low,
                context.context_priority_plot_medium,
                context.context_priority_plot_high,
            ],
        ),
        (
            "CONTEXT_PRIORITY_USER",
            &[
                "CONTEXT_PRIORITY_USER_LOW",
                "CONTEXT_PRIORITY_USER_MEDIUM",
                "CONTEXT_PRIORITY_USER_HIGH",
            ],
            [
                context.context_priority_user_low,
                context.context_priority_user_medium,
                context.context_priority_user_high,
            ],
        ),
        (
            "CONTEXT_PRIORITY_SYSTEM",
            &[
                "CONTEXT_PRIORITY_SYSTEM_LOW",
                "CONTEXT_PRIORITY_SYSTEM_MEDIUM",
                "CONTEXT_PRIORITY_SYSTEM_HIGH",
            ],
            [
                context.context_priority_system_low,
                context.context_priority_system_medium,
                context.context_priority_system_high,
            ],
        ),
    ];
    kinds.into_iter().filter(|(_, _, priorities)| !priorities.is_sorted()).map(
        |(prefix, names, [low, medium, high])| Finding {
            names,
            text: format!(
                "{prefix}_LOW, _MEDIUM and _HIGH are {low}, {medium} and {high}: a lower word \
                 outranks a higher one"
            ),
        },
    )
}
