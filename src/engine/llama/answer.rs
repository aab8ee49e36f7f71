//! The bytes of tokens into the text of an answer.

use encoding_rs::{Decoder, UTF_8};

use crate::engine::{Passed, StopMatcher};

/// Tokens' bytes into whole characters, and stop strings taken out.
pub(super) struct AnswerText {
    decoder: Decoder,
    bytes: Vec<u8>,
    stops: StopMatcher,
    stopped: bool,
}

impl AnswerText {
    pub(super) fn new(stops: &[String]) -> Self {
        let decoder = UTF_8.new_decoder_without_bom_handling();
        Self {
            decoder,
            bytes: Vec::with_capacity(32),
            stops: StopMatcher::new(stops),
            stopped: false,
        }
    }

    pub(super) fn push(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> Passed {
        fill(&mut self.bytes);
        let piece = self.decode_bytes(false);
        let passed = self.stops.push(&piece);
        self.stopped = passed.stopped;
        passed
    }

    /// The rest: half a character becomes U+FFFD. Nothing after a stop string.
    pub(super) fn finish(&mut self) -> String {
        if self.stopped {
            return String::new();
        }
        self.bytes.clear();
        let piece = self.decode_bytes(true);
        let mut passed = self.stops.push(&piece);
        if !passed.stopped {
            passed.text.push_str(&self.stops.finish());
        }
        passed.text
    }

    fn decode_bytes(&mut self, last: bool) -> String {
        let longest = self.decoder.max_utf8_buffer_length(self.bytes.len()).unwrap_or(0);
        let mut piece = String::with_capacity(longest);
        // The buffer holds the worst case, so one call reads everything.
        let _ = self.decoder.decode_to_string(&self.bytes, &mut piece, last);
        piece
    }
}
