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
//! - a row in order costs the same for the first asset and the millionth: no search, no shift. Only a row that
//!   comes late, or again as a revision, is looked up and moves the newer ones.
//!
//! Not here: polars. A ring append costs nanoseconds; a frame per asset would cost microseconds.

use forewarn_models::Padding;
use serde::{Deserialize, Serialize};

/// Ring buffers of one view in one partition.
#[derive(Debug, Clone)]
pub struct Sequences {
    /// Rows kept: the longest sequence, and those that may still be revised.
    length: usize,
    width: usize,
    slab: Vec<f32>,
    /// The instant of each row.
    times: Vec<i64>,
    rings: Vec<Ring>,
}

/// `next` is where the next row is written; `rows` counts up to L. The instant of the newest row is here so
/// that a row in order looks at nothing else.
#[derive(Debug, Clone, Copy)]
struct Ring {
    next: u32,
    rows: u32,
    newest: i64,
}

const EMPTY: Ring = Ring {
    next: 0,
    rows: 0,
    newest: i64::MIN,
};

/// Where a row went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// How many rows are newer.
    pub age: usize,
    /// Time since the row before, when it is the newest and there was one.
    pub gap: Option<i64>,
    /// It took the place of an earlier result of the same window.
    pub replaced: bool,
}

/// The rows of an asset, written down, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedSequence {
    times: Vec<i64>,
    #[serde(with = "crate::saved::f32_bits")]
    rows: Vec<f32>,
}

/// Which rows make one input.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub length: usize,
    pub padding: Padding,
    /// Ends with the row that has this many newer ones.
    pub age: usize,
    /// Rows before the oldest of so many, counted from there, belong to an earlier sequence.
    pub most: usize,
}

impl Sequences {
    /// Rings of `length` rows of `width` values.
    pub fn new(length: usize, width: usize) -> Self {
        Sequences {
            length,
            width,
            slab: Vec::new(),
            times: Vec::new(),
            rings: Vec::new(),
        }
    }

    /// Puts a feature row of `asset` where its instant belongs. A `revision` takes the place of the row at
    /// the same instant. `None`: it is older than all that is kept.
    pub fn put(&mut self, asset: u32, event_at: i64, row: &[f32], revision: bool) -> Option<Put> {
        let index = asset as usize;
        if index >= self.rings.len() {
            self.rings.resize(index + 1, EMPTY);
            self.slab
                .resize((index + 1) * self.length * self.width, 0.0);
            self.times.resize((index + 1) * self.length, i64::MIN);
        }
        let Ring { rows, newest, .. } = self.rings[index];
        let rows = rows as usize;
        let age = if newest < event_at {
            0
        } else {
            (0..rows)
                .take_while(|age| self.time(asset, *age) > event_at)
                .count()
        };
        if revision && newest >= event_at && age < rows && self.time(asset, age) == event_at {
            self.row_mut(asset, age).copy_from_slice(row);
            let replaced = true;
            return Some(Put {
                age,
                gap: None,
                replaced,
            });
        }
        if age == rows && rows == self.length {
            return None;
        }
        let gap = (age == 0 && rows > 0).then(|| event_at - newest);
        let ring = &mut self.rings[index];
        ring.next = (ring.next + 1) % self.length as u32;
        ring.rows = (ring.rows + 1).min(self.length as u32);
        ring.newest = newest.max(event_at);
        for newer in 0..age {
            let (from, to) = (self.place(asset, newer + 1), self.place(asset, newer));
            self.times[to] = self.times[from];
            let from = from * self.width;
            self.slab
                .copy_within(from..from + self.width, to * self.width);
        }
        let place = self.place(asset, age);
        self.times[place] = event_at;
        self.row_mut(asset, age).copy_from_slice(row);
        Some(Put {
            age,
            gap,
            replaced: false,
        })
    }

    /// How many rows of `asset` are kept.
    pub fn rows(&self, asset: u32) -> usize {
        self.rings
            .get(asset as usize)
            .map_or(0, |ring| ring.rows as usize)
    }

    /// Place of the row with `age` newer ones, in rows.
    fn place(&self, asset: u32, age: usize) -> usize {
        let next = self.rings[asset as usize].next as usize;
        let slot = (next + 2 * self.length - 1 - age) % self.length;
        asset as usize * self.length + slot
    }

    fn time(&self, asset: u32, age: usize) -> i64 {
        self.times[self.place(asset, age)]
    }

    fn row(&self, asset: u32, age: usize) -> &[f32] {
        &self.slab[self.place(asset, age) * self.width..][..self.width]
    }

    fn row_mut(&mut self, asset: u32, age: usize) -> &mut [f32] {
        let at = self.place(asset, age) * self.width;
        &mut self.slab[at..at + self.width]
    }

    /// Appends the rows that `wanted` means to `out`, oldest first, taking the columns of `columns`. Rows
    /// that are not there are the oldest one again when padded. Gives false, and appends nothing, when there
    /// is no row, or too few without padding.
    pub fn gather(
        &self,
        asset: u32,
        wanted: Wanted,
        columns: &Columns,
        out: &mut Vec<f32>,
    ) -> bool {
        let Wanted {
            length,
            padding,
            age,
            most,
        } = wanted;
        let kept = self.rows(asset).saturating_sub(age).min(most).min(length);
        if kept == 0 || (kept < length && padding == Padding::None) {
            return false;
        }
        for _ in kept..length {
            columns.take(self.row(asset, age + kept - 1), out);
        }
        for older in (0..kept).rev() {
            columns.take(self.row(asset, age + older), out);
        }
        true
    }

    /// Looks at what the next rows of `assets` will need. With many assets each look is a cache miss of its
    /// own; looks that do not wait for each other are served together.
    pub fn touch(&self, assets: impl Iterator<Item = u32> + Clone) {
        let rings = assets
            .clone()
            .filter_map(|asset| self.rings.get(asset as usize));
        let first: u32 = rings.map(|ring| ring.next).fold(0, u32::wrapping_add);
        let known = assets.filter(|asset| (*asset as usize) < self.rings.len());
        let places = known.map(|asset| {
            let next = self.rings[asset as usize].next as usize;
            asset as usize * self.length + next
        });
        let rows =
            places.map(|place| self.slab[place * self.width].to_bits() ^ self.times[place] as u32);
        std::hint::black_box(first ^ rows.fold(0, u32::wrapping_add));
    }

    /// The rows of an asset.
    pub fn save(&self, asset: u32) -> SavedSequence {
        let ages = || (0..self.rows(asset)).rev();
        let rows = ages().flat_map(|age| self.row(asset, age).iter().copied());
        SavedSequence {
            times: ages().map(|age| self.time(asset, age)).collect(),
            rows: rows.collect(),
        }
    }

    /// What [`Self::save`] gave, for an asset of which nothing is kept.
    pub fn restore(&mut self, asset: u32, saved: &SavedSequence) {
        let rows = saved.rows.chunks_exact(self.width.max(1));
        for (at, row) in saved.times.iter().zip(rows) {
            self.put(asset, *at, row, false);
        }
    }

    pub fn forget(&mut self, asset: u32) {
        if let Some(ring) = self.rings.get_mut(asset as usize) {
            *ring = EMPTY;
        }
    }

    pub fn bytes(&self) -> usize {
        self.slab.capacity() * size_of::<f32>()
            + self.times.capacity() * size_of::<i64>()
            + self.rings.capacity() * size_of::<Ring>()
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

    /// Where the model's feature `feature` is in a row.
    pub fn place(&self, feature: usize) -> usize {
        match self {
            Columns::All => feature,
            Columns::Some(indices) => indices[feature],
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

    fn gather(
        sequences: &Sequences,
        asset: u32,
        length: usize,
        padding: Padding,
        columns: &Columns,
    ) -> Option<Vec<f32>> {
        let mut out = Vec::new();
        let wanted = Wanted {
            length,
            padding,
            age: 0,
            most: usize::MAX,
        };
        sequences
            .gather(asset, wanted, columns, &mut out)
            .then_some(out)
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
            for (at, (asset, value)) in appended.into_iter().enumerate() {
                sequences.put(asset, at as i64, &[value], false);
                lists[asset as usize].push(value);
                for (asset, list) in lists.iter().enumerate() {
                    let told = gather(&sequences, asset as u32, length, padding, &Columns::All);
                    prop_assert_eq!(told, naive(list, length, padding));
                }
            }
        }

        #[test]
        fn rows_that_come_late_or_again_stand_where_they_belong(
            puts in prop::collection::vec((0_i64..20, -1e3_f32..1e3), 0..60),
            ring in 1_usize..9,
        ) {
            let mut sequences = Sequences::new(ring, 1);
            let mut list: Vec<(i64, f32)> = Vec::new();
            for (at, value) in puts {
                let put = sequences.put(0, at, &[value], true);
                let full = list.len() == ring;
                if let Some(row) = list.iter_mut().find(|row| row.0 == at) {
                    row.1 = value;
                } else if full && list.iter().all(|row| row.0 > at) {
                    prop_assert!(put.is_none());
                } else {
                    list.push((at, value));
                }
                list.sort_by_key(|row| row.0);
                if list.len() > ring {
                    list.remove(0);
                }
                let values: Vec<f32> = list.iter().map(|row| row.1).collect();
                let told = gather(&sequences, 0, list.len(), Padding::None, &Columns::All);
                prop_assert_eq!(told, Some(values));
                if let Some(put) = put {
                    prop_assert_eq!(list[list.len() - 1 - put.age], (at, value));
                }
            }
        }
    }

    #[test]
    fn a_sequence_ends_where_it_is_asked_to_and_begins_after_its_restart() {
        let mut sequences = Sequences::new(5, 1);
        for at in 0..5 {
            sequences.put(0, at, &[at as f32], false);
        }
        let mut out = Vec::new();
        let wanted = Wanted {
            length: 3,
            padding: Padding::Edge,
            age: 1,
            most: 2,
        };
        assert!(sequences.gather(0, wanted, &Columns::All, &mut out));
        assert_eq!(out, [2.0, 2.0, 3.0]);
    }

    #[test]
    fn a_model_takes_its_columns_in_its_own_order() {
        let mut sequences = Sequences::new(2, 3);
        sequences.put(0, 0, &[1.0, 2.0, 3.0], false);
        sequences.put(0, 1, &[4.0, 5.0, 6.0], false);
        let columns = Columns::new(vec![2, 0], 3);
        let told = gather(&sequences, 0, 2, Padding::None, &columns);
        assert_eq!(told, Some(vec![3.0, 1.0, 6.0, 4.0]));
    }
}
