//! Log probabilities and biases of tokens, with the real small model.

use std::sync::Arc;

use rhapsode::engine::llama::{LlamaEngine, LlamaSettings};
use rhapsode::engine::{
    Engine, EngineError, Event, FinishReason, GenerateRequest, Generation, Message, TokenLogprob,
    Tools,
};
use serde_json::json;

use crate::engine_llama::{engine, request, settings, submit, wait_until_loaded};

/// Tokens of the small model's vocabulary.
const VOCABULARY: u32 = 49_152;

/// An answer with what was told of its tokens; each piece of text comes after its tokens.
async fn with_logprobs(request: GenerateRequest) -> (String, Vec<TokenLogprob>, FinishReason) {
    hear(submit(request).await).await
}

/// The same from an engine that nobody else uses: what else lies in the cache may tip a number in its
/// second digit.
async fn alone(
    engine: &LlamaEngine,
    request: GenerateRequest,
) -> (String, Vec<TokenLogprob>, FinishReason) {
    hear(engine.submit(request).unwrap()).await
}

fn own_engine() -> LlamaEngine {
    let engine = LlamaEngine::start(LlamaSettings { reproducible: true, ..settings() }).unwrap();
    wait_until_loaded(&engine);
    engine
}

async fn hear(mut generation: Generation) -> (String, Vec<TokenLogprob>, FinishReason) {
    let (mut text, mut tokens) = (String::new(), Vec::new());
    let mut announced = 0;
    while let Some(event) = generation.next().await {
        match event {
            Event::Started { .. } => {}
            Event::Tokens(next) => {
                announced += next.iter().map(|token| token.bytes.len()).sum::<usize>();
                tokens.extend(next);
            }
            Event::Text(piece) => {
                text.push_str(&piece);
                assert!(announced >= text.len(), "{piece:?} came before its tokens");
            }
            Event::Finished(finished) => return (text, tokens, finished.reason),
            other => panic!("{other:?}"),
        }
    }
    panic!("no end");
}

fn joined(tokens: &[TokenLogprob]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.bytes.clone()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn each_token_of_a_text_comes_with_its_likelihood_and_the_likeliest_others() {
    let engine = own_engine();
    let plain = request("Who wrote Hamlet?", 24);
    let (expected, _) = engine.submit(plain.clone()).unwrap().text().await.unwrap();
    let asked = GenerateRequest { logprobs: Some(20), ..plain };
    let (text, tokens, _) = alone(&engine, asked).await;
    assert_eq!(text, expected, "asking changes nothing");
    assert_eq!(joined(&tokens), text);
    for token in &tokens {
        let top = &token.top;
        assert_eq!(top.len(), 20);
        assert!(top.is_sorted_by(|one, other| one.2 >= other.2), "{top:?}");
        let sum: f64 = top.iter().map(|(_, _, logprob)| f64::from(*logprob).exp()).sum();
        assert!((0.3..=1.0001).contains(&sum), "{sum}");
        // Nothing but the likeliest was taken.
        let (likeliest, bytes, logprob) = &top[0];
        assert_eq!((&token.token, &token.bytes), (likeliest, bytes));
        assert_eq!(token.logprob, *logprob);
    }
}

#[tokio::test]
async fn likelihoods_are_the_models_own_whatever_temperature_and_penalties_make_of_them() {
    let engine = own_engine();
    let mut asked = request("Who wrote Hamlet?", 1);
    asked.logprobs = Some(2);
    let (_, greedy, _) = alone(&engine, asked.clone()).await;
    asked.sampling.temperature = 1.9;
    asked.sampling.repeat_penalty = 1.5;
    let (_, warm, _) = alone(&engine, asked).await;
    assert_eq!(greedy[0].top, warm[0].top);
}

#[tokio::test]
async fn no_tokens_are_told_of_when_nobody_asked_and_no_others_when_none_were_wanted() {
    let plain = request("Who wrote Hamlet?", 5);
    let (_, tokens, _) =
        with_logprobs(GenerateRequest { logprobs: Some(0), ..plain.clone() }).await;
    assert!(tokens.len() == 5 && tokens.iter().all(|token| token.top.is_empty()));
    let mut generation = submit(plain).await;
    while let Some(event) = generation.next().await {
        assert!(!matches!(event, Event::Tokens(_)));
    }
}

#[tokio::test]
async fn drafted_tokens_and_those_held_to_a_schema_have_likelihoods_too() {
    let engine = own_engine();
    let poem = "The rain it raineth on the just and also on the unjust fellow. ".repeat(6);
    let asked = GenerateRequest {
        logprobs: Some(1),
        ..request(&format!("Repeat this text word by word: {poem}"), 60)
    };
    let (plain, expected, _) = alone(&engine, asked.clone()).await;
    let (drafted, tokens, _) =
        alone(&engine, GenerateRequest { prompt_lookup: true, ..asked }).await;
    assert_eq!((&drafted, tokens.len()), (&plain, expected.len()));
    for (token, expected) in tokens.iter().zip(&expected) {
        assert_eq!(token.token, expected.token);
        assert!((token.logprob - expected.logprob).abs() < 0.1, "{token:?} {expected:?}");
    }

    let schema = json!({
        "type": "object",
        "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}},
        "required": ["score"],
        "additionalProperties": false,
    });
    let held = GenerateRequest {
        logprobs: Some(3),
        json_schema: Some(Arc::new(schema)),
        ..request("Rate this sentence: The rain fell.", 40)
    };
    let (text, tokens, reason) = alone(&engine, held).await;
    assert_eq!((joined(&tokens), reason), (text, FinishReason::Stop));
    // The model would rather have begun in words.
    assert_ne!(tokens[0].token, tokens[0].top[0].0);
}

#[tokio::test]
async fn tokens_of_a_stop_string_are_not_told_of() {
    let engine = own_engine();
    let plain = request("Tell me a story about a fox and a well.", 40);
    let (whole, _) = engine.submit(plain.clone()).unwrap().text().await.unwrap();
    let words: Vec<_> = whole.split(' ').collect();
    let stop = format!(" {} {}", words[2], words[3]);
    let asked = GenerateRequest { stop: vec![stop], logprobs: Some(0), ..plain };
    let (text, tokens, reason) = alone(&engine, asked).await;
    assert_eq!((joined(&tokens), reason), (text, FinishReason::Stop));
}

#[tokio::test]
async fn a_banned_token_is_never_written() {
    let engine = own_engine();
    let mut asked = request("Who wrote Hamlet?", 1);
    asked.logprobs = Some(2);
    let (first, tokens, _) = alone(&engine, asked.clone()).await;
    // Which token that is shows by banning half of those it may be, again and again.
    let (mut from, mut to) = (0, VOCABULARY);
    while to - from > 1 {
        let middle = u32::midpoint(from, to);
        asked.logit_bias = (from..middle).map(|token| (token, -100.0)).collect();
        let (text, _, _) = alone(&engine, asked.clone()).await;
        (from, to) = if text == first { (middle, to) } else { (from, middle) };
    }
    asked.logit_bias = vec![(from, -100.0)];
    let (text, banned, _) = alone(&engine, asked.clone()).await;
    assert_ne!(text, first);
    assert_eq!(banned[0].token, tokens[0].top[1].0, "the next likeliest");
    assert_eq!(banned[0].top, tokens[0].top, "the model's own view doesn't change");

    asked.max_tokens = rhapsode::tokens::TokenCount::new(24);
    let (text, _, _) = alone(&engine, asked).await;
    assert!(!text.contains(first.trim()), "{text}");
}

#[tokio::test]
async fn a_forced_token_is_always_written() {
    let mut asked = request("Who wrote Hamlet?", 6);
    asked.logprobs = Some(0);
    asked.logit_bias = vec![(5_000, 100.0)];
    for temperature in [0.0, 1.0] {
        asked.sampling.temperature = temperature;
        let (text, tokens, _) = with_logprobs(asked.clone()).await;
        assert_eq!(text, tokens[0].token.repeat(6));
    }
}

#[tokio::test]
async fn biases_of_tokens_that_do_not_exist_are_an_error_that_says_which_do() {
    for token in [VOCABULARY, u32::MAX] {
        let mut asked = request("Who wrote Hamlet?", 1);
        asked.logit_bias = vec![(5, 1.0), (token, 1.0)];
        let error = engine().submit(asked).unwrap_err();
        assert!(matches!(error, EngineError::LogitBias(_)), "{error}");
        let said = error.to_string();
        assert!(said.contains(&token.to_string()) && said.contains("0 to 49151"), "{said}");
    }
    let mut asked = request("Who wrote Hamlet?", 1);
    asked.logit_bias = vec![(5, f32::NAN)];
    assert!(matches!(engine().submit(asked), Err(EngineError::LogitBias(_))));
}

#[tokio::test]
async fn tools_are_refused_with_what_to_do() {
    let mut asked = request("What is the weather?", 1);
    asked.tools = Some(Tools { declarations: json!([]), choice: None });
    let error = engine().submit(asked).unwrap_err();
    assert!(error.to_string().contains("LLM_PROVIDER"), "{error}");
    assert!(!engine().supports().tools && engine().supports().logprobs);
}

#[tokio::test]
async fn what_a_message_holds_beside_text_is_passed_over() {
    let engine = own_engine();
    let mut asked = request("Who wrote Hamlet?", 8);
    let (expected, _) = engine.submit(asked.clone()).unwrap().text().await.unwrap();
    asked.messages = vec![Message {
        wire: Some(Arc::new(json!({"role": "user", "content": [{"type": "text", "text": "No."}]}))),
        ..Message::user("Who wrote Hamlet?")
    }];
    let (text, _) = engine.submit(asked).unwrap().text().await.unwrap();
    assert_eq!(text, expected);
}
