//! Scores in the order of event time: has an asset changed, has the fleet?
//!
//! Of an asset each score counts, around the asset's own mean: a machine with a level of its own has not changed. Of the
//! fleet the mean of each interval counts, around that of training. Few assets that change are few assets: look at them.
//! All of them at once are the fleet, its surroundings, or a sensor: look at the model.
//!
//! Partitions come in any order, so the fleet's intervals are kept and gone through at the end.

use std::collections::BTreeMap;

use super::page_hinkley::{Centre, Change, PageHinkley, Sensitivity};

/// Most intervals; beyond it two become one.
const INTERVALS: usize = 1_024;
/// The shortest one, in microseconds.
const SHORTEST: i64 = 1_000_000;

#[derive(Debug)]
pub(super) struct OverTime {
    sensitivity: Sensitivity,
    assets: Vec<OfAsset>,
    /// In microseconds.
    width: i64,
    /// Sum and number of ranks, by the number of the interval.
    intervals: BTreeMap<i64, (f64, u64)>,
}

#[derive(Debug)]
struct OfAsset {
    test: PageHinkley,
    latest: i64,
    change: Option<Change>,
}

impl OverTime {
    pub fn new(sensitivity: Sensitivity) -> Self {
        OverTime {
            sensitivity,
            assets: Vec::new(),
            width: SHORTEST,
            intervals: BTreeMap::new(),
        }
    }

    /// Takes the rank of a score.
    pub fn take(&mut self, asset: usize, at: i64, rank: f64) {
        if asset >= self.assets.len() {
            self.assets.resize_with(asset + 1, || OfAsset {
                test: PageHinkley::new(Centre::Own),
                latest: i64::MIN,
                change: None,
            });
        }
        let of = &mut self.assets[asset];
        // The first change is what is looked for; a reading that comes behind its asset's latest is out of order.
        if of.change.is_none() && at >= of.latest {
            of.latest = at;
            of.change = of.test.take(at, rank, self.sensitivity);
        }
        let interval = self.intervals.entry(at.div_euclid(self.width));
        let (sum, count) = interval.or_default();
        *sum += rank;
        *count += 1;
        if self.intervals.len() > INTERVALS {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.width *= 2;
        let mut halved: BTreeMap<i64, (f64, u64)> = BTreeMap::new();
        for (interval, (sum, count)) in std::mem::take(&mut self.intervals) {
            let into = halved.entry(interval.div_euclid(2)).or_default();
            into.0 += sum;
            into.1 += count;
        }
        self.intervals = halved;
    }

    /// How long an interval is, in microseconds, and how many there are.
    pub fn intervals(&self) -> (i64, usize) {
        (self.width, self.intervals.len())
    }

    /// The first change of the fleet.
    pub fn fleet(&self) -> Option<Change> {
        let mut test = PageHinkley::new(Centre::Training);
        let mut means = self.intervals.iter();
        means.find_map(|(interval, (sum, count))| {
            let at = interval * self.width;
            test.take(at, sum / *count as f64, self.sensitivity)
        })
    }

    /// Assets that have changed, the first one first.
    pub fn changed(&self) -> Vec<(usize, Change)> {
        let all = self.assets.iter().enumerate();
        let mut changed: Vec<_> = all
            .filter_map(|(asset, of)| Some((asset, of.change?)))
            .collect();
        changed.sort_by_key(|(asset, change)| (change.at, *asset));
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::super::page_hinkley::Direction;
    use super::*;

    const OF: Sensitivity = Sensitivity {
        delta: 0.25,
        lambda: 5.0,
    };
    const SECOND: i64 = 1_000_000;

    #[test]
    fn one_asset_that_changes_is_one_asset_and_all_are_the_fleet() {
        let after = |changing: usize| {
            let mut over = OverTime::new(OF);
            // Asset by asset, as partitions are read one after the other.
            for asset in 0..10 {
                for step in 0..200 {
                    let moved = asset < changing && step >= 100;
                    let rank = if moved {
                        1.5
                    } else {
                        f64::from(step % 3) - 1.0
                    };
                    over.take(asset, i64::from(step) * SECOND, rank);
                }
            }
            let fleet = over.fleet().map(|change| (change.direction, change.since));
            (
                over.changed().len(),
                over.changed().first().map(|(of, _)| *of),
                fleet,
            )
        };
        assert_eq!(after(0), (0, None, None));
        assert_eq!(after(1), (1, Some(0), None));
        assert_eq!(
            after(10),
            (10, Some(0), Some((Direction::Up, 100 * SECOND)))
        );
    }

    #[test]
    fn a_long_stretch_keeps_few_intervals() {
        let mut over = OverTime::new(OF);
        let steps = 10 * INTERVALS as i64;
        for step in 0..steps {
            over.take(0, step * SECOND, if step < steps / 2 { 0.0 } else { 1.25 });
        }
        let (width, kept) = over.intervals();
        assert_eq!((width, kept), (16 * SECOND, steps as usize / 16));
        let change = over.fleet().unwrap();
        assert_eq!(change.since, steps / 2 * SECOND);
        assert_eq!(change.at, change.since + 5 * width);
    }
}
