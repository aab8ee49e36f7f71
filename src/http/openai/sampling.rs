//! How an answer is sampled, from what the request says and what holds otherwise.

use super::TalkDefaults;
use super::wire::{SamplingFields, Stop};
use crate::engine::Sampling;
use crate::http::error::{ApiError, Code, FaultKind, FieldFault};
use crate::ids::Ids;
use crate::tokens::TokenCount;

/// Most answers to one request.
const MOST_CHOICES: u32 = 8;
/// Most alternatives to a token.
pub(super) const MOST_ALTERNATIVES: u8 = 20;

/// Most stop strings. Each is looked for in every piece of text.
const MOST_STOPS: usize = 64;
/// Longest of them, in bytes. So much text may be held back until it is known to be none.
const LONGEST_STOP: usize = 1_000;

pub(super) fn sampling(
    fields: &SamplingFields,
    defaults: &TalkDefaults,
    ids: &Ids,
) -> Result<Sampling, ApiError> {
    let usual = &defaults.sampling;
    let seed = fields.seed.and_then(|seed| u32::try_from(seed.rem_euclid(1 << 32)).ok());
    Ok(Sampling {
        temperature: within("temperature", fields.temperature, 0.0, 2.0)?
            .unwrap_or(usual.temperature),
        top_p: within("top_p", fields.top_p, 0.0, 1.0)?.unwrap_or(usual.top_p),
        top_k: fields.top_k.map_or(usual.top_k, |k| u32::try_from(k).unwrap_or(0)),
        min_p: within("min_p", fields.min_p, 0.0, 1.0)?.unwrap_or(usual.min_p),
        repeat_penalty: within("repetition_penalty", fields.repetition_penalty, 0.0, 2.0)?
            .filter(|penalty| *penalty > 0.0)
            .unwrap_or(usual.repeat_penalty),
        presence_penalty: within("presence_penalty", fields.presence_penalty, -2.0, 2.0)?
            .unwrap_or(0.0),
        frequency_penalty: within("frequency_penalty", fields.frequency_penalty, -2.0, 2.0)?
            .unwrap_or(0.0),
        seed: seed.unwrap_or_else(|| ids.sampler_seed()),
    })
}

pub(super) fn logit_bias(fields: &SamplingFields) -> Result<Vec<(u32, f32)>, ApiError> {
    let Some(biases) = &fields.logit_bias else { return Ok(Vec::new()) };
    let mut parsed = Vec::with_capacity(biases.len());
    for (token, bias) in biases {
        let Ok(token) = token.parse() else {
            let message = format!("{token:.20} is not a token's number");
            return Err(wrong("logit_bias", message));
        };
        parsed.push((token, within("logit_bias", Some(*bias), -100.0, 100.0)?.unwrap_or(0.0)));
    }
    parsed.sort_by_key(|(token, _)| *token);
    Ok(parsed)
}

pub(super) fn choices(n: Option<u32>) -> Result<usize, ApiError> {
    match n.unwrap_or(1) {
        n @ 1..=MOST_CHOICES => Ok(n as usize),
        n => Err(wrong("n", format!("{n} is not within 1 and {MOST_CHOICES}"))),
    }
}

/// The length asked for.
pub(super) fn max_tokens(asked: Option<u32>) -> Result<Option<TokenCount>, ApiError> {
    match asked {
        Some(0) => Err(wrong("max_tokens", "0 tokens hold no answer")),
        asked => Ok(asked.map(TokenCount::from)),
    }
}

pub(super) fn stops(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let mut stops = match stop {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Several(stops)) => stops,
    };
    stops.retain(|stop| !stop.is_empty());
    if stops.len() > MOST_STOPS || stops.iter().any(|stop| stop.len() > LONGEST_STOP) {
        return Err(wrong(
            "stop",
            format!("at most {MOST_STOPS} strings of at most {LONGEST_STOP} bytes can be sent"),
        ));
    }
    Ok(stops)
}

fn within(name: &str, value: Option<f32>, least: f32, most: f32) -> Result<Option<f32>, ApiError> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(wrong(name, format!("{value} is not within {least} and {most}")))
        }
        value => Ok(value),
    }
}

pub(super) fn wrong(field: &str, message: impl Into<String>) -> ApiError {
    ApiError::invalid(vec![FieldFault {
        path: vec![field.into()],
        message: message.into(),
        kind: FaultKind::Wrong,
    }])
}

/// The engine can't do this.
pub(super) fn unsupported(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::LlmUnsupported, message)
}
