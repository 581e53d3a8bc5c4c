//! When the state of partitions is written down, and its records; they are committed with the outputs and offsets
//! that they belong to.
//!
//! ```text
//!   every   ├───────────────────────────────┼──────────────── of each partition, once
//!           p0      p1      p2      p3      p0      p1        one at a time, evenly spread
//! ```
//!
//! Written one after the other they would be a burst in each interval, and one at each start, which readings wait for.
//!
//! Not here: what a record holds (`saved.rs`), reading it back (`snapshots.rs`), the commit (`committing.rs`).

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::failure::WorkerError;
use super::killpoint::KillPoint;
use super::snapshots::SHARED;
use super::worker::Worker;
use crate::saved::{self, Change};

/// Where the state of a partition was written down.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    /// `None`: not by this worker, since it has the partition.
    pub at: Option<Instant>,
    /// It is that before this record.
    pub offset: i64,
}

/// Of which partitions state is written down.
#[derive(Debug, Clone, Copy)]
pub(super) enum State<'a> {
    Due,
    Of(&'a [i32]),
    All,
}

/// A partition that has come further than what is written down of it.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    partition: i32,
    /// [`Written::at`].
    at: Option<Instant>,
    records: i64,
}

/// The partition of which state is due: it was written down an interval ago or not yet, and a partition's share of the
/// interval has passed since `latest`, when one was the last time. The one that was written longest ago comes first, and
/// of those that were not yet the one with most to read again: processes that live shortly get through all of them.
fn due(
    now: Instant,
    latest: Instant,
    every: Duration,
    owned: usize,
    ahead: impl Iterator<Item = Ahead>,
) -> Option<i32> {
    let since = |at| now.saturating_duration_since(at);
    let share = every / u32::try_from(owned.max(1)).unwrap_or(u32::MAX);
    if since(latest) < share {
        return None;
    }
    let due = ahead.filter(|ahead| ahead.at.is_none_or(|at| since(at) >= every));
    let first = due.min_by_key(|ahead| (ahead.at, Reverse(ahead.records)));
    first.map(|ahead| ahead.partition)
}

impl Worker {
    /// The partitions whose state is to be written down now: those that have come further than what is written.
    pub(super) fn to_write(&self, which: State<'_>) -> Vec<i32> {
        let Some(every) = self.config.delivery.snapshot_every.0 else {
            return Vec::new();
        };
        if !self.engine.plan().has_state() {
            return Vec::new();
        }
        let ahead = self.engine.partitions().filter_map(|state| {
            let written = self.written.get(&state.partition)?;
            // While it is rebuilt it is behind what is committed.
            let is_live = state.next_offset >= state.publish_from;
            let ahead = Ahead {
                partition: state.partition,
                at: written.at,
                records: state.next_offset - written.offset,
            };
            (ahead.records > 0 && is_live).then_some(ahead)
        });
        match which {
            State::All => ahead.map(|ahead| ahead.partition).collect(),
            State::Of(given_up) => ahead
                .map(|ahead| ahead.partition)
                .filter(|partition| given_up.contains(partition))
                .collect(),
            State::Due => {
                let owned = self.written.len();
                let due = due(Instant::now(), self.latest_written, every, owned, ahead);
                due.into_iter().collect()
            }
        }
    }

    /// Writes the state of a partition down, in the transaction at hand.
    pub(super) fn write_state(&mut self, partition: i32) -> Result<(), WorkerError> {
        let begun = Instant::now();
        let fingerprint = self.engine.plan().fingerprint(&self.config);
        let Worker { engine, sink, .. } = self;
        let (mut sent, mut assets, mut bytes) = (Ok(()), 0_u64, 0_u64);
        let shared = engine.save(partition, |change| {
            if sent.is_err() {
                return;
            }
            sent = match change {
                Change::Changed(name, asset) => {
                    let record = saved::encode(fingerprint, asset);
                    assets += 1;
                    bytes += record.len() as u64;
                    sink.write_state(partition, name.as_bytes(), Some(&record))
                }
                Change::Evicted(name) => sink.write_state(partition, name.as_bytes(), None),
            };
        });
        sent?;
        KillPoint::MidSnapshot.pass();
        let record = saved::encode(fingerprint, &shared);
        sink.write_state(partition, SHARED, Some(&record))?;
        let now = Instant::now();
        let written = Written {
            at: Some(now),
            offset: shared.offset,
        };
        self.written.insert(partition, written);
        self.latest_written = now;
        let (took, offset) = (begun.elapsed(), shared.offset);
        tracing::debug!(
            partition,
            offset,
            assets,
            bytes,
            ?took,
            "state is written down"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_mins(1);

    fn ahead(partition: i32, at: Option<Instant>, records: i64) -> Ahead {
        Ahead {
            partition,
            at,
            records,
        }
    }

    /// Of 4 partitions that all come further, looked at every 100 ms: second and partition of each writing.
    #[test]
    fn partitions_are_written_down_once_in_an_interval_and_spread_over_it() {
        let begun = Instant::now();
        let (mut written, mut latest) = ([None; 4], begun);
        let mut seen = Vec::new();
        for tenth in 0..=1_300 {
            let now = begun + Duration::from_millis(100 * tenth);
            let all = (0..4).map(|partition| ahead(partition, written[partition as usize], 10));
            if let Some(partition) = due(now, latest, EVERY, 4, all) {
                written[partition as usize] = Some(now);
                latest = now;
                seen.push((tenth / 10, partition));
            }
        }
        let (first, second) = ([(15, 0), (30, 1), (45, 2), (60, 3)], [(75, 0), (90, 1)]);
        let third = [(105, 2), (120, 3)];
        assert_eq!(seen, [&first[..], &second[..], &third[..]].concat());
    }

    #[test]
    fn the_longest_without_comes_first_and_none_sooner_than_an_interval() {
        let begun = Instant::now();
        let of_four = |seconds, ahead: &[Ahead]| {
            let now = begun + Duration::from_secs(seconds);
            due(now, begun, EVERY, 4, ahead.iter().copied())
        };
        // The others have nothing new: their time is not its own.
        let one = ahead(7, Some(begun), 10);
        assert_eq!(of_four(20, &[one]), None);
        assert_eq!(of_four(60, &[one]), Some(7));
        let never = [ahead(8, None, 5), ahead(9, None, 6)];
        assert_eq!(of_four(14, &never), None);
        assert_eq!(of_four(15, &never), Some(9), "most to read again");
        assert_eq!(of_four(60, &[one, never[0]]), Some(8));
    }
}
