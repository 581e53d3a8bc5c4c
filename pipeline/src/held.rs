//! Rows that wait for the watermark: the buffer that puts readings into the order of their instants.
//!
//! Invariant: rows leave by (watermark at release, offset). That is the order in which they would leave were
//! every record a batch of its own; see `watermark.rs`.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::rows::{Head, Origin, Release, Rows};

/// The waiting rows of one partition.
#[derive(Debug, Default)]
pub struct Held {
    waiting: BTreeMap<(i64, i64), Waiting>,
    /// Row-major values; a place is used again when its row has left.
    values: Vec<f64>,
    free: Vec<u32>,
    /// Counts batches: a message can be pointed at only in its own.
    batch: u64,
}

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
        let batch = self.batch;
        let key = (head.release.at, head.offset);
        self.waiting.insert(key, Waiting { head, place, batch });
    }

    /// The waiting rows of `width` values, by asset, in order.
    pub fn by_asset(&self, width: usize) -> HashMap<u32, Vec<SavedRow>> {
        let mut rows: HashMap<u32, Vec<SavedRow>> = HashMap::new();
        for Waiting { head, place, .. } in self.waiting.values() {
            rows.entry(head.asset).or_default().push(SavedRow {
                event_at: head.event_at,
                offset: head.offset,
                release_at: head.release.at,
                values: self.values[*place as usize * width..][..width].to_vec(),
            });
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
        let batch = self.batch;
        let key = (row.release_at, row.offset);
        self.waiting.insert(key, Waiting { head, place, batch });
    }

    /// Hands over the rows that `watermark` has reached, in order.
    pub fn release(&mut self, watermark: i64, width: usize, to: &mut Rows) {
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > watermark {
                return;
            }
            let Waiting {
                mut head,
                place,
                batch,
            } = first.remove();
            if batch != self.batch {
                head.message = None;
            }
            to.push(head, &self.values[place as usize * width..][..width]);
            self.free.push(place);
        }
    }

    /// A new batch begins.
    pub fn begin_batch(&mut self) {
        self.batch += 1;
    }

    /// When the first row is due.
    pub fn next(&self) -> Option<i64> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }

    pub fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
            + self.waiting.len() * size_of::<((i64, i64), Waiting)>()
    }
}
