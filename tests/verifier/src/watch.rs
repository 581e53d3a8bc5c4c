//! Looks on while a scenario runs: when committed outputs come, and how far the service is behind. It talks to
//! the broker directly.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use forewarn_pipeline::Config;
use forewarn_pipeline::kafka::client::{self, Role};
use forewarn_pipeline::kafka::reader::{From, Lag, PredictionReader};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataPartition;

use crate::lock::lock;

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
    /// Each in the order of time: one thread writes it.
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
        let partitions = since(&seen, from).iter().map(|seen| seen.partition);
        partitions.collect::<HashSet<i32>>().len()
    }

    /// Where the input ends now, by partition.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn input_ends(&self) -> Result<HashMap<i32, i64>> {
        ends(&self.config, &self.config.source.topic, false)
    }

    /// When each partition had a committed output whose input is at or behind `ends`: the last of them.
    pub fn recovered_at(&self, from: Instant, ends: &HashMap<i32, i64>) -> Option<Instant> {
        let seen = lock(&self.state.seen);
        let after = since(&seen, from);
        let first = |(partition, end): (&i32, &i64)| {
            let newer = |seen: &&Seen| seen.partition == *partition && seen.offset >= *end;
            after.iter().find(newer).map(|seen| seen.at)
        };
        let firsts: Option<Vec<Instant>> = ends.iter().map(first).collect();
        firsts?.into_iter().max()
    }

    /// When the lag was first measured to be at most `messages`, after `from`.
    pub fn caught_up_at(&self, from: Instant, messages: u64) -> Option<Instant> {
        let lags = lock(&self.state.lags);
        let mut after = lags[lags.partition_point(|(at, _)| *at < from)..].iter();
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
        let all = lock(&self.state.seen);
        for seen in since(&all, from).iter().take_while(|seen| seen.at <= to) {
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

    /// Where the input ends, and up to where it is committed, by partition.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn processed(&self) -> Result<(HashMap<i32, i64>, HashMap<i32, i64>)> {
        Ok((self.input_ends()?, committed(&self.config)?))
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

/// What came at `from` or after it. Asked 20 times a second: it does not go through what came before.
fn since(seen: &[Seen], from: Instant) -> &[Seen] {
    &seen[seen.partition_point(|seen| seen.at < from)..]
}

fn observer(config: &Config, committed_only: bool) -> Result<BaseConsumer> {
    let group = &config.name;
    let mut client = client::config(&config.kafka, Role::Observer { group });
    if !committed_only {
        client.set("isolation.level", "read_uncommitted");
    }
    client.create().context("a client of the verifier")
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let topic = metadata.topics().first().context("the topic's metadata")?;
    let partitions = topic.partitions().iter().map(MetadataPartition::id);
    let partitions: Vec<i32> = partitions.collect();
    // A broker that has just started does not know at once what it leads.
    ensure!(
        !partitions.is_empty(),
        "no partition of {} is known",
        topic.name()
    );
    Ok(partitions)
}

/// Where a topic ends; with `committed_only`, where what is decided ends: before the first open transaction.
///
/// # Errors
/// When the broker does not answer.
pub fn ends(config: &Config, topic: &str, committed_only: bool) -> Result<HashMap<i32, i64>> {
    let consumer = observer(config, committed_only)?;
    let of = |partition: i32| {
        let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
        Ok((partition, end))
    };
    let partitions = partitions(&consumer, topic)?;
    partitions.into_iter().map(of).collect()
}

/// Committed offsets of the pipeline, by partition of its input; 0 where there is none.
///
/// # Errors
/// When the broker does not answer.
pub fn committed(config: &Config) -> Result<HashMap<i32, i64>> {
    let topic = &config.source.topic;
    let consumer = observer(config, true)?;
    let mut list = rdkafka::TopicPartitionList::new();
    for partition in partitions(&consumer, topic)? {
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
