//! How the workers and their partitions stand at this moment: what probes and gauges are made of.
//!
//! Workers write it once a second and at changes; nothing here is on the path of a record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::pulse::Pulse;

/// How long a call may take until the brokers are taken for away: a worker that waits for them tells nothing else.
const SLOW: Duration = Duration::from_secs(5);

/// Shared by the workers and who asks.
#[derive(Debug, Default)]
pub struct Health(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stage: Stage,
    /// How long a worker may be without coming on.
    limit: Duration,
    workers: Vec<WorkerHealth>,
    partitions: BTreeMap<i32, PartitionHealth>,
}

/// How far the process is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    Loading,
    /// Brokers, topics and identity are looked at.
    Connecting,
    Running,
    Draining,
}

#[derive(Debug)]
struct WorkerHealth {
    pulse: Arc<Pulse>,
    phase: Phase,
    /// Why it goes back to the committed offsets, and since when.
    error: Option<(String, SystemTime)>,
    /// Since when the brokers are not reached.
    outage: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its clients are being opened.
    Opening,
    /// It waits for an assignment: its first one, or the next one after it has given all up.
    Joining,
    /// It knows which partitions are its own, if any.
    Member,
}

/// How a partition stands, as its worker last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartitionHealth {
    pub worker: usize,
    /// Records behind the committed offset; `None` while the end of the log is not known.
    pub lag: Option<u64>,
    /// Timestamp of the latest committed record, in milliseconds since 1970; `None` before the first one.
    pub committed_at: Option<i64>,
    /// Records that still rebuild state before outputs go on.
    pub to_rebuild: u64,
    /// Microseconds since 1970; `None` before the first reading.
    pub watermark: Option<i64>,
}

impl PartitionHealth {
    /// How old what is committed is: `now`, in milliseconds since 1970, minus the timestamp of the latest
    /// committed record; 0 at the end of the log.
    pub fn lag_seconds(&self, now: i64) -> Option<f64> {
        match (self.lag, self.committed_at) {
            (Some(0), _) => Some(0.0),
            (_, at) => at.map(|at| (now - at).max(0) as f64 / 1e3),
        }
    }

    /// How far the watermark is behind the clock.
    pub fn watermark_delay_seconds(&self, now: i64) -> Option<f64> {
        self.watermark
            .map(|watermark| (now * 1_000 - watermark) as f64 / 1e6)
    }
}

impl Health {
    /// The workers that there will be, and how long one may be without coming on.
    pub fn expect(&self, workers: usize, limit: Duration) -> Vec<Arc<Pulse>> {
        let mut inner = self.lock();
        inner.limit = limit;
        let worker = || WorkerHealth {
            pulse: Arc::default(),
            phase: Phase::Opening,
            error: None,
            outage: None,
        };
        inner.workers = std::iter::repeat_with(worker).take(workers).collect();
        let pulses = inner.workers.iter().map(|worker| worker.pulse.clone());
        pulses.collect()
    }

    pub fn enter(&self, stage: Stage) {
        self.lock().stage = stage;
    }

    /// A worker's clients are open, and it waits for its assignment.
    pub fn joining(&self, worker: usize) {
        self.of(worker, |health| health.phase = Phase::Joining);
    }

    /// A worker knows its partitions.
    pub fn member(&self, worker: usize) {
        self.of(worker, |health| health.phase = Phase::Member);
    }

    /// A worker goes back to the committed offsets because of `error`.
    pub fn going_back(&self, worker: usize, error: &str) {
        self.of(worker, |health| {
            let since = health.error.take().map(|(_, since)| since);
            health.error = Some((error.to_owned(), since.unwrap_or_else(SystemTime::now)));
        });
    }

    /// A worker has gone back, and goes on.
    pub fn going_on(&self, worker: usize) {
        self.of(worker, |health| health.error = None);
    }

    /// Are the brokers reached by a worker?
    pub fn reached(&self, worker: usize, reached: bool) {
        self.of(worker, |health| {
            let since = health.outage.unwrap_or_else(SystemTime::now);
            health.outage = (!reached).then_some(since);
        });
    }

    /// All partitions of a worker.
    pub fn partitions_of(
        &self,
        worker: usize,
        partitions: impl Iterator<Item = (i32, PartitionHealth)>,
    ) {
        let mut inner = self.lock();
        inner.partitions.retain(|_, health| health.worker != worker);
        inner.partitions.extend(partitions);
    }

    pub fn partitions(&self) -> BTreeMap<i32, PartitionHealth> {
        self.lock().partitions.clone()
    }

    /// Why the process should be started anew: workers that have not come on. Empty: it is alive.
    pub fn stuck(&self, now: Instant) -> Vec<String> {
        let inner = self.lock();
        let mut stuck = Vec::new();
        for (worker, health) in inner.workers.iter().enumerate() {
            let doing = health.pulse.doing();
            let lasts = doing.lasts(now);
            if lasts > inner.limit {
                let (seconds, limit) = (lasts.as_secs(), inner.limit.as_secs());
                let what = doing.call.map_or_else(
                    || "has not turned its loop".to_owned(),
                    |call| format!("has been in {call}"),
                );
                stuck.push(format!(
                    "worker {worker} {what} for {seconds} s, longer than {limit} s"
                ));
            }
        }
        stuck
    }

    /// Why the process does not score all that comes. Empty: it is ready.
    pub fn not_ready(&self) -> Vec<String> {
        self.reasons(Instant::now())
    }

    fn reasons(&self, now: Instant) -> Vec<String> {
        let inner = self.lock();
        match inner.stage {
            Stage::Loading => return vec!["starting: models are not loaded yet".into()],
            Stage::Connecting => {
                return vec!["starting: brokers, topics and identity are looked at".into()];
            }
            Stage::Draining => return vec!["draining: it was told to stop".into()],
            Stage::Running => {}
        }
        let mut reasons = Vec::new();
        for (worker, health) in inner.workers.iter().enumerate() {
            match health.phase {
                Phase::Opening => {
                    let call = health.pulse.doing().call;
                    let call = call.map_or(String::new(), |call| format!(" ({call})"));
                    reasons.push(format!("worker {worker}: starting{call}"));
                }
                Phase::Joining => reasons.push(format!("worker {worker}: no assignment yet")),
                Phase::Member => {}
            }
            let doing = health.pulse.doing();
            if let Some(call) = doing.call
                && doing.lasts(now) > SLOW
            {
                let seconds = doing.lasts(now).as_secs();
                reasons.push(format!(
                    "worker {worker}: no answer in {call} for {seconds} s"
                ));
            }
            if let Some(since) = health.outage {
                let since = at(since);
                reasons.push(format!(
                    "worker {worker}: brokers not reached since {since}"
                ));
            }
            if let Some((error, since)) = &health.error {
                let since = at(*since);
                reasons.push(format!(
                    "worker {worker}: going back to the committed offsets since {since}: {error}"
                ));
            }
        }
        for (partition, health) in &inner.partitions {
            if health.to_rebuild > 0 {
                let (worker, records) = (health.worker, health.to_rebuild);
                reasons.push(format!(
                    "worker {worker}: rebuilding state of partition {partition} ({records} records to go)"
                ));
            }
        }
        reasons
    }

    fn of(&self, worker: usize, change: impl FnOnce(&mut WorkerHealth)) {
        if let Some(health) = self.lock().workers.get_mut(worker) {
            change(health);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change is of one field; a panic leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn at(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pulse;

    fn running(workers: usize) -> (Health, Vec<Arc<Pulse>>) {
        let health = Health::default();
        let pulses = health.expect(workers, Duration::from_secs(60));
        health.enter(Stage::Running);
        (health, pulses)
    }

    #[test]
    fn readiness_names_every_reason() {
        let health = Health::default();
        assert_eq!(health.not_ready(), ["starting: models are not loaded yet"]);
        health.expect(2, Duration::from_secs(60));
        health.enter(Stage::Running);
        assert_eq!(
            health.not_ready(),
            ["worker 0: starting", "worker 1: starting"]
        );
        health.joining(0);
        health.member(1);
        assert_eq!(health.not_ready(), ["worker 0: no assignment yet"]);
        health.member(0);
        assert_eq!(health.not_ready(), [""; 0]);
        let partition = |to_rebuild| PartitionHealth {
            worker: 1,
            to_rebuild,
            ..PartitionHealth::default()
        };
        let all = [(3, partition(17)), (4, partition(0))];
        health.partitions_of(1, all.into_iter());
        health.reached(0, false);
        health.going_back(1, "no answer");
        let reasons = health.not_ready();
        assert!(reasons[0].starts_with("worker 0: brokers not reached since 2"));
        assert!(reasons[1].starts_with("worker 1: going back"));
        assert!(reasons[1].ends_with("Z: no answer"), "{reasons:?}");
        assert_eq!(
            reasons[2..],
            ["worker 1: rebuilding state of partition 3 (17 records to go)"]
        );
        health.reached(0, true);
        health.going_on(1);
        health.partitions_of(1, [(4, partition(0))].into_iter());
        assert_eq!(health.not_ready(), [""; 0]);
        health.enter(Stage::Draining);
        assert_eq!(health.not_ready(), ["draining: it was told to stop"]);
    }

    #[test]
    fn a_partition_that_moves_is_that_of_its_new_worker() {
        let (health, _) = running(2);
        let of = |worker| PartitionHealth {
            worker,
            ..PartitionHealth::default()
        };
        health.partitions_of(0, [(0, of(0)), (1, of(0))].into_iter());
        health.partitions_of(1, [(1, of(1))].into_iter());
        health.partitions_of(0, [(0, of(0))].into_iter());
        let workers = health.partitions().into_values().map(|p| p.worker);
        assert_eq!(workers.collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_worker_that_does_not_come_on_is_stuck_and_says_in_what() {
        let (health, pulses) = running(2);
        let (entered_tx, entered_rx) = std::sync::mpsc::channel();
        let (leave_tx, leave_rx) = std::sync::mpsc::channel::<()>();
        let pulse = pulses[1].clone();
        let blocked = std::thread::spawn(move || {
            pulse.carry();
            pulse::call("send_offsets_to_transaction", || {
                entered_tx.send(()).expect("heard");
                let _ = leave_rx.recv();
            });
        });
        entered_rx.recv().expect("it enters");
        let after = |pulse: &Pulse, seconds| pulse.doing().since + Duration::from_secs(seconds);
        assert_eq!(health.stuck(after(&pulses[0], 60)), [""; 0]);
        assert_eq!(
            health.stuck(after(&pulses[1], 61))[1],
            "worker 1 has been in send_offsets_to_transaction for 61 s, longer than 60 s"
        );
        assert_eq!(
            health.reasons(after(&pulses[1], 7)).last().expect("one"),
            "worker 1: no answer in send_offsets_to_transaction for 7 s"
        );
        assert_eq!(
            health.stuck(after(&pulses[0], 61))[0],
            "worker 0 has not turned its loop for 61 s, longer than 60 s"
        );
        drop(leave_tx);
        blocked.join().expect("no panic");
    }

    #[test]
    fn lag_in_seconds_is_nothing_at_the_end_of_the_log() {
        let at = |lag, committed_at| PartitionHealth {
            lag,
            committed_at,
            watermark: Some(4_000_000),
            ..PartitionHealth::default()
        };
        assert_eq!(at(Some(0), Some(1_000)).lag_seconds(9_500), Some(0.0));
        assert_eq!(at(Some(3), Some(1_000)).lag_seconds(9_500), Some(8.5));
        assert_eq!(at(None, Some(1_000)).lag_seconds(9_500), Some(8.5));
        assert_eq!(at(Some(3), None).lag_seconds(9_500), None);
        assert_eq!(at(None, None).watermark_delay_seconds(9_500), Some(5.5));
    }
}
