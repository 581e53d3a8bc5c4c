//! A linear model of single rows: what a network must beat to be worth its trouble, and enough where wear shows in a row.
//!
//! An elastic net over the same inputs, without any memory but the age: H. Zou, T. Hastie, *Regularization and Variable
//! Selection via the Elastic Net*, 2005. It is told in the card beside the networks; with `trainer.kind = "linear"` it is the
//! model. Its interval is the conformal one of its errors, as wide everywhere.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use ndarray_0_16::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::lives::Lives;
use crate::neural::Examples as _;
use crate::onnx::Builder;
use crate::random::Random;
use crate::rul::{Told, begin, finish};
use crate::scaling::Scaling;

/// Rows that it is fitted to at most: its few weights are sharp long before.
const MOST_ROWS: usize = 20_000;

/// `[trainer]` with `kind = "linear"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// How much weights cost, in units of the inputs' standard deviations and shares of the cap.
    pub penalty: f64,
    /// Share of the cost that is by their absolute values; the other one is by their squares.
    pub by_absolute_value: f64,
    /// The interval goes from this quantile to that one.
    pub low: f64,
    pub high: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            penalty: 0.001,
            by_absolute_value: 0.5,
            low: 0.05,
            high: 0.95,
        }
    }
}

/// Weights of the inputs of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    pub scaling: Scaling,
    weights: Vec<f64>,
    intercept: f64,
    pub cap: f64,
}

impl Linear {
    /// Fits it to rows whose remaining life is known; `None` where there are none, or no weights are found.
    pub fn fit(
        (lives, scaling): (&Lives, &Scaling),
        cap: f64,
        settings: &Settings,
        seed: u64,
    ) -> Option<Self> {
        let mut rows: Vec<(usize, usize, f64)> = (0..lives.len())
            .flat_map(|life| {
                let known = lives.truth(life).enumerate();
                known.filter_map(move |(row, truth)| Some((life, row, truth?)))
            })
            .collect();
        Random::new(seed, u64::MAX).shuffle(&mut rows);
        rows.truncate(MOST_ROWS);
        let targets: Array1<f64> = rows.iter().map(|(_, _, truth)| truth / cap).collect();
        let inputs: Vec<f64> = rows
            .iter()
            .flat_map(|(life, row, _)| lives.row(*life, *row))
            .map(f64::from)
            .collect();
        let width = inputs.len().checked_div(rows.len())?;
        let inputs = Array2::from_shape_vec((rows.len(), width), inputs).ok()?;
        let fitted = ElasticNet::params()
            .penalty(settings.penalty)
            .l1_ratio(settings.by_absolute_value)
            .fit(&Dataset::new(inputs, targets))
            .ok()?;
        // As the graph has them.
        let single = |weight: &f64| f64::from(*weight as f32);
        Some(Linear {
            scaling: scaling.clone(),
            weights: fitted.hyperplane().iter().map(single).collect(),
            intercept: fitted.intercept(),
            cap,
        })
    }

    /// What it says at each row of each life. It knows no interval.
    pub fn predict(&self, lives: &Lives) -> Vec<Vec<Told>> {
        let told = |life: usize, row: usize| {
            let inputs = lives.row(life, row).zip(&self.weights);
            let sum: f64 = inputs
                .map(|(input, weight)| f64::from(input) * weight)
                .sum();
            let mean = ((self.intercept + sum) * self.cap).clamp(0.0, self.cap);
            Told {
                low: mean,
                mean,
                high: mean,
            }
        };
        let lengths = lives.lengths().into_iter().enumerate();
        lengths
            .map(|(life, rows)| (0..rows).map(|row| told(life, row)).collect())
            .collect()
    }

    /// The graph, a row at a time, with `metadata` and the keys of its contract that the graph decides.
    pub fn export(&self, name: &str, metadata: Vec<(String, String)>) -> Vec<u8> {
        let mut graph = Builder::new(name);
        let (input, states) = begin(&mut graph, &self.scaling);
        let weights: Vec<f32> = self.weights.iter().map(|weight| *weight as f32).collect();
        let weights = graph.constant(&[weights.len(), 1], &weights);
        let intercept = graph.constant(&[1], &[self.intercept as f32]);
        let share = graph.node("Gemm", &[&input, &weights, &intercept], &[]);
        let cap = graph.scalar(self.cap as f32);
        let told = graph.node("Mul", &[&share, &cap], &[]);
        let zero = graph.scalar(0.0);
        let told = graph.node("Clip", &[&told, &zero, &cap], &[]);
        finish(graph, [&told; 3], self.cap, states, metadata)
    }
}
