//! What of an answer stands in its sources: citations that lead nowhere are dropped, statements without
//! one get theirs where the words make it clear, and what has no support is told. A model's own citation
//! of what it was shown stands, as a statement in another language shares no words with its source; it
//! gives way only to a source that clearly has the statement. Pure.

use std::collections::HashSet;
use std::ops::Range;

use super::citations::{mark, without_citations};
use crate::distil::sentences;
use crate::retrieval::terms;

/// A statement has at least so many words that say something.
const LEAST_TERMS: usize = 2;

/// What a model is to write where the passages hold no answer, in letters and digits alone: in English
/// whatever the answer's language, so that it can be known.
const DENIAL: &str = "that is not in the archive";

/// What an answer may be about when it denies that something is told.
const TELLERS: &[&str] = &[
    "archive",
    "passage",
    "passages",
    "source",
    "sources",
    "text",
    "texts",
    "excerpt",
    "excerpts",
    "context",
    "information",
    "document",
    "documents",
];
const DENIALS: &[&str] = &["not", "no", "nothing", "none", "cannot", "neither", "nowhere"];

/// A source as far as the model saw it.
pub(super) struct Shown<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// An answer, held against its sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Supported {
    /// With a citation wherever there is one.
    pub(super) answer: String,
    /// Numbers of sources, the first cited first.
    pub(super) cited: Vec<usize>,
    /// Statements that share too few words with any source they could come from, each once.
    pub(super) unsupported: Vec<String>,
    /// How many of those sentences lead to no source at all.
    pub(super) uncited_count: usize,
    /// How many sentences state something.
    pub(super) statements: usize,
    /// Whether the answer is that nothing is told of it.
    pub(super) denies: bool,
}

impl Supported {
    /// Whether most of what is stated leads to no source.
    pub(super) fn is_mostly_uncited(&self) -> bool {
        2 * self.uncited_count > self.statements
    }

    /// Whether it answers and nothing of it leads to a source.
    pub(super) fn leads_nowhere(&self) -> bool {
        self.cited.is_empty() && !self.denies
    }

    /// Holds an answer to `question` against what the model was shown.
    pub(super) fn of(written: &str, question: &str, shown: &[Shown<'_>]) -> Self {
        let bare = without_citations(written, |it| shown.iter().any(|shown| shown.number == it));
        let asked: HashSet<String> = terms(question).into_iter().collect();
        let sources: Vec<(usize, HashSet<String>)> =
            shown.iter().map(|it| (it.number, terms(it.text).into_iter().collect())).collect();
        let ranges = sentences(&bare.text);
        let owners = owners(&bare.cited, &ranges);
        let (mut marks, mut supported) = (Vec::new(), Self::default());
        for (at, range) in ranges.iter().enumerate() {
            let sentence = &bare.text[range.clone()];
            let statement = Statement::of(sentence, &asked);
            let denies = statement.denies(&sources);
            supported.denies |= denies;
            if denies {
                continue;
            }
            let clear = statement.clear_source(&sources);
            let (mut is_cited, mut is_near) = (false, false);
            let own = bare.cited.iter().zip(&owners).filter(|(_, owner)| **owner == at);
            for ((place, numbers), _) in own {
                let held = statement.held(numbers, clear, &sources);
                is_near |= held.iter().any(|&number| statement.touches(&sources, number));
                is_cited = true;
                marks.push((*place, held));
            }
            if !statement.is_one() {
                continue;
            }
            supported.statements += 1;
            if is_cited && !is_near {
                supported.tell_unsupported(sentence);
            } else if let (Some(number), false) = (clear, is_cited) {
                marks.push((before_full_stop(&bare.text, range), vec![number]));
            } else if !is_cited {
                supported.uncited_count += 1;
                supported.tell_unsupported(sentence);
            }
        }
        supported.denies &= marks.is_empty();
        supported.with_marks(&bare.text, marks)
    }

    fn tell_unsupported(&mut self, sentence: &str) {
        // Small models repeat themselves.
        if !self.unsupported.iter().any(|known| known == sentence) {
            self.unsupported.push(sentence.to_owned());
        }
    }

    fn with_marks(mut self, text: &str, mut marks: Vec<(usize, Vec<usize>)>) -> Self {
        marks.sort_by_key(|(place, _)| *place);
        let mut from = 0;
        for (place, numbers) in marks {
            self.answer.push_str(&text[from..place]);
            if place > 0 && !self.answer.ends_with([' ', '\n', ']']) {
                self.answer.push(' ');
            }
            self.answer.push_str(&mark(&numbers));
            for number in numbers {
                if !self.cited.contains(&number) {
                    self.cited.push(number);
                }
            }
            from = place;
        }
        self.answer.push_str(&text[from..]);
        self.answer = self.answer.trim().to_owned();
        self
    }
}

/// A sentence's words.
struct Statement {
    terms: HashSet<String>,
    /// Those that the question hasn't.
    new: HashSet<String>,
    /// Whether it is the sentence that a denial is to be written in.
    is_denial: bool,
    may_deny: bool,
}

impl Statement {
    fn of(sentence: &str, asked: &HashSet<String>) -> Self {
        let terms: HashSet<String> = terms(sentence).into_iter().collect();
        let new = terms.difference(asked).cloned().collect();
        let words = sentence.to_lowercase().replace('’', "'");
        let words: Vec<&str> = words.split(|c: char| !c.is_alphanumeric() && c != '\'').collect();
        let says = |list: &[&str]| words.iter().any(|word| list.contains(word));
        let may_deny =
            says(TELLERS) && (says(DENIALS) || words.iter().any(|word| word.ends_with("n't")));
        let plain: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
        let is_denial = plain.join(" ").contains(DENIAL);
        Self { terms, new, is_denial, may_deny }
    }

    /// Whether it states anything.
    fn is_one(&self) -> bool {
        self.terms.len() >= LEAST_TERMS
    }

    /// Whether it says that the archive tells nothing, and is not itself told there.
    fn denies(&self, sources: &[(usize, HashSet<String>)]) -> bool {
        self.is_denial || self.may_deny && self.clear_source(sources).is_none()
    }

    /// Its citations as they stand: those of sources with words of it, and all the others unless
    /// another source is clearly where it comes from.
    fn held(
        &self,
        cited: &[usize],
        clear: Option<usize>,
        sources: &[(usize, HashSet<String>)],
    ) -> Vec<usize> {
        let Some(clear) = clear else { return cited.to_vec() };
        let near = cited.iter().copied().filter(|&number| self.touches(sources, number));
        let near: Vec<usize> = near.collect();
        if near.is_empty() { vec![clear] } else { near }
    }

    /// Whether a source may be where it comes from: it has a third of the words, as what is told in
    /// other words still has.
    fn touches(&self, sources: &[(usize, HashSet<String>)], number: usize) -> bool {
        let source = sources.iter().find(|(other, _)| *other == number);
        let shared = source.map_or(0, |(_, source)| self.terms.intersection(source).count());
        !self.is_one() || 3 * shared >= self.terms.len()
    }

    /// The one that has most of it: half of its words at least, and more than half of those that the
    /// question didn't have. Of several the first.
    fn clear_source(&self, sources: &[(usize, HashSet<String>)]) -> Option<usize> {
        let held = |words: &HashSet<String>, source: &HashSet<String>| {
            words.iter().filter(|word| source.contains(*word)).count()
        };
        let mut best: Option<(usize, usize)> = None;
        for (number, source) in sources {
            let all = held(&self.terms, source);
            let is_clear = all >= LEAST_TERMS
                && 2 * all >= self.terms.len()
                && (self.new.is_empty() || 2 * held(&self.new, source) > self.new.len());
            if is_clear && best.is_none_or(|(_, most)| all > most) {
                best = Some((*number, all));
            }
        }
        best.map(|(number, _)| number)
    }
}

/// For each citation the sentence it belongs to: the one it stands in or behind, or, where the answer
/// begins with a citation, the one it stands before.
fn owners(cited: &[(usize, Vec<usize>)], sentences: &[Range<usize>]) -> Vec<usize> {
    let first = sentences.first().map_or(0, |sentence| sentence.start);
    let leads = cited.first().is_some_and(|(place, _)| *place <= first);
    let owner = |place: usize| {
        let before = sentences.partition_point(|sentence| sentence.start < place);
        let inside = before.checked_sub(1);
        match inside {
            Some(at) if leads && place >= sentences[at].end && before < sentences.len() => before,
            Some(at) => at,
            None => 0,
        }
    };
    cited.iter().map(|(place, _)| owner(*place)).collect()
}

/// Where a sentence's words end.
fn before_full_stop(text: &str, sentence: &Range<usize>) -> usize {
    let words = text[sentence.clone()].trim_end_matches(['.', '!', '?', '…', '。']);
    if words.is_empty() { sentence.end } else { sentence.start + words.len() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHOWN: [Shown<'_>; 2] = [
        Shown { number: 1, text: "Aria forged the sword in her father's smithy, at night." },
        Shown { number: 3, text: "The Warden banished Tom, because he had opened the gate." },
    ];

    fn held(written: &str) -> Supported {
        Supported::of(written, "Who made the sword?", &SHOWN)
    }

    #[test]
    fn statements_keep_their_citations_and_get_those_that_are_clear() {
        let held = held("Aria forged it [1]. The Warden banished Tom. He liked strawberry jam.");
        assert_eq!(
            held.answer,
            "Aria forged it [1]. The Warden banished Tom [3]. He liked strawberry jam."
        );
        assert_eq!(held.cited, [1, 3]);
        assert_eq!(held.unsupported, ["He liked strawberry jam."]);
        assert!(!held.is_mostly_uncited());
    }

    #[test]
    fn sources_that_do_not_exist_are_dropped_and_one_that_clearly_has_it_takes_the_others_place() {
        let held = held("The Warden banished Tom [1][2]. Aria forged it [9, 1].");
        assert_eq!(held.answer, "The Warden banished Tom [3]. Aria forged it [1].");
        assert_eq!((held.cited, held.unsupported.len()), (vec![3, 1], 0));
    }

    #[test]
    fn an_answer_in_other_words_or_another_language_keeps_its_citations_as_doubts() {
        let written =
            "Das Schwert schmiedete eine junge Frau [1]. Der Wächter verstieß den Jungen [3].";
        let held = Supported::of(written, "Wer schmiedete das Schwert?", &SHOWN);
        assert_eq!(held.answer, written);
        assert_eq!((held.cited.clone(), held.unsupported.len()), (vec![1, 3], 2));
        assert!(!held.is_mostly_uncited() && !held.leads_nowhere() && !held.denies);
        let uncited = Supported::of("Eine junge Frau schmiedete es.", "Wer?", &SHOWN);
        assert!(uncited.is_mostly_uncited() && uncited.leads_nowhere());
    }

    #[test]
    fn an_answer_too_short_to_state_anything_leads_nowhere_unless_it_cites() {
        assert!(held("The answer is: no.").leads_nowhere());
        assert!(!held("No [1].").leads_nowhere());
        assert!(!held("That is not in the archive.").leads_nowhere());
    }

    #[test]
    fn citations_belong_to_the_sentence_before_or_after_as_the_answer_has_them() {
        let after = held("Tom was banished for opening the gate. [3] Aria used the smithy. [1]");
        assert_eq!((after.cited, after.unsupported.len()), (vec![3, 1], 0));
        let before = held("[3] Tom was banished. [1] Aria used the smithy.");
        assert_eq!(before.answer, "[3] Tom was banished. [1] Aria used the smithy.");
        assert_eq!((before.cited, before.unsupported.len()), (vec![3, 1], 0));
    }

    #[test]
    fn words_of_the_question_support_nothing() {
        let shown = [Shown { number: 1, text: "The sword lay in the grass. Merlin saw it." }];
        let held =
            Supported::of("Merlin made the sword from moonlight.", "Who made the sword?", &shown);
        assert_eq!(held.cited, [0_usize; 0]);
        assert!(held.is_mostly_uncited());
    }

    #[test]
    fn an_answer_that_nothing_is_told_is_known_as_one() {
        for answer in [
            "That is not in the archive.",
            "The passages don't say who made it [1].",
            "Leider: **That is not in the archive** [1].",
            "That is not in the archive. [1][3]",
            "There is no information about dragons in the text. I'm sorry.",
        ] {
            assert!(held(answer).denies, "{answer}");
            assert_eq!(held(answer).cited, [0_usize; 0]);
        }
        for answer in ["Aria did not sleep [1].", "The passages don't say why. Aria forged it [1]."]
        {
            assert!(!held(answer).denies, "{answer}");
        }
    }

    proptest! {
        #[test]
        fn only_what_was_shown_is_cited(
            written in "(Aria|Tom|sword|gate|banished|forged| |\\.|\\[[0-9]\\]|\n|\\PC){0,60}",
        ) {
            let once = held(&written);
            prop_assert!(once.cited.iter().all(|it| [1, 3].contains(it)));
            prop_assert!(once.unsupported.len() <= once.statements);
            prop_assert!(once.uncited_count <= once.statements);
            prop_assert!(!once.is_mostly_uncited() || once.statements > 0);
            prop_assert!(!once.denies || once.cited.is_empty());
        }
    }
}
