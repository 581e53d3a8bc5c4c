//! A mixture of normal distributions: how unlikely a row is among rows of machines that are well, where these have several
//! ways of being well.
//!
//! ```text
//!   score = 2 (highest log density at a centre − log density at z)
//! ```
//!
//! Of one distribution that is the squared Mahalanobis distance; it is 0 at the most likely centre, and has no unit.
//! Fitted by expectation and maximisation (A. Dempster, N. Laird, D. Rubin, 1977), from centres of k-means, by linfa.

use linfa::DatasetBase;
use linfa::traits::Fit as _;
use linfa_clustering::GaussianMixtureModel;
use linfa_linalg::eigh::Eigh as _;
use ndarray_0_16::{Array1, Array2, ArrayView1};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng as _;
use serde::{Deserialize, Serialize};

use super::DetectorError;
use crate::onnx::{Builder, Setting, Value};
use crate::random::Random;

/// Rows that it is fitted to at most, drawn evenly: its few thousand numbers are sharp long before.
const MOST_ROWS: usize = 50_000;
/// Beginnings that are tried.
const RUNS: u64 = 3;
/// Added to each variance, in units of the features' own, so that none is 0.
const LEAST_VARIANCE: f64 = 1e-3;

/// `[trainer]` with `kind = "mixture"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Distributions.
    pub components: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { components: 4 }
    }
}

/// One distribution: log density at z = level − |root (z − centre)|² / 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Component {
    /// root · centre.
    centre: Vec<f32>,
    /// [width, width], transposed: a column per number.
    root: Vec<f32>,
    level: f64,
}

/// A fitted mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    components: Vec<Component>,
    /// The highest log density at a centre.
    highest: f64,
}

impl Mixture {
    /// Fits it to scaled rows, row-major.
    ///
    /// # Errors
    /// When no mixture is found.
    pub fn fit(
        rows: &[f32],
        width: usize,
        settings: &Settings,
        seed: u64,
    ) -> Result<Self, DetectorError> {
        let failed = |reason: String| DetectorError::Mixture { reason };
        let rows = drawn(rows, width, seed);
        let fitted = GaussianMixtureModel::params_with_rng(
            settings.components,
            Xoshiro256Plus::seed_from_u64(seed),
        )
        .n_runs(RUNS)
        .reg_covariance(LEAST_VARIANCE)
        .fit(&DatasetBase::from(rows))
        .map_err(|error| failed(error.to_string()))?;
        let components = (0..settings.components).map(|place| {
            Component::of(
                fitted.weights()[place],
                fitted.means().row(place),
                &fitted
                    .covariances()
                    .index_axis(ndarray_0_16::Axis(0), place)
                    .to_owned(),
            )
        });
        let components: Option<Vec<Component>> = components.collect();
        let components = components.ok_or_else(|| failed("a distribution is flat".into()))?;
        let mut mixture = Mixture {
            components,
            highest: 0.0,
        };
        let means = fitted.means().rows().into_iter();
        let densities = means.map(|mean| {
            let mean: Vec<f32> = mean.iter().map(|value| *value as f32).collect();
            mixture.log_density(&mean)
        });
        mixture.highest = densities.fold(f64::NEG_INFINITY, f64::max);
        Ok(mixture)
    }

    /// The score of a scaled row.
    pub fn score(&self, row: &[f32]) -> f64 {
        2.0 * (self.highest - self.log_density(row))
    }

    fn log_density(&self, row: &[f32]) -> f64 {
        let terms: Vec<f64> = self
            .components
            .iter()
            .map(|component| component.log_density(row))
            .collect();
        let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = terms.iter().map(|term| (term - largest).exp()).sum();
        largest + sum.ln()
    }

    /// The same in a graph: from scaled rows, [B, width], to scores, [B, 1].
    pub fn export(&self, graph: &mut Builder, input: &str) -> Value {
        let axis = graph.ints(&[1]);
        let half = graph.scalar(-0.5);
        let terms: Vec<Value> = self
            .components
            .iter()
            .map(|component| {
                let width = component.centre.len();
                let root = graph.constant(&[width, width], &component.root);
                let centre = graph.constant(&[width], &component.centre);
                let along = graph.node("MatMul", &[input, &root], &[]);
                let along = graph.node("Sub", &[&along, &centre], &[]);
                let squares = graph.node("Mul", &[&along, &along], &[]);
                let distance = graph.node("ReduceSum", &[&squares, &axis], &[]);
                let distance = graph.node("Mul", &[&distance, &half], &[]);
                // Taken from the highest one first: 32 bits then hold what is left.
                let level = graph.scalar((component.level - self.highest) as f32);
                graph.node("Add", &[&distance, &level], &[])
            })
            .collect();
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        let terms = graph.node("Concat", &terms, &[("axis", Setting::Int(1))]);
        let density = graph.node(
            "ReduceLogSumExp",
            &[&terms],
            &[("axes", Setting::Ints(&[1]))],
        );
        let twice = graph.scalar(-2.0);
        graph.node("Mul", &[&density, &twice], &[])
    }
}

impl Component {
    /// `None` where a variance is not above 0.
    fn of(weight: f64, mean: ArrayView1<'_, f64>, covariance: &Array2<f64>) -> Option<Self> {
        let width = mean.len();
        let (variances, directions) = covariance.eigh().ok()?;
        if !variances.iter().all(|variance| *variance > 0.0) {
            return None;
        }
        let scales = variances.mapv(|variance| variance.sqrt().recip());
        // One direction per column, divided by its deviation: zᵀ root is where z lies along each.
        let root = &directions * &scales;
        let centre: Array1<f64> = root.t().dot(&mean);
        let logs: f64 = variances.iter().map(|variance| variance.ln()).sum();
        let dimensions = width as f64 * std::f64::consts::TAU.ln();
        Some(Component {
            centre: centre.iter().map(|value| *value as f32).collect(),
            root: root.iter().map(|value| *value as f32).collect(),
            level: weight.ln() - 0.5 * (logs + dimensions),
        })
    }

    fn log_density(&self, row: &[f32]) -> f64 {
        let width = self.centre.len();
        let along = |column: usize| {
            let products = row.iter().zip(self.root[column..].iter().step_by(width));
            let sum: f64 = products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            sum - f64::from(self.centre[column])
        };
        let distance: f64 = (0..width).map(|column| along(column).powi(2)).sum();
        self.level - 0.5 * distance
    }
}

/// As many rows as are fitted to, in their order.
fn drawn(rows: &[f32], width: usize, seed: u64) -> Array2<f64> {
    let count = rows.len() / width;
    let mut places: Vec<usize> = (0..count).collect();
    if count > MOST_ROWS {
        Random::new(seed, 0).shuffle(&mut places);
        places.truncate(MOST_ROWS);
        places.sort_unstable();
    }
    Array2::from_shape_fn((places.len(), width), |(row, column)| {
        f64::from(rows[places[row] * width + column])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Machines that are well in two ways, far apart.
    fn rows() -> Vec<f32> {
        let mut random = Random::new(9, 0);
        let mut row = || {
            let level = if random.below(2) == 0 { -2.0 } else { 2.0 };
            [level + 0.2 * random.normal(), 0.2 * random.normal()].map(|value| value as f32)
        };
        (0..4_000).flat_map(|_| row()).collect()
    }

    #[test]
    fn what_lies_between_two_ways_of_being_well_is_far_from_both() {
        let mixture = Mixture::fit(&rows(), 2, &Settings { components: 2 }, 1).unwrap();
        let [one, other, between] =
            [[-2.0, 0.0], [2.0, 0.0], [0.0, 0.0]].map(|row| mixture.score(&row));
        assert!(one < 0.5 && other < 0.5, "{one} {other}");
        // Ten deviations from each centre: a little more variance than was drawn is added.
        assert!((80.0..101.0).contains(&between), "{between}");
        // The mean of the two would be between: one distribution sees nothing there.
        let single = Mixture::fit(&rows(), 2, &Settings { components: 1 }, 1).unwrap();
        assert!(single.score(&[0.0, 0.0]) < 0.1);
    }

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        let settings = Settings { components: 3 };
        let fit = || Mixture::fit(&rows(), 2, &settings, 5).unwrap();
        assert_eq!(fit(), fit());
    }
}
