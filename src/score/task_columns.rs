//! Columns that only some tasks fill: intervals and failure, classes, custom outputs. One without a single
//! value is left out of the table.

use forewarn_models::{Contract, Task, Verdict};
use polars::prelude::Column;

#[derive(Default)]
pub(super) struct TaskColumns {
    rows: usize,
    low: Vec<Option<f64>>,
    high: Vec<Option<f64>>,
    open: Vec<Option<bool>>,
    class: Vec<Option<String>>,
    /// By name: `failure.<within>`, `probability.<class>`, `custom.<output>`.
    named: Vec<(String, Vec<Option<f64>>)>,
}

impl TaskColumns {
    pub(super) fn push(&mut self, contract: &Contract, verdict: Option<Verdict<'_>>) {
        let (mut interval, mut class) = (None, None);
        match (&contract.task, verdict) {
            (
                Task::Rul(rul),
                Some(Verdict::Rul {
                    interval: told,
                    failure,
                    ..
                }),
            ) => {
                interval = told;
                for (within, probability) in rul.horizons.iter().zip(failure) {
                    self.name(format!("failure.{within}"), *probability);
                }
            }
            (
                Task::Classification(told),
                Some(Verdict::Class {
                    class: place,
                    probabilities,
                    ..
                }),
            ) => {
                class = Some(told.classes[place].clone());
                for (name, probability) in told.classes.iter().zip(probabilities) {
                    self.name(format!("probability.{name}"), *probability);
                }
            }
            (Task::Custom { outputs }, Some(Verdict::Custom { values, widths })) => {
                self.custom(outputs, values, widths);
            }
            _ => {}
        }
        self.low.push(interval.map(|interval| interval.low));
        self.high.push(interval.map(|interval| interval.high));
        self.open.push(interval.map(|interval| interval.open));
        self.class.push(class);
        self.rows += 1;
        for (_, column) in &mut self.named {
            column.resize(self.rows, None);
        }
    }

    /// An output of several numbers has a column for each, counted from 0.
    fn custom(&mut self, outputs: &[String], values: &[f64], widths: &[usize]) {
        let mut values = values.iter();
        for (output, width) in outputs.iter().zip(widths) {
            for (place, value) in values.by_ref().take(*width).enumerate() {
                let name = match width {
                    1 => format!("custom.{output}"),
                    _ => format!("custom.{output}.{place}"),
                };
                self.name(name, *value);
            }
        }
    }

    /// Sets a named value of the row that is being pushed.
    fn name(&mut self, name: String, value: f64) {
        let known = self.named.iter().position(|(known, _)| *known == name);
        let place = known.unwrap_or_else(|| {
            self.named.push((name, vec![None; self.rows]));
            self.named.len() - 1
        });
        self.named[place].1.push(Some(value));
    }

    pub(super) fn into_columns(self) -> Vec<Column> {
        let mut columns = Vec::new();
        if self.low.iter().any(Option::is_some) {
            columns.push(Column::new("rul_low".into(), self.low));
            columns.push(Column::new("rul_high".into(), self.high));
            columns.push(Column::new("rul_open".into(), self.open));
        }
        if self.class.iter().any(Option::is_some) {
            columns.push(Column::new("class".into(), self.class));
        }
        let named = self.named.into_iter();
        columns.extend(named.map(|(name, values)| Column::new(name.into(), values)));
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_begins_late_is_empty_before() {
        let mut columns = TaskColumns::default();
        let contract = Contract::from_keys(
            &[
                ("task", "custom"),
                ("features", r#"["a"]"#),
                ("outputs", r#"["y","z"]"#),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
            &[],
        );
        let contract = contract.expect("it has all keys");
        columns.push(&contract, None);
        let widths = &[1, 2];
        let values = &[1.0, 2.0, 3.0];
        columns.push(&contract, Some(Verdict::Custom { values, widths }));
        let told = columns.into_columns();
        let names: Vec<&str> = told.iter().map(|column| column.name().as_str()).collect();
        assert_eq!(names, ["custom.y", "custom.z.0", "custom.z.1"]);
        let second: Vec<Option<f64>> = told[1].f64().expect("numbers").iter().collect();
        assert_eq!(second, [None, Some(2.0)]);
    }
}
