//! `forewarn score`: a file through the same engine, without Kafka.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use forewarn_pipeline::config::{AssetSource, EventTime, TimeUnit};
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::{Config, Engine, Plan};
use polars::prelude::{CsvReadOptions, ParquetReader, SerReader as _};

use crate::cli::ScoreArgs;
use crate::terminal::thousands;

mod table;

use table::ScoreTable;

/// Rows per step, as in the service. The result does not depend on it.
const BATCH: usize = 8_192;
/// The file stands for one partition of the input topic; the row is the offset.
const PARTITION: i32 = 0;

pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    let mut config = Config::load(&args.config)?;
    let format = ending(&args.input)?;
    if ending(&args.output)? == "jsonl" {
        bail!(
            "{}: scores are written as .parquet or .csv",
            args.output.display()
        );
    }
    if format == "jsonl" {
        // A line has no key and no timestamp of its own.
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
    let plan = Plan::build(&config)?;
    let mut scores = ScoreTable::new(&plan);
    let mut engine = Engine::new(&config, plan);
    engine.assign(PARTITION, 0, 0, Vec::new());
    let begun = Instant::now();
    let rows = match format {
        "jsonl" => score_lines(&args.input, &mut engine, &mut scores)?,
        _ => score_table(&args.input, format, &mut engine, &mut scores)?,
    };
    // The end of the file ends all time: what waits is released, open windows are closed.
    scores.append(&engine.advance(PARTITION, i64::MAX)?);
    let seconds = begun.elapsed().as_secs_f64();
    let (refused, late) = (scores.refused(), scores.late());
    let (predictions, unscored) = scores.write(&args.output)?;
    println!(
        "{} rows: {} predictions to {} in {seconds:.1} s ({} rows/s)",
        thousands(rows),
        thousands(predictions),
        args.output.display(),
        thousands((rows as f64 / seconds) as u64)
    );
    if unscored > 0 {
        println!(
            "{} results without a score: see the column unscored",
            thousands(unscored)
        );
    }
    if let (count @ 1.., first) = late {
        println!(
            "{} rows too late for a view: first row {first}",
            thousands(count)
        );
    }
    for (code, (count, first)) in refused {
        println!(
            "{} rows refused, {code}: first in row {first}",
            thousands(count)
        );
    }
    Ok(())
}

fn ending(path: &Path) -> Result<&'static str> {
    // Before any work: a long run must not fail on the name of its output.
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("jsonl") => Ok("jsonl"),
        Some("csv") => Ok("csv"),
        Some("parquet") => Ok("parquet"),
        _ => bail!(
            "{}: the file's name must end in .parquet, .csv or .jsonl",
            path.display()
        ),
    }
}

fn score_lines(path: &Path, engine: &mut Engine, scores: &mut ScoreTable) -> Result<u64> {
    let context = || path.display().to_string();
    let mut file = BufReader::new(File::open(path).with_context(context)?);
    let (mut rows, mut ended) = (0_u64, false);
    while !ended {
        let mut lines = Vec::new();
        while lines.len() < BATCH && !ended {
            let mut line = Vec::new();
            ended = file.read_until(b'\n', &mut line).with_context(context)? == 0;
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
        let step = engine.step(&messages)?;
        scores.append(&step);
        rows += lines.len() as u64;
    }
    Ok(rows)
}

fn score_table(
    path: &Path,
    format: &str,
    engine: &mut Engine,
    scores: &mut ScoreTable,
) -> Result<u64> {
    let context = || path.display().to_string();
    let file = File::open(path).with_context(context)?;
    let frame = match format {
        // A column that looks whole at first may not be later on: all rows decide.
        "csv" => CsvReadOptions::default()
            .with_infer_schema_length(None)
            .into_reader_with_file_handle(file)
            .finish(),
        _ => ParquetReader::new(file).finish(),
    }
    .with_context(context)?;
    let rows = frame.height();
    for start in (0..rows).step_by(BATCH) {
        let part = frame.slice(start as i64, BATCH);
        let step: Step<'_> = engine.step_table(PARTITION, &part).with_context(context)?;
        scores.append(&step);
    }
    Ok(rows as u64)
}
