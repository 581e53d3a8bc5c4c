//! Tables of any length: written while their rows are still being made, and there only when they are whole.
//!
//! ```text
//!   rows ─▶ gathered ─(full)─▶ thread: a row group of the file, or of the files of its dates ─▶ NAME.incomplete
//!           ≤ 4 M values       at most 1 waits                              lineage, then a new name ─▶ NAME
//! ```
//!
//! Invariants:
//! - memory does not depend on the number of rows: what is gathered and what waits for the thread is bounded;
//! - under the name asked for there is a whole table or none: a crash leaves `NAME.incomplete`, which the next run
//!   replaces.
//!
//! | file | holds |
//! |---|---|
//! | `file.rs` | one table file, row group by row group |
//! | `dates.rs` | a folder with files by date |
//! | `lineage.rs` | where the rows come from |

mod dates;
mod file;
mod lineage;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, bail};
use polars::prelude::DataFrame;

use crate::files::{Format, table_format};
use dates::Dates;
use file::TableFile;

pub(crate) use lineage::{Content, Lineage, Rows};

/// Values that are gathered before they are written: large enough for a row group that compresses well.
const VALUES: usize = 4 << 20;
/// Most rows of a row group, however narrow they are.
const ROWS: usize = 1 << 18;

/// Where a table goes, looked at before any work.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    path: PathBuf,
    /// `None`: a folder with files by date.
    format: Option<Format>,
}

impl Place {
    /// A name that ends in .parquet or .csv is a file; one without an ending, or with a slash at its end, a folder.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let text = path.as_os_str().to_string_lossy();
        let is_folder = text.ends_with('/') || path.extension().is_none();
        let format = match is_folder {
            true => None,
            false => Some(table_format(path)?),
        };
        let place = Place {
            path: PathBuf::from(text.trim_end_matches('/')),
            format,
        };
        if place.format.is_none() && place.path.exists() {
            bail!(
                "{} is there already: name another folder, or remove it",
                place.path.display()
            );
        }
        Ok(place)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    /// What is written to until it is whole.
    fn incomplete(&self) -> PathBuf {
        self.beside(".incomplete")
    }
}

/// A table that is being written.
pub(crate) struct Dataset {
    place: Place,
    /// `None` after the thread has ended.
    to: Option<SyncSender<DataFrame>>,
    thread: JoinHandle<Result<Writing>>,
    gathered: DataFrame,
    rows: u64,
}

impl Dataset {
    /// Begins a table with the columns of `empty`. `time` names the one whose dates a folder is divided by.
    pub(crate) fn create(place: Place, empty: DataFrame, time: &'static str) -> Result<Self> {
        let incomplete = place.incomplete();
        let context = || incomplete.display().to_string();
        let writing = match place.format {
            Some(format) => Writing::File(
                TableFile::create(&incomplete, format, empty.schema()).with_context(context)?,
            ),
            None => {
                if incomplete.exists() {
                    fs::remove_dir_all(&incomplete).with_context(context)?;
                }
                Writing::Dates(Dates::create(incomplete.clone(), time).with_context(context)?)
            }
        };
        // One waits while another one is written.
        let (to, from) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("table".into())
            .spawn(move || writing.run(&from))?;
        Ok(Dataset {
            place,
            to: Some(to),
            thread,
            gathered: empty,
            rows: 0,
        })
    }

    pub(crate) fn append(&mut self, frame: DataFrame) -> Result<()> {
        self.rows += frame.height() as u64;
        self.gathered.vstack_mut_owned(frame)?;
        let (rows, columns) = (self.gathered.height(), self.gathered.width());
        if rows >= ROWS || rows * columns >= VALUES {
            self.send()?;
        }
        Ok(())
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    fn send(&mut self) -> Result<()> {
        let next = self.gathered.clear();
        let full = std::mem::replace(&mut self.gathered, next);
        let sent = self.to.as_ref().is_some_and(|to| to.send(full).is_ok());
        if sent {
            return Ok(());
        }
        self.to = None;
        bail!("the table can't be written any more")
    }

    /// Writes the rest, and gives the table its name.
    pub(crate) fn finish(mut self, lineage: &Lineage) -> Result<()> {
        let sent = self.send();
        drop(self.to.take());
        let incomplete = self.place.incomplete();
        // The thread knows why, where it ended before.
        let written = self
            .thread
            .join()
            .map_err(|_| anyhow!("the writing thread has panicked"));
        let done = written
            .and_then(|writing| writing)
            .and_then(|writing| sent.map(|()| writing))
            .and_then(|writing| writing.finish(&serde_json::to_string(lineage)?));
        done.with_context(|| incomplete.display().to_string())?;
        let (path, place) = (&self.place.path, &self.place);
        if place.format != Some(Format::Parquet) {
            let beside = place.beside(".lineage.json");
            let text = serde_json::to_string_pretty(lineage)?;
            fs::write(&beside, text).with_context(|| beside.display().to_string())?;
        }
        fs::rename(&incomplete, path).with_context(|| path.display().to_string())
    }
}

/// The side of the thread.
enum Writing {
    File(TableFile),
    Dates(Dates),
}

impl Writing {
    fn run(mut self, from: &Receiver<DataFrame>) -> Result<Self> {
        while let Ok(frame) = from.recv() {
            match &mut self {
                Writing::File(file) => file.write(frame)?,
                Writing::Dates(dates) => dates.write(frame)?,
            }
        }
        Ok(self)
    }

    fn finish(self, lineage: &str) -> Result<()> {
        match self {
            Writing::File(file) => file.finish(Some(lineage)),
            Writing::Dates(dates) => dates.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
