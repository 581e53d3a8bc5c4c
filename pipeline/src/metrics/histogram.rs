//! Counts of observations by size.

use std::sync::atomic::{AtomicU64, Ordering};

/// Cumulated only when it is read, so that an observation is two additions.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, included, in the unit of what is observed.
    bounds: &'static [u64],
    /// Observed units in one told unit: 1e6 for microseconds told in seconds.
    scale: f64,
    /// One per bound, and one beyond.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub fn new(bounds: &'static [u64], scale: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0));
        Histogram {
            bounds,
            scale,
            counts: counts.collect(),
            sum: AtomicU64::new(0),
        }
    }

    pub fn observe(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// How many were observed.
    pub fn count(&self) -> u64 {
        let counts = self.counts.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Their sum, as observed.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// Their sum, in the told unit.
    pub fn told_sum(&self) -> f64 {
        self.sum() as f64 / self.scale
    }

    /// Each bound in the told unit, with how many were up to there; infinity comes last.
    pub fn cumulated(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.scale);
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = self.counts.iter().scan(0, |below, count| {
            *below += count.load(Ordering::Relaxed);
            Some(*below)
        });
        bounds.zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_what_is_as_large_as_it_and_what_is_smaller() {
        let histogram = Histogram::new(&[10, 100], 10.0);
        for value in [0, 10, 11, 100, 101, 5_000] {
            histogram.observe(value);
        }
        let told: Vec<_> = histogram.cumulated().collect();
        assert_eq!(told, [(1.0, 2), (10.0, 4), (f64::INFINITY, 6)]);
        assert_eq!((histogram.count(), histogram.told_sum()), (6, 522.2));
    }
}
