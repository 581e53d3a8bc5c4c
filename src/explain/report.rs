//! What is told of an alarm.

use std::fmt::Write as _;

use forewarn_pipeline::alarms::AlarmRecord;
use forewarn_pipeline::prediction::EventTimestamp;
use serde_json::{Value, json};

use super::{Found, Reading, Row};

/// Readings of a window, and rows of a sequence, that are told as text; JSON has all.
const TOLD: usize = 20;

pub(super) struct Report<'e> {
    pub event: &'e AlarmRecord<'static>,
    /// All events of the occurrence.
    pub events: &'e [AlarmRecord<'static>],
    pub found: Found,
    /// Names of the signals, and the readings of a window.
    pub readings: (Vec<String>, Vec<Reading>),
    /// The result that decided, as it was published.
    pub published: Option<String>,
}

impl Report<'_> {
    fn prediction(&self) -> Value {
        let decided = self.found.results.last();
        decided.map_or(Value::Null, |decided| parsed(&decided.prediction))
    }

    /// Is what was published what the log gives, byte for byte?
    fn is_equal(&self) -> bool {
        let decided = self.found.results.last().map(|decided| &decided.prediction);
        decided == self.published.as_ref()
    }

    fn is_same_alarm(&self) -> bool {
        serde_json::to_string(self.event).is_ok_and(|published| published == self.found.again)
    }

    pub(super) fn json(&self) -> Value {
        let (names, readings) = &self.readings;
        let results = self.found.results.iter().map(|result| {
            json!({
                "at": EventTimestamp(result.head.at()),
                "first_offset": result.head.first_offset,
                "offset": result.head.offset,
                "value": result.value,
                "beyond": self.found.spec.is_beyond(0, result.value),
                "prediction": parsed(&result.prediction),
            })
        });
        let rows = self.found.rows.iter().map(|row| {
            json!({
                "at": EventTimestamp(row.head.at()),
                "first_offset": row.head.first_offset,
                "offset": row.head.offset,
                "values": named(&self.found.names, &row.values),
            })
        });
        let readings = readings.iter().map(|reading| {
            json!({
                "at": EventTimestamp(reading.at),
                "offset": reading.offset,
                "values": named(names, &reading.values),
            })
        });
        json!({
            "alarm": self.event,
            "events": self.events,
            "alarm_equal": self.is_same_alarm(),
            "rule": { "of": self.found.spec.of, "within": self.found.spec.within },
            "results": results.collect::<Vec<_>>(),
            "view": self.found.view,
            "rows": rows.collect::<Vec<_>>(),
            "readings": readings.collect::<Vec<_>>(),
            "recomputed": self.prediction(),
            "published": self.published.as_deref().map(parsed),
            "equal": self.is_equal(),
            "attribution": attribution(&self.prediction()),
        })
    }

    pub(super) fn text(&self) -> String {
        let (event, spec) = (self.event, &self.found.spec);
        let mut text = format!(
            "{} of {}: {} ({}) at {}\n  {}\n",
            event.alarm, event.asset, event.event, event.severity, event.event_time, event.reason
        );
        for other in self.events {
            let _ = writeln!(
                text,
                "  {:10} {:10} {}",
                other.event, other.severity, other.event_time
            );
        }
        let same = if self.is_same_alarm() {
            "equal"
        } else {
            "not equal"
        };
        let _ = writeln!(
            text,
            "from the log once more: {same} to what was published, byte for byte"
        );
        let _ = writeln!(
            text,
            "results ({} of {} beyond {} make it)",
            spec.of, spec.within, spec.severities[0].1
        );
        for result in &self.found.results {
            let beyond = if spec.is_beyond(0, result.value) {
                "beyond"
            } else {
                ""
            };
            let (at, value) = (EventTimestamp(result.head.at()), result.value);
            let line = format!(
                "  {at}  record {}  {} {value}  {beyond}",
                result.head.offset,
                spec.watched()
            );
            let _ = writeln!(text, "{}", line.trim_end());
        }
        self.rows(&mut text);
        self.readings(&mut text);
        let said = match &self.published {
            None => "not found among what was published".to_owned(),
            Some(_) if self.is_equal() => "equal to what was published, byte for byte".to_owned(),
            Some(published) => format!("not what was published: {published}"),
        };
        let decided = self.found.results.last();
        let recomputed = decided.map_or("", |decided| decided.prediction.as_str());
        let _ = writeln!(text, "recomputed, {said}\n  {recomputed}");
        for (name, share) in attribution(&self.prediction()) {
            let _ = writeln!(text, "  {:>5.1} %  {name}", share * 100.0);
        }
        text
    }

    fn rows(&self, text: &mut String) {
        let rows = &self.found.rows;
        let Some(Row { head, values }) = rows.last() else {
            return;
        };
        let partition = self.event.source.partition;
        let _ = writeln!(
            text,
            "row of view {}, of records {partition}:{}..{}",
            self.found.view,
            head.first_offset,
            head.offset + 1
        );
        for (name, value) in self.found.names.iter().zip(values) {
            let _ = writeln!(text, "  {name} {value}");
        }
        if rows.len() > 1 {
            let _ = writeln!(text, "after the rows, newest first");
            for row in rows.iter().rev().skip(1).take(TOLD) {
                let _ = writeln!(
                    text,
                    "  {}  record {}  {}",
                    EventTimestamp(row.head.at()),
                    row.head.offset,
                    list(&row.values)
                );
            }
            more(text, rows.len() - 1);
        }
    }

    fn readings(&self, text: &mut String) {
        let (names, readings) = &self.readings;
        if readings.is_empty() {
            return;
        }
        let _ = writeln!(text, "readings in the window: {}", names.join(" "));
        for reading in readings.iter().take(TOLD) {
            let (at, offset) = (EventTimestamp(reading.at), reading.offset);
            let _ = writeln!(text, "  {at}  record {offset}  {}", list(&reading.values));
        }
        more(text, readings.len());
    }
}

fn more(text: &mut String, count: usize) {
    if count > TOLD {
        let _ = writeln!(
            text,
            "  ... and {} more: --output json has them",
            count - TOLD
        );
    }
}

fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(" ")
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Null where a value is missing.
fn named(names: &[String], values: &[f64]) -> Value {
    let pairs = names.iter().zip(values);
    pairs
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect()
}

/// Features by their share, the largest first.
fn attribution(prediction: &Value) -> Vec<(String, f64)> {
    let told = [
        &prediction["anomaly"]["contributions"],
        &prediction["attribution"],
    ];
    let Some(shares) = told.iter().find_map(|shares| shares.as_object()) else {
        return Vec::new();
    };
    let shares = shares.iter();
    let mut shares: Vec<(String, f64)> = shares
        .map(|(name, share)| (name.clone(), share.as_f64().unwrap_or(0.0)))
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_told_by_their_share() {
        let told = attribution(&json!({"anomaly":{"contributions":{"a":0.25,"b":0.75}}}));
        assert_eq!(told, [("b".to_owned(), 0.75), ("a".to_owned(), 0.25)]);
        let told = attribution(&json!({"rul":{"value":3.0},"attribution":{"a":1.5,"b":-0.5}}));
        assert_eq!(told[1], ("b".to_owned(), -0.5));
        assert!(attribution(&json!({"unscored":{}})).is_empty());
    }
}
