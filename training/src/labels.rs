//! Labels: what happened to which asset, and when. They turn rows of the past into examples.
//!
//! ```text
//!   rows   ──────────────────────────────▶ time
//!                  ✗ failure          ✗ failure
//!   life   3 2 1 0 │ 4 3 2 1 0        │ -  -  -        remaining life, in units; after the last failure: censored
//! ```
//!
//! An asset that has failed and was repaired begins a new life. Rows without a failure after them are censored: nobody
//! knows their remaining life, so they teach no remaining life; a model of the normal state may learn from them
//! (`episodes.rs`).
//!
//! Not here: what the messages of a topic tell (`topic.rs`), and reading one (the binary's `retrain/labels.rs`).

mod topic;

use std::collections::BTreeMap;
use std::io::BufRead;

use forewarn_pipeline::prediction::EventTimestamp;
use serde::Deserialize;

pub use topic::{Message, Told, Topic, Unreadable};

/// What happened to an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    pub asset: String,
    /// Microseconds since 1970, UTC.
    pub at: i64,
    /// `failure`, or what else is kept in the same place, such as `maintenance`.
    pub kind: String,
    pub until: Until,
}

/// How long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It is an instant, as a failure is.
    Instant,
    /// Until then, microseconds since 1970, not before its time.
    Time(i64),
    /// It lasts still.
    Open,
}

/// An event as it is written.
#[derive(Debug, Deserialize)]
struct Written {
    asset: String,
    /// RFC 3339, or milliseconds since 1970.
    time: When,
    #[serde(default = "failure")]
    kind: String,
    /// As `time`, or `open`; nothing, where it is an instant.
    #[serde(default)]
    until: Option<When>,
}

fn failure() -> String {
    "failure".into()
}

/// An instant, as people and machines write it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum When {
    Text(String),
    Millis(i64),
}

impl When {
    /// Microseconds since 1970, UTC.
    fn micros(&self) -> Result<i64, String> {
        let micros = match self {
            When::Text(text) => match text.parse::<i64>() {
                Ok(millis) => millis.checked_mul(1_000),
                Err(_) => EventTimestamp::parse(text).ok().map(|time| time.0),
            },
            When::Millis(millis) => millis.checked_mul(1_000),
        };
        micros.ok_or_else(|| match self {
            When::Text(text) => format!("{text:?} is no time"),
            When::Millis(millis) => format!("{millis} is no time"),
        })
    }
}

impl Until {
    /// Of what is written as the end of an event at `time`.
    fn read(written: Option<&When>, time: i64) -> Result<Self, String> {
        let until = match written {
            None => Until::Instant,
            Some(When::Text(text)) if text == OPEN => Until::Open,
            Some(when) => Until::Time(when.micros()?),
        };
        match until {
            Until::Time(until) if until < time => Err("it ends before it begins".into()),
            _ => Ok(until),
        }
    }
}

impl TryFrom<Written> for Happened {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let time = written.time.micros()?;
        let until = Until::read(written.until.as_ref(), time)?;
        Ok(Happened {
            asset: written.asset,
            at: time,
            kind: written.kind,
            until,
        })
    }
}

/// What is written as the end of an event that lasts still.
const OPEN: &str = "open";

#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    #[error("line {line} can't be read: {source}")]
    Read { line: usize, source: std::io::Error },
    #[error(
        "line {line} is no event ({reason}): write asset,time,kind,until with a header, or JSON such as \
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

/// Reads lines of CSV with a header (`asset,time`, and if wanted `kind` and `until`; more columns are passed over), or of
/// JSON with the same names. Times are RFC 3339, or milliseconds since 1970.
///
/// # Errors
/// At the first line that can't be read.
pub fn read_events(input: impl BufRead) -> Result<Vec<Happened>, LabelError> {
    let (mut events, mut header): (_, Option<Vec<String>>) = (Vec::new(), None);
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
        let written: Written = if line.starts_with('{') {
            serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?
        } else if let Some(header) = &header {
            from_csv(header, line).map_err(wrong)?
        } else {
            header = Some(fields(line));
            continue;
        };
        events.push(Happened::try_from(written).map_err(wrong)?);
    }
    Ok(events)
}

impl Labels {
    /// The failures among `events`: those of `kinds`.
    ///
    /// # Errors
    /// When there is no event of these kinds.
    pub fn of(events: Vec<Happened>, kinds: &[String]) -> Result<Self, LabelError> {
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
}

fn fields(line: &str) -> Vec<String> {
    let fields = line.split(',');
    fields
        .map(|field| field.trim().trim_matches('"').to_owned())
        .collect()
}

fn from_csv(header: &[String], line: &str) -> Result<Written, String> {
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
    Ok(Written {
        asset: needed("asset")?,
        time: When::Text(needed("time")?),
        kind: value("kind").cloned().unwrap_or_else(failure),
        until: value("until").cloned().map(When::Text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn read(text: &str) -> Result<Labels, LabelError> {
        Labels::of(read_events(text.as_bytes())?, &["failure".to_owned()])
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
    fn a_line_that_is_no_event_is_told_with_its_number() {
        for (text, line) in [
            ("asset,time\npump,noon\n", 2),
            ("asset,time\n\npump,2026-01-01T00:00:00Z\n,5\n", 4),
            ("{\"asset\": \"a\"}", 1),
            ("asset,when\npump,5\n", 2),
            ("asset,time,until\npump,5,4\n", 2),
            ("asset,time,until\npump,5,open\npump,5,shut\n", 3),
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
