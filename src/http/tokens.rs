//! The token routes: counting, fitting, and the limits an editor plans with.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TokenLimits;
use super::error::{ApiError, FaultKind, FieldFault};
use super::extract::JsonBody;
use crate::engine::{Engine, EngineError};
use crate::tokens::strategy::{ContentType, CountingStrategy, adjusted};
use crate::tokens::{TokenCount, TokenCounter, Tokenizers};

const MOST_TEXTS: usize = 50;
const MOST_CHARACTERS: usize = 100_000;

/// Many texts, or one: `{"text": "…"}`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CountRequest {
    /// One text; the answer then has `text` and `token_count` beside the list.
    #[serde(default)]
    text: Option<String>,
    /// 1 to 50 texts of at most 100,000 characters.
    #[serde(default)]
    texts: Option<Vec<CountItem>>,
    #[serde(default)]
    strategy: CountingStrategy,
    #[serde(default = "yes")]
    include_metadata: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CountItem {
    text: String,
    /// Guessed from the text when absent.
    #[serde(default)]
    content_type: Option<ContentType>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountResponse {
    success: bool,
    results: Vec<CountResult>,
    summary: CountSummary,
    /// Only for a request of one text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Only for a request of one text.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_count: Option<TokenCount>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountResult {
    text: String,
    token_count: TokenCount,
    content_type: ContentType,
    strategy: CountingStrategy,
    /// The factor that strategy and content type put on the tokenizer's count.
    overhead_applied: f64,
    metadata: Option<CountMetadata>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountMetadata {
    base_count: TokenCount,
    /// Characters.
    content_length: usize,
    content_multiplier: f64,
    tokenizer_used: String,
    auto_detected_type: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountSummary {
    total_texts: usize,
    total_tokens: TokenCount,
    total_characters: usize,
    avg_tokens_per_text: f64,
    avg_chars_per_text: f64,
    avg_tokens_per_char: f64,
    strategy_used: CountingStrategy,
    tokenizer_ready: bool,
    content_type_distribution: BTreeMap<ContentType, usize>,
}

pub(super) async fn count(
    State(tokenizers): State<Arc<Tokenizers>>,
    JsonBody(request): JsonBody<CountRequest>,
) -> Result<Json<CountResponse>, ApiError> {
    let (items, single) = match (request.texts, request.text) {
        (Some(texts), _) => (texts, None),
        (None, Some(text)) => {
            (vec![CountItem { text: text.clone(), content_type: None }], Some(text))
        }
        (None, None) => {
            let message = "give text, or texts with 1 to 50 items";
            return Err(invalid(&["texts"], message));
        }
    };
    if let Some(text) = single.as_ref().filter(|text| text.chars().count() > MOST_CHARACTERS) {
        let characters = text.chars().count();
        let message = format!("has {characters} characters, more than {MOST_CHARACTERS}; split it");
        return Err(invalid(&["text"], &message));
    }
    check_sizes("texts", items.len(), items.iter().map(|item| item.text.as_str()))?;
    let counter = counter(&tokenizers)?;
    let ready = tokenizers.is_ready();
    let (strategy, with_metadata) = (request.strategy, request.include_metadata);
    let results: Vec<_> = blocking(move || {
        items.into_iter().map(|item| result(item, strategy, with_metadata, &*counter)).collect()
    })
    .await?;
    let summary = summary(&results, strategy, ready);
    let token_count = single.as_ref().map(|_| summary.total_tokens);
    Ok(Json(CountResponse { success: true, results, summary, text: single, token_count }))
}

fn result(
    item: CountItem,
    strategy: CountingStrategy,
    with_metadata: bool,
    counter: &dyn TokenCounter,
) -> CountResult {
    let base = counter.count(&item.text);
    let content_type = item.content_type.unwrap_or_else(|| ContentType::detect(&item.text));
    let metadata = with_metadata.then(|| CountMetadata {
        base_count: base,
        content_length: item.text.chars().count(),
        content_multiplier: content_type.multiplier(),
        tokenizer_used: counter.name().to_owned(),
        auto_detected_type: item.content_type.is_none(),
    });
    CountResult {
        token_count: adjusted(base, strategy, content_type),
        content_type,
        strategy,
        overhead_applied: strategy.multiplier() * content_type.multiplier(),
        metadata,
        text: item.text,
    }
}

fn summary(results: &[CountResult], strategy: CountingStrategy, ready: bool) -> CountSummary {
    let total_tokens: TokenCount = results.iter().map(|result| result.token_count).sum();
    let total_characters: usize = results.iter().map(|result| result.text.chars().count()).sum();
    let mut content_type_distribution = BTreeMap::new();
    for result in results {
        *content_type_distribution.entry(result.content_type).or_insert(0) += 1;
    }
    let texts = results.len().max(1) as f64;
    CountSummary {
        total_texts: results.len(),
        total_tokens,
        total_characters,
        avg_tokens_per_text: total_tokens.get() as f64 / texts,
        avg_chars_per_text: total_characters as f64 / texts,
        avg_tokens_per_char: total_tokens.get() as f64 / total_characters.max(1) as f64,
        strategy_used: strategy,
        tokenizer_ready: ready,
        content_type_distribution,
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ValidationRequest {
    /// 1 to 50 texts of at most 100,000 characters.
    texts: Vec<String>,
    /// Tokens.
    #[schemars(range(min = 1))]
    budget: i64,
    #[serde(default = "conservative")]
    strategy: CountingStrategy,
}

fn conservative() -> CountingStrategy {
    CountingStrategy::Conservative
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ValidationResponse {
    success: bool,
    fits_budget: bool,
    total_tokens: TokenCount,
    budget: TokenCount,
    /// Tokens as a share of the budget.
    utilization: f64,
    remaining_tokens: TokenCount,
    overflow_tokens: TokenCount,
    strategy_used: CountingStrategy,
}

pub(super) async fn validate(
    State(tokenizers): State<Arc<Tokenizers>>,
    JsonBody(request): JsonBody<ValidationRequest>,
) -> Result<Json<ValidationResponse>, ApiError> {
    check_sizes("texts", request.texts.len(), request.texts.iter().map(String::as_str))?;
    let budget = usize::try_from(request.budget).ok().filter(|&budget| budget > 0);
    let budget =
        TokenCount::new(budget.ok_or_else(|| invalid(&["budget"], "must be greater than 0"))?);
    let counter = counter(&tokenizers)?;
    let (texts, strategy) = (request.texts, request.strategy);
    let total_tokens: TokenCount = blocking(move || {
        let of = |text: &String| adjusted(counter.count(text), strategy, ContentType::detect(text));
        texts.iter().map(of).sum()
    })
    .await?;
    Ok(Json(ValidationResponse {
        success: true,
        fits_budget: total_tokens <= budget,
        total_tokens,
        budget,
        utilization: total_tokens.get() as f64 / budget.get() as f64,
        remaining_tokens: budget - total_tokens,
        overflow_tokens: total_tokens - budget,
        strategy_used: strategy,
    }))
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StrategiesResponse {
    success: bool,
    strategies: BTreeMap<String, StrategyInfo>,
    content_types: Vec<ContentType>,
    token_limits: LimitsInfo,
    default_strategy: CountingStrategy,
    batch_limits: BatchLimits,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StrategyInfo {
    description: String,
    multiplier: f64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LimitsResponse {
    success: bool,
    token_limits: LimitsInfo,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LimitsInfo {
    llm_context_window: usize,
    llm_max_generation: usize,
    context_management: ContextLimits,
    recommended_limits: RecommendedLimits,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ContextLimits {
    max_context_tokens: usize,
    buffer_tokens: usize,
    layer_limits: LayerLimits,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LayerLimits {
    system_instructions: usize,
    immediate_instructions: usize,
    recent_story: usize,
    character_scene_data: usize,
    plot_world_summary: usize,
}

/// What an editor's prompt fields should keep to, so that layer A holds them all.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RecommendedLimits {
    system_prompt_prefix: usize,
    system_prompt_suffix: usize,
    writing_assistant_prompt: usize,
    writing_editor_prompt: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct BatchLimits {
    max_texts_per_request: usize,
    max_text_size_bytes: usize,
}

/// An error of the token routes.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TokenError {
    /// Always false.
    success: bool,
    error: String,
    details: Option<serde_json::Value>,
}

pub(super) async fn strategies(
    State(limits): State<Arc<TokenLimits>>,
    State(engine): State<Arc<dyn Engine>>,
) -> Json<StrategiesResponse> {
    let name = |strategy: CountingStrategy| {
        serde_json::to_value(strategy).ok().and_then(|name| name.as_str().map(str::to_owned))
    };
    let strategies = CountingStrategy::ALL
        .into_iter()
        .filter_map(|strategy| {
            let description = strategy.description().to_owned();
            Some((name(strategy)?, StrategyInfo { description, multiplier: strategy.multiplier() }))
        })
        .collect();
    Json(StrategiesResponse {
        success: true,
        strategies,
        content_types: ContentType::ALL.to_vec(),
        token_limits: limits_info(&limits, &*engine),
        default_strategy: CountingStrategy::default(),
        batch_limits: BatchLimits {
            max_texts_per_request: MOST_TEXTS,
            max_text_size_bytes: MOST_CHARACTERS,
        },
    })
}

pub(super) async fn limits(
    State(limits): State<Arc<TokenLimits>>,
    State(engine): State<Arc<dyn Engine>>,
) -> Json<LimitsResponse> {
    Json(LimitsResponse { success: true, token_limits: limits_info(&limits, &*engine) })
}

fn limits_info(limits: &TokenLimits, engine: &dyn Engine) -> LimitsInfo {
    let [system, immediate, recent, characters, plot] = limits.layers;
    LimitsInfo {
        llm_context_window: engine.status().window.map_or(limits.window, TokenCount::get),
        llm_max_generation: limits.max_generation,
        context_management: ContextLimits {
            max_context_tokens: limits.max_context_tokens,
            buffer_tokens: limits.buffer_tokens,
            layer_limits: LayerLimits {
                system_instructions: system,
                immediate_instructions: immediate,
                recent_story: recent,
                character_scene_data: characters,
                plot_world_summary: plot,
            },
        },
        recommended_limits: RecommendedLimits {
            system_prompt_prefix: system / 4,
            system_prompt_suffix: system / 4,
            writing_assistant_prompt: system / 2,
            writing_editor_prompt: system / 2,
        },
    }
}

fn check_sizes<'a>(
    field: &str,
    texts: usize,
    each: impl Iterator<Item = &'a str>,
) -> Result<(), ApiError> {
    if !(1..=MOST_TEXTS).contains(&texts) {
        let message = format!("must have 1 to {MOST_TEXTS} items, not {texts}");
        return Err(invalid(&[field], &message));
    }
    let faults: Vec<_> = each
        .enumerate()
        .filter(|(_, text)| text.chars().count() > MOST_CHARACTERS)
        .map(|(index, _)| FieldFault {
            path: vec![field.into(), index.into()],
            message: format!("has more than {MOST_CHARACTERS} characters; split it"),
            kind: FaultKind::Wrong,
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(ApiError::invalid(faults)) }
}

fn invalid(path: &[&str], message: &str) -> ApiError {
    let path = path.iter().map(|&step| step.into()).collect();
    let kind = FaultKind::Wrong;
    ApiError::invalid(vec![FieldFault { path, message: message.to_owned(), kind }])
}

fn counter(tokenizers: &Tokenizers) -> Result<Arc<dyn TokenCounter>, ApiError> {
    tokenizers.counter().ok_or_else(|| {
        ApiError::from(EngineError::Unavailable(
            "TOKENIZER=model, but no model is loaded".to_owned(),
        ))
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ApiError::internal("the thread that counts was lost"))
}
