//! The last L feature rows of every asset of a partition, in ring buffers in one contiguous slab.
//!
//! ```text
//!   slab, asset by asset:   | row row row row | row row row row | ...      L rows of F values each
//!                               ^ next to overwrite
//!   gather:                 oldest row first, the asset's first row repeated at the front when padded
//! ```
//!
//! Invariants:
//! - a gather depends on the asset's own rows and their order only;
//! - appending and gathering cost the same for the first asset and the millionth: no search, no shift.
//!
//! Not here: polars. A ring append costs nanoseconds; a frame per asset would cost microseconds.

use forewarn_models::Padding;

/// Ring buffers of one view in one partition.
#[derive(Debug, Clone)]
pub struct Sequences {
    length: usize,
    width: usize,
    slab: Vec<f32>,
    rings: Vec<Ring>,
}

/// `next` is where the next row is written; `rows` counts up to L.
#[derive(Debug, Clone, Copy, Default)]
struct Ring {
    next: u32,
    rows: u32,
}

impl Sequences {
    /// Rings of `length` rows of `width` values.
    pub fn new(length: usize, width: usize) -> Self {
        Sequences {
            length,
            width,
            slab: Vec::new(),
            rings: Vec::new(),
        }
    }

    /// Appends a feature row of `asset`.
    pub fn append(&mut self, asset: u32, row: &[f32]) {
        let asset = asset as usize;
        if asset >= self.rings.len() {
            self.rings.resize(asset + 1, Ring::default());
            self.slab
                .resize((asset + 1) * self.length * self.width, 0.0);
        }
        let ring = &mut self.rings[asset];
        let at = (asset * self.length + ring.next as usize) * self.width;
        self.slab[at..at + self.width].copy_from_slice(row);
        ring.next = (ring.next + 1) % self.length as u32;
        ring.rows = (ring.rows + 1).min(self.length as u32);
    }

    /// How many rows of `asset` are kept.
    pub fn rows(&self, asset: u32) -> usize {
        self.rings
            .get(asset as usize)
            .map_or(0, |ring| ring.rows as usize)
    }

    /// Appends the last `length` rows of `asset` to `out`, oldest first, taking the columns of `columns`.
    /// Gives false, and appends nothing, when there are too few rows and no padding.
    ///
    /// `length` may be less than the ring's: several models may share one view.
    pub fn gather(
        &self,
        asset: u32,
        length: usize,
        padding: Padding,
        columns: &Columns,
        out: &mut Vec<f32>,
    ) -> bool {
        debug_assert!(
            length <= self.length,
            "the ring is as long as the longest model needs"
        );
        let kept = self.rows(asset).min(length);
        if kept == 0 || (kept < length && padding == Padding::None) {
            return false;
        }
        let ring = self.rings[asset as usize];
        let row = |age: usize| {
            // `age` rows before the newest one.
            let slot = (ring.next as usize + self.length - 1 - age) % self.length;
            let at = (asset as usize * self.length + slot) * self.width;
            &self.slab[at..at + self.width]
        };
        for _ in kept..length {
            columns.take(row(kept - 1), out);
        }
        for age in (0..kept).rev() {
            columns.take(row(age), out);
        }
        true
    }
}

/// Which columns of a feature row a model takes, in its own order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// The whole row as it is.
    All,
    Some(Vec<usize>),
}

impl Columns {
    /// `indices` into a row of `width` values.
    pub fn new(indices: Vec<usize>, width: usize) -> Self {
        if indices.len() == width && indices.iter().enumerate().all(|(i, index)| i == *index) {
            Columns::All
        } else {
            Columns::Some(indices)
        }
    }

    pub fn take(&self, row: &[f32], out: &mut Vec<f32>) {
        match self {
            Columns::All => out.extend_from_slice(row),
            Columns::Some(indices) => out.extend(indices.iter().map(|index| row[*index])),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: keep every row, take the last ones.
    fn naive(rows: &[f32], length: usize, padding: Padding) -> Option<Vec<f32>> {
        match (rows.len() >= length, padding) {
            (true, _) => Some(rows[rows.len() - length..].to_vec()),
            (false, Padding::None) => None,
            (false, Padding::Edge) => {
                let mut padded = vec![*rows.first()?; length - rows.len()];
                padded.extend(rows);
                Some(padded)
            }
        }
    }

    proptest! {
        #[test]
        fn a_gather_equals_the_last_rows_of_a_plain_list(
            appended in prop::collection::vec((0_u32..4, -1e3_f32..1e3), 0..200),
            ring in 1_usize..9,
            shorter in 0_usize..4,
            edge in any::<bool>(),
        ) {
            let length = ring.saturating_sub(shorter).max(1);
            let padding = if edge { Padding::Edge } else { Padding::None };
            let mut sequences = Sequences::new(ring, 1);
            let mut lists = vec![Vec::new(); 4];
            for (asset, value) in appended {
                sequences.append(asset, &[value]);
                lists[asset as usize].push(value);
                for (asset, list) in lists.iter().enumerate() {
                    let mut out = Vec::new();
                    let given = sequences.gather(asset as u32, length, padding, &Columns::All, &mut out);
                    prop_assert_eq!(given.then_some(out), naive(list, length, padding));
                }
            }
        }
    }

    #[test]
    fn a_model_takes_its_columns_in_its_own_order() {
        let mut sequences = Sequences::new(2, 3);
        sequences.append(0, &[1.0, 2.0, 3.0]);
        sequences.append(0, &[4.0, 5.0, 6.0]);
        let mut out = Vec::new();
        let columns = Columns::new(vec![2, 0], 3);
        assert!(sequences.gather(0, 2, Padding::None, &columns, &mut out));
        assert_eq!(out, [3.0, 1.0, 6.0, 4.0]);
    }
}
