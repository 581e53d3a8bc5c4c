//! `forewarn replay`: the rows of one view, of the past, as a table: what a model would have seen.
//!
//! The view of all signals is the readings themselves; a view over windows is its features. Each row says
//! which records it was made of.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::{Engine, Plan};
use polars::prelude::{Column, DataFrame, DataType, TimeUnit};

use crate::cli::ReplayArgs;
use crate::files::{table_format, write_table};
use crate::guard;
use crate::history::History;
use crate::terminal::thousands;

pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let mut config = args.history.load()?;
    let history = History::new(args.history.input.as_deref(), &mut config)?;
    table_format(&args.output)?;
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let named = |view: &forewarn_pipeline::plan::PlannedView| view.view.name() == args.view;
    let Some(view) = plan.views.iter().position(named) else {
        let known: Vec<&str> = plan.views.iter().map(|view| view.view.name()).collect();
        bail!(
            "{} is not a view; there is: {}",
            args.view,
            known.join(", ")
        );
    };
    let mut rows = ViewTable::new(&plan, view);
    let mut engine = Engine::new(&config, plan);
    let begun = Instant::now();
    let records = history.run(&config, &mut engine, |step| rows.append(step))?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut frame = rows.into_frame()?;
    write_table(&args.output, &mut frame).with_context(|| args.output.display().to_string())?;
    println!(
        "{} records: {} rows of view {} to {} in {seconds:.1} s",
        thousands(records),
        thousands(frame.height() as u64),
        args.view,
        args.output.display()
    );
    Ok(())
}

/// Rows of a view, filled step by step.
struct ViewTable {
    view: usize,
    windowed: bool,
    names: Vec<String>,
    asset: Vec<String>,
    time: Vec<i64>,
    partition: Vec<i32>,
    first_offset: Vec<i64>,
    offset: Vec<i64>,
    start: Vec<Option<i64>>,
    rows: Vec<Option<u32>>,
    revision: Vec<Option<u32>>,
    features: Vec<Vec<f64>>,
}

impl ViewTable {
    fn new(plan: &Plan, view: usize) -> Self {
        let planned = &plan.views[view];
        let names: Vec<String> = planned.view.feature_names().map(Into::into).collect();
        ViewTable {
            view,
            windowed: planned.window.is_some(),
            features: vec![Vec::new(); names.len()],
            names,
            asset: Vec::new(),
            time: Vec::new(),
            partition: Vec::new(),
            first_offset: Vec::new(),
            offset: Vec::new(),
            start: Vec::new(),
            rows: Vec::new(),
            revision: Vec::new(),
        }
    }

    fn append(&mut self, step: &Step<'_>) {
        let rows = &step.views[self.view];
        for (row, head) in rows.heads.iter().enumerate() {
            let window = head.window();
            if window.is_some_and(|window| window.provisional) {
                continue;
            }
            self.asset
                .push(step.asset(head.slot, head.asset).to_owned());
            self.time
                .push(window.map_or(head.event_at, |window| window.end));
            self.partition.push(step.partition(head.slot));
            self.first_offset.push(head.first_offset);
            self.offset.push(head.offset);
            self.start.push(window.map(|window| window.start));
            self.rows.push(window.map(|window| window.rows));
            self.revision.push(window.map(|window| window.revision));
            for (all, column) in self.features.iter_mut().zip(&rows.columns) {
                all.push(column[row]);
            }
        }
    }

    /// A table: `asset`, `time` (of a window: its end), of windows `window_start`, `window_rows` and
    /// `revision`, then `partition`, `first_offset` and `offset`, then the features, null where missing.
    fn into_frame(self) -> Result<DataFrame> {
        let micros = DataType::Datetime(TimeUnit::Microseconds, None);
        let mut columns = vec![
            Column::new("asset".into(), self.asset),
            Column::new("time".into(), self.time).cast(&micros)?,
        ];
        if self.windowed {
            columns.push(Column::new("window_start".into(), self.start).cast(&micros)?);
            columns.push(Column::new("window_rows".into(), self.rows));
            columns.push(Column::new("revision".into(), self.revision));
        }
        columns.push(Column::new("partition".into(), self.partition));
        columns.push(Column::new("first_offset".into(), self.first_offset));
        columns.push(Column::new("offset".into(), self.offset));
        for (name, values) in self.names.into_iter().zip(self.features) {
            let values = values
                .into_iter()
                .map(|value| value.is_finite().then_some(value));
            columns.push(Column::new(
                name.into(),
                values.collect::<Vec<Option<f64>>>(),
            ));
        }
        let height = columns[0].len();
        Ok(DataFrame::new(height, columns)?)
    }
}
