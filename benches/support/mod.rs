//! What benches on a real Kafka share: a service in this process, and what the process has used.
#![allow(dead_code, reason = "each bench uses its part")]

use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use forewarn_models::Loader;

use forewarn_pipeline::metrics::{Metrics, Totals};
use forewarn_pipeline::service::ServiceError;
use forewarn_pipeline::{Config, Service, Shutdown};

/// Of a topic, where nothing else is said.
pub const PARTITIONS: usize = 8;

/// Names a pipeline, and gives topics of its own to what it publishes.
pub fn rename(config: &mut Config, name: &str) {
    name.clone_into(&mut config.name);
    config.sink.predictions = format!("{name}-out");
    config.sink.dead_letters = format!("{name}-dead");
    config.sink.late = format!("{name}-late");
    config.sink.alarms = format!("{name}-alarms");
}

/// A service in a thread of this process.
pub struct Serving {
    pub metrics: Arc<Metrics>,
    shutdown: Shutdown,
    thread: JoinHandle<Result<Totals, ServiceError>>,
}

impl Serving {
    /// Starts it on topics of so many partitions, and waits until it has all of them: joining the group is no part of a
    /// rate.
    pub fn start(config: Config, partitions: usize) -> Self {
        let service = Service::new(config, Loader::trusted()).expect("the shipped models");
        let (metrics, shutdown) = (service.metrics(), Shutdown::default());
        let stop = shutdown.clone();
        let thread = std::thread::spawn(move || service.run(&stop, Some(partitions)));
        let serving = Serving {
            metrics,
            shutdown,
            thread,
        };
        serving.wait_until(|totals| totals.partitions >= partitions as u64);
        serving
    }

    /// Waits until so many readings were processed.
    pub fn wait_for(&self, readings: u64) {
        self.wait_until(|totals| totals.readings >= readings);
    }

    /// Or until the service has ended by itself, which [`Self::end`] tells of.
    pub fn wait_until(&self, done: impl Fn(&Totals) -> bool) {
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
    seconds(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

/// User and system time in a `stat` of proc(5).
fn seconds(stat: &str) -> f64 {
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    // Fields 14 and 15, in clock ticks of 1/100 s.
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// CPU seconds of the broker at hand, and those of the threads in which it compiles its own code; `None` where it is not
/// one of `scripts/kafka.sh with`.
pub fn broker_seconds() -> Option<(f64, f64)> {
    let folder = std::env::var("FOREWARN_TEST_BROKER_DIR").ok()?;
    let pid = std::fs::read_to_string(format!("{folder}/broker.pid")).ok()?;
    let (mut all, mut compiling) = (0.0, 0.0);
    for thread in std::fs::read_dir(format!("/proc/{}/task", pid.trim())).ok()? {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("stat")).unwrap_or_default();
        let seconds = seconds(&stat);
        all += seconds;
        if stat.contains("(C1 Compiler") || stat.contains("(C2 Compiler") {
            compiling += seconds;
        }
    }
    Some((all, compiling))
}

/// A figure of this process in KiB, such as `VmRSS:`.
pub fn memory(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Runs `forewarn feed`.
pub fn feed(args: &[&str]) {
    let fed = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .arg("feed")
        .args(args)
        .output()
        .expect("the binary starts");
    assert!(
        fed.status.success(),
        "{}",
        String::from_utf8_lossy(&fed.stderr)
    );
}
