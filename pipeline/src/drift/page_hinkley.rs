//! Page and Hinkley's test: has the mean of a series changed, since when, and in which direction?
//!
//! ```text
//!   up:    Uₜ = Σ (xᵢ − c − δ)     fires when  Uₜ − min U > λ      since: the place after the minimum
//!   down:  Dₜ = Σ (c − xᵢ − δ)     fires when  Dₜ − min D > λ
//! ```
//!
//! (Page, *Continuous inspection schemes*, 1954; Hinkley, *Inference about the change-point from cumulative sum tests*,
//! 1971.) `c` is what the mean should be: the one of training, or where each asset has a level of its own, the mean of the
//! series so far. A change of less than δ never fires; one of s standard deviations does after λ / (s − δ) values.
//!
//! Scores are taken by their rank in training, so that δ and λ mean the same for every model, and a few scores that are
//! a thousand times as large as usual are no change: see [`Ranks`].

use forewarn_models::reference::Distribution;
use serde::Serialize;

/// Values before a running mean is one.
const FIRST: u64 = 30;
/// Standard deviation of a rank that is spread evenly.
const EVEN: f64 = 0.288_675_134_594_812_9;

/// What is a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensitivity {
    /// In standard deviations: changes below it are borne.
    pub delta: f64,
    /// How much must have added up.
    pub lambda: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Up,
    Down,
}

/// Something has changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    pub direction: Direction,
    /// When it most likely began.
    pub since: i64,
    /// When it was sure enough.
    pub at: i64,
}

/// What the values should be around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centre {
    /// 0, the mean of training.
    Training,
    /// Their own mean so far.
    Own,
}

/// A series under test.
#[derive(Debug, Clone)]
pub struct PageHinkley {
    centre: Centre,
    taken: u64,
    mean: f64,
    up: Side,
    down: Side,
}

#[derive(Debug, Clone, Copy, Default)]
struct Side {
    sum: f64,
    lowest: f64,
    /// The first value after the lowest sum.
    since: Option<i64>,
}

impl Side {
    fn take(&mut self, at: i64, more: f64) {
        self.sum += more;
        if self.sum <= self.lowest {
            self.lowest = self.sum;
            self.since = None;
        } else if self.since.is_none() {
            self.since = Some(at);
        }
    }

    fn risen(&self) -> f64 {
        self.sum - self.lowest
    }
}

impl PageHinkley {
    pub fn new(centre: Centre) -> Self {
        PageHinkley {
            centre,
            taken: 0,
            mean: 0.0,
            up: Side::default(),
            down: Side::default(),
        }
    }

    /// Takes the next value, of instant `at`, in standard deviations of training. After a change it begins anew.
    pub fn take(&mut self, at: i64, value: f64, of: Sensitivity) -> Option<Change> {
        self.taken += 1;
        self.mean += (value - self.mean) / self.taken as f64;
        let off = match self.centre {
            Centre::Training => value,
            Centre::Own => value - self.mean,
        };
        self.up.take(at, off - of.delta);
        self.down.take(at, -off - of.delta);
        if self.centre == Centre::Own && self.taken < FIRST {
            return None;
        }
        let (direction, side) = if self.up.risen() > of.lambda {
            (Direction::Up, self.up)
        } else if self.down.risen() > of.lambda {
            (Direction::Down, self.down)
        } else {
            return None;
        };
        *self = PageHinkley::new(self.centre);
        Some(Change {
            direction,
            since: side.since.unwrap_or(at),
            at,
        })
    }

    /// How near it is to firing, upwards and downwards: at 1 it does.
    pub fn nearness(&self, of: Sensitivity) -> [f64; 2] {
        [self.up, self.down].map(|side| side.risen() / of.lambda)
    }
}

/// The rank of values in training, by the bins of a reference: 0 on average, with standard deviation 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// Of each bin.
    of_bins: Vec<f64>,
}

impl Ranks {
    pub fn new(reference: &Distribution) -> Self {
        let shares = reference.shares();
        let mut below = 0.0;
        let middles = shares.iter().map(|share| {
            below += share;
            below - share / 2.0 - 0.5
        });
        let middles: Vec<f64> = middles.collect();
        let squares = shares.iter().zip(&middles).map(|(share, r)| share * r * r);
        let sd = squares.sum::<f64>().sqrt();
        // Of a constant any other value is as far off as can be.
        let sd = if sd < 1e-6 { EVEN } else { sd };
        Ranks {
            of_bins: middles.iter().map(|middle| middle / sd).collect(),
        }
    }

    pub fn of(&self, bin: usize) -> f64 {
        self.of_bins[bin]
    }

    /// Of rows in bins, on average.
    pub fn mean(&self, counts: &[u64]) -> f64 {
        let all = counts.iter().sum::<u64>() as f64;
        let sum: f64 = counts
            .iter()
            .zip(&self.of_bins)
            .map(|(n, rank)| *n as f64 * rank)
            .sum();
        sum / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::fit::tests::distribution;

    const OF: Sensitivity = Sensitivity {
        delta: 0.25,
        lambda: 5.0,
    };

    fn changes(centre: Centre, values: impl Iterator<Item = f64>) -> Vec<Change> {
        let mut test = PageHinkley::new(centre);
        let taken = values.enumerate();
        taken
            .filter_map(|(at, value)| test.take(at as i64, value, OF))
            .collect()
    }

    /// By hand: from value 10 on each adds 1.25 − 0.25; the sixth one, at 15, makes it more than 5.
    #[test]
    fn it_fires_after_the_change_and_says_when_it_began() {
        let series = || (0..16).map(|at| if at < 10 { 0.0 } else { 1.25 });
        let expected = Change {
            direction: Direction::Up,
            since: 10,
            at: 15,
        };
        assert_eq!(changes(Centre::Training, series()), [expected]);
        let down = changes(Centre::Training, series().map(|value| -value));
        assert_eq!(down[0].direction, Direction::Down);
        assert_eq!((down[0].since, down[0].at), (10, 15));
        assert_eq!(changes(Centre::Training, series().take(15)), []);
        // What is borne never fires.
        assert_eq!(changes(Centre::Training, (0..10_000).map(|_| 0.25)), []);
        assert_eq!(
            changes(
                Centre::Training,
                (0..10_000).map(|n| f64::from(n % 2) - 0.5)
            ),
            []
        );
    }

    #[test]
    fn an_asset_with_a_level_of_its_own_has_not_changed() {
        assert_eq!(changes(Centre::Own, (0..10_000).map(|_| 1.5)), []);
        let found = changes(
            Centre::Own,
            (0..200).map(|at| if at < 100 { 1.5 } else { 0.0 }),
        );
        assert_eq!((found[0].direction, found[0].since), (Direction::Down, 100));
        assert!((101..110).contains(&found[0].at), "{found:?}");
    }

    #[test]
    fn ranks_have_mean_0_and_deviation_1() {
        let reference = distribution(&[1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 700.0, 8000.0]);
        let ranks = Ranks::new(&reference);
        assert!(ranks.mean(&reference.counts).abs() < 1e-12);
        let squares = reference.counts.iter().enumerate();
        let squares: f64 = squares
            .map(|(bin, n)| *n as f64 * ranks.of(bin).powi(2))
            .sum();
        assert!((squares / 10.0 - 1.0).abs() < 1e-12);
        // Of a constant, what lies above is above.
        let constant = Ranks::new(&distribution(&[7.0; 20]));
        assert_eq!(constant.of(1), 0.0);
        assert!(constant.of(0) < -1.7 && constant.of(2) > 1.7);
    }
}
