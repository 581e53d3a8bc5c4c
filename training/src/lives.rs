//! Lives: all rows of an asset from its first one on, or from a failure to the next, with the remaining life at each of
//! them.
//!
//! ```text
//!   inputs of a row:   scaled features │ one in the place of its regime │ age: rows since the life began
//!   target:            min(remaining life, cap) / cap
//! ```
//!
//! A network reads a life from its beginning, as it does while it serves with a state per asset, and says the remaining
//! life at every row.
//!
//! There are few lives, and each was built with a wear of its own that a network would learn by heart. So in training each
//! one is changed: blended with another life at the same remaining life, which leaves the target true; shifted by a
//! constant per feature; and given sensor noise, of which blending takes some away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::labels::Labels;
use crate::neural::{Batch, Examples};
use crate::random::Random;
use crate::rows::Rows;
use crate::rul::Told;
use crate::scaling::Scaling;

/// Rows of a life before which nothing is judged: too little of it has been seen.
pub const FIRST_JUDGED: usize = 20;
/// Rows that the age is divided by before 1 is taken away.
pub const AGE: f32 = 100.0;

/// How remaining life is told, and which of it is learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Microseconds in one unit of remaining life.
    pub unit: i64,
    /// In units: what is more is learnt as this much, since a machine that is well does not show how long it will live.
    pub cap: f64,
}

impl Target {
    /// Remaining life from which on a machine counts as well: a model can say no more of it than the cap.
    pub fn healthy(&self) -> f64 {
        self.cap + self.cap / 6.0
    }
}

/// How lives are changed in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Change {
    /// Share of the lives that are blended.
    pub blended: f64,
    /// At least so much of a blend is the life itself.
    pub own: f64,
    /// Standard deviation of the shift, in those of the feature.
    pub shift: f64,
    /// How much rows count that have more remaining life than the cap and a sixth of it: they all have one target.
    pub healthy: f64,
}

impl Default for Change {
    fn default() -> Self {
        Change {
            blended: 0.9,
            own: 0.4,
            shift: 0.3,
            healthy: 0.3,
        }
    }
}

/// One life.
#[derive(Debug, Clone)]
struct Life {
    /// Row-major.
    features: Vec<f32>,
    regimes: Vec<u8>,
    /// In units; `None`: nobody knows.
    left: Vec<Option<f64>>,
}

impl Life {
    /// The row with as much remaining life, of a life that failed; before its beginning it is gone through backwards.
    fn row_with(&self, left: f64) -> usize {
        let most = self.left[0].unwrap_or(0.0);
        let wanted = if left > most { 2.0 * most - left } else { left };
        let later = |row: &Option<f64>| row.is_some_and(|row| row > wanted);
        self.left.partition_point(later).min(self.left.len() - 1)
    }
}

/// All lives of some assets.
#[derive(Debug, Clone)]
pub struct Lives {
    lives: Vec<Life>,
    /// Asset and first row of each.
    begins: Vec<(usize, usize)>,
    width: usize,
    regimes: usize,
    target: Target,
    change: Change,
    /// Lives that ended with a failure.
    failed: Vec<usize>,
    /// Of each feature, in scaled units: from differences between neighbouring rows, which hold it twice.
    noise: Vec<f32>,
}

impl Lives {
    /// The lives of the assets in `rows`. Where there is a failure, the life ends with the last row up to it.
    pub fn new(
        rows: &Rows,
        scaling: &Scaling,
        labels: &Labels,
        target: Target,
        change: Change,
    ) -> Self {
        let (mut lives, mut begins) = (Vec::new(), Vec::new());
        let raw = rows.features.len();
        for (place, asset) in rows.assets.iter().enumerate() {
            let mut life: Option<Life> = None;
            let mut failure_before = None;
            for (number, (row, &time)) in
                asset.values.chunks_exact(raw).zip(&asset.times).enumerate()
            {
                let left = labels.left(&asset.asset, time);
                let failure = left.map(|left| time + left);
                if life.is_none() || failure != failure_before {
                    lives.extend(life.take());
                    begins.push((place, number));
                }
                failure_before = failure;
                let life = life.get_or_insert_with(|| Life {
                    features: Vec::new(),
                    regimes: Vec::new(),
                    left: Vec::new(),
                });
                let regime = scaling.apply(row, &mut life.features);
                life.regimes.push(regime as u8);
                life.left
                    .push(left.map(|left| left as f64 / target.unit as f64));
            }
            lives.extend(life);
        }
        let mut lives = Lives {
            lives,
            begins,
            width: scaling.width(),
            regimes: scaling.regimes(),
            target,
            change,
            failed: Vec::new(),
            noise: Vec::new(),
        };
        let ended = lives.lives.iter().enumerate();
        let ended = ended.filter(|(_, life)| life.left[0].is_some());
        lives.failed = ended.map(|(place, _)| place).collect();
        lives.noise = lives.measure_noise();
        lives
    }

    /// Values of a row that a network gets.
    pub fn inputs(scaling: &Scaling) -> usize {
        scaling.width() + regime_inputs(scaling.regimes()) + 1
    }

    /// Rows of each life.
    pub fn lengths(&self) -> Vec<usize> {
        self.lives.iter().map(|life| life.left.len()).collect()
    }

    /// Of each life, the place of its asset among the rows, and its first row there.
    pub fn begins(&self) -> &[(usize, usize)] {
        &self.begins
    }

    /// What was told at each row of each life, by asset and event time; `rows` are those that the lives are of.
    pub fn by_asset(
        &self,
        rows: &Rows,
        told: Vec<Vec<Told>>,
    ) -> BTreeMap<String, Vec<(i64, Told)>> {
        let mut by_asset: BTreeMap<String, Vec<(i64, Told)>> = BTreeMap::new();
        for ((asset, first), told) in self.begins.iter().zip(told) {
            let asset = &rows.assets[*asset];
            let said = by_asset.entry(asset.asset.clone()).or_default();
            said.extend(asset.times[*first..].iter().copied().zip(told));
        }
        by_asset
    }

    /// Remaining life at each row of a life, in units and up to the cap.
    pub fn truth(&self, life: usize) -> impl Iterator<Item = Option<f64>> {
        self.lives[life]
            .left
            .iter()
            .map(|left| left.map(|left| left.min(self.target.cap)))
    }

    /// What a network gets of a row.
    pub fn row(&self, life: usize, row: usize) -> impl Iterator<Item = f32> {
        let life = &self.lives[life];
        let features = &life.features[row * self.width..][..self.width];
        features
            .iter()
            .copied()
            .chain(self.told_beside(life, row, row))
    }

    /// What a row is told beside its features: a one in the place of its regime, and the age at `step`.
    fn told_beside(
        &self,
        life: &Life,
        row: usize,
        step: usize,
    ) -> impl Iterator<Item = f32> + use<> {
        let regime = usize::from(life.regimes[row]);
        let regimes =
            (0..regime_inputs(self.regimes)).map(move |place| f32::from(u8::from(place == regime)));
        regimes.chain([step as f32 / AGE - 1.0])
    }

    /// Does a row say how good a model is? Its remaining life must be known, and not so long that all models say the cap;
    /// and the life must have been seen for a while.
    pub fn is_judged(&self, life: usize, row: usize) -> bool {
        let left = self.lives[life].left[row];
        row >= FIRST_JUDGED && left.is_some_and(|left| left <= self.target.healthy())
    }

    fn measure_noise(&self) -> Vec<f32> {
        let (mut squares, mut count) = (vec![0.0; self.width], 0.0);
        for life in &self.lives {
            let rows = life.features.chunks_exact(self.width);
            for (before, after) in rows.clone().zip(rows.skip(1)) {
                count += 1.0;
                for (sum, (before, after)) in squares.iter_mut().zip(before.iter().zip(after)) {
                    *sum += f64::from(after - before).powi(2);
                }
            }
        }
        squares
            .iter()
            .map(|sum| (sum / f64::max(count, 1.0) / 2.0).sqrt() as f32)
            .collect()
    }

    /// What is done to a life in this batch.
    fn draw(&self, random: &mut Random) -> Drawn {
        let change = &self.change;
        let blends = random.unit() < change.blended;
        let partner = self.failed.get(random.below(self.failed.len()));
        let own = change.own + (1.0 - change.own) * random.unit();
        let own = if blends { own } else { 1.0 };
        let other = 1.0 - own;
        Drawn {
            partner: partner.copied(),
            own: own as f32,
            other: other as f32,
            noise: (1.0 - own * own - other * other).max(0.0).sqrt() as f32,
            shift: (0..self.width)
                .map(|_| (change.shift * random.normal()) as f32)
                .collect(),
        }
    }

    /// Changes the features of `row` of `life`.
    fn change(
        &self,
        (life, row): (usize, usize),
        drawn: &Drawn,
        random: &mut Random,
        features: &mut [f32],
    ) {
        // Of a life that nobody knows the end of there is nothing that is as far from its own.
        let left = self.lives[life].left[row];
        let other = drawn.partner.zip(left).map(|(partner, left)| {
            let partner = &self.lives[partner];
            &partner.features[partner.row_with(left) * self.width..][..self.width]
        });
        for (place, value) in features.iter_mut().enumerate() {
            let Some(other) = other else {
                *value += drawn.shift[place];
                continue;
            };
            *value = drawn.own * *value + drawn.other * other[place] + drawn.shift[place];
            if drawn.noise > 0.0 {
                *value += drawn.noise * self.noise[place] * random.normal() as f32;
            }
        }
    }

    fn counts(&self, left: Option<f64>) -> f32 {
        match left {
            None => 0.0,
            Some(left) if left > self.target.healthy() => self.change.healthy as f32,
            Some(_) => 1.0,
        }
    }
}

/// What is done to one life.
struct Drawn {
    /// A life that ended with a failure.
    partner: Option<usize>,
    own: f32,
    other: f32,
    noise: f32,
    shift: Vec<f32>,
}

/// One regime needs no telling.
fn regime_inputs(regimes: usize) -> usize {
    if regimes > 1 { regimes } else { 0 }
}

impl Examples for Lives {
    fn len(&self) -> usize {
        self.lives.len()
    }

    fn fill(&self, places: &[usize], random: Option<&mut Random>, batch: &mut Batch) {
        let longest = places
            .iter()
            .map(|&place| self.lives[place].left.len())
            .max()
            .unwrap_or(0);
        let drawn = random.map(|random| {
            let drawn: Vec<Drawn> = places.iter().map(|_| self.draw(random)).collect();
            (drawn, random)
        });
        let (drawn, mut random) = drawn.unzip();
        batch.size = places.len();
        batch.targets.clear();
        batch.counts.clear();
        batch.steps.resize(longest, Vec::new());
        for (step, values) in batch.steps.iter_mut().enumerate() {
            values.clear();
            for (number, &place) in places.iter().enumerate() {
                let life = &self.lives[place];
                // Behind its end a life stands still, and counts nothing.
                let row = step.min(life.left.len() - 1);
                let begin = values.len();
                values.extend_from_slice(&life.features[row * self.width..][..self.width]);
                if let (Some(drawn), Some(random)) = (&drawn, &mut random) {
                    self.change((place, row), &drawn[number], random, &mut values[begin..]);
                }
                values.extend(self.told_beside(life, row, step));
                let left = life.left[row].filter(|_| step < life.left.len());
                batch
                    .targets
                    .push((left.unwrap_or(0.0).min(self.target.cap) / self.target.cap) as f32);
                batch.counts.push(self.counts(left));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_another_life_is_as_far_from_its_failure() {
        let life = |left: &[f64]| Life {
            features: Vec::new(),
            regimes: Vec::new(),
            left: left.iter().copied().map(Some).collect(),
        };
        let hourly = life(&[4.0, 3.0, 2.0, 1.0, 0.0]);
        let rows = [0.0, 1.0, 4.0, 5.0, 6.0, 9.0].map(|left| hourly.row_with(left));
        assert_eq!(
            rows,
            [4, 3, 0, 1, 2, 4],
            "beyond its beginning it goes backwards"
        );
        // One that is read less often gives its next row.
        let seldom = life(&[10.0, 5.0, 0.5]);
        assert_eq!([7.0, 5.0, 0.0].map(|left| seldom.row_with(left)), [1, 1, 2]);
    }
}
