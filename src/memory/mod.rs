//! What is remembered of talks. Three tiers: working memory in RAM (`live`), every message in SQLite
//! (`rows`), and vectors and words that recall searches ([`recall`]). Knows neither prompts nor
//! clients.
//!
//! Invariants:
//! - A session's name is data. Whoever sends one can't reach anything else by it.
//! - Messages form a tree. Recall, summaries and facts look along one path of it: what was swiped
//!   away, edited or deleted lies on another.
//! - What [`Memory::remember`] acknowledged is on disk. What the database refuses is kept in RAM and
//!   tried again; it is never dropped without a word.

mod edits;
mod export;
mod facts;
mod fork;
mod history;
mod import;
mod live;
mod persona;
mod place;
pub mod recall;
mod records;
mod remember;
mod rows;
mod sillytavern;
mod summaries;
mod vectors;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::live::{Live, Working, lock};
use self::recall::{Hit, Query};
use self::remember::Waiting;
use self::rows::SessionRow;
use crate::clock::Clock;
use crate::distil::Distiller;
use crate::embedding::Embedder;
use crate::emotion::{Detector, Emotion, Feeling};
use crate::ids::Ids;
use crate::store::{Store, StoreError};

pub use self::edits::{Change, FactChange, RecordError};
pub use self::export::{Export, Format, Line, timestamp};
pub use self::facts::Fact;
pub use self::fork::Forked;
pub use self::history::{Role, Said};
pub use self::import::Imported;
pub use self::place::Whose;
pub use self::records::{Found, Provenance, Record, SessionBrief, SessionView};
pub use self::remember::{Answered, Remembered, Talk};
pub use self::rows::Stored;
pub use self::summaries::{Summary, Told};

/// What the names of sessions begin with that belong to somebody: no client reaches them by name.
const PRIVATE: &str = "private/";

/// The name of a session of somebody's own.
pub fn private(name: &str) -> String {
    format!("{PRIVATE}{name}")
}

/// Whether a session of this name belongs to somebody.
pub fn is_private(name: &str) -> bool {
    name.starts_with(PRIVATE)
}

/// Names one message of any session.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct MessageId(pub i64);

/// A session's number in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(i64);

/// How much is kept where.
#[derive(Clone, Copy, Debug)]
pub struct MemorySettings {
    /// Messages of a session in working memory.
    pub working_messages: usize,
    /// Sessions in working memory.
    pub working_sessions: usize,
    /// Bytes that those may take together.
    pub working_bytes: usize,
    /// Messages that one summary tells.
    pub summarize_after: usize,
}

/// All talks. Cheap to clone.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    embedder: Arc<dyn Embedder>,
    detector: Arc<Detector>,
    distiller: Distiller,
    clock: Clock,
    ids: Ids,
    settings: MemorySettings,
    working: Working,
    /// What the database refused so far.
    waiting: Mutex<Waiting>,
    /// Held by the one who tries again.
    flushing: tokio::sync::Mutex<()>,
    /// Whether it is known that the vectors stored are the embedder's.
    has_adopted: AtomicBool,
}

/// What memory is made of.
pub struct MemoryParts {
    pub store: Store,
    pub embedder: Arc<dyn Embedder>,
    pub detector: Arc<Detector>,
    pub distiller: Distiller,
    pub clock: Clock,
    pub ids: Ids,
    pub settings: MemorySettings,
}

/// Where in memory a turn takes place.
#[derive(Clone, Debug)]
pub struct Place {
    /// The session's name.
    pub name: String,
    session: Option<SessionId>,
    end: Option<MessageId>,
    /// Messages on the path so far.
    pub length: usize,
    /// How many of the messages that were sent are among them.
    pub matched: usize,
    /// The persona that is stored.
    pub persona: Option<String>,
    /// Whether that one was set by hand, and a client's doesn't count.
    pub persona_is_set: bool,
    /// What of a lorebook lasts, as [`Talk::lore_timers`] told it.
    pub lore_timers: Option<String>,
    /// Newest messages of the path that the client didn't send, in order.
    pub earlier: Vec<Stored>,
}

impl Place {
    fn new(name: String) -> Self {
        Self {
            name,
            session: None,
            end: None,
            length: 0,
            matched: 0,
            persona: None,
            persona_is_set: false,
            lore_timers: None,
            earlier: Vec::new(),
        }
    }

    /// Position on the path of a message that was sent.
    pub fn depth_of(&self, sent: usize) -> usize {
        (self.length + sent).saturating_sub(self.matched)
    }
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Cue {
    /// The newest message.
    pub text: String,
    /// Its vector, the participants' names left out.
    pub vector: Option<Vec<f32>>,
    /// Names of who takes part.
    pub participants: Vec<String>,
    /// The emotion of the moment, unless neutral.
    pub emotion: Option<Emotion>,
    /// Only messages of the path before this position are of interest.
    pub before: usize,
    /// Most memories.
    pub limit: usize,
    /// Most pieces of the persona: where it isn't in the prompt as a whole.
    pub pieces: usize,
}

/// What came to mind.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    /// The most relevant first.
    pub memories: Vec<Recollection>,
    /// Of the same emotion as the moment's, the most relevant first.
    pub moments: Vec<Stored>,
    /// Messages pinned by hand, in order.
    pub pinned: Vec<Stored>,
    pub facts: Vec<Fact>,
    /// Pieces of the persona.
    pub persona: Vec<String>,
    /// Of the path before the position asked for, in order, without gaps or overlaps.
    pub summaries: Vec<Told>,
}

/// A message that came to mind, and how.
#[derive(Clone, Debug)]
pub struct Recollection {
    pub stored: Stored,
    pub hit: Hit,
}

/// Candidates among which emotional moments are looked for.
const CANDIDATES: usize = 24;
const MOST_MOMENTS: usize = 2;
/// Least confidence of an emotional moment.
const CERTAIN: f32 = 0.4;

/// Messages on the path that is talked on; 0 where there is no such session.
pub fn length_of(connection: &Connection, name: &str) -> Result<usize, StoreError> {
    let row = rows::session_named(connection, name)?;
    let Some((id, tip)) = row.and_then(|row| Some((row.id, row.tip?))) else { return Ok(0) };
    Ok(rows::message_by_id(connection, id, tip)?.map_or(0, |newest| newest.depth + 1))
}

impl Memory {
    pub fn new(parts: MemoryParts) -> Self {
        let MemoryParts { store, embedder, detector, distiller, clock, ids, settings } = parts;
        let working = Working::new(settings.working_sessions, settings.working_bytes);
        let inner = Inner {
            store,
            embedder,
            detector,
            distiller,
            clock,
            ids,
            settings,
            working,
            waiting: Mutex::default(),
            flushing: tokio::sync::Mutex::default(),
            has_adopted: AtomicBool::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Sessions and messages in working memory.
    pub fn working(&self) -> (usize, usize) {
        (self.inner.working.len(), self.inner.working.messages())
    }

    pub fn detector(&self) -> &Arc<Detector> {
        &self.inner.detector
    }

    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.inner.embedder
    }

    /// Whether the database can be read.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.inner.store.read(|connection| rows::count_sessions(connection).map(drop)).await
    }

    /// Sessions whose persona was set by hand, and when they began (milliseconds since 1970).
    pub async fn with_persona(&self) -> Result<Vec<(String, i64)>, StoreError> {
        self.inner.store.read(|connection| rows::with_persona(connection)).await
    }

    /// Whose talk it is if the client doesn't say.
    pub fn recognised(&self) -> Whose {
        Whose::Recognised { otherwise: self.inner.ids.session() }
    }

    /// Begins a session that its caller alone goes on with, with what is said first there, if anything.
    pub async fn begin(&self, name: String, greeting: Option<Said>) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .store
            .run(move |connection| inner.begin(connection, &name, greeting.as_ref()))
            .await
    }

    /// The messages of the path that is talked on, after this one, in order; none where there is no
    /// such session.
    pub async fn said_after(
        &self,
        name: String,
        after: MessageId,
    ) -> Result<Vec<Stored>, StoreError> {
        self.inner
            .store
            .read(move |connection| {
                let row = rows::session_named(connection, &name)?;
                let tip = row.and_then(|row| Some((row.id, row.tip?)));
                tip.map_or(Ok(Vec::new()), |(id, tip)| rows::path_after(connection, id, tip, after))
            })
            .await
    }

    /// Where a conversation belongs; stores nothing.
    pub async fn place(
        &self,
        whose: Whose,
        persona: Option<String>,
        history: Vec<Said>,
    ) -> Result<Place, StoreError> {
        let inner = Arc::clone(&self.inner);
        self.inner
            .store
            .read(move |connection| inner.place(connection, &whose, persona.as_deref(), &history))
            .await
    }

    /// What comes to mind in this place.
    pub async fn recall(&self, place: &Place, cue: Cue) -> Result<Recalled, StoreError> {
        let (Some(session), Some(end)) = (place.session, place.end) else {
            return Ok(Recalled::default());
        };
        let inner = Arc::clone(&self.inner);
        self.inner.store.read(move |connection| inner.recall(connection, session, end, &cue)).await
    }
}

impl Inner {
    fn live(&self, row: &SessionRow) -> Arc<Mutex<Live>> {
        self.working.get(row.id, || {
            let (embedder, dimensions) = (self.embedder.id(), self.embedder.dimensions());
            Live::new(row.id, embedder, dimensions, self.settings.working_messages)
        })
    }

    fn place(
        &self,
        connection: &Connection,
        whose: &Whose,
        persona: Option<&str>,
        history: &[Said],
    ) -> Result<Place, StoreError> {
        let Some(row) = session_of(connection, whose, persona, history)? else {
            return Ok(Place::new(whose.name().to_owned()));
        };
        let live = self.live(&row);
        let mut live = lock(&live);
        let known = place::follow(connection, &mut live, whose, row.tip, history)?;
        let length = live.path().len();
        let not_sent = length.saturating_sub(known.matched);
        let earlier = self.newest_before(connection, &live, not_sent)?;
        live.measure();
        drop(live);
        self.working.shrink();
        Ok(Place {
            name: row.name,
            session: Some(row.id),
            end: known.end,
            length,
            matched: known.matched,
            persona: row.persona,
            persona_is_set: row.persona_is_set,
            lore_timers: row.lore_timers,
            earlier,
        })
    }

    /// The newest messages of the path before this position, as many as working memory holds.
    fn newest_before(
        &self,
        connection: &Connection,
        live: &Live,
        position: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        let first = position.saturating_sub(self.settings.working_messages);
        let Some(last) = position.checked_sub(1).and_then(|at| live.path().get(at)) else {
            return Ok(Vec::new());
        };
        let oldest_in_ram = live.newest().front().map_or(usize::MAX, |stored| stored.depth);
        if oldest_in_ram <= first {
            let wanted = live.newest().iter().filter(|it| (first..position).contains(&it.depth));
            return Ok(wanted.cloned().collect());
        }
        rows::path_to(connection, last.id, first)
    }

    fn recall(
        &self,
        connection: &Connection,
        session: SessionId,
        end: MessageId,
        cue: &Cue,
    ) -> Result<Recalled, StoreError> {
        let Some(row) = rows::session_by_id(connection, session)? else {
            return Ok(Recalled::default());
        };
        let live = self.live(&row);
        let mut live = lock(&live);
        // Another turn of the session may have taken another path meanwhile.
        live.turn_to(connection, Some(end))?;
        live.measure();
        let query = Query {
            text: &cue.text,
            vector: cue.vector.as_deref(),
            participants: &cue.participants,
            upto: cue.before,
            emotion: cue.emotion.map(|emotion| emotion as u8),
        };
        let hits = live.index().search(&query, cue.limit);
        let mut memories = Vec::new();
        for hit in hits {
            let Some(step) = live.path().get(hit.position) else { continue };
            // The words of a message may find the one beside it, and that may be forgotten.
            let stored = rows::message_by_id(connection, session, step.id)?;
            if let Some(stored) = stored.filter(|stored| !stored.forgotten) {
                memories.push(Recollection { stored, hit });
            }
        }
        let moments = Self::moments(connection, &live, cue, &query)?;
        let persona = match cue.vector.as_deref() {
            Some(vector) if cue.pieces > 0 => {
                persona::nearest(connection, session, self.embedder.id(), vector, cue.pieces)?
            }
            _ => Vec::new(),
        };
        let on_path = |id: MessageId| live.position(id).is_some();
        Ok(Recalled {
            memories,
            moments,
            pinned: rows::pinned(connection, session)?
                .into_iter()
                .filter(|stored| stored.depth < cue.before && on_path(stored.id))
                .collect(),
            facts: facts::valid(connection, session, &on_path)?,
            persona,
            summaries: summaries::cover(connection, session, live.path(), cue.before)?,
        })
    }

    fn moments(
        connection: &Connection,
        live: &Live,
        cue: &Cue,
        query: &Query<'_>,
    ) -> Result<Vec<Stored>, StoreError> {
        let Some(emotion) = cue.emotion else { return Ok(Vec::new()) };
        let mut moments = Vec::new();
        for hit in live.index().search(query, CANDIDATES) {
            let Some(step) = live.path().get(hit.position) else { continue };
            let stored = rows::message_by_id(connection, live.session, step.id)?;
            moments.extend(
                stored.filter(|it| {
                    it.emotion == emotion && it.confidence >= CERTAIN && !it.forgotten
                }),
            );
            if moments.len() == MOST_MOMENTS {
                break;
            }
        }
        Ok(moments)
    }

    /// What a text feels like, by its words and its vector.
    fn feel(&self, text: &str, vector: Option<&[f32]>) -> Feeling {
        self.detector.feel(text, vector.map(|vector| (self.embedder.id(), vector)))
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }
}

impl Whose {
    /// The session's name, if it is a new one.
    fn name(&self) -> &str {
        match self {
            Self::Named(name) | Self::Continued(name) | Self::Recognised { otherwise: name } => {
                name
            }
        }
    }
}

fn session_of(
    connection: &Connection,
    whose: &Whose,
    persona: Option<&str>,
    history: &[Said],
) -> Result<Option<SessionRow>, StoreError> {
    match whose {
        Whose::Named(name) | Whose::Continued(name) => rows::session_named(connection, name),
        // It may have been stored by this name since; then it is this one.
        Whose::Recognised { otherwise } => match rows::session_named(connection, otherwise)? {
            Some(row) => Ok(Some(row)),
            None => place::recognise(connection, persona, history)?
                .map_or(Ok(None), |session| rows::session_by_id(connection, session)),
        },
    }
}
