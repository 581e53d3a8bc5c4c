//! Events that the messages of a topic tell.
//!
//! ```text
//!   in turn             pump-7: A    pump-7: B    pump-7: -    pump-7: C      tells C: a tombstone takes back what its key said
//!   latest-per-key      order-1: A   order-2: B   order-1: A'  order-2: -     tells A': and a later message does, too
//! ```
//!
//! Invariants:
//! - a message that can't be read is not left out in silence: it counts until it is taken back as any other one;
//! - the order between partitions changes nothing. With `latest-per-key`, compaction changes nothing either.

use std::collections::{BTreeMap, HashMap};

use forewarn_pipeline::dead_letter::Position;
use forewarn_pipeline::notices::Notice;
use serde::Deserialize;

use super::{Happened, LabelError, Until, When, failure};

/// `[labels.topic]`: where failures are told, instead of a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Topic {
    /// Topic of events, read from its beginning to its present end: `{"asset": "pump-7", "time": "2026-01-31T08:00:00Z",
    /// "kind": "failure"}`, and `until` where it lasts. Without `asset` the key names it, without `time` the record's timestamp is it; `kind` is
    /// `failure` where there is none. The topic of a status of the pipeline may be named, too: each time that the
    /// status holds is an event, and its kind is the name of the status.
    pub name: String,
    /// Under each key only the latest message counts: for topics that are compacted, or that tell the changes of a
    /// table, whose keys name the event. Default: every message counts, so that an asset, or a site, may be the key of
    /// many.
    #[serde(default)]
    pub latest_per_key: bool,
    /// So many messages that can't be read are passed over, because somebody has looked at them. Default: 0: nothing is
    /// learnt while a failure may be among them.
    #[serde(default)]
    pub unreadable: usize,
}

/// A record of the topic.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub at: Position,
    pub key: Option<&'a [u8]>,
    /// `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// Messages that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub count: usize,
    /// The first one, by partition and offset.
    pub first: Position,
    pub reason: String,
}

/// What a topic has told so far.
#[derive(Debug, Default)]
pub struct Told {
    latest_per_key: bool,
    by_place: BTreeMap<Position, Result<Happened, String>>,
    /// Offsets of what each key of a partition has said and not taken back.
    under: HashMap<(i32, Vec<u8>), Vec<i64>>,
    statuses: Statuses,
}

/// By asset and status, what holds from each instant on.
type Statuses = BTreeMap<(String, String), BTreeMap<i64, bool>>;

/// What a message says.
#[derive(Deserialize)]
struct Value {
    asset: Option<String>,
    time: Option<When>,
    #[serde(default = "failure")]
    kind: String,
    until: Option<When>,
}

impl Told {
    pub fn new(topic: &Topic) -> Self {
        Told {
            latest_per_key: topic.latest_per_key,
            ..Told::default()
        }
    }

    /// Takes a message of a topic of events; those of a partition come in their order.
    pub fn take(&mut self, message: &Message<'_>) {
        let Position { partition, offset } = message.at;
        if let Some(key) = message.key {
            let said = self.under.entry((partition, key.to_vec())).or_default();
            if message.value.is_none() || self.latest_per_key {
                for offset in said.drain(..) {
                    self.by_place.remove(&Position { partition, offset });
                }
            }
            if message.value.is_none() {
                return;
            }
            said.push(offset);
        }
        self.by_place.insert(message.at, message.read());
    }

    /// Takes what a record of a status' topic says, or why it can't be read.
    pub fn notices(&mut self, at: Position, said: Result<Vec<Notice>, String>) {
        let said = match said {
            Ok(said) => said,
            Err(reason) => return drop(self.by_place.insert(at, Err(reason))),
        };
        for notice in said {
            let of_asset = self.statuses.entry((notice.asset, notice.status));
            // Of two about one instant the later one counts.
            of_asset.or_default().insert(notice.at.0, notice.active);
        }
    }

    /// All events that hold, and the messages that are passed over, of which there may be `borne`.
    ///
    /// # Errors
    /// When more can't be read.
    pub fn finish(self, borne: usize) -> Result<(Vec<Happened>, Option<Unreadable>), LabelError> {
        let mut happened = beginnings(self.statuses);
        let mut unreadable: Option<Unreadable> = None;
        for (at, said) in self.by_place {
            match (said, &mut unreadable) {
                (Ok(event), _) => happened.push(event),
                (Err(_), Some(unreadable)) => unreadable.count += 1,
                (Err(reason), None) => {
                    unreadable = Some(Unreadable {
                        count: 1,
                        first: at,
                        reason,
                    });
                }
            }
        }
        match unreadable {
            Some(unreadable) if unreadable.count > borne => {
                Err(LabelError::Unreadable { unreadable, borne })
            }
            unreadable => Ok((happened, unreadable)),
        }
    }
}

impl Message<'_> {
    fn read(&self) -> Result<Happened, String> {
        let value = self.value.ok_or("it has neither a key nor a value")?;
        let value: Value =
            serde_json::from_slice(value).map_err(|error| format!("no event: {error}"))?;
        let asset = match (value.asset, self.key) {
            (Some(asset), _) => asset,
            (None, Some(key)) => String::from_utf8(key.to_vec())
                .map_err(|_| "it has no asset, and its key is not UTF-8")?,
            (None, None) => return Err("it has neither an asset nor a key".into()),
        };
        if asset.is_empty() {
            return Err("its asset has no name".into());
        }
        let at = match value.time {
            Some(when) => when.micros()?,
            None => {
                let micros = self.timestamp.and_then(|millis| millis.checked_mul(1_000));
                micros.ok_or("it has neither a time nor a timestamp")?
            }
        };
        Ok(Happened {
            asset,
            at,
            kind: value.kind,
            until: Until::read(value.until.as_ref(), at)?,
        })
    }
}

/// Where a status holds that did not hold before, until it holds no more.
fn beginnings(statuses: Statuses) -> Vec<Happened> {
    let mut happened: Vec<Happened> = Vec::new();
    for ((asset, status), instants) in statuses {
        let mut held = false;
        for (at, holds) in instants {
            if holds && !held {
                happened.push(Happened {
                    asset: asset.clone(),
                    at,
                    kind: status.clone(),
                    until: Until::Open,
                });
            }
            if held
                && !holds
                && let Some(event) = happened.last_mut()
            {
                event.until = Until::Time(at);
            }
            held = holds;
        }
    }
    happened
}

#[cfg(test)]
mod tests {
    use forewarn_pipeline::prediction::EventTimestamp;

    use super::*;

    /// Keys and values of a partition, in their order.
    fn told(latest_per_key: bool, messages: &[(Option<&str>, Option<&str>)]) -> Told {
        let mut told = Told::new(&Topic {
            name: String::new(),
            latest_per_key,
            unreadable: 0,
        });
        for (offset, (key, value)) in (0..).zip(messages) {
            told.take(&Message {
                at: Position {
                    partition: 0,
                    offset,
                },
                key: key.map(str::as_bytes),
                value: value.map(str::as_bytes),
                timestamp: Some(7),
            });
        }
        told
    }

    fn events(told: Told) -> Vec<(String, i64, String)> {
        let (happened, _) = told.finish(0).unwrap();
        let event = |event: Happened| (event.asset, event.at, event.kind);
        happened.into_iter().map(event).collect()
    }

    #[test]
    fn what_a_message_leaves_out_its_record_tells() {
        let all = told(
            false,
            &[
                (Some("a"), Some("{}")),
                (Some("order-1"), Some(r#"{"asset":"b","time":5}"#)),
                (
                    None,
                    Some(r#"{"asset":"c","time":"1970-01-01T00:00:01Z","kind":"stop","by":1}"#),
                ),
            ],
        );
        let expected = [
            ("a", 7_000, "failure"),
            ("b", 5_000, "failure"),
            ("c", 1_000_000, "stop"),
        ];
        let expected = expected.map(|(asset, at, kind)| (asset.into(), at, kind.into()));
        assert_eq!(events(all), expected);
    }

    #[test]
    fn an_asset_may_fail_many_times_under_its_key_and_a_tombstone_takes_all_back() {
        let failed = |at: &'static str| (Some("a"), Some(at));
        let (first, second) = (failed(r#"{"time":1}"#), failed(r#"{"time":2}"#));
        let of = |messages: &[_]| {
            let times = events(told(false, messages));
            let times: Vec<i64> = times.into_iter().map(|(_, at, _)| at / 1_000).collect();
            times
        };
        assert_eq!(of(&[first, second]), [1, 2]);
        assert_eq!(of(&[first, (Some("a"), None), second]), [2]);
        assert_eq!(of(&[first, (Some("b"), None)]), [1], "another key");
        assert_eq!(of(&[(Some("a"), None), first]), [1], "before it");
    }

    #[test]
    fn under_a_key_of_an_event_the_latest_message_counts_as_it_does_after_compaction() {
        let order = |key: &'static str, value: &'static str| (Some(key), Some(value));
        let all = [
            order("1", r#"{"asset":"a","time":1}"#),
            order("2", r#"{"asset":"a","time":2}"#),
            order("1", r#"{"asset":"a","time":3}"#),
            (Some("2"), None),
            order("3", "broken"),
            order("3", r#"{"asset":"b","time":4}"#),
        ];
        let compacted = [all[2], all[3], all[5]];
        let left = events(told(true, &all));
        assert_eq!(left, events(told(true, &compacted)));
        let times: Vec<i64> = left.into_iter().map(|(_, at, _)| at / 1_000).collect();
        assert_eq!(times, [3, 4]);
    }

    #[test]
    fn a_message_that_can_not_be_read_counts_until_it_is_taken_back() {
        let good = (Some("a"), Some("{}"));
        for (key, value, why) in [
            (Some("b"), Some("failed"), "no event: "),
            (Some("b"), Some(r#"{"time":"noon"}"#), "is no time"),
            (Some("b"), Some(r#"{"time":[]}"#), "no event: "),
            (Some("b"), Some(""), "no event: "),
            (Some("b"), Some(r#"{"asset":""}"#), "no name"),
            (Some("b"), Some(r#"{"until":1}"#), "ends before it begins"),
            (None, Some("{}"), "neither an asset nor a key"),
            (None, None, "neither a key nor a value"),
        ] {
            let messages = [good, (key, value), (key, value)];
            let LabelError::Unreadable { unreadable, .. } =
                told(false, &messages).finish(1).unwrap_err()
            else {
                panic!("{value:?}");
            };
            assert_eq!(unreadable.count, 2, "{value:?}");
            assert_eq!(unreadable.first.to_string(), "0:1", "{value:?}");
            assert!(unreadable.reason.contains(why), "{unreadable:?}");
            let (happened, passed_over) = told(false, &messages).finish(2).unwrap();
            assert_eq!((happened.len(), passed_over), (1, Some(unreadable)));
            if key.is_some() {
                let taken_back = [good, (key, value), (key, None)];
                let (happened, passed_over) = told(false, &taken_back).finish(0).unwrap();
                assert_eq!((happened.len(), passed_over), (1, None), "{value:?}");
            }
        }
    }

    #[test]
    fn each_beginning_of_a_status_is_an_event() {
        let mut told = Told::default();
        let said = [
            (10, true),
            (20, true),
            (30, false),
            // Told later: it had ended at 15 already.
            (15, false),
            (50, true),
            // Nobody was there after all.
            (50, false),
        ];
        for (record, (at, active)) in (0..).zip(said) {
            let notice = Notice {
                asset: "a".into(),
                status: "maintenance".into(),
                active,
                at: EventTimestamp(at),
                partition: 0,
                record,
            };
            let place = Position {
                partition: 0,
                offset: record,
            };
            told.notices(place, Ok(vec![notice]));
        }
        let (happened, _) = told.finish(0).unwrap();
        let told: Vec<(i64, Until)> = happened
            .iter()
            .map(|event| (event.at, event.until))
            .collect();
        assert_eq!(told, [(10, Until::Time(15)), (20, Until::Time(30))]);
        assert!(happened.iter().all(|event| event.kind == "maintenance"));
    }
}
