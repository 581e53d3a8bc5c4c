//! The table of scores: one row per prediction, one column per contribution.

use std::collections::BTreeMap;

use anyhow::Result;
use forewarn_models::{Contract, Verdict};
use forewarn_pipeline::Plan;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::stretch::Stretch;
use forewarn_pipeline::unscored::Unscored;
use polars::prelude::{Column, DataFrame, DataType, TimeUnit};

use super::task_columns::TaskColumns;
use crate::dataset::Rows;

/// The column whose dates a folder is divided by.
pub(super) const TIME: &str = "event_time";

/// Columns of the output, filled step by step.
pub(super) struct ScoreTable {
    partition: Vec<i32>,
    row: Vec<u64>,
    asset: Vec<String>,
    event_at: Vec<i64>,
    model: Vec<String>,
    version: Vec<u32>,
    task: Vec<&'static str>,
    score: Vec<Option<f64>>,
    threshold: Vec<Option<f64>>,
    confidence: Vec<Option<f64>>,
    anomalous: Vec<Option<bool>>,
    rul: Vec<Option<f64>>,
    health: Vec<Option<f64>>,
    unscored: Vec<Option<&'static str>>,
    tasks: TaskColumns,
    /// Only where a model scores windows.
    windows: Option<WindowColumns>,
    /// Name, and share of the score, of every feature that a score is divided among.
    contributions: Vec<(String, Vec<Option<f32>>)>,
    /// By code: how many rows, and the first one.
    refused: BTreeMap<&'static str, (u64, u64)>,
    /// Readings that came too late, and the first one.
    late: (u64, u64),
    written: Rows,
}

/// What is known of the window of each row.
#[derive(Default)]
struct WindowColumns {
    start: Vec<Option<i64>>,
    end: Vec<Option<i64>>,
    rows: Vec<Option<u32>>,
    revision: Vec<Option<u32>>,
    provisional: Vec<Option<bool>>,
}

impl ScoreTable {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut contributions: Vec<(String, Vec<Option<f32>>)> = Vec::new();
        for planned in &plan.models {
            let contract = &planned.model.contract;
            let known = |name: &String| contributions.iter().any(|(other, _)| other == name);
            let new: Vec<String> = contract
                .contributors()
                .iter()
                .filter(|name| !known(name))
                .cloned()
                .collect();
            contributions.extend(new.into_iter().map(|name| (name, Vec::new())));
        }
        ScoreTable {
            partition: Vec::new(),
            row: Vec::new(),
            asset: Vec::new(),
            event_at: Vec::new(),
            model: Vec::new(),
            version: Vec::new(),
            task: Vec::new(),
            score: Vec::new(),
            threshold: Vec::new(),
            confidence: Vec::new(),
            anomalous: Vec::new(),
            rul: Vec::new(),
            health: Vec::new(),
            unscored: Vec::new(),
            tasks: TaskColumns::default(),
            windows: plan
                .views
                .iter()
                .any(|view| view.window.is_some())
                .then(WindowColumns::default),
            contributions,
            refused: BTreeMap::new(),
            late: (0, 0),
            written: Rows::default(),
        }
    }

    /// Appends a step's results of a stretch. The row is the offset in its partition, or in a file, counted from 0; a window
    /// stands at its last one.
    pub(super) fn append(&mut self, step: &Step<'_>, stretch: &Stretch) {
        for refused in step.refused {
            let first = (0, refused.offset as u64);
            self.refused
                .entry(refused.refusal.code())
                .or_insert(first)
                .0 += 1;
        }
        for late in step.late.chunk_by(|a, b| a.offset == b.offset) {
            if self.late.0 == 0 {
                self.late.1 = late[0].offset as u64;
            }
            self.late.0 += 1;
        }
        for scored in step.results() {
            let (head, model) = (scored.head, &scored.model.model);
            if !stretch.takes_row(step, &head) {
                continue;
            }
            self.written.note(step, &head);
            self.partition.push(step.partition(head.slot));
            self.row.push(head.offset as u64);
            self.asset
                .push(step.asset(head.slot, head.asset).to_owned());
            let window = head.window();
            self.event_at.push(head.at());
            self.model.push(model.name.clone());
            self.version.push(model.version);
            self.task.push(model.contract.task.name());
            if let Some(columns) = &mut self.windows {
                columns.start.push(window.map(|window| window.start));
                columns.end.push(window.map(|window| window.end));
                columns.rows.push(window.map(|window| window.rows));
                columns.revision.push(window.map(|window| window.revision));
                columns
                    .provisional
                    .push(window.map(|window| window.provisional));
            }
            self.unscored
                .push(scored.verdict.as_ref().err().map(Unscored::code));
            self.push_verdict(&model.contract, scored.verdict.ok());
        }
    }

    fn push_verdict(&mut self, contract: &Contract, verdict: Option<Verdict<'_>>) {
        let (mut threshold, mut shares, mut rul, mut health) = (None, None, None, None);
        match verdict {
            Some(Verdict::Anomaly {
                threshold: told,
                contributions,
                ..
            }) => {
                threshold = Some(told);
                shares = Some(contributions);
            }
            Some(Verdict::Rul {
                value, health: h, ..
            }) => (rul, health) = (Some(value), Some(h)),
            Some(Verdict::Class { .. } | Verdict::Custom { .. }) | None => {}
        }
        let may_be_anomalous = |verdict: &Verdict<'_>| match verdict {
            Verdict::Anomaly { .. } => true,
            Verdict::Class { normal, .. } => normal.is_some(),
            Verdict::Rul { .. } | Verdict::Custom { .. } => false,
        };
        self.score.push(verdict.and_then(|verdict| verdict.score()));
        self.threshold.push(threshold);
        self.confidence
            .push(verdict.and_then(|verdict| verdict.confidence()));
        self.anomalous.push(
            verdict
                .filter(may_be_anomalous)
                .map(|verdict| verdict.anomalous()),
        );
        self.rul.push(rul);
        self.health.push(health);
        self.tasks.push(contract, verdict);
        let names = contract.contributors();
        for (name, column) in &mut self.contributions {
            let position = names.iter().position(|feature| feature == name);
            column.push(shares.and_then(|shares| position.map(|f| shares[f])));
        }
    }

    /// Readings that came too late for a view: how many, and the first one.
    pub(super) fn late(&self) -> (u64, u64) {
        self.late
    }

    /// Refused rows by code: how many, and the first one.
    pub(super) fn refused(&self) -> BTreeMap<&'static str, (u64, u64)> {
        self.refused.clone()
    }

    /// Predictions, and rows without a score.
    pub(super) fn counts(&self) -> (u64, u64) {
        let unscored = self.unscored.iter().flatten().count();
        ((self.row.len() - unscored) as u64, unscored as u64)
    }

    /// The records of the rows.
    pub(super) fn written(&self) -> &Rows {
        &self.written
    }

    pub(super) fn into_frame(self) -> Result<DataFrame> {
        let rows = self.row.len();
        let time = |name: &str, micros: Vec<Option<i64>>| {
            Column::new(name.into(), micros).cast(&DataType::Datetime(TimeUnit::Microseconds, None))
        };
        let micros = Column::new(TIME.into(), self.event_at);
        let mut columns = vec![
            Column::new("partition".into(), self.partition),
            Column::new("row".into(), self.row),
            Column::new("asset".into(), self.asset),
            micros.cast(&DataType::Datetime(TimeUnit::Microseconds, None))?,
            Column::new("model".into(), self.model),
            Column::new("version".into(), self.version),
            Column::new("task".into(), self.task),
            Column::new("score".into(), self.score),
            Column::new("threshold".into(), self.threshold),
            Column::new("confidence".into(), self.confidence),
            Column::new("anomalous".into(), self.anomalous),
            Column::new("rul".into(), self.rul),
            Column::new("health".into(), self.health),
            Column::new("unscored".into(), self.unscored),
        ];
        columns.extend(self.tasks.into_columns());
        if let Some(windows) = self.windows {
            columns.extend([
                time("window_start", windows.start)?,
                time("window_end", windows.end)?,
                Column::new("window_rows".into(), windows.rows),
                Column::new("revision".into(), windows.revision),
                Column::new("provisional".into(), windows.provisional),
            ]);
        }
        for (name, shares) in self.contributions {
            columns.push(Column::new(format!("contribution.{name}").into(), shares));
        }
        Ok(DataFrame::new(rows, columns)?)
    }
}
