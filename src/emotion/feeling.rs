//! A distribution over the emotions. Invariant: seven finite probabilities that sum to one.

use super::Emotion;

/// How likely each emotion is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feeling {
    distribution: [f32; 7],
}

impl Feeling {
    /// An emotion with a confidence; the rest is shared evenly. The confidence is brought to 1/7..=1:
    /// below that another emotion would be the likelier one.
    pub fn of(emotion: Emotion, confidence: f32) -> Self {
        let share = 1.0 / 7.0;
        let confidence = if confidence.is_nan() { share } else { confidence.clamp(share, 1.0) };
        let mut distribution = [(1.0 - confidence) / 6.0; 7];
        distribution[emotion.index()] = confidence;
        if confidence <= share {
            // Ties go to the first of the list, so the one that was meant stands a hair above.
            distribution[emotion.index()] += f32::EPSILON;
        }
        Self { distribution }
    }

    /// The softmax of logits.
    pub(super) fn from_logits(logits: [f32; 7]) -> Self {
        let highest = logits.into_iter().fold(f32::MIN, f32::max);
        let powers = logits.map(|logit| (logit - highest).exp());
        let sum: f32 = powers.iter().sum();
        Self { distribution: powers.map(|power| power / sum) }
    }

    /// The likeliest emotion; of equals the first in [`Emotion::ALL`].
    pub fn emotion(&self) -> Emotion {
        let likelier = |best: Emotion, next: Emotion| {
            if self.probability(next) > self.probability(best) { next } else { best }
        };
        Emotion::ALL.into_iter().reduce(likelier).unwrap_or(Emotion::Neutral)
    }

    /// The probability of [`Self::emotion`], 0 to 1.
    pub fn confidence(&self) -> f32 {
        self.probability(self.emotion())
    }

    pub fn probability(&self, emotion: Emotion) -> f32 {
        self.distribution[emotion.index()]
    }

    /// In the order of [`Emotion::ALL`].
    pub fn distribution(&self) -> [f32; 7] {
        self.distribution
    }
}
