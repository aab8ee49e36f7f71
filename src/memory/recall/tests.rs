//! The index against a naive one, and against bad input.

use proptest::prelude::*;

use super::search::Signals;
use super::*;

const DIMENSIONS: usize = 8;

/// An entry that owns what it refers to.
#[derive(Clone, Debug)]
struct Message {
    text: String,
    speaker: Option<String>,
    vector: Option<Vec<f32>>,
    window: Option<Vec<f32>>,
    emotion: Option<u8>,
    importance: f32,
}

impl Message {
    fn entry(&self) -> Entry<'_> {
        Entry {
            text: &self.text,
            speaker: self.speaker.as_deref(),
            vector: self.vector.as_deref(),
            window: self.window.as_deref(),
            emotion: self.emotion,
            importance: self.importance,
        }
    }
}

#[derive(Clone, Debug)]
struct Search {
    text: String,
    vector: Option<Vec<f32>>,
    participants: Vec<String>,
    emotion: Option<u8>,
}

impl Search {
    fn query(&self, upto: usize) -> Query<'_> {
        Query {
            text: &self.text,
            vector: self.vector.as_deref(),
            participants: &self.participants,
            upto,
            emotion: self.emotion,
        }
    }
}

fn index_of(messages: &[Message]) -> Index {
    let mut index = Index::new(DIMENSIONS);
    for message in messages {
        index.push(&message.entry());
    }
    index
}

/// Few words, so that they meet, in no order that matters.
fn text() -> impl Strategy<Value = String> {
    const WORDS: &[&str] =
        &["key", "silver", "garden", "Maria", "John's", "the", "sea?", "lost.", "keys"];
    prop_oneof![
        9 => proptest::collection::vec(proptest::sample::select(WORDS), 0..9)
            .prop_map(|words| words.join(" ")),
        1 => any::<String>(),
    ]
}

/// Near each other, so that their order hangs on small differences.
fn vector() -> impl Strategy<Value = Option<Vec<f32>>> {
    let near = proptest::collection::vec(-0.02_f32..0.02, DIMENSIONS).prop_map(|noise| {
        noise.into_iter().enumerate().map(|(n, x)| x + [1.0, 0.3][n % 2]).collect()
    });
    let any = proptest::collection::vec(any::<f32>(), DIMENSIONS - 1..=DIMENSIONS);
    proptest::option::weighted(0.8, prop_oneof![9 => near, 1 => any])
}

fn speaker() -> impl Strategy<Value = Option<String>> {
    let names = ["Maria", "John", "maria ", ""].map(str::to_owned).to_vec();
    proptest::option::of(proptest::sample::select(names))
}

fn message() -> impl Strategy<Value = Message> {
    let importance = prop_oneof![0_f32..1.0, any::<f32>()];
    let emotion = proptest::option::of(0_u8..3);
    (text(), speaker(), vector(), vector(), emotion, importance).prop_map(
        |(text, speaker, vector, window, emotion, importance)| Message {
            text,
            speaker,
            vector,
            window,
            emotion,
            importance,
        },
    )
}

fn messages(most: usize) -> impl Strategy<Value = Vec<Message>> {
    proptest::collection::vec(message(), 0..most)
}

fn search() -> impl Strategy<Value = Search> {
    let participants = vec!["Maria".to_owned(), "John".to_owned()];
    (text(), vector(), proptest::option::of(0_u8..3)).prop_map(move |(text, vector, emotion)| {
        Search { text, vector, participants: participants.clone(), emotion }
    })
}

/// Scores of all entries, without a first pass: (position, score), best first.
fn naive(index: &Index, query: &Query) -> Vec<(usize, f32)> {
    let upto = query.upto.min(index.len());
    let signals = Signals::of(index, query, upto);
    let in_numbers = index.vectors.query(query.vector);
    let cosine = |position| {
        let query = in_numbers.as_ref().unwrap();
        index.vectors.exactly(query, position)
    };
    let nearness: Vec<Option<f32>> = (0..upto)
        .map(|position| {
            in_numbers.as_ref().filter(|_| index.vectors.has(position))?;
            let before = if position > 0 { cosine(position - 1) } else { 0.0 };
            let after = if position + 1 < upto { cosine(position + 1) } else { 0.0 };
            Some(0.3 * before + cosine(position) + 0.3 * after)
        })
        .collect();
    let least = nearness.iter().flatten().copied().fold(f32::INFINITY, f32::min);
    let most = nearness.iter().flatten().copied().fold(f32::NEG_INFINITY, f32::max);
    let place = |nearness| if most > least { (nearness - least) / (most - least) } else { 0.0 };
    let mut all: Vec<_> = (0..upto)
        .filter(|position| signals.is_spoken_for(*position))
        .map(|position| (position, signals.score(position, nearness[position].map(place))))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    all
}

fn positions(hits: &[Hit]) -> Vec<usize> {
    hits.iter().map(|hit| hit.position).collect()
}

proptest! {
    #[test]
    fn a_search_finds_what_scoring_everything_finds(
        messages in messages(60), search in search(), upto in 0_usize..70, limit in 0_usize..12,
    ) {
        let index = index_of(&messages);
        let query = Query { emotion: None, ..search.query(upto) };
        let found: Vec<_> =
            index.search(&query, limit).iter().map(|hit| (hit.position, hit.score)).collect();
        let all = naive(&index, &query);
        prop_assert_eq!(&found[..], &all[..limit.min(all.len())]);
    }

    #[test]
    fn entries_cut_off_leave_no_trace(
        messages in messages(30), others in messages(30), cut in 0_usize..40, search in search(),
    ) {
        let mut index = index_of(&messages);
        index.truncate(cut);
        prop_assert_eq!(index.len(), cut.min(messages.len()));
        for other in &others {
            index.push(&other.entry());
        }
        let path: Vec<_> = messages.iter().take(cut).chain(&others).cloned().collect();
        let query = search.query(usize::MAX);
        prop_assert_eq!(index.search(&query, 9), index_of(&path).search(&query, 9));
    }

    #[test]
    fn entries_after_the_searched_ones_do_not_matter(
        messages in messages(30), upto in 0_usize..40, search in search(),
    ) {
        let whole = index_of(&messages);
        let part = index_of(&messages[..upto.min(messages.len())]);
        let query = search.query(upto);
        prop_assert_eq!(whole.search(&query, 9), part.search(&query, 9));
    }

    #[test]
    fn vectors_that_come_later_count_the_same(messages in messages(30), search in search()) {
        let mut later = Index::new(DIMENSIONS);
        for message in &messages {
            later.push(&Entry { vector: None, window: None, ..message.entry() });
        }
        for (position, message) in messages.iter().enumerate() {
            // A turn that is missing says nothing here, so it has the wrong number of components.
            let turn = message.vector.as_deref().unwrap_or_default();
            later.set_vectors(position, turn, message.window.as_deref());
        }
        let query = search.query(usize::MAX);
        prop_assert_eq!(later.search(&query, 9), index_of(&messages).search(&query, 9));
    }

    #[test]
    fn emotion_pushes_nothing_out_of_the_best_5_10_20_or_of_the_list(
        messages in messages(60), search in search(), limit in 0_usize..30,
    ) {
        let index = index_of(&messages);
        let with = index.search(&search.query(usize::MAX), limit);
        let without = index.search(&Query { emotion: None, ..search.query(usize::MAX) }, limit);
        for step in [5, 10, 20, limit] {
            let best = |hits: &[Hit]| {
                let mut best = positions(hits);
                best.truncate(step);
                best.sort_unstable();
                best
            };
            prop_assert_eq!(best(&with), best(&without));
        }
        for (hit, plain) in with.iter().zip(&without) {
            prop_assert_eq!(hit.moved_by_emotion, hit.position != plain.position);
        }
    }

    #[test]
    fn any_text_and_any_names_can_be_searched(
        text in any::<String>(), names in proptest::collection::vec(any::<String>(), 0..4),
        vector in proptest::option::of(proptest::collection::vec(any::<f32>(), 0..10)),
    ) {
        let mut index = Index::new(DIMENSIONS);
        index.push(&Entry { text: &text, vector: vector.as_deref(), ..Entry::default() });
        let vector = vector.as_deref();
        let query =
            Query { text: &text, vector, participants: &names, upto: 9, emotion: Some(1) };
        for hit in index.search(&query, 3) {
            prop_assert!(hit.score.is_finite() && hit.bm25.is_finite());
        }
        let rest = without_names(&text, &names);
        prop_assert!(rest.len() <= text.len());
    }
}

fn said(text: &str) -> Entry<'_> {
    Entry { text, ..Entry::default() }
}

fn ask<'a>(text: &'a str, participants: &'a [String]) -> Query<'a> {
    Query { text, vector: None, participants, upto: usize::MAX, emotion: None }
}

#[test]
fn the_words_of_a_question_find_the_message_that_holds_them() {
    let mut index = Index::new(0);
    for text in
        ["Good morning!", "I hid the silver key under the old oak.", "Nice.", "Shall we eat?"]
    {
        index.push(&said(text));
    }
    let hits = index.search(&ask("Where did you hide the keys?", &[]), 2);
    assert_eq!(hits[0].position, 1);
    assert!(hits[0].bm25 > 0.0 && hits[0].cosine.is_none());
}

#[test]
fn nothing_is_found_where_nothing_speaks_for_it() {
    let mut index = index_of(&[]);
    assert_eq!(index.search(&ask("anything", &[]), 3), []);
    index.push(&said("An apple."));
    index.push(&said(""));
    for text in ["", "the of", "pears"] {
        assert_eq!(index.search(&ask(text, &[]), 3), []);
    }
    assert_eq!(index.search(&ask("apples", &[]), 0), []);
    assert_eq!(index.search(&Query { upto: 0, ..ask("apples", &[]) }, 3), []);
}

#[test]
fn the_speaker_whom_the_question_names_comes_first() {
    let people = ["Maria".to_owned(), "John".to_owned()];
    let mut index = Index::new(0);
    // Between them, so that neither is the other's neighbour.
    for (text, speaker) in
        [("I have a dog.", "John"), ("Oh.", ""), ("Well.", ""), ("I have a dog.", "Maria")]
    {
        index.push(&Entry { speaker: Some(speaker), ..said(text) });
    }
    for (text, expected) in [("john's dog", 0), ("Maria's dog?", 3)] {
        let hits = index.search(&ask(text, &people), 1);
        assert_eq!(positions(&hits), [expected]);
        assert!(hits[0].speaker_named);
    }
}

#[test]
fn a_memory_of_the_present_feeling_comes_first_among_the_relevant() {
    let mut index = Index::new(0);
    for (text, emotion) in
        [("the storm", Some(3)), ("", None), ("", None), ("the storm", None), ("calm", Some(3))]
    {
        index.push(&Entry { emotion, importance: 1.0, ..said(text) });
    }
    let calm = index.search(&ask("storm", &[]), 2);
    let afraid = index.search(&Query { emotion: Some(3), ..ask("storm", &[]) }, 2);
    assert_eq!(positions(&calm), [3, 0]);
    assert_eq!(positions(&afraid), [0, 3]);
    assert!(afraid[0].moved_by_emotion && (afraid[0].emotion_factor - 1.3).abs() < 1e-6);
}

#[test]
fn huge_texts_and_many_speakers_are_taken() {
    let mut index = Index::new(0);
    let long = (0..50_000).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
    index.push(&said(&long));
    index.push(&said(&"x".repeat(1_000_000)));
    for speaker in 0..1_000 {
        index.push(&Entry { speaker: Some(&speaker.to_string()), ..said("") });
    }
    assert_eq!(index.search(&ask(&long, &[]), 1)[0].position, 0);
}

#[test]
fn memory_is_counted_and_given_back_to_later_entries() {
    let mut index = Index::new(384);
    let empty = index.bytes();
    for number in 0..1_000 {
        index.push(&said(&format!("message number {number} of a talk")));
    }
    let each = (index.bytes() - empty) / 1_000;
    assert!((768..1_100).contains(&each), "{each} bytes a message");
}
