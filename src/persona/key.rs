//! Keys of personas: short names that stand in paths, files and model aliases.

/// What a key must be.
pub(super) const RULE: &str = "up to 64 letters in lower case, digits, - and _";
const LONGEST: usize = 64;
/// For a name without any letter.
const NAMELESS: &str = "persona";

pub(super) fn is_valid(key: &str) -> bool {
    !key.is_empty() && key.chars().count() <= LONGEST && key.chars().all(is_key_letter)
}

fn is_key_letter(letter: char) -> bool {
    let is_lower = !letter.is_uppercase() && letter.to_lowercase().eq([letter]);
    (letter.is_alphanumeric() && is_lower) || matches!(letter, '-' | '_')
}

/// The key that a name makes.
pub(super) fn of_name(name: &str) -> String {
    let mut key = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        if letter.is_alphanumeric() && is_key_letter(letter) || letter == '_' {
            key.push(letter);
        } else if !key.is_empty() && !key.ends_with('-') {
            key.push('-');
        }
    }
    let key: String = key.chars().take(LONGEST).collect();
    let key = key.trim_end_matches('-');
    if key.is_empty() { NAMELESS.to_owned() } else { key.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_make_keys_that_can_be_read() {
        for (name, key) in [
            ("Aria", "aria"),
            ("  Captain   O'Neill, jr. ", "captain-o-neill-jr"),
            ("Ärla Ødegård", "ärla-ødegård"),
            ("灯台守", "灯台守"),
            ("../../etc", "etc"),
            ("☆", "persona"),
            ("\0", "persona"),
        ] {
            assert_eq!(of_name(name), key);
        }
    }

    proptest! {
        #[test]
        fn every_name_makes_a_valid_key(name in any::<String>()) {
            let key = of_name(&name);
            prop_assert!(is_valid(&key), "{key:?}");
        }
    }
}
