//! Text into the model's tokens and back. What a user writes never becomes a control token: a story
//! that holds `<|im_end|>` reaches the model as those ten characters.

use std::num::NonZeroU16;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::vocab::VocabType;

use crate::engine::EngineError;
use crate::prompts::PromptPart;
use crate::tokens::chunks::word_chunks;
use crate::tokens::{TokenCount, TokenCounter};

/// The tokenizer of a loaded model.
pub(super) struct Vocabulary {
    model: Arc<LlamaModel>,
    name: String,
    /// Finds the spelling of control tokens in a text.
    control: Option<AhoCorasick>,
    /// Byte-pair vocabularies give the same tokens for pieces that begin at words.
    splits_at_words: bool,
}

impl Vocabulary {
    pub(super) fn new(model: Arc<LlamaModel>, name: String) -> Result<Self, EngineError> {
        let vocabulary = model.vocab();
        let spellings: Vec<Vec<u8>> = vocabulary
            .tokens()
            .filter(|&token| vocabulary.is_control(token) || vocabulary.is_eog(token))
            .map(|token| vocabulary.token_to_piece(token, true, None))
            .filter(|spelling| !spelling.is_empty())
            .collect();
        let control = match spellings.as_slice() {
            [] => None,
            spellings => Some(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostFirst)
                    .build(spellings)
                    .map_err(|error| EngineError::Backend(error.to_string()))?,
            ),
        };
        let splits_at_words = vocabulary.vocab_type() == VocabType::BPE;
        Ok(Self { model, name, control, splits_at_words })
    }

    /// The prompt's tokens. Text is joined to the template around it, so that tokens fall as the
    /// model was trained, unless it spells a control token; then it is tokenized by itself, as text.
    pub(super) fn prompt(&self, parts: &[PromptPart<'_>]) -> Vec<LlamaToken> {
        let mut tokens = Vec::new();
        let mut run = String::new();
        for part in parts {
            match part {
                PromptPart::Text(text) if self.spells_control_token(text) => {
                    self.extend(&mut tokens, &run, true);
                    run.clear();
                    self.extend(&mut tokens, text, false);
                }
                PromptPart::Template(text) | PromptPart::Text(text) => run.push_str(text),
            }
        }
        self.extend(&mut tokens, &run, true);
        let vocabulary = self.model.vocab();
        if vocabulary.should_add_bos() && tokens.first() != Some(&vocabulary.bos()) {
            tokens.insert(0, vocabulary.bos());
        }
        tokens
    }

    /// The token's bytes; they may be a part of a character. Control tokens have none.
    pub(super) fn bytes(&self, token: LlamaToken, into: &mut Vec<u8>) {
        const KEEP_SPACES: Option<NonZeroU16> = None;
        into.clear();
        self.model.vocab().token_to_piece_into(token, into, false, KEEP_SPACES);
    }

    /// How the token is spelled, control tokens too.
    pub(super) fn spelling(&self, token: LlamaToken) -> Vec<u8> {
        self.model.vocab().token_to_piece(token, true, None)
    }

    pub(super) fn ends_generation(&self, token: LlamaToken) -> bool {
        self.model.vocab().is_eog(token)
    }

    /// The text in stretches that begin where a control token's spelling does, so that cutting a
    /// long stretch into chunks never cuts such a spelling.
    fn before_control_tokens<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let starts = self.control.iter().flat_map(|control| control.find_iter(text));
        let mut stretches = Vec::new();
        let mut from = 0;
        for start in starts.map(|found| found.start()).chain([text.len()]) {
            stretches.push(&text[from..start]);
            from = start;
        }
        stretches
    }

    fn spells_control_token(&self, text: &str) -> bool {
        self.control.as_ref().is_some_and(|control| control.is_match(text))
    }

    fn extend(&self, tokens: &mut Vec<LlamaToken>, text: &str, parse_special: bool) {
        let vocabulary = self.model.vocab();
        if self.splits_at_words {
            for chunk in self.before_control_tokens(text).into_iter().flat_map(word_chunks) {
                tokens.extend(vocabulary.tokenize(chunk.as_bytes(), false, parse_special));
            }
        } else if !text.is_empty() {
            tokens.extend(vocabulary.tokenize(text.as_bytes(), false, parse_special));
        }
    }
}

impl TokenCounter for Vocabulary {
    fn name(&self) -> &str {
        &self.name
    }

    fn count(&self, text: &str) -> TokenCount {
        let mut tokens = Vec::with_capacity(text.len() / 3);
        self.extend(&mut tokens, text, false);
        TokenCount::new(tokens.len())
    }
}
