//! Texts that were shortened before, by the content of their source and all that decides what becomes
//! of it. Bounded: those unused for longest go first.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::{Distilled, Strategy};
use crate::store::{Store, StoreError};

/// Part of every key; to be raised when the same source would be shortened in another way.
const VERSION: &str = "1";

/// Names what is made of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of all these together. Each counts with its length, so that none runs into the next.
    pub(super) fn of(fields: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for field in [VERSION].iter().chain(fields) {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        Self(hash.finalize().into())
    }
}

#[derive(Clone)]
pub(super) struct Cache {
    store: Store,
    entries: usize,
}

impl Cache {
    pub(super) fn new(store: Store, entries: usize) -> Self {
        Self { store, entries }
    }

    /// For each list of keys, what is kept under the first of them that there is.
    pub(super) async fn find(
        &self,
        wanted: Vec<Vec<Key>>,
    ) -> Result<Vec<Option<Distilled>>, StoreError> {
        self.store
            .run(move |connection| {
                let transaction = connection.transaction()?;
                let found = wanted
                    .iter()
                    .map(|keys| first_of(&transaction, keys))
                    .collect::<Result<_, _>>()?;
                transaction.commit()?;
                Ok(found)
            })
            .await
    }

    pub(super) async fn save(&self, key: Key, distilled: &Distilled) -> Result<(), StoreError> {
        let body = serde_json::to_string(distilled)?;
        let entries = i64::try_from(self.entries).unwrap_or(i64::MAX);
        self.store
            .run(move |connection| {
                let transaction = connection.transaction()?;
                transaction.execute(
                    "INSERT INTO distillations (key, used, body) VALUES (?1, ?2, ?3)
                     ON CONFLICT (key) DO UPDATE SET used = excluded.used, body = excluded.body",
                    params![key.0, next_use(&transaction)?, body],
                )?;
                transaction.execute(
                    "DELETE FROM distillations WHERE used <=
                        (SELECT used FROM distillations ORDER BY used DESC LIMIT 1 OFFSET ?1)",
                    params![entries],
                )?;
                Ok(transaction.commit()?)
            })
            .await
    }

    /// Drops what was made of sources of these kinds.
    pub(super) async fn forget(&self, kinds: &[Strategy]) -> Result<(), StoreError> {
        let kinds = kinds.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        self.store
            .run(move |connection| {
                let mut statement = connection.prepare(
                    "DELETE FROM distillations WHERE body ->> '$.account.strategy' = ?1",
                )?;
                for kind in &kinds {
                    statement.execute([kind.as_str()])?;
                }
                Ok(())
            })
            .await
    }
}

fn first_of(connection: &Connection, keys: &[Key]) -> Result<Option<Distilled>, StoreError> {
    for key in keys {
        let body: Option<String> = connection
            .query_row("SELECT body FROM distillations WHERE key = ?1", [key.0], |row| row.get(0))
            .optional()?;
        // What can't be read any more is made anew, and then replaced.
        let Some(distilled) = body.and_then(|body| serde_json::from_str(&body).ok()) else {
            continue;
        };
        connection.execute(
            "UPDATE distillations SET used = ?2 WHERE key = ?1",
            params![key.0, next_use(connection)?],
        )?;
        return Ok(Some(distilled));
    }
    Ok(None)
}

/// Uses are counted, not timed: each is later than all before.
fn next_use(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .query_row("SELECT coalesce(max(used), 0) + 1 FROM distillations", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::super::{Account, Method};
    use super::*;
    use crate::tokens::TokenCount;

    fn distilled(text: &str) -> Distilled {
        Distilled {
            text: text.to_owned(),
            tokens: TokenCount::new(1),
            account: Account {
                strategy: Strategy::PlotSummary,
                method: Method::Model,
                ratio: 0.5,
                quality: 1.0,
                degraded: None,
                cached: false,
                depth: 1,
                sentences: Vec::new(),
            },
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(Key::of(&["ab", "c"]), Key::of(&["a", "bc"]));
        assert_eq!(Key::of(&["ab", "c"]), Key::of(&["ab", "c"]));
    }

    #[tokio::test]
    async fn what_was_unused_for_longest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Store::open(folder.path()).unwrap(), 2);
        let [one, two, three] = ["1", "2", "3"].map(|name| Key::of(&[name]));
        cache.save(one, &distilled("one")).await.unwrap();
        cache.save(two, &distilled("two")).await.unwrap();
        assert!(cache.find(vec![vec![one]]).await.unwrap()[0].is_some());
        cache.save(three, &distilled("three")).await.unwrap();
        let found = cache.find(vec![vec![one], vec![two], vec![three]]).await.unwrap();
        let kept: Vec<_> = found.iter().map(Option::is_some).collect();
        assert_eq!(kept, [true, false, true]);
    }

    #[tokio::test]
    async fn what_was_made_of_some_kinds_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Store::open(folder.path()).unwrap(), 10);
        let key = Key::of(&["1"]);
        cache.save(key, &distilled("one")).await.unwrap();
        cache.forget(&[Strategy::ConversationHistory]).await.unwrap();
        assert!(cache.find(vec![vec![key]]).await.unwrap()[0].is_some());
        cache.forget(&[Strategy::PlotSummary]).await.unwrap();
        assert!(cache.find(vec![vec![key]]).await.unwrap()[0].is_none());
    }

    #[tokio::test]
    async fn the_first_key_that_is_there_wins() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Store::open(folder.path()).unwrap(), 10);
        let [one, two, three] = ["1", "2", "3"].map(|name| Key::of(&[name]));
        cache.save(two, &distilled("two")).await.unwrap();
        cache.save(three, &distilled("three")).await.unwrap();
        let found = cache.find(vec![vec![one, two, three]]).await.unwrap();
        assert_eq!(found[0].as_ref().unwrap().text, "two");
    }
}
