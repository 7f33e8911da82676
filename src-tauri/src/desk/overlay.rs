//! The small window that is seen while somebody dictates into another program: what it shows, and when it is there.
//!
//! It is made at the first dictation, and then only shown and hidden, so that it is there at once.

use std::time::{Duration, Instant};

use amanuensis_dictation::{Event, Outcome, TakeId};
use amanuensis_settings::Settings;

use super::{joined, said};
use crate::wire::{self, DeviceKind, Fault, OverlayStage};

/// Where the answer to its page goes, which asked what to show.
pub type OverlayPage = Box<dyn FnOnce(wire::Overlay) + Send>;

/// Nobody reads faster than this.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it stays when all is written: as long as a glance.
const GLANCE: Duration = Duration::from_millis(900);
/// How long it stays with something to read.
const READ: Duration = Duration::from_millis(2500);
/// The newest letters that are shown: what fits into two lines.
const LETTERS: usize = 160;

/// What has to be done with its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curtain {
    /// Make it, unseen; its page will ask for its news.
    Make,
    /// Let it be seen.
    Open,
    /// Hide it.
    Close,
}

/// The overlay.
#[derive(Default)]
pub struct Overlay {
    /// The user wants it.
    on: bool,
    /// Our own window has the focus: all this is in front of the user's eyes already.
    own_focus: bool,
    asked_for: bool,
    /// Whether its page is there.
    known: bool,
    /// The page's question, while it is not answered.
    page: Option<OverlayPage>,
    seen: bool,
    shown: wire::Overlay,
    /// The take that it is about.
    take: TakeId,
    /// Final text of the take.
    text: String,
    /// Words of the segment that still grows, which will stay.
    committed: String,
    /// When the first sound was heard, while it is recorded.
    since: Option<Instant>,
    /// When it has been seen long enough.
    until: Option<Instant>,
    fresh: bool,
    not_before: Option<Instant>,
}

impl Overlay {
    /// Whether our own window has the focus.
    pub fn set_own_focus(&mut self, own_focus: bool) {
        self.own_focus = own_focus;
    }

    /// What transcribes, and what the user has chosen.
    pub fn set_means(&mut self, device: Option<DeviceKind>, settings: &Settings) {
        self.on = settings.interface.overlay;
        let keys = settings.shortcut.keys.clone();
        let (language, theme) = (settings.interface.language, settings.interface.theme);
        let known = wire::Overlay { device, keys, language, theme, ..self.shown.clone() };
        self.fresh |= known != self.shown;
        self.shown = known;
    }

    /// Its page asks what to show. It was just opened if it asks for the first time.
    pub fn ask(&mut self, first: bool, page: OverlayPage) {
        self.page = Some(page);
        if first {
            self.known = true;
            self.fresh = true;
            self.not_before = None;
        }
    }

    /// Something happened to a dictation.
    pub fn happened(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Opening { take } => {
                self.rest();
                self.take = *take;
                self.shown.stage = OverlayStage::Opening;
            }
            Event::MicrophoneLive { device, .. } => self.shown.microphone = Some(device.clone()),
            Event::HandsFree { on, .. } => self.shown.hands_free = *on,
            Event::Level { level } if self.since.is_some() => self.shown.level = *level,
            Event::Recording { take } if *take == self.take => {
                self.shown.stage = OverlayStage::Recording;
                self.since = Some(now);
            }
            Event::Live { take, committed, tentative } if *take == self.take => {
                self.committed.clone_from(committed);
                self.shown.tentative.clone_from(tentative);
            }
            Event::Segment { take, text } if *take == self.take => {
                self.text = joined(&self.text, text);
                self.committed.clear();
                self.shown.tentative.clear();
            }
            Event::Stopped { take } if *take == self.take => {
                self.count_seconds(now);
                self.since = None;
                self.shown.level = 0.0;
                self.shown.stage = OverlayStage::Writing;
            }
            Event::Finished { take, outcome } if *take == self.take => self.finished(outcome, now),
            _ => return,
        }
        self.fresh = true;
    }

    fn finished(&mut self, outcome: &Outcome, now: Instant) {
        let (stage, stays) = match outcome {
            Outcome::Text(_) => (OverlayStage::Written, GLANCE),
            // Where speech begins takes, a noise that began one is forgotten.
            Outcome::NoSpeech if self.shown.hands_free => return self.rest(),
            Outcome::NoSpeech => (OverlayStage::NoSpeech, READ),
            Outcome::Cancelled => {
                self.text.clear();
                self.committed.clear();
                self.shown.tentative.clear();
                (OverlayStage::Cancelled, GLANCE)
            }
            Outcome::NoMicrophone { reason } => {
                (OverlayStage::Failed { why: said(Fault::NoMicrophone, reason) }, 2 * READ)
            }
            Outcome::Failed { reason, .. } => {
                (OverlayStage::Failed { why: said(Fault::EngineFailed, reason) }, 2 * READ)
            }
        };
        self.since = None;
        self.shown.level = 0.0;
        self.shown.stage = stage;
        self.until = Some(now + stays);
    }

    /// Forgets the take.
    fn rest(&mut self) {
        self.shown.stage = OverlayStage::Waiting;
        self.shown.elapsed_s = 0;
        self.shown.level = 0.0;
        self.shown.tentative.clear();
        self.text.clear();
        self.committed.clear();
        self.since = None;
        self.until = None;
        self.fresh = true;
    }

    /// Tells its page what is new, if it is time, and says what has to be done with its window.
    pub fn advance(&mut self, now: Instant) -> Option<Curtain> {
        if self.until.is_some_and(|until| until <= now) {
            self.rest();
        }
        let wanted = self.on && !self.own_focus && (self.shown.stage != OverlayStage::Waiting || self.shown.hands_free);
        if wanted && !self.known {
            return (!std::mem::replace(&mut self.asked_for, true)).then_some(Curtain::Make);
        }
        if wanted == self.seen {
            if wanted {
                self.tell(now);
            }
            return None;
        }
        self.seen = wanted;
        // Before it is seen, so that it never shows what is old.
        self.not_before = None;
        self.fresh = true;
        self.tell(now);
        Some(if wanted { Curtain::Open } else { Curtain::Close })
    }

    /// When [`advance`](Self::advance) should be called; never, if nothing happens by itself.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let news = (self.seen && self.fresh && self.page.is_some()).then(|| self.not_before.unwrap_or(now));
        self.until.into_iter().chain(news).min()
    }

    fn tell(&mut self, now: Instant) {
        if !self.fresh || self.not_before.is_some_and(|time| time > now) {
            return;
        }
        let Some(page) = self.page.take() else { return };
        self.count_seconds(now);
        self.shown.committed = newest(&joined(&self.text, &self.committed)).to_owned();
        page(self.shown.clone());
        self.fresh = false;
        self.not_before = Some(now + PAUSE);
    }

    fn count_seconds(&mut self, now: Instant) {
        if let Some(since) = self.since {
            self.shown.elapsed_s = u32::try_from(now.saturating_duration_since(since).as_secs()).unwrap_or(u32::MAX);
        }
    }
}

/// The end of a text, from the beginning of a word.
fn newest(text: &str) -> &str {
    let Some((from, _)) = text.char_indices().rev().nth(LETTERS) else { return text };
    let end = &text[from..];
    end.find(char::is_whitespace).map_or(end, |space| end[space..].trim_start())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    use amanuensis_dictation::{Event, Outcome};

    use amanuensis_settings::Settings;

    use super::{Curtain, GLANCE, LETTERS, Overlay, PAUSE, READ, newest};
    use crate::wire::{self, DeviceKind, OverlayStage};

    /// An overlay whose page asks again as soon as it has its answer.
    struct Watched {
        overlay: Overlay,
        sender: Sender<wire::Overlay>,
        told: Receiver<wire::Overlay>,
    }

    impl Watched {
        /// Nobody sees it yet.
        fn new() -> (Self, Instant) {
            let (sender, told) = channel();
            let mut overlay = Overlay::default();
            overlay.set_means(Some(DeviceKind::Cpu), &Settings::default());
            let mut watched = Self { overlay, sender, told };
            watched.ask(true);
            (watched, Instant::now())
        }

        fn ask(&mut self, first: bool) {
            let sender = self.sender.clone();
            self.overlay.ask(first, Box::new(move |shown| sender.send(shown).unwrap()));
        }

        fn happened(&mut self, event: &Event, now: Instant) {
            self.overlay.happened(event, now);
        }

        fn advance(&mut self, now: Instant) -> Option<Curtain> {
            let curtain = self.overlay.advance(now);
            if self.overlay.page.is_none() {
                self.ask(false);
            }
            curtain
        }

        fn newest(&self) -> wire::Overlay {
            self.told.try_iter().last().expect("it was told something")
        }
    }

    fn finished(take: u32, outcome: Outcome) -> Event {
        Event::Finished { take, outcome }
    }

    #[test]
    fn it_is_made_once_and_opens_when_its_page_is_there() {
        let mut overlay = Overlay::default();
        let now = Instant::now();
        overlay.set_means(Some(DeviceKind::Cpu), &Settings::default());
        assert_eq!(overlay.advance(now), None);
        overlay.happened(&Event::Opening { take: 1 }, now);
        assert_eq!(overlay.advance(now), Some(Curtain::Make));
        assert_eq!(overlay.advance(now), None);
        overlay.ask(true, Box::new(|_| {}));
        assert_eq!(overlay.advance(now), Some(Curtain::Open));
        overlay.happened(&finished(1, Outcome::Text("One.".into())), now);
        assert_eq!(overlay.due(now), Some(now + GLANCE), "its page has not asked again");
        overlay.ask(false, Box::new(|_| {}));
        assert_eq!(overlay.due(now), Some(now + PAUSE));
        assert_eq!(overlay.advance(now), None);
        assert_eq!(overlay.advance(now + GLANCE), Some(Curtain::Close));
        assert_eq!(overlay.due(now + GLANCE), None);
        overlay.happened(&Event::Opening { take: 2 }, now + READ);
        assert_eq!(overlay.advance(now + READ), Some(Curtain::Open));
    }

    #[test]
    fn it_shows_a_take_from_its_first_sound_to_its_end() {
        let (mut overlay, start) = Watched::new();
        let at = |seconds| start + Duration::from_secs(seconds);
        overlay.happened(&Event::Opening { take: 1 }, start);
        overlay.advance(start);
        assert_eq!(overlay.newest().stage, OverlayStage::Opening);
        overlay.happened(&Event::Recording { take: 1 }, start);
        overlay.happened(&Event::Segment { take: 1, text: "One.".into() }, at(2));
        let live = |committed: &str, tentative: &str| Event::Live {
            take: 1,
            committed: committed.into(),
            tentative: tentative.into(),
        };
        overlay.happened(&live("Two", "thr"), at(2));
        overlay.happened(&Event::Level { level: 0.5 }, at(2));
        overlay.advance(at(2));
        let shown = overlay.newest();
        assert_eq!((shown.committed.as_str(), shown.tentative.as_str()), ("One. Two", "thr"));
        assert_eq!((shown.elapsed_s, shown.level), (2, 0.5));
        overlay.happened(&Event::Stopped { take: 1 }, at(3));
        overlay.advance(at(4));
        let shown = overlay.newest();
        assert_eq!((shown.stage, shown.elapsed_s, shown.level), (OverlayStage::Writing, 3, 0.0));
        overlay.happened(&finished(1, Outcome::NoSpeech), at(5));
        overlay.advance(at(5));
        assert_eq!(overlay.newest().stage, OverlayStage::NoSpeech);
        assert_eq!(overlay.advance(at(5) + READ), Some(Curtain::Close));
        let shown = overlay.newest();
        assert_eq!((shown.stage, shown.committed.as_str()), (OverlayStage::Waiting, ""), "nothing old is seen again");
    }

    #[test]
    fn a_new_take_is_shown_while_the_one_before_is_written() {
        let (mut overlay, now) = Watched::new();
        overlay.happened(&Event::Opening { take: 1 }, now);
        overlay.happened(&Event::Stopped { take: 1 }, now);
        overlay.happened(&Event::Opening { take: 2 }, now);
        overlay.happened(&Event::Segment { take: 1, text: "Of the first.".into() }, now);
        overlay.happened(&finished(1, Outcome::Text("Of the first.".into())), now);
        overlay.advance(now);
        let shown = overlay.newest();
        assert_eq!((shown.stage, shown.committed.as_str()), (OverlayStage::Opening, ""));
    }

    #[test]
    fn it_is_told_at_most_ten_times_a_second_and_nothing_while_hidden() {
        let (mut overlay, start) = Watched::new();
        overlay.happened(&Event::Opening { take: 1 }, start);
        overlay.happened(&Event::Recording { take: 1 }, start);
        for ms in 0..1000 {
            let now = start + Duration::from_millis(ms);
            overlay.happened(&Event::Level { level: 0.1 }, now);
            overlay.advance(now);
        }
        assert_eq!(overlay.told.try_iter().count(), 10);
        overlay.overlay.set_own_focus(true);
        assert_eq!(overlay.advance(start + READ), Some(Curtain::Close));
        overlay.told.try_iter().for_each(drop);
        overlay.happened(&Event::Level { level: 0.2 }, start + READ);
        assert_eq!(overlay.overlay.due(start + READ), None);
        overlay.advance(start + 2 * READ);
        assert_eq!(overlay.told.try_iter().count(), 0);
        overlay.overlay.set_own_focus(false);
        assert_eq!(overlay.advance(start + 2 * READ), Some(Curtain::Open));
    }

    #[test]
    fn without_hands_it_is_there_between_takes_and_forgets_noises() {
        let (mut overlay, now) = Watched::new();
        overlay.happened(&Event::HandsFree { on: true, asked: true }, now);
        assert_eq!(overlay.advance(now), Some(Curtain::Open));
        overlay.happened(&Event::Opening { take: 1 }, now);
        overlay.happened(&finished(1, Outcome::NoSpeech), now);
        overlay.advance(now + READ);
        let shown = overlay.newest();
        assert!(shown.hands_free && shown.stage == OverlayStage::Waiting);
        overlay.happened(&Event::HandsFree { on: false, asked: true }, now);
        assert_eq!(overlay.advance(now + READ), Some(Curtain::Close));
    }

    #[test]
    fn of_a_long_text_the_newest_words_are_shown() {
        assert_eq!(newest("One two."), "One two.");
        let long = "W\u{f6}rter ".repeat(100);
        let shown = newest(long.trim());
        assert!(shown.starts_with("W\u{f6}rter W") && shown.chars().count() <= LETTERS, "{shown}");
    }
}
