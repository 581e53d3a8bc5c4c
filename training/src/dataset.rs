//! What the data sets share: the description of a signal, where files are looked for, and the
//! errors of reading them.
//!
//! ```text
//!   data folder/            <- `--data` or FOREWARN_DATA
//!     cmapss/               <- also accepted: this folder itself
//!     car-sensors/
//! ```
//!
//! Not here: the choice of the data folder. Reading the environment is the caller's business, so
//! that a library call has no hidden input.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use flate2::read::MultiGzDecoder;

/// How the values of a signal are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalKind {
    Float,
    Integer,
}

/// One measured quantity of an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    pub name: &'static str,
    /// Unit as the publisher of the data states it; `-` for a dimensionless number.
    pub unit: &'static str,
    pub kind: SignalKind,
}

impl Signal {
    pub(crate) const fn float(name: &'static str, unit: &'static str) -> Self {
        Self {
            name,
            unit,
            kind: SignalKind::Float,
        }
    }

    pub(crate) const fn integer(name: &'static str, unit: &'static str) -> Self {
        Self {
            name,
            unit,
            kind: SignalKind::Integer,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no data set {name} found, tried {}; set --data or FOREWARN_DATA to the data folder",
        list(tried)
    )]
    FolderMissing {
        name: &'static str,
        tried: Vec<PathBuf>,
    },
    #[error("file {file} is missing in {}, plain or with .gz", folder.display())]
    FileMissing { folder: PathBuf, file: String },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} line {line}: {found} columns, expected {expected}", path.display())]
    Columns {
        path: PathBuf,
        line: usize,
        found: usize,
        expected: usize,
    },
    #[error(
        "{} line {line}: column {column} holds {value:?}, which is not a finite number of its kind",
        path.display()
    )]
    Number {
        path: PathBuf,
        line: usize,
        column: usize,
        value: String,
    },
    #[error(
        "{} line 1: the header is not that of this data set, expected {expected}",
        path.display()
    )]
    Header { path: PathBuf, expected: String },
    #[error("remaining useful lives of {found} engines given, the cycles are of {expected}")]
    Engines { found: usize, expected: usize },
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(" and ")
}

/// The folder of data set `name`: `data_dir/name`, or `data_dir` itself when it holds `marker`
/// (plain or with `.gz`).
pub(crate) fn folder(data_dir: &Path, name: &'static str, marker: &str) -> Result<PathBuf, Error> {
    let inside = data_dir.join(name);
    if inside.is_dir() {
        Ok(inside)
    } else if existing(data_dir, marker).is_some() {
        Ok(data_dir.to_path_buf())
    } else {
        Err(Error::FolderMissing {
            name,
            tried: vec![inside, data_dir.to_path_buf()],
        })
    }
}

/// Path of `file` in `folder`, or of its gzip twin; the plain file wins when both are there.
pub(crate) fn existing(folder: &Path, file: &str) -> Option<PathBuf> {
    [folder.join(file), folder.join(format!("{file}.gz"))]
        .into_iter()
        .find(|path| path.is_file())
}

/// Calls `parse` with the number (from 1) and the text of every non-blank line of a file, and
/// returns the path which was read, for the caller's own errors.
pub(crate) fn for_each_line(
    folder: &Path,
    file: &str,
    mut parse: impl FnMut(&Path, usize, &str) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let path = existing(folder, file).ok_or_else(|| Error::FileMissing {
        folder: folder.to_path_buf(),
        file: file.to_owned(),
    })?;
    let read = |source| Error::Read {
        path: path.clone(),
        source,
    };
    let plain = File::open(&path).map_err(read)?;
    let mut input: Box<dyn BufRead> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(BufReader::new(MultiGzDecoder::new(plain)))
    } else {
        Box::new(BufReader::new(plain))
    };
    let mut text = String::new();
    let mut line = 0;
    while input.read_line(&mut text).map_err(read)? > 0 {
        line += 1;
        if !text.trim().is_empty() {
            parse(&path, line, text.trim_end_matches(['\n', '\r']))?;
        }
        text.clear();
    }
    Ok(path)
}

/// The number in a column (counted from 1), which must be finite: `nan` and `inf`, which Rust would
/// parse, have no JSON form.
pub(crate) fn number<T: Number>(
    path: &Path,
    line: usize,
    column: usize,
    text: &str,
) -> Result<T, Error> {
    text.parse()
        .ok()
        .filter(T::is_number)
        .ok_or_else(|| Error::Number {
            path: path.to_path_buf(),
            line,
            column,
            value: text.to_owned(),
        })
}

/// What a column may hold.
pub(crate) trait Number: FromStr {
    fn is_number(&self) -> bool {
        true
    }
}

impl Number for u8 {}
impl Number for u32 {}
impl Number for i32 {}
impl Number for i64 {}

impl Number for f32 {
    fn is_number(&self) -> bool {
        self.is_finite()
    }
}

impl Number for f64 {
    fn is_number(&self) -> bool {
        self.is_finite()
    }
}

/// The data folder of the tests; tests on published data are skipped, aloud, where there is none.
#[cfg(test)]
pub(crate) fn test_data() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let data = std::env::var_os("FOREWARN_DATA").map_or_else(|| beside.into(), PathBuf::from);
    if !data.is_dir() {
        println!("skipped: no data folder");
        return None;
    }
    Some(data)
}
