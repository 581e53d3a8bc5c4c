//! Rows that wait for the watermark: the buffer that puts readings into the order of their instants.
//!
//! Invariant: rows leave by (watermark at release, offset). That is the order in which they would leave were
//! every record a batch of its own; see `watermark.rs`.
//!
//! Most come in that order already, and wait in a queue; those that come out of it, in a tree.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::rows::{Head, Origin, Release, Rows};

/// The waiting rows of one partition.
#[derive(Debug, Default)]
pub struct Held {
    /// In order, each behind all that were here when it came.
    in_order: VecDeque<Waiting>,
    out_of_order: BTreeMap<Key, Waiting>,
    /// Row-major values; a place is used again when its row has left.
    values: Vec<f64>,
    free: Vec<u32>,
    /// Counts batches: a message can be pointed at only in its own.
    batch: u64,
}

/// Watermark at release, and offset.
type Key = (i64, i64);

/// A waiting row, written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedRow {
    pub event_at: i64,
    pub offset: i64,
    pub release_at: i64,
    #[serde(with = "crate::saved::f64_bits")]
    pub values: Vec<f64>,
}

#[derive(Debug)]
struct Waiting {
    head: Head,
    place: u32,
    batch: u64,
}

impl Waiting {
    fn key(&self) -> Key {
        (self.head.release.at, self.head.offset)
    }
}

impl Held {
    /// Keeps row `row` of `rows`, with its first `width` columns.
    pub fn push(&mut self, rows: &Rows, row: usize, width: usize) {
        let head = rows.heads[row];
        let place = self.free.pop().unwrap_or_else(|| {
            let places = self.values.len() / width.max(1);
            self.values.resize((places + 1) * width, 0.0);
            places as u32
        });
        let values = &mut self.values[place as usize * width..][..width];
        for (value, column) in values.iter_mut().zip(&rows.columns) {
            *value = column[row];
        }
        self.wait(head, place);
    }

    fn wait(&mut self, head: Head, place: u32) {
        let batch = self.batch;
        let row = Waiting { head, place, batch };
        let last = self.in_order.back().map(Waiting::key);
        if last.is_none_or(|last| last < row.key()) {
            self.in_order.push_back(row);
        } else {
            self.out_of_order.insert(row.key(), row);
        }
    }

    /// The waiting rows of `width` values, by asset, in order.
    pub fn by_asset(&self, width: usize) -> HashMap<u32, Vec<SavedRow>> {
        let mut rows: HashMap<u32, Vec<SavedRow>> = HashMap::new();
        let waiting = self.in_order.iter().chain(self.out_of_order.values());
        for Waiting { head, place, .. } in waiting {
            rows.entry(head.asset).or_default().push(SavedRow {
                event_at: head.event_at,
                offset: head.offset,
                release_at: head.release.at,
                values: self.values[*place as usize * width..][..width].to_vec(),
            });
        }
        for rows in rows.values_mut() {
            rows.sort_unstable_by_key(|row| (row.release_at, row.offset));
        }
        rows
    }

    /// Keeps a row that was written down. What waits was in time, and nothing of it is published yet.
    pub fn restore(&mut self, (slot, asset): (u32, u32), row: &SavedRow, width: usize) {
        let head = Head {
            slot,
            asset,
            event_at: row.event_at,
            first_offset: row.offset,
            offset: row.offset,
            message: None,
            release: Release {
                at: row.release_at,
                in_time: true,
            },
            publish: false,
            origin: Origin::Reading,
        };
        let place = (self.values.len() / width.max(1)) as u32;
        self.values.extend(row.values.iter().take(width));
        self.wait(head, place);
    }

    /// Hands over the rows that `watermark` has reached, in order.
    pub fn release(&mut self, watermark: i64, width: usize, to: &mut Rows) {
        while let Some(Waiting {
            mut head,
            place,
            batch,
        }) = self.take(watermark)
        {
            if batch != self.batch {
                head.message = None;
            }
            to.push(head, &self.values[place as usize * width..][..width]);
            self.free.push(place);
        }
    }

    /// The first row, if `watermark` has reached it.
    fn take(&mut self, watermark: i64) -> Option<Waiting> {
        let queued = self.in_order.front().map(Waiting::key);
        let queued = queued.filter(|(at, _)| *at <= watermark);
        let other = self.out_of_order.keys().next().copied();
        match other.filter(|(at, _)| *at <= watermark) {
            Some(other) if queued.is_none_or(|queued| other < queued) => {
                self.out_of_order.remove(&other)
            }
            _ => queued.and_then(|_| self.in_order.pop_front()),
        }
    }

    /// A new batch begins.
    pub fn begin_batch(&mut self) {
        self.batch += 1;
    }

    /// When the first row is due.
    pub fn next(&self) -> Option<i64> {
        let queued = self.in_order.front().map(Waiting::key);
        let other = self.out_of_order.keys().next().copied();
        let (at, _) = queued.into_iter().chain(other).min()?;
        Some(at)
    }

    pub fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
            + self.in_order.capacity() * size_of::<Waiting>()
            + self.out_of_order.len() * size_of::<(Key, Waiting)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(at: i64, offset: i64) -> SavedRow {
        SavedRow {
            event_at: at,
            offset,
            release_at: at,
            values: vec![(at * 1_000 + offset) as f64],
        }
    }

    proptest! {
        #[test]
        fn rows_leave_in_order_however_they_came(
            steps in prop::collection::vec((0i64..40, prop::option::of(0i64..40)), 0..200),
        ) {
            let (mut held, mut rows) = (Held::default(), Rows::new(1));
            let mut expected = Vec::new();
            let mut waiting: Vec<Key> = Vec::new();
            for (offset, (at, watermark)) in steps.into_iter().enumerate() {
                // About half of them in order: a later one at a later instant.
                let at = at + offset as i64 / 4;
                held.restore((0, 0), &row(at, offset as i64), 1);
                waiting.push((at, offset as i64));
                waiting.sort_unstable();
                prop_assert_eq!(held.next(), waiting.first().map(|(at, _)| *at));
                let kept: Vec<i64> = held.by_asset(1).remove(&0).unwrap_or_default()
                    .iter().map(|row| row.offset).collect();
                prop_assert_eq!(kept, waiting.iter().map(|(_, offset)| *offset).collect::<Vec<_>>());
                if let Some(watermark) = watermark {
                    held.release(watermark, 1, &mut rows);
                    let due = waiting.partition_point(|(at, _)| *at <= watermark);
                    expected.extend(waiting.drain(..due));
                }
            }
            let left: Vec<Key> = rows.heads.iter().map(|head| (head.release.at, head.offset)).collect();
            prop_assert_eq!(&left, &expected);
            let values: Vec<f64> = expected.iter().map(|(at, offset)| (at * 1_000 + offset) as f64).collect();
            prop_assert_eq!(&rows.columns[0], &values);
        }
    }
}
