//! Chooses the next token: llama.cpp's sampler chain, and where the answer must match a JSON Schema,
//! llguidance behind it. The grammar is asked only whether the chosen token fits; just when it
//! doesn't, the mask over the whole vocabulary is computed and the choice repeated. That costs far
//! less than masking before every choice; the two draw from the same distribution where nothing is
//! truncated, and nearly the same under top-k, top-p and min-p, as in llama.cpp's own sampler.

use std::sync::{Arc, OnceLock};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;
use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};

use crate::engine::{EngineError, GenerateRequest, Sampling};

/// How many of the last tokens written the penalties look at.
const PENALTY_WINDOW: i32 = 64;

/// Compiles JSON Schemas for one model's vocabulary.
pub(super) struct Grammars {
    model: Arc<LlamaModel>,
    /// Walks the whole vocabulary, so it is made at the first schema, once.
    factory: OnceLock<Result<Arc<ParserFactory>, String>>,
}

impl Grammars {
    pub(super) fn new(model: Arc<LlamaModel>) -> Self {
        Self { model, factory: OnceLock::new() }
    }

    pub(super) fn matcher(&self, schema: &serde_json::Value) -> Result<Matcher, EngineError> {
        let factory = self
            .factory
            .get_or_init(|| {
                let tokens = LlamaSampler::llguidance_tok_env(&self.model);
                ParserFactory::new_simple(&tokens)
                    .map(|mut factory| {
                        factory.quiet();
                        Arc::new(factory)
                    })
                    .map_err(|error| error.to_string())
            })
            .as_ref()
            .map_err(|error| EngineError::Schema(error.clone()))?;
        let grammar = TopLevelGrammar::from_json_schema(compact(schema));
        let matcher = Matcher::new(factory.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(EngineError::Schema(error)),
            None => Ok(matcher),
        }
    }
}

/// Between values just the white space that Python's `json.dumps` writes, which models know best.
/// Where any is allowed, a small model can write line ends until its tokens are spent.
fn compact(schema: &serde_json::Value) -> serde_json::Value {
    let mut schema = schema.clone();
    if let Some(root) = schema.as_object_mut() {
        root.insert(
            "x-guidance".to_owned(),
            serde_json::json!({
                "whitespace_flexible": false,
                "item_separator": ", ",
                "key_separator": ": ",
            }),
        );
    }
    schema
}

/// The sampler of one request.
pub(super) struct TokenSampler {
    chain: LlamaSampler,
    /// Whether the chain only takes the likeliest token, which needs no copy of the vocabulary.
    takes_likeliest: bool,
    grammar: Option<Matcher>,
}

impl TokenSampler {
    pub(super) fn new(
        model: &LlamaModel,
        request: &GenerateRequest,
        grammar: Option<Matcher>,
    ) -> Result<Self, EngineError> {
        let sampling = &request.sampling;
        let biases = biases(model.n_vocab(), &request.logit_bias)?;
        let takes_likeliest =
            sampling.temperature <= 0.0 && !penalises(sampling) && biases.is_empty();
        Ok(Self { chain: chain(model, sampling, &biases), takes_likeliest, grammar })
    }

    /// Chooses from the logits of the batch's entry `index`, and remembers the choice.
    pub(super) fn sample(
        &mut self,
        context: &LlamaContext<'_>,
        index: i32,
    ) -> Result<LlamaToken, EngineError> {
        let Some(grammar) = &mut self.grammar else {
            if self.takes_likeliest {
                return Ok(likeliest(context.get_logits_ith(index)));
            }
            // `sample` accepts the token by itself; accepting it again would count it twice.
            return Ok(self.chain.sample(context, index));
        };
        let mut candidates = context.token_data_array_ith(index);
        self.chain.apply(&mut candidates);
        let mut token = candidates.selected_token().unwrap_or(LlamaToken(-1));
        if !grammar.validate_tokens(&[token.0.cast_unsigned()]).is_ok_and(|fitting| fitting == 1) {
            let mask = grammar
                .compute_mask_or_eos()
                .map_err(|error| EngineError::Backend(error.to_string()))?;
            let mut candidates = context.token_data_array_ith(index);
            for candidate in &mut candidates.data {
                if !mask.is_allowed(candidate.id().0.cast_unsigned()) {
                    candidate.set_logit(f32::NEG_INFINITY);
                }
            }
            self.chain.apply(&mut candidates);
            token = candidates.selected_token().unwrap_or(LlamaToken(-1));
        }
        self.chain.accept(token);
        if !grammar.is_stopped() {
            grammar
                .consume_token(token.0.cast_unsigned())
                .map_err(|error| EngineError::Backend(error.to_string()))?;
        }
        Ok(token)
    }

    /// Whether the grammar allows nothing more, so that the answer is whole.
    pub(super) fn is_complete(&self) -> bool {
        self.grammar.as_ref().is_some_and(Matcher::is_stopped)
    }
}

/// The first of the largest, as llama.cpp's greedy sampler has it.
fn likeliest(logits: &[f32]) -> LlamaToken {
    let mut best = (0, f32::NEG_INFINITY);
    for (token, &logit) in (0..).zip(logits) {
        if logit > best.1 {
            best = (token, logit);
        }
    }
    LlamaToken(best.0)
}

fn penalises(sampling: &Sampling) -> bool {
    (sampling.repeat_penalty - 1.0).abs() > f32::EPSILON
        || sampling.presence_penalty != 0.0
        || sampling.frequency_penalty != 0.0
}

/// As llama.cpp takes them, which passes over tokens that don't exist without a word.
fn biases(vocabulary: i32, wanted: &[(u32, f32)]) -> Result<Vec<LlamaLogitBias>, EngineError> {
    let bias = |&(token, bias): &(u32, f32)| match i32::try_from(token) {
        Ok(known) if known < vocabulary && bias.is_finite() => {
            Ok(LlamaLogitBias::new(LlamaToken(known), bias))
        }
        Ok(known) if known < vocabulary => {
            Err(EngineError::LogitBias(format!("the bias of token {token} is no number")))
        }
        _ => Err(EngineError::LogitBias(format!(
            "there is no token {token}; the model's tokens are 0 to {}",
            vocabulary - 1
        ))),
    };
    wanted.iter().map(bias).collect()
}

fn chain(model: &LlamaModel, sampling: &Sampling, biases: &[LlamaLogitBias]) -> LlamaSampler {
    let mut samplers = Vec::with_capacity(7);
    if !biases.is_empty() {
        samplers.push(LlamaSampler::logit_bias(model.n_vocab(), biases));
    }
    if penalises(sampling) {
        samplers.push(LlamaSampler::penalties(
            model.n_vocab(),
            PENALTY_WINDOW,
            sampling.repeat_penalty,
            sampling.frequency_penalty,
            sampling.presence_penalty,
        ));
    }
    if sampling.temperature <= 0.0 {
        samplers.push(LlamaSampler::greedy());
    } else {
        if sampling.top_k > 0 {
            samplers.push(LlamaSampler::top_k(sampling.top_k.try_into().unwrap_or(i32::MAX)));
        }
        samplers.push(LlamaSampler::top_p(sampling.top_p, 1));
        samplers.push(LlamaSampler::min_p(sampling.min_p, 1));
        samplers.push(LlamaSampler::temp(sampling.temperature));
        samplers.push(LlamaSampler::dist(sampling.seed));
    }
    LlamaSampler::chain(samplers, true)
}
