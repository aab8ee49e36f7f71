//! Words and n-grams of a text, exactly as the training makes them (`tools/words.py`: change both or
//! neither). Only ASCII is lowercased, so no Unicode table can part the two sides.

use std::ops::Range;

/// Code points that are words by themselves.
fn is_emoji(character: char) -> bool {
    matches!(character, '\u{2600}'..='\u{27BF}' | '\u{1F000}'..='\u{1FAFF}')
}

/// Signs, spaces and variation selectors outside ASCII.
fn is_separator(character: char) -> bool {
    matches!(character, '\u{80}'..='\u{BF}' | '\u{2000}'..='\u{206F}' | '\u{FE0F}')
}

/// The words of a text, all in one buffer.
#[derive(Default)]
pub(super) struct Words {
    buffer: String,
    ranges: Vec<Range<usize>>,
}

impl Words {
    /// Lowercase words, single emoji, and runs of `!` and `?` cut to two characters.
    pub(super) fn of(text: &str) -> Self {
        let mut words = Self { buffer: String::with_capacity(text.len()), ranges: Vec::default() };
        let mut word_start = 0;
        let mut marks = Marks::default();
        for character in text.chars() {
            let character = if character == '\u{2019}' { '\'' } else { character };
            if matches!(character, '!' | '?') {
                words.end_word(&mut word_start);
                marks.push(character);
                continue;
            }
            if let Some(run) = marks.take() {
                words.push_whole(run, &mut word_start);
            }
            if character.is_ascii_alphanumeric() || matches!(character, '\'' | '_') {
                words.push_letter(character.to_ascii_lowercase(), word_start);
            } else if is_emoji(character) {
                words.end_word(&mut word_start);
                words.push_whole(character.encode_utf8(&mut [0; 4]), &mut word_start);
            } else if character.is_ascii() || is_separator(character) {
                words.end_word(&mut word_start);
            } else {
                words.buffer.push(character);
            }
        }
        words.end_word(&mut word_start);
        if let Some(run) = marks.take() {
            words.push_whole(run, &mut word_start);
        }
        words
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.ranges.iter().map(|range| &self.buffer[range.clone()])
    }

    /// "soooo" is "soo".
    fn push_letter(&mut self, letter: char, word_start: usize) {
        let word = self.buffer.as_bytes().get(word_start..).unwrap_or_default();
        let repeated = letter.is_ascii_alphabetic()
            && word.len() >= 2
            && word.iter().rev().take(2).all(|&byte| char::from(byte) == letter);
        if !repeated {
            self.buffer.push(letter);
        }
    }

    fn push_whole(&mut self, word: &str, word_start: &mut usize) {
        self.buffer.push_str(word);
        self.ranges.push(*word_start..self.buffer.len());
        *word_start = self.buffer.len();
    }

    fn end_word(&mut self, word_start: &mut usize) {
        let word = &self.buffer[*word_start..];
        let leading = word.len() - word.trim_start_matches('\'').len();
        let kept = word.trim_matches('\'').len();
        if kept > 0 {
            let start = *word_start + leading;
            self.ranges.push(start..start + kept);
        }
        *word_start = self.buffer.len();
    }
}

/// A run of `!` and `?`.
#[derive(Default)]
struct Marks {
    first: Option<char>,
    exclamations: usize,
    questions: usize,
}

impl Marks {
    fn push(&mut self, mark: char) {
        self.first.get_or_insert(mark);
        if mark == '!' {
            self.exclamations += 1;
        } else {
            self.questions += 1;
        }
    }

    fn take(&mut self) -> Option<&'static str> {
        let run = std::mem::take(self);
        let length = run.exclamations + run.questions;
        match (run.first?, length) {
            _ if run.exclamations > 0 && run.questions > 0 => Some("?!"),
            ('!', 1) => Some("!"),
            ('!', _) => Some("!!"),
            (_, 1) => Some("?"),
            _ => Some("??"),
        }
    }
}

/// FNV-1a of 64 bits, to be folded to the 32 of a key.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const EMPTY: Self = Self(0xCBF2_9CE4_8422_2325);

    fn add(self, bytes: &[u8]) -> Self {
        let mix =
            |value: u64, &byte: &u8| (value ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        Self(bytes.iter().fold(self.0, mix))
    }

    fn key(self) -> u32 {
        let folded = (self.0 >> 32) ^ (self.0 & u64::from(u32::MAX));
        u32::try_from(folded).unwrap_or_default()
    }
}

/// Gives the key of every n-gram of a text to `take`: words, pairs of neighbours (the first with the
/// start `^`), and pieces of 4 and 5 characters of each word between `<` and `>`, marked `#`.
pub(super) fn for_each_key(words: &Words, mut take: impl FnMut(u32)) {
    let mut previous = "^";
    for word in words.iter() {
        take(Hash::EMPTY.add(word.as_bytes()).key());
        take(Hash::EMPTY.add(previous.as_bytes()).add(b" ").add(word.as_bytes()).key());
        for_each_piece(word, &mut take);
        previous = word;
    }
}

fn for_each_piece(word: &str, take: &mut impl FnMut(u32)) {
    let edged = || std::iter::once('<').chain(word.chars()).chain(std::iter::once('>'));
    let length = edged().count();
    // Words of one or two characters have no pieces.
    if length <= 4 {
        return;
    }
    // The last five characters: a piece ends at each.
    let mut window = ['\0'; 5];
    for (at, character) in edged().enumerate() {
        window.rotate_left(1);
        window[4] = character;
        for size in [4, 5] {
            if at + 1 >= size {
                let piece = &window[window.len() - size..];
                let hash = piece.iter().fold(Hash::EMPTY.add(b"#"), |hash, character| {
                    hash.add(character.encode_utf8(&mut [0; 4]).as_bytes())
                });
                take(hash.key());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Words::of(text).iter().map(str::to_owned).collect()
    }

    #[test]
    fn marks_emoji_and_long_letters_are_words_of_their_own_kind() {
        assert_eq!(
            words("Nooooo!!! \u{201c}Don\u{2019}t\u{201d}\u{1F62D}ok?! 1000 'quoted'..."),
            ["noo", "!!", "don't", "\u{1F62D}", "ok", "?!", "1000", "quoted"]
        );
    }

    #[test]
    fn other_scripts_are_kept_as_they_stand() {
        assert_eq!(words("ÉCOLE Рад 狐"), ["École", "Рад", "狐"]);
    }

    #[test]
    fn keys_are_those_of_the_training() {
        // tools/words.py: sorted(key(n) for n in ngrams("I ran!"))
        let mut keys = Vec::new();
        for_each_key(&Words::of("I ran!"), |key| keys.push(key));
        keys.sort_unstable();
        assert_eq!(keys, KEYS);
    }

    const KEYS: [u32; 9] = [
        146_671_763,
        694_296_168,
        694_346_624,
        1_792_981_530,
        1_976_460_627,
        3_252_357_784,
        3_505_543_764,
        3_758_912_520,
        3_909_719_407,
    ];
}
