//! A throw-away Apache Kafka of a scenario's own, through `scripts/kafka.sh`.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::signals::{self, Signal};

/// How long a killed process may take to be gone.
const END: Duration = Duration::from_secs(20);

/// The repository, where the script and the fixtures are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One broker with two listeners: one for the load and the judge, one that is behind the proxy. It is stopped
/// when it is dropped.
#[derive(Debug)]
pub struct Broker {
    dir: PathBuf,
    /// `host:port` of the listener without proxy.
    pub address: String,
    /// The listener that the proxy forwards to.
    pub inner: SocketAddr,
    proxied: String,
    /// Its log of the starts before this one.
    said_before: RefCell<String>,
}

impl Broker {
    /// Starts one in `dir`; clients of its second listener are told that it is at loopback port `proxied`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(dir: &Path, proxied: u16) -> Result<Self> {
        let proxied = proxied.to_string();
        script(dir, &["up", "--port", "0", "--proxied", &proxied])?;
        let read = |name: &str| {
            let text = std::fs::read_to_string(dir.join(name)).context("an address of the broker");
            text.map(|text| text.trim().to_owned())
        };
        Ok(Broker {
            dir: dir.to_owned(),
            address: read("address")?,
            inner: read("proxied")?.parse()?,
            proxied,
            said_before: RefCell::default(),
        })
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When the script fails.
    pub fn stop(&self) -> Result<()> {
        script(&self.dir, &["down"])
    }

    /// SIGKILL, and waits until its port is free.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn kill(&self) -> Result<()> {
        let file = self.dir.join("broker.pid");
        let id = std::fs::read_to_string(&file)?;
        ensure!(
            signals::send(id.trim().parse()?, Signal::Kill),
            "the broker did not run"
        );
        let deadline = Instant::now() + END;
        while TcpStream::connect(&self.address).is_ok() {
            ensure!(Instant::now() < deadline, "the killed broker still listens");
            std::thread::sleep(Duration::from_millis(50));
        }
        // By the time it is looked at again the number may be another process's.
        Ok(std::fs::remove_file(file)?)
    }

    /// How many times the broker has given up writing the markers of a transaction: it then says that the
    /// transaction is complete, while its records are neither committed nor aborted. Seen with Kafka 4.3 after a
    /// start, when the coordinator is there before the metadata of the topics ("likely deleted already and hence
    /// can be skipped"). What was aborted so is committed with the producer's next transaction.
    pub fn dropped_markers(&self) -> usize {
        self.said("Couldn't find leader endpoint for partitions")
    }

    /// Did it stand still, as one does whose disk does not take its log? Its controller, which writes twice a second, tells
    /// of every event that took longer than two seconds.
    pub fn stood_still(&self) -> bool {
        self.said("Exceptionally slow controller event") > 0
    }

    /// Lines of its log, in all starts.
    fn said(&self, what: &str) -> usize {
        let of = |text: &str| text.lines().filter(|line| line.contains(what)).count();
        of(&self.said_before.borrow()) + of(&self.log())
    }

    fn log(&self) -> String {
        let text = std::fs::read(self.dir.join("broker.log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Starts it again on its data and ports.
    ///
    /// # Errors
    /// When it does not start.
    pub fn up(&self) -> Result<()> {
        // The script keeps the log of one start before this one, and no more.
        self.said_before.borrow_mut().push_str(&self.log());
        let port = self.address.rsplit(':').next().unwrap_or_default();
        script(
            &self.dir,
            &["up", "--port", port, "--proxied", &self.proxied],
        )
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing of it is kept, and whoever interrupts a run does not wait for long.
        let _ = self.kill();
        if let Err(error) = self.stop() {
            eprintln!(
                "the broker in {} was not stopped: {error:#}",
                self.dir.display()
            );
        }
    }
}

fn script(dir: &Path, args: &[&str]) -> Result<()> {
    let (verb, options) = args.split_first().context("a verb")?;
    let output = Command::new(root().join("scripts/kafka.sh"))
        .arg(verb)
        .arg("--dir")
        .arg(dir)
        .args(options)
        // A small heap: several of these may run beside each other.
        .env("KAFKA_HEAP_OPTS", "-Xmx768m")
        .stdin(Stdio::null())
        .output()
        .context("scripts/kafka.sh")?;
    ensure!(
        output.status.success(),
        "kafka.sh {args:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
