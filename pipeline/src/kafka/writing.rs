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

use std::time::{Duration, Instant};

use super::failure::WorkerError;
use super::killpoint::KillPoint;
use super::snapshots::SHARED;
use super::worker::Worker;
use crate::saved::{self, Change};

/// Where the state of a partition was written down.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    /// `None`: never.
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

/// Has a partition's share of the interval passed since `latest`, when one was written down?
fn may_write(now: Instant, latest: Instant, every: Duration, owned: usize) -> bool {
    let share = every / u32::try_from(owned.max(1)).unwrap_or(u32::MAX);
    now.saturating_duration_since(latest) >= share
}

/// The partition that was written down longest ago, if that was an interval ago, or never.
fn due(
    now: Instant,
    ahead: impl Iterator<Item = (Option<Instant>, i32)>,
    every: Duration,
) -> Option<i32> {
    let is_due =
        |at: &Option<Instant>| at.is_none_or(|at| now.saturating_duration_since(at) >= every);
    let longest_ago = ahead.filter(|(at, _)| is_due(at)).min();
    longest_ago.map(|(_, partition)| partition)
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
            let is_ahead = state.next_offset > written.offset;
            // While it is rebuilt it is behind what is committed.
            let is_live = state.next_offset >= state.publish_from;
            (is_ahead && is_live).then_some((written.at, state.partition))
        });
        match which {
            State::All => ahead.map(|(_, partition)| partition).collect(),
            State::Of(given_up) => ahead
                .map(|(_, partition)| partition)
                .filter(|partition| given_up.contains(partition))
                .collect(),
            State::Due => {
                let (now, owned) = (Instant::now(), self.written.len());
                let due = match may_write(now, self.latest_written, every, owned) {
                    true => due(now, ahead, every),
                    false => None,
                };
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

    /// Of 4 partitions that all come further, looked at every 100 ms; written are the second and the partition.
    #[test]
    fn partitions_are_written_down_once_in_an_interval_and_spread_over_it() {
        let every = Duration::from_secs(60);
        let begun = Instant::now();
        let (mut written, mut latest) = ([None; 4], begun);
        let mut seen = Vec::new();
        for tenth in 0..=1_300 {
            let now = begun + Duration::from_millis(100 * tenth);
            if !may_write(now, latest, every, written.len()) {
                continue;
            }
            let ahead = written.iter().copied().zip(0..);
            if let Some(partition) = due(now, ahead, every) {
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
    fn one_partition_that_comes_further_is_not_written_in_the_time_of_the_others() {
        let every = Duration::from_secs(60);
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let ahead = || [(Some(begun), 7)].into_iter();
        assert!(may_write(after(20), begun, every, 4));
        assert_eq!(due(after(20), ahead(), every), None);
        assert_eq!(due(after(60), ahead(), every), Some(7));
        // Never written down: first.
        let ahead = [(Some(begun), 7), (None, 8)].into_iter();
        assert_eq!(due(after(60), ahead, every), Some(8));
    }
}
