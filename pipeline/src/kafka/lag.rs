//! How far behind each partition is, told once a second.
//!
//! ```text
//!   log of a partition   ... committed ... read ...... end (as the last fetch told it: nobody is asked)
//!                                └─────── lag ────────┘
//! ```
//!
//! The end of the log may be beyond the last record for good: control records of transactions stand there. Where
//! the client has said that it came to the end, the lag is what is read and not yet committed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::source::End;
use super::worker::Worker;
use crate::health::PartitionHealth;
use crate::message::Message;

/// Between two tellings.
const EVERY: Duration = Duration::from_secs(1);

/// Timestamps of what was read and committed, by partition, in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Lag {
    read_at: HashMap<i32, i64>,
    committed_at: HashMap<i32, i64>,
    told: Option<Instant>,
}

impl Lag {
    /// A batch is processed.
    pub fn read(&mut self, messages: &[Message<'_>]) {
        for messages in messages.chunk_by(|a, b| a.partition == b.partition) {
            if let Some(last) = messages.last()
                && let Some(at) = last.timestamp
            {
                self.read_at.insert(last.partition, at);
            }
        }
    }

    /// Timestamp of the last record that was read.
    pub fn read_at(&self, partition: i32) -> Option<i64> {
        self.read_at.get(&partition).copied()
    }

    /// Everything up to a record with this timestamp is committed.
    pub fn committed(&mut self, partition: i32, at: i64) {
        self.committed_at.insert(partition, at);
    }

    /// The partition is given up, or read again.
    pub fn forget(&mut self, partition: i32) {
        self.read_at.remove(&partition);
        self.committed_at.remove(&partition);
    }

    /// Something has changed that is not to wait.
    pub fn tell_soon(&mut self) {
        self.told = None;
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.told.is_none_or(|told| now - told >= EVERY);
        if due {
            self.told = Some(now);
        }
        due
    }
}

impl Worker {
    /// Tells how it stands, when that is due.
    pub(super) fn tell(&mut self) {
        if !self.lag.is_due(Instant::now()) {
            return;
        }
        let reached = self.source.is_reached();
        self.metrics.health.reached(self.number, reached);
        let (source, lag, committed) = (&self.source, &self.lag, &self.committed);
        let worker = self.number;
        let partitions = self.engine.partitions().map(|state| {
            let partition = state.partition;
            let place = Place {
                next: state.next_offset,
                publish_from: state.publish_from,
                committed: committed.get(&partition).copied(),
            };
            let at = state.watermark.at();
            let health = PartitionHealth {
                worker,
                committed_at: lag.committed_at.get(&partition).copied(),
                watermark: (at != i64::MIN).then_some(at),
                ..place.behind(source.end_known(partition))
            };
            (partition, health)
        });
        self.metrics.health.partitions_of(worker, partitions);
    }
}

/// How far a partition has come, in offsets.
struct Place {
    next: i64,
    publish_from: i64,
    committed: Option<i64>,
}

impl Place {
    /// What is left of it, with the end of its log.
    fn behind(&self, end: Option<End>) -> PartitionHealth {
        let at_end = matches!(end, Some(End::Reached));
        let end = match end {
            Some(End::Reached) => Some(self.next),
            Some(End::At(end)) => Some(end.max(self.next)),
            None => None,
        };
        let count = |from: i64, to: i64| u64::try_from(to - from).unwrap_or(0);
        let to_rebuild = if at_end {
            0
        } else {
            count(self.next, self.publish_from)
        };
        PartitionHealth {
            lag: end
                .zip(self.committed)
                .map(|(end, committed)| count(committed, end)),
            to_rebuild,
            ..PartitionHealth::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_as_old_as_its_last_record() {
        let mut lag = Lag::default();
        let message = |partition, timestamp| Message {
            partition,
            offset: 0,
            timestamp,
            key: None,
            payload: None,
        };
        lag.read(&[
            message(0, Some(5)),
            message(0, Some(6)),
            message(1, Some(7)),
        ]);
        let at = lag.read_at(0).expect("it was read");
        // Read while that is being committed.
        lag.read(&[message(0, Some(9))]);
        lag.committed(0, at);
        assert_eq!(lag.committed_at, HashMap::from([(0, 6)]));
        assert_eq!(lag.read_at(1), Some(7));
        lag.forget(0);
        assert_eq!((lag.read_at(0), lag.committed_at.len()), (None, 0));
        let now = Instant::now();
        assert!(lag.is_due(now) && !lag.is_due(now) && lag.is_due(now + EVERY));
        lag.tell_soon();
        assert!(lag.is_due(now));
    }

    #[test]
    fn lag_is_what_follows_the_committed_offset() {
        let behind = |next, committed, end| {
            let place = Place {
                next,
                publish_from: 40,
                committed: Some(committed),
            };
            let told = place.behind(end);
            (told.lag, told.to_rebuild)
        };
        assert_eq!(behind(70, 60, Some(End::At(100))), (Some(40), 0));
        // The last record of the log is a control record: there is nothing to read.
        assert_eq!(behind(99, 99, Some(End::Reached)), (Some(0), 0));
        assert_eq!(behind(99, 90, Some(End::Reached)), (Some(9), 0));
        assert_eq!(behind(70, 60, None), (None, 0));
        // While state is rebuilt the committed offset is ahead of what is read.
        assert_eq!(behind(15, 40, Some(End::At(100))), (Some(60), 25));
        assert_eq!(behind(39, 40, Some(End::Reached)), (Some(0), 0));
    }
}
