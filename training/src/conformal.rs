//! How wide an interval must be to hold the truth as often as it says: conformalised quantile regression.
//!
//! Y. Romano, E. Patterson, E. Candès, *Conformalized Quantile Regression*, NeurIPS 2019: on rows that no training has seen,
//! each one says by how much its interval is missed (below zero: by how much the truth is inside). Moved outwards by the
//! right one of these, the interval holds as many of them as it should, and as many new ones.
//!
//! The proof wants rows that could change places. Rows of one asset are alike, so what counts is how many assets there
//! are; the measured coverage ([`cross_checked`]) is of assets that the margin was not taken from.

use std::collections::BTreeSet;

use crate::rul::Told;

/// One row that no training has seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Which asset it is of: any number.
    pub asset: usize,
    pub told: Told,
    pub truth: f64,
}

/// How far the quantiles are moved outwards, so that the interval holds the truth in a share of `coverage`; negative
/// where they are too wide. `None`: there are too few rows for such a share.
pub fn margin(rows: impl Iterator<Item = Row>, coverage: f64) -> Option<f64> {
    let mut missed: Vec<f64> = rows
        .map(|row| (row.told.low - row.truth).max(row.truth - row.told.high))
        .collect();
    missed.sort_by(f64::total_cmp);
    let place = (coverage * (missed.len() + 1) as f64).ceil() as usize;
    missed.get(place.checked_sub(1)?).copied()
}

/// Share of rows whose truth lies within the interval, moved outwards by `margin`.
pub fn coverage(rows: impl Iterator<Item = Row>, margin: f64) -> Option<f64> {
    let (mut held, mut count) = (0_u64, 0_u64);
    for Row { told, truth, .. } in rows {
        count += 1;
        held += u64::from(told.low - margin <= truth && truth <= told.high + margin);
    }
    (count > 0).then(|| held as f64 / count as f64)
}

/// The share that is held where the margin comes from other assets: each asset is measured with the margin of all others.
pub fn cross_checked(rows: &[Row], wanted: f64) -> Option<f64> {
    let assets: BTreeSet<usize> = rows.iter().map(|row| row.asset).collect();
    let mut held = 0.0;
    for asset in assets {
        let of = |is_own: bool| {
            let rows = rows.iter().copied();
            rows.filter(move |row| (row.asset == asset) == is_own)
        };
        let margin = margin(of(false), wanted)?;
        held += coverage(of(true), margin)? * of(true).count() as f64;
    }
    (!rows.is_empty()).then(|| held / rows.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Truths around 50, told by an interval that is far too narrow, and wider for some rows than for others.
    fn rows(count: usize, seed: u64) -> Vec<Row> {
        let mut random = Random::new(seed, 0);
        let mut draw = |number: usize| {
            let spread = 1.0 + random.unit();
            let truth = 50.0 + 4.0 * spread * random.normal();
            Row {
                asset: number % 40,
                told: Told {
                    low: 50.0 - spread,
                    mean: 50.0,
                    high: 50.0 + spread,
                },
                truth,
            }
        };
        (0..count).map(&mut draw).collect()
    }

    #[test]
    fn the_interval_holds_as_much_as_it_says_of_rows_that_come_later() {
        for wanted in [0.5, 0.9, 0.95] {
            let margin = margin(rows(2_000, 1).into_iter(), wanted).unwrap();
            let held = coverage(rows(2_000, 2).into_iter(), margin).unwrap();
            assert!((held - wanted).abs() < 0.03, "{held} of {wanted}");
            let crossed = cross_checked(&rows(2_000, 3), wanted).unwrap();
            assert!((crossed - wanted).abs() < 0.03, "{crossed} of {wanted}");
        }
    }

    #[test]
    fn an_interval_that_is_too_wide_is_made_narrower() {
        let wide = rows(500, 1).into_iter().map(|row| Row {
            told: Told {
                low: -1_000.0,
                mean: 50.0,
                high: 1_000.0,
            },
            ..row
        });
        assert!(margin(wide, 0.9).unwrap() < -900.0);
    }

    #[test]
    fn few_rows_give_no_margin() {
        assert_eq!(margin(rows(8, 1).into_iter(), 0.9), None);
        assert!(margin(rows(9, 1).into_iter(), 0.9).is_some());
        assert_eq!(coverage(std::iter::empty(), 0.0), None);
    }
}
