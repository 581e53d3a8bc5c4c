//! Everything that a scenario left behind: the committed outputs, and how much of the input was worked off.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use forewarn_models::Loader;
use forewarn_pipeline::config::Reload;
use forewarn_pipeline::kafka::reader;
use forewarn_pipeline::kafka::snapshots::{self, Snapshot};
use forewarn_pipeline::marks::MarkRecord;
use forewarn_pipeline::saved::SavedError;
use forewarn_pipeline::swap::ModelEventRecord;
use forewarn_pipeline::{Config, Plan};
use rdkafka::message::Message as _;
use serde::de::DeserializeOwned;

use super::output::{Output, Sink};
use crate::watch;

/// Longer than the transaction timeout of the pipeline: until then an open transaction hides what is behind it.
const DECIDED: Duration = Duration::from_secs(60);

/// A transaction stays open: what is behind it can't be read, and is not judged.
#[derive(Debug)]
pub struct Undecided {
    topic: String,
    decided: HashMap<i32, i64>,
    end: HashMap<i32, i64>,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Undecided {
            topic,
            decided,
            end,
        } = self;
        write!(
            f,
            "a transaction stays open in {topic}: decided up to {decided:?}, written up to {end:?}"
        )
    }
}

impl std::error::Error for Undecided {}

/// What was read.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// In the order of each output partition.
    pub outputs: Vec<Output>,
    pub events: Vec<ModelEventRecord<'static>>,
    pub marks: usize,
    /// Marks that stand twice: partition, offset, what.
    pub doubled_marks: Vec<String>,
    /// Of the input: by partition the offset from which on nothing is committed, and the sequence number of
    /// each reading.
    pub committed: HashMap<i32, i64>,
    pub sequence_numbers: HashMap<(i32, i64), (String, u64)>,
    /// State that was written down, by partition of the input, or why it is of no use.
    pub state: HashMap<i32, Result<Snapshot, String>>,
    /// Of the input, by partition: where it ends, and up to where it was worked off in time.
    pub ends: HashMap<i32, i64>,
    pub processed: HashMap<i32, i64>,
}

impl Observed {
    /// Reads all topics of a pipeline whose workers have ended. `ends` and `processed` are as of the scenario's end.
    ///
    /// # Errors
    /// When a topic can't be read; [`Undecided`] when a transaction stays open.
    pub fn read(
        config: &Config,
        (ends, processed): (HashMap<i32, i64>, HashMap<i32, i64>),
    ) -> Result<Self> {
        let mut observed = Observed {
            committed: watch::committed(config)?,
            ends,
            processed,
            ..Observed::default()
        };
        let sink = &config.sink;
        for of in Sink::ALL {
            let topic = match of {
                Sink::Predictions => &sink.predictions,
                Sink::Shadow => &sink.shadow,
                Sink::Alarms => &sink.alarms,
                Sink::Status => &sink.status,
                Sink::DeadLetters => &sink.dead_letters,
                Sink::Late => &sink.late,
            };
            wait_until_decided(config, topic)?;
            reader::read_records(config, topic, |message| {
                observed.outputs.push(Output::read(of, message));
                Ok(())
            })?;
        }
        observed.read_events(config)?;
        observed.read_marks(config)?;
        observed.read_input(config)?;
        observed.read_state(config)?;
        Ok(observed)
    }

    fn read_events(&mut self, config: &Config) -> Result<()> {
        // It has no events, and no topic for them, where versions do not change.
        if config.models.reload == Reload::None {
            return Ok(());
        }
        read_json(config, &config.models_topic(), |event| {
            self.events.push(event);
        })
    }

    fn read_marks(&mut self, config: &Config) -> Result<()> {
        let mut seen = std::collections::HashSet::new();
        let topic = config.progress_topic();
        read_json(config, &topic, |MarkRecord { partition, mark }| {
            self.marks += 1;
            let told = format!("{partition} {} {:?}", mark.offset, mark.what);
            if !seen.insert(told.clone()) {
                self.doubled_marks.push(told);
            }
        })
    }

    fn read_state(&mut self, config: &Config) -> Result<()> {
        let topic = config.state_topic();
        wait_until_decided(config, &topic)?;
        let partitions: Vec<i32> = self.committed.keys().copied().collect();
        let plan = Plan::build(config, &Loader::trusted())?;
        let read = snapshots::read(config, plan.fingerprint(config), &partitions)?;
        let told = |read: Result<Snapshot, SavedError>| read.map_err(|error| error.to_string());
        self.state = read
            .into_iter()
            .map(|(partition, read)| (partition, told(read)))
            .collect();
        Ok(())
    }

    fn read_input(&mut self, config: &Config) -> Result<()> {
        reader::read_records(config, &config.source.topic, |message| {
            let json: Option<serde_json::Value> = message
                .payload()
                .filter(|payload| payload.len() < 1_000)
                .and_then(|payload| serde_json::from_slice(payload).ok());
            if let Some(n) = json.and_then(|json| json["n"].as_u64()) {
                let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                let at = (message.partition(), message.offset());
                self.sequence_numbers.insert(at, (key, n));
            }
            Ok(())
        })?;
        Ok(())
    }

    /// A place of the input for a person: with asset and sequence number.
    pub fn place(&self, source: Option<(i32, i64)>) -> String {
        let Some(at) = source else {
            return "an unknown record".into();
        };
        match self.sequence_numbers.get(&at) {
            Some((asset, n)) => format!("({asset}, {n}) at {}/{}", at.0, at.1),
            None => format!("record {}/{}", at.0, at.1),
        }
    }
}

/// Hands all committed records of a topic to `on`; each of them must be a `T`.
fn read_json<T: DeserializeOwned>(
    config: &Config,
    topic: &str,
    mut on: impl FnMut(T),
) -> Result<()> {
    wait_until_decided(config, topic)?;
    let mut unreadable = 0;
    reader::read_records(config, topic, |message| {
        match serde_json::from_slice(message.payload().unwrap_or_default()) {
            Ok(record) => on(record),
            Err(_) => unreadable += 1,
        }
        Ok(())
    })?;
    if unreadable > 0 {
        bail!("{unreadable} records of {topic} can't be read");
    }
    Ok(())
}

/// Waits until no transaction is open in a topic: readers of committed records do not see what is behind one.
fn wait_until_decided(config: &Config, topic: &str) -> Result<()> {
    let deadline = Instant::now() + DECIDED;
    loop {
        let (decided, end) = (
            watch::ends(config, topic, true)?,
            watch::ends(config, topic, false)?,
        );
        if decided == end {
            return Ok(());
        }
        if Instant::now() > deadline {
            let topic = topic.to_owned();
            bail!(Undecided {
                topic,
                decided,
                end
            });
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
