//! What a character can know: its own state, what everybody knows, and what it took part in.

use serde_json::{Map, Value};
use unicode_segmentation::UnicodeSegmentation;

use crate::story::container::{CharacterContext, CharacterSheet, PlotElement};

/// The character whose knowledge counts.
#[derive(Clone, Debug)]
pub(in crate::story) struct Knower {
    pub(in crate::story) id: String,
    pub(in crate::story) name: String,
    /// Words of the name that a text would call it by.
    called: Vec<String>,
}

/// Words before a name that name nobody.
const TITLES: [&str; 14] = [
    "the", "a", "mr", "mrs", "ms", "miss", "dr", "sir", "lady", "lord", "king", "queen", "old",
    "von",
];

impl Knower {
    pub(in crate::story) fn new(id: &str, name: &str) -> Self {
        let mut called = vec![name.to_owned()];
        let first = name.unicode_words().find(|word| {
            word.chars().count() > 2 && !TITLES.contains(&word.to_lowercase().as_str())
        });
        called.extend(first.map(str::to_owned).filter(|first| first != name));
        Self { id: id.to_owned(), name: name.to_owned(), called }
    }

    /// A character of whom nothing is known: it knows what everybody does.
    pub(in crate::story) fn nobody() -> Self {
        Self { id: String::new(), name: String::new(), called: Vec::new() }
    }

    pub(in crate::story) fn is(&self, character: &CharacterContext) -> bool {
        character.character_id == self.id
    }

    pub(super) fn is_of_sheet(&self, sheet: &CharacterSheet) -> bool {
        sheet.id.as_ref() == Some(&self.id) || sheet.name == self.name
    }

    /// Whether the character knows of a plot element: where its metadata or tags say who does, they
    /// decide; the world is everybody's; of the plot, it knows what it took part in. Plans for what
    /// is still to come are the author's.
    pub(super) fn knows(&self, element: &PlotElement, is_world: bool) -> bool {
        let is_plan = element.type_name == "chapter_outline";
        let said = |keys| self.listed_in(element.metadata.as_ref()?, keys);
        if let Some(knows) = said(&["known_to", "knownTo"]) {
            return knows;
        }
        if is_plan {
            return false;
        }
        if let Some(took_part) = said(&["characters", "participants", "involved_characters"]) {
            return took_part;
        }
        // A theme may be called as somebody is; an id or a whole name may not.
        let names_it = |tag: &String| *tag == self.id || *tag == self.name;
        let is_common = is_world && element.type_name != "story_summary";
        is_common || element.tags.iter().any(names_it) || self.takes_part_in(&element.content)
    }

    /// What the metadata say about who knows, if they say anything.
    fn listed_in(&self, metadata: &Map<String, Value>, keys: &[&str]) -> Option<bool> {
        let names = keys.iter().find_map(|key| metadata.get(*key)).filter(|it| !it.is_null())?;
        let names = match names {
            Value::Array(names) => names.as_slice(),
            one => std::slice::from_ref(one),
        };
        Some(names.iter().filter_map(Value::as_str).any(|name| {
            ["all", "everybody", "everyone", "*"].contains(&name.to_lowercase().as_str())
                || self.is_called(name)
        }))
    }

    fn is_called(&self, name: &str) -> bool {
        name == self.id || self.called.iter().any(|own| own.to_lowercase() == name.to_lowercase())
    }

    /// Whether a text names the character.
    pub(in crate::story) fn takes_part_in(&self, text: &str) -> bool {
        self.called.iter().any(|name| {
            text.match_indices(name.as_str()).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                let after = text[at + name.len()..].chars().next();
                !before.is_some_and(char::is_alphanumeric)
                    && !after.is_some_and(char::is_alphanumeric)
            })
        })
    }

    /// Of a story, the scenes that the character took part in, each from the first paragraph that
    /// names it to the last.
    pub(in crate::story) fn witnessed(&self, text: &str) -> String {
        let mut witnessed = Vec::new();
        for scene in scenes(text) {
            let paragraphs = paragraphs(scene);
            let named = |paragraph: &String| self.takes_part_in(paragraph);
            let first = paragraphs.iter().position(named);
            let last = paragraphs.iter().rposition(named);
            if let (Some(first), Some(last)) = (first, last) {
                witnessed.push(paragraphs[first..=last].join("\n\n"));
            }
        }
        witnessed.join("\n\n")
    }
}

/// Scenes lie between lines that hold nothing but marks: `***`, `* * *`, `---`, `#`.
fn scenes(text: &str) -> impl Iterator<Item = &str> {
    let mut breaks = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let marks = line.trim();
        if !marks.is_empty() && marks.chars().all(|c| "*-#~_ ".contains(c)) {
            breaks.extend([at, at + line.len()]);
        }
        at += line.len();
    }
    breaks.push(text.len());
    let bounds: Vec<_> = breaks.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    bounds.into_iter().map(|(start, end)| &text[start..end])
}

/// Paragraphs lie between blank lines; where there are none, every line is one.
fn paragraphs(scene: &str) -> Vec<String> {
    let lines: Vec<_> = scene.trim().lines().map(str::trim).collect();
    if !lines.iter().any(|line| line.is_empty()) {
        return lines.into_iter().map(str::to_owned).collect();
    }
    let paragraphs = lines.split(|line| line.is_empty()).map(|lines| lines.join("\n"));
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tom() -> Knower {
        Knower::new("tom", "Mr Tom Miller")
    }

    #[test]
    fn a_name_is_a_word_not_a_part_of_one() {
        assert!(tom().takes_part_in("“Tom!” she called."));
        assert!(tom().takes_part_in("It was Tom’s hat."));
        assert!(!tom().takes_part_in("Tomorrow, the atom. Mr Smith came."));
    }

    #[test]
    fn of_a_chapter_a_character_knows_the_scenes_it_was_in_while_it_was_there() {
        let text = "Aria plotted alone.\n\nTom came in.\n\nThey spoke.\n\nTom left.\n\nShe laughed \
                    at him.\n\n* * *\n\nThe Warden sharpened his knife.\n\n***\n\nTom slept.";
        assert_eq!(tom().witnessed(text), "Tom came in.\n\nThey spoke.\n\nTom left.\n\nTom slept.");
        assert_eq!(tom().witnessed("Nobody was there."), "");
        assert_eq!(tom().witnessed(&text.replace('\n', "\r\n")), tom().witnessed(text));
        assert_eq!(tom().witnessed("Aria plotted.\nTom came.\nShe laughed."), "Tom came.");
    }

    fn element(type_name: &str, content: &str, metadata: &Value) -> PlotElement {
        let json = serde_json::json!({"type": type_name, "content": content, "metadata": metadata});
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn metadata_decide_who_knows() {
        let secret = serde_json::json!({"known_to": ["aria"]});
        assert!(!tom().knows(&element("scene", "Tom is hunted.", &secret), false));
        let told = serde_json::json!({"participants": ["Tom"]});
        assert!(tom().knows(&element("scene", "The fire.", &told), false));
    }

    #[test]
    fn plans_are_the_authors_and_the_world_is_everybodys() {
        let plan = element("chapter_outline", "Tom dies.", &Value::Null);
        assert!(!tom().knows(&plan, false));
        let of_him = serde_json::json!({"involved_characters": ["Tom"]});
        assert!(!tom().knows(&element("chapter_outline", "He dies.", &of_him), false));
        assert!(!tom().knows(&element("story_summary", "Aria lied.", &Value::Null), true));
        assert!(tom().knows(&element("lore", "There are two moons.", &Value::Null), true));
        assert!(!tom().knows(&element("scene", "Aria lies.", &Value::Null), false));
    }
}
