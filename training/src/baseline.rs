//! A linear model of single rows: what a network must beat to be worth its trouble.
//!
//! An elastic net over the same inputs, without any memory: H. Zou, T. Hastie, *Regularization and Variable Selection via
//! the Elastic Net*, 2005. It is told in the card beside the networks, and never serves.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet;
use ndarray_0_16::{Array1, Array2};

use crate::lives::Lives;
use crate::neural::Examples as _;
use crate::random::Random;
use crate::rul::Told;

/// Rows that it is fitted to at most: its few weights are sharp long before.
const MOST_ROWS: usize = 20_000;
/// How much weights cost, in units of the inputs' standard deviations and shares of the cap; half of it by their
/// absolute values.
const PENALTY: f64 = 0.001;
const BY_ABSOLUTE_VALUE: f64 = 0.5;

/// Weights of the inputs of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    weights: Vec<f64>,
    intercept: f64,
    cap: f64,
}

impl Baseline {
    /// Fits it to rows whose remaining life is known; `None` where there are none, or no weights are found.
    pub fn fit(lives: &Lives, cap: f64, seed: u64) -> Option<Self> {
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
            .penalty(PENALTY)
            .l1_ratio(BY_ABSOLUTE_VALUE)
            .fit(&Dataset::new(inputs, targets))
            .ok()?;
        Some(Baseline {
            weights: fitted.hyperplane().to_vec(),
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
}
