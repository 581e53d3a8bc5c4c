//! The service under test: processes of the real binary, started, killed, stopped and looked after.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::broker::root;
use crate::pipeline::Pipeline;
use crate::signals::{self, Signal};

/// Status of a process that its watchdog has ended.
const WATCHDOG: i32 = 4;
/// Status of a process that could not drain in its time.
const NOT_DRAINED: i32 = 5;
/// What a process that can't drain says it waits for: a call that librdkafka may not come back from; and records that the
/// broker did not acknowledge, which is no defect of the process only where the broker stood still (`stage.rs`).
const HANGS: [&str; 2] = ["is in send_offsets_to_transaction", UNANSWERED];
/// The second one.
pub const UNANSWERED: &str = "is in acknowledgements";
/// How long a worker may take to drain.
const DRAIN: Duration = Duration::from_secs(30);

/// What a worker says when it gives up what is not committed.
pub const GOING_BACK: &str = "going back to the committed offsets";

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
    /// How long the log was when the latest process was started.
    born: usize,
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
    /// How the watchdog ended them: a call of the Kafka client did not return, and they were started again, as it is
    /// meant to be. And who was told to stop meanwhile, and could not drain.
    pub hung: Vec<String>,
}

/// How a process that was told to stop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    Drained,
    /// A call of the Kafka client did not return: nobody can drain then. What was not committed is scored by the next
    /// start.
    Hung,
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
                born: 0,
                child: None,
                wanted: false,
            })
        };
        Ok(Fleet {
            binary: binary.to_owned(),
            workers: (0..places).map(place).collect::<Result<_>>()?,
            lives: Lives::default(),
            ends: Vec::new(),
            hung: Vec::new(),
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
        let born = self.log_end(place);
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
        worker.born = born;
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
        ensure!(
            self.signal(place, Signal::Kill),
            "worker {place} did not run"
        );
        self.wait(place, DRAIN).map(drop)
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it did not run, or did not drain: it is killed then, or said so itself.
    pub fn terminate(&mut self, place: usize) -> Result<Stopped> {
        ensure!(
            self.signal(place, Signal::Term),
            "worker {place} did not run"
        );
        self.drained(place)
    }

    /// Waits for the end of a process that was told to stop.
    fn drained(&mut self, place: usize) -> Result<Stopped> {
        let status = self.wait(place, DRAIN)?;
        let words = self.last_words(place);
        let told = format!("worker {place} ended with {status} after SIGTERM: {words}");
        let hangs = HANGS.iter().any(|call| words.contains(call));
        if status.code() == Some(NOT_DRAINED) && hangs {
            self.hung.push(told);
            return Ok(Stopped::Hung);
        }
        ensure!(status.success(), "{told}");
        Ok(Stopped::Drained)
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
                bail!(
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
            self.ended(place)?;
            self.start(place)?;
        }
        Ok(())
    }

    /// The process of a place has ended by itself.
    fn ended(&mut self, place: usize) -> Result<()> {
        let status = self.wait(place, DRAIN)?;
        self.lives.ended += 1;
        let words = self.last_words(place);
        let told = format!("worker {place} ended by itself ({status}): {words}");
        match status.code() {
            Some(WATCHDOG) => self.hung.push(told),
            _ => self.ends.push(told),
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

    /// The end of the log of a place.
    pub fn last_words(&self, place: usize) -> String {
        let text = self.log(place, 0);
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// The log of a place behind `from`.
    fn log(&self, place: usize, from: usize) -> String {
        let bytes = std::fs::read(&self.workers[place].log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
    }

    /// The fields of the lines with this message, behind `from`, in the log of a place.
    fn said(&self, place: usize, from: usize, message: &str) -> Vec<Value> {
        let log = self.log(place, from);
        let lines = log.lines().filter(|line| line.contains(message));
        let fields = lines.filter_map(|line| {
            let mut line: Value = serde_json::from_str(line).ok()?;
            Some(line["fields"].take())
        });
        fields
            .filter(|fields| fields["message"] == message)
            .collect()
    }

    /// How long the log of a place is: what comes behind is newer.
    pub fn log_end(&self, place: usize) -> usize {
        std::fs::metadata(&self.workers[place].log).map_or(0, |meta| meta.len() as usize)
    }

    /// Is there this text, behind `from`, in the log of a place?
    pub fn has_said(&self, place: usize, from: usize, text: &str) -> bool {
        self.log(place, from).contains(text)
    }

    /// Has the process of a place come so far that it was given partitions?
    pub fn takes_part(&self, place: usize) -> bool {
        self.was_assigned(place, self.workers[place].born)
    }

    /// Was the process of a place given partitions, behind `from` in its log?
    pub fn was_assigned(&self, place: usize, from: usize) -> bool {
        self.said_of_some(place, from, "partitions assigned")
    }

    /// Were partitions taken from the process of a place, behind `from` in its log?
    pub fn gave_up(&self, place: usize, from: usize) -> bool {
        self.said_of_some(place, from, "partitions given up")
    }

    /// A rebalance that changes nothing tells of no partitions.
    fn said_of_some(&self, place: usize, from: usize, message: &str) -> bool {
        let told = self.said(place, from, message);
        told.iter().any(|fields| fields["partitions"] != "[]")
    }

    /// Was this version, or a later one, put in place while the process ran, behind `from` in its log?
    pub fn has_swapped(&self, place: usize, from: usize, (model, version): (&str, u32)) -> bool {
        let told = self.said(place, from, "another version serves");
        let is_it = |fields: &Value| {
            let to = fields["to"].as_u64();
            fields["model"] == model && to.is_some_and(|to| to >= version.into())
        };
        told.iter().any(is_it)
    }

    /// Everything so far.
    pub fn lives(&self) -> Lives {
        let mut lives = self.lives;
        for place in 0..self.workers.len() {
            let rebuilt = self.said(place, 0, "rebuilding state from the log");
            let records = rebuilt.iter().filter_map(|told| told["records"].as_u64());
            lives.replayed += records.sum::<u64>();
            lives.went_back += self.said(place, 0, GOING_BACK).len() as u64;
        }
        lives
    }

    /// Ends all processes that run: SIGTERM first, and all at once. One that has just ended by itself is in `ends`.
    /// Gives the places whose processes hung.
    ///
    /// # Errors
    /// What did not end as it should.
    pub fn stop(&mut self) -> Result<Vec<usize>> {
        let mut told = Vec::new();
        for place in 0..self.workers.len() {
            let wanted = self.workers[place].wanted;
            let running = self.signal(place, Signal::Term);
            if running || wanted {
                told.push((place, running));
            }
        }
        let (mut wrong, mut hung) = (Vec::new(), Vec::new());
        for (place, running) in told {
            let ended = match running {
                true => self.drained(place),
                false => self.ended(place).map(|()| Stopped::Drained),
            };
            match ended {
                Ok(Stopped::Drained) => {}
                Ok(Stopped::Hung) => hung.push(place),
                Err(error) => wrong.push(format!("{error:#}")),
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(hung)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One place, whose process runs `binary`, with `log` in its log.
    fn fleet(binary: &str, log: &str) -> (Fleet, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("worker-0.log");
        std::fs::write(&file, log).unwrap();
        let worker = Worker {
            config: dir.path().join("worker-0.toml"),
            log: file,
            born: 0,
            child: None,
            wanted: false,
        };
        let fleet = Fleet {
            binary: binary.into(),
            workers: vec![worker],
            lives: Lives::default(),
            ends: Vec::new(),
            hung: Vec::new(),
        };
        (fleet, dir)
    }

    fn line(fields: &Value) -> String {
        let line = serde_json::json!({"level": "INFO", "fields": fields, "target": "forewarn"});
        format!("{line}\n")
    }

    #[test]
    fn an_assignment_of_nothing_is_none() {
        let assigned = |partitions: &str| {
            line(
                &serde_json::json!({"message": "partitions assigned", "worker": 0, "partitions": partitions}),
            )
        };
        let nothing = assigned("[]");
        let (fleet, _dir) = fleet("false", &(nothing.clone() + &assigned("[1, 0]")));
        assert!(fleet.was_assigned(0, 0) && fleet.was_assigned(0, nothing.len()));
        assert!(!fleet.gave_up(0, 0));
        let (fleet, _dir) = self::fleet("false", &nothing);
        assert!(!fleet.was_assigned(0, 0) && !fleet.takes_part(0));
    }

    #[test]
    fn a_swap_is_one_of_its_model_to_its_version_or_a_later_one() {
        let swapped = line(&serde_json::json!({
            "message": "another version serves", "worker": 0, "model": "each", "from": 1, "to": 3
        }));
        let (fleet, _dir) = fleet("false", &swapped);
        assert!(fleet.has_swapped(0, 0, ("each", 2)) && fleet.has_swapped(0, 0, ("each", 3)));
        assert!(!fleet.has_swapped(0, 0, ("each", 4)) && !fleet.has_swapped(0, 0, ("sum", 2)));
        assert!(!fleet.has_swapped(0, swapped.len(), ("each", 2)));
    }

    #[test]
    fn a_process_that_ended_by_itself_is_not_passed_over_at_the_end() {
        let (mut fleet, _dir) = fleet("false", "last words\n");
        fleet.start(0).unwrap();
        while fleet.is_running(0) {
            std::thread::yield_now();
        }
        fleet.stop().unwrap();
        assert_eq!(fleet.ends.len(), 1);
        assert!(fleet.ends[0].contains("last words"), "{}", fleet.ends[0]);
    }

    #[test]
    fn a_process_in_which_a_call_hangs_is_noted_when_it_can_not_drain() {
        let stop = |words: &str| {
            let (mut fleet, _dir) = fleet("false", words);
            let ready = _dir.path().join("ready");
            let script = format!(
                "trap 'exit 5' TERM; : >{}; while :; do sleep 0.01; done",
                ready.display()
            );
            let child = Command::new("sh").args(["-c", &script]).spawn().unwrap();
            fleet.workers[0].child = Some(child);
            while !ready.exists() {
                std::thread::yield_now();
            }
            (fleet.stop(), fleet.hung.len())
        };
        for call in HANGS {
            let (stopped, hung) = stop(&format!("error: not drained (worker 0 {call})\n"));
            assert_eq!((stopped.unwrap(), hung), (vec![0], 1));
        }
        let (stopped, hung) = stop("error: not drained (worker 0 is in its own work)\n");
        assert!(stopped.is_err() && hung == 0);
    }

    #[test]
    fn a_process_that_does_not_drain_is_an_error() {
        // It does not handle the signal, and ends by it.
        let (mut fleet, _dir) = fleet("false", "");
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        fleet.workers[0].child = Some(child);
        let told = fleet.terminate(0).unwrap_err().to_string();
        assert!(told.contains("worker 0 ended with signal"), "{told}");
    }
}
