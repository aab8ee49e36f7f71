//! How much of a message asks.

/// How much of a text asks, in 255ths: the share of its sentences that end with a question mark.
pub(super) fn asking(text: &str) -> u8 {
    let (mut sentences, mut questions) = (0_usize, 0_usize);
    let mut open = false;
    // A sentence ends where white space (or nothing) follows its mark; "?!" is one mark, and asks.
    let mut mark = None;
    for letter in text.chars().chain([' ']) {
        if matches!(letter, '.' | '!' | '?' | '…' | '。' | '！' | '？') {
            let asks = matches!(letter, '?' | '？') || mark == Some(true);
            mark = Some(asks);
        } else if letter.is_whitespace() {
            if let Some(asks) = mark.take().filter(|_| open) {
                sentences += 1;
                questions += usize::from(asks);
                open = false;
            }
        } else if letter.is_alphanumeric() {
            open = true;
            mark = None;
        }
    }
    sentences += usize::from(open);
    u8::try_from(questions * 255 / sentences.max(1)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_counted_by_sentences() {
        for (text, share) in [
            ("", 0),
            ("?", 0),
            ("I went home.", 0),
            ("Where were you?", 255),
            ("What?! Really?", 255),
            ("I was at home. You?", 127),
            ("“Where?” she asked", 127),
            ("*smiles* How are you?", 255),
            ("It cost 3.50. Why?", 127),
        ] {
            assert_eq!(asking(text), share, "{text}");
        }
    }
}
