//! Labels: what happened to which asset, and when. They turn rows of the past into examples.
//!
//! ```text
//!   rows   ──────────────────────────────▶ time
//!                  ✗ failure          ✗ failure
//!   life   3 2 1 0 │ 4 3 2 1 0        │ -  -  -        remaining life, in units; after the last failure: censored
//!   normal    ·  ·   ·  ·                ·  ·  ·       away from every failure, by what is left out around it
//! ```
//!
//! An asset that has failed and was repaired begins a new life. Rows without a failure after them are censored: nobody
//! knows their remaining life, so they teach no remaining life; a model of the normal state may learn from them.
//!
//! Not here: what the messages of a topic tell (`topic.rs`), and reading one (the binary's `retrain/labels.rs`).

mod topic;

use std::collections::BTreeMap;
use std::io::BufRead;

use forewarn_pipeline::prediction::EventTimestamp;
use serde::Deserialize;

pub use topic::{Message, Told, Topic, Unreadable};

/// What happened, as a line of a file tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Event {
    asset: String,
    time: When,
    #[serde(default = "failure")]
    kind: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pub asset: String,
    /// Microseconds since 1970, UTC.
    pub at: i64,
    /// `failure`, or what else is kept in the same place, such as `maintenance`.
    pub kind: String,
}

fn failure() -> String {
    "failure".into()
}

/// An instant, as people and machines write it: RFC 3339, or milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum When {
    Text(String),
    Millis(i64),
}

impl When {
    /// Microseconds since 1970, UTC.
    fn micros(&self) -> Option<i64> {
        match self {
            When::Text(text) => match text.parse::<i64>() {
                Ok(millis) => millis.checked_mul(1_000),
                Err(_) => EventTimestamp::parse(text).ok().map(|time| time.0),
            },
            When::Millis(millis) => millis.checked_mul(1_000),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    #[error("line {line} can't be read: {source}")]
    Read { line: usize, source: std::io::Error },
    #[error(
        "line {line} is no event ({reason}): write asset,time,kind with a header, or JSON such as \
         {{\"asset\": \"pump-7\", \"time\": \"2026-01-01T00:00:00Z\", \"kind\": \"failure\"}}"
    )]
    Event { line: usize, reason: String },
    #[error("no event is of kind {}; there is: {}", wanted.join(" or "), none_or(found))]
    NoneOfKind {
        wanted: Vec<String>,
        found: Vec<String>,
    },
    #[error(
        "{} of its messages can't be read, more than labels.topic.unreadable, which is {borne}; the first one, {}: {}. Any of \
         them may be a failure: take it back by a message without a value under its key and say it again, or let so many be \
         passed over",
        unreadable.count,
        unreadable.first,
        unreadable.reason
    )]
    Unreadable {
        unreadable: Unreadable,
        borne: usize,
    },
}

fn none_or(found: &[String]) -> String {
    match found.is_empty() {
        true => "none at all".into(),
        false => found.join(", "),
    }
}

/// Failures by asset, in the order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, Vec<i64>>);

impl Labels {
    /// Reads lines of CSV with a header (`asset,time,kind`; more columns are passed over), or of JSON. Only events of
    /// `kinds` are failures.
    ///
    /// # Errors
    /// At the first line that can't be read; when there is no event of these kinds.
    pub fn read(input: impl BufRead, kinds: &[String]) -> Result<Self, LabelError> {
        let mut events = Vec::new();
        let mut header: Option<Vec<String>> = None;
        for (number, line) in input.lines().enumerate() {
            let number = number + 1;
            let line = line.map_err(|source| LabelError::Read {
                line: number,
                source,
            })?;
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |reason: String| LabelError::Event {
                line: number,
                reason,
            };
            let event: Event = if line.starts_with('{') {
                serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?
            } else if let Some(header) = &header {
                from_csv(header, line).map_err(wrong)?
            } else {
                header = Some(fields(line));
                continue;
            };
            let Some(at) = event.time.micros() else {
                return Err(wrong(format!("{:?} is no time", event.time)));
            };
            events.push(Happened {
                asset: event.asset,
                at,
                kind: event.kind,
            });
        }
        Labels::of(events, kinds)
    }

    /// The events that are of `kinds`, as failures.
    ///
    /// # Errors
    /// When there is none of them.
    pub fn of(
        events: impl IntoIterator<Item = Happened>,
        kinds: &[String],
    ) -> Result<Self, LabelError> {
        let (mut labels, mut found) = (Labels::default(), Vec::new());
        for event in events {
            if kinds.contains(&event.kind) {
                labels.add(event.asset, event.at);
            } else if !found.contains(&event.kind) {
                found.push(event.kind);
            }
        }
        if labels.0.is_empty() {
            let wanted = kinds.to_vec();
            return Err(LabelError::NoneOfKind { wanted, found });
        }
        Ok(labels)
    }

    /// When `asset` failed, in the order of time.
    pub fn failures(&self, asset: &str) -> &[i64] {
        self.0.get(asset).map_or(&[], Vec::as_slice)
    }

    /// `asset` failed at `time`, in microseconds since 1970.
    pub fn add(&mut self, asset: String, time: i64) {
        let failures = self.0.entry(asset).or_default();
        let place = failures.partition_point(|failure| *failure <= time);
        failures.insert(place, time);
    }

    /// Time until the next failure of `asset` at or after `time`, in microseconds; `None`: censored.
    pub fn left(&self, asset: &str, time: i64) -> Option<i64> {
        let failures = self.0.get(asset)?;
        let next = failures.partition_point(|failure| *failure < time);
        Some(failures.get(next)? - time)
    }

    /// Is `time` at most `before` ahead of a failure, or at most `after` behind one?
    pub fn is_near(&self, asset: &str, time: i64, (before, after): (i64, i64)) -> bool {
        let failures = self.failures(asset).iter();
        let mut distances = failures.map(|failure| failure - time);
        distances.any(|left| (-after..=before).contains(&left))
    }
}

fn fields(line: &str) -> Vec<String> {
    let fields = line.split(',');
    fields
        .map(|field| field.trim().trim_matches('"').to_owned())
        .collect()
}

fn from_csv(header: &[String], line: &str) -> Result<Event, String> {
    let values = fields(line);
    let value = |name: &str| {
        let place = header.iter().position(|column| column == name);
        place
            .and_then(|place| values.get(place))
            .filter(|value| !value.is_empty())
    };
    let needed = |name: &str| {
        let value = value(name).cloned();
        value.ok_or_else(|| format!("it has no {name}"))
    };
    Ok(Event {
        asset: needed("asset")?,
        time: When::Text(needed("time")?),
        kind: value("kind").cloned().unwrap_or_else(failure),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn read(text: &str) -> Result<Labels, LabelError> {
        Labels::read(text.as_bytes(), &["failure".to_owned()])
    }

    #[test]
    fn a_repaired_asset_has_a_life_after_its_failure_and_the_last_one_is_censored() {
        let labels = read(
            "asset,time,kind,note\n\
             pump-1,1970-01-01T05:00:00Z,failure,seal\n\
             pump-1,7200000,failure,\n\
             pump-1,1970-01-01T03:00:00Z,maintenance,\n",
        )
        .unwrap();
        let left: Vec<Option<i64>> = (0..7)
            .map(|hour| labels.left("pump-1", hour * HOUR).map(|left| left / HOUR))
            .collect();
        let expected = [Some(2), Some(1), Some(0), Some(2), Some(1), Some(0), None];
        assert_eq!(left, expected);
        assert_eq!(labels.left("pump-2", 0), None, "never failed");
    }

    #[test]
    fn what_is_near_a_failure_is_not_normal() {
        let labels = read("{\"asset\": \"a\", \"time\": 36000000}").unwrap();
        let near: Vec<bool> = (5..14)
            .map(|hour| labels.is_near("a", hour * HOUR, (3 * HOUR, 2 * HOUR)))
            .collect();
        let expected = [false, false, true, true, true, true, true, true, false];
        assert_eq!(near, expected);
        assert!(!labels.is_near("b", 10 * HOUR, (3 * HOUR, 2 * HOUR)));
    }

    #[test]
    fn a_line_that_is_no_event_is_told_with_its_number() {
        for (text, line) in [
            ("asset,time\npump,noon\n", 2),
            ("asset,time\n\npump,2026-01-01T00:00:00Z\n,5\n", 4),
            ("{\"asset\": \"a\"}", 1),
            ("asset,when\npump,5\n", 2),
        ] {
            let told = read(text).unwrap_err();
            assert!(
                matches!(told, LabelError::Event { line: at, .. } if at == line),
                "{text}: {told}"
            );
        }
    }

    #[test]
    fn events_of_other_kinds_only_are_no_failures() {
        let told = read("asset,time,kind\na,5,stop\nb,5,stop\n").unwrap_err();
        assert_eq!(
            told.to_string(),
            "no event is of kind failure; there is: stop"
        );
    }
}
