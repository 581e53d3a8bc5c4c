//! Rows: what moves from stage to stage, in columns. A row is one reading, an aligned set of narrow readings,
//! or the features of one window.
//!
//! Invariants:
//! - `heads` and all columns have one entry per row; the rows of one partition are in their order of release;
//! - a value is finite, or NaN where it is missing; a NaN never leaves the engine.

use crate::message::MessageIndex;

/// Rows of several partitions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub heads: Vec<Head>,
    /// One column per signal or feature.
    pub columns: Vec<Vec<f64>>,
    /// Earlier results that rows of windows take the place of, by row.
    pub superseded: Vec<Superseded>,
}

/// Everything of a row but its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// Slot of the partition in the engine's state.
    pub slot: u32,
    /// The asset's number in its partition's state.
    pub asset: u32,
    /// Microseconds since 1970, UTC: when it was measured; of a window, its last instant.
    pub event_at: i64,
    /// First and last record that it was made of.
    pub first_offset: i64,
    pub offset: i64,
    /// Its message, when that is in the batch at hand.
    pub message: Option<MessageIndex>,
    pub release: Release,
    /// Are its outputs to be published, or were they before a restart?
    pub publish: bool,
    pub origin: Origin,
}

/// When the watermark let a row go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// The watermark that released it: its own instant, when it was in time.
    pub at: i64,
    /// False for a row that the watermark had passed when it came.
    pub in_time: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// One message.
    Reading,
    /// The values of several messages at one instant.
    Aligned,
    Window(WindowHead),
}

/// The window that a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowHead {
    pub start: i64,
    /// Exclusive.
    pub end: i64,
    pub rows: u32,
    /// 0 for the first result, then counted up when late readings change it.
    pub revision: u32,
    /// An early result of a window that is still open.
    pub provisional: bool,
}

/// An earlier result that row `row` replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded {
    pub row: u32,
    pub start: i64,
    pub end: i64,
    pub revision: u32,
}

impl Rows {
    pub fn new(columns: usize) -> Self {
        Rows {
            columns: vec![Vec::new(); columns],
            ..Rows::default()
        }
    }

    pub fn len(&self) -> usize {
        self.heads.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    pub fn clear(&mut self) {
        self.heads.clear();
        self.superseded.clear();
        self.columns.iter_mut().for_each(Vec::clear);
    }

    /// Appends a row; `values` has one entry per column.
    pub fn push(&mut self, head: Head, values: &[f64]) {
        self.heads.push(head);
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(*value);
        }
    }

    /// Keeps the rows for which `kept` is true; none of them may replace others.
    pub fn retain(&mut self, kept: &[bool]) {
        fn of<T>(list: &mut Vec<T>, kept: &[bool]) {
            let mut kept = kept.iter();
            list.retain(|_| *kept.next().unwrap_or(&true));
        }
        of(&mut self.heads, kept);
        self.columns.iter_mut().for_each(|column| of(column, kept));
    }

    /// The results that row `row` replaces.
    pub fn superseded_by(&self, row: usize) -> &[Superseded] {
        let begin = self.superseded.partition_point(|s| (s.row as usize) < row);
        let end = self.superseded.partition_point(|s| s.row as usize <= row);
        &self.superseded[begin..end]
    }
}

impl Head {
    /// The instant that it is about: of a window, where it ends.
    pub fn at(&self) -> i64 {
        self.window().map_or(self.event_at, |window| window.end)
    }

    pub fn window(&self) -> Option<WindowHead> {
        match self.origin {
            Origin::Window(window) => Some(window),
            Origin::Reading | Origin::Aligned => None,
        }
    }

    pub fn is_provisional(&self) -> bool {
        self.window().is_some_and(|window| window.provisional)
    }
}
