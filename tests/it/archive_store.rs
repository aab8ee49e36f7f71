//! What every archive store promises, asked of each; and what only ChromaDB can do wrong: be away,
//! want a token, lose a collection.

use std::f32::consts::TAU;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use rhapsode::archive::{
    ArchiveStore, ArchiveStoreError, Candidate, ChromaSettings, ChromaStore, Chunk, Document,
    DocumentId, Embedded, EmbeddedStore, Meaning, Probe, Run, SentenceVectors, joined,
};
use rhapsode::clock::{Clock, Hands};
use rhapsode::config::{Config, TokenHeader};
use serde_json::{Map, json};
use tokio::net::TcpListener;

use crate::chroma::ChromaServer;

const EMBEDDER: &str = "an embedder";

/// A place for an archive that nobody else uses.
struct Place {
    /// Opens the archive there; opened twice, it is as if two processes had it.
    open: Box<dyn Fn() -> Arc<dyn ArchiveStore>>,
}

impl Place {
    fn in_a_file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock().0;
        let open = move || -> Arc<dyn ArchiveStore> {
            Arc::new(EmbeddedStore::new(folder.path().join("stories.sqlite3"), clock.clone()))
        };
        Self { open: Box::new(open) }
    }

    fn at_chroma(settings: ChromaSettings, clock: Clock) -> Self {
        let open = move || -> Arc<dyn ArchiveStore> {
            Arc::new(ChromaStore::new(settings.clone(), clock.clone()))
        };
        Self { open: Box::new(open) }
    }

    fn on_chroma() -> Self {
        Self::at_chroma(ChromaServer::shared().settings(), clock().0)
    }

    fn open(&self) -> Arc<dyn ArchiveStore> {
        (self.open)()
    }
}

/// A test for each claim, about the archive at each of the places that the expression makes.
macro_rules! contract {
    ($module:ident, $place:expr) => {
        mod $module {
            use super::Place;

            contract! { @ $place;
                staged_chunks_are_seen_by_nobody
                a_published_document_is_there_with_all_its_chunks
                staging_goes_on_where_it_stopped
                another_text_of_the_same_path_replaces
                publishing_again_changes_path_and_metadata
                what_is_removed_is_gone
                chunks_come_in_order_and_by_range
                the_nearest_by_meaning_come_with_their_cosines
                who_stops_waiting_for_a_search_harms_no_other
                words_are_found_in_any_case_and_inflection
                rare_words_count_more_than_common_ones
                candidates_are_of_the_documents_asked_for
                another_embedder_is_refused
                two_who_bring_one_text_at_once_make_one_document
                two_texts_for_one_path_at_once_leave_one
                what_is_not_ascii_comes_back_as_it_was
                whoever_is_stopped_anywhere_can_begin_anew
                sweeping_leaves_what_is_published
            }
        }
    };
    (@ $place:expr; $($claim:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $claim() {
            super::$claim($place).await;
        }
    )*};
}

contract!(embedded, Place::in_a_file());
contract!(chroma, Place::on_chroma());

fn clock() -> (Clock, Hands) {
    Clock::settable("2026-01-02T03:04:05Z".parse().unwrap())
}

/// A vector of length one, this part of a circle from the first axis.
fn direction(part: f32) -> Vec<f32> {
    vec![(part * TAU).cos(), (part * TAU).sin(), 0.0]
}

/// A document made of these pieces; the vectors of its chunks lie next to each other.
fn document(path: &str, pieces: &[&str]) -> (Document, Vec<Embedded>) {
    let text = pieces.concat();
    let (mut chunks, mut bytes, mut characters) = (Vec::new(), 0, 0);
    for (index, piece) in pieces.iter().enumerate() {
        let text = (*piece).to_owned();
        let chunk = Chunk { index, text, byte_start: bytes, char_start: characters };
        let vector = direction(index as f32 / 100.0);
        let sentences = SentenceVectors::of(&[direction(index as f32 / 10.0), vector.clone()]);
        chunks.push(Embedded { chunk, vector, sentences });
        bytes += piece.len();
        characters += piece.chars().count();
    }
    let document = Document {
        id: DocumentId::of(&text),
        file_path: path.to_owned(),
        file_name: path.rsplit('/').next().unwrap().to_owned(),
        metadata: Map::new(),
        sections: Vec::new(),
        bytes,
        characters,
        chunks: chunks.len(),
        added_at: "2026-01-02T03:04:05Z".to_owned(),
    };
    (document, chunks)
}

async fn add(store: &dyn ArchiveStore, path: &str, pieces: &[&str]) -> Document {
    let (document, chunks) = document(path, pieces);
    store.stage(&document.id, EMBEDDER, &chunks).await.unwrap();
    store.publish(&document).await.unwrap();
    document
}

async fn shown(store: &dyn ArchiveStore) -> Vec<Document> {
    store.documents().await.unwrap().iter().map(|document| (**document).clone()).collect()
}

fn probe(text: &str, part: Option<f32>) -> Probe {
    let meaning =
        part.map(|part| Meaning { embedder: EMBEDDER.to_owned(), vector: direction(part) });
    Probe { text: text.to_owned(), meaning, within: None, limit: 10 }
}

/// In the order of documents and chunks.
async fn found(store: &dyn ArchiveStore, probe: &Probe) -> Vec<Candidate> {
    let mut found = store.candidates(probe).await.unwrap().found;
    found.sort_by(|a, b| (&a.document, a.index).cmp(&(&b.document, b.index)));
    found
}

fn places(found: &[Candidate]) -> Vec<(DocumentId, usize)> {
    found.iter().map(|it| (it.document.clone(), it.index)).collect()
}

async fn staged_chunks_are_seen_by_nobody(place: Place) {
    let store = place.open();
    assert_eq!(shown(&*store).await, []);
    assert_eq!(found(&*store, &probe("fox", Some(0.0))).await, []);
    let (staged, chunks) = document("a.txt", &["The fox ", "ran."]);
    store.stage(&staged.id, EMBEDDER, &chunks).await.unwrap();
    assert_eq!(shown(&*store).await, []);
    assert_eq!(found(&*store, &probe("fox", Some(0.0))).await, []);
    let other = add(&*store, "b.txt", &["A fox slept."]).await;
    for probe in [probe("fox", Some(0.0)), probe("fox", None), probe("", Some(0.0))] {
        assert_eq!(places(&found(&*store, &probe).await), [(other.id.clone(), 0)]);
        let one = Probe { limit: 1, ..probe };
        assert_eq!(places(&found(&*store, &one).await), [(other.id.clone(), 0)], "{one:?}");
        let within = Probe { within: Some(vec![staged.id.clone()]), ..one };
        assert_eq!(found(&*store, &within).await, []);
    }
}

async fn a_published_document_is_there_with_all_its_chunks(place: Place) {
    let store = place.open();
    let first = add(&*store, "b/first.txt", &["One ", "two ", "three."]).await;
    let second = add(&*store, "a/second.txt", &["Four."]).await;
    for store in [store, place.open()] {
        assert_eq!(shown(&*store).await, [second.clone(), first.clone()]);
        let chunks = store.chunks(&first.id, 0, usize::MAX).await.unwrap();
        assert_eq!(joined(&chunks), "One two three.");
        assert_eq!(found(&*store, &probe("", Some(0.0))).await.len(), 4);
    }
}

async fn staging_goes_on_where_it_stopped(place: Place) {
    let (document, chunks) = document("a.txt", &["One ", "two ", "three ", "four."]);
    let store = place.open();
    assert_eq!(store.staged(&document.id).await.unwrap(), 0);
    store.stage(&document.id, EMBEDDER, &chunks[..1]).await.unwrap();
    store.stage(&document.id, EMBEDDER, &chunks[1..3]).await.unwrap();
    let store = place.open();
    let staged = store.staged(&document.id).await.unwrap();
    assert_eq!(staged, 3);
    // Some come twice.
    store.stage(&document.id, EMBEDDER, &chunks[1..]).await.unwrap();
    assert_eq!(store.staged(&document.id).await.unwrap(), 4);
    store.publish(&document).await.unwrap();
    assert_eq!(store.staged(&document.id).await.unwrap(), 4);
    let stored = store.chunks(&document.id, 0, 10).await.unwrap();
    assert_eq!(stored, chunks.into_iter().map(|it| it.chunk).collect::<Vec<_>>());
}

async fn another_text_of_the_same_path_replaces(place: Place) {
    let store = place.open();
    let old = add(&*store, "a.txt", &["The fox ", "ran."]).await;
    let kept = add(&*store, "b.txt", &["The fox slept."]).await;
    let new = add(&*store, "a.txt", &["The fox walked."]).await;
    assert_eq!(shown(&*store).await, [new.clone(), kept.clone()]);
    let mut expected = vec![(new.id, 0), (kept.id, 0)];
    expected.sort();
    assert_eq!(places(&found(&*store, &probe("fox", Some(0.0))).await), expected);
    assert_eq!(store.staged(&old.id).await.unwrap(), 0);
    // And back again.
    let old = add(&*store, "a.txt", &["The fox ", "ran."]).await;
    assert_eq!(shown(&*store).await[0], old);
}

async fn publishing_again_changes_path_and_metadata(place: Place) {
    let store = place.open();
    let mut document = add(&*store, "a.txt", &["The fox ran."]).await;
    document.metadata.insert("tags".to_owned(), json!(["fox", { "deep": [1, null] }]));
    "b.txt".clone_into(&mut document.file_path);
    store.publish(&document).await.unwrap();
    assert_eq!(shown(&*store).await, [document.clone()]);
    // The path that it left is free.
    let other = add(&*store, "a.txt", &["Another."]).await;
    assert_eq!(shown(&*store).await, [other.clone(), document.clone()]);
    // It takes the other's place.
    "a.txt".clone_into(&mut document.file_path);
    store.publish(&document).await.unwrap();
    assert_eq!(shown(&*store).await, [document.clone()]);
    assert_eq!(places(&found(&*store, &probe("", Some(0.0))).await), [(document.id, 0)]);
    assert_eq!(store.staged(&other.id).await.unwrap(), 0);
}

async fn what_is_removed_is_gone(place: Place) {
    let store = place.open();
    let (staged, chunks) = document("a.txt", &["Staged."]);
    assert!(!store.remove(&staged.id).await.unwrap());
    store.stage(&staged.id, EMBEDDER, &chunks).await.unwrap();
    let kept = add(&*store, "b.txt", &["Kept."]).await;
    let gone = add(&*store, "c.txt", &["Gone ", "and gone."]).await;
    assert!(!store.remove(&staged.id).await.unwrap());
    assert!(store.remove(&gone.id).await.unwrap());
    assert!(!store.remove(&gone.id).await.unwrap());
    assert_eq!(shown(&*store).await, from_ref(&kept));
    assert_eq!(places(&found(&*store, &probe("gone", Some(0.0))).await), [(kept.id, 0)]);
    for id in [&staged.id, &gone.id] {
        assert_eq!(store.staged(id).await.unwrap(), 0);
        assert_eq!(store.chunks(id, 0, 10).await.unwrap(), []);
    }
}

async fn chunks_come_in_order_and_by_range(place: Place) {
    let pieces: Vec<String> = (0..1_000).map(|number| format!("Piece {number}. ")).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (document, chunks) = document("a.txt", &pieces);
    let store = place.open();
    // The later ones first: order is by number, not by time.
    store.stage(&document.id, EMBEDDER, &chunks[500..]).await.unwrap();
    assert_eq!(store.staged(&document.id).await.unwrap(), 0);
    store.stage(&document.id, EMBEDDER, &chunks[..500]).await.unwrap();
    store.publish(&document).await.unwrap();
    let plain: Vec<Chunk> = chunks.into_iter().map(|it| it.chunk).collect();
    for (first, end) in [(0, usize::MAX), (0, 0), (3, 4), (299, 301), (650, 990), (999, 1_001)] {
        let got = store.chunks(&document.id, first, end).await.unwrap();
        assert_eq!(got, plain[first..end.min(1_000)], "{first} to {end}");
    }
    assert_eq!(store.chunks(&document.id, 1_000, 2_000).await.unwrap(), []);
    assert_eq!(store.chunks(&document.id, 4, 3).await.unwrap(), []);
    assert_eq!(store.chunks(&DocumentId::of("nobody's"), 0, 9).await.unwrap(), []);
    let run = |id: &DocumentId, chunks| Run { document: id.clone(), chunks };
    let runs = [
        run(&document.id, 7..9),
        run(&DocumentId::of("nobody's"), 0..2),
        run(&document.id, 998..1_004),
        run(&document.id, 0..1),
    ];
    let expected = [&plain[7..9], &[], &plain[998..], &plain[..1]];
    assert_eq!(store.runs(&runs).await.unwrap(), expected);
    assert!(store.runs(&[]).await.unwrap().is_empty());
}

async fn the_nearest_by_meaning_come_with_their_cosines(place: Place) {
    let store = place.open();
    let pieces: Vec<String> = (0..100).map(|number| format!("Piece {number}. ")).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let document = add(&*store, "a.txt", &pieces).await;
    let nearest = found(&*store, &Probe { limit: 5, ..probe("", Some(0.5)) }).await;
    assert_eq!(places(&nearest), [48, 49, 50, 51, 52].map(|index| (document.id.clone(), index)));
    for candidate in &nearest {
        let expected = ((candidate.index as f32 / 100.0 - 0.5) * TAU).cos();
        let cosine = candidate.cosine.unwrap();
        assert!((cosine - expected).abs() < 1e-3, "{cosine}, not {expected}");
        assert_eq!(candidate.bm25, 0.0);
    }
    // What words find has its cosine, too, down to the opposite.
    let both = found(&*store, &Probe { limit: 1, ..probe("the piece 99", Some(0.49)) }).await;
    assert_eq!(places(&both), [49, 99].map(|index| (document.id.clone(), index)));
    let cosine = both[1].cosine.unwrap();
    assert!((cosine - (0.5 * TAU).cos()).abs() < 1e-3, "{cosine}");
    assert!(both[1].bm25 > both[0].bm25 && both[0].bm25 > 0.0, "{both:?}");
}

async fn who_stops_waiting_for_a_search_harms_no_other(place: Place) {
    let store = place.open();
    let mut expected = Vec::new();
    for number in 0..20 {
        let pieces: Vec<String> = (0..10).map(|at| format!("Piece {at} of {number}. ")).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let document = add(&*store, &format!("{number}.txt"), &pieces).await;
        expected.extend((0..10).map(|index| (document.id.clone(), index)));
    }
    expected.sort();
    // One that has to make ready for a search first.
    let store = place.open();
    let all = Probe { limit: 1_000, ..probe("piece", Some(0.5)) };
    for patience in 0..40 {
        let a_while = async {
            for _ in 0..patience {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { biased; _ = store.candidates(&all) => {} () = a_while => {} }
    }
    assert_eq!(places(&found(&*store, &all).await), expected);
}

async fn words_are_found_in_any_case_and_inflection(place: Place) {
    let store = place.open();
    let pieces = ["The HORSES galloped. ", "A seahorse swam. ", "Жёлтый ДОМ. ", "At five o'clock."];
    let document = add(&*store, "a.txt", &pieces).await;
    for (query, expected) in [
        ("Did a horse gallop?", Some(0)),
        ("galloping", Some(0)),
        ("seahorses", Some(1)),
        ("дом", Some(2)),
        ("five O'CLOCK", Some(3)),
        ("the of and", None),
        ("", None),
        ("zebra \" OR * NEAR( AND ' -", None),
    ] {
        let found = found(&*store, &probe(query, None)).await;
        let expected: Vec<_> =
            expected.map(|index| (document.id.clone(), index)).into_iter().collect();
        assert_eq!(places(&found), expected, "{query}");
        assert!(found.iter().all(|it| it.cosine.is_none() && it.bm25 > 0.0), "{found:?}");
    }
}

async fn rare_words_count_more_than_common_ones(place: Place) {
    let store = place.open();
    let mut pieces = vec!["the fox sat on a wall "; 30];
    pieces.extend(["the dragon sat on a wall ", "a bird"]);
    let document = add(&*store, "a.txt", &pieces).await;
    let found = found(&*store, &Probe { limit: 3, ..probe("a fox and a dragon", None) }).await;
    let dragon = found.iter().find(|it| it.index == 30).unwrap();
    assert_eq!(dragon.document, document.id);
    assert!(found.iter().all(|it| it.index == 30 || it.bm25 < dragon.bm25), "{found:?}");
    assert!(found.len() >= 2, "{found:?}");
}

async fn candidates_are_of_the_documents_asked_for(place: Place) {
    let store = place.open();
    let first = add(&*store, "a.txt", &["One fox."]).await;
    let second = add(&*store, "b.txt", &["Two foxes."]).await;
    let third = add(&*store, "c.txt", &["Three foxes."]).await;
    for part in [None, Some(0.0)] {
        let within = |ids: Vec<DocumentId>| Probe { within: Some(ids), ..probe("fox", part) };
        let one = within(vec![second.id.clone()]);
        assert_eq!(places(&found(&*store, &one).await), [(second.id.clone(), 0)]);
        assert_eq!(found(&*store, &within(Vec::new())).await, []);
        // Many that aren't there, one of them twice, and two that are.
        let mut many: Vec<_> =
            (0..1_000).map(|number: usize| DocumentId::of(&number.to_string())).collect();
        many.extend([first.id.clone(), third.id.clone(), first.id.clone(), many[0].clone()]);
        let mut expected = vec![(first.id.clone(), 0), (third.id.clone(), 0)];
        expected.sort();
        assert_eq!(places(&found(&*store, &within(many)).await), expected);
    }
    assert_eq!(found(&*store, &Probe { limit: 0, ..probe("fox", Some(0.0)) }).await, []);
}

async fn another_embedder_is_refused(place: Place) {
    let store = place.open();
    let document_there = add(&*store, "a.txt", &["The fox ran."]).await;
    let (other, chunks) = document("b.txt", &["Another."]);
    for store in [store, place.open()] {
        let refused = store.stage(&other.id, "another", &chunks).await.unwrap_err();
        let is_other = matches!(
            &refused,
            ArchiveStoreError::OtherEmbedder { stored, ours } if stored == EMBEDDER && ours == "another"
        );
        assert!(is_other, "{refused:?}");
        assert_eq!(store.staged(&other.id).await.unwrap(), 0);
        let meaning = Meaning { embedder: "another".to_owned(), vector: direction(0.0) };
        let asked = Probe { meaning: Some(meaning), ..probe("fox", None) };
        let refused = store.candidates(&asked).await.unwrap_err();
        assert!(matches!(refused, ArchiveStoreError::OtherEmbedder { .. }), "{refused:?}");
        // Words are anybody's.
        let found = found(&*store, &probe("fox", None)).await;
        assert_eq!(places(&found), [(document_there.id.clone(), 0)]);
    }
}

async fn two_who_bring_one_text_at_once_make_one_document(place: Place) {
    let (one, two) = (place.open(), place.open());
    let pieces: Vec<String> = (0..150).map(|number| format!("Piece {number}. ")).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (document, _) = tokio::join!(add(&*one, "a.txt", &pieces), add(&*two, "a.txt", &pieces));
    assert_eq!(shown(&*one).await, from_ref(&document));
    assert_eq!(one.staged(&document.id).await.unwrap(), 150);
    let chunks = two.chunks(&document.id, 0, usize::MAX).await.unwrap();
    assert_eq!(joined(&chunks), pieces.concat());
}

async fn two_texts_for_one_path_at_once_leave_one(place: Place) {
    let (one, two) = (place.open(), place.open());
    for round in 0..5 {
        let (first, second) = (format!("First {round}."), format!("Second {round}."));
        let texts = [[first.as_str()], [second.as_str()]];
        let (first, second) =
            tokio::join!(add(&*one, "a.txt", &texts[0]), add(&*two, "a.txt", &texts[1]));
        let left = shown(&*one).await;
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0] == first || left[0] == second, "{left:?}");
        let found = found(&*two, &probe("", Some(0.0))).await;
        assert_eq!(places(&found), [(left[0].id.clone(), 0)]);
        let chunks = one.chunks(&left[0].id, 0, 9).await.unwrap();
        assert_eq!(DocumentId::of(&joined(&chunks)), left[0].id);
    }
}

async fn what_is_not_ascii_comes_back_as_it_was(place: Place) {
    let store = place.open();
    let path = "Märchen/\"it's\"\n\t\\ %_*?' 🦊/../e\u{301}\u{200f}.txt";
    let pieces =
        ["„Ähem“, \"said\" 'she'\r\n\u{0}\u{1}", "🦊 東京へ\n\n", "\\ \u{feff}e\u{301} $contains"];
    let (mut document, chunks) = document(path, &pieces);
    document.metadata.insert("Übersicht \"q\"\n".to_owned(), json!({ "a": "🦊\u{0}" }));
    store.stage(&document.id, EMBEDDER, &chunks).await.unwrap();
    store.publish(&document).await.unwrap();
    assert_eq!(shown(&*store).await, [document.clone()]);
    let stored = store.chunks(&document.id, 0, 9).await.unwrap();
    assert_eq!(stored, chunks.into_iter().map(|it| it.chunk).collect::<Vec<_>>());
    let replaced = document.id;
    let document = add(&*store, path, &["Another."]).await;
    assert_eq!(shown(&*store).await, [document]);
    assert_eq!(store.staged(&replaced).await.unwrap(), 0);
}

async fn whoever_is_stopped_anywhere_can_begin_anew(place: Place) {
    let (document, chunks) = document("a.txt", &["The fox ", "ran ", "home."]);
    // After so many calls.
    for stop in 0..=chunks.len() + 1 {
        let store = place.open();
        add(&*store, "a.txt", &["An older text."]).await;
        for chunk in chunks.iter().take(stop) {
            store.stage(&document.id, EMBEDDER, from_ref(chunk)).await.unwrap();
        }
        if stop > chunks.len() {
            store.publish(&document).await.unwrap();
        }
        let store = place.open();
        let before = shown(&*store).await;
        assert_eq!(before.len(), 1);
        assert_eq!(before[0] == document, stop > chunks.len(), "{before:?}");
        let staged = store.staged(&document.id).await.unwrap();
        assert_eq!(staged, stop.min(chunks.len()));
        store.stage(&document.id, EMBEDDER, &chunks[staged..]).await.unwrap();
        store.publish(&document).await.unwrap();
        assert_eq!(shown(&*store).await, from_ref(&document));
        assert_eq!(found(&*store, &probe("fox", Some(0.0))).await.len(), 3);
        assert!(store.remove(&document.id).await.unwrap());
    }
}

async fn sweeping_leaves_what_is_published(place: Place) {
    let store = place.open();
    store.sweep().await.unwrap();
    let document = add(&*store, "a.txt", &["The fox ", "ran."]).await;
    store.sweep().await.unwrap();
    assert_eq!(shown(&*store).await, from_ref(&document));
    assert_eq!(store.staged(&document.id).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn chroma_forgets_after_a_week_what_was_staged_only() {
    let (clock, hands) = clock();
    let place = Place::at_chroma(ChromaServer::shared().settings(), clock);
    let store = place.open();
    let published = add(&*store, "a.txt", &["Published."]).await;
    let (given_up, chunks) = document("b.txt", &["Given ", "up."]);
    store.stage(&given_up.id, EMBEDDER, &chunks).await.unwrap();
    let (going_on, more) = document("c.txt", &["Goes ", "on."]);
    store.stage(&going_on.id, EMBEDDER, &more[..1]).await.unwrap();
    let day = Duration::from_hours(24);
    hands.advance(6 * day);
    store.stage(&going_on.id, EMBEDDER, &more[1..]).await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(store.staged(&given_up.id).await.unwrap(), 2);
    hands.advance(2 * day);
    store.sweep().await.unwrap();
    assert_eq!(store.staged(&given_up.id).await.unwrap(), 0);
    assert_eq!(store.staged(&going_on.id).await.unwrap(), 2);
    assert_eq!(store.staged(&published.id).await.unwrap(), 1);
    assert_eq!(shown(&*store).await, [published]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chroma_away_is_told_and_comes_back_by_itself() {
    let mut server = ChromaServer::start();
    let settings = server.settings();
    server.kill();
    let place = Place::at_chroma(settings, clock().0);
    let store = place.open();
    let told = store.documents().await.unwrap_err();
    let text = told.to_string();
    assert!(matches!(told, ArchiveStoreError::Away(_)), "{told:?}");
    for part in ["CHROMA_URL", &server.url(), "chroma run --path DIR --port"] {
        assert!(text.contains(part), "{text}");
    }
    server.restart();
    let document = add(&*store, "a.txt", &["The fox ran."]).await;
    // Away in between, and with other connections than before.
    server.kill();
    let told = store.candidates(&probe("fox", Some(0.0))).await.unwrap_err();
    assert!(matches!(told, ArchiveStoreError::Away(_)), "{told:?}");
    server.restart();
    assert_eq!(shown(&*store).await, from_ref(&document));
    // Gone and back without anybody noticing.
    server.restart();
    let found = found(&*store, &probe("fox", Some(0.0))).await;
    assert_eq!(places(&found), [(document.id, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chroma_tenants_and_databases_are_made_and_kept_apart() {
    let plain = ChromaServer::shared().settings();
    let tenant = ChromaSettings { tenant: format!("{}.tenant", plain.collection), ..plain.clone() };
    let database = ChromaSettings { database: "another_database".to_owned(), ..tenant.clone() };
    let mut documents = Vec::new();
    for settings in [&plain, &tenant, &database] {
        let store = Place::at_chroma(settings.clone(), clock().0).open();
        documents.push(add(&*store, "a.txt", &[&format!("In {}", settings.database)]).await);
    }
    assert_eq!(documents[0].id, documents[1].id);
    for (settings, document) in [plain, tenant, database].into_iter().zip(documents) {
        let store = Place::at_chroma(settings.clone(), clock().0).open();
        assert_eq!(shown(&*store).await, [document]);
        // It is where it says, by the address without detours.
        let url = format!(
            "{}/api/v2/tenants/{}/databases/{}/collections/{}",
            settings.url, settings.tenant, settings.database, settings.collection
        );
        assert_eq!(crate::support::client().get(url).send().await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chroma_collection_that_was_deleted_is_an_empty_archive() {
    let settings = ChromaServer::shared().settings();
    let place = Place::at_chroma(settings.clone(), clock().0);
    let store = place.open();
    let first = add(&*store, "a.txt", &["The fox ", "ran."]).await;
    let collections = format!(
        "{}/api/v2/tenants/default_tenant/databases/default_database/collections",
        settings.url
    );
    let url = format!("{collections}/{}", settings.collection);
    crate::support::client().delete(url).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(store.staged(&first.id).await.unwrap(), 0);
    assert_eq!(shown(&*store).await, []);
    // Its chunks are staged anew; the record that stayed does not show them.
    let (_, chunks) = document("a.txt", &["The fox ", "ran."]);
    store.stage(&first.id, "another embedder", &chunks[..1]).await.unwrap();
    assert_eq!(shown(&*store).await, []);
    assert_eq!(found(&*store, &probe("fox", None)).await, []);
    store.sweep().await.unwrap();
    store.stage(&first.id, "another embedder", &chunks).await.unwrap();
    store.publish(&first).await.unwrap();
    assert_eq!(shown(&*store).await, [first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chroma_takes_the_longest_names() {
    let settings = ChromaServer::shared().settings();
    let collection = format!("{}{}", settings.collection, "x".repeat(512))[..512].to_owned();
    let store = Place::at_chroma(ChromaSettings { collection, ..settings }, clock().0).open();
    let document = add(&*store, "a.txt", &["The fox ran."]).await;
    assert_eq!(shown(&*store).await, [document]);
}

#[tokio::test(flavor = "multi_thread")]
async fn chroma_gets_the_token_in_its_header_and_nobody_else_does() {
    // Says what it was sent, and lets nobody in.
    let refuse =
        |headers: HeaderMap| async move { (StatusCode::UNAUTHORIZED, format!("{headers:?}")) };
    let stray =
        |headers: HeaderMap| async move { (StatusCode::IM_A_TEAPOT, format!("{headers:?}")) };
    for (header, name, value) in [
        (TokenHeader::Authorization, "authorization", "Bearer hunter2"),
        (TokenHeader::XChromaToken, "x-chroma-token", "hunter2"),
    ] {
        let check = move |headers: HeaderMap| async move {
            let is_right = headers.get(name).is_some_and(|sent| sent == value);
            if is_right { refuse(headers).await } else { stray(headers).await }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(check)).await });
        let config = Config::from_pairs(&[("CHROMA_TOKEN", "hunter2")]).unwrap();
        let settings = ChromaSettings {
            url,
            token: config.archive.chroma_token,
            token_header: header,
            ..ChromaServer::shared().settings()
        };
        let told = ChromaStore::new(settings, clock().0).documents().await.unwrap_err();
        let text = told.to_string();
        assert!(matches!(told, ArchiveStoreError::Away(_)), "{told:?}");
        assert!(text.contains("CHROMA_TOKEN") && !text.contains("hunter2"), "{text}");
    }
}
