//! How much a message matters to a memory.

use super::{Emotion, Feeling};

/// Mean and standard deviation of [`sum`] over messages of long conversations with companions and
/// among friends (566 and 2,960 of them: 0.84 and 0.10, 0.87 and 0.11).
const MEAN: f32 = 0.85;
const DEVIATION: f32 = 0.11;

/// How much a message matters, 0 to 1.
///
/// 0.5 + confidence × the emotion's weight × 0.3; over 200 characters +0.15, over 100 +0.1, under 20
/// −0.1; each `?` +0.1 up to 0.15; each `!` +0.05 up to 0.1; each first-person pronoun +0.05 up to
/// 0.1. Taken alone that sum crowds near its top, so it is spread: s = (sum − mean) / deviation of
/// real messages, and importance = 1 / (1 + e^(−1.702 s)), which is close to the share of messages
/// that matter less.
pub fn importance(text: &str, feeling: &Feeling) -> f32 {
    let standard = (sum(text, feeling) - MEAN) / DEVIATION;
    1.0 / (1.0 + (-1.702 * standard).exp())
}

fn weight(emotion: Emotion) -> f32 {
    match emotion {
        Emotion::Sadness => 1.0,
        Emotion::Fear => 0.95,
        Emotion::Anger => 0.9,
        Emotion::Joy => 0.8,
        Emotion::Disgust => 0.75,
        Emotion::Surprise => 0.7,
        Emotion::Neutral => 0.5,
    }
}

/// Before it is spread. Not clamped: what is clamped can't be told apart.
fn sum(text: &str, feeling: &Feeling) -> f32 {
    let emotional = feeling.confidence() * weight(feeling.emotion()) * 0.3;
    // No more than decides.
    let length = match text.chars().take(201).count() {
        201.. => 0.15,
        101.. => 0.1,
        20.. => 0.0,
        _ => -0.1,
    };
    let questions = bonus(text.matches('?'), 0.1, 0.15);
    let exclamations = bonus(text.matches('!'), 0.05, 0.1);
    let persons = text
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| FIRST_PERSON.iter().any(|person| person.eq_ignore_ascii_case(word)));
    0.5 + emotional + length + questions + exclamations + bonus(persons, 0.05, 0.1)
}

const FIRST_PERSON: [&str; 5] = ["i", "me", "my", "mine", "myself"];

fn bonus(found: impl Iterator, each: f32, most: f32) -> f32 {
    // Two reach the most, whichever it is.
    (found.take(2).count() as f32 * each).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f32, wanted: f32) {
        assert!((found - wanted).abs() < 1e-5, "{found} is not {wanted}");
    }

    #[test]
    fn the_sum_is_the_contracts() {
        let sad = Feeling::of(Emotion::Sadness, 1.0);
        let neutral = Feeling::of(Emotion::Neutral, 0.5);
        near(sum("Rain fell on the roof all night.", &sad), 0.8);
        near(sum("Rain fell on the roof all night.", &neutral), 0.575);
        near(sum("Rain.", &neutral), 0.475);
        near(sum("Rain falls. Does it? Does it? Does it?", &neutral), 0.725);
        near(sum("Rain falls! It does! It does! It does!", &neutral), 0.675);
        near(sum("I took my coat, me and mine; the ink ran.", &neutral), 0.675);
        near(sum(&"r".repeat(101), &neutral), 0.675);
        near(sum(&"r".repeat(201), &neutral), 0.725);
    }

    #[test]
    fn strong_feelings_matter_more_than_small_talk() {
        let confession = "I never told you, but I was there that night. I saw who lit the fire, and I \
                          have been afraid ever since. What should I do?";
        let high = importance(confession, &Feeling::of(Emotion::Fear, 0.9));
        let low = importance("ok", &Feeling::of(Emotion::Neutral, 0.5));
        assert!(high > 0.9, "{high}");
        assert!(low < 0.1, "{low}");
    }

    #[test]
    fn an_average_message_stands_in_the_middle() {
        let standing = (MEAN - 0.5 - 0.1) / 0.3;
        let middle = importance(&"r".repeat(150), &Feeling::of(Emotion::Sadness, standing));
        near(middle, 0.5);
    }
}
