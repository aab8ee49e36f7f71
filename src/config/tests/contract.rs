//! The promise to existing deployments: their `.env` files go on meaning the same. The tables are
//! written down from the contract, not from the registry, whose promise this is.

use std::collections::BTreeSet;

use super::in_use;
use crate::config::{
    AllocationMode, Config, ConfigFault, ConfigFaults, Kind, OverflowStrategy, Source, registry,
};

/// The names that existing `.env` files hold: name, default, least, most. 88, and
/// `LLM_CACHE_CAPACITY` of a later contract.
const CONTRACT: &str = "
API_V1_STR | /api/v1 | |
DEBUG | true | |
ARCHIVE_DB_PATH | | |
ARCHIVE_COLLECTION_NAME | story_archive | |
MODEL_PATH | | |
LLM_N_CTX | 4096 | 256 | 1048576
LLM_N_GPU_LAYERS | -1 | -1 |
LLM_N_THREADS | | 1 |
LLM_TEMPERATURE | 0.7 | 0.0 | 2.0
LLM_TOP_P | 0.95 | 0.0 | 1.0
LLM_TOP_K | 40 | 1 |
LLM_MAX_TOKENS | 2048 | 1 |
LLM_REPEAT_PENALTY | 1.1 | 1.0 | 2.0
LLM_VERBOSE | false | |
LLM_VERBOSE_GENERATION | false | |
CONTEXT_MAX_TOKENS | 32000 | 1000 | 100000
CONTEXT_BUFFER_TOKENS | 2000 | 100 | 10000
CONTEXT_LAYER_A_TOKENS | 2000 | 100 | 10000
CONTEXT_LAYER_B_TOKENS | 0 | 0 | 5000
CONTEXT_LAYER_C_TOKENS | 13000 | 1000 | 25000
CONTEXT_LAYER_D_TOKENS | 5000 | 500 | 10000
CONTEXT_LAYER_E_TOKENS | 10000 | 1000 | 20000
CONTEXT_SUMMARIZATION_THRESHOLD | 25000 | 1000 | 100000
CONTEXT_ASSEMBLY_TIMEOUT | 100 | 10 | 10000
CONTEXT_ENABLE_RAG | true | |
CONTEXT_ENABLE_MONITORING | true | |
CONTEXT_ENABLE_CACHING | true | |
CONTEXT_MIN_PRIORITY_THRESHOLD | 0.1 | 0.0 | 1.0
CONTEXT_OVERFLOW_STRATEGY | reallocate | |
CONTEXT_ALLOCATION_MODE | dynamic | |
ENDPOINT_CHARACTER_FEEDBACK_TEMPERATURE | 0.8 | 0.0 | 2.0
ENDPOINT_CHARACTER_FEEDBACK_MAX_TOKENS | 800 | 100 | 5000
ENDPOINT_EDITOR_REVIEW_TEMPERATURE | 0.6 | 0.0 | 2.0
ENDPOINT_EDITOR_REVIEW_MAX_TOKENS | 800 | 100 | 5000
ENDPOINT_FLESH_OUT_TEMPERATURE | 0.8 | 0.0 | 2.0
ENDPOINT_FLESH_OUT_MAX_TOKENS | 600 | 100 | 5000
ENDPOINT_GENERATE_CHAPTER_TEMPERATURE | 0.8 | 0.0 | 2.0
ENDPOINT_GENERATE_CHAPTER_MAX_TOKENS | 2000 | 500 | 10000
ENDPOINT_GENERATE_CHARACTER_DETAILS_TEMPERATURE | 0.7 | 0.0 | 2.0
ENDPOINT_GENERATE_CHARACTER_DETAILS_MAX_TOKENS | 1000 | 100 | 5000
ENDPOINT_MODIFY_CHAPTER_TEMPERATURE | 0.7 | 0.0 | 2.0
ENDPOINT_MODIFY_CHAPTER_MAX_TOKENS | 2500 | 500 | 10000
ENDPOINT_RATER_FEEDBACK_TEMPERATURE | 0.7 | 0.0 | 2.0
ENDPOINT_RATER_FEEDBACK_MAX_TOKENS | 600 | 100 | 5000
ENDPOINT_ARCHIVE_SEARCH_TEMPERATURE | 0.3 | 0.0 | 1.0
ENDPOINT_ARCHIVE_SUMMARIZE_TEMPERATURE | 0.4 | 0.0 | 1.0
CONTEXT_PRIORITY_PLOT_HIGH | 0.8 | 0.0 | 1.0
CONTEXT_PRIORITY_PLOT_MEDIUM | 0.5 | 0.0 | 1.0
CONTEXT_PRIORITY_PLOT_LOW | 0.2 | 0.0 | 1.0
CONTEXT_PRIORITY_CHARACTER | 0.7 | 0.0 | 1.0
CONTEXT_PRIORITY_USER_HIGH | 0.8 | 0.0 | 1.0
CONTEXT_PRIORITY_USER_MEDIUM | 0.5 | 0.0 | 1.0
CONTEXT_PRIORITY_USER_LOW | 0.2 | 0.0 | 1.0
CONTEXT_PRIORITY_SYSTEM_HIGH | 0.8 | 0.0 | 1.0
CONTEXT_PRIORITY_SYSTEM_MEDIUM | 0.5 | 0.0 | 1.0
CONTEXT_PRIORITY_SYSTEM_LOW | 0.2 | 0.0 | 1.0
CONTEXT_HIGH_PRIORITY_THRESHOLD | 0.7 | 0.0 | 1.0
CONTEXT_ADAPTER_SYSTEM_PREFIX_PRIORITY | 1.0 | 0.0 | 1.0
CONTEXT_ADAPTER_SYSTEM_SUFFIX_PRIORITY | 1.0 | 0.0 | 1.0
CONTEXT_ADAPTER_WRITING_ASSISTANT_PRIORITY | 0.8 | 0.0 | 1.0
CONTEXT_ADAPTER_WRITING_EDITOR_PRIORITY | 0.8 | 0.0 | 1.0
CONTEXT_ADAPTER_CHARACTER_PROMPT_PRIORITY | 0.7 | 0.0 | 1.0
CONTEXT_ADAPTER_RATER_PROMPT_PRIORITY | 0.8 | 0.0 | 1.0
CONTEXT_ADAPTER_EDITOR_PROMPT_PRIORITY | 0.8 | 0.0 | 1.0
CONTEXT_ADAPTER_INSTRUCTION_PRIORITY | 0.9 | 0.0 | 1.0
CONTEXT_ADAPTER_OUTPUT_PRIORITY | 0.6 | 0.0 | 1.0
DISTILLATION_GENERAL_TEMPERATURE | 0.3 | 0.0 | 1.0
DISTILLATION_PLOT_SUMMARY_TEMPERATURE | 0.3 | 0.0 | 1.0
DISTILLATION_CHARACTER_SUMMARY_TEMPERATURE | 0.3 | 0.0 | 1.0
DISTILLATION_SCENE_SUMMARY_TEMPERATURE | 0.3 | 0.0 | 1.0
DISTILLATION_DIALOGUE_SUMMARY_TEMPERATURE | 0.4 | 0.0 | 1.0
DISTILLATION_FEEDBACK_SUMMARY_TEMPERATURE | 0.2 | 0.0 | 1.0
DISTILLATION_SYSTEM_PROMPT_TEMPERATURE | 0.1 | 0.0 | 1.0
DISTILLATION_CONVERSATION_TEMPERATURE | 0.3 | 0.0 | 1.0
RAG_DEFAULT_TEMPERATURE | 0.3 | 0.0 | 1.0
RAG_SUMMARIZATION_TEMPERATURE | 0.4 | 0.0 | 1.0
VALIDATION_PHASE_TRANSITION_THRESHOLD | 0.7 | 0.0 | 1.0
VALIDATION_OUTLINE_MIN_WORD_RATIO | 50.0 | 1.0 | 1000.0
VALIDATION_CONFLICT_PRESENT_SCORE | 1.0 | 0.0 | 1.0
VALIDATION_CONFLICT_ABSENT_SCORE | 0.3 | 0.0 | 1.0
VALIDATION_CHARACTERS_PRESENT_SCORE | 1.0 | 0.0 | 1.0
VALIDATION_CHARACTERS_ABSENT_SCORE | 0.2 | 0.0 | 1.0
VALIDATION_CHAPTER_MIN_WORD_RATIO | 500.0 | 1.0 | 5000.0
VALIDATION_DIALOGUE_PRESENT_SCORE | 1.0 | 0.0 | 1.0
VALIDATION_DIALOGUE_ABSENT_SCORE | 0.7 | 0.0 | 1.0
VALIDATION_COMPLETION_SCORE | 1.0 | 0.0 | 1.0
VALIDATION_INCOMPLETE_SCORE | 0.5 | 0.0 | 1.0
VALIDATION_SUMMARY_MIN_WORD_RATIO | 200.0 | 1.0 | 2000.0
LLM_CACHE_CAPACITY | 2GiB | |
";

/// The names that are ours, in the same form.
const OWN: &str = "
HOST | 127.0.0.1 | |
PORT | 8000 | 0 | 65535
CORS_ORIGINS | http://localhost:4200 | |
MAX_REQUEST_BYTES | 32MiB | 1KiB | 1GiB
SHUTDOWN_GRACE_SECONDS | 10 | 0 | 600
LOG_LEVEL | INFO | |
LOG_FORMAT | json | |
DB_PATH | ./data | |
MODELS_DIR | ./models | |
PROMPTS_DIR | | |
RECEIPTS_KEPT | 1000 | 0 | 1000000
TOKENIZER | auto | |
DISTILLATION_METHOD | model | |
DISTILLATION_CACHE_ENTRIES | 10000 | 0 | 1000000
DISTILLATION_TIMEOUT_SECONDS | 30 | 1 | 3600
SYSTEM_TOKEN_PERCENT | 20.0 | 0.0 | 100.0
RAG_TOKEN_PERCENT | 25.0 | 0.0 | 100.0
HISTORY_TOKEN_PERCENT | 35.0 | 0.0 | 100.0
RESPONSE_TOKEN_PERCENT | 20.0 | 5.0 | 100.0
RAG_TOP_K | 3 | 0 | 100
MAX_WORKING_MEMORY_SIZE | 20 | 2 | 10000
WORKING_MEMORY_SESSIONS | 1000 | 1 | 1000000
WORKING_MEMORY_BYTES | 64MiB | |
SUMMARIZE_AFTER_MESSAGES | 20 | 2 | 1000
MEMORY_TIMEOUT_MS | 2000 | 10 | 60000
EMBEDDING_MODEL | all-MiniLM-L6-v2 | |
PERSONAS_FILE | | |
MAX_CONTEXT_MESSAGES | 10 | 1 | 1000
ADULT_INSTANCE | false | |
PERSONA_BY_PROFILE_GENDER | false | |
FACTS_BY_MODEL | true | |
SESSION_TIMEOUT | 3600 | 1 | 31536000
MAX_SESSIONS_PER_USER | 5 | 1 | 1000
JWT_SECRET | | |
JWT_ALGORITHM | HS256 | |
JWT_EXPIRATION_HOURS | 24 | 1 | 8760
REFRESH_EXPIRATION_DAYS | 30 | 1 | 3650
ENABLE_REGISTRATION | true | |
API_KEYS | | |
ALLOW_OPEN | false | |
RATE_LIMIT_PER_MINUTE | 120 | 0 | 1000000
LOGIN_RATE_LIMIT_PER_MINUTE | 10 | 0 | 1000000
LLM_QUEUE_SIZE | 32 | 1 | 10000
LLM_GENERATION_TIMEOUT_SECONDS | 1800 | 1 | 86400
LLM_MIN_P | 0.05 | 0.0 | 1.0
LLM_PARALLEL | 8 | 1 | 32
LLM_KV_TOKENS | | 256 | 16777216
LLM_FLASH_ATTENTION | auto | |
LLM_REPRODUCIBLE | false | |
HF_ENDPOINT | | |
HF_TOKEN | | |
LLM_PROVIDER | llama | |
LLM_BASE_URL | | |
LLM_API_KEY | | |
LLM_MODEL | | |
OLLAMA_HOST | http://127.0.0.1:11434 | |
GEMINI_API_KEY | | |
GEMINI_MODEL | gemini-1.5-pro | |
LLM_MAX_IN_FLIGHT | 5 | 1 | 1000
LLM_CONNECT_TIMEOUT_SECONDS | 10 | 1 | 600
LLM_FIRST_TOKEN_TIMEOUT_SECONDS | 300 | 1 | 86400
LLM_STALL_TIMEOUT_SECONDS | 60 | 1 | 86400
LLM_RETRIES | 4 | 0 | 20
ARCHIVE_BACKEND | embedded | |
ARCHIVE_CHUNK_CHARACTERS | 1000 | 200 | 8000
ARCHIVE_CHUNK_OVERLAP | 200 | 0 | 4000
ARCHIVE_MAX_FILE_BYTES | 20MiB | 1KiB | 1GiB
CHROMA_URL | | |
CHROMA_TENANT | default_tenant | |
CHROMA_DATABASE | default_database | |
CHROMA_TOKEN | | |
CHROMA_TOKEN_HEADER | authorization | |
";

/// Rows of name, default, least, most.
fn rows() -> Vec<[&'static str; 4]> {
    let lines = CONTRACT.trim().lines().chain(OWN.trim().lines());
    let rows = lines.map(|line| {
        let mut cells = line.split('|').map(str::trim);
        std::array::from_fn(|_| cells.next().unwrap())
    });
    rows.collect()
}

#[test]
fn every_name_of_the_contract_is_known_with_its_default_and_range() {
    assert_eq!(CONTRACT.trim().lines().count(), 88 + 1);
    let config = Config::default();
    for [name, default, least, most] in rows() {
        let setting = registry().find(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(setting.name, name);
        assert_eq!(setting.default, default, "{name}");
        assert_eq!(in_use(&config, name).value, default, "{name}");
        assert_eq!(setting.least.as_deref().unwrap_or(""), least, "{name}");
        assert_eq!(setting.most.as_deref().unwrap_or(""), most, "{name}");
    }
    assert_eq!(registry().settings.len(), rows().len());
}

#[test]
fn defaults_are_typed() {
    let config = Config::default();
    assert_eq!(config.engine.llm_cache_capacity.get(), 2_147_483_648);
    assert_eq!(config.engine.llm_n_ctx, 4096);
    assert_eq!(config.engine.model_path, None);
    assert!(config.server.debug && config.server.host.is_loopback());
    assert_eq!(config.context.context_allocation_mode, AllocationMode::Dynamic);
    assert_eq!(config.context.context_overflow_strategy, OverflowStrategy::Reallocate);
    assert!(config.settings().all(|s| s.is_default && s.source == Source::Default));
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
}

#[test]
fn no_two_settings_share_a_name_or_alias() {
    let names: Vec<_> = registry().names().collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

#[test]
fn both_ends_of_every_range_are_legal_and_what_lies_beyond_is_refused() {
    for [name, _, least, most] in rows() {
        let kind = registry().find(name).unwrap().kind;
        for (bound, step) in [(least, -1_i8), (most, 1)] {
            if bound.is_empty() {
                continue;
            }
            assert_eq!(refused(name, bound), None, "{name}");
            let beyond = beyond(bound, step, kind);
            let fault = refused(name, &beyond).unwrap_or_else(|| panic!("{name}={beyond}"));
            for part in [name, &beyond, "command line", least, most] {
                assert!(fault.contains(part), "{part} in {fault}");
            }
        }
    }
}

/// The fault that refuses this value by itself; how it goes with others is another matter.
fn refused(name: &str, value: &str) -> Option<String> {
    let ConfigFaults(faults) = Config::from_pairs(&[(name, value)]).err()?;
    let mut faults = faults.into_iter();
    let fault = faults.find(|fault| matches!(fault, ConfigFault::Refused { .. }));
    fault.map(|fault| fault.to_string())
}

/// The nearest value past the end of a range.
fn beyond(bound: &str, step: i8, kind: Kind) -> String {
    match kind {
        Kind::Decimal => (bound.parse::<f64>().unwrap() + f64::from(step) / 100.0).to_string(),
        Kind::Bytes if step < 0 => "1023".to_owned(),
        Kind::Bytes => "1073741825".to_owned(),
        _ => (bound.parse::<i64>().unwrap() + i64::from(step)).to_string(),
    }
}
