//! The watermark of one partition: how far event time has come, as a function of the partition's records.
//!
//! ```text
//!   watermark = max(running maximum of event time − out-of-orderness bound, marks)
//!
//!   a reading at t     t ≥ watermark before it: in time, released when the watermark reaches t
//!                      t < watermark before it: behind, released at once; windows that it comes too late
//!                                               for do not take it
//! ```
//!
//! It is judged at each record, so that what is late does not depend on where batches are cut. A mark is the
//! advance of a quiet partition's watermark by the wall clock; it is written to the log of outputs and comes
//! back from there in a replay, at the same record. The order of release is by (watermark at release, offset),
//! which is total.
//!
//! Not here: the wall clock, which only the worker reads.

use std::collections::VecDeque;

use crate::rows::Release;

/// An advance of the watermark before the record at `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    pub offset: i64,
    /// Microseconds since 1970.
    pub watermark: i64,
}

#[derive(Debug)]
pub struct Watermark {
    bound: i64,
    /// Running maximum of event time; `i64::MIN` before the first reading.
    latest: i64,
    at: i64,
    /// The watermark up to which outputs are published already.
    published: i64,
    /// Marks of an earlier run, not yet reached.
    marks: VecDeque<Advance>,
    /// Marks up to this record were committed with what they caused.
    publish_from: i64,
}

impl Watermark {
    /// `bound` in microseconds; `marks` as they were written, in the order of their offsets. What marks up to
    /// the record `publish_from` caused is published already.
    pub fn new(bound: i64, marks: Vec<Advance>, publish_from: i64) -> Self {
        Watermark {
            bound,
            latest: i64::MIN,
            at: i64::MIN,
            published: i64::MIN,
            marks: marks.into(),
            publish_from,
        }
    }

    /// Takes note of an accepted reading. `publish`: its outputs are not published yet.
    pub fn observe(&mut self, offset: i64, event_at: i64, publish: bool) -> Release {
        self.reach(offset);
        let before = self.at;
        self.latest = self.latest.max(event_at);
        self.at = self.at.max(self.latest.saturating_sub(self.bound));
        if !publish {
            self.published = self.at;
        }
        let in_time = event_at >= before;
        Release {
            at: if in_time { event_at } else { before },
            in_time,
        }
    }

    /// Applies the marks of an earlier run up to the record at `offset`.
    pub fn reach(&mut self, offset: i64) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.offset <= offset) {
            self.at = self.at.max(mark.watermark);
            if mark.offset <= self.publish_from {
                self.published = self.published.max(self.at);
            }
            self.marks.pop_front();
        }
    }

    /// Goes on without a record, as a mark does. False when it is there already.
    pub fn advance(&mut self, to: i64) -> bool {
        let ahead = to > self.at;
        self.at = self.at.max(to);
        ahead
    }

    /// The latest event time; `i64::MIN` before the first reading.
    pub fn latest(&self) -> i64 {
        self.latest
    }

    /// Goes on from where it was before a restart. What was due by then is published.
    pub fn restore(&mut self, latest: i64, at: i64) {
        self.latest = latest;
        self.at = at;
        self.published = at;
    }

    /// Where the watermark is.
    pub fn at(&self) -> i64 {
        self.at
    }

    /// Where it would be after `quiet` microseconds without a record, going on with the wall clock.
    pub fn after(&self, quiet: i64) -> Option<i64> {
        (self.latest != i64::MIN)
            .then(|| self.latest.saturating_sub(self.bound).saturating_add(quiet))
    }

    /// Is what becomes due at `time` still to be published?
    pub fn is_unpublished(&self, time: i64) -> bool {
        time > self.published
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_judged_at_each_record() {
        let mut watermark = Watermark::new(5, Vec::new(), 0);
        let told: Vec<(i64, bool)> = [10, 7, 20, 14, 15, 3]
            .iter()
            .enumerate()
            .map(|(offset, at)| watermark.observe(offset as i64, *at, true))
            .map(|release| (release.at, release.in_time))
            .collect();
        // 14 comes when the watermark is at 15; 15 itself is in time.
        let expected = [
            (10, true),
            (7, true),
            (20, true),
            (15, false),
            (15, true),
            (15, false),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_mark_comes_back_at_its_record_and_what_it_caused_is_published() {
        let mark = Advance {
            offset: 2,
            watermark: 100,
        };
        let mut watermark = Watermark::new(0, vec![mark], 2);
        watermark.observe(0, 10, false);
        watermark.observe(1, 20, true);
        assert_eq!(watermark.at(), 20);
        let release = watermark.observe(2, 30, true);
        assert_eq!((release.at, release.in_time), (100, false));
        assert!(!watermark.is_unpublished(100) && watermark.is_unpublished(101));
    }

    #[test]
    fn a_quiet_partition_goes_on_with_the_wall_clock() {
        let mut watermark = Watermark::new(5, Vec::new(), 0);
        assert_eq!(watermark.after(1_000), None);
        watermark.observe(0, 50, true);
        assert_eq!(watermark.after(30), Some(75));
        assert!(watermark.advance(75) && !watermark.advance(75));
    }
}
