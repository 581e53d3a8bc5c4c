//! What was published beside what the log gives: paired by their ids, compared by their bytes.
//!
//! Both sides come in about the same order, and what only one of them has said waits for the other one.

use std::collections::HashMap;

use forewarn_pipeline::prediction::{EventTimestamp, SourceRef};
use serde::{Deserialize, Serialize};

/// What predictions and alarms have in common.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct About<'a> {
    pub asset: std::borrow::Cow<'a, str>,
    pub event_time: EventTimestamp,
    pub model: std::borrow::Cow<'a, str>,
    pub version: u32,
    pub source: SourceRef<'a>,
}

/// The outputs of one topic.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    waiting: HashMap<String, Waiting>,
    /// Bytes that wait.
    recomputed: usize,
    published: usize,
    counts: Counts,
    first: Option<Difference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Counts {
    pub equal: u64,
    pub different: u64,
    /// The log gives them, and they were not published.
    pub missing: u64,
    /// They were published, and the log does not give them.
    pub unexpected: u64,
}

#[derive(Debug)]
enum Waiting {
    Recomputed(Output),
    /// With its place in the topic. `is_judged`: what the log does not give of it is a difference.
    Published(Output, String, bool),
    /// Another version said something of this row: what the configured one gives is not compared.
    Excused,
}

/// An output, and the record that it was made of last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub record: (i32, i64),
    pub value: Vec<u8>,
}

/// Two values of one output; or one, where the other side has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub id: String,
    /// The record of the input that it was made of last.
    pub partition: i32,
    pub offset: i64,
    /// Where it was published.
    pub place: Option<String>,
    pub published: Option<String>,
    pub recomputed: Option<String>,
}

impl Comparison {
    pub(super) fn recomputed(&mut self, id: &str, output: Output) {
        match self.waiting.remove(id) {
            Some(Waiting::Published(said, place, _)) => {
                self.published -= said.value.len();
                self.pair(id, &said, place, &output);
            }
            Some(Waiting::Excused) => {}
            // The log can't give one id twice: should it, the later one counts.
            Some(Waiting::Recomputed(_)) | None => {
                self.recomputed += output.value.len();
                self.waiting
                    .insert(id.to_owned(), Waiting::Recomputed(output));
            }
        }
    }

    pub(super) fn published(&mut self, id: &str, said: Output, place: String, is_judged: bool) {
        match self.waiting.remove(id) {
            Some(Waiting::Recomputed(output)) => {
                self.recomputed -= output.value.len();
                self.pair(id, &said, place, &output);
            }
            Some(Waiting::Published(earlier, earlier_place, _)) => {
                self.published -= earlier.value.len();
                self.unexpected(id.to_owned(), &earlier, earlier_place);
                self.wait(id, said, place, is_judged);
            }
            Some(Waiting::Excused) | None => self.wait(id, said, place, is_judged),
        }
    }

    fn wait(&mut self, id: &str, said: Output, place: String, is_judged: bool) {
        self.published += said.value.len();
        let waiting = Waiting::Published(said, place, is_judged);
        self.waiting.insert(id.to_owned(), waiting);
    }

    /// What the log gives under `id` is not compared.
    pub(super) fn excuse(&mut self, id: String) {
        match self.waiting.get(&id) {
            Some(Waiting::Recomputed(output)) => {
                self.recomputed -= output.value.len();
                self.waiting.remove(&id);
            }
            Some(Waiting::Published(..)) => {}
            Some(Waiting::Excused) | None => drop(self.waiting.insert(id, Waiting::Excused)),
        }
    }

    fn pair(&mut self, id: &str, said: &Output, place: String, output: &Output) {
        if said.value == output.value {
            self.counts.equal += 1;
            return;
        }
        self.counts.different += 1;
        self.note(Difference {
            id: id.to_owned(),
            partition: output.record.0,
            offset: output.record.1,
            place: Some(place),
            published: Some(text(&said.value)),
            recomputed: Some(text(&output.value)),
        });
    }

    fn unexpected(&mut self, id: String, said: &Output, place: String) {
        self.counts.unexpected += 1;
        self.note(Difference {
            id,
            partition: said.record.0,
            offset: said.record.1,
            place: Some(place),
            published: Some(text(&said.value)),
            recomputed: None,
        });
    }

    /// Keeps the one of the earliest record.
    fn note(&mut self, difference: Difference) {
        let place = |difference: &Difference| (difference.partition, difference.offset);
        let is_first = |first: &Difference| place(&difference) < place(first);
        if self.first.as_ref().is_none_or(is_first) {
            self.first = Some(difference);
        }
    }

    /// Bytes that wait for what was published, and for what the log gives.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.recomputed, self.published)
    }

    /// Both sides have come to their ends: what still waits has no counterpart.
    pub(super) fn finish(mut self) -> (Counts, Option<Difference>) {
        for (id, waiting) in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Recomputed(output) => {
                    self.counts.missing += 1;
                    self.note(Difference {
                        id,
                        partition: output.record.0,
                        offset: output.record.1,
                        place: None,
                        published: None,
                        recomputed: Some(text(&output.value)),
                    });
                }
                Waiting::Published(said, place, true) => self.unexpected(id, &said, place),
                Waiting::Published(_, _, false) | Waiting::Excused => {}
            }
        }
        (self.counts, self.first)
    }
}

impl Counts {
    pub(super) fn are_equal(&self) -> bool {
        self.different + self.missing + self.unexpected == 0
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(offset: i64, value: &str) -> Output {
        Output {
            record: (0, offset),
            value: value.into(),
        }
    }

    fn place() -> String {
        "out 0:7".into()
    }

    fn counts(equal: u64, different: u64, missing: u64, unexpected: u64) -> Counts {
        Counts {
            equal,
            different,
            missing,
            unexpected,
        }
    }

    #[test]
    fn sides_may_come_in_any_order() {
        let mut both = Comparison::default();
        both.recomputed("a", output(0, "1"));
        both.published("b", output(1, "2"), place(), true);
        both.published("a", output(0, "1"), place(), true);
        both.recomputed("b", output(1, "2"));
        assert_eq!(both.waiting(), (0, 0));
        assert_eq!(both.finish(), (counts(2, 0, 0, 0), None));
    }

    #[test]
    fn the_first_difference_is_that_of_the_earliest_record() {
        let mut both = Comparison::default();
        for (offset, id) in [(5, "a"), (3, "b"), (4, "c")] {
            both.recomputed(id, output(offset, "1"));
        }
        both.published("a", output(5, "2"), place(), true);
        both.published("b", output(3, "3"), place(), true);
        both.published("d", output(9, "1"), place(), true);
        let (told, first) = both.finish();
        assert_eq!(told, counts(0, 2, 1, 1));
        let first = first.unwrap();
        assert_eq!((first.id.as_str(), first.offset), ("b", 3));
        assert_eq!(
            (first.published.as_deref(), first.recomputed.as_deref()),
            (Some("3"), Some("1"))
        );
    }

    #[test]
    fn one_that_comes_twice_is_unexpected_once() {
        let mut both = Comparison::default();
        both.published("a", output(0, "1"), place(), true);
        both.published("a", output(0, "1"), place(), true);
        both.recomputed("a", output(0, "1"));
        assert_eq!(both.finish().0, counts(1, 0, 0, 1));
    }

    #[test]
    fn what_is_excused_or_came_after_the_look_at_the_end_is_no_difference() {
        let mut both = Comparison::default();
        both.recomputed("a", output(0, "1"));
        both.excuse("a".into());
        both.excuse("b".into());
        both.recomputed("b", output(1, "1"));
        both.published("c", output(2, "1"), place(), false);
        assert_eq!(both.finish(), (counts(0, 0, 0, 0), None));
    }
}
