//! The table of scores: one row per result, one column per contribution.
//!
//! Invariant: which columns there are follows from the models alone, so that rows can be written while others are still
//! being made.
//!
//! Not here: the columns themselves (`columns.rs`), and writing them (`dataset/`).

use std::collections::BTreeMap;

use anyhow::Result;
use forewarn_pipeline::Plan;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::stretch::Stretch;
use polars::prelude::DataFrame;

use super::columns::{Columns, Layout};
use crate::dataset::Rows;

/// The column whose dates a folder is divided by.
pub(super) const TIME: &str = "event_time";

/// Makes tables of the results of steps, and counts what they come to.
pub(super) struct ScoreTable {
    layout: Layout,
    /// By code: how many rows, and the first one.
    refused: BTreeMap<&'static str, (u64, u64)>,
    /// Readings that came too late, and the first one.
    late: (u64, u64),
    predictions: u64,
    unscored: u64,
    written: Rows,
}

impl ScoreTable {
    pub(super) fn new(plan: &Plan) -> Self {
        ScoreTable {
            layout: Layout::of(plan),
            refused: BTreeMap::new(),
            late: (0, 0),
            predictions: 0,
            unscored: 0,
            written: Rows::default(),
        }
    }

    /// A table without rows.
    pub(super) fn empty(&self) -> Result<DataFrame> {
        Columns::new(&self.layout).into_frame()
    }

    /// A step's results of a stretch; `None` when there are none. The row is the offset in its partition, or in a file,
    /// counted from 0; a window stands at its last one.
    pub(super) fn frame(
        &mut self,
        step: &Step<'_>,
        stretch: &Stretch,
    ) -> Result<Option<DataFrame>> {
        self.count_refused(step);
        let mut columns = Columns::new(&self.layout);
        for scored in step.results() {
            if !stretch.takes_row(step, &scored.head) {
                continue;
            }
            self.written.note(step, &scored.head);
            match scored.verdict {
                Ok(_) => self.predictions += 1,
                Err(_) => self.unscored += 1,
            }
            columns.push(step, &scored);
        }
        (!columns.is_empty())
            .then(|| columns.into_frame())
            .transpose()
    }

    fn count_refused(&mut self, step: &Step<'_>) {
        for refused in step.refused {
            let first = (0, refused.offset as u64);
            self.refused
                .entry(refused.refusal.code())
                .or_insert(first)
                .0 += 1;
        }
        for late in step.late.chunk_by(|a, b| a.offset == b.offset) {
            if self.late.0 == 0 {
                self.late.1 = late[0].offset as u64;
            }
            self.late.0 += 1;
        }
    }

    /// Readings that came too late for a view: how many, and the first one.
    pub(super) fn late(&self) -> (u64, u64) {
        self.late
    }

    /// Refused rows by code: how many, and the first one.
    pub(super) fn refused(&self) -> BTreeMap<&'static str, (u64, u64)> {
        self.refused.clone()
    }

    /// Predictions, and rows without a score.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.predictions, self.unscored)
    }

    /// The records of the rows.
    pub(super) fn written(&self) -> &Rows {
        &self.written
    }
}
