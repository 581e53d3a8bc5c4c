//! What benches on a real Kafka share: a service in this process, and what the process has used.
#![allow(dead_code, reason = "each bench uses its part")]

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use forewarn_models::Loader;

use forewarn_pipeline::metrics::{Metrics, Totals};
use forewarn_pipeline::service::ServiceError;
use forewarn_pipeline::{Config, Service, Shutdown};

/// Of every topic here.
pub const PARTITIONS: usize = 8;

/// A service in a thread of this process.
pub struct Serving {
    pub metrics: Arc<Metrics>,
    shutdown: Shutdown,
    thread: JoinHandle<Result<Totals, ServiceError>>,
}

impl Serving {
    /// Starts it, and waits until it has all partitions: joining the group is no part of a rate.
    pub fn start(config: Config) -> Self {
        let service = Service::new(config, Loader::trusted()).expect("the shipped models");
        let (metrics, shutdown) = (service.metrics(), Shutdown::default());
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || service.run(&stop, Some(PARTITIONS)));
        let serving = Serving {
            metrics,
            shutdown,
            thread,
        };
        serving.wait_until(|totals| totals.partitions >= PARTITIONS as u64);
        serving
    }

    /// Waits until so many readings were processed.
    pub fn wait_for(&self, readings: u64) {
        self.wait_until(|totals| totals.readings >= readings);
    }

    /// Or until the service has ended by itself, which [`Self::end`] tells of.
    fn wait_until(&self, done: impl Fn(&Totals) -> bool) {
        while !done(&self.metrics.totals()) && !self.thread.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Tells it to stop, and waits until it has.
    pub fn end(self) -> Totals {
        self.shutdown.request();
        self.thread
            .join()
            .expect("the service does not panic")
            .expect("the service ends well")
    }
}

/// How long commits took.
pub fn commits(totals: &Totals) -> String {
    let each = totals.commit_time.as_secs_f64() * 1e3 / totals.commits.max(1) as f64;
    let (commits, batches) = (totals.commits, totals.batches);
    format!("{commits} commits of {each:.1} ms on average, {batches} batches")
}

/// User and system time of this process so far.
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    // Fields 14 and 15 of proc(5), in clock ticks of 1/100 s.
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
