//! A folder with files by date, as Hive has them: `date=2026-01-31/part-0.parquet`.
//!
//! Rows of a date keep their order, and those that come together are a row group of its file. At most [`OPEN`] files
//! are open: the one that had no rows for longest is ended, and if its date comes again there is another part.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use forewarn_pipeline::prediction::EventTimestamp;
use polars::prelude::{ChunkedArray, DataFrame, DataType, IdxCa, IdxSize, NewChunkedArray as _};

use super::file::TableFile;
use crate::files::Format;

const DAY: i64 = 86_400_000_000;
/// Files that are open at once.
const OPEN: usize = 64;

pub(super) struct Dates {
    folder: PathBuf,
    /// The column that tells the date.
    time: &'static str,
    dates: BTreeMap<i64, Date>,
    /// Counts what is written, to tell which file had no rows for longest.
    clock: u64,
}

#[derive(Default)]
struct Date {
    file: Option<TableFile>,
    parts: usize,
    last: u64,
}

impl Dates {
    pub(super) fn create(folder: PathBuf, time: &'static str) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Dates {
            folder,
            time,
            dates: BTreeMap::new(),
            clock: 0,
        })
    }

    pub(super) fn write(&mut self, frame: DataFrame) -> Result<()> {
        by_day(frame, self.time)?
            .into_iter()
            .try_for_each(|(day, part)| self.row_group(day, part))
    }

    fn row_group(&mut self, day: i64, rows: DataFrame) -> Result<()> {
        self.clock += 1;
        let date = self.dates.entry(day).or_default();
        date.last = self.clock;
        let mut file = match date.file.take() {
            Some(file) => file,
            None => {
                let folder = self.folder.join(format!("date={}", name(day)));
                fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
                let path = folder.join(format!("part-{}.parquet", date.parts));
                date.parts += 1;
                TableFile::create(&path, Format::Parquet, rows.schema())
                    .with_context(|| path.display().to_string())?
            }
        };
        file.write(rows)?;
        date.file = Some(file);
        let open = self.dates.values().filter(|date| date.file.is_some());
        if open.count() > OPEN {
            let open = self.dates.values_mut().filter(|date| date.file.is_some());
            let longest_ago = open.min_by_key(|date| date.last);
            if let Some(file) = longest_ago.and_then(|date| date.file.take()) {
                file.finish(None)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        let mut files = self.dates.into_values().filter_map(|date| date.file);
        files.try_for_each(|file| file.finish(None))
    }
}

/// Rows by the date of `time`, each in their order.
fn by_day(frame: DataFrame, time: &str) -> Result<Vec<(i64, DataFrame)>> {
    let instants = frame.column(time)?.cast(&DataType::Int64)?;
    let days = instants.i64()?.iter();
    let days: Vec<i64> = days.map(|at| at.unwrap_or(0).div_euclid(DAY)).collect();
    let Some(first) = days.first().copied() else {
        return Ok(Vec::new());
    };
    if days.iter().all(|day| *day == first) {
        return Ok(vec![(first, frame)]);
    }
    let mut order: Vec<IdxSize> = (0..days.len() as IdxSize).collect();
    order.sort_by_key(|row| days[*row as usize]);
    let index: IdxCa = ChunkedArray::from_slice("rows".into(), &order);
    let sorted = frame.take(&index)?;
    let mut parts = Vec::new();
    let mut begin = 0;
    for run in order.chunk_by(|a, b| days[*a as usize] == days[*b as usize]) {
        let part = sorted.slice(begin as i64, run.len());
        parts.push((days[run[0] as usize], part));
        begin += run.len();
    }
    Ok(parts)
}

/// `2026-01-31`.
fn name(day: i64) -> String {
    let instant = EventTimestamp(day.saturating_mul(DAY)).to_string();
    instant.split('T').next().unwrap_or_default().to_owned()
}
