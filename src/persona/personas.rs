//! All that can be talked to: those of the file, in its order, then the imported cards. A key of the
//! file hides a card of the same key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::set::{FileSet, Running};
use super::{CardFile, CardFormat, Persona, PersonaError, card, key, rows};
use crate::clock::Clock;
use crate::prompts::Prompts;
use crate::store::{Store, StoreError};

/// Cards that are imported at most: all of them lie in memory.
const MOST_CARDS: usize = 1_000;
/// Files that are read at once; each may unpack to far more than it is.
const MOST_READ: usize = 2;

/// Every persona. Cheap to clone.
#[derive(Clone)]
pub struct Personas(Arc<Inner>);

struct Inner {
    set: FileSet,
    cards: Mutex<BTreeMap<String, Arc<Persona>>>,
    /// Held while cards are changed, so that database and memory agree.
    changing: tokio::sync::Mutex<()>,
    reading: Arc<Semaphore>,
    store: Option<Store>,
    prompts: Arc<Prompts>,
    clock: Clock,
}

/// A card that was imported.
#[derive(Debug)]
pub struct Imported {
    pub persona: Arc<Persona>,
    /// What of the card can't be used.
    pub warnings: Vec<String>,
}

impl Personas {
    /// Reads the file (`None`: `personas.yaml` in the working folder, else the shipped one) and the
    /// cards in the database.
    pub fn open(
        file: Option<PathBuf>,
        store: Option<Store>,
        prompts: Arc<Prompts>,
        clock: Clock,
    ) -> Result<Self, PersonaError> {
        let set = FileSet::open(file, &clock)?;
        let cards = match &store {
            Some(store) => store.run_now(|connection| stored_cards(connection, &prompts))?,
            None => BTreeMap::new(),
        };
        Ok(Self(Arc::new(Inner {
            set,
            cards: Mutex::new(cards),
            changing: tokio::sync::Mutex::new(()),
            reading: Arc::new(Semaphore::new(MOST_READ)),
            store,
            prompts,
            clock,
        })))
    }

    /// Looks at the file so often, and not once a second.
    #[must_use]
    pub fn look_every(self, every: Duration) -> Self {
        self.0.set.look_every(every);
        self
    }

    /// Looks at the file alone, and tells what is there.
    pub fn inspect(file: Option<PathBuf>) -> Result<String, PersonaError> {
        let clock = Clock::system();
        let set = FileSet::open(file, &clock)?;
        let count = set.now(&clock).personas().len();
        Ok(if set.is_shipped() {
            format!("{count} personas, as shipped")
        } else {
            format!("{count} personas in {}", set.path().display())
        })
    }

    pub fn get(&self, key: &str) -> Option<Arc<Persona>> {
        let of_file = self.set().find(key).cloned();
        of_file.or_else(|| self.cards().get(key).cloned())
    }

    /// In the file's order, then cards by key.
    pub fn all(&self) -> Vec<Arc<Persona>> {
        let mut all = self.set().personas().to_vec();
        let cards: Vec<_> = self.cards().values().cloned().collect();
        let is_free = |card: &Arc<Persona>| !all.iter().any(|persona| persona.key == card.key);
        let cards: Vec<_> = cards.into_iter().filter(is_free).collect();
        all.extend(cards);
        all
    }

    /// Why the file of personas, as it is now, is not in force; the set before it is.
    pub fn error(&self) -> Option<String> {
        self.set().error().map(str::to_owned)
    }

    /// Whether it is a card, which can be replaced and removed.
    pub fn is_imported(&self, key: &str) -> bool {
        self.set().find(key).is_none() && self.cards().contains_key(key)
    }

    /// Stores a card as it came and makes a persona of it. Without a key its name makes one.
    pub async fn import(
        &self,
        bytes: Vec<u8>,
        key: Option<String>,
        replace: bool,
    ) -> Result<Imported, PersonaError> {
        let store = self.0.store.clone().ok_or(PersonaError::NoDatabase)?;
        if key.as_ref().is_some_and(|key| !key::is_valid(key)) {
            return Err(PersonaError::BadKey);
        }
        let prompts = Arc::clone(&self.0.prompts);
        let permit = Arc::clone(&self.0.reading).acquire_owned();
        let permit = permit.await.map_err(|_| PersonaError::Lost)?;
        // Large files take a while.
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let file = CardFile::read(bytes)?;
            let (persona, warnings) = card::persona(&file, key, &prompts)?;
            Ok::<_, PersonaError>((file, persona, warnings))
        });
        let (file, persona, warnings) = reading.await.map_err(|_| PersonaError::Lost)??;
        let _changing = self.0.changing.lock().await;
        let key = persona.key.clone();
        if self.set().find(&key).is_some() {
            return Err(PersonaError::OfTheFile(key));
        }
        let is_full = {
            let cards = self.cards();
            cards.len() >= MOST_CARDS && !cards.contains_key(&key)
        };
        if is_full {
            return Err(PersonaError::TooMany { most: MOST_CARDS });
        }
        let (stored, now) = (key.clone(), self.0.clock.now().as_millisecond());
        let is_written = store
            .run(move |connection| rows::put(connection, &stored, &file, now, replace))
            .await?;
        if !is_written {
            return Err(PersonaError::Exists(key));
        }
        let persona = Arc::new(persona);
        self.cards().insert(key, Arc::clone(&persona));
        Ok(Imported { persona, warnings })
    }

    /// The card as it came, or in another format; a persona of the file as a card made of it.
    pub async fn export(
        &self,
        key: &str,
        format: Option<CardFormat>,
    ) -> Result<CardFile, PersonaError> {
        let persona = self.get(key).ok_or_else(|| PersonaError::NoPersona(key.to_owned()))?;
        let stored = if self.is_imported(key) { self.stored(key).await? } else { None };
        let writing = tokio::task::spawn_blocking(move || {
            let file = stored.unwrap_or_else(|| card::of_persona(&persona));
            match format {
                Some(format) => file.in_format(format),
                None => Ok(file),
            }
        });
        Ok(writing.await.map_err(|_| PersonaError::Lost)??)
    }

    async fn stored(&self, key: &str) -> Result<Option<CardFile>, PersonaError> {
        let store = self.0.store.as_ref().ok_or(PersonaError::NoDatabase)?;
        let key = key.to_owned();
        Ok(store.read(move |connection| rows::find(connection, &key)).await?)
    }

    /// Takes an imported persona away.
    pub async fn remove(&self, key: &str) -> Result<(), PersonaError> {
        let _changing = self.0.changing.lock().await;
        let is_card = self.cards().contains_key(key);
        if !is_card && self.set().find(key).is_some() {
            return Err(PersonaError::OfTheFile(key.to_owned()));
        }
        let store = self.0.store.clone().ok_or(PersonaError::NoDatabase)?;
        let stored = key.to_owned();
        let was_there = store.run(move |connection| rows::remove(connection, &stored)).await?;
        self.cards().remove(key);
        if was_there { Ok(()) } else { Err(PersonaError::NoPersona(key.to_owned())) }
    }

    /// The file's, as it is now.
    fn set(&self) -> Arc<Running> {
        self.0.set.now(&self.0.clock)
    }

    fn cards(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Persona>>> {
        self.0.cards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A persona of each stored card. They are read one by one: their pictures may be large.
fn stored_cards(
    connection: &Connection,
    prompts: &Prompts,
) -> Result<BTreeMap<String, Arc<Persona>>, StoreError> {
    let mut cards = BTreeMap::new();
    for key in rows::keys(connection)? {
        let Some(file) = rows::find(connection, &key)? else { continue };
        match card::persona(&file, Some(key.clone()), prompts) {
            Ok((persona, _)) => {
                cards.insert(key, Arc::new(persona));
            }
            Err(error) => tracing::warn!(key, "a stored card can't be used: {error}"),
        }
    }
    Ok(cards)
}
