//! Feature views: SQL expressions over single rows or over windows, evaluated by polars on whole batches.
//!
//! ```text
//!   rows, columns of f64 ─ plain signal: passed on ─────────────┐
//!                        └ expression: one polars select ───────┤
//!   fired windows ─ aggregates: one polars group_by ────────────┴→ feature rows
//! ```
//!
//! Invariants:
//! - a feature row depends on its own row or window only. An expression over several rows in a view without
//!   windows would depend on where the batch was cut; it is found when the view is compiled, and refused;
//! - a value that is missing or not finite is NaN or infinite here and is never scored.
//!
//! Not here: which rows a window holds (`window/`).

mod compile;

use polars::prelude::*;

use crate::columns::{nullable, numbered, values};
use crate::rows::Rows;
use crate::window::{Gathered, Input};

pub use compile::Scope;

/// A compiled view.
#[derive(Debug, Clone)]
pub struct FeatureView {
    name: String,
    features: Vec<Feature>,
    /// Expressions of the features that are none of the columns, in order.
    expressions: Vec<Expr>,
    /// InputColumns that the expressions read.
    inputs: Vec<usize>,
    columns: Vec<String>,
}

#[derive(Debug, Clone)]
struct Feature {
    name: String,
    source: FeatureSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FeatureSource {
    Column(usize),
    Expression(usize),
}

/// What a view reads: signals, then statuses; or the features of another view.
#[derive(Debug, Clone)]
pub struct InputColumns {
    pub names: Vec<String>,
    /// The first so many are what `"*"` stands for.
    pub starred: usize,
}

/// Why a feature can't be used; `index` is its place in the view's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureProblem {
    pub index: usize,
    pub message: String,
}

/// Why an evaluation failed that the compilation let pass.
#[derive(Debug, thiserror::Error)]
#[error("feature view {view} can't be evaluated: {source}")]
pub struct FeatureError {
    view: String,
    source: PolarsError,
}

impl FeatureView {
    /// Compiles the expressions of a view over `columns`.
    ///
    /// # Errors
    /// One problem per feature that does not parse, names an unknown column, gives no number, reads more
    /// than it may, or repeats a name.
    pub fn compile(
        name: &str,
        texts: &[String],
        columns: &InputColumns,
        scope: Scope,
    ) -> Result<Self, Vec<FeatureProblem>> {
        let mut view = FeatureView {
            name: name.to_owned(),
            features: Vec::new(),
            expressions: Vec::new(),
            inputs: Vec::new(),
            columns: columns.names.clone(),
        };
        let mut problems = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            if let Err(message) = view.add(text, columns, scope) {
                problems.push(FeatureProblem { index, message });
            }
        }
        if problems.is_empty() {
            Ok(view)
        } else {
            Err(problems)
        }
    }

    fn add(&mut self, text: &str, columns: &InputColumns, scope: Scope) -> Result<(), String> {
        let text = text.trim();
        if scope == Scope::Row {
            if text == "*" {
                return (0..columns.starred).try_for_each(|column| {
                    self.push(self.columns[column].clone(), FeatureSource::Column(column))
                });
            }
            if let Some(column) = self.columns.iter().position(|name| name == text) {
                return self.push(text.to_owned(), FeatureSource::Column(column));
            }
        } else if text == "*" {
            return Err("stands for single readings; name the aggregates of this window".into());
        }
        let compiled = compile::compile(text, &self.columns, scope)?;
        for name in &compiled.reads {
            if let Some(column) = self.columns.iter().position(|known| known == name)
                && !self.inputs.contains(&column)
            {
                self.inputs.push(column);
            }
        }
        let source = FeatureSource::Expression(self.expressions.len());
        self.push(compiled.name, source)?;
        self.expressions.push(compiled.expression);
        Ok(())
    }

    fn push(&mut self, name: String, source: FeatureSource) -> Result<(), String> {
        if self.features.iter().any(|feature| feature.name == name) {
            return Err(format!(
                "a feature named {name} is there already: give it a name with AS"
            ));
        }
        self.features.push(Feature { name, source });
        Ok(())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.features.len()
    }

    /// Where the feature called `name` is in a row.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.features
            .iter()
            .position(|feature| feature.name == name)
    }

    pub fn feature_names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| feature.name.as_str())
    }

    pub fn feature_name(&self, position: usize) -> &str {
        &self.features[position].name
    }

    /// The column that a feature passes on unchanged.
    pub fn passed_column(&self, position: usize) -> Option<usize> {
        match self.features[position].source {
            FeatureSource::Column(column) => Some(column),
            FeatureSource::Expression(_) => None,
        }
    }

    /// InputColumns that the features read, passed on or in expressions.
    pub fn reads(&self) -> impl Iterator<Item = usize> {
        let passed = (0..self.width()).filter_map(|position| self.passed_column(position));
        self.inputs.iter().copied().chain(passed)
    }

    /// Where fired windows of this view are gathered; `inputs` as [`Self::window_inputs`] gave them.
    pub fn gathering(&self, inputs: Vec<Input>) -> Gathered {
        Gathered::new(inputs, self.expressions.clone())
    }

    /// What a view over windows keeps of each row. `interpolate` tells it of a column.
    pub fn window_inputs(&self, interpolate: impl Fn(usize) -> bool) -> Vec<Input> {
        let input = |column: &usize| Input {
            name: self.columns[*column].clone(),
            column: *column,
            interpolate: interpolate(*column),
        };
        self.inputs.iter().map(input).collect()
    }

    /// Evaluates a view over single rows, from row `begin` on: a column per feature.
    ///
    /// # Errors
    /// When polars fails, which the compilation has made sure it does not.
    pub fn evaluate(&self, rows: &Rows, begin: usize) -> Result<Vec<Vec<f64>>, FeatureError> {
        let computed = self.compute(rows, begin)?;
        let columns = self.features.iter().map(|feature| match feature.source {
            FeatureSource::Column(column) => rows.columns[column][begin..].to_vec(),
            FeatureSource::Expression(expression) => computed[expression].clone(),
        });
        Ok(columns.collect())
    }

    /// Aggregates fired windows: a column per feature, a value per window.
    ///
    /// # Errors
    /// As [`Self::evaluate`].
    pub fn aggregate(&self, gathered: &mut Gathered) -> Result<Vec<Vec<f64>>, FeatureError> {
        gathered.finish().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: PolarsError) -> FeatureError {
        FeatureError {
            view: self.name.clone(),
            source,
        }
    }

    /// The columns of the expressions; a missing value is NaN.
    fn compute(&self, rows: &Rows, begin: usize) -> Result<Vec<Vec<f64>>, FeatureError> {
        let height = rows.len() - begin;
        if self.expressions.is_empty() || height == 0 {
            return Ok(vec![Vec::new(); self.expressions.len()]);
        }
        let columns = self
            .inputs
            .iter()
            .map(|column| {
                nullable(
                    &self.columns[*column],
                    rows.columns[*column][begin..].to_vec(),
                )
            })
            .collect();
        let frame = DataFrame::new(height, columns).map_err(|source| self.failed(source))?;
        let computed = frame.lazy().select(numbered(&self.expressions)).collect();
        let computed = computed.map_err(|source| self.failed(source))?;
        let columns = computed.columns().iter().map(|column| {
            let values = values(column)?;
            // An expression without any column gives one value for all rows.
            Ok(match values[..] {
                [one] => vec![one; height],
                _ => values,
            })
        });
        columns
            .collect::<PolarsResult<_>>()
            .map_err(|source| self.failed(source))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
