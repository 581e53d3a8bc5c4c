//! A stretch of the log: which rows of a replay are meant, and when the last of them has come.
//!
//! ```text
//!   log        ├──────────────┤ FROM ├──────────────┤ TO ├───────────────────▶
//!              read, for the state   rows are taken       read until windows that hold
//!                                                         records before TO are closed
//! ```
//!
//! State is a function of the log, so its records are gone through from the oldest one on whatever the stretch is;
//! what is left out is the end, once nothing of it can be in the stretch. By offsets that is soon. By event time
//! it is so for windows, which the watermark closes; a single reading may come as late as it likes.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::engine::Step;
use crate::plan::{Plan, PlannedView};
use crate::routing::Selection;
use crate::rows::Head;
use crate::state::PartitionState;
use crate::window::Kind;

/// Which rows are meant: those that all of these take.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// Event time in microseconds since 1970; of a window, where it ends.
    pub time: Range<i64>,
    /// Of the last record that a row is made of, by partition; empty: every record.
    pub offsets: BTreeMap<i32, Vec<Range<i64>>>,
    pub assets: Selection,
}

impl Default for Stretch {
    /// The whole log.
    fn default() -> Self {
        Stretch {
            time: i64::MIN..i64::MAX,
            offsets: BTreeMap::new(),
            assets: Selection::default(),
        }
    }
}

impl Stretch {
    /// Is no row left out?
    pub fn is_everything(&self) -> bool {
        !self.is_of_readings() && self.offsets.is_empty()
    }

    pub fn takes_partition(&self, partition: i32) -> bool {
        self.offsets.is_empty() || self.offsets.contains_key(&partition)
    }

    /// Does it depend on what a message says, and not on its place alone?
    pub fn is_of_readings(&self) -> bool {
        self.time != (i64::MIN..i64::MAX) || !self.assets.takes_all()
    }

    pub fn takes_record(&self, partition: i32, offset: i64) -> bool {
        let ranges = self.offsets.get(&partition);
        let of_partition =
            |ranges: &Vec<Range<i64>>| ranges.iter().any(|range| range.contains(&offset));
        self.offsets.is_empty() || ranges.is_some_and(of_partition)
    }

    pub fn takes(&self, (partition, offset): (i32, i64), at: i64, asset: &str) -> bool {
        self.time.contains(&at) && self.takes_record(partition, offset) && self.assets.takes(asset)
    }

    /// Is a row of this step meant?
    pub fn takes_row(&self, step: &Step<'_>, head: &Head) -> bool {
        let place = (step.partition(head.slot), head.offset);
        self.is_everything() || self.takes(place, head.at(), step.asset(head.slot, head.asset))
    }

    /// The first record that is meant, and the first one behind all that are.
    pub fn records(&self, partition: i32) -> Option<Range<i64>> {
        let ranges = self.offsets.get(&partition)?;
        let start = ranges.iter().map(|range| range.start).min()?;
        let end = ranges.iter().map(|range| range.end).max()?;
        Some(start..end)
    }
}

/// When the rows of a view have all come. `None`: that is never known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settling {
    /// All that are about an instant, when the watermark is so far behind it.
    after_instant: Option<i64>,
    /// All whose records are up to an instant, when the watermark is so far behind it.
    after_record: Option<i64>,
}

impl Settling {
    /// Of a view of `plan`.
    pub fn of(plan: &Plan, view: &PlannedView) -> Self {
        let before = view.from.map(|from| Settling::of(plan, &plan.views[from]));
        let Some(window) = &view.window else {
            return before.unwrap_or(Settling {
                after_instant: None,
                after_record: match (view.ordered, plan.align) {
                    (false, _) => Some(i64::MIN),
                    (true, None) => Some(0),
                    (true, Some(_)) => None,
                },
            });
        };
        if matches!(window.kind, Kind::Count { .. }) {
            return Settling {
                after_instant: None,
                after_record: None,
            };
        }
        let record = before.map_or(Some(0), |before| before.after_record);
        Settling {
            after_instant: Some(window.allowed_lateness),
            after_record: record.map(|record| record.max(0).saturating_add(window.horizon())),
        }
    }

    /// Of all views that are scored.
    pub fn of_scores(plan: &Plan) -> Self {
        let scored = plan.views.iter().filter(|view| !view.groups.is_empty());
        let all = scored.map(|view| Settling::of(plan, view));
        // A plan without any has nothing to wait for.
        all.reduce(Settling::and).unwrap_or(Settling {
            after_instant: Some(i64::MIN),
            after_record: Some(i64::MIN),
        })
    }

    /// When those of both have come.
    #[must_use]
    fn and(self, other: Self) -> Self {
        let later = |a: Option<i64>, b: Option<i64>| Some(a?.max(b?));
        Settling {
            after_instant: later(self.after_instant, other.after_instant),
            after_record: later(self.after_record, other.after_record),
        }
    }
}

/// How far the partitions have come in a stretch.
#[derive(Debug)]
pub struct Coming<'s> {
    stretch: &'s Stretch,
    settling: Settling,
    /// The latest event time among the records that are meant, by partition, once they have all been read.
    latest: BTreeMap<i32, i64>,
}

impl<'s> Coming<'s> {
    pub fn new(stretch: &'s Stretch, settling: Settling) -> Self {
        Coming {
            stretch,
            settling,
            latest: BTreeMap::new(),
        }
    }

    /// Have all rows of the partition come?
    pub fn is_over(&mut self, state: &PartitionState) -> bool {
        let watermark = state.watermark.at();
        let passed = |instant: i64, after: Option<i64>| {
            after.is_some_and(|after| watermark >= instant.saturating_add(after))
        };
        if self.stretch.time.end < i64::MAX
            && passed(self.stretch.time.end, self.settling.after_instant)
        {
            return true;
        }
        match self.stretch.records(state.partition) {
            None => !self.stretch.takes_partition(state.partition),
            Some(records) if state.next_offset < records.end => false,
            Some(_) => {
                // Records behind the stretch make it later at most.
                let latest = self.latest.entry(state.partition);
                let latest = *latest.or_insert(state.watermark.latest());
                passed(latest, self.settling.after_record)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settling(after_instant: Option<i64>, after_record: Option<i64>) -> Settling {
        Settling {
            after_instant,
            after_record,
        }
    }

    /// Partition 1, after records up to `next_offset` with event times up to `latest`.
    fn state(next_offset: i64, latest: i64) -> PartitionState {
        let watermark = crate::watermark::Watermark::new(5, Vec::new(), 0);
        let mut state = PartitionState::new(1, 0, 0, watermark);
        state.watermark.observe(next_offset - 1, latest, true);
        state.next_offset = next_offset;
        state
    }

    #[test]
    fn a_row_is_meant_when_time_record_and_asset_are() {
        let stretch = Stretch {
            time: 10..20,
            offsets: BTreeMap::from([(1, vec![0..5, 8..9])]),
            assets: Selection::new(&["pump-*".into()]),
        };
        let takes = |partition, offset, at, asset| stretch.takes((partition, offset), at, asset);
        assert!(takes(1, 4, 10, "pump-1") && takes(1, 8, 19, "pump-1"));
        assert!(!takes(1, 5, 10, "pump-1"), "between the offsets");
        assert!(!takes(0, 4, 10, "pump-1"), "another partition");
        assert!(!takes(1, 4, 20, "pump-1"), "the end is not in it");
        assert!(!takes(1, 4, 10, "fan-1"));
        assert_eq!(stretch.records(1), Some(0..9));
        assert!(Stretch::default().takes((7, 7), i64::MIN, "x"));
    }

    #[test]
    fn windows_before_the_end_are_over_when_the_watermark_has_passed_it_and_their_lateness() {
        let stretch = Stretch {
            time: 0..100,
            ..Stretch::default()
        };
        // The bound is 5, so the watermark is at 109.
        for (after, over) in [(Some(9), true), (Some(10), false), (None, false)] {
            let mut coming = Coming::new(&stretch, settling(after, None));
            assert_eq!(coming.is_over(&state(3, 114)), over, "{after:?}");
        }
    }

    #[test]
    fn rows_of_records_are_over_when_what_held_them_is_closed() {
        let stretch = Stretch {
            offsets: BTreeMap::from([(1, vec![0..2, 1..3])]),
            ..Stretch::default()
        };
        let mut at_once = Coming::new(&stretch, settling(None, Some(i64::MIN)));
        assert!(!at_once.is_over(&state(2, 50)) && at_once.is_over(&state(3, 50)));
        let mut windows = Coming::new(&stretch, settling(None, Some(60)));
        assert!(!windows.is_over(&state(3, 50)));
        assert!(!windows.is_over(&state(4, 114)), "the watermark is at 109");
        assert!(windows.is_over(&state(5, 115)));
    }
}
