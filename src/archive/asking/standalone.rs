//! A follow-up in words that can be searched for: the model's, where they stand, else those of the
//! question before beside its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::inquiry::{Inquiry, Topic};
use super::{AskError, AskingService, blocking};
use crate::agents::archivist::StandalonePrompt;
use crate::distil::sentences;
use crate::engine::{ClientId, GenerateRequest, Message, Sampling};
use crate::retrieval::terms;
use crate::tokens::TokenCount;

/// Tokens of a question.
const LONGEST: TokenCount = TokenCount::new(48);
/// Characters of one.
const LONGEST_CHARACTERS: usize = 300;
/// Characters of the answer before that the model is shown.
const ANSWER_SHOWN: usize = 400;
/// The longest that a reader waits for it: searching goes without, too.
const PATIENCE: Duration = Duration::from_secs(20);

impl AskingService {
    /// What to search for.
    pub(super) async fn query(&self, client: &ClientId, inquiry: &Inquiry) -> String {
        let Some(before) = &inquiry.before else { return inquiry.words() };
        match self.put_standalone(client, before, &inquiry.question.text).await {
            Ok(Some(question)) => question,
            Ok(None) => inquiry.words(),
            Err(error) => {
                tracing::debug!("a follow-up is searched for as it is: {error}");
                inquiry.words()
            }
        }
    }

    async fn put_standalone(
        &self,
        client: &ClientId,
        before: &Topic,
        question: &str,
    ) -> Result<Option<String>, AskError> {
        let prompt = StandalonePrompt {
            previous: before.question.clone(),
            answer: before.answer.as_deref().map(|answer| beginning(answer, ANSWER_SHOWN)),
            question: question.to_owned(),
        };
        let messages = vec![Message::user(self.prompts.render(&prompt)?.trim_end())];
        let sampling = Sampling {
            temperature: self.settings.search_temperature,
            seed: self.ids.sampler_seed(),
            ..self.settings.sampling.clone()
        };
        let deadline = Instant::now() + PATIENCE.min(self.settings.generation_limit);
        let request = GenerateRequest {
            deadline: Some(deadline),
            stop: vec!["\n\n".to_owned()],
            ..GenerateRequest::new(client.clone(), messages, sampling, LONGEST)
        };
        let engine = Arc::clone(&self.engine);
        let generation = blocking(move || Ok(engine.submit(request)?)).await?;
        let (written, _) = generation.text().await?;
        Ok(usable(&written, before, question))
    }
}

/// The first sentences of a text.
fn beginning(text: &str, characters: usize) -> String {
    let ranges = sentences(text);
    let fits = |end: usize| text[..end].chars().count() <= characters;
    let end = ranges.iter().map(|sentence| sentence.end).take_while(|&end| fits(end)).last();
    end.map_or_else(|| text.chars().take(characters).collect(), |end| text[..end].to_owned())
}

/// The question that a model wrote, if it is one about the same: of words that were said, and with some
/// of those said before.
fn usable(written: &str, before: &Topic, question: &str) -> Option<String> {
    let line = written.lines().map(str::trim).find(|line| !line.is_empty())?;
    let line = line.trim_matches(['"', '“', '”', '*']).trim();
    if line.chars().nth(LONGEST_CHARACTERS).is_some() {
        return None;
    }
    let set = |text: &str| -> HashSet<String> { terms(text).into_iter().collect() };
    let (said, own) = (set(line), set(question));
    let mut known = set(&before.question);
    known.extend(before.answer.as_deref().map(set).unwrap_or_default());
    let of_before =
        said.iter().filter(|term| known.contains(*term) && !own.contains(*term)).count();
    let told = said.iter().filter(|term| known.contains(*term) || own.contains(*term)).count();
    (of_before > 0 && 2 * told >= said.len()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_question_is_taken_if_it_is_about_the_same() {
        let before = Topic {
            question: "Who forged the sword?".to_owned(),
            words: String::new(),
            files: Vec::new(),
            answer: Some("Aria did, at night [1].".to_owned()),
        };
        let taken = |written: &str| usable(written, &before, "Why did she do it?");
        assert_eq!(
            taken("\n\"Why did Aria forge the sword?\"\nOr not.").as_deref(),
            Some("Why did Aria forge the sword?")
        );
        for written in [
            "",
            "Why did she do it?",
            "As an AI language model, swords remain complicated weaponry requiring training.",
            &"Aria ".repeat(100),
        ] {
            assert_eq!(taken(written), None, "{written}");
        }
    }
}
