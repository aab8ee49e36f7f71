//! What is found in LoCoMo's conversations, beside simpler ways of searching.

use std::collections::HashMap;
use std::path::Path;

use comfy_table::Table;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rhapsode::memory::recall::{Entry, Index, Query, without_names};
use serde_json::Value;

/// Best first, for a question of a talk.
type Search<'a> = &'a dyn Fn(&Talk, &Question) -> Vec<usize>;
type Embed<'a> = &'a dyn Fn(&[&str]) -> Vec<Vec<f32>>;

const CUTS: [usize; 3] = [3, 5, 10];
const SEEDS: u64 = 5;
/// LoCoMo's number for questions that ask of one speaker what the other one said.
const ADVERSARIAL: u64 = 5;

struct Talk {
    people: Vec<String>,
    turns: Vec<Turn>,
    questions: Vec<Question>,
    index: Index,
    /// As `index`, but nobody is known by name, so that nothing is gained by it.
    nameless: Index,
    /// For every seed, with emotions by chance.
    felt: Vec<Index>,
}

struct Turn {
    id: String,
    speaker: String,
    text: String,
    /// Of the text.
    vector: Vec<f32>,
    /// Of the previous text and this one.
    window: Vec<f32>,
}

struct Question {
    text: String,
    category: u64,
    /// Positions of the turns that hold the answer.
    evidence: Vec<usize>,
    vector: Vec<f32>,
    vector_without_names: Vec<f32>,
}

pub(super) fn measure(path: &Path, embed: Embed) {
    let json = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let conversations: Vec<Value> = serde_json::from_slice(&json).expect("a list of conversations");
    let talks: Vec<Talk> =
        conversations.iter().map(|conversation| Talk::of(conversation, embed)).collect();
    let questions = talks.iter().map(|talk| talk.questions.len()).sum::<usize>();
    println!(
        "{} conversations, {} turns, {questions} questions with evidence. The figure is the share \
         of a question's evidence turns that stand among the top k, averaged over the questions, in \
         %.\nTexts of turns alone, without captions of pictures and without dates. Emotion: random \
         ones (one of six for every second turn and for each question, importance from 0 to 1; not \
         what a detector would say), the worst of {SEEDS} seeds for each figure.",
        talks.len(),
        talks.iter().map(|talk| talk.turns.len()).sum::<usize>(),
    );
    println!("{}\n", results(&talks));
}

fn results(talks: &[Talk]) -> Table {
    let mut table = Table::new();
    table.set_header(["method", "R@3", "R@5", "R@10", "without adversarial: R@3", "R@5", "R@10"]);
    let mut row = |name: &str, search: Search| {
        table.add_row([vec![name.to_owned()], shown(&recall(talks, search))].concat());
    };
    row("cosine alone", &|talk, question| talk.by_cosine(&question.vector));
    row("cosine alone, names out of the query", &|talk, question| {
        talk.by_cosine(&question.vector_without_names)
    });
    row("BM25 alone", &Talk::by_words);
    row("words alone: BM25, neighbours, speaker, questions", &|talk, question| {
        found(&talk.index, &Query { vector: None, ..talk.query(question) }, 10)
    });
    row("full method without the speaker", &|talk, question| {
        found(&talk.nameless, &talk.query(question), 10)
    });
    row("full method", &|talk, question| found(&talk.index, &talk.query(question), 10));
    let worst = (0..SEEDS)
        .map(|seed| {
            recall(talks, &|talk, question| {
                let emotion = question.text.len() as u64 + seed;
                let emotion = Some(u8::try_from(emotion % 6).unwrap());
                let felt = &talk.felt[usize::try_from(seed).unwrap()];
                found(felt, &Query { emotion, ..talk.query(question) }, 10)
            })
        })
        .reduce(|a, b| std::array::from_fn(|at| f64::min(a[at], b[at])))
        .unwrap();
    table.add_row([vec!["full method, reordered by emotion".to_owned()], shown(&worst)].concat());
    table
}

fn shown(shares: &[f64; 6]) -> Vec<String> {
    shares.iter().map(|share| format!("{:.1}", 100.0 * share)).collect()
}

/// At each cut, over all questions, then over those that aren't adversarial.
fn recall(talks: &[Talk], search: Search) -> [f64; 6] {
    let (mut sums, mut counts) = ([0.0; 6], [0_usize; 6]);
    for talk in talks {
        for question in &talk.questions {
            let found = search(talk, question);
            for at in 0..6 {
                if at >= 3 && question.category == ADVERSARIAL {
                    continue;
                }
                let best = &found[..CUTS[at % 3].min(found.len())];
                let hits = question.evidence.iter().filter(|turn| best.contains(turn)).count();
                sums[at] += hits as f64 / question.evidence.len() as f64;
                counts[at] += 1;
            }
        }
    }
    std::array::from_fn(|at| sums[at] / counts[at].max(1) as f64)
}

fn found(index: &Index, query: &Query, limit: usize) -> Vec<usize> {
    index.search(query, limit).iter().map(|hit| hit.position).collect()
}

impl Talk {
    fn of(conversation: &Value, embed: Embed) -> Self {
        let talk = &conversation["conversation"];
        let name = |key: &str| talk[key].as_str().expect("a speaker").to_owned();
        let people = vec![name("speaker_a"), name("speaker_b")];
        let turns = turns(talk, embed);
        let places: HashMap<&str, usize> =
            turns.iter().enumerate().map(|(place, turn)| (turn.id.as_str(), place)).collect();
        let questions = questions(&conversation["qa"], &places, &people, embed);
        let index = index_of(&turns, true, None);
        let nameless = index_of(&turns, false, None);
        let felt = (0..SEEDS).map(|seed| index_of(&turns, true, Some(seed))).collect();
        Self { people, turns, questions, index, nameless, felt }
    }

    fn query<'a>(&'a self, question: &'a Question) -> Query<'a> {
        Query {
            text: &question.text,
            vector: Some(&question.vector_without_names),
            participants: &self.people,
            upto: usize::MAX,
            emotion: None,
        }
    }

    fn by_cosine(&self, query: &[f32]) -> Vec<usize> {
        let cosine = |turn: &Turn| super::dot(&turn.vector, query);
        best(&self.turns.iter().map(cosine).collect::<Vec<_>>())
    }

    /// By the words of the whole question, names included.
    fn by_words(&self, question: &Question) -> Vec<usize> {
        let query = Query { vector: None, participants: &[], ..self.query(question) };
        let mut scores = vec![0.0; self.turns.len()];
        for hit in self.index.search(&query, usize::MAX) {
            scores[hit.position] = hit.bm25;
        }
        best(&scores)
    }
}

fn best(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(CUTS[2]);
    order
}

fn index_of(turns: &[Turn], named: bool, seed: Option<u64>) -> Index {
    let mut random = ChaCha8Rng::seed_from_u64(seed.unwrap_or_default());
    let mut index = Index::new(super::DIMENSIONS);
    for turn in turns {
        let feels = seed.is_some() && random.random_bool(0.5);
        index.push(&Entry {
            text: &turn.text,
            speaker: Some(turn.speaker.as_str()).filter(|_| named),
            vector: Some(&turn.vector),
            window: Some(&turn.window),
            emotion: feels.then(|| random.random_range(0..6)),
            importance: random.random_range(0.0..1.0),
        });
    }
    index
}

fn turns(talk: &Value, embed: Embed) -> Vec<Turn> {
    let sessions = (1..).map_while(|number| talk.get(format!("session_{number}")));
    let of = |turn: &Value, key: &str| turn[key].as_str().unwrap_or_default().to_owned();
    let mut turns: Vec<Turn> = sessions
        .flat_map(|session| session.as_array().expect("a list of turns"))
        .map(|turn| Turn {
            id: of(turn, "dia_id"),
            speaker: of(turn, "speaker"),
            text: of(turn, "text"),
            vector: Vec::new(),
            window: Vec::new(),
        })
        .collect();
    let texts: Vec<String> = turns.iter().map(|turn| turn.text.clone()).collect();
    let before = std::iter::once("").chain(texts.iter().map(String::as_str));
    let windows: Vec<String> = before
        .zip(&texts)
        .map(|(before, text)| format!("{before}\n{text}").trim_start().to_owned())
        .collect();
    let vectors = embedded(embed, &texts).into_iter().zip(embedded(embed, &windows));
    for (turn, (vector, window)) in turns.iter_mut().zip(vectors) {
        (turn.vector, turn.window) = (vector, window);
    }
    turns
}

fn questions(
    list: &Value,
    places: &HashMap<&str, usize>,
    people: &[String],
    embed: Embed,
) -> Vec<Question> {
    let mut questions = Vec::new();
    for question in list.as_array().expect("a list of questions") {
        let named = question["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut evidence: Vec<usize> =
            named.flat_map(ids).filter_map(|id| places.get(id.as_str()).copied()).collect();
        evidence.sort_unstable();
        evidence.dedup();
        if evidence.is_empty() {
            continue;
        }
        let text = question["question"].as_str().expect("a question").to_owned();
        let category = question["category"].as_u64().unwrap_or_default();
        let (vector, vector_without_names) = (Vec::new(), Vec::new());
        questions.push(Question { text, category, evidence, vector, vector_without_names });
    }
    let texts: Vec<String> = questions.iter().map(|question| question.text.clone()).collect();
    let nameless: Vec<String> = texts.iter().map(|text| without_names(text, people)).collect();
    let vectors = embedded(embed, &texts).into_iter().zip(embedded(embed, &nameless));
    for (question, (vector, vector_without_names)) in questions.iter_mut().zip(vectors) {
        (question.vector, question.vector_without_names) = (vector, vector_without_names);
    }
    questions
}

fn embedded(embed: Embed, texts: &[String]) -> Vec<Vec<f32>> {
    embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// "D1:3; D:2:5" names D1:3 and D2:5; some are written like this.
fn ids(written: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for part in written.split(['D', ';', ',', ' ', '(', ')']) {
        let numbers: Vec<u32> = part.split(':').filter_map(|digits| digits.parse().ok()).collect();
        if let [session, turn, ..] = numbers[..] {
            ids.push(format!("D{session}:{turn}"));
        }
    }
    ids
}
