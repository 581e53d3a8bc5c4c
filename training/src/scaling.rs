//! From physical units to numbers around zero, per operating regime where a machine has several.
//!
//! ```text
//!   row ─▶ regime: the nearest centre, by the features that make it ─▶ (value - mean) / sd of the other features there
//! ```
//!
//! An engine at 42,000 ft reads otherwise than on the ground, and by far more than wear changes it. Regimes are found on
//! the rows that train: a row belongs to the first centre that is within the tolerance of each feature that makes the
//! regime, or becomes a centre of its own (leader algorithm: J. Hartigan, *Clustering Algorithms*, 1975, chapter 3); then
//! each centre moves to the mean of its rows. Rows that come later, between the centres or beyond them, have the regime
//! of the nearest one.
//!
//! The graph of a model holds all of it ([`Scaling::export`]), so a model takes physical units.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::onnx::{Builder, Setting, Value};
use crate::rows::Rows;

/// Centres that a regime may have at most: more are no regimes but a tolerance that is too small.
const MOST_REGIMES: usize = 64;
/// A regime with fewer rows tells no standard deviation.
const FEWEST_ROWS: usize = 30;
/// Below this share of its mean a standard deviation is rounding, and the feature a constant.
const CONSTANT: f64 = 1e-6;

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ScalingError {
    #[error("scaling.per names {feature}, which is none of the features: {}", known.join(", "))]
    Feature { feature: String, known: Vec<String> },
    #[error("scaling.per.{feature} is {tolerance}; it must be above 0, in the unit of the feature")]
    Tolerance { feature: String, tolerance: f64 },
    #[error(
        "the rows have more than {MOST_REGIMES} operating regimes by scaling.per: make the tolerances wider, or name \
         fewer features"
    )]
    Regimes,
    #[error("there are {rows} rows to train on; scaling needs {FEWEST_ROWS}")]
    Rows { rows: usize },
}

/// Mean and standard deviation of each feature in each regime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Places of the features that make the regime, with their tolerances.
    by: Vec<(usize, f32)>,
    /// Row-major, one row of `by` per regime.
    centres: Vec<f32>,
    /// Places of the features that are scaled: those that make no regime.
    of: Vec<usize>,
    /// Row-major, one row of scaled features per regime.
    mean: Vec<f32>,
    sd: Vec<f32>,
}

impl Scaling {
    /// Finds regimes and scales of `rows`. `per` gives, by feature, how far apart two rows of one regime may be.
    ///
    /// # Errors
    /// When `per` fits the rows badly, or they are too few.
    pub fn fit(rows: &Rows, per: &BTreeMap<String, f64>) -> Result<Self, ScalingError> {
        let width = rows.features.len();
        if rows.len() < FEWEST_ROWS {
            return Err(ScalingError::Rows { rows: rows.len() });
        }
        let by = per
            .iter()
            .map(|(feature, &tolerance)| {
                if !(tolerance.is_finite() && tolerance > 0.0) {
                    let feature = feature.clone();
                    return Err(ScalingError::Tolerance { feature, tolerance });
                }
                let place = rows.features.iter().position(|name| name == feature);
                let place = place.ok_or_else(|| ScalingError::Feature {
                    feature: feature.clone(),
                    known: rows.features.clone(),
                })?;
                Ok((place, tolerance as f32))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let of = (0..width).filter(|place| by.iter().all(|(other, _)| other != place));
        let all = || {
            rows.assets
                .iter()
                .flat_map(|asset| asset.values.chunks_exact(width))
        };
        let mut scaling = Scaling {
            of: of.collect(),
            centres: leaders(all(), &by)?,
            by,
            mean: Vec::new(),
            sd: Vec::new(),
        };
        // To the middle of their rows; a row may change its regime by that.
        let by: Vec<usize> = scaling.by.iter().map(|(place, _)| *place).collect();
        scaling.centres = Moments::of(all(), &scaling, &by).means(&scaling.centres);
        let moments = Moments::of(all(), &scaling, &scaling.of);
        scaling.mean = moments.means(&vec![0.0; moments.sum.len()]);
        scaling.sd = moments.deviations();
        Ok(scaling)
    }

    pub fn regimes(&self) -> usize {
        (self.centres.len() / self.by.len().max(1)).max(1)
    }

    /// Features of a row.
    pub fn features(&self) -> usize {
        self.of.len() + self.by.len()
    }

    /// Features that are scaled.
    pub fn width(&self) -> usize {
        self.of.len()
    }

    /// Their places among the features.
    pub fn scaled(&self) -> &[usize] {
        &self.of
    }

    /// Appends the scaled features of a row to `out`; gives its regime.
    pub fn apply(&self, row: &[f32], out: &mut Vec<f32>) -> usize {
        let regime = self.regime(row);
        let first = regime * self.of.len();
        let scales = self.mean[first..].iter().zip(&self.sd[first..]);
        let scaled = self.of.iter().zip(scales);
        out.extend(scaled.map(|(place, (mean, sd))| (row[*place] - mean) / sd));
        regime
    }

    /// The nearest centre, each feature's distance in its tolerance; of equally near ones the first.
    fn regime(&self, row: &[f32]) -> usize {
        if self.by.is_empty() {
            return 0;
        }
        let distance = |centre: &[f32]| -> f32 {
            let parts = self.by.iter().zip(centre);
            parts
                .map(|((place, tolerance), centre)| ((row[*place] - centre) / tolerance).powi(2))
                .sum()
        };
        let centres = self.centres.chunks_exact(self.by.len()).map(distance);
        let nearest = centres.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        nearest.map_or(0, |(place, _)| place)
    }

    /// The same in a graph: from `input`, [B, features], to the scaled features, [B, width], and, where there are several
    /// regimes, a one in the place of the row's, [B, regimes].
    pub fn export(&self, graph: &mut Builder, input: &str) -> (Value, Option<Value>) {
        let (regimes, width) = (self.regimes(), self.width());
        let of: Vec<i64> = self.of.iter().map(|place| *place as i64).collect();
        let of = graph.ints(&of);
        let features = graph.node("Gather", &[input, &of], &[("axis", Setting::Int(1))]);
        let regime = (regimes > 1).then(|| self.export_regime(graph, input));
        let of_regime = |graph: &mut Builder, table: &[f32], width: usize| match &regime {
            Some(regime) => {
                let table = graph.constant(&[regimes, width], table);
                graph.node("Gather", &[&table, regime], &[("axis", Setting::Int(0))])
            }
            None => graph.constant(&[width], table),
        };
        let mean = of_regime(graph, &self.mean, width);
        let sd = of_regime(graph, &self.sd, width);
        // Subtracted first: 32 bits have 7 digits, and a speed of 9,000 rpm varies by 20.
        let centred = graph.node("Sub", &[&features, &mean], &[]);
        let scaled = graph.node("Div", &[&centred, &sd], &[]);
        let ones: Vec<f32> = (0..regimes * regimes)
            .map(|place| f32::from(u8::from(place / regimes == place % regimes)))
            .collect();
        let is_in = (regimes > 1).then(|| of_regime(graph, &ones, regimes));
        (scaled, is_in)
    }

    /// The number of the regime of each row, [B].
    fn export_regime(&self, graph: &mut Builder, input: &str) -> Value {
        let places: Vec<i64> = self.by.iter().map(|(place, _)| *place as i64).collect();
        let tolerances: Vec<f32> = self.by.iter().map(|(_, tolerance)| *tolerance).collect();
        let places = graph.ints(&places);
        let by = graph.node("Gather", &[input, &places], &[("axis", Setting::Int(1))]);
        let axis = graph.ints(&[1]);
        let by = graph.node("Unsqueeze", &[&by, &axis], &[]);
        let centres = graph.constant(&[self.regimes(), self.by.len()], &self.centres);
        let apart = graph.node("Sub", &[&by, &centres], &[]);
        let tolerances = graph.constant(&[self.by.len()], &tolerances);
        let apart = graph.node("Div", &[&apart, &tolerances], &[]);
        let squared = graph.node("Mul", &[&apart, &apart], &[]);
        let axis = graph.ints(&[2]);
        let distance = graph.node(
            "ReduceSum",
            &[&squared, &axis],
            &[("keepdims", Setting::Int(0))],
        );
        let settings = [("axis", Setting::Int(1)), ("keepdims", Setting::Int(0))];
        graph.node("ArgMin", &[&distance], &settings)
    }
}

/// One centre per regime, in the order of the rows.
fn leaders<'a>(
    rows: impl Iterator<Item = &'a [f32]>,
    by: &[(usize, f32)],
) -> Result<Vec<f32>, ScalingError> {
    let mut centres: Vec<f32> = Vec::new();
    if by.is_empty() {
        return Ok(centres);
    }
    for row in rows {
        let is_within = |centre: &[f32]| {
            let mut parts = by.iter().zip(centre);
            parts.all(|((place, tolerance), centre)| (row[*place] - centre).abs() <= *tolerance)
        };
        if !centres.chunks_exact(by.len()).any(is_within) {
            if centres.len() / by.len() == MOST_REGIMES {
                return Err(ScalingError::Regimes);
            }
            centres.extend(by.iter().map(|(place, _)| row[*place]));
        }
    }
    Ok(centres)
}

/// Sums of some features by regime. Each value is taken from the first row of its regime, so that sums of large and
/// nearly equal numbers keep their digits.
struct Moments {
    width: usize,
    count: Vec<f64>,
    first: Vec<f64>,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn of<'a>(rows: impl Iterator<Item = &'a [f32]>, scaling: &Scaling, places: &[usize]) -> Self {
        let (width, regimes) = (places.len(), scaling.regimes());
        let mut moments = Moments {
            width,
            count: vec![0.0; regimes],
            first: vec![0.0; regimes * width],
            sum: vec![0.0; regimes * width],
            squares: vec![0.0; regimes * width],
        };
        for row in rows {
            let regime = scaling.regime(row);
            let is_first = moments.count[regime] == 0.0;
            moments.count[regime] += 1.0;
            for (number, place) in places.iter().enumerate() {
                let (at, value) = (regime * width + number, f64::from(row[*place]));
                if is_first {
                    moments.first[at] = value;
                }
                let apart = value - moments.first[at];
                moments.sum[at] += apart;
                moments.squares[at] += apart * apart;
            }
        }
        moments
    }

    fn mean(&self, at: usize) -> f64 {
        self.first[at] + self.sum[at] / self.count[at / self.width].max(1.0)
    }

    /// The means; of a regime without rows what is `otherwise`.
    fn means(&self, otherwise: &[f32]) -> Vec<f32> {
        let mean = |at: usize| match self.count[at / self.width] > 0.0 {
            true => self.mean(at) as f32,
            false => otherwise[at],
        };
        (0..self.sum.len()).map(mean).collect()
    }

    /// The standard deviations. A constant is divided by 1, and so is 0; a regime with few rows has those of the one
    /// with the most.
    fn deviations(&self) -> Vec<f32> {
        let regimes = 0..self.count.len();
        let most = regimes.max_by(|a, b| self.count[*a].total_cmp(&self.count[*b]));
        let deviation = |at: usize| {
            let is_rare = self.count[at / self.width] < FEWEST_ROWS as f64;
            let from = most.filter(|_| is_rare).unwrap_or(at / self.width);
            let at = from * self.width + at % self.width;
            let count = self.count[from].max(1.0);
            let variance = self.squares[at] / count - (self.sum[at] / count).powi(2);
            let sd = variance.max(0.0).sqrt();
            if sd <= CONSTANT * self.mean(at).abs() {
                1.0
            } else {
                sd as f32
            }
        };
        (0..self.sum.len()).map(deviation).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::rows::AssetRows;

    /// Rows of two signals, of which the second one makes three regimes that the first one depends on.
    fn rows() -> Rows {
        let mut random = Random::new(5, 0);
        let values = (0..3_000).flat_map(|_| {
            let regime = random.below(3) as f64;
            let speed = regime * 100.0 + random.unit();
            let pressure = 50.0 + 1_000.0 * regime + (1.0 + regime) * random.normal();
            [pressure as f32, speed as f32]
        });
        Rows {
            features: vec!["pressure".into(), "speed".into()],
            assets: vec![AssetRows {
                asset: "pump".into(),
                values: values.collect(),
                times: (0..3_000).collect(),
            }],
            incomplete: 0,
        }
    }

    fn per(tolerance: f64) -> BTreeMap<String, f64> {
        [("speed".to_owned(), tolerance)].into()
    }

    #[test]
    fn each_regime_is_scaled_by_itself() {
        let (rows, scaling) = (rows(), Scaling::fit(&rows(), &per(10.0)).unwrap());
        assert_eq!((scaling.regimes(), scaling.width()), (3, 1));
        let mut by_regime = vec![Vec::new(); 3];
        for row in rows.assets[0].values.chunks_exact(2) {
            let mut scaled = Vec::new();
            let regime = scaling.apply(row, &mut scaled);
            by_regime[regime].extend(scaled);
        }
        for scaled in by_regime {
            let count = scaled.len() as f32;
            let mean = scaled.iter().sum::<f32>() / count;
            let variance = scaled.iter().map(|x| x * x).sum::<f32>() / count;
            assert!(mean.abs() < 1e-3, "{mean}");
            assert!((variance - 1.0).abs() < 1e-3, "{variance}");
        }
    }

    #[test]
    fn without_regimes_all_rows_are_scaled_together_and_a_constant_is_zero() {
        let mut rows = rows();
        let values = &mut rows.assets[0].values;
        values.chunks_exact_mut(2).for_each(|row| row[1] = 9_000.1);
        let scaling = Scaling::fit(&rows, &BTreeMap::new()).unwrap();
        assert_eq!((scaling.regimes(), scaling.width()), (1, 2));
        let mut scaled = Vec::new();
        scaling.apply(&rows.assets[0].values[..2], &mut scaled);
        assert!(scaled[1].abs() < 1e-2, "{scaled:?}");
        assert_eq!(scaling.sd[1], 1.0);
    }

    #[test]
    fn settings_that_fit_badly_are_told() {
        let told = |per: &BTreeMap<String, f64>| Scaling::fit(&rows(), per).unwrap_err();
        assert_eq!(told(&per(0.001)), ScalingError::Regimes);
        assert!(matches!(told(&per(0.0)), ScalingError::Tolerance { .. }));
        let unknown = [("altitude".to_owned(), 1.0)].into();
        assert!(
            told(&unknown)
                .to_string()
                .contains("none of the features: pressure, speed")
        );
    }
}
