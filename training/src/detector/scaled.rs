//! Rows as a detector sees them: scaled, with the regime of each, and where the rows of one asset begin and end.

use crate::rows::Rows;
use crate::scaling::Scaling;

/// Scaled rows.
#[derive(Debug, Clone)]
pub struct Scaled {
    /// Row-major, `width` numbers per row.
    pub values: Vec<f32>,
    /// Features that are scaled.
    pub width: usize,
    regimes: Vec<u8>,
    /// How many regimes there are.
    of: usize,
    /// Rows of each stretch that hangs together.
    stretches: Vec<std::ops::Range<usize>>,
}

impl Scaled {
    /// Each entry of `rows.assets` is a stretch of rows that follow each other.
    pub fn new(rows: &Rows, scaling: &Scaling) -> Self {
        let mut scaled = Scaled {
            values: Vec::with_capacity(rows.len() * scaling.width()),
            width: scaling.width(),
            regimes: Vec::with_capacity(rows.len()),
            of: scaling.regimes(),
            stretches: Vec::with_capacity(rows.assets.len()),
        };
        for asset in &rows.assets {
            let first = scaled.regimes.len();
            for row in asset.values.chunks_exact(rows.features.len()) {
                let regime = scaling.apply(row, &mut scaled.values);
                scaled.regimes.push(regime as u8);
            }
            scaled.stretches.push(first..scaled.regimes.len());
        }
        scaled
    }

    pub fn len(&self) -> usize {
        self.regimes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.regimes.is_empty()
    }

    /// Numbers that a network is given of a row: the features, and where there are several regimes one for each.
    pub fn inputs(&self) -> usize {
        self.width + if self.of > 1 { self.of } else { 0 }
    }

    pub fn row(&self, row: usize) -> impl Iterator<Item = f32> {
        self.values[row * self.width..][..self.width]
            .iter()
            .copied()
    }

    pub fn value(&self, row: usize, feature: usize) -> f32 {
        self.values[row * self.width + feature]
    }

    /// What a network is given of a row.
    pub fn input(&self, row: usize) -> impl Iterator<Item = f32> {
        let regime = usize::from(self.regimes[row]);
        let places = 0..self.inputs() - self.width;
        self.row(row)
            .chain(places.map(move |place| f32::from(u8::from(place == regime))))
    }

    /// The rows that have `length` rows of their stretch up to them.
    pub fn ends(&self, length: usize) -> Vec<usize> {
        let stretches = self.stretches.iter().cloned();
        stretches
            .flat_map(|stretch| stretch.start + length - 1..stretch.end)
            .collect()
    }
}
