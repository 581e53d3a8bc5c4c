//! The columns of results: which there are, and their values.
//!
//! | columns | there is |
//! |---|---|
//! | `partition` to `unscored` | always |
//! | `rul_low`, `rul_high`, `rul_open`; `class`; those of `tasks.rs` | where a model may fill them |
//! | `window_start` to `provisional` | where a view has windows |
//! | `contribution.FEATURE` | for every feature that a score is divided among |

use anyhow::Result;
use forewarn_models::{Contract, Task, Verdict};
use forewarn_pipeline::Plan;
use forewarn_pipeline::engine::{Scored, Step};
use forewarn_pipeline::plan::PlannedModel;
use forewarn_pipeline::unscored::Unscored;
use polars::prelude::{Column, DataFrame, DataType, TimeUnit};

use super::table::TIME;
use super::tasks;

/// Which columns there are, and which of them a model fills.
pub(super) struct Layout {
    windowed: bool,
    has_interval: bool,
    has_class: bool,
    /// Names of the numbers that a task tells.
    numbers: Vec<String>,
    contributors: Vec<String>,
    models: Vec<Filled>,
}

/// What a model fills.
struct Filled {
    model: String,
    version: u32,
    /// The column of each of its numbers.
    numbers: Vec<usize>,
    /// The column of each of its contributions.
    contributions: Vec<usize>,
}

impl Layout {
    pub(super) fn of(plan: &Plan) -> Self {
        let contracts = || plan.models.iter().map(|planned| &planned.model.contract);
        let has_interval =
            |contract: &Contract| matches!(&contract.task, Task::Rul(rul) if rul.has_interval());
        let mut layout = Layout {
            windowed: plan.views.iter().any(|view| view.window.is_some()),
            has_interval: contracts().any(has_interval),
            has_class: contracts().any(|contract| matches!(contract.task, Task::Classification(_))),
            numbers: Vec::new(),
            contributors: Vec::new(),
            models: Vec::new(),
        };
        for PlannedModel { model, .. } in &plan.models {
            let numbers = tasks::numbers(&model.contract.task, &model.output_widths());
            layout.models.push(Filled {
                model: model.name.clone(),
                version: model.version,
                numbers: places(&mut layout.numbers, &numbers),
                contributions: places(&mut layout.contributors, model.contract.contributors()),
            });
        }
        layout
    }

    fn filled(&self, planned: &PlannedModel) -> Option<&Filled> {
        let (name, version) = (&planned.model.name, planned.model.version);
        let mut models = self.models.iter();
        models.find(|filled| filled.model == *name && filled.version == version)
    }
}

/// Where these names stand among all of them; those that are new come last.
fn places(all: &mut Vec<String>, names: &[String]) -> Vec<usize> {
    let place = |name: &String| {
        let known = all.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            all.push(name.clone());
            all.len() - 1
        })
    };
    names.iter().map(place).collect()
}

/// The results of a step, in columns.
pub(super) struct Columns<'s> {
    layout: &'s Layout,
    partition: Vec<i32>,
    row: Vec<u64>,
    asset: Vec<&'s str>,
    event_at: Vec<i64>,
    model: Vec<&'s str>,
    version: Vec<u32>,
    task: Vec<&'static str>,
    score: Vec<Option<f64>>,
    threshold: Vec<Option<f64>>,
    confidence: Vec<Option<f64>>,
    anomalous: Vec<Option<bool>>,
    rul: Vec<Option<f64>>,
    health: Vec<Option<f64>>,
    unscored: Vec<Option<&'static str>>,
    interval: IntervalColumns,
    class: Vec<Option<&'s str>>,
    numbers: Vec<Vec<Option<f64>>>,
    window: WindowColumns,
    contributions: Vec<Vec<Option<f32>>>,
}

#[derive(Default)]
struct IntervalColumns {
    low: Vec<Option<f64>>,
    high: Vec<Option<f64>>,
    open: Vec<Option<bool>>,
}

#[derive(Default)]
struct WindowColumns {
    start: Vec<Option<i64>>,
    end: Vec<Option<i64>>,
    rows: Vec<Option<u32>>,
    revision: Vec<Option<u32>>,
    provisional: Vec<Option<bool>>,
}

impl<'s> Columns<'s> {
    pub(super) fn new(layout: &'s Layout) -> Self {
        Columns {
            layout,
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
            interval: IntervalColumns::default(),
            class: Vec::new(),
            numbers: vec![Vec::new(); layout.numbers.len()],
            window: WindowColumns::default(),
            contributions: vec![Vec::new(); layout.contributors.len()],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.row.is_empty()
    }

    pub(super) fn push(&mut self, step: &Step<'s>, scored: &Scored<'s>) {
        let (head, model) = (&scored.head, &scored.model.model);
        self.partition.push(step.partition(head.slot));
        self.row.push(head.offset as u64);
        self.asset.push(step.asset(head.slot, head.asset));
        self.event_at.push(head.at());
        self.model.push(&model.name);
        self.version.push(model.version);
        self.task.push(model.contract.task.name());
        let window = head.window();
        self.window.start.push(window.map(|window| window.start));
        self.window.end.push(window.map(|window| window.end));
        self.window.rows.push(window.map(|window| window.rows));
        let revision = window.map(|window| window.revision);
        self.window.revision.push(revision);
        let provisional = window.map(|window| window.provisional);
        self.window.provisional.push(provisional);
        let unscored = scored.verdict.as_ref().err();
        self.unscored.push(unscored.map(Unscored::code));
        let verdict = scored.verdict.as_ref().ok().copied();
        self.push_verdict(verdict);
        self.push_task(scored.model, verdict);
    }

    /// What all tasks have in common.
    fn push_verdict(&mut self, verdict: Option<Verdict<'_>>) {
        let may_be_anomalous = |verdict: &Verdict<'_>| match verdict {
            Verdict::Anomaly { .. } => true,
            Verdict::Class { normal, .. } => normal.is_some(),
            Verdict::Rul { .. } | Verdict::Custom { .. } => false,
        };
        let judged = verdict.filter(may_be_anomalous);
        self.score.push(verdict.and_then(|verdict| verdict.score()));
        self.confidence
            .push(verdict.and_then(|verdict| verdict.confidence()));
        self.anomalous
            .push(judged.map(|verdict| verdict.anomalous()));
    }

    /// What is of one task: null in the rows of others.
    fn push_task(&mut self, planned: &'s PlannedModel, verdict: Option<Verdict<'s>>) {
        let (mut threshold, mut rul, mut health) = (None, None, None);
        let (mut interval, mut class) = (None, None);
        let (mut numbers, mut shares): (&[f64], &[f32]) = (&[], &[]);
        match verdict {
            Some(Verdict::Anomaly {
                threshold: told,
                contributions,
                ..
            }) => (threshold, shares) = (Some(told), contributions),
            Some(Verdict::Rul {
                value,
                health: told,
                interval: within,
                failure,
            }) => {
                (rul, health) = (Some(value), Some(told));
                (interval, numbers) = (within, failure);
            }
            Some(Verdict::Class {
                class: place,
                probabilities,
                ..
            }) => {
                class = tasks::class(&planned.model.contract.task, place);
                numbers = probabilities;
            }
            Some(Verdict::Custom { values, .. }) => numbers = values,
            None => {}
        }
        self.threshold.push(threshold);
        self.rul.push(rul);
        self.health.push(health);
        self.class.push(class);
        let IntervalColumns { low, high, open } = &mut self.interval;
        low.push(interval.map(|interval| interval.low));
        high.push(interval.map(|interval| interval.high));
        open.push(interval.map(|interval| interval.open));
        let filled = self.layout.filled(planned);
        let rows = self.row.len();
        fill(
            &mut self.numbers,
            rows,
            filled.map(|f| &f.numbers[..]),
            numbers,
        );
        let columns = filled.map(|f| &f.contributions[..]);
        fill(&mut self.contributions, rows, columns, shares);
    }

    pub(super) fn into_frame(self) -> Result<DataFrame> {
        let rows = self.row.len();
        let mut columns = vec![
            Column::new("partition".into(), self.partition),
            Column::new("row".into(), self.row),
            Column::new("asset".into(), self.asset),
            instants(TIME, self.event_at.into_iter().map(Some).collect())?,
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
        if self.layout.has_interval {
            columns.push(Column::new("rul_low".into(), self.interval.low));
            columns.push(Column::new("rul_high".into(), self.interval.high));
            columns.push(Column::new("rul_open".into(), self.interval.open));
        }
        if self.layout.has_class {
            columns.push(Column::new("class".into(), self.class));
        }
        for (name, values) in self.layout.numbers.iter().zip(self.numbers) {
            columns.push(Column::new(name.into(), values));
        }
        if self.layout.windowed {
            columns.push(instants("window_start", self.window.start)?);
            columns.push(instants("window_end", self.window.end)?);
            columns.push(Column::new("window_rows".into(), self.window.rows));
            columns.push(Column::new("revision".into(), self.window.revision));
            columns.push(Column::new("provisional".into(), self.window.provisional));
        }
        for (name, shares) in self.layout.contributors.iter().zip(self.contributions) {
            columns.push(Column::new(format!("contribution.{name}").into(), shares));
        }
        Ok(DataFrame::new(rows, columns)?)
    }
}

/// Puts `values` into the columns at `places`, and null into all others, so that each has `rows` rows.
fn fill<T: Copy>(
    columns: &mut [Vec<Option<T>>],
    rows: usize,
    places: Option<&[usize]>,
    values: &[T],
) {
    for (place, value) in places.unwrap_or_default().iter().zip(values) {
        columns[*place].push(Some(*value));
    }
    for column in columns {
        column.resize(rows, None);
    }
}

fn instants(name: &str, micros: Vec<Option<i64>>) -> Result<Column> {
    let type_of = DataType::Datetime(TimeUnit::Microseconds, None);
    Ok(Column::new(name.into(), micros).cast(&type_of)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_share_columns_of_the_same_name() {
        let mut all = Vec::new();
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(places(&mut all, &names(&["a", "b"])), [0, 1]);
        assert_eq!(places(&mut all, &names(&["c", "b"])), [2, 1]);
        assert_eq!(all, ["a", "b", "c"]);
    }

    #[test]
    fn a_row_is_null_where_its_model_fills_nothing() {
        let mut columns = vec![Vec::new(); 3];
        fill(&mut columns, 1, Some(&[2, 0]), &[1.0, 2.0]);
        fill(&mut columns, 2, Some(&[1]), &[]);
        fill(&mut columns, 3, Some(&[1]), &[3.0]);
        let expected = [
            [Some(2.0), None, None],
            [None, None, Some(3.0)],
            [Some(1.0), None, None],
        ];
        assert_eq!(columns, expected);
    }
}
