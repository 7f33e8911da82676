//! Opening the database: making it, migrating it, and putting it aside where it is damaged.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, ErrorCode};

use crate::{History, HistoryError};

/// The tables, version by version: the database says how many of these it has been through. `name` is the path of a file.
const MIGRATIONS: &[&str] = &[
    r"
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('dictation', 'file')),
    state TEXT NOT NULL CHECK (state IN ('recording', 'transcribing', 'done', 'failed', 'recovered')),
    started_ms INTEGER NOT NULL,
    length_ms INTEGER,
    text TEXT NOT NULL DEFAULT '',
    edited TEXT,
    failure TEXT,
    name TEXT,
    model TEXT,
    device TEXT,
    language TEXT,
    application TEXT,
    waited_ms INTEGER,
    pinned INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    journal TEXT,
    sound TEXT,
    sound_bytes INTEGER NOT NULL DEFAULT 0,
    shown TEXT GENERATED ALWAYS AS (coalesce(edited, text)) VIRTUAL
) STRICT;
CREATE INDEX entries_by_time ON entries (started_ms, id);
CREATE VIRTUAL TABLE words USING fts5 (shown, content = 'entries', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2');
CREATE TRIGGER words_of_new AFTER INSERT ON entries BEGIN
    INSERT INTO words (rowid, shown) VALUES (new.id, coalesce(new.edited, new.text));
END;
CREATE TRIGGER words_of_old AFTER DELETE ON entries BEGIN
    INSERT INTO words (words, rowid, shown) VALUES ('delete', old.id, coalesce(old.edited, old.text));
END;
CREATE TRIGGER words_of_changed AFTER UPDATE OF text, edited ON entries BEGIN
    INSERT INTO words (words, rowid, shown) VALUES ('delete', old.id, coalesce(old.edited, old.text));
    INSERT INTO words (rowid, shown) VALUES (new.id, coalesce(new.edited, new.text));
END;
",
    "ALTER TABLE entries ADD COLUMN raw TEXT",
    "ALTER TABLE entries ADD COLUMN fault TEXT",
];

/// Columns that a damaged database is asked for. All have been there since the first version.
const COLUMNS: &str = "id, kind, state, started_ms, length_ms, text, edited, failure, name, model, device, language, \
                       application, waited_ms, pinned, deleted, journal, sound, sound_bytes";

/// An opened history.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub history: History,
    /// What was wrong with the one that was there.
    pub damage: Option<Damage>,
}

/// A damaged database, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where the damaged file lies now.
    pub kept_at: PathBuf,
    /// Entries that could be read of it.
    pub rescued: usize,
    /// Recordings whose entries could not be read, and which are entries without text now.
    pub found: usize,
}

/// Name of the database in the folder of the program's data.
const DATABASE: &str = "history.db";

impl History {
    /// Opens the history in `folder`, or begins one. A damaged one is put aside; what can be read of it is in the new one.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn open(folder: &Path, now: SystemTime) -> Result<Opened, HistoryError> {
        let unwritable = |path: &Path, error: std::io::Error| HistoryError::Unwritable {
            path: path.to_owned(),
            reason: plain(&error),
        };
        let recordings = crate::store::recordings(folder);
        DirBuilder::new().recursive(true).mode(0o700).create(&recordings).map_err(|error| unwritable(folder, error))?;
        let path = folder.join(DATABASE);
        // SQLite would let others read it; what it puts beside it has the same rights.
        let create = || OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        create().map_err(|error| unwritable(&path, error))?;
        match connect(&path) {
            Ok(connection) => Ok(Opened { history: Self::new(connection, folder.to_owned()), damage: None }),
            Err(HistoryError::Database(error)) if is_damage(&error) => {
                let kept_at = put_aside(&path, now).map_err(|error| unwritable(&path, error))?;
                create().map_err(|error| unwritable(&path, error))?;
                let history = Self::new(connect(&path)?, folder.to_owned());
                let rescued = history.rescue(&kept_at)?;
                let found = history.adopt_recordings()?;
                Ok(Opened { history, damage: Some(Damage { kept_at, rescued, found }) })
            }
            Err(error) => Err(error),
        }
    }

    /// A history that is gone with the program, where none can be kept.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn in_memory(folder: &Path) -> Result<Self, HistoryError> {
        let connection = Connection::open_in_memory()?;
        migrate(&connection, Path::new(""))?;
        Ok(Self::new(connection, folder.to_owned()))
    }

    /// Copies what can be read of a damaged database. Returns how many entries that are.
    fn rescue(&self, damaged: &Path) -> Result<usize, HistoryError> {
        let Ok(source) = Connection::open(damaged) else { return Ok(0) };
        let Ok(last) = source.query_row("SELECT max(id) FROM entries", (), |row| row.get::<_, Option<i64>>(0)) else {
            return Ok(0);
        };
        let marks = vec!["?"; COLUMNS.split(',').count()].join(", ");
        let insert = format!("INSERT OR IGNORE INTO entries ({COLUMNS}) VALUES ({marks})");
        let transaction = self.connection().unchecked_transaction()?;
        let mut rescued = 0;
        // From both ends towards what is damaged: a page that cannot be read ends a walk, not the rescue.
        for order in ["ASC", "DESC"] {
            let Ok(mut select) = source.prepare(&format!("SELECT {COLUMNS} FROM entries ORDER BY id {order}")) else {
                continue;
            };
            let Ok(mut rows) = select.query(()) else { continue };
            while let Ok(Some(row)) = rows.next() {
                let values = (0..COLUMNS.split(',').count()).map(|index| row.get::<_, rusqlite::types::Value>(index));
                let Ok(values) = values.collect::<Result<Vec<_>, _>>() else { continue };
                // A value that breaks a rule of the table is damage as well.
                rescued += self.connection().execute(&insert, rusqlite::params_from_iter(values)).unwrap_or(0);
            }
            if last.is_some_and(|last| rescued as i64 == last) {
                break;
            }
        }
        transaction.commit()?;
        Ok(rescued)
    }
}

fn connect(path: &Path) -> Result<Connection, HistoryError> {
    let connection = Connection::open(path)?;
    // Another program of ours may be writing.
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // In WAL mode a power cut then costs no more than what was written last, and the sound of that is in its journal.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    if verdict != "ok" {
        return Err(damage(verdict));
    }
    migrate(&connection, path)?;
    // The index of words is not looked at by the check before; asking for one is how it is found to be damaged.
    connection.execute("INSERT INTO words (words) VALUES ('integrity-check')", ())?;
    Ok(connection)
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), HistoryError> {
    // Two programs that start at once must not both migrate.
    let transaction = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
    let version: usize = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?
        .try_into()
        .unwrap_or(usize::MAX);
    if version > MIGRATIONS.len() {
        return Err(HistoryError::Newer { path: path.to_owned() });
    }
    if version < MIGRATIONS.len() {
        for migration in &MIGRATIONS[version..] {
            connection.execute_batch(migration)?;
        }
        connection.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    transaction.commit()?;
    Ok(())
}

fn damage(verdict: String) -> HistoryError {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    HistoryError::Database(rusqlite::Error::SqliteFailure(code, Some(verdict)))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                // A database with other tables, or without ours: of another program, or of nobody.
                || (failure.code == ErrorCode::Unknown && message.as_deref().is_some_and(|said| said.contains("no such") || said.contains("already exists")))
        }
        _ => false,
    }
}

/// Gives a damaged database and what belongs to it another name.
fn put_aside(path: &Path, now: SystemTime) -> std::io::Result<PathBuf> {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // A clock that was set back may come by the same second again.
    let mut names = (seconds..).map(|seconds| path.with_file_name(format!("history-damaged-{seconds}.db")));
    let kept_at = names.find(|name| !name.exists()).expect("BUG: seconds have no end");
    for ending in ["-wal", "-shm", ""] {
        let with = |path: &Path| {
            let mut name = OsString::from(path);
            name.push(ending);
            name
        };
        match std::fs::rename(with(path), with(&kept_at)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound || ending.is_empty() => return Err(error),
            _ => {}
        }
    }
    Ok(kept_at)
}

/// What the system said, without its number for it.
fn plain(error: &std::io::Error) -> String {
    let said = error.to_string();
    said.split(" (os error").next().unwrap_or(&said).to_owned()
}
