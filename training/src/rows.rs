//! Feature rows of one view, asset by asset: what a trainer learns from and is judged by.
//!
//! ```text
//!   rows.parquet, or a folder of such files ─ forewarn replay ─▶ Rows: asset ─▶ times, values [n, F] row-major f32
//! ```
//!
//! The values are those that a model gets while it serves: the pipeline's own features, as 32-bit floats. Files are read
//! a piece at a time, so what is held is the features that are asked for, and not the files.
//!
//! A row with a missing value is left out, as it gets no score live; how many were is told.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use polars::prelude::{
    Column, DataFrame, DataType, ParquetReader, PolarsError, SerReader as _, TimeUnit,
};

/// Rows of a file that are held at once.
const PIECE: usize = 65_536;

#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    #[error("{} can't be read: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is no table of rows: {source}", path.display())]
    Table { path: PathBuf, source: PolarsError },
    #[error(
        "{} has no column {column}, but: {}; write it with `forewarn replay --view`",
        path.display(),
        known.join(", ")
    )]
    Column {
        path: PathBuf,
        column: String,
        known: Vec<String>,
    },
    #[error("{} holds no Parquet file", path.display())]
    Empty { path: PathBuf },
}

/// The rows of one asset, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AssetRows {
    pub asset: String,
    /// Event times in microseconds since 1970, UTC; of a window its end.
    pub times: Vec<i64>,
    /// Row-major, one value per feature.
    pub values: Vec<f32>,
}

/// Rows of a view.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub features: Vec<String>,
    /// By name.
    pub assets: Vec<AssetRows>,
    /// Rows that were left out because a value is missing.
    pub incomplete: u64,
}

impl AssetRows {
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

impl Rows {
    /// Reads `features` from a Parquet file, or from all those in a folder and below it.
    ///
    /// # Errors
    /// When a file can't be read, or lacks a column.
    pub fn read(path: &Path, features: &[String]) -> Result<Self, RowsError> {
        let mut files = Vec::new();
        find(path, &mut files).map_err(|source| RowsError::Read {
            path: path.to_owned(),
            source,
        })?;
        if files.is_empty() {
            return Err(RowsError::Empty {
                path: path.to_owned(),
            });
        }
        files.sort();
        let mut collected = Collector::new(features.to_vec());
        for file in &files {
            read(file, &mut collected)?;
        }
        Ok(collected.finish())
    }

    /// Those of the assets that are wanted.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Rows {
        let assets = self.assets.iter().filter(|rows| wanted(&rows.asset));
        Rows {
            features: self.features.clone(),
            assets: assets.cloned().collect(),
            incomplete: 0,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.assets.iter().map(AssetRows::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Assets by name, their rows by time. Rows of one instant stay in the order in which they came.
    fn in_order(mut self) -> Self {
        let width = self.features.len();
        self.assets.sort_by(|a, b| a.asset.cmp(&b.asset));
        for rows in &mut self.assets {
            if rows.times.is_sorted() {
                continue;
            }
            let mut order: Vec<usize> = (0..rows.times.len()).collect();
            order.sort_by_key(|&row| rows.times[row]);
            rows.values = order
                .iter()
                .flat_map(|&row| rows.values[row * width..][..width].iter().copied())
                .collect();
            rows.times.sort_unstable();
        }
        self
    }
}

/// All Parquet files at a path; names that begin with a dot or an underline are no data.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        std::fs::metadata(path)?;
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let is_data = !name.starts_with(['.', '_']);
        if is_data && (path.is_dir() || name.ends_with(".parquet")) {
            find(&path, files)?;
        }
    }
    Ok(())
}

/// Takes rows one by one, from wherever they come.
#[derive(Debug, Default)]
pub struct Collector {
    rows: Rows,
    /// Of an asset among the rows.
    places: HashMap<String, usize>,
}

impl Collector {
    pub fn new(features: Vec<String>) -> Self {
        Collector {
            rows: Rows {
                features,
                ..Rows::default()
            },
            places: HashMap::new(),
        }
    }

    pub fn features(&self) -> &[String] {
        &self.rows.features
    }

    /// Adds a row of `asset` at `time`, in microseconds; one with a value that is not finite is counted only.
    pub fn push(&mut self, asset: &str, time: i64, values: impl Iterator<Item = f64>) {
        let place = self.place(asset);
        let into = &mut self.rows.assets[place];
        let begin = into.values.len();
        into.values.extend(values.map(|value| value as f32));
        if into.values[begin..].iter().all(|value| value.is_finite()) {
            into.times.push(time);
        } else {
            into.values.truncate(begin);
            self.rows.incomplete += 1;
        }
    }

    /// All rows: assets by name, their rows by time.
    pub fn finish(self) -> Rows {
        let mut rows = self.rows.in_order();
        rows.assets.retain(|asset| !asset.is_empty());
        rows
    }

    fn place(&mut self, asset: &str) -> usize {
        if let Some(place) = self.places.get(asset) {
            return *place;
        }
        let place = self.rows.assets.len();
        self.places.insert(asset.to_owned(), place);
        self.rows.assets.push(AssetRows {
            asset: asset.to_owned(),
            ..AssetRows::default()
        });
        place
    }
}

/// Reads a file, a piece at a time.
fn read(path: &Path, into: &mut Collector) -> Result<(), RowsError> {
    for begin in (0..).step_by(PIECE) {
        let file = File::open(path).map_err(|source| RowsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let reader = ParquetReader::new(file).with_slice(Some((begin, PIECE)));
        let piece = reader.finish().map_err(|source| RowsError::Table {
            path: path.to_owned(),
            source,
        })?;
        read_piece(path, &piece, into)?;
        if piece.height() < PIECE {
            return Ok(());
        }
    }
    Ok(())
}

fn read_piece(path: &Path, piece: &DataFrame, into: &mut Collector) -> Result<(), RowsError> {
    let table = |source| RowsError::Table {
        path: path.to_owned(),
        source,
    };
    let column = |name: &str| -> Result<&Column, RowsError> {
        piece.column(name).map_err(|_| RowsError::Column {
            path: path.to_owned(),
            column: name.to_owned(),
            known: piece
                .get_column_names()
                .into_iter()
                .map(ToString::to_string)
                .collect(),
        })
    };
    let assets = column("asset")?.cast(&DataType::String).map_err(table)?;
    let assets = assets.str().map_err(table)?;
    let micros = DataType::Datetime(TimeUnit::Microseconds, None);
    let times = column("time")?.cast(&micros).map_err(table)?;
    let times = times.cast(&DataType::Int64).map_err(table)?;
    let times = times.i64().map_err(table)?;
    let float = |name: &String| column(name)?.cast(&DataType::Float64).map_err(table);
    let features: Vec<Column> = into
        .features()
        .iter()
        .map(float)
        .collect::<Result<_, _>>()?;
    let features: Vec<_> = features
        .iter()
        .map(Column::f64)
        .collect::<Result<_, _>>()
        .map_err(table)?;
    for (place, (asset, time)) in assets.iter().zip(times.iter()).enumerate() {
        if let (Some(asset), Some(time)) = (asset, time) {
            let values = features
                .iter()
                .map(|column| column.get(place).unwrap_or(f64::NAN));
            into.push(asset, time, values);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_in_order_and_incomplete_ones_are_counted() {
        let mut collected = Collector::new(vec!["a".into(), "b".into()]);
        for (asset, time, values) in [
            ("pump-2", 5, [1.0, 2.0]),
            ("pump-1", 9, [3.0, 4.0]),
            ("pump-1", 7, [5.0, 6.0]),
            ("pump-1", 8, [f64::NAN, 6.0]),
            ("pump-3", 8, [1.0, f64::INFINITY]),
        ] {
            collected.push(asset, time, values.into_iter());
        }
        let rows = collected.finish();
        assert_eq!((rows.len(), rows.incomplete), (3, 2));
        let names: Vec<&str> = rows.assets.iter().map(|rows| rows.asset.as_str()).collect();
        assert_eq!(names, ["pump-1", "pump-2"]);
        assert_eq!(rows.assets[0].times, [7, 9]);
        assert_eq!(rows.assets[0].values, [5.0, 6.0, 3.0, 4.0]);
    }

    #[test]
    fn a_folder_of_tables_is_read_as_one() {
        use polars::prelude::{NamedFrom as _, ParquetWriter, Series};
        let dir = tempfile::tempdir().unwrap();
        for (file, asset, time) in [
            ("date=1/part-0.parquet", "x", 2_i64),
            ("date=2/part-0.parquet", "x", 1),
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let times = Series::new("time".into(), [time]);
            let times = times
                .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
                .unwrap();
            let columns = vec![
                Series::new("asset".into(), [asset]).into(),
                times.into(),
                Series::new("a".into(), [time as f64 + 0.5]).into(),
            ];
            let mut frame = DataFrame::new(1, columns).unwrap();
            ParquetWriter::new(File::create(path).unwrap())
                .finish(&mut frame)
                .unwrap();
        }
        std::fs::write(dir.path().join("lineage.json"), "{}").unwrap();
        let rows = Rows::read(dir.path(), &["a".to_owned()]).unwrap();
        assert_eq!(rows.assets[0].times, [1, 2]);
        assert_eq!(rows.assets[0].values, [1.5, 2.5]);
        let told = Rows::read(dir.path(), &["z".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("has no column z, but: asset, time, a"),
            "{told}"
        );
    }
}
