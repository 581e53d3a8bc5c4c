//! One batch of raw outputs, judged row by row, by task.
//!
//! Invariant: every row appends as many contributions and numbers as every other, so that a row's are found
//! by its place.

use super::life::{self, Life};
use super::{Row, Verdicts};
use crate::contract::{
    ClassOutput, Classification, Contract, ErrorOutput, Estimate, Forecast, Rul, ScoreOrder,
    Spread, Task,
};
use crate::outputs::Values;

impl Verdicts {
    /// Judges the outputs of one batch of one model, in the order of [`Task::outputs`], and appends the
    /// verdicts. `input` are the rows as they were given, needed where the graph gives a reconstruction or a
    /// forecast.
    pub(crate) fn judge(&mut self, contract: &Contract, input: &[f32], outputs: &[Values<'_>]) {
        let rows = input.len() / contract.input_len();
        self.contributors = contract.contributors().len();
        self.widths.clear();
        match &contract.task {
            Task::Anomaly { error, threshold } => {
                self.errors(contract, error, *threshold, input, &outputs[0]);
            }
            Task::Forecast(forecast) => {
                let values: Vec<f64> = outputs[0].iter().collect();
                self.forecasts(contract, forecast, input, &values);
            }
            Task::Rul(rul) => self.lives(rul, outputs),
            Task::Classification(classes) => self.classes(classes, &outputs[0], rows),
            Task::Custom { .. } => self.custom(outputs, rows),
        }
    }

    fn errors(
        &mut self,
        contract: &Contract,
        error: &ErrorOutput,
        threshold: f64,
        input: &[f32],
        output: &Values<'_>,
    ) {
        let row_len = contract.input_len();
        match error {
            ErrorOutput::Residual { .. } => match output {
                Values::F32(values) => {
                    for residuals in values.chunks_exact(row_len) {
                        self.anomaly(residuals.iter().map(|e| f64::from(*e)), threshold);
                    }
                }
                Values::F64(values) => {
                    for residuals in values.chunks_exact(row_len) {
                        self.anomaly(residuals.iter().copied(), threshold);
                    }
                }
            },
            ErrorOutput::Reconstruction { scale, .. } => {
                let values: Vec<f64> = output.iter().collect();
                for (x, y) in input
                    .chunks_exact(row_len)
                    .zip(values.chunks_exact(row_len))
                {
                    self.anomaly(residuals(x.iter().copied(), y, scale), threshold);
                }
            }
            ErrorOutput::Score { order, .. } => {
                let judged = output.iter().map(|score| match score.is_finite() {
                    true => Row::Anomaly {
                        score,
                        threshold,
                        order: *order,
                    },
                    false => Row::NotFinite,
                });
                self.rows.extend(judged);
            }
        }
    }

    /// A row's last feature row, which the graph has not seen, and its forecast.
    fn forecasts(
        &mut self,
        contract: &Contract,
        forecast: &Forecast,
        input: &[f32],
        values: &[f64],
    ) {
        let features = contract.features.len();
        let rows = input.chunks_exact(contract.input_len());
        for (row, y) in rows.zip(values.chunks_exact(forecast.targets.len())) {
            let last = &row[row.len() - features..];
            let x = forecast.places.iter().map(|place| last[*place]);
            self.anomaly(residuals(x, y, &forecast.scale), forecast.threshold);
        }
    }

    fn anomaly(&mut self, residuals: impl Iterator<Item = f64>, threshold: f64) {
        let start = self.contributions.len();
        self.contributions.resize(start + self.contributors, 0.0);
        let parts = &mut self.contributions[start..];
        let (mut total, mut values) = (0.0_f64, 0_usize);
        for (i, residual) in residuals.enumerate() {
            let squared = residual * residual;
            parts[i % self.contributors] += squared as f32;
            total += squared;
            values += 1;
        }
        let score = total / values as f64;
        // A part may leave the range of f32 before the score leaves that of f64.
        if !score.is_finite() || parts.iter().any(|part| !part.is_finite()) {
            parts.fill(0.0);
            self.rows.push(Row::NotFinite);
            return;
        }
        if total > 0.0 {
            parts
                .iter_mut()
                .for_each(|part| *part = (f64::from(*part) / total) as f32);
        }
        self.rows.push(Row::Anomaly {
            score,
            threshold,
            order: ScoreOrder::Higher,
        });
    }

    fn lives(&mut self, rul: &Rul, outputs: &[Values<'_>]) {
        match &rul.estimate {
            Estimate::Value { residuals, .. } => self.values(rul, residuals, &outputs[0]),
            Estimate::Quantiles { levels, margin, .. } => {
                self.quantiles(rul, levels, *margin, &outputs[0]);
            }
            Estimate::Moments {
                spread, residuals, ..
            } => self.moments(rul, spread, residuals, &outputs[0], &outputs[1]),
        }
    }

    fn values(&mut self, rul: &Rul, residuals: &[f64], output: &Values<'_>) {
        let calibrated = !residuals.is_empty();
        self.widths.extend(calibrated.then_some(rul.horizons.len()));
        for value in output.iter() {
            let life = Life::Residuals {
                value,
                scale: 1.0,
                residuals,
            };
            self.life(rul, value, calibrated.then_some(life));
        }
    }

    fn quantiles(&mut self, rul: &Rul, levels: &[f64], margin: f64, output: &Values<'_>) {
        self.widths.push(rul.horizons.len());
        let mut values: Vec<f64> = output.iter().collect();
        for quantiles in values.chunks_exact_mut(levels.len()) {
            let finite = quantiles.iter().all(|quantile| quantile.is_finite());
            let median = life::calibrate(levels, quantiles, margin);
            let value = if finite { median } else { f64::NAN };
            self.life(rul, value, Some(Life::Quantiles { levels, quantiles }));
        }
    }

    fn moments(
        &mut self,
        rul: &Rul,
        spread: &Spread,
        residuals: &[f64],
        means: &Values<'_>,
        spreads: &Values<'_>,
    ) {
        self.widths.push(rul.horizons.len());
        for (mean, told) in means.iter().zip(spreads.iter()) {
            let deviation = match spread {
                Spread::Variance(_) => told.sqrt(),
                Spread::StandardDeviation(_) => told,
            };
            // Neither a root of a negative number nor a negative deviation is a spread.
            let known = deviation >= 0.0 && deviation.is_finite();
            let life = if residuals.is_empty() {
                Life::Normal { mean, deviation }
            } else {
                Life::Residuals {
                    value: mean,
                    scale: deviation,
                    residuals,
                }
            };
            self.life(rul, if known { mean } else { f64::NAN }, Some(life));
        }
    }

    /// Appends one row; a value that is not finite has no verdict.
    fn life(&mut self, rul: &Rul, value: f64, life: Option<Life<'_>>) {
        let finite = value.is_finite();
        if let Some(life) = life {
            let failure = rul.horizons.iter().map(|horizon| match finite {
                true => life.probability_within(*horizon),
                false => 0.0,
            });
            self.numbers.extend(failure);
        }
        self.rows.push(match finite {
            true => Row::Rul {
                value,
                health: (value / rul.cap).clamp(0.0, 1.0),
                interval: life.map(|life| life.interval(rul.coverage, rul.cap)),
            },
            false => Row::NotFinite,
        });
    }

    fn classes(&mut self, told: &Classification, output: &Values<'_>, rows: usize) {
        let normal = told.normal;
        let values: Vec<f64> = output.iter().collect();
        if let ClassOutput::Label(_) = told.output {
            let judged = values.iter().map(|place| Row::Class {
                class: *place as usize,
                normal,
            });
            self.rows.extend(judged);
            return;
        }
        self.widths.push(told.classes.len());
        for row in values.chunks_exact(values.len() / rows) {
            let start = self.numbers.len();
            match row {
                [second] => self.numbers.extend([1.0 - second, *second]),
                all => self.numbers.extend(all),
            }
            let probabilities = &mut self.numbers[start..];
            if probabilities.iter().any(|p| !p.is_finite()) {
                probabilities.fill(0.0);
                self.rows.push(Row::NotFinite);
                continue;
            }
            let class = likeliest(probabilities);
            self.rows.push(Row::Class { class, normal });
        }
    }

    fn custom(&mut self, outputs: &[Values<'_>], rows: usize) {
        self.widths
            .extend(outputs.iter().map(|output| output.len() / rows));
        let outputs: Vec<Vec<f64>> = outputs
            .iter()
            .map(|output| output.iter().collect())
            .collect();
        for row in 0..rows {
            let start = self.numbers.len();
            for output in &outputs {
                let width = output.len() / rows;
                self.numbers.extend(&output[row * width..][..width]);
            }
            let values = &mut self.numbers[start..];
            self.rows
                .push(if values.iter().all(|value| value.is_finite()) {
                    Row::Custom
                } else {
                    values.fill(0.0);
                    Row::NotFinite
                });
        }
    }
}

/// (x − y) / scale, the scales being those of one feature row, over and over.
fn residuals<'a>(
    x: impl Iterator<Item = f32> + 'a,
    y: &'a [f64],
    scale: &'a [f32],
) -> impl Iterator<Item = f64> + 'a {
    x.zip(y)
        .zip(scale.iter().cycle())
        .map(|((x, y), scale)| (f64::from(x) - y) / f64::from(*scale))
}

/// The place of the largest one; the first among equals.
fn likeliest(probabilities: &[f64]) -> usize {
    let mut best = 0;
    for (place, probability) in probabilities.iter().enumerate() {
        if *probability > probabilities[best] {
            best = place;
        }
    }
    best
}
