//! Files that commands read, and the formats of those that they write, by the ending of their names.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, bail};
use polars::prelude::{CsvReadOptions, DataFrame, ParquetReader, SerReader as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Jsonl,
    Csv,
    Parquet,
}

impl Format {
    /// By the ending of a file's name, looked at before any work: a long run must not fail on the name of its
    /// output.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl") => Ok(Format::Jsonl),
            Some("csv") => Ok(Format::Csv),
            Some("parquet") => Ok(Format::Parquet),
            _ => bail!(
                "{}: the file's name must end in .parquet, .csv or .jsonl",
                path.display()
            ),
        }
    }
}

/// Reads a table of readings.
pub(crate) fn read_table(path: &Path, format: Format) -> Result<DataFrame> {
    let file = File::open(path)?;
    let frame = match format {
        // A column that looks whole at first may not be later on: all rows decide.
        Format::Csv => CsvReadOptions::default()
            .with_infer_schema_length(None)
            .into_reader_with_file_handle(file)
            .finish(),
        _ => ParquetReader::new(file).finish(),
    };
    Ok(frame?)
}

/// The format of a table that is to be written.
pub(crate) fn table_format(path: &Path) -> Result<Format> {
    match Format::of(path)? {
        Format::Jsonl => bail!("{}: tables are written as .parquet or .csv", path.display()),
        format => Ok(format),
    }
}
