//! When the state of partitions is written down, and its records; they are committed with the outputs and offsets
//! that they belong to.
//!
//! Not here: what a record holds (`saved.rs`), reading it back (`snapshots.rs`), the commit (`committing.rs`).

use std::time::Instant;

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
            // One at a time, so that no commit takes long: the one that was written longest ago.
            State::Due => {
                let is_due = |at: &Option<Instant>| at.is_none_or(|at| at.elapsed() >= every);
                let longest_ago = ahead.filter(|(at, _)| is_due(at)).min();
                longest_ago
                    .map(|(_, partition)| partition)
                    .into_iter()
                    .collect()
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
        let written = Written {
            at: Some(Instant::now()),
            offset: shared.offset,
        };
        self.written.insert(partition, written);
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
