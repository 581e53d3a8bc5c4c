//! What a running pipeline counts. Counters only grow; readers take differences. `partitions` is a gauge.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::kafka::Counts;

/// Counters of all workers of a process.
#[derive(Debug, Default)]
pub struct Metrics {
    messages: AtomicU64,
    readings: AtomicU64,
    predictions: AtomicU64,
    anomalous: AtomicU64,
    late: AtomicU64,
    ignored: AtomicU64,
    duplicates: AtomicU64,
    status_changes: AtomicU64,
    shadow: AtomicU64,
    alarms_raised: AtomicU64,
    alarms_cleared: AtomicU64,
    batches: AtomicU64,
    commits: AtomicU64,
    commit_micros: AtomicU64,
    restarts: AtomicU64,
    swaps: AtomicU64,
    swaps_refused: AtomicU64,
    challengers_failed: AtomicU64,
    partitions: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    unscored: Mutex<BTreeMap<&'static str, u64>>,
}

/// The counters at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages read, those that only rebuilt state among them.
    pub messages: u64,
    pub readings: u64,
    pub predictions: u64,
    pub anomalous: u64,
    /// Readings that came too late.
    pub late: u64,
    /// Narrow messages whose signal is not declared.
    pub ignored: u64,
    /// Readings dropped because their asset had one at that instant.
    pub duplicates: u64,
    pub status_changes: u64,
    /// Results of challengers.
    pub shadow: u64,
    pub alarms_raised: u64,
    pub alarms_cleared: u64,
    pub batches: u64,
    pub commits: u64,
    pub commit_time: Duration,
    /// How often a worker went back to the committed offsets.
    pub restarts: u64,
    /// Versions of models put in place, by each worker.
    pub swaps: u64,
    /// Versions that were refused, or failed their trial.
    pub swaps_refused: u64,
    /// Challengers left out because they failed.
    pub challengers_failed: u64,
    /// Partitions owned now.
    pub partitions: u64,
    /// Dead letters by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Rows without a score by code.
    pub unscored: BTreeMap<&'static str, u64>,
}

/// What went into a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Inputs {
    pub messages: u64,
    pub readings: u64,
    pub ignored: u64,
    pub duplicates: u64,
}

impl Metrics {
    pub(crate) fn batch(&self, inputs: Inputs, counts: &Counts) {
        let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.messages, inputs.messages);
        add(&self.readings, inputs.readings);
        add(&self.ignored, inputs.ignored);
        add(&self.duplicates, inputs.duplicates);
        add(&self.predictions, counts.predictions);
        add(&self.anomalous, counts.anomalous);
        add(&self.late, counts.late);
        add(&self.status_changes, counts.status_changes);
        add(&self.shadow, counts.shadow);
        add(&self.alarms_raised, counts.alarms_raised);
        add(&self.alarms_cleared, counts.alarms_cleared);
        add(&self.batches, 1);
        by_code(&self.refused, &counts.refused);
        by_code(&self.unscored, &counts.unscored);
    }

    pub(crate) fn commit(&self, took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commit_micros
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn swap(&self) {
        self.swaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn swap_refused(&self) {
        self.swaps_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn challenger_failed(&self) {
        self.challengers_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn assigned(&self, partitions: usize) {
        self.partitions
            .fetch_add(partitions as u64, Ordering::Relaxed);
    }

    pub(crate) fn given_up(&self, partitions: usize) {
        self.partitions
            .fetch_sub(partitions as u64, Ordering::Relaxed);
    }

    /// All counters.
    pub fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            messages: get(&self.messages),
            readings: get(&self.readings),
            predictions: get(&self.predictions),
            anomalous: get(&self.anomalous),
            late: get(&self.late),
            ignored: get(&self.ignored),
            duplicates: get(&self.duplicates),
            status_changes: get(&self.status_changes),
            shadow: get(&self.shadow),
            alarms_raised: get(&self.alarms_raised),
            alarms_cleared: get(&self.alarms_cleared),
            batches: get(&self.batches),
            commits: get(&self.commits),
            commit_time: Duration::from_micros(get(&self.commit_micros)),
            restarts: get(&self.restarts),
            swaps: get(&self.swaps),
            swaps_refused: get(&self.swaps_refused),
            challengers_failed: get(&self.challengers_failed),
            partitions: get(&self.partitions),
            refused: codes(&self.refused),
            unscored: codes(&self.unscored),
        }
    }
}

fn by_code(counters: &Mutex<BTreeMap<&'static str, u64>>, seen: &[&'static str]) {
    if !seen.is_empty()
        && let Ok(mut counters) = counters.lock()
    {
        for code in seen {
            *counters.entry(code).or_default() += 1;
        }
    }
}

fn codes(counters: &Mutex<BTreeMap<&'static str, u64>>) -> BTreeMap<&'static str, u64> {
    counters
        .lock()
        .map(|counters| counters.clone())
        .unwrap_or_default()
}
