//! Rows of a table (a Parquet or CSV file) as readings, by the same acceptance rules as messages.
//!
//! Columns are named as the fields of a message. Where the configuration takes the asset from the key and
//! the event time from the record, a table has columns `asset` and `time` (milliseconds, or a timestamp).

use polars::prelude::*;

use super::row::{Acceptance, Decoded, Place, Row};
use super::time;
use crate::config::{AssetSource, Config, EventTime, Narrow, TimeUnit as Unit};
use crate::message::MessageIndex;
use crate::refusal::{Refusal, Refused};

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
    narrow: Option<Narrow>,
    row: Row,
}

/// The values of a table.
enum Values {
    /// A column per signal.
    Wide(Vec<Column>),
    /// A column with the signals' names and one with their values.
    Narrow(Box<(Column, Column)>),
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
            narrow: config.source.narrow.clone(),
            row: Row::default(),
        }
    }

    /// Decodes rows of `frame` from `begin` on as records of the partition in `slot`, the first row of the
    /// frame having `offset`. Gives the row to go on with, which is not the end when assets are to be evicted
    /// first.
    ///
    /// # Errors
    /// When columns are missing or of a type that can't be read; single values are refused instead.
    pub fn decode(
        &mut self,
        frame: &DataFrame,
        begin: usize,
        (slot, offset): (u32, i64),
        to: &mut Decoded<'_>,
    ) -> Result<usize, TableError> {
        self.require_columns(frame)?;
        let values = self.values(frame)?;
        let assets = frame.column(&self.asset)?.cast(&DataType::String)?;
        let assets = assets.str()?;
        let times = Times::of(frame.column(&self.time)?, self.unit)?;
        for index in begin..frame.height() {
            let place = Place {
                message: index as MessageIndex,
                slot,
                offset: offset + index as i64,
                ingested: None,
            };
            to.partitions.state(slot).next_offset = place.offset + 1;
            self.row.reset(self.acceptance.signals.len());
            if !self.read(&values, index)? {
                *to.ignored += 1;
                continue;
            }
            let decoded = self.decode_one(assets.get(index), times.get(index), place, to);
            if let Err(refusal) = decoded {
                let partition = to.partitions.state(slot).partition;
                to.refused.push(Refused {
                    message: Some(place.message),
                    partition,
                    offset: place.offset,
                    refusal,
                });
            }
            if self.acceptance.must_evict(to.partitions, slot) {
                return Ok(index + 1);
            }
        }
        Ok(frame.height())
    }

    fn values(&self, frame: &DataFrame) -> Result<Values, TableError> {
        if let Some(narrow) = &self.narrow {
            let names = frame.column(&narrow.signal)?.cast(&DataType::String)?;
            let values = numbers(frame.column(&narrow.value)?)?;
            return Ok(Values::Narrow(Box::new((names, values))));
        }
        let signals = self.acceptance.signals.iter();
        let columns = signals.map(|signal| numbers(frame.column(&signal.field)?));
        Ok(Values::Wide(columns.collect::<Result<_, _>>()?))
    }

    /// Reads a row's values; false when its signal is not declared.
    fn read(&mut self, values: &Values, index: usize) -> Result<bool, TableError> {
        match values {
            Values::Wide(columns) => {
                for (i, column) in columns.iter().enumerate() {
                    if let Some(value) = column.f64()?.get(index) {
                        self.row.values[i] = value;
                        self.row.seen[i] = true;
                    }
                }
                Ok(true)
            }
            Values::Narrow(columns) => {
                let (names, values) = columns.as_ref();
                let name = names.str()?.get(index).unwrap_or_default();
                let mut signals = self.acceptance.signals.iter();
                let Some(signal) = signals.position(|signal| signal.field == name) else {
                    return Ok(false);
                };
                if let Some(value) = values.f64()?.get(index) {
                    self.row.values[signal] = value;
                    self.row.seen[signal] = true;
                }
                Ok(true)
            }
        }
    }

    fn decode_one(
        &mut self,
        asset: Option<&str>,
        time: Result<Option<i64>, Refusal>,
        place: Place,
        to: &mut Decoded<'_>,
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
            .accept(&mut self.row, asset, event_at, place, to)
    }

    fn require_columns(&self, frame: &DataFrame) -> Result<(), TableError> {
        let present: Vec<String> = frame
            .get_column_names()
            .iter()
            .map(std::string::ToString::to_string)
            .collect();
        let fields: Vec<&String> = match &self.narrow {
            Some(narrow) => vec![&narrow.signal, &narrow.value],
            None => self
                .acceptance
                .signals
                .iter()
                .map(|signal| &signal.field)
                .collect(),
        };
        let missing: Vec<String> = [&self.asset, &self.time]
            .into_iter()
            .chain(fields)
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
