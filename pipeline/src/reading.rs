//! Readings in columns: what a batch of messages becomes once it is decoded.
//!
//! Invariants:
//! - all columns have one entry per accepted reading, in the order of the messages;
//! - every value is finite and inside its signal's range.

use crate::message::MessageIndex;

/// The readings of one batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readings {
    /// Index of the message in the batch.
    pub message: Vec<MessageIndex>,
    /// Slot of the partition in the engine's state.
    pub partition: Vec<u32>,
    pub offset: Vec<i64>,
    /// The asset's number in its partition's state.
    pub asset: Vec<u32>,
    /// Event time in microseconds since 1970, UTC.
    pub event_at: Vec<i64>,
    /// One column per declared signal.
    pub signals: Vec<Vec<f64>>,
}

/// Everything of a reading but its signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingHead {
    pub message: MessageIndex,
    pub partition: u32,
    pub offset: i64,
    pub asset: u32,
    pub event_at: i64,
}

impl Readings {
    pub fn new(signals: usize) -> Self {
        Readings {
            signals: vec![Vec::new(); signals],
            ..Readings::default()
        }
    }

    pub fn len(&self) -> usize {
        self.message.len()
    }

    pub fn is_empty(&self) -> bool {
        self.message.is_empty()
    }

    pub fn clear(&mut self) {
        self.message.clear();
        self.partition.clear();
        self.offset.clear();
        self.asset.clear();
        self.event_at.clear();
        self.signals.iter_mut().for_each(Vec::clear);
    }

    /// Appends a reading; `values` has one entry per signal.
    pub fn push(&mut self, head: ReadingHead, values: &[f64]) {
        self.message.push(head.message);
        self.partition.push(head.partition);
        self.offset.push(head.offset);
        self.asset.push(head.asset);
        self.event_at.push(head.event_at);
        for (column, value) in self.signals.iter_mut().zip(values) {
            column.push(*value);
        }
    }
}
