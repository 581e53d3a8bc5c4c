//! NASA C-MAPSS turbofan engines, run to failure: the reader of the published text files.
//!
//! ```text
//!   train_FD001.txt  unit cycle setting1..3 s1..s21   every engine until it fails
//!   test_FD001.txt   same columns                     every engine cut off before it fails
//!   RUL_FD001.txt    line i: remaining useful life of test engine i at its last row, in cycles
//! ```
//!
//! Files may be plain or gzip (`.gz`). An asset is one engine, e.g. `FD001-test-17`.
//!
//! Source: A. Saxena, K. Goebel, *Turbofan Engine Degradation Simulation Data Set*, NASA
//! Prognostics Data Repository, NASA Ames Research Center, 2008; signals from A. Saxena,
//! K. Goebel, D. Simon, N. Eklund, *Damage Propagation Modeling for Aircraft Engine Run-to-Failure
//! Simulation*, PHM08, 2008.
//!
//! Not here: the cap of the training target at 125 cycles. It is a choice of the model, while the
//! lives given here are the published ones.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::dataset::{Error, Signal, folder, for_each_line, number};

const COLUMNS: usize = 26;

/// The 3 settings and the 21 sensors, in the column order of the files.
pub const SIGNALS: [Signal; 24] = [
    Signal::float("altitude", "1000 ft"),
    Signal::float("mach", "-"),
    Signal::float("tra", "deg"),
    Signal::float("T2", "deg R"),
    Signal::float("T24", "deg R"),
    Signal::float("T30", "deg R"),
    Signal::float("T50", "deg R"),
    Signal::float("P2", "psia"),
    Signal::float("P15", "psia"),
    Signal::float("P30", "psia"),
    Signal::float("Nf", "rpm"),
    Signal::float("Nc", "rpm"),
    Signal::float("epr", "-"),
    Signal::float("Ps30", "psia"),
    Signal::float("phi", "pps/psi"),
    Signal::float("NRf", "rpm"),
    Signal::float("NRc", "rpm"),
    Signal::float("BPR", "-"),
    Signal::float("farB", "-"),
    Signal::float("htBleed", "-"),
    Signal::float("Nf_dmd", "rpm"),
    Signal::float("PCNfR_dmd", "rpm"),
    Signal::float("W31", "lbm/s"),
    Signal::float("W32", "lbm/s"),
];

/// One of the four published simulations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subset {
    /// One operating condition, one fault mode.
    Fd001,
    /// Six operating conditions, one fault mode.
    Fd002,
    /// One operating condition, two fault modes.
    Fd003,
    /// Six operating conditions, two fault modes.
    Fd004,
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fd001 => "FD001",
            Self::Fd002 => "FD002",
            Self::Fd003 => "FD003",
            Self::Fd004 => "FD004",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    Train,
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}

/// One flight of one engine: a row of the file, the reading of this data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Cycle {
    /// Number of the engine, from 1 inside each file.
    pub unit: u32,
    /// Number of the flight of this engine, from 1.
    pub cycle: u32,
    pub settings: [f64; 3],
    pub sensors: [f64; 21],
}

impl Cycle {
    /// The values in the order of [`SIGNALS`].
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.settings.iter().chain(&self.sensors).copied()
    }
}

/// The asset id of an engine, e.g. `FD001-test-17`.
pub fn asset_id(subset: Subset, split: Split, unit: u32) -> String {
    format!("{subset}-{split}-{unit}")
}

/// All rows of one file, in file order: engine after engine, and cycle after cycle.
/// `data_dir` is the folder which holds `cmapss`, or that folder itself.
///
/// # Errors
/// When the folder or the file is missing, or a line is not as published.
pub fn load(data_dir: &Path, subset: Subset, split: Split) -> Result<Vec<Cycle>, Error> {
    let file = format!("{split}_{subset}.txt");
    let mut cycles = Vec::new();
    for_each_line(
        &cmapss_folder(data_dir, &file)?,
        &file,
        |path, line, text| {
            cycles.push(parse_cycle(path, line, text)?);
            Ok(())
        },
    )?;
    Ok(cycles)
}

/// Remaining useful life, in cycles, of every *test* engine at its last row; entry i is engine
/// i + 1.
///
/// # Errors
/// When the folder or the file is missing, or a line is not as published.
pub fn load_rul(data_dir: &Path, subset: Subset) -> Result<Vec<f64>, Error> {
    let file = format!("RUL_{subset}.txt");
    let mut lives = Vec::new();
    for_each_line(
        &cmapss_folder(data_dir, &file)?,
        &file,
        |path, line, text| {
            let columns = columns::<1>(path, line, text)?;
            lives.push(number(path, line, 1, columns[0])?);
            Ok(())
        },
    )?;
    Ok(lives)
}

/// Remaining useful life of every row of a train file: an engine fails at its last row.
pub fn train_rul(cycles: &[Cycle]) -> Vec<f64> {
    lives(cycles, |_| 0.0)
}

/// Remaining useful life of every row of a test file, from that of the last rows ([`load_rul`]).
///
/// # Errors
/// When `at_last_row` is not one life per engine.
pub fn test_rul(cycles: &[Cycle], at_last_row: &[f64]) -> Result<Vec<f64>, Error> {
    let (found, expected) = (at_last_row.len(), engines(cycles).count());
    if found != expected {
        return Err(Error::Engines { found, expected });
    }
    Ok(lives(cycles, |engine| at_last_row[engine]))
}

/// The rows of each engine, in file order.
pub fn engines(cycles: &[Cycle]) -> impl Iterator<Item = &[Cycle]> {
    cycles.chunk_by(|a, b| a.unit == b.unit)
}

/// Appends one JSON object, without line end:
/// `{"time":<epoch ms>,"cycle":12,"altitude":...,"W32":...}`. Numbers are the shortest text which
/// reads back as the same `f64`.
pub fn write_json(cycle: &Cycle, time_ms: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":");
    out.extend_from_slice(itoa::Buffer::new().format(time_ms).as_bytes());
    out.extend_from_slice(b",\"cycle\":");
    out.extend_from_slice(itoa::Buffer::new().format(cycle.cycle).as_bytes());
    for (signal, value) in SIGNALS.iter().zip(cycle.values()) {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(signal.name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
    out.push(b'}');
}

fn lives(cycles: &[Cycle], at_last_row: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut lives = Vec::with_capacity(cycles.len());
    for (engine, rows) in engines(cycles).enumerate() {
        let last = rows[rows.len() - 1].cycle;
        lives.extend(
            rows.iter()
                .map(|row| at_last_row(engine) + f64::from(last - row.cycle)),
        );
    }
    lives
}

fn cmapss_folder(data_dir: &Path, file: &str) -> Result<PathBuf, Error> {
    folder(data_dir, "cmapss", file)
}

fn parse_cycle(path: &Path, line: usize, text: &str) -> Result<Cycle, Error> {
    let columns = columns::<COLUMNS>(path, line, text)?;
    let mut values = [0.0; 24];
    for (i, value) in values.iter_mut().enumerate() {
        *value = number(path, line, i + 3, columns[i + 2])?;
    }
    let [altitude, mach, tra, sensors @ ..] = values;
    let unit = number(path, line, 1, columns[0])?;
    let cycle = number(path, line, 2, columns[1])?;
    Ok(Cycle {
        unit,
        cycle,
        settings: [altitude, mach, tra],
        sensors,
    })
}

fn columns<'a, const N: usize>(
    path: &Path,
    line: usize,
    text: &'a str,
) -> Result<[&'a str; N], Error> {
    let columns: Vec<&str> = text.split_ascii_whitespace().collect();
    let found = columns.len();
    let wrong = || Error::Columns {
        path: path.to_path_buf(),
        line,
        found,
        expected: N,
    };
    columns.try_into().map_err(|_| wrong())
}

#[cfg(test)]
mod tests;
