//! Fired windows with their rows, in columns: what one call of polars aggregates.
//!
//! One call takes the windows of all assets and partitions that fired in a step: a call costs a good half of
//! a millisecond, a row of it a hundred nanoseconds. When a minute of a million assets ends, they are many
//! calls: the rows in columns are bounded, and stay in the cache.

use polars::prelude::*;

use super::chains::Kept;
use crate::columns::{nullable, numbered, values};
use crate::rows::{Head, Origin, Rows, Superseded, WindowHead};

/// Column of the window's number; no signal can be named so in SQL without quotes.
const GROUP: &str = "forewarn window";
/// Seconds since the window's start, for slopes and rates.
pub const EVENT_TIME: &str = "event_time";

/// Rows of one call.
const MOST_ROWS: usize = 65_536;

/// Fired windows of one view.
#[derive(Debug)]
pub struct Gathered {
    /// One head per window; no columns.
    pub windows: Rows,
    inputs: Vec<Input>,
    expressions: Vec<Expr>,
    /// What polars said of windows so far: one column per expression, one value per window.
    told: Vec<Vec<f64>>,
    failed: Option<PolarsError>,
    group: Vec<u32>,
    event_time: Vec<f64>,
    columns: Vec<Vec<f64>>,
}

/// A column that the view reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub name: String,
    /// Its place in the rows that come in.
    pub column: usize,
    /// Missing values are interpolated between their neighbours in the window.
    pub interpolate: bool,
}

impl Gathered {
    /// Windows over `inputs`, aggregated by `expressions`.
    pub fn new(inputs: Vec<Input>, expressions: Vec<Expr>) -> Self {
        Gathered {
            windows: Rows::new(0),
            told: vec![Vec::new(); expressions.len()],
            expressions,
            failed: None,
            group: Vec::new(),
            event_time: Vec::new(),
            columns: vec![Vec::new(); inputs.len()],
            inputs,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Adds a window that begins at `start`, unless it has no rows. `head` is completed with what the rows
    /// say: how many, first and last record.
    pub(super) fn add<'a>(
        &mut self,
        head: Head,
        mut window: WindowHead,
        rows: impl Iterator<Item = Kept<'a>>,
        superseded: &[Superseded],
    ) {
        if self.group.len() >= MOST_ROWS {
            self.aggregate();
        }
        let (number, begin) = (self.windows.len() as u32, self.group.len());
        let (mut first_offset, mut offset) = (i64::MAX, i64::MIN);
        for row in rows {
            first_offset = first_offset.min(row.first_offset);
            offset = offset.max(row.offset);
            self.group.push(number);
            self.event_time
                .push(row.event_at.saturating_sub(window.start) as f64 / 1e6);
            for (column, value) in self.columns.iter_mut().zip(row.values()) {
                column.push(value);
            }
        }
        window.rows = (self.group.len() - begin) as u32;
        if window.rows == 0 {
            return;
        }
        for (input, column) in self.inputs.iter().zip(&mut self.columns) {
            if input.interpolate {
                interpolate(&self.event_time[begin..], &mut column[begin..]);
            }
        }
        self.windows.heads.push(Head {
            first_offset,
            offset,
            origin: Origin::Window(window),
            ..head
        });
        let superseded = superseded.iter().map(|old| Superseded {
            row: number,
            ..*old
        });
        self.windows.superseded.extend(superseded);
    }

    /// Aggregates the windows whose rows are here; their rows are used up.
    fn aggregate(&mut self) {
        let rows = self.group.len();
        if rows == 0 || self.failed.is_some() {
            return;
        }
        let room = rows.min(MOST_ROWS);
        let take = |values: &mut Vec<f64>| std::mem::replace(values, Vec::with_capacity(room));
        let group = std::mem::replace(&mut self.group, Vec::with_capacity(room));
        let mut columns = vec![
            Column::new(GROUP.into(), group),
            Column::new(EVENT_TIME.into(), take(&mut self.event_time)),
        ];
        for (input, values) in self.inputs.iter().zip(&mut self.columns) {
            columns.push(nullable(&input.name, take(values)));
        }
        let frame = DataFrame::new(rows, columns);
        match frame.and_then(|frame| aggregate_groups(frame, &self.expressions)) {
            Ok(values) => {
                for (all, mut new) in self.told.iter_mut().zip(values) {
                    all.append(&mut new);
                }
            }
            Err(error) => self.failed = Some(error),
        }
    }

    /// The aggregates of all windows: one column per expression, one value per window, NaN where there is
    /// none.
    ///
    /// # Errors
    /// Polars' own.
    pub fn finish(&mut self) -> PolarsResult<Vec<Vec<f64>>> {
        self.aggregate();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        Ok(self.told.iter_mut().map(std::mem::take).collect())
    }

    pub fn clear(&mut self) {
        self.windows.clear();
        self.told.iter_mut().for_each(Vec::clear);
        self.group.clear();
        self.event_time.clear();
        self.columns.iter_mut().for_each(Vec::clear);
    }
}

/// One value per group and expression, in the order of the groups.
///
/// The order of the rows inside a group is kept; polars then gives the same bits for a group whatever other
/// groups share the frame. The stable form is also the fastest one here: groups are many and small.
fn aggregate_groups(frame: DataFrame, expressions: &[Expr]) -> PolarsResult<Vec<Vec<f64>>> {
    let told = frame
        .lazy()
        .group_by_stable([col(GROUP)])
        .agg(numbered(expressions))
        .collect()?;
    told.columns().iter().skip(1).map(values).collect()
}

/// Fills what is missing between two values, linearly in time; before the first and after the last value
/// nothing is known.
fn interpolate(times: &[f64], values: &mut [f64]) {
    let mut last: Option<usize> = None;
    for i in 0..values.len() {
        if values[i].is_nan() {
            continue;
        }
        if let Some(before) = last {
            let (t0, t1, v0, v1) = (times[before], times[i], values[before], values[i]);
            for gap in before + 1..i {
                let share = if t1 > t0 {
                    (times[gap] - t0) / (t1 - t0)
                } else {
                    0.0
                };
                values[gap] = v0 + (v1 - v0) * share;
            }
        }
        last = Some(i);
    }
}

/// A frame of two unlike groups for trying expressions: windows of 4 and 1 rows.
pub(crate) fn trial(inputs: &[String]) -> DataFrame {
    let groups: Vec<u32> = vec![0, 0, 0, 0, 1];
    let times: Vec<f64> = vec![0.0, 10.0, 20.0, 30.0, 0.0];
    let mut columns = vec![
        Column::new(GROUP.into(), groups),
        Column::new(EVENT_TIME.into(), times),
    ];
    for (i, name) in inputs.iter().enumerate() {
        let values: Vec<f64> = (0..5)
            .map(|row| 1.5 + i as f64 * 0.75 + f64::from(row * row) * 1.25)
            .collect();
        columns.push(Column::new(name.as_str().into(), values));
    }
    DataFrame::new(5, columns).expect("signals have different names")
}

/// Tries an aggregate on [`trial`]; gives the type of its values.
pub(crate) fn try_aggregate(frame: DataFrame, expression: Expr) -> PolarsResult<DataType> {
    let told = frame
        .lazy()
        .group_by_stable([col(GROUP)])
        .agg([expression.alias("value")])
        .collect()?;
    Ok(told.column("value")?.dtype().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_between_neighbours_only() {
        let nan = f64::NAN;
        let mut values = [nan, 1.0, nan, nan, 4.0, nan];
        interpolate(&[0.0, 10.0, 20.0, 30.0, 40.0, 50.0], &mut values);
        assert_eq!(values[1..5], [1.0, 2.0, 3.0, 4.0]);
        assert!(values[0].is_nan() && values[5].is_nan());
    }
}
