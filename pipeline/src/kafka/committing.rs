//! What a worker commits: outputs, the offsets that they come from, and now and then state, in one transaction.
//!
//! ```text
//!   worker        ... send ─ prepare ┬ poll, score the next batch ┬ done ─ send what it caused ...
//!   its thread                       └ acknowledgements, commit ──┘
//! ```
//!
//! A commit is mostly waiting, so the next batch is read and scored beside it. Nothing of that batch is sent before
//! the commit has ended: it would be in no transaction, or in the wrong one. If the commit fails, the batch is
//! forgotten with it. While the commit runs the producer belongs to its thread.
//!
//! Not here: when (`due.rs`), the transaction itself (`sink.rs`), which state is written down (`writing.rs`).

use std::thread;
use std::time::Instant;

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::client;
use super::failure::WorkerError;
use super::farewell;
use super::sink::{BatchPublisher, Sink, SinkError};
use super::worker::Worker;
use super::writing::State;
use crate::metrics::Stage;
use crate::pulse;

/// A commit of which everything is sent, and which has to be asked for.
pub(super) struct Commit {
    begun: Instant,
    offsets: TopicPartitionList,
    /// Next record of each partition, and the timestamp of the last one that was read.
    places: Vec<(i32, i64, Option<i64>)>,
}

impl Commit {
    /// Asks for it and waits; gives when it had ended.
    fn ask<C: ConsumerContext>(
        &self,
        sink: &mut Sink,
        consumer: &impl Consumer<C>,
    ) -> Result<Instant, SinkError> {
        sink.commit(&self.offsets, consumer)?;
        Ok(Instant::now())
    }
}

/// Does `work`, while a commit, if there is one, is asked for and waited for on a thread of its own. Gives when the
/// commit had ended, too.
pub(super) fn beside<C: ConsumerContext, T>(
    commit: Option<&Commit>,
    sink: &mut Sink,
    consumer: &(impl Consumer<C> + Sync),
    work: impl FnOnce() -> T,
) -> (Option<Result<Instant, WorkerError>>, T) {
    let Some(commit) = commit else {
        return (None, work());
    };
    thread::scope(|scope| {
        let ask = pulse::beside(|| commit.ask(sink, consumer));
        let builder = thread::Builder::new().name("commit".to_owned());
        let asked = match builder.spawn_scoped(scope, ask) {
            Ok(thread) => thread,
            // Nothing was asked for; it is tried again as after any other commit that failed.
            Err(error) => return (Some(Err(WorkerError::Thread(error))), work()),
        };
        let worked = work();
        let ended = asked
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (Some(ended.map_err(WorkerError::from)), worked)
    })
}

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
        if let Some(commit) = self.prepare_commit(which)? {
            let ended = commit.ask(&mut self.sink, self.source.consumer())?;
            self.committed(commit, ended);
        }
        Ok(())
    }

    /// What there is to commit if it is time for it, with state that is due.
    pub(super) fn commit_due(&mut self) -> Result<Option<Commit>, WorkerError> {
        match self.due.within(Instant::now()).is_zero() {
            true => self.prepare_commit(State::Due),
            false => Ok(None),
        }
    }

    /// Sends what goes with a commit; `None` when there is nothing to commit.
    fn prepare_commit(&mut self, which: State<'_>) -> Result<Option<Commit>, WorkerError> {
        let state = self.to_write(which);
        let leaves = self.config.delivery.static_membership && matches!(which, State::All);
        if !self.has_uncommitted() && state.is_empty() && !leaves {
            return Ok(None);
        }
        let begun = Instant::now();
        for partition in &state {
            self.write_state(*partition)?;
        }
        let next: Vec<(i32, i64)> = match leaves {
            true => self.all_offsets(),
            false => self.uncommitted().collect(),
        };
        let mut publisher = BatchPublisher::new(&mut self.sink, &mut self.traced, &[]);
        self.swapping.say(&mut self.encoder, &mut publisher)?;
        let offsets = next.iter().map(|(p, next)| (*p, Offset::Offset(*next)));
        let offsets = self.source.list(offsets)?;
        if leaves {
            let name = client::transactional_id(&self.config, self.number);
            farewell::say(&offsets, &name);
        }
        self.traced.committing();
        let places = next
            .into_iter()
            .map(|(partition, next)| (partition, next, self.lag.read_at(partition)));
        Ok(Some(Commit {
            begun,
            offsets,
            places: places.collect(),
        }))
    }

    /// Takes note of a commit that succeeded.
    pub(super) fn committed(&mut self, commit: Commit, ended: Instant) {
        self.traced.committed((commit.begun, ended));
        for (partition, next, read_at) in commit.places {
            self.farewells.remove(&partition);
            self.committed.insert(partition, next);
            if let Some(at) = read_at {
                self.lag.committed(partition, at);
            }
        }
        self.swapping.said();
        let took = ended - commit.begun;
        self.due.committed(took, ended);
        tracing::debug!(worker = self.number, ?took, "committed");
        self.metrics.stage(Stage::Commit, took);
    }
}
