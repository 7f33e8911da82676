//! The thread of the history: it owns the database, and does one thing after the other.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use amanuensis_dictation::{Outcome, TakeId};
use amanuensis_export::plain_name;
use amanuensis_history::{
    Entry, EntryId, Forgotten, History, HistoryError, Kind, NewEntry, Opened, Retention, State, Transcribed,
};
use amanuensis_journal::{Folder, Found, Orphan, Report};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::calendar::Calendar;
use super::{Again, Ask, FileDone, Look, News, Order, Takes, broken_off};
use crate::desk::files::FileId;
use crate::desk::{failure, said};
use crate::wire::{self, EntryState, Failure, Fault, Notice, Said};

/// What was deleted can be put back for so long.
const UNDO: Duration = Duration::from_secs(30);
/// A dictation without a word that is shorter than this was a slip of the finger.
const SLIP: Duration = Duration::from_secs(1);
/// Dictations that are in the history already and may still be told where their text went.
const MOST_SETTLED: usize = 64;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    keep_sound: bool,
    retention: Retention,
}

impl Rules {
    pub fn of(settings: &amanuensis_settings::History) -> Self {
        let keep = settings.keep_days.map(|days| DAY * u32::from(days));
        let most_sound_bytes = settings.most_gb.map(|gigabytes| u64::from(gigabytes) * 1_000_000_000);
        Self { keep_sound: settings.keep_audio, retention: Retention { keep, most_sound_bytes } }
    }
}

/// A take on its way into the history.
pub struct Take {
    id: EntryId,
    journal: PathBuf,
    /// Sound in the journal, once that is closed.
    saved: Option<Duration>,
    finished: Option<(Outcome, Transcribed)>,
}

pub struct Clerk {
    /// None where there is not even one in memory.
    history: Option<History>,
    fault: Option<Failure>,
    journals: Folder,
    calendar: Calendar,
    rules: Rules,
    takes: Takes,
    /// The entries of takes that are in the history as a whole, the newest last.
    settled: VecDeque<(TakeId, EntryId)>,
    /// The entries of the window's files.
    files: HashMap<FileId, EntryId>,
    look: Option<Look>,
    /// How many entries can be put back, and until when.
    deleted: Option<(u64, Instant)>,
    /// Something that is shown may be different now.
    changed: bool,
    news: Sender<News>,
}

impl Clerk {
    pub fn open(folder: &Path, journals: Folder, rules: Rules, news: Sender<News>) -> Self {
        let (history, notice, fault) = match History::open(folder, SystemTime::now()) {
            Ok(Opened { history, damage }) => {
                let notice = damage.map(|damage| {
                    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
                    let path = plain_name(damage.kept_at.as_os_str());
                    let (rescued, found) = (count(damage.rescued), count(damage.found));
                    Notice::warning(Said::HistoryDamaged { rescued, found, path })
                });
                (Some(history), notice, None)
            }
            Err(cause) => {
                let fault = failure(&cause);
                let notice = Notice::error(Said::HistoryNotKept, fault.clone());
                (History::in_memory(folder).ok(), Some(notice), Some(fault))
            }
        };
        let mut clerk = Self {
            history,
            fault,
            journals,
            calendar: Calendar::start(),
            rules,
            takes: Takes::new(),
            settled: VecDeque::new(),
            files: HashMap::new(),
            look: None,
            deleted: None,
            changed: true,
            news,
        };
        if let Some(notice) = notice {
            clerk.tell(News::Notice(notice));
        }
        clerk.attempt(Self::recover);
        clerk
    }

    pub fn run(mut self, orders: &Receiver<Order>) {
        loop {
            if orders.is_empty() && std::mem::take(&mut self.changed) {
                self.show();
            }
            let order = match self.deleted {
                Some((_, until)) => orders.recv_deadline(until),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Close) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(order) => {
                    self.attempt(|clerk, history| clerk.obey(history, order));
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.attempt(Self::purge);
                }
            }
        }
        self.attempt(Self::purge);
    }

    /// Does something with the database. Where that fails, the user is told.
    fn attempt(&mut self, work: impl FnOnce(&mut Self, &History) -> Result<(), HistoryError>) {
        let Some(history) = self.history.take() else { return };
        if let Err(cause) = work(self, &history) {
            self.tell(News::Notice(Notice::error(Said::HistoryFailed, failure(&cause))));
            self.changed = true;
        }
        self.history = Some(history);
    }

    fn tell(&self, news: News) {
        // The desk may be gone already.
        let _ = self.news.send(news);
    }

    fn obey(&mut self, history: &History, order: Order) -> Result<(), HistoryError> {
        self.changed = true;
        match order {
            Order::Begin(take, head, journal) => {
                let started = head.started;
                let entry = NewEntry { kind: Kind::Dictation, started, file: None, journal: Some(journal.clone()) };
                let id = history.begin(&entry)?;
                self.takes.insert(take, Take { id, journal, saved: None, finished: None });
            }
            Order::Journal(_, Report::Warning(warning)) => {
                let notice = match warning {
                    amanuensis_journal::Warning::Mended => Notice::info(Said::SafeAgain),
                    _ => Notice::error(Said::NotSafe, failure(&warning)),
                };
                self.tell(News::Notice(notice));
            }
            Order::Journal(take, Report::Closed { saved, .. }) => {
                if let Some(known) = self.takes.get_mut(&take) {
                    known.saved = Some(saved);
                    history.set_length(known.id, saved)?;
                    if known.finished.is_none() {
                        history.set_state(known.id, State::Transcribing)?;
                    }
                }
                self.settle(history, take)?;
            }
            Order::Finished(take, outcome, by) => {
                if let Some(known) = self.takes.get_mut(&take) {
                    known.finished = Some((outcome, by));
                }
                self.settle(history, take)?;
            }
            Order::WrittenInto(take, application) => {
                let settled = self.settled.iter().find(|(known, _)| *known == take).map(|(_, id)| *id);
                if let Some(id) = settled.or_else(|| self.takes.get(&take).map(|take| take.id)) {
                    history.set_application(id, &application)?;
                }
            }
            Order::File(FileDone { file, path, started, length, transcribed }) => {
                // Tried again, it is the same file.
                let known = self.files.get(&file).copied().map_or(Ok(None), |id| history.entry(id))?;
                let id = match known {
                    Some(entry) => entry.id,
                    None => history.begin(&NewEntry { kind: Kind::File, started, file: Some(path), journal: None })?,
                };
                self.files.insert(file, id);
                history.set_length(id, length)?;
                rewrite(history, id, transcribed)?;
                self.forget(history)?;
            }
            Order::Transcribed(id, what) => rewrite(history, id, what)?,
            Order::GoBy(rules) => {
                self.rules = rules;
                self.forget(history)?;
            }
            Order::Ask(ask) => self.answer(history, ask)?,
            Order::Close => unreachable!("BUG: the loop ends with it"),
        }
        Ok(())
    }

    /// Writes down a take that is over, if both its sound and its text are there.
    fn settle(&mut self, history: &History, take: TakeId) -> Result<(), HistoryError> {
        let Some(Take { saved: Some(saved), finished: Some(_), .. }) = self.takes.get(&take) else { return Ok(()) };
        let saved = *saved;
        let Some(Take { id, journal, finished: Some((outcome, by)), .. }) = self.takes.remove(&take) else {
            return Ok(());
        };
        let what = match outcome {
            Outcome::Cancelled | Outcome::NoMicrophone { .. } => return history.remove(id),
            Outcome::NoSpeech if saved < SLIP => return history.remove(id),
            Outcome::NoSpeech => by,
            Outcome::Text(text) => Transcribed { text, ..by },
            Outcome::Failed { reason, text } => {
                broken_off(said(Fault::EngineFailed, &reason), Transcribed { text, ..by })
            }
        };
        history.transcribed(id, &what)?;
        self.settled.push_back((take, id));
        if self.settled.len() > MOST_SETTLED {
            self.settled.pop_front();
        }
        // Sound that has no text is kept in any case: it can be transcribed again.
        if saved.is_zero() || (!self.rules.keep_sound && what.failure.is_none()) {
            history.drop_journal(id, &journal)?;
        } else {
            history.keep_sound(id, &journal)?;
        }
        self.forget(history)
    }

    fn answer(&mut self, history: &History, ask: Ask) -> Result<(), HistoryError> {
        match ask {
            Ask::Look(look) => self.look = look,
            Ask::Edit(id, text) => history.edit(id, Some(&text))?,
            Ask::Pin(id, pinned) => history.pin(id, pinned)?,
            Ask::Delete(id) => {
                self.purge(history)?;
                history.delete(id)?;
                self.deleted = Some((1, Instant::now() + UNDO));
            }
            Ask::DeleteAll => {
                self.purge(history)?;
                let count = history.delete_all()?;
                self.deleted = Some((count, Instant::now() + UNDO));
            }
            Ask::Restore => {
                history.restore()?;
                self.deleted = None;
            }
            Ask::Transcribe(id, model) => {
                let sound = self.sound_of(history, id)?;
                history.set_state(id, State::Transcribing)?;
                self.tell(News::Transcribe(Again { id, sound, model }));
            }
            Ask::Keep(id) => _ = self.sound_of(history, id)?,
            Ask::Sound(id, from) => {
                let sound = self.sound_of(history, EntryId(id.into()))?;
                let news = if sound.is_file() {
                    News::Sound(id, sound, from)
                } else {
                    News::Notice(Notice::warning(Said::SoundGone))
                };
                self.tell(news);
            }
        }
        Ok(())
    }

    /// The sound of an entry; compressed now, if that was not done.
    fn sound_of(&self, history: &History, id: EntryId) -> Result<PathBuf, HistoryError> {
        let entry = history.entry(id)?.ok_or(HistoryError::Missing)?;
        if let Some(recording) = entry.recording() {
            return Ok(recording.to_owned());
        }
        history.keep_sound(id, &entry.journal.ok_or(HistoryError::Missing)?)?;
        history.entry(id)?.and_then(|entry| entry.sound).ok_or(HistoryError::Missing)
    }

    fn purge(&mut self, history: &History) -> Result<(), HistoryError> {
        self.deleted = None;
        self.changed = true;
        history.purge()?;
        Ok(())
    }

    /// Forgets what the rules tell to forget, and says so.
    fn forget(&mut self, history: &History) -> Result<(), HistoryError> {
        let Forgotten { entries, sounds, .. } = history.retain(&self.rules.retention, self.calendar.now())?;
        if entries + sounds > 0 {
            let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            let (entries, sounds) = (count(entries), count(sounds));
            self.tell(News::Notice(Notice::info(Said::Forgotten { entries, sounds })));
        }
        Ok(())
    }

    /// Finds what was interrupted when the app was ended before.
    fn recover(&mut self, history: &History) -> Result<(), HistoryError> {
        history.purge()?;
        let Found { orphans, aside, unread } = self.journals.orphans();
        if let Some(first) = aside.first() {
            let path = if aside.len() > 1 { self.journals.path() } else { first };
            let path = plain_name(path.as_os_str());
            let count = u32::try_from(aside.len()).unwrap_or(u32::MAX);
            self.tell(News::Notice(Notice::warning(Said::RecordingsDamaged { count, path })));
        }
        for (path, cause) in &unread {
            tracing::warn!(path = %path.display(), %cause, "a journal is not read");
            self.tell(News::Notice(Notice::error(Said::HistoryFailed, failure(cause))));
        }
        for orphan in orphans {
            // One that cannot be put away is no reason to leave out the others.
            if let Err(cause) = Self::find_again(history, &orphan) {
                self.tell(News::Notice(Notice::error(Said::HistoryFailed, failure(&cause))));
            }
        }
        // The others: of those being recorded nothing reached the disk; those being transcribed again still have what they had.
        for entry in history.unfinished()? {
            match (entry.state, entry.recording(), &entry.journal) {
                (State::Recovered, ..) => {}
                // Its sound may be read another time.
                (.., Some(journal)) if journal.exists() => {}
                (_, Some(_), _) => {
                    let why = Failure { fault: Fault::NotToTheEnd, detail: String::new() };
                    history.transcribed(entry.id, &broken_off(why, entry.transcribed))?;
                }
                (_, None, _) => history.remove(entry.id)?,
            }
        }
        self.forget(history)
    }

    /// Makes an entry of an interrupted dictation, or finds the one that it has.
    fn find_again(history: &History, orphan: &Orphan) -> Result<(), HistoryError> {
        let known = history.entry_of_journal(&orphan.path)?;
        if orphan.length.is_zero() {
            let _ = std::fs::remove_file(&orphan.path);
            return known.map_or(Ok(()), |known| history.remove(known.id));
        }
        let id = match known {
            // Its text is there: only its sound was not put away yet.
            Some(Entry { id, state: State::Done | State::Failed, .. }) => {
                return history.keep_sound(id, &orphan.path).map(|_| ());
            }
            Some(known) => known.id,
            None => {
                let (started, journal) = (orphan.head.started, Some(orphan.path.clone()));
                history.begin(&NewEntry { kind: Kind::Dictation, started, file: None, journal })?
            }
        };
        history.set_length(id, orphan.length)?;
        history.set_state(id, State::Recovered)
    }

    fn show(&mut self) {
        self.attempt(|clerk, history| {
            let found = history.unfinished()?;
            let interrupted = found.iter().filter(|entry| entry.state == State::Recovered && entry.journal.is_some());
            clerk.tell(News::Interrupted(interrupted.map(interrupted_of).collect()));
            let shown = match &clerk.look {
                Some(look) => {
                    let page = history.page(&look.typed, 0, look.limit.into())?;
                    Some(wire::History {
                        typed: look.typed.clone(),
                        entries: page.entries.into_iter().map(entry_of).collect(),
                        total: u32::try_from(page.total).unwrap_or(u32::MAX),
                        deleted: clerk.deleted.map_or(0, |(count, _)| u32::try_from(count).unwrap_or(u32::MAX)),
                        fault: clerk.fault.clone(),
                    })
                }
                None => None,
            };
            clerk.tell(News::Shown(shown));
            Ok(())
        });
        // What could not be shown now cannot be shown at once again.
        self.changed = false;
    }
}

/// Puts what came of transcribing an entry into it. A failure does not cost the text that was there.
fn rewrite(history: &History, id: EntryId, mut what: Transcribed) -> Result<(), HistoryError> {
    if let (Some(entry), Some(_)) = (history.entry(id)?, &what.failure)
        && !entry.transcribed.text.is_empty()
    {
        what = Transcribed { failure: what.failure, fault: what.fault, ..entry.transcribed };
    }
    history.transcribed(id, &what)
}

fn interrupted_of(entry: &Entry) -> wire::Interrupted {
    wire::Interrupted {
        id: number_of(entry.id),
        started_ms: ms_of(entry.started),
        seconds: entry.length.unwrap_or_default().as_secs_f32(),
    }
}

fn entry_of(entry: Entry) -> wire::Entry {
    let state = match entry.state {
        State::Recording => EntryState::Recording,
        State::Transcribing => EntryState::Transcribing,
        State::Done => EntryState::Done,
        State::Failed => {
            // Of what earlier versions wrote nothing else is known.
            let fault = entry.transcribed.fault.as_deref().and_then(Fault::of_word).unwrap_or(Fault::NotToTheEnd);
            EntryState::Failed { why: Failure { fault, detail: entry.transcribed.failure.clone().unwrap_or_default() } }
        }
        State::Recovered => EntryState::Interrupted,
    };
    wire::Entry {
        id: number_of(entry.id),
        started_ms: ms_of(entry.started),
        seconds: entry.length.map(|length| length.as_secs_f32()),
        state,
        text: entry.text().to_owned(),
        edited: entry.edited.is_some(),
        raw: entry.transcribed.raw,
        waited_ms: entry.transcribed.waited.map(|waited| waited.as_secs_f32() * 1_000.0),
        name: entry.file.as_deref().and_then(Path::file_name).map(plain_name),
        model: entry.transcribed.model,
        device: entry.transcribed.device,
        application: entry.application,
        pinned: entry.pinned,
        sound: entry.sound.is_some() || entry.journal.is_some() || entry.file.is_some_and(|file| file.is_file()),
    }
}

/// The page's numbers have 53 bits, and nobody has dictated four billion times.
fn number_of(id: EntryId) -> u32 {
    u32::try_from(id.0).unwrap_or(u32::MAX)
}

fn ms_of(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use amanuensis_journal::{Head, Limits, Recorder};

    use super::*;

    /// The data of an app that was killed while it recorded these takes, with their journals.
    fn killed(folder: &Path, takes: &[u64]) -> Vec<PathBuf> {
        let history = History::open(folder, SystemTime::now()).unwrap().history;
        let journals = Folder::new(history.journals());
        let begun = takes.iter().map(|take| {
            let head = Head { sample_rate: 16_000, started: SystemTime::UNIX_EPOCH + DAY, take: *take };
            let journal = journals.new_journal(&head);
            let mut recorder = Recorder::start(journal.clone(), head, Limits::default(), |_| ()).unwrap();
            recorder.push(&[0.25; 16_000]);
            drop(recorder);
            let entry =
                NewEntry { kind: Kind::Dictation, started: head.started, file: None, journal: Some(journal.clone()) };
            history.begin(&entry).unwrap();
            journal
        });
        begun.collect()
    }

    /// What the next start says: how many dictations it offers, and the notices.
    fn next_start(folder: &Path) -> (usize, Vec<Said>) {
        let (sender, news) = crossbeam_channel::unbounded();
        let rules = Rules::of(&amanuensis_settings::History::default());
        let mut clerk = Clerk::open(folder, Folder::new(folder.join("journal")), rules, sender);
        clerk.show();
        let (mut offered, mut said) = (0, Vec::new());
        for news in news.try_iter() {
            match news {
                News::Interrupted(interrupted) => offered = interrupted.len(),
                News::Notice(notice) => said.push(notice.said),
                _ => {}
            }
        }
        (offered, said)
    }

    #[test]
    fn a_damaged_journal_is_offered_told_of_once_and_kept_and_so_is_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let journals = killed(folder.path(), &[1, 2]);
        let mut bytes = std::fs::read(&journals[0]).unwrap();
        bytes[..16].fill(0);
        std::fs::write(&journals[0], &bytes).unwrap();
        let (offered, said) = next_start(folder.path());
        assert_eq!(offered, 2);
        let [Said::RecordingsDamaged { count: 1, path }] = &said[..] else { panic!("{said:?}") };
        assert_eq!(std::fs::read(path).unwrap(), bytes);
        assert_eq!(next_start(folder.path()), (2, Vec::new()));
    }

    #[test]
    fn a_journal_of_which_nothing_can_be_read_is_kept_and_the_other_is_offered() {
        let folder = tempfile::tempdir().unwrap();
        let journals = killed(folder.path(), &[1, 2]);
        std::fs::write(&journals[0], "Dear diary").unwrap();
        let (offered, said) = next_start(folder.path());
        assert_eq!(offered, 1);
        let [Said::RecordingsDamaged { count: 1, path }] = &said[..] else { panic!("{said:?}") };
        assert_eq!(std::fs::read(path).unwrap(), b"Dear diary");
        assert_eq!(next_start(folder.path()), (1, Vec::new()));
    }

    #[test]
    fn a_journal_that_cannot_be_read_now_is_told_of_and_keeps_its_entry() {
        let folder = tempfile::tempdir().unwrap();
        let journals = killed(folder.path(), &[1, 2]);
        let away = folder.path().join("away");
        std::fs::rename(&journals[0], &away).unwrap();
        // Something of that name that gives no bytes.
        std::fs::create_dir(&journals[0]).unwrap();
        assert_eq!(next_start(folder.path()), (1, vec![Said::HistoryFailed]));
        std::fs::remove_dir(&journals[0]).unwrap();
        std::fs::rename(&away, &journals[0]).unwrap();
        assert_eq!(next_start(folder.path()), (2, Vec::new()));
    }
}
