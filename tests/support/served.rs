//! A service as an operator sees it: probes, metrics, its log.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Pipeline, Running, log_lines, unique};

pub const WAIT: Duration = Duration::from_secs(60);

/// A service that answers HTTP, and logs JSON into a file.
pub struct Served {
    pub running: Running,
    address: String,
    pub log: PathBuf,
    _told: Told,
}

impl Served {
    pub fn start(pipeline: &Pipeline, more: &[&str]) -> Self {
        let log = pipeline.config.with_file_name(unique("log"));
        let running = pipeline.start_logged(2, &log, more);
        let deadline = Instant::now() + WAIT;
        let address = loop {
            let lines = log_lines(&log);
            let mut told = lines
                .iter()
                .filter_map(|line| line["fields"]["address"].as_str());
            if let Some(address) = told.next() {
                break address.to_owned();
            }
            assert!(Instant::now() < deadline, "it does not listen");
            std::thread::sleep(Duration::from_millis(10));
        };
        Served {
            running,
            address,
            _told: Told(log.clone()),
            log,
        }
    }

    /// Status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, body.to_owned())
    }

    /// The value of a metric with its labels, 0 where it is not told yet.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, told) = self.get("/metrics");
        let found = told.lines().filter_map(|line| line.rsplit_once(' '));
        let found = found.filter(|(told, _)| *told == name);
        found.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    pub fn await_metric(&self, name: &str, value: f64) {
        let deadline = Instant::now() + WAIT;
        loop {
            let now = self.metric(name);
            if now == value {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is {now}, not {value}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for an answer of `/readyz`, looking at `/livez` beside it.
    pub fn await_ready(&self, code: u16, reason: &str) {
        let deadline = Instant::now() + WAIT;
        loop {
            assert_eq!(self.get("/livez"), (200, "alive\n".into()));
            let (told, reasons) = self.get("/readyz");
            if told == code && reasons.contains(reason) {
                return;
            }
            assert!(Instant::now() < deadline, "{told} {reasons}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The log of a service, to be told beside an assertion that failed.
struct Told(PathBuf);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let told = std::fs::read_to_string(&self.0).unwrap_or_default();
            eprintln!("--- log of the service\n{told}---");
        }
    }
}
