//! Bodily action in narration, and what it says of feelings: "his jaw clenched", "*sniffles*".
//!
//! Narration counts in full, other text in part (see [`Place`]); what is denied ("she did not
//! tremble") counts against. The result is log-odds, to be added to the classifier's.

mod narration;
mod pattern;

use std::collections::HashMap;

use narration::{Narration, Place, Word};
use pattern::{Order, Pattern};

use super::Emotion;

/// Words between neighbours of an ordered pattern, at most.
const GAP: usize = 3;
/// Words between the first word found of an unordered pattern and the others, at most.
const REACH: usize = 7;
/// Words before an action in which it can be denied.
const DENIAL_REACH: usize = 4;
/// What a denied action counts against its emotion, when the denial stands within two words and when it
/// stands farther off.
const NEAR_DENIAL: f32 = 2.2;
const FAR_DENIAL: f32 = 0.8;
/// Log-odds that one text can gain, and lose, for one emotion.
const MOST: f32 = 6.0;
const MOST_DENIED: f32 = 8.0;
/// What an action is worth beside the strongest one of its emotion.
const FURTHER: f32 = 0.25;
/// Log-odds taken from neutral for each that the strongest emotion gains.
const FROM_NEUTRAL: f32 = 0.6;

/// Patterns, with an index of their words.
pub(super) struct Lexicon {
    patterns: Vec<Pattern>,
    terms: HashMap<&'static str, Vec<u16>>,
    stems: HashMap<&'static str, Vec<u16>>,
    /// Patterns by their first term.
    begun: Vec<Vec<usize>>,
}

/// A word that some pattern speaks of.
#[derive(Clone, Copy)]
struct Hit {
    word: usize,
    term: u16,
}

/// A pattern found, and its words.
struct Match<'a> {
    pattern: &'a Pattern,
    words: [usize; pattern::MOST_TERMS],
}

impl Match<'_> {
    fn words(&self) -> &[usize] {
        &self.words[..self.pattern.terms.len()]
    }

    fn first(&self) -> usize {
        self.words().iter().copied().min().unwrap_or_default()
    }
}

/// Log-odds that the narration adds to each emotion.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Evidence([f32; 7]);

impl Evidence {
    pub(super) fn add_to(self, logits: &mut [f32; 7]) {
        let strongest = self.0.into_iter().fold(0.0, f32::max);
        for (logit, gain) in logits.iter_mut().zip(self.0) {
            *logit += gain;
        }
        logits[Emotion::Neutral.index()] -= FROM_NEUTRAL * strongest;
    }
}

impl Lexicon {
    /// The one that ships: `actions.txt`.
    pub(super) fn curated() -> Self {
        Self::new(pattern::parse(include_str!("actions.txt")).0)
    }

    fn new(parsed: pattern::Parsed) -> Self {
        let mut begun = vec![Vec::new(); parsed.term_count];
        for (index, pattern) in parsed.patterns.iter().enumerate() {
            begun[usize::from(pattern.terms[0])].push(index);
        }
        Self { patterns: parsed.patterns, terms: parsed.terms, stems: parsed.stems, begun }
    }

    pub(super) fn evidence(&self, parts: [&str; 2]) -> Evidence {
        let (mut highest, mut sums, mut denied) = ([0.0_f32; 7], [0.0_f32; 7], [0.0_f32; 7]);
        for part in parts {
            let narration = Narration::of(part);
            let words = narration.words();
            for found in self.matches(&narration) {
                let Some(emotion) = found.pattern.emotion else { continue };
                let place = words[found.first()].place;
                if let Some(weight) = weight_of_denial(&narration, &found) {
                    denied[emotion.index()] += found.pattern.strength * weight;
                } else {
                    let strength = found.pattern.strength * place.weight(found.words().len());
                    let highest = &mut highest[emotion.index()];
                    *highest = highest.max(strength);
                    sums[emotion.index()] += strength;
                }
            }
        }
        let mut evidence = Evidence::default();
        for (index, gain) in evidence.0.iter_mut().enumerate() {
            let further = (sums[index] - highest[index]) * FURTHER;
            *gain = (highest[index] + further).min(MOST) - denied[index].min(MOST_DENIED);
        }
        evidence
    }

    /// Matches that share no word; longer patterns first, then those that stand closer and stronger.
    fn matches(&self, narration: &Narration) -> Vec<Match<'_>> {
        let hits = self.hits(narration);
        let words = narration.words();
        let mut found: Vec<Match<'_>> = Vec::new();
        for (at, hit) in hits.iter().enumerate() {
            for &index in &self.begun[usize::from(hit.term)] {
                let pattern = &self.patterns[index];
                found.extend(complete(pattern, at, &hits, words));
            }
        }
        found.sort_by(|a, b| {
            let key =
                |found: &Match<'_>| (found.pattern.terms.len(), found.pattern.emotion.is_none());
            key(b).cmp(&key(a)).then(b.pattern.strength.total_cmp(&a.pattern.strength))
        });
        let mut taken = vec![false; words.len()];
        found.retain(|found| {
            let free = found.words().iter().all(|&word| !taken[word]);
            if free {
                found.words().iter().for_each(|&word| taken[word] = true);
            }
            free
        });
        found
    }

    /// In the order of the words.
    fn hits(&self, narration: &Narration) -> Vec<Hit> {
        let mut hits = Vec::new();
        for word in 0..narration.words().len() {
            let text = narration.text(word);
            let whole = self.terms.get(text).into_iter().flatten();
            let stems = (pattern::SHORTEST_STEM..=text.len())
                .filter_map(|end| self.stems.get(text.get(..end)?))
                .flatten();
            hits.extend(whole.chain(stems).map(|&term| Hit { word, term }));
        }
        hits
    }
}

/// The pattern whose first term is the hit at `at`, if its other words are near.
fn complete<'a>(
    pattern: &'a Pattern,
    at: usize,
    hits: &[Hit],
    words: &[Word],
) -> Option<Match<'a>> {
    let first = hits[at].word;
    let mut found = Match { pattern, words: [first; pattern::MOST_TERMS] };
    for (place, &term) in pattern.terms.iter().enumerate().skip(1) {
        let used = &found.words[..place];
        let last = used[place - 1];
        let fits = |hit: &&Hit| {
            hit.term == term
                && !used.contains(&hit.word)
                && words[hit.word].sentence == words[first].sentence
                && words[hit.word].place == words[first].place
        };
        let next = match pattern.orders[place - 1] {
            Order::After => hits[at..]
                .iter()
                .take_while(|hit| hit.word <= last + GAP + 1)
                .find(|hit| hit.word > last && fits(hit)),
            Order::Near => {
                let after = hits[at..].iter().take_while(|hit| hit.word <= first + REACH + 1);
                let before =
                    hits[..at].iter().rev().take_while(|hit| hit.word + REACH + 1 >= first);
                after.chain(before).filter(fits).min_by_key(|hit| hit.word.abs_diff(first))
            }
        };
        found.words[place] = next?.word;
    }
    Some(found)
}

/// How surely the words before an action deny it ("did not", "without", "never"), in narration and
/// dialogue alike: "I'm not afraid" says the same in both. "Could not help but smile" is no denial.
fn weight_of_denial(narration: &Narration, found: &Match<'_>) -> Option<f32> {
    let first = found.first();
    let clause = narration.words()[first].clause;
    let mut nearest = None;
    for distance in 1..=DENIAL_REACH.min(first) {
        let before = first - distance;
        if narration.words()[before].clause != clause {
            break;
        }
        let word = narration.text(before);
        if RELEASING.contains(&word) {
            return None;
        }
        // "I wouldn't be surprised" is a guess, not a denial.
        if DENYING.contains(&word) || (word.ends_with("n't") && word != "wouldn't") {
            nearest.get_or_insert(distance);
        }
    }
    match (nearest?, narration.words()[first].place) {
        (..=2, _) => Some(NEAR_DENIAL),
        // "Can't tell you how happy I am": in speech, what stands far off denies something else.
        (_, Place::Said) => None,
        _ => Some(FAR_DENIAL),
    }
}

/// With these a denial says that the feeling won.
const RELEASING: &[&str] = &[
    "stop", "help", "resist", "suppress", "contain", "hide", "conceal", "only", "keep", "believe",
    "just",
];
const DENYING: &[&str] = &[
    "not", "never", "no", "without", "nor", "neither", "hardly", "scarcely", "cannot", "refused",
    "refuses", "stopped", "stops", "ceased", "failed", "isnt", "dont", "didnt", "doesnt", "wasnt",
    "cant", "wont",
];

impl Place {
    /// What an action there is worth. In a plain sentence one word alone proves little: comments, too,
    /// tell of fear and laughter.
    fn weight(self, words: usize) -> f32 {
        match self {
            Self::Narrated => 1.3,
            Self::Told | Self::Recounted if words > 1 => 1.2,
            Self::Told => 0.8,
            Self::Recounted => 0.4,
            Self::Said => 0.0,
        }
    }
}

#[cfg(test)]
mod tests;
