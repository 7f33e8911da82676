//! What was dictated goes where the cursor is, in order, on a thread of its own: programs may take their time to take it.

mod probe;

use amanuensis_dictation::TakeId;
use amanuensis_insert::{Desktop, Inserted, Inserter, Manner, NotInserted, PERMISSION, WayName};
use amanuensis_settings::Insertion as Wanted;
use crossbeam_channel::{Receiver, Sender};

use super::{Errand, Message, State, failure, joined};
use crate::wire::{InsertionTest, Notice, Said, TestedWay, Update};

pub use probe::TestError;

/// What became of a test.
pub type Tested = Vec<(WayName, Result<(), TestError>)>;

/// A text, and what became of it.
pub struct Delivery {
    take: TakeId,
    text: String,
    /// The program that had the focus before.
    application: Option<String>,
    result: Result<Inserted, NotInserted>,
}

/// What the thread is told.
enum Job {
    /// How it is to be done from now on.
    Use(Wanted),
    /// The text of a take is to be inserted.
    Text(TakeId, String),
    /// Which ways work is to be found out.
    Test,
}

/// Texts on their way into other programs.
pub struct Insertion {
    jobs: Sender<Job>,
    /// The word under which the settings keep what was chosen for this desktop.
    desktop: String,
    wanted: Wanted,
    /// Our own window has the focus: what is dictated is in front of the user's eyes already.
    own_focus: bool,
    test: InsertionTest,
}

impl Insertion {
    /// Starts the thread. What becomes of the texts is told to the desk.
    pub fn new(inbox: Sender<Message>, wanted: &Wanted) -> Self {
        // Without a bound, for the desk must not wait for another program; people speak slower than texts are typed.
        let (jobs, waiting) = crossbeam_channel::unbounded();
        let desktop = Desktop::detect();
        let key = desktop.key();
        let first = wanted.clone();
        let work = move || work_off(&waiting, &inbox, &desktop, &first);
        // It is not waited for: the program that it types into may hang.
        std::thread::Builder::new().name("insert".into()).spawn(work).expect("BUG: few threads are running");
        let test = InsertionTest { desktop: key.clone(), ..InsertionTest::default() };
        Self { jobs, desktop: key, wanted: wanted.clone(), own_focus: false, test }
    }

    /// Inserts as the settings want it.
    pub fn adopt(&mut self, wanted: &Wanted) {
        if self.wanted != *wanted {
            self.wanted = wanted.clone();
            self.tell(Job::Use(wanted.clone()));
        }
    }

    /// Whether our own window has the focus.
    pub fn set_own_focus(&mut self, own_focus: bool) {
        self.own_focus = own_focus;
    }

    /// Puts the text of a take into the program that has the focus, after those that wait.
    pub fn insert(&self, take: TakeId, text: String) {
        if self.wanted.automatic && !self.own_focus {
            self.tell(Job::Text(take, text));
        }
    }

    /// What the page is to know.
    pub fn shown(&self) -> Update {
        Update::Insertion { test: self.test.clone() }
    }

    fn tell(&self, job: Job) {
        // The thread ends with the desk.
        let _ = self.jobs.send(job);
    }
}

fn work_off(jobs: &Receiver<Job>, inbox: &Sender<Message>, desktop: &Desktop, wanted: &Wanted) {
    let mut manner = manner(wanted, desktop);
    let mut inserter = Inserter::new(desktop.clone(), manner.clone());
    for job in jobs {
        let news = match job {
            Job::Use(wanted) => {
                manner = self::manner(&wanted, desktop);
                inserter = Inserter::new(desktop.clone(), manner.clone());
                continue;
            }
            Job::Text(take, text) => {
                let application = amanuensis_insert::application(desktop);
                let result = inserter.insert(&text);
                Message::Inserted(Delivery { take, text, application, result })
            }
            Job::Test => {
                // As if nothing had been chosen: the best way that works is what is looked for.
                inserter = Inserter::new(desktop.clone(), Manner { first: None, ..manner.clone() });
                let tested = probe::test(&mut inserter);
                inserter = Inserter::new(desktop.clone(), manner.clone());
                Message::InsertionTested(tested)
            }
        };
        if inbox.send(news).is_err() {
            return;
        }
    }
}

/// How the settings want it done on this desktop.
fn manner(wanted: &Wanted, desktop: &Desktop) -> Manner {
    let first = wanted.ways.get(&desktop.key()).and_then(|way| WayName::from_word(way));
    let permission = Some(amanuensis_settings::folder().join(PERMISSION));
    Manner { first, restore_clipboard: wanted.restore_clipboard, permission }
}

impl State {
    /// A text that did not get where it belongs is on the clipboard then, and still in the window.
    pub(super) fn inserted(&mut self, Delivery { take, text, application, result }: Delivery) {
        match result {
            Ok(Inserted { way }) => {
                tracing::debug!(way = way.word(), "inserted");
                if let Some(application) = application {
                    self.past.written_into(take, application);
                }
            }
            Err(cause) => {
                let words = self.words();
                let copied = self.copy(text);
                let kept = if copied { words.on_clipboard } else { words.in_window };
                let why = failure(&cause);
                // Our own window is not in front, whether or not it can be seen.
                if self.chosen.settings().interface.notifications {
                    let summary = words.not_inserted.to_owned();
                    (self.run_errand)(Errand::Notify { summary, body: joined(words.fault(why.fault), kept) });
                }
                self.tell(Notice::error(Said::NotInserted { copied }, why));
            }
        }
    }

    /// Finds out which ways of inserting work.
    pub(super) fn test_insertion(&mut self) {
        self.insertion.test.running = true;
        self.insertion.test.ways.clear();
        self.insertion.tell(Job::Test);
        self.outbox.push(self.insertion.shown());
    }

    /// The answer to that. The best way that works is the first to be tried on this desktop from now on.
    pub(super) fn insertion_tested(&mut self, tested: Tested) {
        let best = tested.iter().find(|(_, result)| result.is_ok()).map(|(way, _)| way.word().to_owned());
        let ways = tested.into_iter().map(|(way, result)| TestedWay {
            way: way.word().to_owned(),
            failure: result.err().map(|cause| failure(&cause)),
        });
        self.insertion.test.running = false;
        self.insertion.test.ways = ways.collect();
        self.outbox.push(self.insertion.shown());
        if let Some(best) = best {
            let mut settings = self.chosen.settings().clone();
            settings.insertion.ways.insert(self.insertion.desktop.clone(), best);
            self.change(settings);
        }
    }
}
