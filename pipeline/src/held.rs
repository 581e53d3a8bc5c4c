//! Rows that wait for the watermark: the buffer that puts readings into the order of their instants.
//!
//! Invariant: rows leave by (watermark at release, offset). That is the order in which they would leave were
//! every record a batch of its own; see `watermark.rs`.

use std::collections::BTreeMap;

use crate::rows::{Head, Rows};

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
