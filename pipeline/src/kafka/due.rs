//! When a worker commits.
//!
//! ```text
//!   up to date      commit-interval ──▶ commit ──▶ commit-interval ──▶ commit     results are soon visible
//!   behind          nine times as long as the last commit took ──▶ commit         a backlog is soon worked off
//! ```
//!
//! A commit is some questions to the brokers, one after the other, which is work for them however little it commits.
//! Behind a backlog no result is early, so commits are to take a tenth of the time at the most, and brokers that answer
//! slowly are asked less often.

use std::time::{Duration, Instant};

/// Of the time until the next commit, in times of the last one.
const WORK: u32 = 9;
/// The longest interval behind a backlog: what is read again after a crash, and how old a result gets at the end.
const LONGEST: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Due {
    /// `delivery.commit-interval`.
    interval: Duration,
    latest: Instant,
    took: Duration,
    is_behind: bool,
}

impl Due {
    pub fn new(interval: Duration, now: Instant) -> Self {
        Due {
            interval,
            latest: now,
            took: Duration::ZERO,
            is_behind: false,
        }
    }

    /// A batch was read; `is_full` where more messages were waiting than it may have.
    pub fn read(&mut self, is_full: bool) {
        self.is_behind = is_full;
    }

    /// A commit ended, and took so long.
    pub fn committed(&mut self, took: Duration, now: Instant) {
        self.took = took;
        self.latest = now;
    }

    /// Until the next commit.
    pub fn within(&self, now: Instant) -> Duration {
        let interval = if self.is_behind {
            self.interval.max((self.took * WORK).min(LONGEST))
        } else {
            self.interval
        };
        interval.saturating_sub(now.saturating_duration_since(self.latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_backlog_a_commit_takes_a_tenth_of_the_time() {
        let ms = Duration::from_millis;
        let begun = Instant::now();
        let mut due = Due::new(ms(25), begun);
        assert_eq!(due.within(begun), ms(25));
        assert_eq!(due.within(begun + ms(10)), ms(15));
        assert_eq!(due.within(begun + ms(30)), ms(0));
        due.committed(ms(20), begun);
        assert_eq!(due.within(begun), ms(25), "up to date");
        due.read(true);
        assert_eq!(due.within(begun), ms(180));
        due.committed(ms(2), begun);
        assert_eq!(due.within(begun), ms(25), "never sooner than asked for");
        due.committed(ms(900), begun);
        assert_eq!(due.within(begun), ms(500), "nor for ever");
        due.read(false);
        assert_eq!(due.within(begun), ms(25), "the backlog is worked off");
        // An interval that is longer than that is kept.
        let mut slow = Due::new(ms(2_000), begun);
        slow.committed(ms(900), begun);
        slow.read(true);
        assert_eq!(slow.within(begun), ms(2_000));
    }
}
