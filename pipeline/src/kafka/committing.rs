//! What a worker commits: outputs, the offsets that they come from, and now and then state, in one transaction.
//!
//! Not here: when (`due.rs`), the transaction itself (`sink.rs`), which state is written down (`writing.rs`).

use std::time::Instant;

use rdkafka::Offset;

use super::client;
use super::failure::WorkerError;
use super::farewell;
use super::sink::BatchPublisher;
use super::worker::Worker;
use super::writing::State;
use crate::metrics::Stage;

impl Worker {
    pub(super) fn has_uncommitted(&self) -> bool {
        self.sink.has_uncommitted()
            || self.swapping.has_unsaid()
            || self.uncommitted().next().is_some()
    }

    /// Partitions that have come further than their committed offset.
    fn uncommitted(&self) -> impl Iterator<Item = (i32, i64)> {
        self.engine.partitions().filter_map(|state| {
            let committed = self
                .committed
                .get(&state.partition)
                .copied()
                .unwrap_or(i64::MAX);
            let is_ahead = state.next_offset > committed;
            // Committed again, without the farewell.
            let is_back =
                self.farewells.contains(&state.partition) && state.next_offset == committed;
            (is_ahead || is_back).then_some((state.partition, state.next_offset))
        })
    }

    /// Where all partitions are gone on with.
    fn all_offsets(&self) -> Vec<(i32, i64)> {
        let next = self.engine.partitions().filter_map(|state| {
            // While state is rebuilt it is behind what is committed.
            let committed = *self.committed.get(&state.partition)?;
            Some((state.partition, committed.max(state.next_offset)))
        });
        next.collect()
    }

    pub(super) fn commit(&mut self) -> Result<(), WorkerError> {
        self.commit_with_state(State::Due)
    }

    /// Commits outputs and offsets, and writes state down with them.
    pub(super) fn commit_with_state(&mut self, which: State<'_>) -> Result<(), WorkerError> {
        let state = self.to_write(which);
        let leaves = self.config.delivery.static_membership && matches!(which, State::All);
        if !self.has_uncommitted() && state.is_empty() && !leaves {
            return Ok(());
        }
        let begun = Instant::now();
        for partition in &state {
            self.write_state(*partition)?;
        }
        let offsets: Vec<(i32, i64)> = match leaves {
            true => self.all_offsets(),
            false => self.uncommitted().collect(),
        };
        let mut publisher = BatchPublisher::new(&mut self.sink, &mut self.traced, &[]);
        self.swapping.say(&mut self.encoder, &mut publisher)?;
        let list = self.source.list(
            offsets
                .iter()
                .map(|(p, offset)| (*p, Offset::Offset(*offset))),
        )?;
        if leaves {
            farewell::say(&list, &client::transactional_id(&self.config, self.number));
        }
        self.sink.commit(&list, self.source.consumer())?;
        self.traced.committed(begun);
        self.lag
            .committed(offsets.iter().map(|(partition, _)| *partition));
        for (partition, _) in &offsets {
            self.farewells.remove(partition);
        }
        self.committed.extend(offsets);
        self.swapping.said();
        let now = Instant::now();
        let took = now - begun;
        self.due.committed(took, now);
        tracing::debug!(worker = self.number, ?took, "committed");
        self.metrics.stage(Stage::Commit, took);
        Ok(())
    }
}
