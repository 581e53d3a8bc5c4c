//! How far two distributions are apart, and whether chance alone may have done it.
//!
//! Population stability index (Siddiqi, *Credit Risk Scorecards*, 2006; it is Jeffreys' divergence of 1946), over bins
//! and, as one more of them, rows without a value. Shares are at least 0.0001, so that an empty bin is no infinity:
//!
//! ```text
//!   PSI = Σ (a − e) ln(a / e)            e, a: share of training, and now
//! ```
//!
//! Its usual limits are 0.1 (look at it) and 0.25 (the model is out of its range). Of two normal distributions of the
//! same width, apart by d standard deviations, it is d²: the limits are 0.3 and 0.5 of them.
//!
//! Without any drift, n and m independent rows give a PSI of about (1/n + 1/m) χ² with one degree of freedom less than
//! there are bins (Yurdakul, *Statistical properties of population stability index*, 2018). What that exceeds in one of a
//! hundred cases is told beside each PSI; the quantile is Wilson and Hilferty's (1931).
//!
//! Kolmogorov and Smirnov's D is the largest distance of the two distribution functions, here at the edges of bins, so it
//! is below the exact one by the share of a bin at most. Its p-value is Smirnov's (1948) with Stephens' (1970) correction,
//! for as many independent rows as the rows are worth. It is told, and decides nothing.

use forewarn_models::reference::Distribution;
use serde::Serialize;

use super::counts::Counts;

/// Smallest share of a bin.
const FLOOR: f64 = 1e-4;
/// The standard normal distribution's quantile for one of a hundred.
const ONE_OF_A_HUNDRED: f64 = 2.326_347_874_040_841;

/// What a distance means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Stable,
    /// Beyond a limit, and no more than chance may give with so few assets or rows.
    ByChance,
    Moderate,
    Large,
}

impl Verdict {
    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Stable => "stable",
            Verdict::ByChance => "maybe chance",
            Verdict::Moderate => "moderate",
            Verdict::Large => "large",
        }
    }
}

/// From which PSI on a distribution has moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    pub moderate: f64,
    pub large: f64,
}

/// How many independent rows the rows of both sides are worth (`fleet.rs`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worth {
    pub reference: f64,
    pub now: f64,
}

/// One variable beside its reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distance {
    pub psi: f64,
    /// The PSI that chance exceeds in one of a hundred cases.
    pub chance: f64,
    /// Largest distance of the distribution functions.
    pub ks: f64,
    pub ks_p: f64,
    /// By how many standard deviations of training the mean has moved; `None` of a constant, or without a value.
    pub shift: Option<f64>,
    pub verdict: Verdict,
}

impl Distance {
    /// Between a reference and rows in its bins.
    pub fn of(reference: &Distribution, now: &Counts, worth: Worth, limits: Limits) -> Self {
        let (expected, actual) = (with_missing(reference), shares(now));
        let psi = psi(&expected, &actual);
        let used = expected.iter().zip(&actual);
        let bins = used.filter(|(e, a)| **e > 0.0 || **a > 0.0).count();
        let chance = chance(bins, worth);
        let ks = ks(&reference.counts, &now.bins);
        let shift = (now.mean() - reference.mean) / reference.sd;
        let verdict = match psi {
            _ if psi < limits.moderate => Verdict::Stable,
            _ if psi <= chance => Verdict::ByChance,
            _ if psi < limits.large => Verdict::Moderate,
            _ => Verdict::Large,
        };
        Distance {
            psi,
            chance,
            ks,
            ks_p: ks_p(ks, worth),
            shift: shift.is_finite().then_some(shift),
            verdict,
        }
    }
}

fn with_missing(of: &Distribution) -> Vec<f64> {
    let missing = of.missing_share();
    let present = of.shares().into_iter().map(|share| share * (1.0 - missing));
    present.chain([missing]).collect()
}

fn shares(now: &Counts) -> Vec<f64> {
    let rows = now.rows().max(1) as f64;
    let bins = now.bins.iter().chain([&now.missing]);
    bins.map(|n| *n as f64 / rows).collect()
}

/// The population stability index of shares.
pub fn psi(expected: &[f64], actual: &[f64]) -> f64 {
    let both = expected.iter().zip(actual);
    both.map(|(e, a)| {
        let (e, a) = (e.max(FLOOR), a.max(FLOOR));
        (a - e) * (a / e).ln()
    })
    .sum()
}

/// What the PSI of so many bins exceeds in one of a hundred cases without drift.
fn chance(bins: usize, worth: Worth) -> f64 {
    let free = bins.saturating_sub(1) as f64;
    if free < 1.0 {
        return 0.0;
    }
    let part = 2.0 / (9.0 * free);
    let quantile = free * (1.0 - part + ONE_OF_A_HUNDRED * part.sqrt()).powi(3);
    quantile * (1.0 / worth.reference.max(1.0) + 1.0 / worth.now.max(1.0))
}

/// Largest distance of the distribution functions of two sides, at the edges of their bins.
fn ks(reference: &[u64], now: &[u64]) -> f64 {
    let (all, all_now) = (reference.iter().sum::<u64>(), now.iter().sum::<u64>());
    if all == 0 || all_now == 0 {
        return 0.0;
    }
    let (mut below, mut below_now, mut largest) = (0, 0, 0.0_f64);
    for (count, count_now) in reference.iter().zip(now) {
        below += count;
        below_now += count_now;
        let apart = below as f64 / all as f64 - below_now as f64 / all_now as f64;
        largest = largest.max(apart.abs());
    }
    largest
}

/// The probability of such a distance, or a larger one, without drift.
fn ks_p(distance: f64, worth: Worth) -> f64 {
    let (n, m) = (worth.reference.max(1.0), worth.now.max(1.0));
    let root = (n * m / (n + m)).sqrt();
    let scaled = (root + 0.12 + 0.11 / root) * distance;
    // It is above 0.9999 there, and the series needs ever more terms.
    if scaled < 0.3 {
        return 1.0;
    }
    let term = |j: i32| {
        let sign = if j % 2 == 0 { -2.0 } else { 2.0 };
        sign * (-2.0 * f64::from(j * j) * scaled * scaled).exp()
    };
    (1..=20).map(term).sum::<f64>().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::fit::tests::distribution;

    const LIMITS: Limits = Limits {
        moderate: 0.1,
        large: 0.25,
    };

    fn near(actual: f64, expected: f64, within: f64) {
        assert!((actual - expected).abs() < within, "{actual} {expected}");
    }

    /// By hand: 0.1·ln(2) − 0.1·ln(2/3) = 0.06931472 + 0.04054651; with an empty bin 0.4999·ln(5000) twice.
    #[test]
    fn psi_is_as_by_hand() {
        near(psi(&[0.1, 0.3, 0.6], &[0.2, 0.2, 0.6]), 0.109_861_23, 1e-8);
        near(psi(&[0.5, 0.5, 0.0], &[0.5, 0.0, 0.5]), 8.515_490_0, 1e-6);
        assert_eq!(psi(&[0.2, 0.8], &[0.2, 0.8]), 0.0);
    }

    /// Tables of χ²: 0.99 of 9 degrees is 21.666, of 19 it is 36.191.
    #[test]
    fn chance_is_that_of_the_tables() {
        let worth = Worth {
            reference: 100.0,
            now: 50.0,
        };
        near(chance(10, worth), 21.666 * 0.03, 0.002);
        near(chance(20, worth), 36.191 * 0.03, 0.002);
        assert_eq!(chance(1, worth), 0.0);
    }

    /// The usual table of the limiting distribution: 1.3581 is exceeded in 5 %, 1.6276 in 1 % of cases.
    #[test]
    fn ks_is_as_by_hand_and_its_p_that_of_the_tables() {
        // Distribution functions 0.2, 0.5, 1 and 0.5, 0.5, 1.
        near(ks(&[2, 3, 5], &[1, 0, 1]), 0.3, 1e-12);
        assert_eq!(ks(&[2, 3], &[0, 0]), 0.0);
        let many = Worth {
            reference: 2e8,
            now: 2e8,
        };
        for (scaled, p) in [(1.3581, 0.05), (1.6276, 0.01), (0.8276, 0.5), (0.1, 1.0)] {
            near(ks_p(scaled / 1e4, many), p, 2e-4);
        }
    }

    #[test]
    fn a_verdict_needs_more_than_a_limit_and_more_than_chance() {
        let sample: Vec<f32> = (0..1_000_u16).map(f32::from).collect();
        let reference = distribution(&sample);
        let of = |offset: f32, worth: f64| {
            let mut now = Counts::of(&reference);
            sample
                .iter()
                .for_each(|value| now.push(&reference, value + offset));
            let worth = Worth {
                reference: worth,
                now: worth,
            };
            Distance::of(&reference, &now, worth, LIMITS)
        };
        let same = of(0.0, 1e3);
        assert_eq!(
            (same.psi, same.ks, same.ks_p, same.shift),
            (0.0, 0.0, 1.0, Some(0.0))
        );
        // A tenth of the rows moves on by one bin: 0.1·ln(2) + 0.0999·ln(1000).
        let moved = of(100.0, 1e3);
        near(
            moved.psi,
            0.1 * 2.0_f64.ln() + 0.0999 * 1_000.0_f64.ln(),
            1e-6,
        );
        near(moved.ks, 0.1, 1e-9);
        near(moved.shift.unwrap(), 100.0 / reference.sd, 1e-9);
        assert_eq!(moved.verdict, Verdict::Large);
        assert_eq!(of(100.0, 30.0).verdict, Verdict::ByChance);
        // 30 and 170 instead of 100: 0.121.
        assert_eq!(of(70.0, 1e3).verdict, Verdict::Moderate);
        assert_eq!(of(2.0, 1e3).verdict, Verdict::Stable);
    }

    #[test]
    fn rows_without_a_value_are_a_bin() {
        let reference = distribution(&[1.0, 2.0, 3.0, 4.0]);
        let mut now = Counts::of(&reference);
        [1.0, 2.0, 3.0, 4.0]
            .iter()
            .for_each(|value| now.push(&reference, *value));
        (0..4).for_each(|_| now.push(&reference, f32::NAN));
        let worth = Worth {
            reference: 1e6,
            now: 1e6,
        };
        let found = Distance::of(&reference, &now, worth, LIMITS);
        // Four bins fall from 0.25 to 0.125, and half of the rows have no value.
        near(
            found.psi,
            0.5 * 2.0_f64.ln() + 0.4999 * 5_000.0_f64.ln(),
            1e-9,
        );
        assert_eq!((found.ks, found.verdict), (0.0, Verdict::Large));
    }
}
