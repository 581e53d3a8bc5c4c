//! The rows of a view, or sequences of them, as a table. Each says which records it was made of.

use anyhow::Result;
use forewarn_pipeline::Plan;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::rows::Head;
use forewarn_pipeline::stretch::Stretch;
use polars::prelude::{Column, DataFrame, DataType, TimeUnit};

use crate::dataset::Rows;

/// The column whose dates a folder is divided by.
pub(super) const TIME: &str = "time";

/// The step within a sequence.
const STEP: &str = "step";

/// Makes tables of a view's rows: `asset`, `time` (of a window: its end), of windows `window_start`, `window_rows`
/// and `revision`, then `partition`, `first_offset` and `offset`, then the features, null where missing.
///
/// Of sequences there is a row for each step: what is said of the row that the sequence ends with, `step` from 0 for
/// the oldest, and the features as the model gets them, in 32 bits. So all features of a table are one array of
/// [sequences, length, features].
pub(super) struct ViewRows {
    view: usize,
    windowed: bool,
    names: Vec<String>,
    /// Rows of a sequence; `None`: each row stands for itself.
    length: Option<usize>,
}

impl ViewRows {
    pub(super) fn new(plan: &Plan, view: usize) -> Self {
        let planned = &plan.views[view];
        ViewRows {
            view,
            windowed: planned.window.is_some(),
            names: planned.view.feature_names().map(Into::into).collect(),
            length: plan.sequences.map(|gathered| gathered.sequence.length),
        }
    }

    pub(super) fn features(&self) -> &[String] {
        &self.names
    }

    /// A table without rows.
    pub(super) fn empty(&self) -> Result<DataFrame> {
        let mut columns = Heads::default().into_columns(self.windowed)?;
        match self.length {
            None => columns.extend(self.names.iter().map(|name| finite(name, Vec::new()))),
            Some(length) => columns.extend(self.steps(length, &[], &[])),
        }
        Ok(DataFrame::new(0, columns)?)
    }

    /// The rows of a step that are meant; `None` when there are none.
    pub(super) fn frame(
        &self,
        step: &Step<'_>,
        stretch: &Stretch,
        written: &mut Rows,
    ) -> Result<Option<DataFrame>> {
        if let Some(length) = self.length {
            return self.sequences(length, step, stretch, written);
        }
        let rows = &step.views[self.view];
        let is_meant = |head: &Head| !head.is_provisional() && stretch.takes_row(step, head);
        let meant: Vec<usize> = (0..rows.len())
            .filter(|row| is_meant(&rows.heads[*row]))
            .collect();
        if meant.is_empty() {
            return Ok(None);
        }
        let mut heads = Heads::default();
        for row in &meant {
            heads.push(step, &rows.heads[*row]);
            written.note(step, &rows.heads[*row]);
        }
        let mut columns = heads.into_columns(self.windowed)?;
        for (name, values) in self.names.iter().zip(&rows.columns) {
            let values: Vec<f64> = meant.iter().map(|row| values[*row]).collect();
            columns.push(finite(name, values));
        }
        Ok(Some(DataFrame::new(meant.len(), columns)?))
    }

    fn sequences(
        &self,
        length: usize,
        step: &Step<'_>,
        stretch: &Stretch,
        written: &mut Rows,
    ) -> Result<Option<DataFrame>> {
        let gathered = step.sequences;
        let view = &step.views[self.view].heads;
        let (mut heads, mut meant) = (Heads::default(), Vec::new());
        for (place, row) in gathered.rows.iter().enumerate() {
            let head = &view[*row as usize];
            if stretch.takes_row(step, head) {
                (0..length).for_each(|_| heads.push(step, head));
                written.note(step, head);
                meant.push(place);
            }
        }
        if meant.is_empty() {
            return Ok(None);
        }
        let mut columns = heads.into_columns(self.windowed)?;
        columns.extend(self.steps(length, &meant, gathered.values));
        Ok(Some(DataFrame::new(meant.len() * length, columns)?))
    }

    /// The steps of the sequences at these places, and their features.
    fn steps(&self, length: usize, places: &[usize], values: &[f32]) -> Vec<Column> {
        let steps = places.iter().flat_map(|_| 0..length as u32);
        let mut columns = vec![Column::new(STEP.into(), steps.collect::<Vec<u32>>())];
        let width = self.names.len();
        for (feature, name) in self.names.iter().enumerate() {
            let of_place = |place: &usize| {
                let first = place * length * width + feature;
                (0..length).map(move |step| values[first + step * width])
            };
            let values: Vec<f32> = places.iter().flat_map(of_place).collect();
            columns.push(Column::new(name.into(), values));
        }
        columns
    }
}

/// Null where a value is missing or not finite.
fn finite(name: &str, values: Vec<f64>) -> Column {
    if values.iter().all(|value| value.is_finite()) {
        return Column::new(name.into(), values);
    }
    let values = values
        .into_iter()
        .map(|value| value.is_finite().then_some(value));
    Column::new(name.into(), values.collect::<Vec<Option<f64>>>())
}

/// Everything of rows but their values, in columns.
#[derive(Default)]
struct Heads<'s> {
    asset: Vec<&'s str>,
    time: Vec<i64>,
    partition: Vec<i32>,
    first_offset: Vec<i64>,
    offset: Vec<i64>,
    start: Vec<Option<i64>>,
    rows: Vec<Option<u32>>,
    revision: Vec<Option<u32>>,
}

impl<'s> Heads<'s> {
    fn push(&mut self, step: &Step<'s>, head: &Head) {
        let window = head.window();
        self.asset.push(step.asset(head.slot, head.asset));
        self.time.push(head.at());
        self.partition.push(step.partition(head.slot));
        self.first_offset.push(head.first_offset);
        self.offset.push(head.offset);
        self.start.push(window.map(|window| window.start));
        self.rows.push(window.map(|window| window.rows));
        self.revision.push(window.map(|window| window.revision));
    }

    fn into_columns(self, windowed: bool) -> Result<Vec<Column>> {
        let micros = DataType::Datetime(TimeUnit::Microseconds, None);
        let mut columns = vec![
            Column::new("asset".into(), self.asset),
            Column::new(TIME.into(), self.time).cast(&micros)?,
        ];
        if windowed {
            columns.push(Column::new("window_start".into(), self.start).cast(&micros)?);
            columns.push(Column::new("window_rows".into(), self.rows));
            columns.push(Column::new("revision".into(), self.revision));
        }
        columns.push(Column::new("partition".into(), self.partition));
        columns.push(Column::new("first_offset".into(), self.first_offset));
        columns.push(Column::new("offset".into(), self.offset));
        Ok(columns)
    }
}
