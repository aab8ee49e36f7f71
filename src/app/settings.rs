//! The settings as each room wants them: the configuration speaks in names and numbers, the rooms in
//! their own types.

use std::time::Duration;

use crate::account::{AccountSettings, Algorithm, KeyError, SigningKey};
use crate::agents::Profile;
use crate::archive::{ArchiveSettings, AskingSettings, ChromaSettings, ChunkSize};
use crate::chat::{ChatSettings, Shares};
use crate::companion::{CompanionSettings, VisitSettings};
use crate::config::{self, Config};
use crate::context::{AllocationMode, LayerBudgets, OverflowStrategy, Priority};
use crate::distil::{ChosenMethod, DistilSettings, Temperatures};
use crate::engine::Sampling;
use crate::engine::llama::FlashAttention;
use crate::engine::remote::{Provider, RemoteSettings};
use crate::http::{ApiKeys, HttpSettings, LimitSettings, TalkDefaults, TokenLimits};
use crate::ids::Ids;
use crate::memory::MemorySettings;
use crate::story::{Levels, PhaseValidation, Presence, Priorities, Profiles, StorySettings};
use crate::telemetry::LogSettings;
use crate::tokens::{TiktokenCounter, TokenCount, TokenizerChoice};

pub(super) fn story(config: &Config) -> StorySettings {
    let context = &config.context;
    let most_prompt_tokens = context.context_max_tokens - context.context_buffer_tokens;
    StorySettings {
        budgets: LayerBudgets(layers(config).map(TokenCount::new)),
        most_prompt_tokens: most_prompt_tokens.into(),
        allocation: match context.context_allocation_mode {
            config::AllocationMode::Static => AllocationMode::Static,
            config::AllocationMode::Dynamic => AllocationMode::Dynamic,
            config::AllocationMode::Adaptive => AllocationMode::Adaptive,
        },
        overflow: match context.context_overflow_strategy {
            config::OverflowStrategy::Reject => OverflowStrategy::Reject,
            config::OverflowStrategy::Truncate => OverflowStrategy::Truncate,
            config::OverflowStrategy::Borrow => OverflowStrategy::Borrow,
            config::OverflowStrategy::Reallocate => OverflowStrategy::Reallocate,
        },
        high_priority: Priority::new(context.context_high_priority_threshold),
        lowest_priority: Priority::new(context.context_min_priority_threshold),
        priorities: priorities(context),
        assembly_limit: Duration::from_millis(context.context_assembly_timeout),
        generation_limit: Duration::from_secs(config.engine.llm_generation_timeout_seconds),
        summarization_threshold: context.context_summarization_threshold.into(),
        profiles: profiles(config),
        phase_validation: phase_validation(config),
    }
}

pub(super) fn asking(config: &Config) -> AskingSettings {
    let (archive, story) = (&config.archive, story(config));
    AskingSettings {
        sampling: sampling(config, archive.rag_default_temperature),
        search_temperature: archive.endpoint_archive_search_temperature,
        document_temperature: archive.endpoint_archive_summarize_temperature,
        conversation_temperature: archive.rag_summarization_temperature,
        budgets: story.budgets,
        most_prompt_tokens: story.most_prompt_tokens,
        allocation: story.allocation,
        overflow: story.overflow,
        generation_limit: story.generation_limit,
    }
}

/// Jobs without settings of their own go by `LLM_TEMPERATURE` and the contract's lengths.
fn profiles(config: &Config) -> Profiles {
    let agents = &config.agents;
    let profile = |temperature, max_tokens: u32| Profile {
        sampling: sampling(config, temperature),
        max_tokens: max_tokens.into(),
    };
    let usual = config.engine.llm_temperature;
    Profiles {
        chapter: profile(
            agents.endpoint_generate_chapter_temperature,
            agents.endpoint_generate_chapter_max_tokens,
        ),
        modify: profile(
            agents.endpoint_modify_chapter_temperature,
            agents.endpoint_modify_chapter_max_tokens,
        ),
        character: profile(
            agents.endpoint_character_feedback_temperature,
            agents.endpoint_character_feedback_max_tokens,
        ),
        editor: profile(
            agents.endpoint_editor_review_temperature,
            agents.endpoint_editor_review_max_tokens,
        ),
        rater: profile(
            agents.endpoint_rater_feedback_temperature,
            agents.endpoint_rater_feedback_max_tokens,
        ),
        flesh_out: profile(
            agents.endpoint_flesh_out_temperature,
            agents.endpoint_flesh_out_max_tokens,
        ),
        character_details: profile(
            agents.endpoint_generate_character_details_temperature,
            agents.endpoint_generate_character_details_max_tokens,
        ),
        biography: profile(usual, 500),
        outline: profile(usual, 2_000),
        conversation: profile(0.8, 1_000),
        verdict: profile(0.3, 500),
    }
}

fn phase_validation(config: &Config) -> PhaseValidation {
    let rules = &config.validation;
    let presence = |present, absent| Presence { present, absent };
    PhaseValidation {
        threshold: rules.validation_phase_transition_threshold,
        outline_words: rules.validation_outline_min_word_ratio,
        chapter_words: rules.validation_chapter_min_word_ratio,
        summary_words: rules.validation_summary_min_word_ratio,
        conflict: presence(
            rules.validation_conflict_present_score,
            rules.validation_conflict_absent_score,
        ),
        characters: presence(
            rules.validation_characters_present_score,
            rules.validation_characters_absent_score,
        ),
        dialogue: presence(
            rules.validation_dialogue_present_score,
            rules.validation_dialogue_absent_score,
        ),
        completion: presence(rules.validation_completion_score, rules.validation_incomplete_score),
    }
}

pub(super) fn distil(config: &Config) -> DistilSettings {
    let distillation = &config.distillation;
    DistilSettings {
        temperatures: Temperatures {
            general: distillation.distillation_general_temperature,
            plot_summary: distillation.distillation_plot_summary_temperature,
            character_summary: distillation.distillation_character_summary_temperature,
            scene_summary: distillation.distillation_scene_summary_temperature,
            dialogue_summary: distillation.distillation_dialogue_summary_temperature,
            feedback_summary: distillation.distillation_feedback_summary_temperature,
            system_prompt: distillation.distillation_system_prompt_temperature,
            conversation: distillation.distillation_conversation_temperature,
        },
        sampling: sampling(config, distillation.distillation_general_temperature),
        method: match distillation.distillation_method {
            config::DistillationMethod::Model => ChosenMethod::Model,
            config::DistillationMethod::Extractive => ChosenMethod::Extractive,
        },
        cache_entries: distillation.distillation_cache_entries as usize,
        deadline: Duration::from_secs(distillation.distillation_timeout_seconds),
        side_by_side: side_by_side(config),
    }
}

pub(super) fn memory(config: &Config) -> MemorySettings {
    let chat = &config.chat;
    MemorySettings {
        working_messages: chat.max_working_memory_size,
        working_sessions: chat.working_memory_sessions,
        working_bytes: chat.working_memory_bytes.as_usize(),
        summarize_after: chat.summarize_after_messages,
    }
}

pub(super) fn chat(config: &Config) -> ChatSettings {
    let chat = &config.chat;
    ChatSettings {
        shares: Shares {
            system: chat.system_token_percent,
            memory: chat.rag_token_percent,
            history: chat.history_token_percent,
            answer: chat.response_token_percent,
        },
        recalled: chat.rag_top_k,
        window: config.engine.llm_n_ctx.into(),
        patience: Duration::from_millis(chat.memory_timeout_ms),
        generation_limit: Duration::from_secs(config.engine.llm_generation_timeout_seconds),
    }
}

pub(super) fn companion(config: &Config) -> CompanionSettings {
    let companion = &config.companion;
    CompanionSettings {
        sampling: Sampling { top_p: 1.0, ..sampling(config, 0.8) },
        allows_adults: companion.adult_instance,
        persona_by_gender: companion.persona_by_profile_gender,
        short_term: companion.max_context_messages,
        studies: companion.facts_by_model,
        visits: VisitSettings {
            timeout: Duration::from_secs(companion.session_timeout),
            most: companion.max_sessions_per_user,
        },
    }
}

/// The contract's: livelier than an agent at work.
pub(super) fn archive(config: &Config) -> ArchiveSettings {
    let archive = &config.archive;
    ArchiveSettings {
        chunk_size: ChunkSize {
            characters: archive.archive_chunk_characters,
            overlap: archive.archive_chunk_overlap,
        },
        collection: archive.archive_collection_name.clone(),
        largest_file: usize::try_from(archive.archive_max_file_bytes.get()).unwrap_or(usize::MAX),
    }
}

/// `None` where it has no URL, which the configuration refuses.
pub(super) fn chroma(config: &Config) -> Option<ChromaSettings> {
    let archive = &config.archive;
    Some(ChromaSettings {
        url: archive.chroma_url.clone()?,
        tenant: archive.chroma_tenant.clone(),
        database: archive.chroma_database.clone(),
        token: archive.chroma_token.clone(),
        token_header: archive.chroma_token_header,
        collection: archive.archive_collection_name.clone(),
    })
}

pub(super) fn talk_defaults(config: &Config) -> TalkDefaults {
    let sampling = sampling(config, 0.9);
    TalkDefaults {
        sampling: Sampling { top_p: 1.0, ..sampling },
        max_tokens: TokenCount::new(800),
        queue_size: config.engine.llm_queue_size,
    }
}

fn layers(config: &Config) -> [usize; 5] {
    let context = &config.context;
    [
        context.context_layer_a_tokens,
        context.context_layer_b_tokens,
        context.context_layer_c_tokens,
        context.context_layer_d_tokens,
        context.context_layer_e_tokens,
    ]
    .map(|tokens| tokens as usize)
}

fn priorities(context: &config::Context) -> Priorities {
    Priorities {
        plot: Levels {
            high: Priority::new(context.context_priority_plot_high),
            medium: Priority::new(context.context_priority_plot_medium),
            low: Priority::new(context.context_priority_plot_low),
        },
        user: Levels {
            high: Priority::new(context.context_priority_user_high),
            medium: Priority::new(context.context_priority_user_medium),
            low: Priority::new(context.context_priority_user_low),
        },
        system: Levels {
            high: Priority::new(context.context_priority_system_high),
            medium: Priority::new(context.context_priority_system_medium),
            low: Priority::new(context.context_priority_system_low),
        },
        character: Priority::new(context.context_priority_character),
        system_prompt_prefix: Priority::new(context.context_adapter_system_prefix_priority),
        system_prompt_suffix: Priority::new(context.context_adapter_system_suffix_priority),
        assistant_prompt: Priority::new(context.context_adapter_writing_assistant_priority),
        editor_prompt: Priority::new(context.context_adapter_writing_editor_priority),
        instruction: Priority::new(context.context_adapter_instruction_priority),
        character_brief: Priority::new(context.context_adapter_character_prompt_priority),
        rater_brief: Priority::new(context.context_adapter_rater_prompt_priority),
        editor_brief: Priority::new(context.context_adapter_editor_prompt_priority),
        output: Priority::new(context.context_adapter_output_priority),
    }
}

fn sampling(config: &Config, temperature: f32) -> Sampling {
    let engine = &config.engine;
    Sampling {
        temperature,
        top_p: engine.llm_top_p,
        top_k: engine.llm_top_k,
        min_p: engine.llm_min_p,
        repeat_penalty: engine.llm_repeat_penalty,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        seed: 0,
    }
}

/// Requests that make sense at the same time.
fn side_by_side(config: &Config) -> usize {
    match config.remote.llm_provider {
        config::Provider::Llama => config.engine.llm_parallel,
        _ => config.remote.llm_max_in_flight,
    }
}

/// The server that runs the model, where that isn't this process.
pub fn remote(config: &Config) -> Option<RemoteSettings> {
    let remote = &config.remote;
    let provider = match remote.llm_provider {
        config::Provider::Llama => return None,
        config::Provider::Openai => Provider::OpenAi,
        config::Provider::Ollama => Provider::Ollama,
        config::Provider::Gemini => Provider::Gemini,
    };
    let gemini = provider == Provider::Gemini;
    let key = remote.llm_api_key.clone();
    let model = remote.llm_model.clone();
    Some(RemoteSettings {
        provider,
        // The configuration was refused without address and model.
        base_url: base_url(remote)?,
        model: model.or_else(|| gemini.then(|| remote.gemini_model.clone()))?,
        api_key: if gemini { key.or_else(|| remote.gemini_api_key.clone()) } else { key },
        window: config.engine.llm_n_ctx.into(),
        max_in_flight: remote.llm_max_in_flight,
        queue_size: config.engine.llm_queue_size,
        connect_timeout: Duration::from_secs(remote.llm_connect_timeout_seconds),
        first_token_timeout: Duration::from_secs(remote.llm_first_token_timeout_seconds),
        stall_timeout: Duration::from_secs(remote.llm_stall_timeout_seconds),
        retries: remote.llm_retries,
    })
}

fn base_url(remote: &config::Remote) -> Option<String> {
    const PORT: &str = ":11434";
    let host = remote.ollama_host.as_str();
    let usual = || match remote.llm_provider {
        config::Provider::Llama | config::Provider::Openai => None,
        config::Provider::Ollama if host.contains("://") => Some(host.to_owned()),
        // As Ollama's own tools read it.
        config::Provider::Ollama => {
            Some(format!("http://{host}{}", if host.contains(':') { "" } else { PORT }))
        }
        config::Provider::Gemini => {
            Some("https://generativelanguage.googleapis.com/v1beta".to_owned())
        }
    };
    remote.llm_base_url.clone().or_else(usual)
}

pub(super) fn flash_attention(choice: config::FlashAttention) -> FlashAttention {
    match choice {
        config::FlashAttention::Auto => FlashAttention::Auto,
        config::FlashAttention::On => FlashAttention::On,
        config::FlashAttention::Off => FlashAttention::Off,
    }
}

pub(super) fn tokenizer(config: &Config) -> TokenizerChoice {
    match config.context.tokenizer {
        config::TokenizerChoice::Auto => TokenizerChoice::Auto,
        config::TokenizerChoice::Model => TokenizerChoice::Model,
        config::TokenizerChoice::O200k => TokenizerChoice::Tiktoken(TiktokenCounter::O200k),
        config::TokenizerChoice::Cl100k => TokenizerChoice::Tiktoken(TiktokenCounter::Cl100k),
        config::TokenizerChoice::Estimate => TokenizerChoice::Estimate,
    }
}

/// What `http/` and its life need.
pub struct HttpParts {
    pub http: HttpSettings,
    pub token_limits: TokenLimits,
    pub limits: LimitSettings,
    /// How long open streams may go on after the server was told to stop.
    pub grace: Duration,
}

pub(super) fn http(config: &Config) -> HttpParts {
    let server = &config.server;
    HttpParts {
        http: HttpSettings {
            api_prefix: server.api_v1_str.trim_end_matches('/').to_owned(),
            cors_origins: server.cors_origins.clone(),
            max_request_bytes: server.max_request_bytes.as_usize(),
            debug: server.debug,
            keys: config
                .account
                .api_keys
                .as_ref()
                .map_or_else(ApiKeys::default, |keys| ApiKeys::of_list(keys.expose())),
        },
        limits: LimitSettings {
            requests: config.account.rate_limit_per_minute,
            logins: config.account.login_rate_limit_per_minute,
        },
        token_limits: TokenLimits {
            window: config.engine.llm_n_ctx as usize,
            max_generation: config.engine.llm_max_tokens as usize,
            max_context_tokens: config.context.context_max_tokens as usize,
            buffer_tokens: config.context.context_buffer_tokens as usize,
            layers: layers(config),
        },
        grace: Duration::from_secs(server.shutdown_grace_seconds),
    }
}

/// The operator's key, or the one that lies with the database, which is made if need be.
pub fn signing_key(config: &Config, ids: &Ids) -> Result<SigningKey, KeyError> {
    config.account.jwt_secret.as_ref().map_or_else(
        || SigningKey::in_folder(&config.server.db_path, ids),
        |secret| Ok(SigningKey::of_secret(secret.expose().as_bytes())),
    )
}

pub(super) fn accounts(config: &Config, key: SigningKey) -> AccountSettings {
    const HOUR: u64 = 60 * 60;
    let account = &config.account;
    AccountSettings {
        key,
        algorithm: match account.jwt_algorithm {
            config::JwtAlgorithm::Hs256 => Algorithm::Hs256,
        },
        access_lifetime: Duration::from_secs(account.jwt_expiration_hours * HOUR),
        refresh_lifetime: Duration::from_secs(account.refresh_expiration_days * 24 * HOUR),
        registration_is_open: account.enable_registration,
    }
}

pub fn log_settings(config: &Config) -> LogSettings {
    LogSettings {
        level: match config.server.log_level {
            config::LogLevel::Trace => tracing::Level::TRACE,
            config::LogLevel::Debug => tracing::Level::DEBUG,
            config::LogLevel::Info => tracing::Level::INFO,
            config::LogLevel::Warn => tracing::Level::WARN,
            config::LogLevel::Error => tracing::Level::ERROR,
        },
        json: config.server.log_format == config::LogFormat::Json,
        generations: config.engine.llm_verbose_generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote_of(pairs: &[(&str, &str)]) -> RemoteSettings {
        remote(&Config::from_pairs(pairs).unwrap()).unwrap()
    }

    #[test]
    fn ollama_is_where_its_own_variable_says_unless_ours_does() {
        for (host, url) in [
            ("localhost", "http://localhost:11434"),
            ("box:8080", "http://box:8080"),
            ("https://box/ollama", "https://box/ollama"),
        ] {
            let pairs = [("LLM_PROVIDER", "ollama"), ("MODEL_NAME", "m"), ("OLLAMA_HOST", host)];
            assert_eq!(remote_of(&pairs).base_url, url);
            let ours = [&pairs[..], &[("LLM_BASE_URL", "http://other:1")]].concat();
            assert_eq!(remote_of(&ours).base_url, "http://other:1");
        }
    }

    #[test]
    fn gemini_goes_by_its_own_names_unless_ours_are_set() {
        let pairs = [("LLM_PROVIDER", "gemini"), ("GEMINI_API_KEY", "theirs")];
        let settings = remote_of(&pairs);
        assert_eq!(settings.model, "gemini-1.5-pro");
        assert_eq!(settings.api_key.unwrap().expose(), "theirs");
        let ours = [&pairs[..], &[("LLM_API_KEY", "ours"), ("LLM_MODEL", "gemini-2.5-flash")]];
        let settings = remote_of(&ours.concat());
        assert_eq!(settings.model, "gemini-2.5-flash");
        assert_eq!(settings.api_key.unwrap().expose(), "ours");
    }

    #[test]
    fn without_a_provider_the_model_runs_here() {
        assert!(remote(&Config::default()).is_none());
    }
}
