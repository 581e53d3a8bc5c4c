//! The reference: the pure engine over the input topic, on one thread, with the marks of quiet partitions and
//! the versions that the events of models say.
//!
//! Where no version was swapped, it is the replay that `forewarn score` does. Where versions were swapped, each
//! partition is gone through by itself: a version serves from one record on in one partition, from another one
//! in the next. Then there are no marks (nothing says whether a mark or a swap at the same record came first),
//! and state that a swap builds anew is built from the beginning, as the service does.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, anyhow, ensure};
use forewarn_models::{Loader, Repository, Runtime};
use forewarn_pipeline::dead_letter;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::kafka::replay::Replay;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::publish::{
    Encoder, Output as To, OutputRecord, Publisher, SetAside, SetAsideRecord,
};
use forewarn_pipeline::swap::ModelEventRecord;
use forewarn_pipeline::{Config, Engine, Plan};

use super::output::{Output, Sink};

/// A message that is larger than the clients' default `message.max.bytes`, less some room for headers, is set
/// aside without its value.
const LARGEST_SET_ASIDE: usize = 990_000;

/// What the service should have published, one after the other, of the input below `committed`. Gives the engine
/// with the state at the end, where one engine did it all.
///
/// # Errors
/// When the input can't be read, or the engine fails on it.
pub fn run(
    config: &Config,
    committed: &HashMap<i32, i64>,
    events: &[ModelEventRecord<'_>],
    mut on: impl FnMut(Output),
) -> Result<Option<Engine>> {
    if events.is_empty() {
        return whole(config, committed, &mut on).map(Some);
    }
    ensure!(
        config.event_time.idle_timeout.0.is_none(),
        "the reference of swaps knows no marks: set idle-timeout to never"
    );
    let mut partitions: Vec<i32> = committed.keys().copied().collect();
    partitions.sort_unstable();
    for partition in partitions {
        let schedule = Schedule::of(partition, events);
        swapped(
            config,
            (partition, committed[&partition]),
            &schedule,
            &mut on,
        )?;
    }
    Ok(None)
}

/// All partitions by one engine.
fn whole(
    config: &Config,
    committed: &HashMap<i32, i64>,
    on: &mut impl FnMut(Output),
) -> Result<Engine> {
    let mut engine = Engine::new(config, Plan::build(config, &Loader::trusted())?);
    let mut encoder = Encoder::new(&config.name, &config.source.topic, config.sink.headers);
    let replay = Replay::open(config, &mut engine)?;
    let below = |message: &&Message<'_>| {
        committed
            .get(&message.partition)
            .is_some_and(|end| message.offset < *end)
    };
    while let Some(done) = replay.batch(|messages| {
        let messages: Vec<Message<'_>> = messages.iter().filter(below).copied().collect();
        let step = engine.step(&messages)?;
        record(&mut encoder, &step, &messages, on);
        anyhow::Ok(())
    })? {
        done?;
    }
    let step = engine.reach_marks()?;
    record(&mut encoder, &step, &[], on);
    Ok(engine)
}

/// Which version of which model serves from which record on, in one partition.
#[derive(Debug, Default)]
struct Schedule(BTreeMap<i64, Vec<(String, String, u32)>>);

impl Schedule {
    /// Of one model the events stand in the order of their commits.
    fn of(partition: i32, events: &[ModelEventRecord<'_>]) -> Self {
        let mut schedule = Schedule::default();
        for event in events {
            if let Some(offset) = event.offsets.get(&partition) {
                let serves = (event.model.to_string(), event.role.to_string(), event.to);
                schedule.0.entry(*offset).or_default().push(serves);
            }
        }
        schedule
    }

    /// What changes at a record or before it, behind `from`.
    fn between(&self, from: i64, to: i64) -> impl Iterator<Item = &(String, String, u32)> {
        self.0.range(from..=to).flat_map(|(_, serves)| serves)
    }

    /// The first record at or behind `from` at which something changes.
    fn next(&self, from: i64) -> i64 {
        let next = self.0.range(from..).next();
        next.map_or(i64::MAX, |(offset, _)| *offset)
    }
}

/// A message with its bytes.
#[derive(Debug)]
struct Owned {
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
}

impl Owned {
    fn of(message: &Message<'_>) -> Self {
        Owned {
            partition: message.partition,
            offset: message.offset,
            timestamp: message.timestamp,
            key: message.key.map(<[u8]>::to_vec),
            payload: message.payload.map(<[u8]>::to_vec),
        }
    }

    fn borrow(&self) -> Message<'_> {
        Message {
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
        }
    }
}

/// One partition, by the versions of `schedule`.
fn swapped(
    config: &Config,
    (partition, committed): (i32, i64),
    schedule: &Schedule,
    on: &mut impl FnMut(Output),
) -> Result<()> {
    let mut engine = Engine::new(config, Plan::build(config, &Loader::trusted())?);
    let mut encoder = Encoder::new(&config.name, &config.source.topic, config.sink.headers);
    let mut input = Vec::new();
    let replay = Replay::open(config, &mut engine)?;
    let wanted =
        |message: &&Message<'_>| message.partition == partition && message.offset < committed;
    while replay
        .batch(|messages| input.extend(messages.iter().filter(wanted).map(Owned::of)))?
        .is_some()
    {}
    let messages: Vec<Message<'_>> = input.iter().map(Owned::borrow).collect();
    let mut from = i64::MIN;
    let mut at = 0;
    while at < messages.len() {
        let offset = messages[at].offset;
        let mut rebuild = false;
        for (model, role, version) in schedule.between(from, offset) {
            rebuild |= put_in_place(config, &mut engine, (model, role), *version)?;
        }
        if rebuild {
            engine.assign(partition, messages[0].offset, offset, Vec::new());
            let before = &messages[..at];
            let step = engine.step(before)?;
            record(&mut encoder, &step, before, on);
        }
        from = offset + 1;
        let next = schedule.next(from);
        let rest = messages[at..]
            .iter()
            .take_while(|message| message.offset < next);
        let segment = &messages[at..at + rest.count()];
        let step = engine.step(segment)?;
        record(&mut encoder, &step, segment, on);
        at += segment.len();
    }
    Ok(())
}

/// True when state must be built anew.
fn put_in_place(
    config: &Config,
    engine: &mut Engine,
    (model, role): (&str, &str),
    version: u32,
) -> Result<bool> {
    let named = |planned: &forewarn_pipeline::plan::PlannedModel| {
        planned.model.name == model && planned.role.name() == role
    };
    let place = engine.plan().models.iter().position(named);
    let place =
        place.with_context(|| format!("an event about {model} ({role}), which is not served"))?;
    if engine.plan().models[place].model.version == version {
        return Ok(false);
    }
    let runtime = Runtime::load(config.models.runtime.as_deref())?;
    let repository = Repository::new(&config.models.repository);
    let problems = |problems: Vec<String>| anyhow!("{model}@{version}: {}", problems.join("; "));
    let loaded = Loader::trusted()
        .load(&runtime, &repository, model, Some(version))
        .map_err(problems)?;
    let swapped = engine.swap(place, loaded, config).map_err(problems)?;
    Ok(swapped.rebuild)
}

fn record(
    encoder: &mut Encoder,
    step: &Step<'_>,
    messages: &[Message<'_>],
    on: &mut impl FnMut(Output),
) {
    let mut recorder = Recorder { messages, on };
    let Ok(()) = encoder.publish(step, &mut recorder);
}

/// Takes records as the sink of the service does.
struct Recorder<'m, F> {
    messages: &'m [Message<'m>],
    on: F,
}

impl<F: FnMut(Output)> Publisher for Recorder<'_, F> {
    type Error = std::convert::Infallible;

    fn record(&mut self, record: &OutputRecord<'_>) -> Result<(), Self::Error> {
        let sink = match record.output {
            To::Prediction { .. } => Sink::Predictions,
            To::Shadow => Sink::Shadow,
            To::Status => Sink::Status,
            To::Alarm(_) => Sink::Alarms,
            // Written by workers, not by the engine.
            To::Model | To::Progress { .. } => return Ok(()),
        };
        (self.on)(Output {
            sink,
            key: Some(record.key.as_bytes().to_vec()),
            value: Some(record.payload.to_vec()),
            headers: headers(record.headers),
        });
        Ok(())
    }

    fn set_aside(&mut self, record: &SetAsideRecord<'_>) -> Result<(), Self::Error> {
        let original = record
            .message
            .map(|message| self.messages[message as usize]);
        let value = original.and_then(|original| original.payload);
        let timestamp = match record.why {
            SetAside::Refused(_) => original.and_then(|original| original.timestamp),
            SetAside::Late => None,
        };
        let bytes = value.map(<[u8]>::len);
        let omitted = bytes.filter(|bytes| *bytes > LARGEST_SET_ASIDE);
        let more = dead_letter::of_original(timestamp, omitted);
        let more = more
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into_bytes()));
        let mut headers = headers(record.headers);
        headers.extend(more);
        (self.on)(Output {
            sink: match record.why {
                SetAside::Refused(_) => Sink::DeadLetters,
                SetAside::Late => Sink::Late,
            },
            key: original
                .and_then(|original| original.key)
                .map(<[u8]>::to_vec),
            value: value
                .filter(|value| value.len() <= LARGEST_SET_ASIDE)
                .map(<[u8]>::to_vec),
            headers,
        });
        Ok(())
    }
}

fn headers(pairs: &[(&'static str, &str)]) -> Vec<(String, Vec<u8>)> {
    let owned =
        |(key, value): &(&'static str, &str)| ((*key).to_owned(), value.as_bytes().to_vec());
    pairs.iter().map(owned).collect()
}
