//! What a panel said together: how the scores lie, and where raters disagree. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{MemberReport, Report};

/// Raters whose scores lie this far apart disagree.
const DISAGREEMENT: u8 = 3;

/// The panel as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PanelSummary {
    pub answered: usize,
    /// Of those, answers that couldn't be read or rest on a part of the chapter.
    pub degraded: usize,
    pub failed: usize,
    /// By respect.
    pub scores: BTreeMap<String, Spread>,
    /// Of the raters' own means.
    pub overall: Option<Spread>,
    /// Respects in which two raters lie three points or more apart.
    pub disagreements: Vec<Disagreement>,
    /// Quotes that the chapter doesn't hold; they were removed.
    pub quotes_removed: usize,
}

/// How scores lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    pub raters: usize,
    pub mean: f64,
    pub lowest: f64,
    pub highest: f64,
    /// Standard deviation (of the population).
    pub deviation: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Disagreement {
    pub dimension: String,
    pub lowest: Vote,
    pub highest: Vote,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Vote {
    pub member: String,
    pub name: String,
    pub score: u8,
}

/// The reports as a whole.
pub(super) fn summary(reports: &[MemberReport]) -> PanelSummary {
    let mut by_dimension: BTreeMap<String, Vec<Vote>> = BTreeMap::new();
    let (mut overall, mut quotes_removed, mut degraded, mut failed) = (Vec::new(), 0, 0, 0);
    for report in reports {
        match &report.report {
            Report::Failed { .. } => failed += 1,
            Report::Editor { review } => degraded += usize::from(review.degradation.degraded),
            Report::Character { reaction } => {
                degraded += usize::from(reaction.degradation.degraded);
            }
            Report::Rater { rating } => {
                degraded += usize::from(rating.degradation.degraded);
                quotes_removed += rating.feedback.quotes_removed;
                overall.extend(rating.feedback.overall);
                for (dimension, score) in &rating.feedback.scores {
                    let (member, name) = (report.member.clone(), report.name.clone());
                    let vote = Vote { member, name, score: score.score };
                    by_dimension.entry(dimension.clone()).or_default().push(vote);
                }
            }
        }
    }
    let scores = by_dimension.iter().filter_map(|(dimension, votes)| {
        let scores: Vec<_> = votes.iter().map(|vote| f64::from(vote.score)).collect();
        Some((dimension.clone(), Spread::of(&scores)?))
    });
    PanelSummary {
        answered: reports.len() - failed,
        degraded,
        failed,
        scores: scores.collect(),
        overall: Spread::of(&overall),
        disagreements: by_dimension
            .iter()
            .filter_map(|(dimension, votes)| disagreement(dimension, votes))
            .collect(),
        quotes_removed,
    }
}

fn disagreement(dimension: &str, votes: &[Vote]) -> Option<Disagreement> {
    let lowest = votes.iter().min_by_key(|vote| vote.score)?;
    let highest = votes.iter().max_by_key(|vote| vote.score)?;
    (highest.score - lowest.score >= DISAGREEMENT).then(|| Disagreement {
        dimension: dimension.to_owned(),
        lowest: lowest.clone(),
        highest: highest.clone(),
    })
}

impl Spread {
    fn of(scores: &[f64]) -> Option<Self> {
        let raters = scores.len();
        let mean = scores.iter().sum::<f64>() / raters as f64;
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
        let deviation = (variance / raters as f64).sqrt();
        Some(Self {
            raters,
            mean,
            lowest: scores.iter().copied().reduce(f64::min)?,
            highest: scores.iter().copied().reduce(f64::max)?,
            deviation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_spread_around_their_mean() {
        let spread = Spread::of(&[2.0, 4.0, 9.0]).unwrap();
        assert_eq!((spread.mean, spread.lowest, spread.highest), (5.0, 2.0, 9.0));
        assert!((spread.deviation - (26.0_f64 / 3.0).sqrt()).abs() < 1e-9);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn raters_three_points_apart_disagree() {
        let vote = |name: &str, score| Vote { member: name.into(), name: name.into(), score };
        assert_eq!(disagreement("plot", &[vote("a", 5), vote("b", 7)]), None);
        let found = disagreement("plot", &[vote("a", 5), vote("b", 8), vote("c", 4)]).unwrap();
        assert_eq!((found.lowest.score, found.highest.score), (4, 8));
    }
}
