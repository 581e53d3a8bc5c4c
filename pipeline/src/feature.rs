//! Feature views over single readings: SQL expressions, evaluated by polars on whole batches.
//!
//! ```text
//!   Readings (columns of f64) ─ plain signal: copied ─────────┐
//!                             └ expression: one polars select ┴→ feature rows, row-major f32 [n, F]
//! ```
//!
//! Invariants:
//! - a feature row depends on its own reading only. An expression over several readings, such as `AVG(t)`,
//!   would depend on where the batch was cut; it is found by trial when the view is compiled, and refused;
//! - every value is finite; a reading with one that is not has no feature row.
//!
//! Not here: windows over time.

use polars::prelude::*;
use polars::sql::sql_expr;

use crate::reading::Readings;
use crate::refusal::Refusal;
use crate::signal::Signal;

/// A compiled view.
#[derive(Debug, Clone)]
pub struct FeatureView {
    name: String,
    features: Vec<Feature>,
    /// Expressions of the features that are none of the signals, in order.
    expressions: Vec<Expr>,
    /// Signals that the expressions read.
    inputs: Vec<usize>,
    signals: Vec<String>,
}

#[derive(Debug, Clone)]
struct Feature {
    name: String,
    source: FeatureSource,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FeatureSource {
    Signal(usize),
    Expression(usize),
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
    /// Compiles the expressions of a view over `signals`.
    ///
    /// # Errors
    /// One problem per feature that does not parse, names an unknown signal, gives no number, reads more
    /// than its own reading, or repeats a name.
    pub fn compile(
        name: &str,
        texts: &[String],
        signals: &[Signal],
    ) -> Result<Self, Vec<FeatureProblem>> {
        let names: Vec<String> = signals.iter().map(|signal| signal.name.clone()).collect();
        let mut view = FeatureView {
            name: name.to_owned(),
            features: Vec::new(),
            expressions: Vec::new(),
            inputs: Vec::new(),
            signals: names,
        };
        let mut problems = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            if let Err(message) = view.add(text) {
                problems.push(FeatureProblem { index, message });
            }
        }
        if problems.is_empty() {
            Ok(view)
        } else {
            Err(problems)
        }
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        if text.trim() == "*" {
            return (0..self.signals.len()).try_for_each(|signal| {
                self.push(self.signals[signal].clone(), FeatureSource::Signal(signal))
            });
        }
        if let Some(signal) = self.signals.iter().position(|name| name == text.trim()) {
            return self.push(self.signals[signal].clone(), FeatureSource::Signal(signal));
        }
        let expression = sql_expr(text).map_err(|error| one_line(&error))?;
        let name = self.check_expression(&expression)?;
        for root in expr_roots(&expression) {
            // Known to be there: the check has resolved the schema.
            if let Some(signal) = self.signals.iter().position(|name| *name == root)
                && !self.inputs.contains(&signal)
            {
                self.inputs.push(signal);
            }
        }
        let source = FeatureSource::Expression(self.expressions.len());
        self.push(name, source)?;
        self.expressions.push(expression.cast(DataType::Float64));
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

    /// Resolves the expression against the signals; gives the feature's name.
    fn check_expression(&self, expression: &Expr) -> Result<String, String> {
        let trial = trial_frame(&self.signals);
        let mut lazy = trial.clone().lazy().select([expression.clone()]);
        let schema = lazy.collect_schema().map_err(|error| {
            let known = self.signals.join(", ");
            let error = one_line(&error);
            // Polars lists the columns in its own words.
            let what = error.split("; valid columns").next().unwrap_or(&error);
            format!("{what}; the signals are {known}")
        })?;
        let (name, dtype) = schema.get_at_index(0).ok_or("gives nothing")?;
        if !(dtype.is_primitive_numeric() || dtype.is_bool()) {
            return Err(format!("gives {dtype}, expected a number"));
        }
        let whole = lazy.collect().map_err(|error| one_line(&error))?;
        let parts = (0..trial.height())
            .map(|row| {
                trial
                    .slice(row as i64, 1)
                    .lazy()
                    .select([expression.clone()])
                    .collect()
            })
            .collect::<PolarsResult<Vec<DataFrame>>>()
            .map_err(|error| one_line(&error))?;
        let alone = parts
            .iter()
            .try_fold(None::<DataFrame>, |all, part| match all {
                None => Ok(Some(part.clone())),
                Some(all) => all.vstack(part).map(Some),
            });
        let same = alone
            .ok()
            .flatten()
            .is_some_and(|alone| alone.equals_missing(&whole));
        if !same {
            return Err("reads more than one reading (an aggregate, a shift or a window): a view over \
                        single readings can't, because its result would depend on how readings were batched"
                .into());
        }
        Ok(name.to_string())
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

    /// The signal that a feature passes on unchanged.
    pub fn passed_signal(&self, position: usize) -> Option<usize> {
        match self.features[position].source {
            FeatureSource::Signal(signal) => Some(signal),
            FeatureSource::Expression(_) => None,
        }
    }

    /// Evaluates the view: `rows` becomes row-major `[n, F]`. Rows with a value that is not finite are told
    /// in `refused` by their index, once each.
    ///
    /// # Errors
    /// When polars fails, which the compilation has made sure it does not.
    pub fn evaluate(
        &self,
        readings: &Readings,
        rows: &mut Vec<f32>,
        refused: &mut Vec<(usize, Refusal)>,
    ) -> Result<(), FeatureError> {
        let width = self.width();
        rows.clear();
        rows.resize(readings.len() * width, 0.0);
        let computed = self.compute(readings)?;
        for (f, feature) in self.features.iter().enumerate() {
            match feature.source {
                FeatureSource::Signal(signal) => {
                    let column = &readings.signals[signal];
                    for (row, value) in rows.chunks_exact_mut(width).zip(column) {
                        row[f] = *value as f32;
                    }
                }
                FeatureSource::Expression(expression) => {
                    let column = &computed[expression];
                    for (row, value) in rows.chunks_exact_mut(width).zip(column) {
                        row[f] = *value as f32;
                    }
                }
            }
        }
        // Also a finite f64 beyond f32 is not finite for the model.
        for (index, row) in rows.chunks_exact(width).enumerate() {
            if let Some(f) = row.iter().position(|value| !value.is_finite()) {
                let feature = self.features[f].name.clone();
                refused.push((
                    index,
                    Refusal::FeatureNotFinite {
                        view: self.name.clone(),
                        feature,
                    },
                ));
            }
        }
        Ok(())
    }

    /// The columns of the expressions; a missing value is NaN.
    fn compute(&self, readings: &Readings) -> Result<Vec<Vec<f64>>, FeatureError> {
        if self.expressions.is_empty() || readings.is_empty() {
            return Ok(vec![Vec::new(); self.expressions.len()]);
        }
        let failed = |source| FeatureError {
            view: self.name.clone(),
            source,
        };
        let columns = self
            .inputs
            .iter()
            .map(|signal| {
                Column::new(
                    self.signals[*signal].as_str().into(),
                    &readings.signals[*signal],
                )
            })
            .collect();
        let frame = DataFrame::new(readings.len(), columns).map_err(failed)?;
        // Expressions may share a name with a signal of the view; numbers can't clash.
        let numbered = self
            .expressions
            .iter()
            .enumerate()
            .map(|(i, e)| e.clone().alias(i.to_string()));
        let computed = frame
            .lazy()
            .select(numbered.collect::<Vec<_>>())
            .collect()
            .map_err(failed)?;
        computed
            .columns()
            .iter()
            .map(|column| {
                let values = column.f64()?;
                // An expression without any signal gives one value for all readings.
                if values.len() == 1 && readings.len() > 1 {
                    return Ok(vec![values.get(0).unwrap_or(f64::NAN); readings.len()]);
                }
                Ok(values
                    .iter()
                    .map(|value| value.unwrap_or(f64::NAN))
                    .collect())
            })
            .collect::<PolarsResult<_>>()
            .map_err(failed)
    }
}

/// Names of the columns that an expression reads.
fn expr_roots(expression: &Expr) -> Vec<String> {
    expression
        .into_iter()
        .filter_map(|node| match node {
            Expr::Column(name) => Some(name.to_string()),
            _ => None,
        })
        .collect()
}

/// A few rows of unlike numbers, for the trial that tells per-reading expressions from others.
fn trial_frame(signals: &[String]) -> DataFrame {
    const ROWS: usize = 5;
    let columns = signals
        .iter()
        .enumerate()
        .map(|(s, name)| {
            let values: Vec<f64> = (0..ROWS)
                .map(|row| 1.5 + s as f64 * 0.75 + (row * row) as f64 * 1.25)
                .collect();
            Column::new(name.as_str().into(), values)
        })
        .collect();
    DataFrame::new(ROWS, columns).expect("signals have different names")
}

fn one_line(error: &PolarsError) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::SignalConfig;

    fn signals() -> Vec<Signal> {
        ["a", "b"]
            .iter()
            .map(|name| Signal::new(name, SignalConfig::default()))
            .collect()
    }

    fn compile(texts: &[&str]) -> Result<FeatureView, Vec<FeatureProblem>> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        FeatureView::compile("v", &texts, &signals())
    }

    fn readings(a: &[f64], b: &[f64]) -> Readings {
        let mut readings = Readings::new(2);
        readings.message = (0..a.len() as u32).collect();
        readings.signals = vec![a.to_vec(), b.to_vec()];
        readings
    }

    #[test]
    fn signals_pass_and_expressions_are_computed() {
        let view = compile(&[
            "b",
            "a - b AS d",
            "CASE WHEN a > 2 THEN 1 ELSE 0 END AS high",
            "*",
        ]);
        assert!(view.is_err(), "b is there twice");
        let view = compile(&[
            "b",
            "a - b AS d",
            "CASE WHEN a > 2 THEN 1 ELSE 0 END AS high",
        ])
        .unwrap();
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        view.evaluate(&readings(&[1.0, 5.0], &[0.5, 2.0]), &mut rows, &mut refused)
            .unwrap();
        assert_eq!(rows, [0.5, 0.5, 0.0, 2.0, 3.0, 1.0]);
        assert!(refused.is_empty());
        assert_eq!(view.feature_names().collect::<Vec<_>>(), ["b", "d", "high"]);
    }

    #[test]
    fn a_result_that_is_not_finite_refuses_its_reading_only() {
        let view = compile(&["a / b AS q"]).unwrap();
        let (mut rows, mut refused) = (Vec::new(), Vec::new());
        view.evaluate(
            &readings(&[1.0, 2.0, 0.0], &[0.0, 4.0, 0.0]),
            &mut rows,
            &mut refused,
        )
        .unwrap();
        assert_eq!(
            refused.iter().map(|(row, _)| *row).collect::<Vec<_>>(),
            [0, 2]
        );
        assert_eq!(rows[1], 0.5);
    }

    #[test]
    fn problems_name_the_feature_and_the_reason() {
        let problems = compile(&[
            "a",
            "missing + 1 AS m",
            "a +",
            "AVG(a) AS mean",
            "a - LAG(a) OVER (ORDER BY a) AS step",
            "NOSUCH(a) AS n",
            "'text' AS t",
        ])
        .unwrap_err();
        let indices: Vec<usize> = problems.iter().map(|problem| problem.index).collect();
        assert_eq!(indices, [1, 2, 3, 4, 5, 6], "{problems:#?}");
        assert!(
            problems[0].message.contains("the signals are a, b"),
            "{problems:#?}"
        );
        assert!(
            problems[2].message.contains("more than one reading"),
            "{problems:#?}"
        );
    }

    #[test]
    fn the_result_does_not_depend_on_the_batch() {
        let view = compile(&["SQRT(a * a + b) AS r", "ROUND(a, 2) AS k", "EXP(-b) AS e"]).unwrap();
        let a: Vec<f64> = (0..100).map(|i| f64::from(i) * 0.317 - 4.0).collect();
        let b: Vec<f64> = (0..100).map(|i| 20.0 + f64::from(i * i) * 0.01).collect();
        let (mut whole, mut refused) = (Vec::new(), Vec::new());
        view.evaluate(&readings(&a, &b), &mut whole, &mut refused)
            .unwrap();
        let mut cut = Vec::new();
        for (a, b) in a.chunks(7).zip(b.chunks(7)) {
            let mut rows = Vec::new();
            view.evaluate(&readings(a, b), &mut rows, &mut refused)
                .unwrap();
            cut.extend(rows);
        }
        assert_eq!(whole, cut);
    }
}
