//! What leaves for the page: gathered, thinned out, and sent at most ten times a second while the page can be seen.

use std::time::{Duration, Instant};

use crate::wire::{Update, View};

/// Where the answer to a page goes that asked what is new.
pub type Page = Box<dyn FnOnce(Vec<Update>) + Send>;

/// Nobody reads faster than this.
const PAUSE: Duration = Duration::from_millis(100);

/// Updates on their way to the page.
#[derive(Default)]
pub struct Outbox {
    /// Whether a page has ever asked.
    known: bool,
    /// The page's question, while it is not answered.
    page: Option<Page>,
    visible: bool,
    /// The page has to be told everything, for it knows nothing, or missed something.
    afresh: bool,
    /// The view as the page knows it.
    sent: Option<View>,
    /// The view as it is, where the page does not know it.
    fresh: Option<View>,
    news: Vec<Update>,
    /// Nothing leaves before this.
    not_before: Option<Instant>,
}

impl Outbox {
    /// A page asks what is new. It knows nothing yet if it asks for the first time.
    pub fn ask(&mut self, first: bool, page: Page) {
        self.page = Some(page);
        if first {
            self.known = true;
            self.visible = true;
            self.start_afresh();
        }
    }

    /// The page can be seen from now on, or can not.
    pub fn set_visible(&mut self, visible: bool) {
        if visible && !self.visible {
            self.start_afresh();
        }
        self.visible = visible;
    }

    /// The view as it is now.
    pub fn show(&mut self, view: &View) {
        if self.fresh.as_ref().or(self.sent.as_ref()) != Some(view) {
            self.fresh = Some(view.clone());
        }
    }

    /// Takes an update other than a view. It stands for older ones that it makes void.
    pub fn push(&mut self, update: Update) {
        if !self.takes_news() {
            return;
        }
        match &update {
            Update::Level { .. } => self.news.retain(|old| !matches!(old, Update::Level { .. })),
            Update::Performance { .. } => self.news.retain(|old| !matches!(old, Update::Performance { .. })),
            Update::Insertion { .. } => self.news.retain(|old| !matches!(old, Update::Insertion { .. })),
            Update::Models { .. } => self.news.retain(|old| !matches!(old, Update::Models { .. })),
            Update::Settings { .. } => self.news.retain(|old| !matches!(old, Update::Settings { .. })),
            Update::History { .. } => self.news.retain(|old| !matches!(old, Update::History { .. })),
            Update::Interrupted { .. } => self.news.retain(|old| !matches!(old, Update::Interrupted { .. })),
            Update::Live { take, .. } | Update::Text { take, .. } => {
                self.news.retain(|old| !matches!(old, Update::Live { take: other, .. } if other == take));
            }
            Update::Forget { take } => self.news.retain(|old| {
                !matches!(old, Update::Live { take: other, .. } | Update::Text { take: other, .. } if other == take)
            }),
            Update::Files { .. } => {
                self.news.retain(|old| !matches!(old, Update::Files { .. } | Update::File { .. }));
            }
            Update::File { file } => {
                // In its place, for new ones are told of in the order of the list.
                let older = |old: &&mut Update| matches!(old, Update::File { file: old } if old.id == file.id);
                if let Some(old) = self.news.iter_mut().find(older) {
                    return *old = update;
                }
            }
            Update::Playing { .. } => self.news.retain(|old| !matches!(old, Update::Playing { .. })),
            Update::Spoken { .. } | Update::Transcript { .. } | Update::Rewritten { .. } => {}
            Update::View { .. } | Update::Texts { .. } => {}
        }
        self.news.push(update);
    }

    /// Whether what is pushed will arrive: a page that has to be told everything is told all of it first.
    pub fn takes_news(&self) -> bool {
        self.watched() && !self.afresh
    }

    /// When [`flush`](Self::flush) should be called; never, if there is nothing to say, or nobody asks.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let something = self.afresh || self.fresh.is_some() || !self.news.is_empty();
        (self.watched() && self.page.is_some() && something).then(|| self.not_before.unwrap_or(now))
    }

    /// Answers with what there is, if it is time. `everything` makes all updates but the view, for a page that knows nothing.
    pub fn flush(&mut self, now: Instant, everything: impl FnOnce() -> Vec<Update>) {
        if self.due(now).is_none_or(|due| due > now) {
            return;
        }
        let Some(page) = self.page.take() else { return };
        let mut updates = Vec::new();
        if let Some(view) = self.fresh.take() {
            self.sent = Some(view.clone());
            updates.push(Update::View { view });
        }
        if std::mem::take(&mut self.afresh) {
            updates.extend(everything());
        }
        updates.append(&mut self.news);
        page(updates);
        self.not_before = Some(now + PAUSE);
    }

    /// Whether anybody looks.
    pub fn watched(&self) -> bool {
        self.visible && self.known
    }

    fn start_afresh(&mut self) {
        self.afresh = true;
        self.news.clear();
        // What was sent before may never have arrived.
        self.fresh = self.fresh.take().or(self.sent.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    use super::{Outbox, PAUSE};
    use crate::wire::{File, FileState, Model, Phase, Played, Playing, Update, View};

    fn view(writing: u32) -> View {
        View {
            phase: Phase::Idle,
            writing,
            hands_free: false,
            model: Model::Loading,
            microphones: vec![],
            microphone: None,
            dropping: false,
            notices: vec![],
        }
    }

    /// A page that asks again as soon as it has its answer.
    struct Watched {
        outbox: Outbox,
        sender: Sender<Vec<Update>>,
        received: Receiver<Vec<Update>>,
    }

    impl Watched {
        fn new() -> (Self, Instant) {
            let (sender, received) = channel();
            let mut outbox = Outbox::default();
            outbox.show(&view(0));
            let mut page = Self { outbox, sender, received };
            page.ask(true);
            let now = Instant::now();
            page.flush(now);
            assert_eq!(page.received.try_recv().unwrap(), everything(0));
            (page, now)
        }

        fn ask(&mut self, first: bool) {
            let sender = self.sender.clone();
            self.outbox.ask(first, Box::new(move |updates| sender.send(updates).unwrap()));
        }

        fn flush(&mut self, now: Instant) {
            self.outbox.flush(now, || vec![Update::Texts { takes: vec![] }]);
            if self.outbox.page.is_none() {
                self.ask(false);
            }
        }
    }

    fn everything(writing: u32) -> [Update; 2] {
        [Update::View { view: view(writing) }, Update::Texts { takes: vec![] }]
    }

    fn live(words: &str) -> Update {
        Update::Live { take: 1, committed: words.into(), tentative: String::new() }
    }

    #[test]
    fn nothing_leaves_more_often_than_ten_times_a_second() {
        let (mut page, start) = Watched::new();
        for ms in 0..1000 {
            page.outbox.push(Update::Level { level: ms as f32 });
            page.outbox.show(&view(ms as u32 + 1));
            page.flush(start + Duration::from_millis(ms));
        }
        let sent: Vec<_> = page.received.try_iter().collect();
        assert_eq!(sent.len(), 9);
        assert!(sent.iter().all(|updates| updates.len() == 2), "only the newest is of interest");
    }

    #[test]
    fn a_view_that_did_not_change_is_not_sent() {
        let (mut page, start) = Watched::new();
        page.outbox.show(&view(0));
        assert_eq!(page.outbox.due(start), None);
        page.outbox.show(&view(1));
        assert_eq!(page.outbox.due(start), Some(start + PAUSE));
    }

    #[test]
    fn what_is_final_stands_for_what_was_live() {
        let (mut page, start) = Watched::new();
        page.outbox.push(live("a"));
        page.outbox.push(live("a b"));
        let last = Update::Text { take: 1, text: "A, B.".into() };
        page.outbox.push(last.clone());
        page.outbox.push(Update::Playing { playing: Some(Playing { of: Played::File { id: 3 }, at_ms: 100 }) });
        page.outbox.push(Update::Playing { playing: None });
        page.flush(start + PAUSE);
        assert_eq!(page.received.try_iter().collect::<Vec<_>>(), [vec![last, Update::Playing { playing: None }]]);
        assert_eq!(page.outbox.due(start), None);
    }

    #[test]
    fn of_files_the_newest_is_told_in_the_order_of_the_list() {
        let file = |id, state| File {
            id,
            name: format!("{id}.wav"),
            folder: "/".to_owned(),
            state,
            duration_ms: None,
            language: None,
            model: None,
            preview: String::new(),
            saved: None,
        };
        let one = |id, state| Update::File { file: file(id, state) };
        let (mut page, start) = Watched::new();
        for update in [one(1, FileState::Waiting), one(2, FileState::Waiting), one(1, FileState::Done)] {
            page.outbox.push(update);
        }
        page.flush(start + PAUSE);
        let told = vec![one(1, FileState::Done), one(2, FileState::Waiting)];
        assert_eq!(page.received.try_iter().collect::<Vec<_>>(), [told]);
        let whole = Update::Files { files: vec![file(2, FileState::Done)] };
        for update in [one(2, FileState::Done), whole.clone(), one(3, FileState::Waiting)] {
            page.outbox.push(update);
        }
        page.flush(start + 2 * PAUSE);
        let told = vec![whole, one(3, FileState::Waiting)];
        assert_eq!(page.received.try_iter().collect::<Vec<_>>(), [told]);
    }

    #[test]
    fn a_hidden_page_is_told_nothing_and_everything_once_it_is_seen() {
        let (mut page, start) = Watched::new();
        page.outbox.set_visible(false);
        page.outbox.push(live("a"));
        page.outbox.show(&view(1));
        assert_eq!(page.outbox.due(start), None);
        page.flush(start + PAUSE);
        assert!(page.received.try_recv().is_err());
        page.outbox.set_visible(true);
        page.flush(start + PAUSE);
        assert_eq!(page.received.try_recv().unwrap(), everything(1));
        page.outbox.set_visible(false);
        page.outbox.set_visible(true);
        page.flush(start + 2 * PAUSE);
        assert_eq!(
            page.received.try_recv().unwrap(),
            everything(1),
            "even what it knew, for it may have been reloaded"
        );
    }

    #[test]
    fn a_page_that_does_not_ask_is_not_told_and_misses_nothing() {
        let (mut page, start) = Watched::new();
        page.outbox.page = None;
        page.outbox.push(live("a"));
        page.outbox.push(live("a b"));
        page.outbox.show(&view(1));
        assert_eq!(page.outbox.due(start + PAUSE), None);
        page.ask(false);
        page.flush(start + PAUSE);
        assert_eq!(page.received.try_recv().unwrap(), [Update::View { view: view(1) }, live("a b")]);
    }
}
