//! Which partitions are quiet: the one place where the wall clock decides anything.
//!
//! A partition is quiet when it has had no record for the idle timeout and the broker says that there is none
//! to read: a broker that can't be reached, or a reader that has fallen behind, must not close windows whose
//! readings wait in the log. What a quiet partition's watermark is moved to is written to the log of outputs
//! as a mark, so that a replay, which has no clock, moves it at the same record.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long the end of the log must stay where it is to be believed. Control records of transactions make it
/// differ from the next record for good.
const BELIEVED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Quiet {
    timeout: Option<Duration>,
    partitions: HashMap<i32, Since>,
}

#[derive(Debug, Clone, Copy)]
struct Since {
    heard: Instant,
    /// The end of the log, and since when it has been there.
    end: Option<(i64, Instant)>,
    asked: Option<Instant>,
}

impl Quiet {
    /// `None`: no partition is ever quiet.
    pub fn new(timeout: Option<Duration>) -> Self {
        Quiet {
            timeout,
            partitions: HashMap::new(),
        }
    }

    /// A record came, or the partition was taken over.
    pub fn heard(&mut self, partition: i32, now: Instant) {
        let since = Since {
            heard: now,
            end: None,
            asked: None,
        };
        self.partitions.insert(partition, since);
    }

    pub fn forget(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// How long a partition has had no record, once that is longer than the timeout.
    pub fn quiet_for(&self, partition: i32, now: Instant) -> Option<Duration> {
        let quiet = now.saturating_duration_since(self.partitions.get(&partition)?.heard);
        self.timeout
            .filter(|timeout| quiet >= *timeout)
            .map(|_| quiet)
    }

    /// Is it time to ask the broker where the log ends? At most once a second.
    pub fn may_ask(&mut self, partition: i32, now: Instant) -> bool {
        let Some(since) = self.partitions.get_mut(&partition) else {
            return false;
        };
        let due = since.asked.is_none_or(|asked| now - asked >= BELIEVED);
        if due {
            since.asked = Some(now);
        }
        due
    }

    /// The broker says that the log ends at `end`: is `next`, the record to be read next, not there yet?
    pub fn is_at_end(&mut self, partition: i32, next: i64, end: i64, now: Instant) -> bool {
        let Some(since) = self.partitions.get_mut(&partition) else {
            return false;
        };
        if end <= next {
            return true;
        }
        match since.end {
            Some((known, at)) if known == end => now - at >= BELIEVED,
            _ => {
                since.end = Some((end, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_quiet_when_there_is_nothing_to_read() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut quiet = Quiet::new(Some(Duration::from_secs(30)));
        quiet.heard(0, begin);
        assert_eq!(quiet.quiet_for(0, at(29)), None);
        assert_eq!(quiet.quiet_for(0, at(30)), Some(Duration::from_secs(30)));
        assert_eq!(quiet.quiet_for(1, at(99)), None);
        assert!(quiet.may_ask(0, at(30)) && !quiet.may_ask(0, at(30)));
        assert!(quiet.is_at_end(0, 7, 7, at(30)));
        // Ten more records than were read: not quiet, unless they never come.
        assert!(!quiet.is_at_end(0, 7, 17, at(31)));
        assert!(!quiet.is_at_end(0, 7, 18, at(32)), "it still grows");
        assert!(quiet.is_at_end(0, 7, 18, at(33)));
        quiet.heard(0, at(40));
        assert_eq!(quiet.quiet_for(0, at(60)), None);
        assert_eq!(Quiet::new(None).quiet_for(0, at(60)), None);
    }
}
