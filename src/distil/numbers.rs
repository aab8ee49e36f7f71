//! Numbers, in digits or in English words. "One" is left out: it is a pronoun more often. Pure.

const UNITS: [(&str, u32); 8] = [
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("five", 5),
    ("six", 6),
    ("seven", 7),
    ("eight", 8),
    ("nine", 9),
];
const TENS: [(&str, u32); 8] = [
    ("twenty", 20),
    ("thirty", 30),
    ("forty", 40),
    ("fifty", 50),
    ("sixty", 60),
    ("seventy", 70),
    ("eighty", 80),
    ("ninety", 90),
];
const OTHER_NUMBERS: [(&str, u32); 19] = [
    ("ten", 10),
    ("eleven", 11),
    ("twelve", 12),
    ("thirteen", 13),
    ("fourteen", 14),
    ("fifteen", 15),
    ("sixteen", 16),
    ("seventeen", 17),
    ("eighteen", 18),
    ("nineteen", 19),
    ("dozen", 12),
    ("dozens", 12),
    ("hundred", 100),
    ("hundreds", 100),
    ("thousand", 1_000),
    ("thousands", 1_000),
    ("million", 1_000_000),
    ("millions", 1_000_000),
    ("billion", 1_000_000_000),
];

/// The first half of a hyphenated number.
pub(super) fn tens(lower: &str) -> Option<u32> {
    TENS.iter().find(|(word, _)| *word == lower).map(|(_, value)| *value)
}

/// The second half of a hyphenated number.
pub(super) fn unit(lower: &str) -> Option<u32> {
    let units = UNITS.iter().chain([&("one", 1)]);
    units.clone().find(|(word, _)| *word == lower).map(|(_, value)| *value)
}

/// The digits of a number, written either way.
pub(super) fn number_key(lower: &str) -> Option<String> {
    if lower.starts_with(|c: char| c.is_ascii_digit()) {
        let bare = ["st", "nd", "rd", "th", "s"]
            .iter()
            .find_map(|ending| {
                lower.strip_suffix(ending).filter(|n| n.ends_with(|c: char| c.is_ascii_digit()))
            })
            .unwrap_or(lower);
        return Some(bare.replace(',', ""));
    }
    let spelled = UNITS.iter().chain(&TENS).chain(&OTHER_NUMBERS);
    spelled.clone().find(|(word, _)| *word == lower).map(|(_, value)| value.to_string())
}
