//! Chapters of a plot outline that matter to the one being written: those next to it, each once.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::story::container::{PlotElement, PriorityLevel};

/// Outlined chapters further away than this say little about the one being written.
const NEARBY: i64 = 2;
/// Most chapters that are told.
const MOST: usize = 5;
/// Texts that share more of their words than this say the same (Jaccard index).
const SAME: f64 = 0.8;

/// A chapter of an outline, as editors send it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OutlineItem {
    pub id: Option<String>,
    /// `chapter`, `scene`, `plot-point`, `character-arc`, or any other word.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    pub title: String,
    pub description: String,
    pub key_plot_items: Vec<String>,
    /// Its place in the outline, from 1.
    pub order: Option<i64>,
    pub parent_id: Option<String>,
    pub involved_characters: Vec<String>,
}

impl OutlineItem {
    /// Title, description and key plot items in one line.
    pub(in crate::story) fn in_words(&self) -> String {
        let items = self.key_plot_items.join("; ");
        let parts = [self.title.as_str(), &self.description, &items];
        let parts: Vec<_> = parts
            .iter()
            .map(|part| part.trim())
            .filter(|part| !part.is_empty())
            .map(|part| part.trim_end_matches('.').to_owned() + ".")
            .collect();
        parts.join(" ")
    }
}

/// The items near `chapter` that the story doesn't tell already, as plot elements.
pub(in crate::story) fn nearby(
    items: &[OutlineItem],
    chapter: Option<i64>,
    told: &[PlotElement],
) -> Vec<PlotElement> {
    let mut known: Vec<_> = told.iter().map(|element| words(&element.content)).collect();
    let mut near = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let order = item.order.unwrap_or_else(|| i64::try_from(at + 1).unwrap_or(i64::MAX));
        let is_near =
            chapter.is_none_or(|chapter| order.abs_diff(chapter) <= NEARBY.unsigned_abs());
        let text = item.in_words();
        let its_words = words(&text);
        let is_new = known.iter().all(|known| alike(known, &its_words) <= SAME);
        if is_near && is_new && !text.is_empty() && near.len() < MOST {
            known.push(its_words);
            near.push(PlotElement {
                id: item.id.clone(),
                element_id: None,
                type_name: "chapter_outline".to_owned(),
                content: text,
                priority: PriorityLevel::Medium,
                tags: Vec::new(),
                metadata: None,
            });
        }
    }
    near
}

fn words(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn alike(one: &HashSet<String>, other: &HashSet<String>) -> f64 {
    let shared = one.intersection(other).count();
    let all = one.len() + other.len() - shared;
    if all == 0 { 1.0 } else { shared as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(order: i64, description: &str) -> OutlineItem {
        let description = description.to_owned();
        OutlineItem { order: Some(order), description, ..OutlineItem::default() }
    }

    #[test]
    fn chapters_within_two_of_the_one_being_written_are_told_once() {
        let texts = ["rain", "fire", "fire", "a wedding", "the storm", "the end"];
        let items: Vec<_> = (1..).zip(texts).map(|(order, text)| item(order, text)).collect();
        let told: Vec<_> = nearby(&items, Some(4), &[]).into_iter().map(|it| it.content).collect();
        assert_eq!(told, ["fire.", "a wedding.", "the storm.", "the end."]);
    }

    #[test]
    fn five_at_most() {
        let items: Vec<_> = (1..=9).map(|order| item(order, &format!("event {order}"))).collect();
        assert_eq!(nearby(&items, None, &[]).len(), 5);
    }
}
