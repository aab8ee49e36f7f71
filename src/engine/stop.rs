//! Stop strings over text that arrives in pieces. Pure.
//!
//! Invariant: what is let through never holds a stop string nor the beginning of one that later
//! pieces complete, however the text is cut into pieces.

/// Lets text through until a stop string appears.
#[derive(Debug, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    /// The end of the text so far that may be the beginning of a stop string.
    held: String,
}

/// What may be shown after a piece arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    pub text: String,
    /// A stop string is complete: `text` ends before it, and the answer with it.
    pub stopped: bool,
}

impl StopMatcher {
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, held: String::new() }
    }

    pub fn push(&mut self, piece: &str) -> Passed {
        if self.stops.is_empty() {
            return Passed { text: piece.to_owned(), stopped: false };
        }
        self.held.push_str(piece);
        if let Some(at) = first_stop(&self.held, &self.stops) {
            self.held.truncate(at);
            return Passed { text: std::mem::take(&mut self.held), stopped: true };
        }
        let keep_from = self.held.len() - self.longest_possible_beginning();
        let rest = self.held.split_off(keep_from);
        Passed { text: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// What was held back, once no more text will come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end of `held` that some stop string begins with.
    fn longest_possible_beginning(&self) -> usize {
        let longest_stop = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest_stop.saturating_sub(1));
        (from..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| self.stops.iter().any(|stop| stop.starts_with(&self.held[at..])))
            .map_or(0, |at| self.held.len() - at)
    }
}

/// Where the stop string begins that is complete first; of those complete at once, the longest.
fn first_stop(text: &str, stops: &[String]) -> Option<usize> {
    let found = stops.iter().filter_map(|stop| {
        let start = text.find(stop.as_str())?;
        Some((start + stop.len(), start))
    });
    found.min().map(|(_, start)| start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run<'a>(stops: &[String], pieces: impl IntoIterator<Item = &'a str>) -> String {
        let mut matcher = StopMatcher::new(stops);
        let mut out = String::new();
        for piece in pieces {
            let passed = matcher.push(piece);
            out.push_str(&passed.text);
            if passed.stopped {
                return out;
            }
        }
        out.push_str(&matcher.finish());
        out
    }

    #[test]
    fn a_stop_string_split_over_pieces_ends_the_text() {
        let stops = vec!["\n\nUser:".to_owned()];
        assert_eq!(run(&stops, ["Hello", "\n", "\nUs", "er", ": more"]), "Hello");
    }

    #[test]
    fn a_beginning_that_comes_to_nothing_is_let_through() {
        let stops = vec!["\n\nUser:".to_owned()];
        assert_eq!(run(&stops, ["Hello\n\nU", "nder"]), "Hello\n\nUnder");
        assert_eq!(run(&stops, ["Hello\n\nUs"]), "Hello\n\nUs");
    }

    #[test]
    fn the_stop_string_that_is_complete_first_wins() {
        let stops = ["éaa".to_owned(), "a".to_owned(), "xyz".to_owned(), "yz".to_owned()];
        assert_eq!(run(&stops, ["éaa"]), "é");
        assert_eq!(run(&stops, ["é", "a", "a"]), "é");
        assert_eq!(run(&stops, ["wx", "yz"]), "w");
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_the_text_is_cut(
            text in "[ab\u{e9}\n]{0,40}",
            stops in proptest::collection::vec("[ab\u{e9}\n]{1,4}", 0..3),
            cuts in proptest::collection::vec(0_usize..40, 0..10),
        ) {
            let whole = first_stop(&text, &stops).map_or(text.as_str(), |at| &text[..at]);
            let mut cuts: Vec<_> = cuts.into_iter().filter(|&at| text.is_char_boundary(at)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text[from..cut.max(from)]);
                from = cut.max(from);
            }
            prop_assert_eq!(run(&stops, pieces), whole);
        }
    }
}
