//! The process that tries a model: started, fed, waited for, killed when its time is over, and its end put
//! into words.
//!
//! Invariant: whatever the model does, this process waits no longer than the limit and reads no more than a
//! bounded answer.

use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::Limits;
use super::probe::{Failure, Reply, Report, Request};
use super::refusal::Reason;

/// Most bytes of a reply; one of ordinary size has two thousand.
const MAX_REPLY: u64 = 1 << 20;
/// What is kept of the end of standard error.
const LAST_WORDS: usize = 200;
/// How long to wait for the last of its output once it has ended: the pipe is empty or soon is.
const GRACE: Duration = Duration::from_secs(1);
/// Starts a program at a lower priority; of the coreutils, so on every Debian.
const NICE: &str = "/usr/bin/nice";
/// A tenth of what others get: on a busy machine the lowest one, 19, would hardly ever run.
const NICENESS: &str = "10";
/// Between two looks at a process that has not ended.
const PAUSE: Duration = Duration::from_millis(5);

/// How to start a process that calls [`super::serve`].
#[derive(Debug, Clone)]
pub struct Prober {
    program: PathBuf,
    args: Vec<String>,
}

/// How a process ended.
struct End {
    /// `None`: it was killed when its time was over.
    status: Option<ExitStatus>,
    reply: Vec<u8>,
    last_words: String,
}

impl Prober {
    pub fn new(program: impl Into<PathBuf>, args: &[&str]) -> Self {
        Prober {
            program: program.into(),
            args: args.iter().map(ToString::to_string).collect(),
        }
    }

    /// Tries a version in a process of its own.
    pub(super) fn probe(&self, request: &Request, limits: &Limits) -> Result<Report, Reason> {
        let end = self
            .run(request, limits)
            .map_err(|error| Reason::NoProbe(error.to_string()))?;
        judge(&end, limits)
    }

    fn run(&self, request: &Request, limits: &Limits) -> std::io::Result<End> {
        // The child needs neither secrets nor settings; libraries may be found through this one.
        let library_path = std::env::var_os("LD_LIBRARY_PATH");
        let mut child = self
            .command()
            .args(&self.args)
            .env_clear()
            // ONNX Runtime opens a database in the home folder for it before it can be told not to, and the
            // process may write no file.
            .env("ORT_DISABLE_TELEMETRY", "1")
            .envs(library_path.map(|path| ("LD_LIBRARY_PATH", path)))
            .current_dir(&request.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let reply = child.stdout.take().map(read_reply);
        let last_words = child.stderr.take().map(read_last_words);
        if let Some(mut input) = child.stdin.take() {
            // One that died at once does not read; its end says why.
            let _ = input.write_all(&serde_json::to_vec(request)?);
        }
        let status = wait(&mut child, limits.probe_time)?;
        Ok(End {
            status,
            reply: received(reply),
            last_words: received(last_words),
        })
    }

    /// At a lower priority, where the system has the program for it: a trial must not hold up the scores of
    /// the service that wants the model.
    fn command(&self) -> Command {
        if !Path::new(NICE).is_file() || !self.program.is_file() {
            return Command::new(&self.program);
        }
        let mut command = Command::new(NICE);
        command.args(["-n", NICENESS]).arg(&self.program);
        command
    }
}

/// Waits for the end; kills the process when its time is over.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

fn read_reply(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    in_background(|| {
        let mut reply = Vec::new();
        // What could be read is judged.
        let _ = pipe.take(MAX_REPLY).read_to_end(&mut reply);
        reply
    })
}

/// Reads all, so that the process is not held up, and keeps the last line.
fn read_last_words(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    in_background(move || {
        let (mut tail, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            tail.extend_from_slice(&buffer[..count]);
            let surplus = tail.len().saturating_sub(buffer.len());
            tail.drain(..surplus);
        }
        let text = String::from_utf8_lossy(&tail);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        let clean = last.unwrap_or_default().chars().filter(|c| !c.is_control());
        clean.take(LAST_WORDS).collect()
    })
}

fn in_background<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done_tx, done_rx) = mpsc::sync_channel(1);
    // Nobody listens any more when the process kept its pipe open beyond its end.
    thread::spawn(move || drop(done_tx.send(read())));
    done_rx
}

fn received<T: Default>(reader: Option<Receiver<T>>) -> T {
    let read = reader.and_then(|reader| reader.recv_timeout(GRACE).ok());
    read.unwrap_or_default()
}

fn judge(end: &End, limits: &Limits) -> Result<Report, Reason> {
    let too_slow = || Reason::TooSlow {
        limit: limits.probe_time,
    };
    let Some(status) = end.status else {
        return Err(too_slow());
    };
    if let (true, Ok(reply)) = (status.success(), serde_json::from_slice(&end.reply)) {
        return match reply {
            Reply::Ran(report) => Ok(report),
            Reply::Refused(failure) => Err(reason(failure, limits)),
        };
    }
    if is_about_memory(&end.last_words) {
        return Err(Reason::OutOfMemory {
            limit: limits.probe_memory,
        });
    }
    let how = match (status.signal(), status.code()) {
        (Some(SIGXCPU), _) => return Err(too_slow()),
        (Some(signal), _) => format!("ended by signal {signal}{}", meaning(signal)),
        (None, Some(0)) => "gave no answer".to_owned(),
        (None, code) => format!("ended with code {}", code.unwrap_or(-1)),
    };
    Err(Reason::Crashed {
        how,
        last_words: end.last_words.clone(),
    })
}

/// The limit of processor time is over.
const SIGXCPU: i32 = 24;

fn meaning(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (abort)",
        7 => " (bus error)",
        8 => " (arithmetic error)",
        9 => " (killed: is the machine out of memory?)",
        11 => " (segmentation fault)",
        _ => "",
    }
}

/// A failure in the words of a refusal.
pub(super) fn reason(failure: Failure, limits: &Limits) -> Reason {
    let memory = || Reason::OutOfMemory {
        limit: limits.probe_memory,
    };
    match failure {
        Failure::NoRuntime(problem) => Reason::NoProbe(problem),
        Failure::DoesNotFit(problems) => Reason::DoesNotFit(problems),
        Failure::DoesNotLoad(text) | Failure::DoesNotRun(text) if is_about_memory(&text) => {
            memory()
        }
        Failure::DoesNotLoad(text) => Reason::DoesNotLoad(text),
        Failure::DoesNotRun(text) => Reason::DoesNotRun(text),
        Failure::NotFinite(what) => Reason::NotFinite(what),
        Failure::NotRepeatable => Reason::NotRepeatable,
        Failure::Golden(problem) => Reason::Golden(problem),
    }
}

/// The words of ONNX Runtime, C++ and Rust for an allocation that failed.
fn is_about_memory(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let words = [
        "bad_alloc",
        "bad allocation",
        "failed to allocate memory",
        "memory allocation of",
        "cannot allocate memory",
    ];
    words.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(status: Option<i32>, reply: &str, last_words: &str) -> Reason {
        let end = End {
            status: status.map(ExitStatus::from_raw),
            reply: reply.into(),
            last_words: last_words.into(),
        };
        judge(&end, &Limits::default()).unwrap_err()
    }

    #[test]
    fn each_end_of_the_process_is_a_reason() {
        assert_eq!(end(None, "", "").code(), "too-slow");
        assert_eq!(end(Some(SIGXCPU), "", "").code(), "too-slow");
        let memory = end(Some(6), "", "memory allocation of 99 bytes failed");
        assert_eq!(memory.code(), "out-of-memory");
        let crash = end(Some(11), "", "").to_string();
        assert!(
            crash.contains("ended by signal 11 (segmentation fault)"),
            "{crash}"
        );
        let panic = end(Some(101 << 8), "", "oh no").to_string();
        assert!(panic.contains("code 101, saying \"oh no\""), "{panic}");
        assert!(end(Some(0), "{", "").to_string().contains("gave no answer"));
        let refused = r#"{"refused":{"does-not-run":"std::bad_alloc"}}"#;
        assert_eq!(end(Some(0), refused, "").code(), "out-of-memory");
        // A reply counts only from a process that ended well.
        let refused = r#"{"refused":{"not-finite":"NaN"}}"#;
        assert_eq!(end(Some(0), refused, "").code(), "not-finite");
        assert_eq!(end(Some(11), refused, "").code(), "crashed");
    }
}
