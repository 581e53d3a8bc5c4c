//! How good are predictions? Pure metrics with their sources.
//!
//! ```text
//!   remaining useful life   rmse, mae, nasa_score        over (predicted, true) pairs
//!   alarms                  Confusion, RecallTable       filled row by row
//!                           Detected                     scored rows by asset: episodes, delays, alarms, one champion
//!                                                        against a challenger
//!                           roc, precision_recall        of scores, whatever the threshold is
//!                           nab                          the score of the Numenta Anomaly Benchmark
//!   two models              Paired                       on the same rows
//! ```
//!
//! For C-MAPSS the usual pairs are one per test engine, at its last row; a result must say whether
//! the true lives are capped at 125 cycles too, since that changes it by a great deal.
//!
//! Invariant: a ratio without cases is `None` (or `-` in a table), never 0 nor 1.

mod curves;
pub mod detection;
pub mod nab;
mod paired;
mod recall;

use std::iter::Sum;
use std::ops::AddAssign;

use serde::Serialize;

pub use curves::{Curve, precision_recall, roc};
pub use detection::Detected;
pub use paired::{Paired, Said};
pub use recall::RecallTable;

/// Root mean squared error: `sqrt(mean((predicted - true)^2))`, in the unit of the input. NaN
/// without pairs.
///
/// # Panics
/// When the slices differ in length: such pairs mean nothing.
pub fn rmse(predicted: &[f64], truth: &[f64]) -> f64 {
    mean(predicted, truth, |d| d * d).sqrt()
}

/// Mean absolute error: `mean(|predicted - true|)`. NaN without pairs.
///
/// # Panics
/// When the slices differ in length.
pub fn mae(predicted: &[f64], truth: &[f64]) -> f64 {
    mean(predicted, truth, f64::abs)
}

/// The score of the PHM08 data challenge, a *sum* over the engines, 0 at best: with
/// `d = predicted - true`, `exp(-d/13) - 1` for d < 0 and `exp(d/10) - 1` otherwise. A late
/// prediction costs more than an early one.
///
/// Source: A. Saxena, K. Goebel, D. Simon, N. Eklund, *Damage Propagation Modeling for Aircraft
/// Engine Run-to-Failure Simulation*, PHM08, 2008, with the constants 13 and 10 of the challenge.
///
/// # Panics
/// When the slices differ in length.
pub fn nasa_score(predicted: &[f64], truth: &[f64]) -> f64 {
    let cost = |d: f64| {
        if d < 0.0 {
            (-d / 13.0).exp_m1()
        } else {
            (d / 10.0).exp_m1()
        }
    };
    differences(predicted, truth).map(cost).sum()
}

fn mean(predicted: &[f64], truth: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    differences(predicted, truth).map(of).sum::<f64>() / truth.len() as f64
}

fn differences<'a>(predicted: &'a [f64], truth: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    assert_eq!(
        predicted.len(),
        truth.len(),
        "predictions and true values must be pairs"
    );
    predicted.iter().zip(truth).map(|(p, t)| p - t)
}

/// Point-wise counts of a yes-no detector: positive = flagged, true = rightly so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Confusion {
    pub tp: u64,
    pub fp: u64,
    pub tn: u64,
    #[serde(rename = "fn")]
    pub fn_: u64,
}

impl Confusion {
    pub fn add(&mut self, flagged: bool, faulty: bool) {
        let count = match (flagged, faulty) {
            (true, true) => &mut self.tp,
            (true, false) => &mut self.fp,
            (false, false) => &mut self.tn,
            (false, true) => &mut self.fn_,
        };
        *count += 1;
    }

    /// Rows that were judged wrongly.
    pub fn wrong(&self) -> u64 {
        self.fp + self.fn_
    }

    /// TP / (TP + FP); `None` when nothing was flagged.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fp)
    }

    /// TP / (TP + FN); `None` when nothing was faulty.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fn_)
    }

    /// 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall (van Rijsbergen,
    /// *Information Retrieval*, 1979); `None` when nothing was flagged nor faulty.
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    /// FP / (FP + TN), as in the SKAB leaderboard; `None` when everything was faulty.
    pub fn false_alarm_rate(&self) -> Option<f64> {
        ratio(self.fp, self.fp + self.tn)
    }

    /// FN / (FN + TP), as in the SKAB leaderboard; `None` when nothing was faulty.
    pub fn missed_alarm_rate(&self) -> Option<f64> {
        ratio(self.fn_, self.fn_ + self.tp)
    }
}

impl AddAssign for Confusion {
    fn add_assign(&mut self, other: Self) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.tn += other.tn;
        self.fn_ += other.fn_;
    }
}

impl Sum for Confusion {
    fn sum<I: Iterator<Item = Self>>(each: I) -> Self {
        each.fold(Confusion::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn errors_of_a_hand_computed_case() {
        let (predicted, truth) = ([97.0, 54.0, 20.0], [100.0, 50.0, 20.0]);
        assert!(close(rmse(&predicted, &truth), (25.0f64 / 3.0).sqrt()));
        assert!(close(mae(&predicted, &truth), 7.0 / 3.0));
        assert!(rmse(&[], &[]).is_nan());
    }

    #[test]
    fn late_prediction_costs_more_than_an_early_one() {
        let e = std::f64::consts::E;
        assert!(close(nasa_score(&[110.0], &[100.0]), e - 1.0));
        assert!(close(nasa_score(&[87.0], &[100.0]), e - 1.0));
        assert!(close(
            nasa_score(&[110.0, 87.0, 5.0], &[100.0, 100.0, 5.0]),
            2.0 * (e - 1.0)
        ));
        assert_eq!(nasa_score(&[], &[]), 0.0);
    }

    #[test]
    fn ratios_of_a_hand_computed_case() {
        let mut confusion = Confusion::default();
        for (flagged, faulty, times) in [
            (true, true, 6),
            (true, false, 2),
            (false, false, 8),
            (false, true, 4),
        ] {
            (0..times).for_each(|_| confusion.add(flagged, faulty));
        }
        assert_eq!(
            confusion,
            Confusion {
                tp: 6,
                fp: 2,
                tn: 8,
                fn_: 4
            }
        );
        assert_eq!(confusion.precision(), Some(0.75));
        assert_eq!(confusion.recall(), Some(0.6));
        assert!(close(confusion.f1().unwrap(), 2.0 * 0.75 * 0.6 / 1.35));
        assert_eq!(confusion.false_alarm_rate(), Some(0.2));
        assert_eq!(confusion.missed_alarm_rate(), Some(0.4));
    }

    #[test]
    fn ratio_without_cases_is_undefined() {
        let silent = Confusion {
            tn: 5,
            ..Default::default()
        };
        assert_eq!(
            (silent.precision(), silent.recall(), silent.f1()),
            (None, None, None)
        );
        assert_eq!(
            (silent.false_alarm_rate(), silent.missed_alarm_rate()),
            (Some(0.0), None)
        );
        assert_eq!(
            Confusion {
                tp: 1,
                ..Default::default()
            }
            .false_alarm_rate(),
            None
        );
    }

    #[test]
    fn published_reference_values_are_met() {
        let Some(data) = crate::dataset::test_data() else {
            return;
        };
        use crate::cmapss::{Subset, load_rul};
        // README of the data set: a perfect predictor capped at 125 against uncapped truth.
        for (subset, expected) in [(Subset::Fd001, 3.74), (Subset::Fd002, 18.32)] {
            let truth = load_rul(&data, subset).unwrap();
            let capped: Vec<f64> = truth.iter().map(|life| life.min(125.0)).collect();
            assert!((rmse(&capped, &truth) - expected).abs() < 0.005);
        }
    }
}
