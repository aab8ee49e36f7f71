//! The database: one SQLite file in WAL mode. This room opens it and brings it up to date; the SQL of
//! a domain lies with its domain.
//!
//! Migrations only go forward. A file of a later version is refused, never touched.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// In order; `user_version` counts how many have run. Never edit one that was released: append.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_receipts.sql"),
    include_str!("migrations/0002_distillations.sql"),
    include_str!("migrations/0003_sessions.sql"),
    include_str!("migrations/0004_accounts.sql"),
    include_str!("migrations/0005_personas.sql"),
    include_str!("migrations/0006_companions.sql"),
];
const FILE: &str = "rhapsode.db";
/// Prepared statements kept by each connection.
const STATEMENTS: usize = 64;
/// Connections that only read.
const READERS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the folder {path} can't be made: {source}; set DB_PATH to one that can be written")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} was written by a later version of Rhapsode (schema {found}, this one knows {known}); use that version, or another DB_PATH"
    )]
    FromTheFuture { path: PathBuf, found: u32, known: u32 },
    #[error("{path} can't be used: {source}. {}", what_to_do(source))]
    Unusable { path: PathBuf, source: rusqlite::Error },
    #[error("the database failed: {source}. {}", what_to_do(source))]
    Sqlite {
        #[from]
        source: rusqlite::Error,
    },
    #[error("what the database holds can't be read: {0}")]
    Content(#[from] serde_json::Error),
    #[error("the database's thread was lost")]
    Lost,
    #[error(
        "the database refused another request a moment ago: another program holds it, or the disk is full; ask again"
    )]
    Refused,
}

impl StoreError {
    /// Whether it may pass by itself: another program holds the file, or the disk is full. Otherwise
    /// only this request's data, or the file itself, is at fault.
    pub fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure,
        };
        if matches!(self, Self::Refused) {
            return true;
        }
        let (Self::Sqlite { source } | Self::Unusable { source, .. }) = self else { return false };
        matches!(
            source.sqlite_error_code(),
            Some(
                DatabaseBusy | DatabaseLocked | DiskFull | SystemIoFailure | CannotOpen | ReadOnly
            )
        )
    }

    /// Whether nothing that needs the database can be done, and not only what was asked.
    pub fn is_the_files(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, PermissionDenied};
        match self {
            Self::Folder { .. } | Self::FromTheFuture { .. } | Self::Unusable { .. } => true,
            Self::Sqlite { source } => matches!(
                source.sqlite_error_code(),
                Some(DatabaseCorrupt | NotADatabase | PermissionDenied)
            ),
            Self::Content(_) | Self::Lost | Self::Refused => false,
        }
    }

    /// What to do about it, without what SQLite said and where the file lies.
    pub fn advice(&self) -> String {
        match self {
            Self::Unusable { source, .. } | Self::Sqlite { source } => {
                format!("the database can't be used. {}", what_to_do(source))
            }
            Self::Refused => self.to_string(),
            Self::Folder { .. } | Self::FromTheFuture { .. } | Self::Content(_) | Self::Lost => {
                "the database can't be used. The server's log says more".to_owned()
            }
        }
    }

    /// Names the file that SQLite refused.
    fn of_file(self, path: PathBuf) -> Self {
        match self {
            Self::Sqlite { source } => Self::Unusable { path, source },
            other => other,
        }
    }
}

/// For whoever runs a server whose file SQLite refuses.
fn what_to_do(refusal: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
        PermissionDenied, ReadOnly,
    };
    match refusal.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => {
            "The file is damaged: stop the server and put a backup in its place, save what can be read \
             (`sqlite3 FILE .recover`), or move it and the files beside it away to begin anew"
        }
        Some(DatabaseBusy | DatabaseLocked) => {
            "Another program holds it: end that (another Rhapsode with this DB_PATH?), or set another \
             DB_PATH"
        }
        Some(DiskFull) => "The disk is full: make room, or set DB_PATH to a folder on another one",
        Some(ReadOnly | CannotOpen | PermissionDenied) => {
            "Set DB_PATH to a folder that can be written"
        }
        _ => "The server's log says more",
    }
}

/// A database file and the tables that belong in it.
#[derive(Clone, Debug)]
pub struct File {
    pub path: PathBuf,
    /// In order; `user_version` counts how many have run.
    pub migrations: &'static [&'static str],
}

impl File {
    /// The server's own.
    fn of_server(folder: &Path) -> Self {
        Self { path: folder.join(FILE), migrations: MIGRATIONS }
    }
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    writer: Arc<Mutex<Writer>>,
    readers: Arc<Readers>,
}

/// The connection that writes.
struct Writer {
    connection: Connection,
    /// When it last failed for a reason that may pass.
    refused_at: Option<Instant>,
}

impl Writer {
    /// What was refused to another request since this one asked, is refused to it, too: each of them
    /// would wait as long for the same answer.
    fn work<T>(
        &mut self,
        asked_at: Instant,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.refused_at.is_some_and(|refused_at| refused_at >= asked_at) {
            return Err(StoreError::Refused);
        }
        let done = work(&mut self.connection);
        if done.as_ref().is_err_and(StoreError::may_pass) {
            self.refused_at = Some(Instant::now());
        }
        done
    }
}

/// Connections that only read: they wait neither for what is being written nor for each other.
struct Readers {
    idle: Mutex<Vec<Connection>>,
    /// As many as there are connections.
    places: Arc<Semaphore>,
}

/// A connection of the readers', which goes back to them.
struct Reader {
    connection: Option<Connection>,
    readers: Arc<Readers>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.readers.locked().extend(self.connection.take());
    }
}

impl Readers {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let mut idle = Vec::new();
        for _ in 0..READERS {
            let reader = Connection::open(path)?;
            reader.pragma_update(None, "query_only", true)?;
            reader.busy_timeout(Duration::from_secs(1))?;
            reader.set_prepared_statement_cache_capacity(STATEMENTS);
            idle.push(reader);
        }
        Ok(Self { idle: Mutex::new(idle), places: Arc::new(Semaphore::new(READERS as usize)) })
    }

    async fn take(self: &Arc<Self>) -> Result<Reader, StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| StoreError::Lost)?;
        let connection = self.locked().pop();
        Ok(Reader { connection, readers: Arc::clone(self), _place: place })
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Opens or creates the server's file in this folder.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_file(&File::of_server(folder))
    }

    /// Opens or creates a file, and the folder it lies in.
    pub fn open_file(file: &File) -> Result<Self, StoreError> {
        let folder = file.path.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder)
            .map_err(|source| StoreError::Folder { path: folder.to_owned(), source })?;
        Self::connect(file).map_err(|error| error.of_file(file.path.clone()))
    }

    fn connect(File { path, migrations }: &File) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // Acknowledged means durable: WAL's default would lose the last commits to a power cut.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // What is deleted is overwritten, not just given free. Costs a write of each page that empties.
        connection.pragma_update(None, "secure_delete", true)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        migrate(&mut connection, path, migrations)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self {
            writer: Arc::new(Mutex::new(Writer { connection, refused_at: None })),
            readers: Arc::new(Readers::open(path)?),
        })
    }

    /// Looks at the server's file in this folder and changes nothing; tells what [`Store::open`]
    /// would find.
    pub fn inspect(folder: &Path) -> Result<String, StoreError> {
        Self::inspect_file(&File::of_server(folder))
    }

    /// Looks at a file and changes nothing; tells what [`Store::open_file`] would find.
    pub fn inspect_file(file: &File) -> Result<String, StoreError> {
        let path = file.path.clone();
        if !path.exists() {
            return Ok(format!("{} will be made", path.display()));
        }
        let found = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|connection| version(&connection))
            .map_err(|error| StoreError::from(error).of_file(path.clone()))?;
        let known = newest(file.migrations);
        match found.cmp(&known) {
            Ordering::Greater => Err(StoreError::FromTheFuture { path, found, known }),
            Ordering::Equal => Ok(path.display().to_string()),
            Ordering::Less => {
                Ok(format!("{} will be brought from schema {found} to {known}", path.display()))
            }
        }
    }

    /// Runs `work` on the connection that writes, off the async threads.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (writer, asked_at) = (Arc::clone(&self.writer), Instant::now());
        let working = tokio::task::spawn_blocking(move || {
            writer.lock().unwrap_or_else(PoisonError::into_inner).work(asked_at, work)
        });
        working.await.map_err(|_| StoreError::Lost)?
    }

    /// Runs `work` on this thread: for what a server must have before it starts.
    pub fn run_now<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.work(Instant::now(), work)
    }

    /// Like [`Self::run`], for work that touches pages all over the file; it may take 64 MiB of RAM
    /// meanwhile, where the usual cache would write the same pages again and again.
    pub async fn run_large<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(|connection| {
            // Negative sizes are KiB; SQLite's own default is the second.
            connection.pragma_update(None, "cache_size", -65_536)?;
            let done = work(connection);
            connection.pragma_update(None, "cache_size", -2_000)?;
            done
        })
        .await
    }

    /// Like [`Self::run`], for what only reads; it doesn't wait for writers.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut reader = self.readers.take().await?;
        let working = tokio::task::spawn_blocking(move || {
            reader.connection.as_mut().map_or(Err(StoreError::Lost), work)
        });
        working.await.map_err(|_| StoreError::Lost)?
    }

    /// Brings all that was written into the database file and empties the log beside it, so that
    /// what was deleted can be read in neither. Waits for whoever reads or writes.
    pub async fn settle(&self) -> Result<(), StoreError> {
        // Nobody may be reading pages of the log meanwhile.
        let nobody_reads = self.readers.places.acquire_many(READERS).await;
        let _nobody_reads = nobody_reads.map_err(|_| StoreError::Lost)?;
        self.run(|connection| {
            let is_busy: bool =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if is_busy {
                tracing::warn!("another program holds the database open; its log can't be emptied");
            }
            Ok(())
        })
        .await
    }
}

fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let known = newest(migrations);
    if found > known {
        return Err(StoreError::FromTheFuture { path: path.to_owned(), found, known });
    }
    for migration in migrations.iter().skip(found as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn newest(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_earlier_version_is_brought_up_to_date() {
        for earlier in 0..=MIGRATIONS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            let path = Path::new("memory");
            migrate(&mut connection, path, &MIGRATIONS[..earlier]).unwrap();
            migrate(&mut connection, path, MIGRATIONS).unwrap();
            assert_eq!(version(&connection).unwrap(), newest(MIGRATIONS));
        }
    }

    #[test]
    fn a_database_of_a_later_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let file = Connection::open(folder.path().join(FILE)).unwrap();
        file.pragma_update(None, "user_version", 999).unwrap();
        for error in [
            Store::open(folder.path()).err().unwrap(),
            Store::inspect(folder.path()).err().unwrap(),
        ] {
            assert!(matches!(error, StoreError::FromTheFuture { found: 999, .. }), "{error}");
        }
    }

    #[test]
    fn looking_at_a_database_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Store::inspect(folder.path()).unwrap().contains("will be made"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        drop(Store::open(folder.path()).unwrap());
        assert!(!Store::inspect(folder.path()).unwrap().contains("will be"));
    }

    #[test]
    fn a_damaged_file_is_named_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let damaged = b"no database, but a file that somebody's disk has eaten".repeat(100);
        std::fs::write(&path, &damaged).unwrap();
        for error in [
            Store::open(folder.path()).err().unwrap(),
            Store::inspect(folder.path()).err().unwrap(),
        ] {
            let told = error.to_string();
            assert!(told.contains(&path.display().to_string()), "{told}");
            assert!(told.contains("damaged") && told.contains("backup"), "{told}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Store::open(&file.path().join("data")).err().unwrap();
        assert!(error.to_string().contains("DB_PATH"), "{error}");
    }
}
