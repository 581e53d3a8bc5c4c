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
    batches: AtomicU64,
    commits: AtomicU64,
    commit_micros: AtomicU64,
    restarts: AtomicU64,
    partitions: AtomicU64,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

/// The counters at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages read, those that only rebuilt state among them.
    pub messages: u64,
    pub readings: u64,
    pub predictions: u64,
    pub anomalous: u64,
    pub batches: u64,
    pub commits: u64,
    pub commit_time: Duration,
    /// How often a worker went back to the committed offsets.
    pub restarts: u64,
    /// Partitions owned now.
    pub partitions: u64,
    /// Dead letters by code.
    pub refused: BTreeMap<&'static str, u64>,
}

impl Metrics {
    pub(crate) fn batch(&self, messages: u64, readings: u64, counts: &Counts) {
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.readings.fetch_add(readings, Ordering::Relaxed);
        self.predictions
            .fetch_add(counts.predictions, Ordering::Relaxed);
        self.anomalous
            .fetch_add(counts.anomalous, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
        if !counts.refused.is_empty()
            && let Ok(mut refused) = self.refused.lock()
        {
            for code in &counts.refused {
                *refused.entry(code).or_default() += 1;
            }
        }
    }

    pub(crate) fn commit(&self, took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commit_micros
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
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
            batches: get(&self.batches),
            commits: get(&self.commits),
            commit_time: Duration::from_micros(get(&self.commit_micros)),
            restarts: get(&self.restarts),
            partitions: get(&self.partitions),
            refused: self
                .refused
                .lock()
                .map(|refused| refused.clone())
                .unwrap_or_default(),
        }
    }
}
