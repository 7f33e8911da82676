//! What day it is, for rules that forget: by a clock that may be set, within what a clock that cannot be set allows.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// The machine's clock at the beginning, and how long the machine had been running then.
pub struct Calendar {
    began: SystemTime,
    running: Duration,
}

impl Calendar {
    /// A calendar that begins now.
    pub fn start() -> Self {
        Self { began: SystemTime::now(), running: running() }
    }

    /// The day by the machine's clock, but none that has not come since the beginning. A clock that was set forward by mistake
    /// so forgets nothing: what is forgotten too early is gone.
    pub fn now(&self) -> SystemTime {
        self.at(SystemTime::now(), running())
    }

    fn at(&self, clock: SystemTime, running: Duration) -> SystemTime {
        clock.min(self.began + running.saturating_sub(self.running))
    }
}

/// How long the machine has been running, the time included in which it was suspended.
fn running() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_forward_makes_nothing_older_and_one_that_jumps_back_is_believed() {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let began = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let calendar = Calendar { began, running: 3 * DAY };
        assert_eq!(calendar.at(began + DAY, 4 * DAY), began + DAY);
        assert_eq!(calendar.at(began + 400 * DAY, 4 * DAY), began + DAY);
        assert_eq!(calendar.at(began - 400 * DAY, 4 * DAY), began - 400 * DAY);
        assert_eq!(calendar.at(SystemTime::UNIX_EPOCH - DAY, 4 * DAY), SystemTime::UNIX_EPOCH - DAY);
        let calendar = Calendar::start();
        let (before, now) = (SystemTime::now() - Duration::from_secs(1), calendar.now());
        assert!(before <= now && now <= SystemTime::now(), "{now:?}");
    }
}
