//! What a running pipeline counts. Counters only grow; readers take differences. `partitions` is a gauge.
//!
//! ```text
//!   workers ── once per batch ──▶ Metrics ─┬▶ Totals: the summary lines, the demo, tests
//!                                          └▶ families.rs ─▶ exposition.rs: /metrics
//! ```
//!
//! What is scored again after a worker has gone back to the committed offsets counts again. No asset's name is a
//! label: there may be a million of them.

mod drift;
mod exposition;
mod families;
mod histogram;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use exposition::CONTENT_TYPE;
use histogram::Histogram;

use crate::alarms::AlarmEvent;
use crate::config::ServedModel;
use crate::drift::live::Live;
use crate::engine::Step;
use crate::health::Health;
use crate::kafka::Counts;

/// Upper bounds of durations, in microseconds: from one reading to the answer of a broker that is away.
const TIMES: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];
/// Upper bounds of batches, up to the default of `source.max-batch-messages` and beyond.
const SIZES: &[u64] = &[
    1, 4, 16, 64, 256, 1_024, 2_048, 4_096, 8_192, 16_384, 65_536,
];

/// What a worker spends its time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for a batch that has messages, and gathering it.
    Poll,
    DecodeAndScore,
    EncodeAndSend,
    Commit,
}

impl Stage {
    /// As metrics and traces call it.
    pub fn name(self) -> &'static str {
        STAGES[self as usize]
    }
}

/// In the order of [`Stage`].
const STAGES: [&str; 4] = ["poll", "decode_and_score", "encode_and_send", "commit"];

/// Counters of all workers of a process.
#[derive(Debug)]
pub struct Metrics {
    /// How workers and partitions stand now.
    pub health: Health,
    /// What is not told by the other fields.
    totals: Mutex<Totals>,
    batch_messages: Histogram,
    /// In the order of [`Stage`], in microseconds.
    stages: [Histogram; STAGES.len()],
    results: Mutex<Vec<ModelResults>>,
    alarms: Mutex<BTreeMap<String, AlarmCounts>>,
    /// How far models are from their training.
    pub(crate) drift: Live,
}

/// Published results of one version of a model.
#[derive(Debug)]
struct ModelResults {
    /// Its name; for an entry with a model per asset the name as configured, `{asset}` in it.
    model: String,
    version: u32,
    role: &'static str,
    task: &'static str,
    scored: u64,
    unscored: u64,
}

#[derive(Debug, Default)]
struct AlarmCounts {
    raised: u64,
    cleared: u64,
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
    /// Messages that had the form of one before.
    pub familiar: u64,
    /// Readings dropped because their asset had one at that instant.
    pub duplicates: u64,
    pub status_changes: u64,
    /// Results of challengers.
    pub shadow: u64,
    pub alarms_raised: u64,
    pub alarms_cleared: u64,
    /// Batches with messages.
    pub batches: u64,
    pub commits: u64,
    pub commit_time: Duration,
    /// How often a worker went back to the committed offsets.
    pub restarts: u64,
    /// How often a worker has replaced clients that brokers did not answer any more.
    pub clients_renewed: u64,
    /// Versions of models put in place, by each worker.
    pub swaps: u64,
    /// Versions that were refused, or failed their trial.
    pub swaps_refused: u64,
    /// Those of them that served, on trial.
    pub rolled_back: u64,
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
    pub familiar: u64,
    pub duplicates: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            health: Health::default(),
            totals: Mutex::default(),
            batch_messages: Histogram::new(SIZES, 1.0),
            stages: std::array::from_fn(|_| Histogram::new(TIMES, 1e6)),
            results: Mutex::default(),
            alarms: Mutex::default(),
            drift: Live::default(),
        }
    }
}

impl Metrics {
    pub(crate) fn batch(&self, inputs: Inputs, counts: &Counts) {
        if inputs.messages > 0 {
            self.batch_messages.observe(inputs.messages);
        }
        self.count(|totals| {
            totals.messages += inputs.messages;
            totals.readings += inputs.readings;
            totals.ignored += inputs.ignored;
            totals.familiar += inputs.familiar;
            totals.duplicates += inputs.duplicates;
            totals.predictions += counts.predictions;
            totals.anomalous += counts.anomalous;
            totals.late += counts.late;
            totals.status_changes += counts.status_changes;
            totals.shadow += counts.shadow;
            add_codes(&mut totals.refused, &counts.refused);
            add_codes(&mut totals.unscored, &counts.unscored);
        });
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Totals)) {
        // Sums of whole numbers: a panic elsewhere leaves them as they were.
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts what a step published, by model and by alarm.
    pub(crate) fn step(&self, step: &Step<'_>, entries: &[ServedModel]) {
        let models = step.plan.models.iter().zip(step.outputs);
        for (planned, output) in models {
            if output.rows.is_empty() && output.unscored.is_empty() {
                continue;
            }
            let heads = &step.views[planned.view].heads;
            let published = |row: &u32| heads[*row as usize].publish;
            let (mut scored, mut unscored) = (0, 0);
            for (at, row) in output.rows.iter().enumerate() {
                if published(row) {
                    let is_scored = output.verdicts.get(at).is_some();
                    scored += u64::from(is_scored);
                    unscored += u64::from(!is_scored);
                }
            }
            let without = output.unscored.iter().filter(|(row, _)| published(row));
            unscored += without.count() as u64;
            let entry = entries.get(planned.entry).map(|entry| entry.name.as_str());
            let name = entry.filter(|name| name.contains("{asset}"));
            let of = ModelResults {
                model: String::new(),
                version: planned.model.version,
                role: planned.role.name(),
                task: planned.model.contract.task.name(),
                scored,
                unscored,
            };
            self.add_results(name.unwrap_or(&planned.model.name), &of);
        }
        for change in step.alarms {
            let name = &step.plan.alarms[change.alarm].name;
            self.add_alarm(name, change.event);
        }
    }

    fn add_results(&self, name: &str, new: &ModelResults) {
        let Ok(mut results) = self.results.lock() else {
            return;
        };
        let same = |of: &&mut ModelResults| {
            of.model == name && (of.version, of.role, of.task) == (new.version, new.role, new.task)
        };
        if let Some(of) = results.iter_mut().find(same) {
            of.scored += new.scored;
            of.unscored += new.unscored;
        } else {
            let model = name.to_owned();
            results.push(ModelResults { model, ..*new });
        }
    }

    fn add_alarm(&self, name: &str, event: AlarmEvent) {
        let Ok(mut alarms) = self.alarms.lock() else {
            return;
        };
        if !alarms.contains_key(name) {
            alarms.insert(name.to_owned(), AlarmCounts::default());
        }
        if let Some(counts) = alarms.get_mut(name) {
            counts.raised += u64::from(event == AlarmEvent::Raised);
            counts.cleared += u64::from(event == AlarmEvent::Cleared);
        }
    }

    /// Alarms that there can be: told from the beginning, so that the first one is an increase.
    pub(crate) fn expect_alarms<'a>(&self, names: impl Iterator<Item = &'a str>) {
        if let Ok(mut alarms) = self.alarms.lock() {
            for name in names {
                alarms.entry(name.to_owned()).or_default();
            }
        }
    }

    pub(crate) fn stage(&self, stage: Stage, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.stages[stage as usize].observe(micros);
    }

    /// All counters.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.count(|counted| totals = counted.clone());
        let commits = &self.stages[Stage::Commit as usize];
        totals.batches = self.batch_messages.count();
        totals.commits = commits.count();
        totals.commit_time = Duration::from_micros(commits.sum());
        totals.partitions = self.health.partitions().len() as u64;
        if let Ok(alarms) = self.alarms.lock() {
            totals.alarms_raised = alarms.values().map(|counts| counts.raised).sum();
            totals.alarms_cleared = alarms.values().map(|counts| counts.cleared).sum();
        }
        totals
    }
}

fn add_codes(to: &mut BTreeMap<&'static str, u64>, seen: &BTreeMap<&'static str, u64>) {
    for (code, count) in seen {
        *to.entry(code).or_default() += count;
    }
}
