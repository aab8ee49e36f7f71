//! A model's summary, held against its source: what it invented goes, what it lost is put back in
//! the source's own words, and what is no summary is refused. Pure.

use std::collections::HashSet;
use std::ops::Range;

use super::extract::{MOST_TARGETS, missing_pieces};
use super::facts::{Vocabulary, Word, is_invented, is_remark, words};
use super::reading::{Reading, share};
use super::sentences::{opens_an_entry, sentences};
use super::similarity::Vectors;
use crate::embedding::Embedder;
use crate::engine::FinishReason;
use crate::tokens::{TokenCount, TokenCounter};

/// Share of the source's names and numbers that a summary must hold by itself.
const MINIMUM_QUALITY: f64 = 0.7;

/// A summary that stands.
pub(super) struct Checked {
    pub(super) text: String,
    pub(super) tokens: TokenCount,
    /// Each sentence's place in the text, and its sources' in the source.
    pub(super) origins: Vec<(Range<usize>, Vec<Range<usize>>)>,
    pub(super) quality: f64,
    pub(super) repaired: bool,
}

/// A sentence of the new text.
struct Line {
    text: String,
    from: Vec<Range<usize>>,
}

/// The summary as it may be used, or why it may not.
pub(super) fn check(
    reading: &Reading<'_>,
    source_tokens: TokenCount,
    target: TokenCount,
    (written, reason): (&str, FinishReason),
    embedder: Option<&dyn Embedder>,
    counter: &dyn TokenCounter,
) -> Result<Checked, String> {
    let plain = plain(written);
    let ranges = finished_sentences(&plain, reason);
    if ranges.is_empty() {
        return Err("the model wrote no whole sentence".into());
    }
    let grounded = of_the_source(&plain, &ranges, &reading.vocabulary);
    if grounded.is_empty() {
        return Err("no sentence of the model's summary is without names, numbers or remarks that the text does not have".into());
    }
    let lines = placed(reading, &plain, &grounded, embedder);
    if lines.is_empty() {
        return Err("the model's summary is not about the text".into());
    }
    let (text, _) = assembled(&lines);
    if counter.count(&text) >= source_tokens {
        return Err("the model's summary is not shorter than the text".into());
    }
    let covered = reading.covered_by(&text);
    let quality = share(&covered);
    if quality < MINIMUM_QUALITY {
        return Err(format!(
            "the model's summary holds only {:.0} % of the names and numbers",
            quality * 100.0
        ));
    }
    let missing = missing_pieces(reading, covered);
    let repaired = !missing.is_empty();
    let lines = with_missing(reading, lines, missing);
    let (text, places) = assembled(&lines);
    let tokens = counter.count(&text);
    if tokens >= source_tokens || tokens > target.scaled(MOST_TARGETS) {
        return Err("the model's summary is too long with the names and numbers put back".into());
    }
    let quality = share(&reading.covered_by(&text));
    let origins = places.into_iter().zip(lines.into_iter().map(|line| line.from)).collect();
    Ok(Checked { text, tokens, origins, quality, repaired })
}

/// Prose without an announcement ("Here is a summary:"), list marks or bold letters.
fn plain(written: &str) -> String {
    let written = written.trim().replace("**", "");
    let mut lines: Vec<&str> = written.lines().map(str::trim).collect();
    if lines.len() > 1 && lines[0].ends_with(':') {
        lines.remove(0);
    }
    let unmarked = lines.into_iter().map(|line| {
        if opens_an_entry(line) {
            line.trim_start_matches(|c: char| c.is_ascii_digit())
                .trim_start_matches(['-', '*', '•', '#', '–', '.', ')', ' '])
        } else {
            line
        }
    });
    unmarked.collect::<Vec<_>>().join("\n")
}

/// The sentences, each once; the last one not if the model was cut off in it.
fn finished_sentences(text: &str, reason: FinishReason) -> Vec<Range<usize>> {
    let mut ranges = sentences(text);
    let ends = |range: &Range<usize>| {
        let closing = ['\'', '"', '’', '”', ')'];
        text[range.clone()].trim_end_matches(closing).ends_with(['.', '!', '?', '…', '。'])
    };
    if reason != FinishReason::Stop && ranges.last().is_some_and(|last| !ends(last)) {
        ranges.pop();
    }
    let mut seen = HashSet::new();
    ranges.retain(|range| {
        let sentence = &text[range.clone()];
        sentence.contains(char::is_alphanumeric) && seen.insert(sentence.to_lowercase())
    });
    ranges
}

/// The sentences that tell what the source tells: with its names and numbers only.
fn of_the_source(text: &str, ranges: &[Range<usize>], source: &Vocabulary) -> Vec<Range<usize>> {
    let words_of: Vec<Vec<Word>> = ranges.iter().map(|range| words(&text[range.clone()])).collect();
    let summary = Vocabulary::of(words_of.iter().flatten());
    ranges
        .iter()
        .zip(&words_of)
        .filter(|(_, words)| {
            let invents = words.iter().any(|word| is_invented(word, source, &summary));
            !invents && !is_remark(words, source)
        })
        .map(|(range, _)| range.clone())
        .collect()
}

/// The sentences with those of the source that they are most like; what is like none is left out.
fn placed(
    reading: &Reading<'_>,
    text: &str,
    ranges: &[Range<usize>],
    embedder: Option<&dyn Embedder>,
) -> Vec<Line> {
    let count = reading.sentences.len();
    let slices = ranges.iter().map(|range| &text[range.clone()]);
    let all: Vec<&str> = reading.slices().chain(slices).collect();
    let vectors = Vectors::of(&all, embedder);
    let lines = ranges.iter().enumerate().map(|(index, range)| {
        let nearest = vectors.nearest(count + index, 0..count);
        let from = nearest.into_iter().map(|at| reading.sentences[at].range.clone()).collect();
        Line { text: text[range.clone()].to_owned(), from }
    });
    lines.filter(|line| !line.from.is_empty()).collect()
}

/// Puts pieces of the source before the first line that tells of something later.
fn with_missing(
    reading: &Reading<'_>,
    mut lines: Vec<Line>,
    missing: Vec<Range<usize>>,
) -> Vec<Line> {
    for piece in missing {
        let later = |line: &Line| line.from.first().is_some_and(|from| from.start > piece.start);
        let at = lines.iter().position(later).unwrap_or(lines.len());
        let text = sentence_like(&reading.text[piece.clone()]);
        lines.insert(at, Line { text, from: vec![piece] });
    }
    lines
}

/// A clause among sentences ends as one does, so that it doesn't run into the next.
fn sentence_like(piece: &str) -> String {
    let ends = piece.ends_with(|c: char| !c.is_alphanumeric());
    if ends { piece.to_owned() } else { format!("{piece}.") }
}

fn assembled(lines: &[Line]) -> (String, Vec<Range<usize>>) {
    let mut text = String::new();
    let mut places = Vec::with_capacity(lines.len());
    for line in lines {
        if !text.is_empty() {
            text.push(' ');
        }
        places.push(text.len()..text.len() + line.text.len());
        text.push_str(&line.text);
    }
    (text, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Estimate;

    const SOURCE: &str = "Aria left the village of Oakhill at dawn with her brother Tom. \
        They walked for three days through the forest, and the rain never stopped. \
        At the gate an old Warden asked them for their names and for twelve silver coins. \
        Tom had lost the purse in the river, so they could not pay what the old man wanted. \
        The gate stayed closed behind its iron bars until the evening fell on the road.";

    fn checked(summary: &str) -> Result<Checked, String> {
        let reading = Reading::of(SOURCE, &Estimate);
        let tokens = Estimate.count(SOURCE);
        let written = (summary, FinishReason::Stop);
        check(&reading, tokens, tokens.scaled(0.5), written, None, &Estimate)
    }

    const GOOD: &str = "Aria and her brother Tom left Oakhill and walked three days. \
        A Warden at the gate wanted twelve coins.";

    #[test]
    fn a_good_summary_is_taken_as_it_is() {
        let checked = checked(&format!("Here is the summary:\n\n{GOOD}")).unwrap();
        assert_eq!(checked.text, GOOD);
        assert!(!checked.repaired && checked.quality > 0.999);
        let (_, from) = &checked.origins[1];
        assert!(SOURCE[from[0].clone()].contains("old Warden asked"));
    }

    #[test]
    fn invented_people_and_numbers_are_removed() {
        let checked =
            checked(&format!("{GOOD} Then Robert opened the gate. The gate had 40 bars.")).unwrap();
        assert_eq!(checked.text, GOOD);
    }

    #[test]
    fn lost_names_are_put_back_in_place() {
        let lost = "Aria and Tom left the village and walked three days. \
            At the gate they could not pay the twelve coins that the Warden asked for.";
        let checked = checked(lost).unwrap();
        assert!(checked.repaired && checked.quality > 0.999);
        assert!(checked.text.contains("Oakhill"), "{}", checked.text);
        let (place, from) = checked
            .origins
            .iter()
            .find(|(place, _)| checked.text[place.clone()].contains("Oakhill"))
            .unwrap();
        assert_eq!(checked.text[place.clone()], SOURCE[from[0].clone()]);
    }

    #[test]
    fn what_is_no_summary_is_refused_with_the_reason() {
        let reason = |summary: &str| checked(summary).err().unwrap();
        assert!(reason(" \n").contains("no whole sentence"));
        assert!(reason("The gate was closed.").contains("only 0 %"));
        assert!(reason("qwxyz zzz.").contains("not about the text"));
        assert!(reason(SOURCE).contains("not shorter"));
    }

    #[test]
    fn a_sentence_cut_off_is_left_out_and_a_repeated_one_said_once() {
        let ranges = finished_sentences("It rained. It rained. Then", FinishReason::Length);
        assert_eq!((ranges.len(), &ranges[0]), (1, &(0..10)));
    }
}
