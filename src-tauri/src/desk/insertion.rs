//! What was dictated goes where the cursor is, in order, on a thread of its own: programs may take their time to take it.

mod probe;

use amanuensis_insert::{Desktop, Inserted, Inserter, NotInserted, WayName};
use amanuensis_settings::Insertion as Wanted;
use crossbeam_channel::{Receiver, Sender};

use super::{Errand, Message, State, error, sentence};
use crate::wire::{InsertionTest, TestedWay, Update};

pub use probe::TestError;

/// What became of a test.
pub type Tested = Vec<(WayName, Result<(), TestError>)>;

/// A text, and what became of it.
pub struct Delivery {
    text: String,
    result: Result<Inserted, NotInserted>,
}

/// What the thread is told.
enum Job {
    /// How it is to be done from now on.
    Use(Wanted),
    /// To be inserted.
    Text(String),
    /// Which ways work is to be found out.
    Test,
}

/// Texts on their way into other programs.
pub struct Insertion {
    jobs: Sender<Job>,
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
        let work = move || work_off(&waiting, &inbox);
        // It is not waited for: the program that it types into may hang.
        std::thread::Builder::new().name("insert".into()).spawn(work).expect("BUG: few threads are running");
        let insertion = Self { jobs, wanted: wanted.clone(), own_focus: false, test: InsertionTest::default() };
        insertion.tell(Job::Use(wanted.clone()));
        insertion
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

    /// Puts a text into the program that has the focus, after those that wait.
    pub fn insert(&self, text: String) {
        if self.wanted.automatic && !self.own_focus {
            self.tell(Job::Text(text));
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

fn work_off(jobs: &Receiver<Job>, inbox: &Sender<Message>) {
    let desktop = Desktop::detect();
    let mut inserter = Inserter::new(desktop.clone(), None, true);
    for job in jobs {
        let news = match job {
            Job::Use(wanted) => {
                let first = wanted.way.as_deref().and_then(WayName::from_word);
                inserter = Inserter::new(desktop.clone(), first, wanted.restore_clipboard);
                continue;
            }
            Job::Text(text) => {
                let result = inserter.insert(&text);
                Message::Inserted(Delivery { text, result })
            }
            Job::Test => Message::InsertionTested(probe::test(&mut inserter)),
        };
        if inbox.send(news).is_err() {
            return;
        }
    }
}

impl State {
    /// A text that did not get where it belongs is on the clipboard then, and still in the window.
    pub(super) fn inserted(&mut self, Delivery { text, result }: Delivery) {
        match result {
            Ok(Inserted { way }) => tracing::debug!(way = way.word(), "inserted"),
            Err(cause) => {
                let message = format!("{} It is on the clipboard.", sentence(&cause));
                // Our own window may be out of sight.
                (self.run_errand)(Errand::Notify { summary: "Amanuensis".to_owned(), body: message.clone() });
                self.view.notice = Some(error(message));
                self.copy(text);
            }
        }
    }

    /// Finds out which ways of inserting work.
    pub(super) fn test_insertion(&mut self) {
        self.insertion.test = InsertionTest { running: true, ways: Vec::new() };
        self.insertion.tell(Job::Test);
        self.outbox.push(self.insertion.shown());
    }

    /// The answer to that.
    pub(super) fn insertion_tested(&mut self, tested: Tested) {
        let ways = tested.into_iter().map(|(way, result)| TestedWay {
            way: way.word().to_owned(),
            failure: result.err().map(|cause| sentence(&cause)),
        });
        self.insertion.test = InsertionTest { running: false, ways: ways.collect() };
        self.outbox.push(self.insertion.shown());
    }
}
