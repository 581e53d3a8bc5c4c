//! The service under test: processes of the real binary, started, killed, stopped and looked after.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::broker::root;
use crate::pipeline::Pipeline;
use crate::signals::{self, Signal};

/// How long a worker may take to drain.
const DRAIN: Duration = Duration::from_secs(30);

/// What the processes of a scenario have said and used, over all their lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lives {
    pub started: u64,
    /// Ended by themselves: not by a signal of the scenario.
    pub ended: u64,
    /// Records read again to rebuild state.
    pub replayed: u64,
    /// Times that a worker went back to the committed offsets.
    pub went_back: u64,
    /// Of one process, the highest.
    pub peak_rss_kb: u64,
}

/// One place of the fleet: at most one process at a time, all with the same identity.
#[derive(Debug)]
struct Worker {
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// It is to run: should it end by itself, it is started again, as a service manager would.
    wanted: bool,
}

/// All processes of a scenario.
#[derive(Debug)]
pub struct Fleet {
    binary: PathBuf,
    workers: Vec<Worker>,
    lives: Lives,
    /// How processes ended by themselves, with their last words.
    pub ends: Vec<String>,
}

impl Fleet {
    /// `places` places for processes of `pipeline`, which reach the broker at `brokers`.
    ///
    /// # Errors
    /// When configurations can't be written.
    pub fn new(
        binary: &Path,
        pipeline: &Pipeline,
        brokers: &str,
        dir: &Path,
        places: usize,
    ) -> Result<Self> {
        let place = |i: usize| {
            let instance = format!("worker-{i}");
            Ok(Worker {
                config: pipeline.write(brokers, &instance)?,
                log: dir.join(format!("{instance}.log")),
                child: None,
                wanted: false,
            })
        };
        Ok(Fleet {
            binary: binary.to_owned(),
            workers: (0..places).map(place).collect::<Result<_>>()?,
            lives: Lives::default(),
            ends: Vec::new(),
        })
    }

    pub fn len(&self) -> usize {
        self.workers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Starts the process of a place.
    ///
    /// # Errors
    /// When the binary can't be started.
    pub fn start(&mut self, place: usize) -> Result<()> {
        self.start_with(place, &[])
    }

    /// Starts the process of a place with additions to its environment.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(&mut self, place: usize, environment: &[(&str, &str)]) -> Result<()> {
        let worker = &mut self.workers[place];
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&worker.log)?;
        let child = Command::new(&self.binary)
            .args(["--log-format", "json", "run", "--config"])
            .arg(&worker.config)
            .current_dir(root())
            .env("RUST_LOG", "info,librdkafka=error,rdkafka=error,ort=error")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| self.binary.display().to_string())?;
        worker.child = Some(child);
        worker.wanted = environment.is_empty();
        self.lives.started += 1;
        Ok(())
    }

    pub fn is_running(&mut self, place: usize) -> bool {
        let child = self.workers[place].child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends a signal to the process of a place; false when there is none.
    pub fn signal(&mut self, place: usize, signal: Signal) -> bool {
        if matches!(signal, Signal::Kill | Signal::Term) {
            self.workers[place].wanted = false;
        }
        self.sample(place);
        let running = self.is_running(place);
        let child = self.workers[place].child.as_ref();
        running && child.is_some_and(|child| signals::send(child.id() as i32, signal))
    }

    /// SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// When it did not run.
    pub fn kill(&mut self, place: usize) -> Result<()> {
        anyhow::ensure!(
            self.signal(place, Signal::Kill),
            "worker {place} did not run"
        );
        self.wait(place, DRAIN).map(drop)
    }

    /// SIGTERM, and how it ended.
    ///
    /// # Errors
    /// When it did not run, or did not drain in time; it is killed then.
    pub fn terminate(&mut self, place: usize) -> Result<ExitStatus> {
        anyhow::ensure!(
            self.signal(place, Signal::Term),
            "worker {place} did not run"
        );
        self.wait(place, DRAIN)
    }

    /// Waits for the end of a process.
    ///
    /// # Errors
    /// When it has not ended within `limit`; it is killed then.
    pub fn wait(&mut self, place: usize, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        let mut child = self.workers[place].child.take().context("no process")?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                anyhow::bail!(
                    "worker {place} did not end within {limit:?}: {}",
                    self.last_words(place)
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Looks after the processes: takes their memory, and starts again what has ended by itself.
    ///
    /// # Errors
    /// When the binary can't be started.
    pub fn tend(&mut self) -> Result<()> {
        for place in 0..self.workers.len() {
            self.sample(place);
            if !self.workers[place].wanted || self.is_running(place) {
                continue;
            }
            let status = self.wait(place, DRAIN)?;
            self.lives.ended += 1;
            let words = self.last_words(place);
            self.ends.push(format!(
                "worker {place} ended by itself ({status}): {words}"
            ));
            self.start(place)?;
        }
        Ok(())
    }

    fn sample(&mut self, place: usize) {
        let Some(child) = &self.workers[place].child else {
            return;
        };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        let peak = status.ok().and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse().ok()
        });
        self.lives.peak_rss_kb = self.lives.peak_rss_kb.max(peak.unwrap_or(0));
    }

    fn last_words(&self, place: usize) -> String {
        let text = std::fs::read_to_string(&self.workers[place].log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// How long the log of a place is: what comes behind is newer.
    pub fn log_end(&self, place: usize) -> usize {
        std::fs::metadata(&self.workers[place].log).map_or(0, |meta| meta.len() as usize)
    }

    /// Is there a line with this message, behind `from`, in the log of a place?
    pub fn has_said(&self, place: usize, from: usize, message: &str) -> bool {
        let text = std::fs::read(&self.workers[place].log).unwrap_or_default();
        let newer = text.get(from..).unwrap_or_default();
        String::from_utf8_lossy(newer).contains(message)
    }

    /// Everything so far.
    pub fn lives(&self) -> Lives {
        let mut lives = self.lives;
        for worker in &self.workers {
            let Ok(file) = File::open(&worker.log) else {
                continue;
            };
            for line in BufReader::new(file).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                let fields = &line["fields"];
                match fields["message"].as_str() {
                    Some("rebuilding state from the log") => {
                        lives.replayed += fields["records"].as_u64().unwrap_or(0);
                    }
                    Some("going back to the committed offsets") => lives.went_back += 1,
                    _ => {}
                }
            }
        }
        lives
    }

    /// Ends all processes that run: SIGTERM first, and all at once.
    ///
    /// # Errors
    /// What did not end as it should.
    pub fn stop(&mut self) -> Result<()> {
        let all = 0..self.workers.len();
        let running: Vec<usize> = all
            .filter(|place| self.signal(*place, Signal::Term))
            .collect();
        let mut wrong = Vec::new();
        for place in running {
            match self.wait(place, DRAIN) {
                Ok(status) if status.success() => {}
                Ok(status) => wrong.push(format!(
                    "worker {place}: {status}: {}",
                    self.last_words(place)
                )),
                Err(error) => wrong.push(format!("{error:#}")),
            }
        }
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            if let Some(mut child) = worker.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
