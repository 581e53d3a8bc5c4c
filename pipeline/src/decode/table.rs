//! Rows of a table (a Parquet or CSV file) as readings, by the same acceptance rules as messages.
//!
//! Columns are named as the fields of a message. Where the configuration takes the asset from the key and
//! the event time from the record, a table has columns `asset` and `time` (milliseconds, or a timestamp).

use polars::prelude::*;

use super::row::{Acceptance, Place, Row};
use super::time;
use crate::config::{AssetSource, Config, EventTime, TimeUnit as Unit};
use crate::message::MessageIndex;
use crate::reading::Readings;
use crate::refusal::{Refusal, Refused};
use crate::state::Partitions;

/// Column of the asset's name where messages have it in their key.
pub const ASSET_COLUMN: &str = "asset";
/// Column of the event time where messages have it in the record.
pub const TIME_COLUMN: &str = "time";

/// Why a table can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("the table has no column {}; it has {}", missing.join(", "), present.join(", "))]
    MissingColumns {
        missing: Vec<String>,
        present: Vec<String>,
    },
    #[error("column {column} is {dtype}, expected {expected}")]
    ColumnType {
        column: String,
        dtype: String,
        expected: &'static str,
    },
    #[error(transparent)]
    Polars(#[from] PolarsError),
}

/// Decodes tables into readings.
#[derive(Debug)]
pub struct TableDecoder {
    acceptance: Acceptance,
    asset: String,
    time: String,
    unit: Unit,
    row: Row,
}

impl TableDecoder {
    pub fn new(config: &Config) -> Self {
        let asset = match &config.source.asset {
            AssetSource::Key => ASSET_COLUMN.to_owned(),
            AssetSource::Field { field } => field.clone(),
        };
        let (time, unit) = match &config.source.event_time {
            EventTime::Record => (TIME_COLUMN.to_owned(), Unit::Ms),
            EventTime::Field { field, unit } => (field.clone(), *unit),
        };
        TableDecoder {
            acceptance: Acceptance::new(config),
            asset,
            time,
            unit,
            row: Row::default(),
        }
    }

    /// Decodes all rows of `frame` as records of the partition in `slot`, the first one having `offset`.
    ///
    /// # Errors
    /// When columns are missing or of a type that can't be read; single values are refused instead.
    pub fn decode(
        &mut self,
        frame: &DataFrame,
        slot: u32,
        offset: i64,
        partitions: &mut Partitions,
        readings: &mut Readings,
        refused: &mut Vec<Refused>,
    ) -> Result<(), TableError> {
        self.require_columns(frame)?;
        let columns: Vec<Column> = self
            .acceptance
            .signals
            .iter()
            .map(|signal| numbers(frame.column(&signal.field)?))
            .collect::<Result<_, _>>()?;
        let signals: Vec<&Float64Chunked> = columns
            .iter()
            .map(|column| column.f64())
            .collect::<Result<_, _>>()?;
        let assets = frame.column(&self.asset)?.cast(&DataType::String)?;
        let assets = assets.str()?;
        let times = Times::of(frame.column(&self.time)?, self.unit)?;
        for index in 0..frame.height() {
            let place = Place {
                message: index as MessageIndex,
                slot,
                offset: offset + index as i64,
            };
            partitions.state(slot).next_offset = place.offset + 1;
            self.row.reset(signals.len());
            for (i, column) in signals.iter().enumerate() {
                if let Some(value) = column.get(index) {
                    self.row.values[i] = value;
                    self.row.seen[i] = true;
                }
            }
            let decoded = self.decode_one(
                assets.get(index),
                times.get(index),
                place,
                partitions,
                readings,
            );
            if let Err(refusal) = decoded {
                refused.push(Refused {
                    message: place.message,
                    refusal,
                });
            }
        }
        Ok(())
    }

    fn decode_one(
        &self,
        asset: Option<&str>,
        time: Result<Option<i64>, Refusal>,
        place: Place,
        partitions: &mut Partitions,
        readings: &mut Readings,
    ) -> Result<(), Refusal> {
        let asset =
            asset
                .filter(|asset| !asset.is_empty())
                .ok_or_else(|| Refusal::MissingAsset {
                    field: self.asset.clone(),
                })?;
        let event_at = time?.ok_or_else(|| Refusal::MissingTime {
            field: self.time.clone(),
        })?;
        self.acceptance
            .accept(&self.row, asset, event_at, place, partitions, readings)
    }

    fn require_columns(&self, frame: &DataFrame) -> Result<(), TableError> {
        let present: Vec<String> = frame
            .get_column_names()
            .iter()
            .map(std::string::ToString::to_string)
            .collect();
        let signals = self.acceptance.signals.iter().map(|signal| &signal.field);
        let missing: Vec<String> = [&self.asset, &self.time]
            .into_iter()
            .chain(signals)
            .filter(|name| !present.contains(name))
            .cloned()
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(TableError::MissingColumns { missing, present })
        }
    }
}

fn numbers(column: &Column) -> Result<Column, TableError> {
    if column.dtype().is_primitive_numeric() || column.dtype() == &DataType::Null {
        return Ok(column.cast(&DataType::Float64)?);
    }
    Err(TableError::ColumnType {
        column: column.name().to_string(),
        dtype: column.dtype().to_string(),
        expected: "numbers",
    })
}

/// The time column in the form it came in.
enum Times {
    Numbers(Float64Chunked, Unit),
    Micros(Int64Chunked),
    Texts(StringChunked, Unit),
}

impl Times {
    fn of(column: &Column, unit: Unit) -> Result<Self, TableError> {
        Ok(match column.dtype() {
            DataType::Datetime(_, _) => {
                let micros = column.cast(&DataType::Datetime(TimeUnit::Microseconds, None))?;
                Times::Micros(micros.cast(&DataType::Int64)?.i64()?.clone())
            }
            DataType::String => Times::Texts(column.str()?.clone(), unit),
            dtype if dtype.is_primitive_numeric() => {
                Times::Numbers(column.cast(&DataType::Float64)?.f64()?.clone(), unit)
            }
            dtype => {
                return Err(TableError::ColumnType {
                    column: column.name().to_string(),
                    dtype: dtype.to_string(),
                    expected: "a time",
                });
            }
        })
    }

    fn get(&self, index: usize) -> Result<Option<i64>, Refusal> {
        match self {
            Times::Numbers(numbers, unit) => numbers
                .get(index)
                .map(|n| time::from_number(n, *unit))
                .transpose(),
            Times::Texts(texts, unit) => texts
                .get(index)
                .map(|text| time::from_text(text, *unit))
                .transpose(),
            Times::Micros(micros) => Ok(micros.get(index)),
        }
    }
}
