//! Remaining useful life as a distribution: its interval, and the probability of failure within a horizon.
//!
//! Written with n sorted calibration residuals r₁ ≤ … ≤ rₙ (truth − value, or divided by the standard
//! deviation s of the row; s is 1 for models that give one number), coverage 1 − α, horizon h:
//!
//! ```text
//! split conformal     low  = v + s·r₍k₎, k = ⌊(n+1)·α/2⌋         below r₁: no lower end, 0
//!                     high = v + s·r₍k₎, k = ⌈(n+1)·(1−α/2)⌉     above rₙ: no upper end, the cap
//!                     P(T ≤ h) = (#{r < d} + ½·(#{r = d} + 1)) / (n+1),   d = (h − v) / s
//! quantiles           q̃ᵢ = qᵢ − m below the median, qᵢ + m above, never beyond the median
//!                     Q linear between (τᵢ, q̃ᵢ), flat outside; low = Q(α/2), high = Q(1−α/2)
//!                     P(T ≤ h) = sup {p : Q(p) ≤ h}
//! mean and variance   low, high = v ∓ z₁₋α⸝₂·s;   P(T ≤ h) = Φ((h − v) / s)
//! ```
//!
//! The ends are clipped to 0 and the cap. An upper end at or beyond the cap says that the asset lives at least
//! until `low`, and how long beyond the cap is not known: the interval is open.
//!
//! Split conformal intervals cover the truth with at least 1 − α for exchangeable rows: Angelopoulos & Bates,
//! "A gentle introduction to conformal prediction" (2021), section 1 and, for residuals over a standard
//! deviation, 2.3. Their distribution form is the split conformal predictive system of Vovk, Shen, Manokhin &
//! Xie, "Nonparametric predictive distributions based on conformal prediction" (2017), with its random τ set
//! to ½ so that the same row has the same answer. The margin of quantiles is Romano, Patterson & Candès,
//! "Conformalized quantile regression" (2019); crossing quantiles are sorted, which never loses accuracy:
//! Chernozhukov, Fernández-Val & Galichon, "Quantile and probability curves without crossing" (2010).
//!
//! Invariant: every number told is finite, a probability is within 0 and 1.
//!
//! Not here: where residuals and margins come from (training).

use statrs::distribution::{ContinuousCDF, Normal};

use super::Interval;

/// `(n + 1) · α/2` of decimal fractions is rarely a whole number in binary; nearer than this it is one.
const RANK_ROUNDING: f64 = 1e-9;

/// What is known of the remaining life of one row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Life<'a> {
    /// One value with calibration residuals, which are multiplied by `scale`.
    Residuals {
        value: f64,
        scale: f64,
        residuals: &'a [f64],
    },
    /// Levels and their quantiles, both rising; the margin is in them.
    Quantiles {
        levels: &'a [f64],
        quantiles: &'a [f64],
    },
    Normal {
        mean: f64,
        deviation: f64,
    },
}

impl Life<'_> {
    pub(super) fn interval(self, coverage: f64, cap: f64) -> Interval {
        let tail = (1.0 - coverage) / 2.0;
        let (low, high) = match self {
            Life::Residuals {
                value,
                scale,
                residuals,
            } => {
                let (low, high) = ends(residuals, tail);
                // Nothing times infinity is no number: what has no end has none at any scale.
                let at = |end: Option<f64>| end.map(|residual| value + scale * residual);
                (at(low).unwrap_or(0.0), at(high).unwrap_or(cap))
            }
            Life::Quantiles { levels, quantiles } => (
                interpolate(levels, quantiles, tail),
                interpolate(levels, quantiles, 1.0 - tail),
            ),
            Life::Normal { mean, deviation } => {
                let z = Normal::standard().inverse_cdf(1.0 - tail);
                (mean - z * deviation, mean + z * deviation)
            }
        };
        Interval {
            low: low.clamp(0.0, cap),
            high: high.clamp(0.0, cap),
            coverage,
            open: high >= cap,
        }
    }

    /// The probability of failure within `horizon`.
    pub(super) fn probability_within(self, horizon: f64) -> f64 {
        match self {
            Life::Residuals {
                value,
                scale,
                residuals,
            } => {
                let at = standardised(horizon, value, scale);
                let below = residuals.partition_point(|residual| *residual < at);
                let equal = residuals[below..].partition_point(|residual| *residual <= at);
                (below as f64 + (equal as f64 + 1.0) / 2.0) / (residuals.len() as f64 + 1.0)
            }
            Life::Quantiles { levels, quantiles } => level_at(levels, quantiles, horizon),
            Life::Normal { mean, deviation } => {
                Normal::standard().cdf(standardised(horizon, mean, deviation))
            }
        }
    }
}

/// A value without spread has everything on one side of it.
fn standardised(horizon: f64, value: f64, scale: f64) -> f64 {
    let distance = horizon - value;
    if scale > 0.0 {
        distance / scale
    } else if distance < 0.0 {
        f64::NEG_INFINITY
    } else {
        f64::INFINITY
    }
}

/// The residuals that bound all but `tail` on each side; `None` where there are too few of them.
fn ends(residuals: &[f64], tail: f64) -> (Option<f64>, Option<f64>) {
    let ranks = residuals.len() as f64 + 1.0;
    let low = (ranks * tail + RANK_ROUNDING).floor() as usize;
    let high = (ranks * (1.0 - tail) - RANK_ROUNDING).ceil() as usize;
    let at = |rank: usize| rank.checked_sub(1).and_then(|i| residuals.get(i)).copied();
    (at(low), at(high))
}

/// The quantile at `level`: linear between two, flat outside.
fn interpolate(levels: &[f64], quantiles: &[f64], level: f64) -> f64 {
    let above = levels.partition_point(|known| *known < level);
    if above == 0 {
        return quantiles[0];
    }
    if above == levels.len() {
        return quantiles[above - 1];
    }
    let share = (level - levels[above - 1]) / (levels[above] - levels[above - 1]);
    quantiles[above - 1] + share * (quantiles[above] - quantiles[above - 1])
}

/// The highest level whose quantile is not above `value`.
fn level_at(levels: &[f64], quantiles: &[f64], value: f64) -> f64 {
    let above = quantiles.partition_point(|quantile| *quantile <= value);
    if above == 0 {
        return 0.0;
    }
    if above == quantiles.len() {
        return 1.0;
    }
    let share = (value - quantiles[above - 1]) / (quantiles[above] - quantiles[above - 1]);
    levels[above - 1] + share * (levels[above] - levels[above - 1])
}

/// Sorts what crosses and moves all but the median outwards by `margin`, never beyond the median (a margin may
/// be negative). Gives the median.
pub(super) fn calibrate(levels: &[f64], quantiles: &mut [f64], margin: f64) -> f64 {
    quantiles.sort_by(f64::total_cmp);
    let middle = levels.partition_point(|level| *level < 0.5);
    let median = quantiles[middle];
    for (place, quantile) in quantiles.iter_mut().enumerate() {
        match place.cmp(&middle) {
            std::cmp::Ordering::Less => *quantile = (*quantile - margin).min(median),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => *quantile = (*quantile + margin).max(median),
        }
    }
    median
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: f64 = 1_000.0;

    #[test]
    fn a_conformal_interval_takes_the_ranks_of_the_paper() {
        // 19 residuals, 90 %: ranks 1 and 19 of 20, the outermost ones.
        let residuals: Vec<f64> = (-9..=9).map(f64::from).collect();
        let life = Life::Residuals {
            value: 100.0,
            scale: 1.0,
            residuals: &residuals,
        };
        let told = life.interval(0.9, CAP);
        assert_eq!((told.low, told.high, told.open), (91.0, 109.0, false));
        // 95 % of 19 residuals has no ends: nothing is known below 0 and up to the cap.
        let told = life.interval(0.95, CAP);
        assert_eq!((told.low, told.high, told.open), (0.0, CAP, true));
        // Nine residuals are below -0.5 + 0.5, one is equal: (9 + 1) / 20.
        assert_eq!(life.probability_within(100.0), 0.5);
        assert_eq!(life.probability_within(1.0), 0.025);
        assert_eq!(life.probability_within(999.0), 0.975);
    }

    #[test]
    fn conformal_intervals_cover_what_they_promise() {
        // Residuals and truths drawn alike: of all ranks that the truth may have among the residuals, which
        // are equally likely, the interval covers at least the promised share.
        for n in [5_usize, 19, 40, 100] {
            let residuals: Vec<f64> = (1..=n).map(|i| (i as f64).powi(2)).collect();
            for coverage in [0.5, 0.8, 0.9] {
                let life = Life::Residuals {
                    value: 10.0,
                    scale: 1.0,
                    residuals: &residuals,
                };
                let told = life.interval(coverage, 1e9);
                let covered = (0..=n)
                    .filter(|rank| {
                        // Between two residuals, below the first or above the last.
                        let truth = 10.0 + (*rank as f64 + 0.5).powi(2);
                        told.low <= truth && (truth <= told.high || told.open)
                    })
                    .count();
                let share = covered as f64 / (n as f64 + 1.0);
                assert!(share >= coverage, "{n} residuals: {share} for {coverage}");
            }
        }
    }

    #[test]
    fn quantiles_are_sorted_widened_and_interpolated() {
        let levels = [0.1, 0.5, 0.9];
        let mut quantiles = [50.0, 30.0, 20.0];
        assert_eq!(calibrate(&levels, &mut quantiles, 4.0), 30.0);
        assert_eq!(quantiles, [16.0, 30.0, 54.0]);
        let life = Life::Quantiles {
            levels: &levels,
            quantiles: &quantiles,
        };
        let told = life.interval(0.8, CAP);
        assert_eq!((told.low.round(), told.high.round()), (16.0, 54.0));
        assert!((life.probability_within(23.0) - 0.3).abs() < 1e-12);
        assert_eq!(life.probability_within(15.9), 0.0);
        assert_eq!(life.probability_within(54.0), 1.0);
        // A negative margin narrows, up to the median.
        assert_eq!(calibrate(&levels, &mut quantiles, -100.0), 30.0);
        assert_eq!(quantiles, [30.0, 30.0, 30.0]);
    }

    #[test]
    fn a_normal_life_has_the_textbook_interval() {
        let life = Life::Normal {
            mean: 100.0,
            deviation: 10.0,
        };
        let told = life.interval(0.95, CAP);
        assert!(
            (told.low - (100.0 - 19.599_639_845)).abs() < 1e-6,
            "{told:?}"
        );
        assert!((told.high - (100.0 + 19.599_639_845)).abs() < 1e-6);
        assert!((life.probability_within(110.0) - 0.841_344_746).abs() < 1e-8);
        let certain = Life::Normal {
            mean: 100.0,
            deviation: 0.0,
        };
        assert_eq!(certain.probability_within(99.0), 0.0);
        assert_eq!(certain.probability_within(100.0), 1.0);
        let near_the_cap = life.interval(0.95, 110.0);
        assert_eq!((near_the_cap.high, near_the_cap.open), (110.0, true));
    }
}
