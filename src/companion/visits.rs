//! Sessions of visitors: small bots and kiosks, whose callers choose a name for each of their users.
//! A session ends when it was idle for long, and what was said in it goes with it.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::{Map, Value};

use super::records::plain;
use super::{Answering, CompanionError, Companions, Message, Page};
use crate::engine::ClientId;
use crate::memory::{self, RecordError, Role, Said, SessionView};
use crate::store::StoreError;

/// A session of a visitor with a persona.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    id: i64,
    /// What it is called on the wire.
    pub uid: String,
    /// The name that the caller chose for its user.
    pub visitor: String,
    /// The persona's key.
    pub persona: String,
    pub metadata: Map<String, Value>,
    pub messages: usize,
    /// Milliseconds since 1970.
    pub created_at: i64,
    pub used_at: i64,
}

/// How a session is begun.
#[derive(Clone, Debug)]
pub struct VisitStart {
    pub visitor: String,
    /// The persona's key.
    pub persona: String,
    pub metadata: Map<String, Value>,
    /// Whether a session is begun even where this visitor has an open one with this persona.
    pub anew: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct VisitSettings {
    /// A session ends when it was idle for so long.
    pub timeout: Duration,
    /// Open sessions of one visitor.
    pub most: usize,
}

impl VisitStart {
    /// With the persona that visitors get who name none.
    pub fn usual(visitor: String) -> Self {
        Self { visitor, persona: USUAL_PERSONA.to_owned(), metadata: Map::new(), anew: false }
    }
}

/// The persona of visitors who name none.
pub const USUAL_PERSONA: &str = "mental_health_nurse";

/// Longest name of a visitor, in characters; most bytes of metadata.
const LONGEST_NAME: usize = 200;
const MOST_METADATA: usize = 16 * 1024;

const COLUMNS: &str = "id, uid, visitor, persona, metadata, created_at, used_at";

fn visit(row: &Row<'_>) -> rusqlite::Result<Visit> {
    let metadata: String = row.get(4)?;
    Ok(Visit {
        id: row.get(0)?,
        uid: row.get(1)?,
        visitor: row.get(2)?,
        persona: row.get(3)?,
        metadata: serde_json::from_str(&metadata).unwrap_or_default(),
        messages: 0,
        created_at: row.get(5)?,
        used_at: row.get(6)?,
    })
}

/// Which session is meant.
#[derive(Clone, Debug)]
enum Meant {
    /// The one that this visitor used last.
    Newest(String),
    Session(String),
}

impl Companions {
    /// Begins a session, or goes on with the open one of this visitor and persona.
    pub async fn start_visit(&self, start: VisitStart) -> Result<Visit, CompanionError> {
        plain("user_id", &start.visitor, LONGEST_NAME)?;
        if Value::Object(start.metadata.clone()).to_string().len() > MOST_METADATA {
            let fault = format!("must have {MOST_METADATA} bytes of JSON at most");
            return Err(CompanionError::Wrong { field: "metadata", fault });
        }
        let persona = self.persona(&start.persona)?;
        self.end_expired_later();
        let (since, now) = (self.expired_before(), self.now());
        if !start.anew
            && let Some(visit) = self.go_on(start.clone(), since, now).await?
        {
            return self.counted(visit).await;
        }
        let uid = self.inner.ids.session();
        let session = memory::private(&uid);
        let said = |text| Said { role: Role::Assistant, speaker: Some(persona.name.clone()), text };
        let greeting = persona.greeting.clone().map(said);
        self.inner.memory.begin(session.clone(), greeting).await?;
        let most = self.inner.settings.visits.most;
        let added = self.change(move |connection| add(connection, &start, &uid, most, since, now));
        match added.await {
            Ok(visit) => self.counted(visit).await,
            Err(error) => {
                // Nobody would find it.
                let _ = self.inner.memory.delete_private(vec![session]).await;
                Err(error)
            }
        }
    }

    /// The visitor's open session with this persona, used now.
    async fn go_on(
        &self,
        start: VisitStart,
        since: i64,
        now: i64,
    ) -> Result<Option<Visit>, CompanionError> {
        self.change(move |connection| {
            let open = of_visitor(connection, &start.visitor, since)?;
            let Some(visit) = open.into_iter().find(|visit| visit.persona == start.persona) else {
                return Ok(None);
            };
            touch(connection, visit.id, now)?;
            Ok(find(connection, &visit.uid)?)
        })
        .await
    }

    /// The open session that this visitor used last.
    pub async fn visit(&self, visitor: String) -> Result<Visit, CompanionError> {
        self.open_visit(Meant::Newest(visitor)).await
    }

    /// An open session by its own name.
    pub async fn visit_named(&self, uid: String) -> Result<Visit, CompanionError> {
        self.open_visit(Meant::Session(uid)).await
    }

    async fn open_visit(&self, meant: Meant) -> Result<Visit, CompanionError> {
        let since = self.expired_before();
        let found = self
            .look(move |connection| {
                let found = match &meant {
                    Meant::Newest(visitor) => {
                        of_visitor(connection, visitor, since)?.into_iter().next()
                    }
                    Meant::Session(uid) => find(connection, uid)?,
                };
                Ok(found.filter(|visit| visit.used_at > since))
            })
            .await?;
        self.counted(found.ok_or(CompanionError::NoSession)?).await
    }

    /// The newest messages of the visitor's session.
    pub async fn visit_history(
        &self,
        visitor: String,
        page: Page,
    ) -> Result<(Visit, SessionView), CompanionError> {
        let visit = self.visit(visitor).await?;
        match self.inner.memory.session(memory::private(&visit.uid), page.as_usize(), false).await {
            Ok(view) => Ok((visit, view)),
            Err(RecordError::NoSession) => Err(CompanionError::NoSession),
            Err(error) => Err(error.into()),
        }
    }

    /// Says something in an open session.
    pub async fn say_in_visit(
        &self,
        client: ClientId,
        visit: &Visit,
        message: Message,
    ) -> Result<Answering, CompanionError> {
        let persona = self.persona(&visit.persona)?;
        let (id, now) = (visit.id, self.now());
        self.change(move |connection| Ok(touch(connection, id, now)?)).await?;
        self.say_as_visitor(client, visit.uid.clone(), persona, &message).await
    }

    /// Ends all sessions of the visitor, and tells how many those were.
    pub async fn end_visits(&self, visitor: String) -> Result<usize, CompanionError> {
        let since = self.expired_before();
        let ended =
            self.look(move |connection| Ok(of_visitor(connection, &visitor, since)?)).await?;
        let count = ended.len();
        if count == 0 {
            return Err(CompanionError::NoSession);
        }
        self.end(ended).await?;
        Ok(count)
    }

    /// Visitors with open sessions, the most recently active first.
    pub async fn active_visitors(&self) -> Result<Vec<String>, CompanionError> {
        let since = self.expired_before();
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT visitor FROM visits WHERE used_at > ?1
                 GROUP BY visitor ORDER BY max(used_at) DESC, visitor",
            )?;
            let rows = statement.query_map([since], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Ends the sessions that were idle for too long.
    pub async fn end_expired(&self) -> Result<(), CompanionError> {
        let since = self.expired_before();
        let expired = self
            .look(move |connection| {
                let sql = format!("SELECT {COLUMNS} FROM visits WHERE used_at <= ?1");
                let mut statement = connection.prepare_cached(&sql)?;
                let rows = statement.query_map([since], visit)?;
                Ok(rows.collect::<Result<Vec<_>, _>>()?)
            })
            .await?;
        self.end(expired).await
    }

    /// The same, beside what is going on.
    fn end_expired_later(&self) {
        let companions = self.clone();
        self.inner.chat.tasks.spawn(async move {
            // Somebody who is at it sees to these, too.
            let Ok(_only_one) = companions.inner.ending.try_lock() else { return };
            if let Err(error) = companions.end_expired().await {
                tracing::warn!("expired sessions couldn't be ended: {error}");
            }
        });
    }

    /// What was said goes first: whatever comes between, the rest is found again.
    async fn end(&self, visits: Vec<Visit>) -> Result<(), CompanionError> {
        let companions = self.clone();
        self.to_the_end(async move {
            let sessions = visits.iter().map(|visit| memory::private(&visit.uid)).collect();
            companions.inner.memory.delete_private(sessions).await?;
            companions
                .change(move |connection| {
                    for visit in visits {
                        connection.execute("DELETE FROM visits WHERE id = ?1", [visit.id])?;
                    }
                    Ok(())
                })
                .await
        })
        .await
    }

    fn expired_before(&self) -> i64 {
        let timeout = self.inner.settings.visits.timeout.as_millis();
        self.now().saturating_sub(i64::try_from(timeout).unwrap_or(i64::MAX))
    }

    async fn counted(&self, mut visit: Visit) -> Result<Visit, CompanionError> {
        let session = memory::private(&visit.uid);
        visit.messages =
            self.look(move |connection| Ok(memory::length_of(connection, &session)?)).await?;
        Ok(visit)
    }
}

/// Those used since, the most recently used first.
fn of_visitor(
    connection: &Connection,
    visitor: &str,
    since: i64,
) -> Result<Vec<Visit>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM visits WHERE visitor = ?1 AND used_at > ?2
         ORDER BY used_at DESC, id DESC"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![visitor, since], visit)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn add(
    connection: &Connection,
    start: &VisitStart,
    uid: &str,
    most: usize,
    since: i64,
    now: i64,
) -> Result<Visit, CompanionError> {
    if of_visitor(connection, &start.visitor, since)?.len() >= most {
        return Err(CompanionError::TooManySessions { name: start.visitor.clone(), most });
    }
    let metadata = Value::Object(start.metadata.clone()).to_string();
    connection.execute(
        "INSERT INTO visits (uid, visitor, persona, metadata, created_at, used_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        params![uid, start.visitor, start.persona, metadata, now],
    )?;
    find(connection, uid)?.ok_or(CompanionError::NoSession)
}

fn find(connection: &Connection, uid: &str) -> Result<Option<Visit>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM visits WHERE uid = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([uid], visit).optional()?)
}

fn touch(connection: &Connection, id: i64, now: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE visits SET used_at = max(used_at, ?2) WHERE id = ?1")?
        .execute([id, now])?;
    Ok(())
}
