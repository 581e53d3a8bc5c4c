//! Looks on while a scenario runs: when committed outputs come, and how far the service is behind. It talks to
//! the broker directly.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use forewarn_pipeline::Config;
use forewarn_pipeline::kafka::reader::{From, Lag, PredictionReader};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

const ANSWER: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// A committed prediction of a single reading.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    partition: i32,
    offset: i64,
}

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    lags: Mutex<Vec<(Instant, u64)>>,
    stop: AtomicBool,
}

/// The onlooker.
#[derive(Debug)]
pub struct Watch {
    state: Arc<State>,
    config: Config,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Looks on from now on; the topics of `config` exist.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn start(config: &Config) -> Result<Self> {
        let state = Arc::new(State::default());
        let reader =
            PredictionReader::open(&config.kafka, &config.sink.predictions, From::Beginning)?;
        let lag = Lag::open(config)?;
        let (one, other) = (state.clone(), state.clone());
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run)
        };
        let threads = vec![
            spawn("outputs", Box::new(move || read(&reader, &one)))?,
            spawn("lag", Box::new(move || measure(&lag, &other)))?,
        ];
        Ok(Watch {
            state,
            config: config.clone(),
            threads,
        })
    }

    /// Committed predictions of single readings so far.
    pub fn outputs(&self) -> usize {
        lock(&self.state.seen).len()
    }

    /// Source partitions of which there were committed outputs since `from`.
    pub fn partitions_since(&self, from: Instant) -> usize {
        let seen = lock(&self.state.seen);
        let newer = seen.iter().rev().take_while(|seen| seen.at >= from);
        let partitions: std::collections::HashSet<i32> = newer.map(|seen| seen.partition).collect();
        partitions.len()
    }

    /// Where the input ends now, by partition.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn input_ends(&self) -> Result<HashMap<i32, i64>> {
        ends(&self.config, &self.config.source.topic, false)
    }

    /// When each partition had a committed output whose input is at or behind `ends`: the last of them.
    pub fn recovered_at(&self, since: Instant, ends: &HashMap<i32, i64>) -> Option<Instant> {
        let seen = lock(&self.state.seen);
        let first = |(partition, end): (&i32, &i64)| {
            let newer = |seen: &&Seen| seen.partition == *partition && seen.offset >= *end;
            let mut after = seen.iter().filter(|seen| seen.at >= since);
            after.find(newer).map(|seen| seen.at)
        };
        let firsts: Option<Vec<Instant>> = ends.iter().map(first).collect();
        firsts?.into_iter().max()
    }

    /// When the lag was first measured to be at most `messages`, after `since`.
    pub fn caught_up_at(&self, since: Instant, messages: u64) -> Option<Instant> {
        let lags = lock(&self.state.lags);
        let mut after = lags.iter().filter(|(at, _)| *at >= since);
        after.find(|(_, lag)| *lag <= messages).map(|(at, _)| *at)
    }

    /// The latest lag in messages, and when it was measured.
    pub fn lag(&self) -> Option<(Instant, u64)> {
        lock(&self.state.lags).last().copied()
    }

    /// Of each source partition the longest time without a committed output, between two instants.
    pub fn silences(&self, from: Instant, to: Instant) -> BTreeMap<i32, Duration> {
        let mut last: HashMap<i32, Instant> = HashMap::new();
        let mut longest: BTreeMap<i32, Duration> = BTreeMap::new();
        for seen in lock(&self.state.seen)
            .iter()
            .filter(|seen| seen.at >= from && seen.at <= to)
        {
            let before = last.insert(seen.partition, seen.at).unwrap_or(from);
            let silence = longest.entry(seen.partition).or_default();
            *silence = (*silence).max(seen.at - before);
        }
        for (partition, before) in last {
            let silence = longest.entry(partition).or_default();
            *silence = (*silence).max(to - before);
        }
        longest
    }

    /// Messages of the input, and those of them that are committed.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn processed(&self) -> Result<(u64, HashMap<i32, i64>)> {
        let (ends, committed) = (self.input_ends()?, committed(&self.config)?);
        Ok((ends.values().map(|end| *end as u64).sum(), committed))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn read(reader: &PredictionReader, state: &State) {
    while !state.stop.load(Ordering::SeqCst) {
        let told = reader.poll(LOOK, |prediction| {
            let source = &prediction.source;
            let single = prediction.window.is_none();
            single.then_some((source.partition, source.offset))
        });
        // A broker that is away is what some scenarios are about; the client finds it again.
        if let Ok(Some(Some((partition, offset)))) = told {
            let at = Instant::now();
            lock(&state.seen).push(Seen {
                at,
                partition,
                offset,
            });
        }
    }
}

fn measure(lag: &Lag, state: &State) {
    while !state.stop.load(Ordering::SeqCst) {
        let at = Instant::now();
        if let Ok(messages) = lag.messages() {
            lock(&state.lags).push((at, messages));
        }
        std::thread::sleep(LOOK);
    }
}

fn observer(config: &Config, committed_only: bool) -> Result<BaseConsumer> {
    let isolation = if committed_only {
        "read_committed"
    } else {
        "read_uncommitted"
    };
    ClientConfig::new()
        .set("bootstrap.servers", &config.kafka.brokers)
        .set("group.id", &config.name)
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation)
        .create()
        .context("a client of the verifier")
}

/// Where a topic ends; with `committed_only`, where what is decided ends: before the first open transaction.
///
/// # Errors
/// When the broker does not answer.
pub fn ends(config: &Config, topic: &str, committed_only: bool) -> Result<HashMap<i32, i64>> {
    let consumer = observer(config, committed_only)?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let topic_metadata = metadata.topics().first().context("the topic's metadata")?;
    let of = |partition: i32| {
        let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
        Ok((partition, end))
    };
    let partitions = topic_metadata.partitions().iter();
    partitions.map(|partition| of(partition.id())).collect()
}

/// Committed offsets of the pipeline, by partition of its input; 0 where there is none.
///
/// # Errors
/// When the broker does not answer.
pub fn committed(config: &Config) -> Result<HashMap<i32, i64>> {
    let topic = &config.source.topic;
    let consumer = observer(config, true)?;
    let mut list = rdkafka::TopicPartitionList::new();
    for partition in ends(config, topic, false)?.into_keys() {
        list.add_partition(topic, partition);
    }
    let committed = consumer.committed_offsets(list, ANSWER)?;
    let elements = committed.elements();
    let of = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        (
            element.partition(),
            element.offset().to_raw().unwrap_or(0).max(0),
        )
    };
    Ok(elements.iter().map(of).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
