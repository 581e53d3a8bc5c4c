//! The past, for commands that go through it again: a file of readings, or the input topic from its beginning
//! to its present end. Both drive the engine that runs live.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use forewarn_pipeline::config::{AssetSource, EventTime, TimeUnit};
use forewarn_pipeline::dead_letter::Position;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::kafka::dead_letters::Records as SingleRecords;
use forewarn_pipeline::kafka::replay::{self, Records, Replay};
use forewarn_pipeline::message::Message;
use forewarn_pipeline::stretch::{Coming, Settling, Stretch};
use forewarn_pipeline::{Config, Engine, Plan};
use polars::prelude::DataFrame;
use serde_json::Value;

use crate::cli::PastArgs;
use crate::files::{self, Format};
use crate::stretch::StretchArgs;

/// Rows per step, as in the service. The result does not depend on it.
const BATCH: usize = 8_192;
/// A file stands for one partition of the input topic; the row is the offset.
const PARTITION: i32 = 0;

/// What is gone through, and the part of it that is meant.
pub(crate) struct History<'a> {
    past: Past<'a>,
    pub(crate) stretch: Stretch,
    args: &'a StretchArgs,
}

enum Past<'a> {
    File { path: &'a Path, format: Format },
    Topic,
}

/// What was gone through.
pub(crate) struct Gone {
    pub records: u64,
    /// The records that were read.
    pub read: Records,
    /// Where reading did not begin with the oldest record, or what it had before it does not count: how long before
    /// the stretch.
    pub warm_up: Option<Duration>,
}

impl<'a> History<'a> {
    /// The input of `args`, or the topic of `config`. A line of JSON has neither key nor timestamp of its own: fields
    /// `asset` and `time` stand for them.
    pub(crate) fn new(args: &'a PastArgs, config: &mut Config) -> Result<Self> {
        let stretch = args.stretch.stretch()?;
        let of = |past| History {
            past,
            stretch,
            args: &args.stretch,
        };
        let Some(path) = args.input.as_deref() else {
            return Ok(of(Past::Topic));
        };
        let format = Format::of(path)?;
        if format == Format::Jsonl {
            if config.source.asset == AssetSource::Key {
                config.source.asset = AssetSource::Field {
                    field: "asset".into(),
                };
            }
            if config.source.event_time == EventTime::Record {
                config.source.event_time = EventTime::Field {
                    field: "time".into(),
                    unit: TimeUnit::Ms,
                };
            }
        }
        Ok(of(Past::File { path, format }))
    }

    /// The file, unless it is the topic.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.past {
            Past::File { path, .. } => Some(path),
            Past::Topic => None,
        }
    }

    /// The stretch as it was asked for.
    pub(crate) fn asked(&self) -> Value {
        self.args.asked()
    }

    /// Takes `engine` through it, handing each step to `on`, until all rows of the stretch have come: `settling` says
    /// when. The end of a file ends all time: what waits is released, open windows are closed. A topic goes on; what
    /// is open there stays open.
    pub(crate) fn run(
        &self,
        config: &Config,
        engine: &mut Engine,
        settling: Settling,
        mut on: impl FnMut(&Step<'_>) -> Result<()>,
    ) -> Result<Gone> {
        let Past::File { path, format } = &self.past else {
            let records = self.records(config, engine.plan())?;
            return self.topic(config, engine, (&records, settling), on);
        };
        engine.assign(PARTITION, 0, 0, Vec::new());
        let rows = match format {
            Format::Jsonl => lines(path, engine, &mut on),
            Format::Csv | Format::Parquet => table(path, *format, engine, &mut on),
        };
        let records = rows.with_context(|| path.display().to_string())?;
        on(&engine.advance(PARTITION, i64::MAX)?)?;
        Ok(Gone {
            records,
            read: Records::from([(PARTITION, 0..records as i64)]),
            warm_up: None,
        })
    }

    /// As [`Self::run`], for these records of the topic.
    pub(crate) fn topic(
        &self,
        config: &Config,
        engine: &mut Engine,
        (records, settling): (&Records, Settling),
        mut on: impl FnMut(&Step<'_>) -> Result<()>,
    ) -> Result<Gone> {
        let mut gone = Gone {
            records: 0,
            read: records
                .iter()
                .map(|(partition, range)| (*partition, range.start..range.start))
                .collect(),
            warm_up: self.args.warm_up,
        };
        let replay = Replay::open_at(config, engine, records)?;
        let mut coming = Coming::new(&self.stretch, settling);
        while let Some(step) = replay.batch(|messages| {
            gone.note(messages);
            on(&engine.step(messages)?)
        })? {
            step?;
            if self.stretch.is_everything() {
                continue;
            }
            for state in engine.partitions() {
                if coming.is_over(state) {
                    replay.leave(state.partition)?;
                }
            }
        }
        on(&engine.reach_marks()?)?;
        Ok(gone)
    }

    /// The records of the topic that are to be read: from the oldest one on, unless nothing before the stretch
    /// matters, or a person says so.
    pub(crate) fn records(&self, config: &Config, plan: &Plan) -> Result<Records> {
        let topic = &config.source.topic;
        let held = replay::held(config)?;
        for partition in self.stretch.offsets.keys() {
            if !held.contains_key(partition) {
                let last = held.len().saturating_sub(1);
                bail!("{topic} has no partition {partition}: it has 0 to {last}");
            }
        }
        let mut records = held;
        records.retain(|partition, _| self.stretch.takes_partition(*partition));
        let begins = match self.args.warm_up {
            Some(warm_up) => self.warmed_up(config, &records, warm_up)?,
            None if plan.has_state() => BTreeMap::new(),
            None => {
                let begin =
                    |partition: &i32| Some((*partition, self.stretch.records(*partition)?.start));
                records.keys().filter_map(begin).collect()
            }
        };
        for (partition, range) in &mut records {
            if let Some(meant) = self.stretch.records(*partition)
                && meant.start < range.start
            {
                let (asked, oldest) = (meant.start, range.start);
                tracing::warn!(
                    topic,
                    partition,
                    asked,
                    oldest,
                    "the log does not go back so far"
                );
            }
            if let Some(begin) = begins.get(partition) {
                range.start = (*begin).clamp(range.start, range.end.max(range.start));
            }
        }
        Ok(records)
    }

    /// Where reading begins when it is `warm_up` before the stretch.
    fn warmed_up(
        &self,
        config: &Config,
        records: &Records,
        warm_up: Duration,
    ) -> Result<BTreeMap<i32, i64>> {
        let single = SingleRecords::open(config)?;
        let mut timestamps = BTreeMap::new();
        for (partition, range) in records {
            let begin = match self.stretch.records(*partition) {
                None => Some(self.stretch.time.start.div_euclid(1_000)),
                Some(meant) => {
                    let position = Position {
                        partition: *partition,
                        offset: meant.start.max(range.start),
                    };
                    let record = single.original(&config.source.topic, position)?;
                    record.and_then(|record| record.timestamp)
                }
            };
            if let Some(begin) = begin {
                timestamps.insert(*partition, begin.saturating_sub(warm_up.as_millis() as i64));
            }
        }
        Ok(replay::at_timestamps(config, &timestamps)?)
    }
}

impl Gone {
    /// Says where what was written is not what the service saw.
    pub(crate) fn tell(&self) {
        if let Some(warm_up) = self.warm_up {
            println!(
                "reading began {} before the stretch: what looks further back is approximate at its beginning",
                humantime::format_duration(warm_up)
            );
        }
    }

    fn note(&mut self, messages: &[Message<'_>]) {
        self.records += messages.len() as u64;
        for messages in messages.chunk_by(|a, b| a.partition == b.partition) {
            let (first, last) = (&messages[0], &messages[messages.len() - 1]);
            let read = self
                .read
                .entry(first.partition)
                .or_insert(first.offset..first.offset);
            if read.is_empty() {
                read.start = first.offset;
            }
            read.end = last.offset + 1;
        }
    }
}

fn lines(
    path: &Path,
    engine: &mut Engine,
    on: &mut impl FnMut(&Step<'_>) -> Result<()>,
) -> Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    let (mut rows, mut ended) = (0_u64, false);
    while !ended {
        let mut lines = Vec::new();
        while lines.len() < BATCH && !ended {
            let mut line = Vec::new();
            ended = file.read_until(b'\n', &mut line)? == 0;
            if !line.trim_ascii().is_empty() {
                lines.push(line);
            }
        }
        let messages: Vec<Message<'_>> = lines
            .iter()
            .enumerate()
            .map(|(i, line)| Message {
                partition: PARTITION,
                offset: (rows + i as u64) as i64,
                timestamp: None,
                key: None,
                payload: Some(line.trim_ascii()),
            })
            .collect();
        on(&engine.step(&messages)?)?;
        rows += lines.len() as u64;
    }
    Ok(rows)
}

fn table(
    path: &Path,
    format: Format,
    engine: &mut Engine,
    on: &mut impl FnMut(&Step<'_>) -> Result<()>,
) -> Result<u64> {
    let frame: DataFrame = files::read_table(path, format)?;
    let rows = frame.height();
    for start in (0..rows).step_by(BATCH) {
        let part = frame.slice(start as i64, BATCH);
        on(&engine.step_table(PARTITION, &part)?)?;
    }
    Ok(rows as u64)
}
