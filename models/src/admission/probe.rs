//! Trying a model: it is loaded as the service loads it, asked the golden input in several ways, and timed.
//!
//! ```text
//!   service                          child process (the same program)
//!   Request as JSON ── stdin ──▶     limits on itself, load, ask, time
//!   Reply, or how it ended ◀ stdout ─┘
//! ```
//!
//! [`probe`] is what happens; [`serve`] is that in a process of its own. A process with limits keeps a crash,
//! a hang and greed away from the service. It is no sandbox against code: ONNX graphs hold none, and libraries
//! with operators of their own are never loaded.
//!
//! Not here: starting the process and judging its end (`prober.rs`).

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rlimit::Resource;
use serde::{Deserialize, Serialize};

use super::bundle::GOLDEN;
use super::golden::{Answer, Asked, Golden};
use crate::model::{LoadError, Model, Raw};
use crate::repository::ModelFiles;
use crate::runtime::Runtime;
use crate::scorer::ScoreError;

/// Rows of the timed runs, as many as the scorer takes at once.
const TIMED_ROWS: usize = 256;
/// How long the timing goes on: long enough to be steady within some percent.
const TIMED: Duration = Duration::from_millis(200);
/// Enough for the library, the model and its weights.
const OPEN_FILES: u64 = 64;

/// What the child is asked to try.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub runtime: PathBuf,
    pub name: String,
    pub version: u32,
    pub folder: PathBuf,
    pub memory: u64,
    pub seconds: u64,
}

/// What is known of a model that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub answer: Answer,
    /// What is no reason to refuse it, and should be looked at.
    pub warnings: Vec<String>,
    pub load_seconds: f64,
    /// On one core, in batches of 256, or row by row.
    pub rows_per_second: f64,
    /// Its rows have other bits in a batch than alone, so it is scored one row at a time.
    #[serde(default)]
    pub row_by_row: bool,
    /// Most memory that the probing process had; with no process of its own, that of this one.
    pub peak_bytes: u64,
}

/// Why it did not run, as it travels between the processes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Failure {
    NoRuntime(String),
    DoesNotFit(Vec<String>),
    DoesNotLoad(String),
    DoesNotRun(String),
    NotFinite(String),
    NotRepeatable,
    Golden(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reply {
    Ran(Report),
    Refused(Failure),
}

/// Answers one request: the whole life of a probing process.
///
/// # Errors
/// When the request can't be read, a limit can't be set, or the reply can't be written.
pub fn serve(mut input: impl Read, mut output: impl Write) -> std::io::Result<()> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    let request: Request = serde_json::from_str(&text)?;
    limit(&request)?;
    let files = ModelFiles::in_folder(&request.name, request.version, &request.folder);
    let runtime = Runtime::load(Some(&request.runtime));
    let result = runtime
        .map_err(|error| Failure::NoRuntime(error.to_string()))
        .and_then(|runtime| probe(&runtime, &files));
    let reply = match result {
        Ok(report) => Reply::Ran(report),
        Err(failure) => Reply::Refused(failure),
    };
    serde_json::to_writer(&mut output, &reply)?;
    output.flush()
}

/// Limits of this process, once and for all.
fn limit(request: &Request) -> std::io::Result<()> {
    let limits = [
        (Resource::AS, request.memory),
        // The wall clock is the parent's to watch; this ends a child whose parent is gone.
        (Resource::CPU, request.seconds + 1),
        (Resource::FSIZE, 0),
        (Resource::NOFILE, OPEN_FILES),
        (Resource::CORE, 0),
    ];
    for (resource, most) in limits {
        resource.set(most, most)?;
    }
    Ok(())
}

/// Tries a version in this process.
pub(super) fn probe(runtime: &Runtime, files: &ModelFiles) -> Result<Report, Failure> {
    let begun = Instant::now();
    let mut model = Model::load(runtime, files).map_err(|error| match error {
        LoadError::Contract { problems, .. } => Failure::DoesNotFit(problems),
        LoadError::Manifest { source, .. } => {
            Failure::DoesNotFit(vec![format!("model.toml: {source}")])
        }
        LoadError::Onnx { source, .. } => Failure::DoesNotLoad(without_path(&source.to_string())),
        LoadError::Probe { source, .. } => Failure::DoesNotRun(source.to_string()),
    })?;
    let load_seconds = begun.elapsed().as_secs_f64();
    let golden = golden_of(&files.folder())?;
    if let Some(problem) = golden.problem(&model) {
        return Err(Failure::Golden(problem));
    }
    let ran = |error: crate::scorer::ScoreError| Failure::DoesNotRun(error.to_string());
    let mut asked = golden.ask(&mut model).map_err(ran)?;
    finite(&asked)?;
    if !same_rows(&asked, &golden.ask_backwards(&mut model).map_err(ran)?) {
        model.score_row_by_row();
        asked = golden.ask(&mut model).map_err(ran)?;
    }
    if let Some(problem) = golden.mismatch(&asked.raw.outputs) {
        return Err(Failure::Golden(problem));
    }
    // Other batches in between: whatever they left behind must not show.
    let rows_per_second = timed(&mut model).map_err(ran)?;
    let alone = golden.ask_backwards(&mut model).map_err(ran)?;
    let again = golden.ask(&mut model).map_err(ran)?;
    if again.answer != asked.answer || !same_rows(&asked, &alone) {
        return Err(Failure::NotRepeatable);
    }
    Ok(Report {
        warnings: warnings(&alone, model.is_row_by_row()),
        row_by_row: model.is_row_by_row(),
        answer: asked.answer,
        load_seconds,
        rows_per_second,
        peak_bytes: peak_bytes(),
    })
}

/// The path of the copy means nothing to a reader, and what is refused is told with its own.
fn without_path(message: &str) -> String {
    let end = message.split_once("Load model from ");
    let reason = end.and_then(|(_, rest)| rest.split_once(" failed:"));
    reason
        .map_or(message, |(_, reason)| reason)
        .trim()
        .to_owned()
}

/// The golden input of the version in `folder`: its own, or made-up rows.
pub(super) fn golden_of(folder: &Path) -> Result<Golden, Failure> {
    match std::fs::read(folder.join(GOLDEN)) {
        Ok(text) => Golden::read(&text).map_err(Failure::Golden),
        Err(_) => Ok(Golden::MadeUp),
    }
}

fn finite(asked: &Asked) -> Result<(), Failure> {
    let states = asked.raw.states.iter().map(|value| f64::from(*value));
    let values = asked.raw.outputs.iter().copied().chain(states);
    let bad: Vec<f64> = values.filter(|value| !value.is_finite()).collect();
    let Some(first) = bad.first() else {
        return Ok(());
    };
    let what = if first.is_nan() {
        "NaN"
    } else {
        "an infinite number"
    };
    Err(Failure::NotFinite(format!(
        "{what} on the golden input ({} values of {} rows)",
        bad.len(),
        asked.rows
    )))
}

/// Do the rows alone have the bits that they have together?
fn same_rows(asked: &Asked, alone: &[Raw]) -> bool {
    let outputs = alone.iter().flat_map(|row| &row.outputs);
    let states = alone.iter().flat_map(|row| &row.states);
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits();
    outputs.clone().count() == asked.raw.outputs.len()
        && outputs.zip(&asked.raw.outputs).all(same)
        && states.clone().count() == asked.raw.states.len()
        && states
            .zip(&asked.raw.states)
            .all(|(a, b)| a.to_bits() == b.to_bits())
}

fn warnings(alone: &[Raw], row_by_row: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let same = |pair: &[Raw]| pair[0].outputs == pair[1].outputs;
    if alone.len() > 1 && alone.windows(2).all(same) {
        warnings.push(format!(
            "it gives the same output on {} different rows: weights missing, a saturated output, or the wrong \
             output named in the contract?",
            alone.len()
        ));
    }
    if row_by_row {
        let slower = "its rows have other bits in a batch than alone: it is scored one row at a time, which is slower";
        warnings.push(slower.into());
    }
    warnings
}

fn timed(model: &mut Model) -> Result<f64, ScoreError> {
    let input = vec![1.0; TIMED_ROWS * model.row_len()];
    let (begun, mut rows) = (Instant::now(), 0);
    while begun.elapsed() < TIMED {
        model.raw(&input)?;
        rows += TIMED_ROWS;
    }
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}

/// The high-water mark of resident memory; 0 where the system does not tell.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
