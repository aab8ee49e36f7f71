//! How a persona and a user stand to each other: a score from 0 to 100 that moves with what the user
//! says, and the stage it comes to. Pure: who stores the moves gives them back in order.
//!
//! Invariants:
//! - The score is what its moves come to, one after the other, clamped each time. A move that is taken
//!   back counts as if it had never been made.
//! - No model moves the score, and no text of the user names a number that is believed.
//! - A romantic stage is shown to [`Adult::Confirmed`] alone; otherwise the score counts on and the
//!   stage stays [`Stage::CloseFriend`].

mod sentences;
mod signals;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::sentences::{sentences, straightened, unquoted};
pub use self::signals::{Said, is_manipulation, signals};

/// How close two are, from 0 to 100.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Score(#[schemars(range(max = 100))] u8);

impl Score {
    const MOST: i64 = 100;

    /// Clamped.
    pub fn new(score: i64) -> Self {
        let score = score.clamp(0, Self::MOST);
        Self(u8::try_from(score).unwrap_or(u8::MAX))
    }

    pub fn get(self) -> u8 {
        self.0
    }

    #[must_use]
    pub fn moved(self, by: i64) -> Self {
        Self::new(i64::from(self.0).saturating_add(by))
    }

    /// What these moves come to, one after the other.
    pub fn of(moves: impl IntoIterator<Item = i64>) -> Self {
        moves.into_iter().fold(Self::default(), Self::moved)
    }
}

/// What a score comes to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Stage {
    Stranger,
    Acquaintance,
    Friend,
    #[serde(rename = "Close Friend")]
    CloseFriend,
    #[serde(rename = "Romantic Interest")]
    RomanticInterest,
    Partner,
}

/// Whether romance is open to a user: the operator allows it, and the user's profile says 18 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adult {
    Confirmed,
    Closed,
}

/// From this age on.
const ADULT_AGE: u32 = 18;

impl Adult {
    /// `stated` are ages that the user named in talk: one below 18 closes what the profile opens.
    pub fn of(
        instance_allows: bool,
        profile: Option<u32>,
        stated: impl IntoIterator<Item = u32>,
    ) -> Self {
        let is_old_enough = profile.is_some_and(|age| age >= ADULT_AGE);
        let says_otherwise = stated.into_iter().any(|age| age < ADULT_AGE);
        if instance_allows && is_old_enough && !says_otherwise {
            Self::Confirmed
        } else {
            Self::Closed
        }
    }
}

impl Stage {
    pub const ALL: [Self; 6] = [
        Self::Stranger,
        Self::Acquaintance,
        Self::Friend,
        Self::CloseFriend,
        Self::RomanticInterest,
        Self::Partner,
    ];

    /// The stage of this score. The only way to one.
    pub fn of(score: Score, adult: Adult) -> Self {
        let stage = match score.get() {
            0..=10 => Self::Stranger,
            11..=25 => Self::Acquaintance,
            26..=45 => Self::Friend,
            46..=65 => Self::CloseFriend,
            66..=85 => Self::RomanticInterest,
            86.. => Self::Partner,
        };
        match adult {
            Adult::Confirmed => stage,
            Adult::Closed => stage.min(Self::CloseFriend),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Stranger => "Stranger",
            Self::Acquaintance => "Acquaintance",
            Self::Friend => "Friend",
            Self::CloseFriend => "Close Friend",
            Self::RomanticInterest => "Romantic Interest",
            Self::Partner => "Partner",
        }
    }
}

/// Why a score moves, or what two reach together.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    NameShared,
    AgeShared,
    LocationShared,
    OccupationShared,
    EmotionalWords,
    Question,
    Compliment,
    LongMessage,
    Dismissive,
    Insult,
    Aggression,
    /// Days without a word.
    Idle,
    // Milestones: reached once, and worth nothing in points.
    FirstInteraction,
    FirstLaugh,
    PersonalShare,
    Vulnerability,
}

impl Move {
    pub const ALL: [Self; 16] = [
        Self::NameShared,
        Self::AgeShared,
        Self::LocationShared,
        Self::OccupationShared,
        Self::EmotionalWords,
        Self::Question,
        Self::Compliment,
        Self::LongMessage,
        Self::Dismissive,
        Self::Insult,
        Self::Aggression,
        Self::Idle,
        Self::FirstInteraction,
        Self::FirstLaugh,
        Self::PersonalShare,
        Self::Vulnerability,
    ];

    /// Points; those of [`Self::Idle`] depend on its days.
    pub fn points(self) -> i64 {
        match self {
            Self::NameShared | Self::OccupationShared => 5,
            Self::LocationShared => 4,
            Self::AgeShared => 3,
            Self::EmotionalWords | Self::Compliment | Self::LongMessage => 2,
            Self::Question => 1,
            Self::Dismissive => -4,
            Self::Insult => -5,
            Self::Aggression => -8,
            Self::Idle
            | Self::FirstInteraction
            | Self::FirstLaugh
            | Self::PersonalShare
            | Self::Vulnerability => 0,
        }
    }

    pub fn is_milestone(self) -> bool {
        matches!(
            self,
            Self::FirstInteraction | Self::FirstLaugh | Self::PersonalShare | Self::Vulnerability
        )
    }

    /// As it is stored and told.
    pub fn name(self) -> &'static str {
        match self {
            Self::NameShared => "name_shared",
            Self::AgeShared => "age_shared",
            Self::LocationShared => "location_shared",
            Self::OccupationShared => "occupation_shared",
            Self::EmotionalWords => "emotional_words",
            Self::Question => "question",
            Self::Compliment => "compliment",
            Self::LongMessage => "long_message",
            Self::Dismissive => "dismissive",
            Self::Insult => "insult",
            Self::Aggression => "aggression",
            Self::Idle => "idle",
            Self::FirstInteraction => "first_interaction",
            Self::FirstLaugh => "first_laugh",
            Self::PersonalShare => "personal_share",
            Self::Vulnerability => "vulnerability",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NameShared => "told their name",
            Self::AgeShared => "told their age",
            Self::LocationShared => "told where they live",
            Self::OccupationShared => "told what they work as",
            Self::EmotionalWords => "spoke with feeling",
            Self::Question => "asked something",
            Self::Compliment => "said something kind",
            Self::LongMessage => "wrote more than 20 words",
            Self::Dismissive => "was dismissive",
            Self::Insult => "was insulting",
            Self::Aggression => "was aggressive",
            Self::Idle => "was away",
            Self::FirstInteraction => "spoke for the first time",
            Self::FirstLaugh => "laughed for the first time",
            Self::PersonalShare => "told something of themselves for the first time",
            Self::Vulnerability => "showed a vulnerable side for the first time",
        }
    }
}

const IDLE_A_DAY: i64 = 2;
const IDLE_AT_MOST: i64 = 10;
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// Points that an absence costs: 2 for each whole day, 10 at most; 0 or less.
pub fn idle(last: Timestamp, now: Timestamp) -> i64 {
    let away = now.as_millisecond().saturating_sub(last.as_millisecond());
    let days = (away / DAY_MILLISECONDS).max(0);
    -days.saturating_mul(IDLE_A_DAY).min(IDLE_AT_MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stage(score: i64) -> Stage {
        Stage::of(Score::new(score), Adult::Confirmed)
    }

    #[test]
    fn stages_begin_where_the_contract_says() {
        use Stage::{Acquaintance, CloseFriend, Friend, Partner, RomanticInterest, Stranger};
        let borders = [
            (0, Stranger),
            (10, Stranger),
            (11, Acquaintance),
            (25, Acquaintance),
            (26, Friend),
            (45, Friend),
            (46, CloseFriend),
            (65, CloseFriend),
            (66, RomanticInterest),
            (85, RomanticInterest),
            (86, Partner),
            (100, Partner),
        ];
        for (score, expected) in borders {
            assert_eq!(stage(score), expected, "{score}");
        }
    }

    #[test]
    fn romance_needs_the_operator_and_an_adult_profile_and_nothing_against_it() {
        let open = |allows, profile, stated: &[u32]| {
            Adult::of(allows, profile, stated.iter().copied()) == Adult::Confirmed
        };
        assert!(open(true, Some(18), &[]));
        assert!(open(true, Some(30), &[31]));
        assert!(!open(false, Some(30), &[]));
        assert!(!open(true, Some(17), &[]));
        assert!(!open(true, None, &[]));
        assert!(!open(true, None, &[30]), "what is said in talk opens nothing");
        assert!(!open(true, Some(30), &[15]));
    }

    #[test]
    fn an_absence_costs_two_points_a_day_and_ten_at_most() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let cost = |until| idle(at("2026-01-01T12:00:00Z"), at(until));
        assert_eq!(cost("2026-01-02T11:59:59Z"), 0);
        assert_eq!(cost("2026-01-02T12:00:00Z"), -2);
        assert_eq!(cost("2026-01-04T12:00:00Z"), -6);
        assert_eq!(cost("2027-01-01T12:00:00Z"), -10);
        assert_eq!(cost("2025-12-01T12:00:00Z"), 0, "a clock that was set back costs nothing");
    }

    #[test]
    fn names_of_moves_can_be_read_back() {
        for it in Move::ALL {
            assert_eq!(Move::named(it.name()), Some(it));
            let on_the_wire = serde_json::to_value(it).unwrap();
            assert_eq!(on_the_wire, it.name());
        }
    }

    proptest! {
        #[test]
        fn the_score_stays_within_bounds_and_stages_rise_with_it(
            moves in proptest::collection::vec(
                prop_oneof![-1000_i64..1000, Just(i64::MIN), Just(i64::MAX)],
                0..200,
            ),
        ) {
            let mut score = Score::default();
            for by in moves {
                let next = score.moved(by);
                prop_assert!(next.get() <= 100);
                for adult in [Adult::Confirmed, Adult::Closed] {
                    let (before, after) = (Stage::of(score, adult), Stage::of(next, adult));
                    if next >= score {
                        prop_assert!(after >= before);
                    } else {
                        prop_assert!(after <= before);
                    }
                    if adult == Adult::Closed {
                        prop_assert!(after <= Stage::CloseFriend);
                    }
                }
                score = next;
            }
        }

        #[test]
        fn a_move_taken_back_counts_as_if_never_made(
            moves in proptest::collection::vec(-20_i64..20, 1..50),
            which in any::<proptest::sample::Index>(),
        ) {
            let at = which.index(moves.len());
            let without: Vec<_> =
                moves.iter().enumerate().filter(|(it, _)| *it != at).map(|(_, by)| *by).collect();
            let mut zeroed = moves.clone();
            zeroed[at] = 0;
            prop_assert_eq!(Score::of(without), Score::of(zeroed));
        }
    }
}
