//! Notices: what another topic says about an asset, such as that it is under maintenance from an instant on.
//!
//! ```text
//!   notices    on at 10 ─┐   off at 30 ─┐         each is a mark: records from its offset on know of it
//!   records    5   12    9     40       35  20
//!   status     0   0     0     1        0   1     the latest instant at or before the record's, of those known
//! ```
//!
//! Invariant: the status of a record is a function of its instant, its offset, and the marks before it.
//!
//! Not here: reading the topic (`kafka/notices.rs`).

use std::collections::{BTreeMap, HashMap};

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::prediction::EventTimestamp;

/// A record is judged by so many notices about its asset and status, the latest ones before it.
pub const KNOWN: usize = 1_024;

/// What a record of a status' topic says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub asset: String,
    /// The name of the status.
    pub status: String,
    pub active: bool,
    /// From when on; it may be in the past or in the future.
    pub at: EventTimestamp,
    /// Where it stands in the topic of its status.
    pub partition: i32,
    /// Its offset there.
    pub record: i64,
}

/// The notices of one partition of the input.
#[derive(Debug, Default)]
pub struct Notices {
    /// By the asset's name: it may be spoken of before its first reading. In the order of the marks.
    known: HashMap<CompactString, Vec<Known>>,
    /// By status, and partition of its topic: the next record that is not known.
    read_to: BTreeMap<(usize, i32), i64>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// Records of the input know of it from here on.
    offset: i64,
    status: usize,
    active: bool,
    at: i64,
}

impl Notices {
    /// Takes a notice in that stands before the record at `offset`; `status` is its place in the plan.
    pub fn take(&mut self, offset: i64, status: usize, notice: &Notice) {
        let next = self.read_to.entry((status, notice.partition)).or_default();
        *next = (*next).max(notice.record + 1);
        let of_asset = self.known.entry(notice.asset.as_str().into());
        let of_asset = of_asset.or_default();
        of_asset.push(Known {
            offset,
            status,
            active: notice.active,
            at: notice.at.0,
        });
    }

    /// Forgets notices about `asset` that no record is judged by any more.
    pub fn prune(&mut self, asset: &str, status: usize) {
        let Some(of_asset) = self.known.get_mut(asset) else {
            return;
        };
        let kept = of_asset.iter().filter(|known| known.status == status);
        let kept = kept.count();
        if kept >= 2 * KNOWN {
            let mut surplus = kept - KNOWN;
            of_asset.retain(|known| {
                let drop = known.status == status && surplus > 0;
                surplus -= usize::from(drop);
                !drop
            });
        }
    }

    pub fn is_known(&self, status: usize, notice: &Notice) -> bool {
        let read_to = self.read_to.get(&(status, notice.partition));
        read_to.is_some_and(|next| notice.record < *next)
    }

    /// What is said about `asset` at instant `at`, as the record at `offset` knows it: active or not, and since
    /// when. `None` when nothing is.
    pub fn status(&self, asset: &str, status: usize, at: i64, offset: i64) -> Option<(bool, i64)> {
        if self.known.is_empty() {
            return None;
        }
        let of_asset = self.known.get(asset)?;
        let before = of_asset.partition_point(|known| known.offset <= offset);
        let told = of_asset[..before].iter().rev();
        let told = told.filter(|known| known.status == status).take(KNOWN);
        // Of two about one instant the later one counts: it comes first here.
        let mut best: Option<&Known> = None;
        for known in told.filter(|known| known.at <= at) {
            if best.is_none_or(|best| known.at > best.at) {
                best = Some(known);
            }
        }
        best.map(|known| (known.active, known.at))
    }

    pub fn bytes(&self) -> usize {
        let of_asset = |known: &Vec<Known>| known.capacity() * size_of::<Known>();
        self.known.values().map(of_asset).sum::<usize>()
            + self.known.capacity() * size_of::<(CompactString, Vec<Known>)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(record: i64, at: i64, active: bool) -> Notice {
        Notice {
            asset: "x".into(),
            status: "s".into(),
            active,
            at: EventTimestamp(at),
            partition: 0,
            record,
        }
    }

    #[test]
    fn a_record_knows_the_latest_instant_of_the_notices_before_it() {
        let mut notices = Notices::default();
        notices.take(2, 0, &notice(0, 10, true));
        notices.take(3, 0, &notice(1, 30, false));
        // Told later: it had ended at 20 already.
        notices.take(7, 0, &notice(2, 20, false));
        let told = |offset, at| notices.status("x", 0, at, offset);
        assert_eq!(told(1, 15), None, "nobody had said so yet");
        assert_eq!(told(2, 9), None, "before it began");
        assert_eq!(told(2, 40), Some((true, 10)));
        assert_eq!(told(3, 29), Some((true, 10)));
        assert_eq!(told(3, 30), Some((false, 30)));
        assert_eq!(told(7, 25), Some((false, 20)));
        assert_eq!(notices.status("x", 1, 25, 7), None, "another status");
        assert_eq!(notices.status("y", 0, 25, 7), None, "another asset");
        assert!(notices.is_known(0, &notice(2, 0, true)));
        assert!(!notices.is_known(0, &notice(3, 0, true)));
    }

    #[test]
    fn of_two_about_one_instant_the_later_one_counts() {
        let mut notices = Notices::default();
        notices.take(0, 0, &notice(0, 10, true));
        notices.take(0, 0, &notice(1, 10, false));
        assert_eq!(notices.status("x", 0, 11, 0), Some((false, 10)));
    }

    #[test]
    fn what_nobody_is_judged_by_is_forgotten() {
        let mut notices = Notices::default();
        for record in 0..10_000 {
            notices.take(record, 0, &notice(record, record, record % 2 == 0));
            notices.prune("x", 0);
        }
        assert!(notices.known["x"].len() <= 2 * KNOWN);
        let told = notices.status("x", 0, 9_500, 10_000);
        assert_eq!(told, Some((true, 9_500)));
    }
}
