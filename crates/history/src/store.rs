//! The history at work: what is asked of it, in the database's language.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::entry::{Entry, EntryId, Kind, NewEntry, State, Transcribed};
use crate::search::{self, Search};
use crate::{HistoryError, Sound, sound};

/// The user's dictations and files. Dropping it closes the database.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    folder: PathBuf,
}

/// A stretch of the list of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The newest first.
    pub entries: Vec<Entry>,
    /// How many there are on all pages.
    pub total: u64,
}

/// What is forgotten without being asked. Nothing that is pinned, and nothing whose text is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Entries older than this are deleted.
    pub keep: Option<Duration>,
    /// Recordings that take more than this are deleted, the oldest first; their text stays.
    pub most_sound_bytes: Option<u64>,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Entries with their text.
    pub entries: u64,
    /// Recordings.
    pub sounds: u64,
    /// What those recordings took.
    pub bytes: u64,
}

const SELECT: &str = "SELECT id, kind, state, started_ms, length_ms, text, edited, failure, name, model, device, language, \
                      application, waited_ms, pinned, journal, sound, raw, fault FROM entries";
/// An entry about which nothing is left to be done.
const OVER: &str = "state IN ('done', 'failed')";

/// Where the recordings lie.
pub(crate) fn recordings(folder: &Path) -> PathBuf {
    folder.join("recordings")
}

impl History {
    pub(crate) fn new(connection: Connection, folder: PathBuf) -> Self {
        Self { connection, folder }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Begins an entry, the sound of which is being recorded.
    ///
    /// # Errors
    /// [`HistoryError::Database`], as for all that follow.
    pub fn begin(&self, entry: &NewEntry) -> Result<EntryId, HistoryError> {
        self.connection.execute(
            "INSERT INTO entries (kind, state, started_ms, name, journal) VALUES (?, ?, ?, ?, ?)",
            params![
                entry.kind.word(),
                State::Recording.word(),
                ms_of(entry.started),
                entry.file.as_deref().map(Path::to_string_lossy),
                entry.journal.as_deref().map(file_name)
            ],
        )?;
        Ok(EntryId(self.connection.last_insert_rowid()))
    }

    /// The state of an entry is another one.
    ///
    /// # Errors
    /// [`HistoryError::Missing`].
    pub fn set_state(&self, id: EntryId, state: State) -> Result<(), HistoryError> {
        self.change(id, "state = ?", &[&state.word()])
    }

    /// How long an entry's sound is, is known.
    ///
    /// # Errors
    /// [`HistoryError::Missing`].
    pub fn set_length(&self, id: EntryId, length: Duration) -> Result<(), HistoryError> {
        self.change(id, "length_ms = ?", &[&(length.as_millis() as i64)])
    }

    /// The text of an entry was written into this program.
    ///
    /// # Errors
    /// [`HistoryError::Missing`].
    pub fn set_application(&self, id: EntryId, application: &str) -> Result<(), HistoryError> {
        self.change(id, "application = ?", &[&application])
    }

    /// An entry was transcribed, or could not be. What the user wrote over its text stays what is shown, unless this is new text.
    ///
    /// # Errors
    /// [`HistoryError::Missing`].
    pub fn transcribed(&self, id: EntryId, what: &Transcribed) -> Result<(), HistoryError> {
        let state = if what.failure.is_some() { State::Failed } else { State::Done };
        let waited = what.waited.map(|waited| waited.as_millis() as i64);
        let changes = "state = ?, edited = CASE WHEN text = ?2 THEN edited END, text = ?2, failure = ?, model = ?, device = ?, \
                       language = ?, waited_ms = coalesce(?, waited_ms), raw = ?, fault = ?";
        let Transcribed { text, failure, fault, model, device, language, raw, .. } = what;
        let values: [&dyn ToSql; 9] = [&state.word(), text, failure, model, device, language, &waited, raw, fault];
        self.change(id, changes, &values)
    }

    /// The user's own version of an entry's text; none takes it back.
    ///
    /// # Errors
    /// [`HistoryError::Missing`].
    pub fn edit(&self, id: EntryId, text: Option<&str>) -> Result<(), HistoryError> {
        self.change(id, "edited = ?", &[&text])
    }

    /// Keeps an entry until the user deletes it, or no longer.
    ///
    /// # Errors
    /// [`HistoryError::Missing`].
    pub fn pin(&self, id: EntryId, pinned: bool) -> Result<(), HistoryError> {
        self.change(id, "pinned = ?", &[&pinned])
    }

    /// Compresses the journal of an entry, if it has one, and deletes the journal.
    ///
    /// # Errors
    /// [`HistoryError::Sound`]; the journal is left where it is.
    pub fn keep_sound(&self, id: EntryId, journal: &Path) -> Result<Sound, HistoryError> {
        let entry = self.entry(id)?.ok_or(HistoryError::Missing)?;
        let name = format!("{}-{}.flac", ms_of(entry.started), id.0);
        let sound = sound::compress(journal, &recordings(&self.folder).join(&name))?;
        let length = sound.length.as_millis() as i64;
        self.change(
            id,
            "sound = ?, sound_bytes = ?, length_ms = ?, journal = NULL",
            &[&name, &(sound.bytes as i64), &length],
        )?;
        // It is found again, and compressed again, where this fails.
        let _ = std::fs::remove_file(journal);
        Ok(sound)
    }

    /// Deletes the journal of an entry without keeping its sound.
    ///
    /// # Errors
    /// [`HistoryError::Missing`].
    pub fn drop_journal(&self, id: EntryId, journal: &Path) -> Result<(), HistoryError> {
        let _ = std::fs::remove_file(journal);
        self.change(id, "journal = NULL", &[])
    }

    /// An entry.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn entry(&self, id: EntryId) -> Result<Option<Entry>, HistoryError> {
        let found =
            self.connection.query_row(&format!("{SELECT} WHERE id = ? AND deleted = 0"), [id.0], |row| self.read(row));
        Ok(found.optional()?)
    }

    /// The entry whose sound lies in this journal.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn entry_of_journal(&self, journal: &Path) -> Result<Option<Entry>, HistoryError> {
        let found = self
            .connection
            .query_row(&format!("{SELECT} WHERE journal = ?"), [file_name(journal)], |row| self.read(row));
        Ok(found.optional()?)
    }

    /// Entries about which something is left to be done: whoever was at them was ended before.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn unfinished(&self) -> Result<Vec<Entry>, HistoryError> {
        let mut select =
            self.connection.prepare(&format!("{SELECT} WHERE deleted = 0 AND NOT {OVER} ORDER BY started_ms, id"))?;
        let found = select.query_map((), |row| self.read(row))?.collect::<Result<_, _>>()?;
        Ok(found)
    }

    /// Entries in which the words of `typed` stand, the newest first: `limit` of them, after the first `skip`.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn page(&self, typed: &str, skip: u64, limit: u64) -> Result<Page, HistoryError> {
        let (condition, pattern) = match search::read(typed) {
            Search::All => ("?1 = ''", String::new()),
            Search::Words(query) => ("id IN (SELECT rowid FROM words WHERE words MATCH ?1)", query),
            Search::Anywhere(pattern) => ("shown LIKE ?1 ESCAPE '\\'", pattern),
        };
        let condition = format!("WHERE deleted = 0 AND {condition}");
        let count = format!("SELECT count(*) FROM entries {condition}");
        let total: i64 = self.connection.query_row(&count, [&pattern], |row| row.get(0))?;
        let mut select = self
            .connection
            .prepare(&format!("{SELECT} {condition} ORDER BY started_ms DESC, id DESC LIMIT ?2 OFFSET ?3"))?;
        let found = select.query_map(params![pattern, limit as i64, skip as i64], |row| self.read(row))?;
        Ok(Page { entries: found.collect::<Result<_, _>>()?, total: total as u64 })
    }

    /// Deletes an entry for good, with its sound.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn remove(&self, id: EntryId) -> Result<(), HistoryError> {
        self.forget("id = ?", &[&id.0]).map(|_| ())
    }

    /// Takes an entry off the list. It can be [restored](Self::restore) until it is [purged](Self::purge).
    ///
    /// # Errors
    /// [`HistoryError::Missing`].
    pub fn delete(&self, id: EntryId) -> Result<(), HistoryError> {
        self.change(id, "deleted = 1", &[])
    }

    /// Takes all entries off the list that are not pinned and about which nothing is left to be done. Returns how many.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn delete_all(&self) -> Result<u64, HistoryError> {
        let condition = format!("deleted = 0 AND pinned = 0 AND ({OVER} OR state = 'recovered')");
        Ok(self.connection.execute(&format!("UPDATE entries SET deleted = 1 WHERE {condition}"), ())? as u64)
    }

    /// Puts everything back that was taken off the list and not purged. Returns how many entries.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn restore(&self) -> Result<u64, HistoryError> {
        Ok(self.connection.execute("UPDATE entries SET deleted = 0 WHERE deleted = 1", ())? as u64)
    }

    /// Deletes for good what was taken off the list.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn purge(&self) -> Result<Forgotten, HistoryError> {
        self.forget("deleted = 1", &[])
    }

    /// Deletes what the rules tell to delete.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn retain(&self, rules: &Retention, now: SystemTime) -> Result<Forgotten, HistoryError> {
        let mut forgotten = Forgotten::default();
        if let Some(keep) = rules.keep {
            let before = now.checked_sub(keep).map_or(0, ms_of);
            forgotten = self.forget(&format!("pinned = 0 AND {OVER} AND started_ms < ?"), &[&before])?;
        }
        if let Some(most) = rules.most_sound_bytes {
            let mut taken = self.sound_bytes()?;
            let mut select = self.connection.prepare(&format!(
                "SELECT id, sound, sound_bytes FROM entries WHERE sound IS NOT NULL AND pinned = 0 AND {OVER} ORDER BY started_ms, id"
            ))?;
            let oldest =
                select.query_map((), |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)))?;
            for (id, name, bytes) in oldest.collect::<Result<Vec<(i64, _, _)>, _>>()? {
                if taken <= most {
                    break;
                }
                self.connection.execute("UPDATE entries SET sound = NULL, sound_bytes = 0 WHERE id = ?", [id])?;
                remove(&recordings(&self.folder).join(name));
                taken = taken.saturating_sub(bytes as u64);
                forgotten.sounds += 1;
                forgotten.bytes += bytes as u64;
            }
        }
        Ok(forgotten)
    }

    /// A time by this machine's clock and calendar, as `2026-11-26 03:25`.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn local_time(&self, time: SystemTime) -> Result<String, HistoryError> {
        let seconds = ms_of(time) / 1_000;
        let format = "SELECT strftime('%Y-%m-%d %H:%M', ?, 'unixepoch', 'localtime')";
        Ok(self.connection.query_row(format, [seconds], |row| row.get(0))?)
    }

    /// What all recordings take.
    ///
    /// # Errors
    /// [`HistoryError::Database`].
    pub fn sound_bytes(&self) -> Result<u64, HistoryError> {
        let bytes: i64 =
            self.connection.query_row("SELECT coalesce(sum(sound_bytes), 0) FROM entries", (), |row| row.get(0))?;
        Ok(bytes as u64)
    }

    /// Makes entries of recordings that no entry knows. Returns how many.
    pub(crate) fn adopt_recordings(&self) -> Result<usize, HistoryError> {
        let mut found = 0;
        for entry in std::fs::read_dir(recordings(&self.folder)).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some((started, _)) = name.strip_suffix(".flac").and_then(|name| name.split_once('-')) else { continue };
            let Ok(started) = started.parse::<i64>() else { continue };
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len() as i64);
            found += self.connection.execute(
                "INSERT INTO entries (kind, state, started_ms, sound, sound_bytes) SELECT 'dictation', 'recovered', ?1, ?2, ?3 \
                 WHERE NOT EXISTS (SELECT 1 FROM entries WHERE sound = ?2)",
                params![started, name, bytes],
            )?;
        }
        Ok(found)
    }

    fn change(&self, id: EntryId, changes: &str, values: &[&dyn ToSql]) -> Result<(), HistoryError> {
        let mut statement = String::new();
        let _ = write!(statement, "UPDATE entries SET {changes} WHERE id = {} AND deleted = 0", id.0);
        match self.connection.execute(&statement, values)? {
            0 => Err(HistoryError::Missing),
            _ => Ok(()),
        }
    }

    /// Deletes entries for good, first their rows and then their files: a file that nobody knows is less than a row without one.
    fn forget(&self, condition: &str, values: &[&dyn ToSql]) -> Result<Forgotten, HistoryError> {
        let statement = format!("DELETE FROM entries WHERE {condition} RETURNING sound, sound_bytes, journal");
        let mut delete = self.connection.prepare(&statement)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?));
        let files: Vec<(Option<String>, i64, Option<String>)> =
            delete.query_map(values, read)?.collect::<Result<_, _>>()?;
        let mut forgotten = Forgotten { entries: files.len() as u64, ..Forgotten::default() };
        for (sound, bytes, journal) in files {
            if let Some(sound) = sound {
                remove(&recordings(&self.folder).join(sound));
                forgotten.sounds += 1;
                forgotten.bytes += bytes as u64;
            }
            if let Some(journal) = journal {
                remove(&journals(&self.folder).join(journal));
            }
        }
        Ok(forgotten)
    }

    fn read(&self, row: &Row<'_>) -> rusqlite::Result<Entry> {
        let (kind, state): (String, String) = (row.get("kind")?, row.get("state")?);
        let duration = |ms: Option<i64>| ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        let file = |folder: PathBuf, name: Option<String>| name.map(|name| folder.join(file_name(Path::new(&name))));
        Ok(Entry {
            id: EntryId(row.get("id")?),
            // The table allows no others.
            kind: Kind::ALL.into_iter().find(|known| known.word() == kind).unwrap_or(Kind::Dictation),
            state: State::ALL.into_iter().find(|known| known.word() == state).unwrap_or(State::Failed),
            started: SystemTime::UNIX_EPOCH + duration(row.get("started_ms")?).unwrap_or_default(),
            length: duration(row.get("length_ms")?),
            transcribed: Transcribed {
                text: row.get("text")?,
                raw: row.get("raw")?,
                failure: row.get("failure")?,
                fault: row.get("fault")?,
                model: row.get("model")?,
                device: row.get("device")?,
                language: row.get("language")?,
                waited: duration(row.get("waited_ms")?),
            },
            edited: row.get("edited")?,
            file: row.get::<_, Option<String>>("name")?.map(PathBuf::from),
            application: row.get("application")?,
            pinned: row.get("pinned")?,
            sound: file(recordings(&self.folder), row.get("sound")?),
            journal: file(journals(&self.folder), row.get("journal")?),
        })
    }

    /// The folder of the journals.
    pub fn journals(&self) -> PathBuf {
        journals(&self.folder)
    }
}

fn journals(folder: &Path) -> PathBuf {
    folder.join("journal")
}

/// The last part of a path: whatever a database says, its files lie in the folder of their kind.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Deletes a file that may be gone already.
fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
}

fn ms_of(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

#[cfg(test)]
mod tests;
