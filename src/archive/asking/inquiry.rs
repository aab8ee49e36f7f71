//! A question with what it goes back to: what was asked before, and in which files.

use std::sync::Arc;

use super::AskError;
use super::earlier::{Earlier, beginning};
use super::question::{Question, Stance};
use super::wire::{AskMessage, AskOptions, AskSpeaker, check_messages};
use crate::archive::{Document, Filter};

/// Characters of what is searched for: embedders read about so many, and more words find no more.
const LONGEST_QUERY: usize = 1_000;
/// Files that one question may name.
const MOST_FILES: usize = 10;
/// Names that are near one that isn't there.
const MOST_NEAR: usize = 3;
/// Characters of a part that makes two names alike.
const SHORTEST_PART: usize = 4;
/// How alike those are at least, by Jaro and Winkler.
const NEAR: f64 = 0.75;

/// What is to be answered.
#[derive(Clone, Debug)]
pub(super) struct Inquiry {
    /// As it was asked.
    pub(super) asked: String,
    pub(super) question: Question,
    /// What it goes back to; `None` if it can be understood alone.
    pub(super) before: Option<Topic>,
    /// What was said before.
    pub(super) earlier: Earlier,
    /// Files it names, as they were written.
    pub(super) files: Vec<String>,
    /// The documents of these names; all that the filter lets through if there are none.
    pub(super) documents: Vec<Arc<Document>>,
    pub(super) filter: Filter,
    pub(super) options: AskOptions,
}

/// A question that later ones may go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) question: String,
    /// What was searched for.
    pub(super) words: String,
    /// Files it named, as they were written.
    pub(super) files: Vec<String>,
    /// What was said last about it.
    pub(super) answer: Option<String>,
}

impl Inquiry {
    /// Reads a conversation whose last message is the question; `field` is its place in the request.
    pub(super) fn read(
        mut messages: Vec<AskMessage>,
        options: AskOptions,
        field: &[&str],
    ) -> Result<Self, AskError> {
        options.check()?;
        check_messages(&messages, field)?;
        let asked = messages.pop().map(|message| message.content).unwrap_or_default();
        let question = Question::read(&asked);
        if !question.text.contains(char::is_alphanumeric) {
            let fault = "says nothing beside its source: tags; say what you want to know of it";
            return Err(AskError::wrong_at(field, fault));
        }
        let earlier = Earlier::of(messages);
        let before = topic(&earlier.said).filter(|_| question.stance != Stance::Alone);
        let files = match &before {
            Some(before) if question.files.is_empty() => before.files.clone(),
            _ => question.files.clone(),
        };
        if files.len() > MOST_FILES {
            return Err(AskError::wrong_at(
                field,
                "names more than 10 files; ask about fewer at once",
            ));
        }
        let filter = options.documents();
        let documents = Vec::new();
        Ok(Self { asked, question, before, earlier, files, documents, filter, options })
    }

    /// Finds the documents of the names; a name that no document has is refused.
    pub(super) fn resolve(&mut self, documents: &[Arc<Document>]) -> Result<(), AskError> {
        for name in &self.files {
            let found = named(name, documents);
            if found.is_empty() {
                let near = near(name, documents);
                return Err(AskError::NoFile { name: name.clone(), near });
            }
            let mut within = found;
            within.retain(|document| self.filter.lets_through(document));
            if within.is_empty() {
                return Err(AskError::FilteredOut(name.clone()));
            }
            for document in within {
                if !self.documents.iter().any(|known| known.id == document.id) {
                    self.documents.push(Arc::clone(document));
                }
            }
        }
        Ok(())
    }

    /// What was searched for before, where its sources are to be used again.
    pub(super) fn words_before(&self) -> Option<&str> {
        let before = self.before.as_ref().filter(|_| self.question.stance == Stance::FollowUp);
        before.map(|before| before.words.as_str())
    }

    /// What to search for without asking a model.
    pub(super) fn words(&self) -> String {
        let own = self.question.search_words();
        self.before.as_ref().map_or_else(|| query(&own), |before| joined(&before.words, &own))
    }
}

/// As much of it as is searched for.
fn query(words: &str) -> String {
    beginning(words, LONGEST_QUERY).to_owned()
}

/// Words before others; where both don't fit, the later ones stay.
fn joined(before: &str, own: &str) -> String {
    let own = beginning(own, LONGEST_QUERY);
    let room = LONGEST_QUERY.saturating_sub(own.chars().count() + 1);
    let before = beginning(before, room);
    if before.is_empty() { own.to_owned() } else { format!("{before} {own}") }
}

/// What the last of these messages are about.
fn topic(messages: &[AskMessage]) -> Option<Topic> {
    let mut topic: Option<Topic> = None;
    for message in messages {
        if message.role == AskSpeaker::Assistant {
            if let Some(topic) = &mut topic {
                topic.answer = Some(message.content.clone());
            }
            continue;
        }
        let Question { text, files, stance, .. } = Question::read(&message.content);
        let question = Question { text, files, stance, wants_detail: false };
        let words = query(&question.search_words());
        let next = Topic { question: question.text, words, files: question.files, answer: None };
        topic = match topic.take().filter(|_| stance != Stance::Alone) {
            None => Some(next),
            Some(before) => {
                let files = if next.files.is_empty() { before.files } else { next.files };
                Some(match stance {
                    Stance::FollowUp => Topic { files, ..before },
                    _ => Topic { files, words: joined(&before.words, &next.words), ..next },
                })
            }
        };
    }
    topic
}

/// The document at this path; else those with this path or name in letters of either case; else those
/// with this name but for the ending.
fn named<'a>(name: &str, documents: &'a [Arc<Document>]) -> Vec<&'a Arc<Document>> {
    let have = |has: &dyn Fn(&Document) -> bool| -> Vec<&'a Arc<Document>> {
        documents.iter().filter(|document| has(document)).collect()
    };
    let exact = have(&|document| document.file_path == name);
    if !exact.is_empty() {
        return exact;
    }
    let name = name.to_lowercase();
    let by_path = have(&|document| document.file_path.to_lowercase() == name);
    if !by_path.is_empty() {
        return by_path;
    }
    let by_name = have(&|document| document.file_name.to_lowercase() == name);
    if !by_name.is_empty() {
        return by_name;
    }
    have(&|document| {
        let file_name = document.file_name.to_lowercase();
        file_name.rsplit_once('.').is_some_and(|(stem, _)| stem == name)
    })
}

/// Names like this one, the likest first.
fn near(name: &str, documents: &[Arc<Document>]) -> Vec<String> {
    let name = name.to_lowercase();
    let likeness = |document: &Document| {
        let file_name = document.file_name.to_lowercase();
        let stem = file_name.rsplit_once('.').map_or(file_name.as_str(), |(stem, _)| stem);
        let is_long = |part: &str| part.chars().count() >= SHORTEST_PART;
        if is_long(stem) && name.contains(stem) || is_long(&name) && file_name.contains(&name) {
            return 1.0;
        }
        strsim::jaro_winkler(&name, &file_name).max(strsim::jaro_winkler(&name, stem))
    };
    let mut near: Vec<_> =
        documents.iter().map(|it| (likeness(it), it)).filter(|(it, _)| *it >= NEAR).collect();
    near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    near.truncate(MOST_NEAR);
    near.into_iter().map(|(_, document)| document.file_name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(content: &str) -> AskMessage {
        AskMessage { role: AskSpeaker::User, content: content.to_owned() }
    }

    fn assistant(content: &str) -> AskMessage {
        AskMessage { role: AskSpeaker::Assistant, content: content.to_owned() }
    }

    fn read(messages: Vec<AskMessage>) -> Inquiry {
        Inquiry::read(messages, AskOptions::default(), &["messages"]).unwrap()
    }

    #[test]
    fn a_follow_up_goes_back_to_the_last_question_with_words_of_its_own() {
        let inquiry = read(vec![
            user("Who forged the sword? source:\"my story.txt\""),
            assistant("Aria did [1]."),
            user("Tell me more"),
            assistant("At night [1]."),
            user("And then?"),
        ]);
        assert_eq!(inquiry.words_before(), Some("Who forged the sword?"));
        assert_eq!(inquiry.words(), "Who forged the sword? And then?");
        assert_eq!(inquiry.files, ["my story.txt"]);
        assert_eq!(inquiry.before.unwrap().answer.as_deref(), Some("At night [1]."));
    }

    #[test]
    fn a_question_that_leans_on_another_is_searched_for_with_it_and_finds_its_own_sources() {
        let inquiry =
            read(vec![user("Who is Aria?"), assistant("A smith."), user("Where was she born?")]);
        assert_eq!(inquiry.words(), "Who is Aria? Where was she born?");
        assert_eq!(inquiry.words_before(), None);
        let inquiry = read(vec![user("Who is Aria?"), user("Who banished Tom?")]);
        assert_eq!(inquiry.words(), "Who banished Tom?");
        let inquiry = read(vec![user("Tell me more")]);
        assert_eq!((inquiry.words(), inquiry.words_before()), ("Tell me more".to_owned(), None));
    }

    #[test]
    fn what_is_searched_for_has_a_length_and_keeps_the_newest_words() {
        let long = "sword ".repeat(1_600);
        let inquiry = read(vec![user(&long), assistant("Aria."), user("Why did she do it?")]);
        let words = inquiry.words();
        assert!(words.starts_with("sword sword") && words.ends_with(" Why did she do it?"));
        assert_eq!(words.chars().count(), LONGEST_QUERY);
        let inquiry = read(vec![user(&long), user(&long), user("Tell me more")]);
        assert_eq!(inquiry.words_before().unwrap().chars().count(), LONGEST_QUERY);
        assert_eq!(read(vec![user(&long)]).words().chars().count(), LONGEST_QUERY);
    }

    #[test]
    fn names_are_found_without_their_ending_and_near_ones_are_told() {
        let document = |path: &str| {
            let file_name = path.rsplit('/').next().unwrap().to_owned();
            Arc::new(Document {
                id: crate::archive::DocumentId::of(path),
                file_path: path.to_owned(),
                file_name,
                metadata: serde_json::Map::new(),
                sections: Vec::new(),
                bytes: 0,
                characters: 0,
                chunks: 0,
                added_at: String::new(),
            })
        };
        let documents = [
            document("novels/Alice.txt"),
            document("b/Alice.txt"),
            document("x.md"),
            document("X.md"),
        ];
        let paths = |name: &str| -> Vec<_> {
            named(name, &documents).into_iter().map(|it| it.file_path.as_str()).collect()
        };
        assert_eq!(paths("novels/alice.txt"), ["novels/Alice.txt"]);
        assert_eq!(paths("ALICE.TXT"), ["novels/Alice.txt", "b/Alice.txt"]);
        assert_eq!(paths("x.md"), ["x.md"]);
        assert_eq!(paths("alice"), ["novels/Alice.txt", "b/Alice.txt"]);
        assert_eq!(paths("bob"), [""; 0]);
        assert_eq!(near("alise.txt", &documents), ["Alice.txt", "Alice.txt"]);
        assert_eq!(near("frankenstein", &documents), [""; 0]);
    }
}
