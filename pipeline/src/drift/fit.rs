//! Rows into a reference.
//!
//! Bins come from a sample, which is all rows as long as they are not too many; everything else is of all rows. The sample
//! is drawn by Vitter's algorithm R (1985) with a fixed seed: the same rows in the same order give the same reference.

use forewarn_models::reference::{Distribution, Reference, edges};
use serde_json::Value;

use super::gathered::{Assets, Gathered};
use super::random::Random;

/// Rows of the sample: an edge of ten bins is then off by less than 0.1 % of the rows.
const SAMPLE: usize = 200_000;

/// Takes the rows of a model's training, one by one.
#[derive(Debug)]
pub struct Fitting {
    names: Vec<String>,
    assets: Assets,
    /// Of the features, then of the score.
    gathered: Vec<Gathered>,
    rows: u64,
    /// Row-major, as `gathered`.
    sample: Vec<f32>,
    capacity: usize,
    random: Random,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FitError {
    #[error("there is no row that the model has scored")]
    NoRows,
    #[error("feature {0} has no value in any row")]
    NoValue(String),
}

impl Fitting {
    /// For a model with these features, in this order.
    pub fn new(features: &[String]) -> Self {
        Self::with_capacity(features, SAMPLE)
    }

    fn with_capacity(features: &[String], capacity: usize) -> Self {
        Fitting {
            names: features.to_vec(),
            assets: Assets::default(),
            gathered: vec![Gathered::default(); features.len() + 1],
            rows: 0,
            sample: Vec::new(),
            capacity,
            random: Random::default(),
        }
    }

    /// Takes a row of an asset: a value per feature, and the model's score or remaining life, where it has said one. What
    /// is not finite is missing.
    pub fn push(&mut self, asset: &str, values: impl IntoIterator<Item = f32>, score: Option<f64>) {
        let asset = self.assets.take(asset);
        let width = self.gathered.len();
        let score = score.map_or(f32::NAN, |score| score as f32);
        self.rows += 1;
        let into = match usize::try_from(self.rows - 1) {
            Ok(row) if row < self.capacity => Some(row),
            _ => Some(self.random.below(self.rows) as usize).filter(|row| *row < self.capacity),
        };
        if let Some(row) = into
            && row * width == self.sample.len()
        {
            self.sample.resize(self.sample.len() + width, f32::NAN);
        }
        let all = values.into_iter().take(width - 1).chain([score]);
        for (at, value) in all.enumerate() {
            self.gathered[at].push(asset, value);
            if let Some(row) = into {
                self.sample[row * width + at] = value;
            }
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The reference; `origin` says where the rows came from.
    ///
    /// # Errors
    /// When there is nothing to compare with.
    pub fn finish(self, origin: Value) -> Result<Reference, FitError> {
        if self.rows == 0 {
            return Err(FitError::NoRows);
        }
        let mut features = Vec::new();
        for (at, name) in self.names.iter().enumerate() {
            let found = self.distribution(at, name);
            features.push(found.ok_or_else(|| FitError::NoValue(name.clone()))?);
        }
        // A custom model says nothing that could be compared.
        let score = self.distribution(self.names.len(), "score");
        let score = score.map(|score| Distribution {
            missing: 0,
            ..score
        });
        let assets = self.assets.rows();
        Ok(Reference::new(origin, self.rows, assets, features, score))
    }

    fn distribution(&self, at: usize, name: &str) -> Option<Distribution> {
        let width = self.gathered.len();
        let values = self.sample.iter().skip(at).step_by(width);
        let mut values: Vec<f32> = values.copied().filter(|value| value.is_finite()).collect();
        if values.is_empty() {
            return None;
        }
        values.sort_unstable_by(f32::total_cmp);
        let of = &self.gathered[at];
        let mut distribution = Distribution {
            name: name.to_owned(),
            rows: of.rows,
            missing: of.missing,
            mean: of.mean,
            sd: of.sd(),
            min: of.min,
            max: of.max,
            between: of.between(),
            effective: of.effective(),
            edges: edges(&values),
            counts: Vec::new(),
        };
        distribution.counts = vec![0; distribution.edges.len() + 1];
        for value in values {
            let bin = distribution.bin(value);
            distribution.counts[bin] += 1;
        }
        Some(distribution)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of values that are each of an asset of their own.
    pub fn distribution(values: &[f32]) -> Distribution {
        let mut fitting = Fitting::new(&["x".into()]);
        for (asset, value) in values.iter().enumerate() {
            fitting.push(&asset.to_string(), [*value], None);
        }
        fitting.finish(Value::Null).unwrap().features.remove(0)
    }

    #[test]
    fn a_reference_says_what_the_rows_were() {
        let mut fitting = Fitting::new(&["a".into(), "b".into()]);
        for n in 0..40_u8 {
            let (asset, value) = (n % 4, f32::from(n));
            let b = if n < 10 { f32::NAN } else { 7.0 };
            let score = (n >= 10).then_some(f64::from(n) / 2.0);
            fitting.push(&format!("pump-{asset}"), [value, b], score);
        }
        let reference = fitting.finish(serde_json::json!({ "view": "v" })).unwrap();
        assert_eq!((reference.rows, reference.assets), (40, 4));
        assert_eq!(reference.names, ["pump-0", "pump-1", "pump-2", "pump-3"]);
        let [a, b] = &reference.features[..] else {
            panic!("two features");
        };
        assert_eq!(
            (a.rows, a.missing, a.mean, a.min, a.max),
            (40, 0, 19.5, 0.0, 39.0)
        );
        assert_eq!(a.counts, [4; 10]);
        assert_eq!((b.rows, b.missing, b.sd), (30, 10, 0.0));
        assert_eq!(b.counts, [0, 30, 0]);
        let score = reference.score.unwrap();
        assert_eq!((score.rows, score.missing, score.max), (30, 0, 19.5));
    }

    #[test]
    fn nothing_gives_no_reference() {
        let fitting = Fitting::new(&["a".into()]);
        assert_eq!(fitting.finish(Value::Null), Err(FitError::NoRows));
        let mut fitting = Fitting::new(&["a".into()]);
        fitting.push("pump", [f32::NAN], Some(1.0));
        let told = fitting.finish(Value::Null);
        assert_eq!(told, Err(FitError::NoValue("a".into())));
    }

    #[test]
    fn of_more_rows_than_are_kept_the_bins_are_those_of_a_fair_sample() {
        let mut fitting = Fitting::with_capacity(&["a".into()], 2_000);
        let rows = 100_000_u32;
        for n in 0..rows {
            fitting.push("pump", [n as f32], None);
        }
        assert_eq!(fitting.sample.len(), 4_000);
        let of = &fitting.finish(Value::Null).unwrap().features[0];
        assert_eq!((of.rows, of.binned(), of.max), (100_000, 2_000, 99_999.0));
        for (k, edge) in of.edges.iter().enumerate() {
            let expected = (k + 1) as f32 * rows as f32 / 10.0;
            assert!((edge - expected).abs() < 0.03 * rows as f32, "{k} {edge}");
        }
    }
}
