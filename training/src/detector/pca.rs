//! Principal components: how far a row is from the plane that rows of machines that are well lie in, and how far out on it.
//!
//! ```text
//!   z = scaled row      T² = Σ (pᵢᵀ z)² / λᵢ  over the components kept     how far out on the plane
//!                       Q  = |z − P Pᵀ z|²                                 how far from it
//!   combined            φ  = T² / τ² + Q / δ²                              τ², δ²: what 99 % of the rows learnt from lie below
//! ```
//!
//! T²: H. Hotelling, 1931; Q: J. Jackson, G. Mudholkar, *Control Procedures for Residuals Associated With Principal Component
//! Analysis*, Technometrics, 1979; φ: H. Yue, S. Qin, *Reconstruction-Based Fault Identification Using a Combined Index*,
//! 2001. Each index is zᵀ M z, so the graph gives r = M^½ z, of which |r|² is the index and r_f² the share of a feature:
//! the complete decomposition of C. Alcala, S. Qin, *Reconstruction-based contribution for process monitoring*, 2009.
//!
//! Components are eigenvectors of the correlations, found by linfa's linear algebra; sums of products are all that is kept
//! of the rows, however many there are.

use linfa_linalg::Order;
use linfa_linalg::eigh::{EigSort as _, Eigh as _};
use ndarray_0_16::{Array1, Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use super::{DetectorError, quantile};

/// What index is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Index {
    #[default]
    Combined,
    T2,
    Q,
}

/// `[trainer]` with `kind = "pca"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// As many components are kept as hold this share of the variance; 1: all, and T² is the Mahalanobis distance.
    pub explains: f64,
    /// `combined`, `t2` or `q`.
    pub index: Index,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            explains: 0.9,
            index: Index::Combined,
        }
    }
}

/// Share of the rows learnt from below the limits of T² and Q.
const LIMIT: f64 = 0.99;
/// Variances below this share of the mean one are rounding: a direction in which nothing varies is given this much.
const SMALLEST: f64 = 1e-5;

/// The root of an index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    pub components: usize,
    /// Symmetric, [width, width].
    pub root: Vec<f32>,
}

/// Directions and variances along them.
struct Plane {
    directions: Array2<f64>,
    variances: Array1<f64>,
    kept: usize,
}

impl Pca {
    /// Fits it to scaled rows, row-major.
    ///
    /// # Errors
    /// When the rows have no components, as where all features are constant.
    pub fn fit(rows: &[f32], width: usize, settings: &Settings) -> Result<Self, DetectorError> {
        let plane = Plane::of(rows, width, settings.explains)?;
        let (mut t2, mut q): (Vec<f64>, Vec<f64>) = rows
            .chunks_exact(width)
            .map(|row| plane.indices(row))
            .unzip();
        let rest = width - plane.kept;
        let tau = quantile(&mut t2, LIMIT).max(f64::MIN_POSITIVE);
        let delta = quantile(&mut q, LIMIT).max(SMALLEST * rest as f64);
        let on_plane = match settings.index {
            Index::Combined => tau.recip(),
            Index::T2 => 1.0,
            Index::Q => 0.0,
        };
        let off_plane = match settings.index {
            _ if rest == 0 => 0.0,
            Index::Combined => delta.recip(),
            Index::T2 => 0.0,
            Index::Q => 1.0,
        };
        if settings.index == Index::Q && rest == 0 {
            return Err(DetectorError::NothingOffPlane);
        }
        // M^½ = Σ pᵢ pᵢᵀ √(weight of pᵢ), as the pᵢ are orthonormal.
        let weight = |place: usize| match place < plane.kept {
            true => (on_plane / plane.variances[place]).sqrt(),
            false => off_plane.sqrt(),
        };
        let weights = Array1::from_iter((0..width).map(weight));
        let weighted = &plane.directions * &weights;
        let root = weighted.dot(&plane.directions.t());
        Ok(Pca {
            components: plane.kept,
            root: root.iter().map(|value| *value as f32).collect(),
        })
    }

    /// Appends the root of the index times a scaled row.
    pub fn apply(&self, row: &[f32], out: &mut Vec<f64>) {
        let lines = self.root.chunks_exact(row.len());
        out.extend(lines.map(|line| {
            let products = line.iter().zip(row);
            products
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum::<f64>()
        }));
    }
}

impl Plane {
    fn of(rows: &[f32], width: usize, explains: f64) -> Result<Self, DetectorError> {
        let count = (rows.len() / width) as f64;
        let mut products = Array2::<f64>::zeros((width, width));
        for row in rows.chunks_exact(width) {
            for (a, first) in row.iter().enumerate() {
                for (b, second) in row[..=a].iter().enumerate() {
                    products[[a, b]] += f64::from(*first) * f64::from(*second);
                }
            }
        }
        for a in 0..width {
            for b in 0..=a {
                products[[a, b]] /= count;
                products[[b, a]] = products[[a, b]];
            }
        }
        let found = products.eigh().map_err(|_| DetectorError::NoComponents)?;
        let (variances, directions) = found.sort_eig(Order::Largest);
        let total: f64 = variances.sum();
        if !(total.is_finite() && total > 0.0) {
            return Err(DetectorError::NoComponents);
        }
        let smallest = SMALLEST * total / width as f64;
        let variances = variances.mapv(|variance| variance.max(smallest));
        let mut held = 0.0;
        let kept = variances.iter().position(|variance| {
            held += variance;
            explains < 1.0 && held >= explains * total
        });
        Ok(Plane {
            directions,
            variances,
            kept: kept.map_or(width, |place| place + 1),
        })
    }

    /// T² and Q of a row.
    fn indices(&self, row: &[f32]) -> (f64, f64) {
        let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
        let along = self.directions.t().dot(&ArrayView1::from(&row));
        let (mut t2, mut q) = (0.0, 0.0);
        for (place, value) in along.iter().enumerate() {
            match place < self.kept {
                true => t2 += value * value / self.variances[place],
                false => q += value * value,
            }
        }
        (t2, q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Two features that go together, one of its own, one constant.
    fn rows(count: usize) -> Vec<f32> {
        let mut random = Random::new(3, 0);
        let mut row = || {
            let common = random.normal();
            let (own, little) = (random.normal(), 0.1 * random.normal());
            [common, common + little, own, 0.0].map(|value| value as f32)
        };
        (0..count).flat_map(|_| row()).collect()
    }

    fn index(pca: &Pca, row: [f32; 4]) -> f64 {
        let mut root = Vec::new();
        pca.apply(&row, &mut root);
        root.iter().map(|value| value * value).sum()
    }

    #[test]
    fn all_components_give_the_mahalanobis_distance() {
        let rows = rows(4_000);
        let settings = Settings {
            explains: 1.0,
            index: Index::T2,
        };
        let pca = Pca::fit(&rows, 4, &settings).unwrap();
        // Of a plane normal distribution the mean of the squared distance is its dimension: here three, and a constant.
        let rows = rows
            .chunks_exact(4)
            .map(|row| <[f32; 4]>::try_from(row).unwrap());
        let mean = rows.map(|row| index(&pca, row)).sum::<f64>() / 4_000.0;
        assert!((mean - 3.0).abs() < 0.01, "{mean}");
        // Apart though they go together: by their difference, whose deviation is 0.1.
        let apart = index(&pca, [1.0, -1.0, 0.0, 0.0]);
        assert!((apart - (2.0_f64 / 0.1).powi(2)).abs() < 20.0, "{apart}");
        assert!(index(&pca, [1.0, 1.0, 0.0, 0.0]) < 1.2);
    }

    #[test]
    fn the_residual_is_what_leaves_the_plane() {
        let settings = Settings {
            explains: 0.95,
            index: Index::Q,
        };
        let pca = Pca::fit(&rows(4_000), 4, &settings).unwrap();
        assert_eq!(pca.components, 2);
        assert!(index(&pca, [5.0, 5.0, -5.0, 0.0]) < 0.1, "on the plane");
        let off = index(&pca, [1.0, -1.0, 0.0, 0.0]);
        assert!((off - 2.0).abs() < 0.01, "{off}");
        let mut shares = Vec::new();
        pca.apply(&[0.0, 0.0, 0.0, 7.0], &mut shares);
        assert!(shares[3].abs() > 6.9 && shares[..3].iter().all(|share| share.abs() < 0.1));
    }

    #[test]
    fn the_combined_index_is_about_one_where_one_row_in_a_hundred_lies() {
        let rows = rows(4_000);
        let pca = Pca::fit(&rows, 4, &Settings::default()).unwrap();
        let rows = rows
            .chunks_exact(4)
            .map(|row| <[f32; 4]>::try_from(row).unwrap());
        let beyond = rows.filter(|row| index(&pca, *row) > 2.0).count();
        assert!(beyond < 40, "{beyond} of 4,000 beyond both limits");
    }

    #[test]
    fn nothing_off_the_plane_is_told() {
        let settings = Settings {
            explains: 1.0,
            index: Index::Q,
        };
        let told = Pca::fit(&rows(100), 4, &settings);
        assert!(matches!(told, Err(DetectorError::NothingOffPlane)));
        let constant = vec![0.0; 400];
        let told = Pca::fit(&constant, 4, &Settings::default());
        assert!(matches!(told, Err(DetectorError::NoComponents)));
    }
}
