//! A turn of talk: what the pipeline (whose talk, what it feels like, recall, assembly) adds before the
//! engine gets the prompt, beside a plain completion that knows no memory; and how much RAM working
//! memory takes. The real router, SQLite, sentence embedder and tokenizer; what is left out is the model.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench that can't measure should stop"
)]

mod serving;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::Table;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rhapsode::embedding::{Embedder, EmbeddingError, LazyEmbedder};
use rhapsode::memory::{Role, Said, Talk, Whose};
use rhapsode::models;
use serde_json::{Value, json};

use self::serving::{Made, Server, median, models_dir, own_binary, percentiles, resident_bytes};

const PROSE: &str = include_str!("chapter.txt");
const PERSONA: &str = "You are Mira, who keeps the lighthouse of Skarn. You speak plainly, you never \
    left the island, and you are afraid of fire since the old lamp house burned.";
const STORED: usize = 10_000;
const TURNS: usize = 100;
const STARTS: usize = 7;
/// Given to the bench's own binary, which then only fills a database, or only talks in the sessions of
/// one, so that memory is measured in a process that did nothing before; or measures turns.
const FILL: &str = "--fill";
const TALK: &str = "--talk";
const ADDED: &str = "--added";

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    // `cargo test --benches` and `cargo bench -- --list` only want to know that it starts.
    if arguments.iter().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, FILL, folder, sessions, messages] => {
            let (sessions, messages) = (sessions.parse().unwrap(), messages.parse().unwrap());
            runtime.block_on(fill(Path::new(folder), sessions, messages));
        }
        [_, ADDED] => println!("{}", runtime.block_on(added())),
        [_, TALK, folder, sessions] => {
            let told = runtime.block_on(talk(Path::new(folder), sessions.parse().unwrap()));
            println!("{told}");
        }
        _ => {
            // `-- added` leaves the slow part out.
            if arguments.iter().all(|argument| argument != "added") {
                println!("{}", working_memory());
            }
            println!("{}", own_binary(&[ADDED]));
        }
    }
}

/// Prose in pieces of a sentence, no two alike.
struct Prose {
    sentences: Vec<String>,
    random: ChaCha8Rng,
    count: usize,
}

impl Prose {
    fn new() -> Self {
        let whole = PROSE.split_whitespace().collect::<Vec<_>>().join(" ");
        let sentences = whole.split_inclusive(['.', '!', '?', ';']).map(|it| it.trim().to_owned());
        Self { sentences: sentences.collect(), random: ChaCha8Rng::seed_from_u64(7), count: 0 }
    }

    fn next(&mut self) -> Said {
        let one = &self.sentences[self.random.random_range(0..self.sentences.len())];
        let text = format!("{one} That was on day {}.", self.count / 4);
        let role = if self.count.is_multiple_of(2) { Role::User } else { Role::Assistant };
        self.count += 1;
        Said::new(role, None, text)
    }

    fn talk(&mut self, messages: usize) -> Vec<Said> {
        (0..messages).map(|_| self.next()).collect()
    }
}

fn wire(said: &[Said]) -> Vec<Value> {
    let line = |said: &Said| {
        let role = if said.role == Role::User { "user" } else { "assistant" };
        json!({ "role": role, "content": said.text })
    };
    said.iter().map(line).collect()
}

/// What a client sends of the talk.
struct Client {
    what: &'static str,
    /// Messages before the newest.
    sends: usize,
    names_its_session: bool,
}

const CLIENTS: [Client; 4] = [
    Client { what: "the newest message, session named", sends: 0, names_its_session: true },
    Client { what: "the last 60, session named", sends: 60, names_its_session: true },
    Client { what: "the last 60, session recognised", sends: 60, names_its_session: false },
    Client { what: "all 10,001, session recognised", sends: STORED, names_its_session: false },
];

const NAMED: &str = "named";
const RECOGNISED: &str = "recognised";

/// Each turn beside a plain completion of the very prompt that it came to, and beside the newest
/// message's embedding, in turn.
async fn added() -> Table {
    let mut table = Table::new();
    table.set_header([
        "the client sends",
        "turn: p50, p90",
        "plain completion: p50",
        "added: p50, p90",
        "of that, one embedding: p50",
        "bar of added p50",
    ]);
    let real = LazyEmbedder::new(models::sentence_embedder_dir(&models_dir()));
    let embedder = Arc::new(Quick { real, is_filling: AtomicBool::new(true) });
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Arc::clone(&embedder) as _, true).await;
    let mut prose = Prose::new();
    let stored = prose.talk(STORED);
    let named = Whose::Named(NAMED.to_owned());
    let recognised = Whose::Recognised { otherwise: RECOGNISED.to_owned() };
    for whose in [named, recognised] {
        let (persona, history) = (Some(PERSONA.to_owned()), stored.clone());
        let talk = Talk { whose, persona, history, feeling: None, lore_timers: None };
        let remembered = server.memory.remember(talk, Vec::new()).await.unwrap();
        server.rest(&remembered.session).await;
    }
    embedder.is_filling.store(false, Ordering::Relaxed);
    let (mut of_named, mut of_recognised) = (stored.clone(), stored);
    for client in &CLIENTS {
        let (session, sent) = if client.names_its_session {
            (NAMED, &mut of_named)
        } else {
            (RECOGNISED, &mut of_recognised)
        };
        let (mut turns, mut plain, mut more, mut single) = (vec![], vec![], vec![], vec![]);
        for turn in 0..=TURNS {
            let newest = prose.next();
            prose.count += 1;
            let mut messages = vec![json!({ "role": "system", "content": PERSONA })];
            messages.extend(wire(&sent[sent.len() - client.sends..]));
            messages.extend(wire(std::slice::from_ref(&newest)));
            let mut body = json!({ "messages": messages });
            if client.names_its_session {
                body["user"] = session.into();
            }
            let (time, prompt) = server.ask("/v1/chat/completions", &body).await;
            server.rest(session).await;
            let prompt = prompt.into_iter().map(|it| it.content).collect::<Vec<_>>().join("\n");
            let completion = json!({ "prompt": prompt, "max_tokens": 100 });
            let (unaided, _) = server.ask("/v1/completions", &completion).await;
            let began = std::time::Instant::now();
            embedder.embed(&[newest.text.as_str()]).unwrap();
            let took = began.elapsed();
            sent.push(newest);
            sent.push(Said::new(
                Role::Assistant,
                None,
                "I know. Look at the water, and tell me what you see.".to_owned(),
            ));
            // The first warms everything up.
            if turn > 0 {
                turns.push(time);
                plain.push(unaided);
                more.push(time.saturating_sub(unaided));
                single.push(took);
            }
        }
        table.add_row([
            client.what.to_owned(),
            percentiles(&mut turns),
            median(&mut plain),
            percentiles(&mut more),
            median(&mut single),
            "25 ms".to_owned(),
        ]);
    }
    drop(server);
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let server = Server::start(folder.path(), Arc::clone(&embedder) as _, true).await;
        let newest = Said::new(Role::User, None, prose.next().text);
        let body = json!({ "user": NAMED, "messages": wire(&[newest]) });
        starts.push(server.ask("/v1/chat/completions", &body).await.0);
    }
    let first = median(&mut starts);
    table.add_row(["the newest message, the first turn after a start".to_owned(), first]);
    table
}

/// How much a process grows when so many sessions are talked in.
fn working_memory() -> Table {
    let mut table = Table::new();
    table.set_header([
        "sessions",
        "messages each",
        "in working memory: sessions, messages",
        "the process grows by",
        "bar",
    ]);
    for (sessions, messages) in [("1000", "50"), ("1000", "200")] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().to_str().unwrap();
        own_binary(&[FILL, folder, sessions, messages]);
        let told = own_binary(&[TALK, folder, sessions]);
        let (held, grown) = told.trim().split_once('|').unwrap();
        table.add_row([sessions, messages, held, grown, "under 100 MB"]);
    }
    table
}

async fn fill(folder: &Path, sessions: usize, messages: usize) {
    let server = Server::start(folder, Arc::new(Made), false).await;
    let mut prose = Prose::new();
    for session in 0..sessions {
        let name = format!("session {session}");
        let talk = Talk {
            whose: Whose::Named(name.clone()),
            persona: Some(PERSONA.to_owned()),
            history: prose.talk(messages),
            feeling: None,
            lore_timers: None,
        };
        server.memory.remember(talk, Vec::new()).await.unwrap();
        while server.memory.embed_some(&name).await.unwrap() {}
    }
}

/// Sessions and messages in working memory after one turn in each, and by how much the process grew.
async fn talk(folder: &Path, sessions: usize) -> String {
    let server = Server::start(folder, Arc::new(Made), false).await;
    let says = |session: String, text: &str| {
        let said = [Said::new(Role::User, None, text.to_owned())];
        json!({ "user": session, "messages": wire(&said) })
    };
    // What the first turns of all take (prompts, connections) is no working memory.
    for turn in 0..20 {
        let stranger = says(format!("stranger {turn}"), "Who are you?");
        server.ask("/v1/chat/completions", &stranger).await;
    }
    let before = resident_bytes();
    for session in 0..sessions {
        let asked = says(format!("session {session}"), "What did the White Rabbit say?");
        server.ask("/v1/chat/completions", &asked).await;
    }
    let grown = before.and_then(|before| Some(resident_bytes()? - before));
    let grown = grown.map_or("unknown here".to_owned(), |bytes| format!("{:.0} MB", bytes / 1e6));
    let (held, messages) = server.memory.working();
    format!("{held}, {messages}|{grown}")
}

/// The real embedder, except while the database is filled.
struct Quick {
    real: LazyEmbedder,
    is_filling: AtomicBool,
}

impl Embedder for Quick {
    fn id(&self) -> &str {
        self.real.id()
    }

    fn dimensions(&self) -> usize {
        self.real.dimensions()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        if self.is_filling.load(Ordering::Relaxed) {
            Made.embed(texts)
        } else {
            self.real.embed(texts)
        }
    }
}
