//! The past, for commands that go through it again: a file of readings, or the input topic from its beginning
//! to its present end. Both drive the engine that runs live.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use forewarn_pipeline::config::{AssetSource, EventTime, TimeUnit};
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::kafka::replay::Replay;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::{Config, Engine};
use polars::prelude::DataFrame;

use crate::files::{self, Format};

/// Rows per step, as in the service. The result does not depend on it.
const BATCH: usize = 8_192;
/// A file stands for one partition of the input topic; the row is the offset.
const PARTITION: i32 = 0;

/// What is gone through.
pub(crate) enum History<'a> {
    File { path: &'a Path, format: Format },
    Topic,
}

impl<'a> History<'a> {
    /// `input`, or the topic of `config`. A line of JSON has neither key nor timestamp of its own: fields
    /// `asset` and `time` stand for them.
    pub(crate) fn new(input: Option<&'a Path>, config: &mut Config) -> Result<Self> {
        let Some(path) = input else {
            return Ok(History::Topic);
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
        Ok(History::File { path, format })
    }

    /// Takes `engine` through it, handing each step to `on`; gives the number of records. The end of a file
    /// ends all time: what waits is released, open windows are closed. A topic goes on; what is open there
    /// stays open.
    pub(crate) fn run(
        &self,
        config: &Config,
        engine: &mut Engine,
        mut on: impl FnMut(&Step<'_>),
    ) -> Result<u64> {
        let History::File { path, format } = self else {
            return topic(config, engine, on);
        };
        engine.assign(PARTITION, 0, 0, Vec::new());
        let rows = match format {
            Format::Jsonl => lines(path, engine, &mut on),
            Format::Csv | Format::Parquet => table(path, *format, engine, &mut on),
        };
        let rows = rows.with_context(|| path.display().to_string())?;
        on(&engine.advance(PARTITION, i64::MAX)?);
        Ok(rows)
    }
}

fn topic(config: &Config, engine: &mut Engine, mut on: impl FnMut(&Step<'_>)) -> Result<u64> {
    let replay = Replay::open(config, engine)?;
    let mut records = 0;
    while let Some(step) = replay.batch(|messages| {
        records += messages.len() as u64;
        engine.step(messages).map(|step| on(&step))
    })? {
        step?;
    }
    on(&engine.reach_marks()?);
    Ok(records)
}

fn lines(path: &Path, engine: &mut Engine, on: &mut impl FnMut(&Step<'_>)) -> Result<u64> {
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
        on(&engine.step(&messages)?);
        rows += lines.len() as u64;
    }
    Ok(rows)
}

fn table(
    path: &Path,
    format: Format,
    engine: &mut Engine,
    on: &mut impl FnMut(&Step<'_>),
) -> Result<u64> {
    let frame: DataFrame = files::read_table(path, format)?;
    let rows = frame.height();
    for start in (0..rows).step_by(BATCH) {
        let part = frame.slice(start as i64, BATCH);
        on(&engine.step_table(PARTITION, &part)?);
    }
    Ok(rows as u64)
}
