//! What leaves for the page: gathered, thinned out, and sent at most ten times a second while the page can be seen.

use std::time::{Duration, Instant};

use crate::wire::{Update, View};

/// Where updates go.
pub type Page = Box<dyn Fn(Vec<Update>) + Send>;

/// WebKit keeps what is sent into a page until the page lets go of it, and nobody reads faster than this.
const PAUSE: Duration = Duration::from_millis(100);

/// Updates on their way to the page.
#[derive(Default)]
pub struct Outbox {
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
    /// A page that knows nothing yet wants to be told.
    pub fn subscribe(&mut self, page: Page) {
        self.page = Some(page);
        self.visible = true;
        self.start_afresh();
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

    /// When [`flush`](Self::flush) should be called; never, if there is nothing to say.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let something = self.afresh || self.fresh.is_some() || !self.news.is_empty();
        (self.watched() && something).then(|| self.not_before.unwrap_or(now))
    }

    /// Sends what there is, if it is time. `everything` makes all updates but the view, for a page that knows nothing.
    pub fn flush(&mut self, now: Instant, everything: impl FnOnce() -> Vec<Update>) {
        if self.due(now).is_none_or(|due| due > now) {
            return;
        }
        let mut updates = Vec::new();
        if let Some(view) = self.fresh.take() {
            self.sent = Some(view.clone());
            updates.push(Update::View { view });
        }
        if std::mem::take(&mut self.afresh) {
            updates.extend(everything());
        }
        updates.append(&mut self.news);
        if let Some(page) = &self.page {
            page(updates);
        }
        self.not_before = Some(now + PAUSE);
    }

    /// Whether anybody looks.
    pub fn watched(&self) -> bool {
        self.visible && self.page.is_some()
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
    use std::sync::mpsc::{Receiver, channel};
    use std::time::{Duration, Instant};

    use super::{Outbox, PAUSE};
    use crate::wire::{Model, Phase, Played, Playing, Update, View};

    fn view(writing: u32) -> View {
        View {
            phase: Phase::Idle,
            writing,
            hands_free: false,
            model: Model::Loading,
            microphones: vec![],
            microphone: None,
            files: vec![],
            dropping: false,
            notice: None,
        }
    }

    fn watched() -> (Outbox, Receiver<Vec<Update>>, Instant) {
        let (sender, received) = channel();
        let mut outbox = Outbox::default();
        outbox.show(&view(0));
        outbox.subscribe(Box::new(move |updates| sender.send(updates).unwrap()));
        let now = Instant::now();
        flush(&mut outbox, now);
        assert_eq!(received.try_recv().unwrap(), everything(0));
        (outbox, received, now)
    }

    fn everything(writing: u32) -> [Update; 2] {
        [Update::View { view: view(writing) }, Update::Texts { takes: vec![] }]
    }

    fn flush(outbox: &mut Outbox, now: Instant) {
        outbox.flush(now, || vec![Update::Texts { takes: vec![] }]);
    }

    fn live(words: &str) -> Update {
        Update::Live { take: 1, committed: words.into(), tentative: String::new() }
    }

    #[test]
    fn nothing_leaves_more_often_than_ten_times_a_second() {
        let (mut outbox, received, start) = watched();
        for ms in 0..1000 {
            outbox.push(Update::Level { level: ms as f32 });
            outbox.show(&view(ms as u32 + 1));
            flush(&mut outbox, start + Duration::from_millis(ms));
        }
        let sent: Vec<_> = received.try_iter().collect();
        assert_eq!(sent.len(), 9);
        assert!(sent.iter().all(|updates| updates.len() == 2), "only the newest is of interest");
    }

    #[test]
    fn a_view_that_did_not_change_is_not_sent() {
        let (mut outbox, _, start) = watched();
        outbox.show(&view(0));
        assert_eq!(outbox.due(start), None);
        outbox.show(&view(1));
        assert_eq!(outbox.due(start), Some(start + PAUSE));
    }

    #[test]
    fn what_is_final_stands_for_what_was_live() {
        let (mut outbox, received, start) = watched();
        outbox.push(live("a"));
        outbox.push(live("a b"));
        let last = Update::Text { take: 1, text: "A, B.".into() };
        outbox.push(last.clone());
        outbox.push(Update::Playing { playing: Some(Playing { of: Played::File { id: 3 }, at_ms: 100 }) });
        outbox.push(Update::Playing { playing: None });
        flush(&mut outbox, start + PAUSE);
        assert_eq!(received.try_iter().collect::<Vec<_>>(), [vec![last, Update::Playing { playing: None }]]);
        assert_eq!(outbox.due(start), None);
    }

    #[test]
    fn a_hidden_page_is_told_nothing_and_everything_once_it_is_seen() {
        let (mut outbox, received, start) = watched();
        outbox.set_visible(false);
        outbox.push(live("a"));
        outbox.show(&view(1));
        assert_eq!(outbox.due(start), None);
        flush(&mut outbox, start + PAUSE);
        assert!(received.try_recv().is_err());
        outbox.set_visible(true);
        flush(&mut outbox, start + PAUSE);
        assert_eq!(received.try_recv().unwrap(), everything(1));
        outbox.set_visible(false);
        outbox.set_visible(true);
        flush(&mut outbox, start + 2 * PAUSE);
        assert_eq!(received.try_recv().unwrap(), everything(1), "even what it knew, for it may have been reloaded");
    }
}
