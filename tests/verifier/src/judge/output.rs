//! One output record, wherever it comes from, and what the judge knows it by.

use std::fmt;

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use serde_json::Value;

/// The output topics that are compared with the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sink {
    Predictions,
    Shadow,
    Alarms,
    Status,
    DeadLetters,
    Late,
}

impl Sink {
    pub const ALL: [Sink; 6] = [
        Sink::Predictions,
        Sink::Shadow,
        Sink::Alarms,
        Sink::Status,
        Sink::DeadLetters,
        Sink::Late,
    ];
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sink::Predictions => "predictions",
            Sink::Shadow => "shadow",
            Sink::Alarms => "alarms",
            Sink::Status => "status",
            Sink::DeadLetters => "dead-letters",
            Sink::Late => "late",
        })
    }
}

/// A record of an output topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub sink: Sink,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// What the judge knows a record by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub sink: Sink,
    pub id: String,
}

/// Outputs that must come in the reference's order. The results of one model stand apart from those of the
/// others, and rows without a score from those with one: a worker writes a batch model by model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    pub sink: Sink,
    pub partition: i64,
    pub key: Option<Vec<u8>>,
    pub of: String,
}

impl Output {
    pub fn read(sink: Sink, message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            let pair = |header: rdkafka::message::Header<'_, &[u8]>| {
                (
                    header.key.to_owned(),
                    header.value.unwrap_or_default().to_vec(),
                )
            };
            headers.iter().map(pair).collect()
        });
        Output {
            sink,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// By its id; a message that was set aside by its place in the input.
    pub fn identity(&self) -> Identity {
        let place = |topic: &str, partition: &str, offset: &str| {
            let of = [topic, partition, offset].map(|name| self.header(name).unwrap_or_default());
            of.join("-")
        };
        let id = match self.sink {
            Sink::DeadLetters => place(
                "__connect.errors.topic",
                "__connect.errors.partition",
                "__connect.errors.offset",
            ),
            Sink::Late => place("forewarn.topic", "forewarn.partition", "forewarn.offset"),
            _ => self.header("ce_id").unwrap_or_default(),
        };
        Identity {
            sink: self.sink,
            id,
        }
    }

    fn json(&self) -> Value {
        let value = self.value.as_deref().unwrap_or_default();
        serde_json::from_slice(value).unwrap_or_default()
    }

    /// The record of the input that it is about: partition and offset.
    pub fn source(&self) -> Option<(i32, i64)> {
        let number = |name: &str| self.header(name)?.parse::<i64>().ok();
        let (partition, offset) = match self.sink {
            Sink::DeadLetters => (
                number("__connect.errors.partition")?,
                number("__connect.errors.offset")?,
            ),
            Sink::Late => (number("forewarn.partition")?, number("forewarn.offset")?),
            Sink::Status => {
                let json = self.json();
                (json["partition"].as_i64()?, json["offset"].as_i64()?)
            }
            Sink::Predictions | Sink::Shadow | Sink::Alarms => {
                let source = &self.json()["source"];
                (source["partition"].as_i64()?, source["offset"].as_i64()?)
            }
        };
        Some((i32::try_from(partition).ok()?, offset))
    }

    /// Of a result: source partition and offset, model, version, window and revision; not taken from its id.
    pub fn result(&self) -> Option<String> {
        if !matches!(self.sink, Sink::Predictions | Sink::Shadow) {
            return None;
        }
        let json = self.json();
        let (source, window) = (&json["source"], &json["window"]);
        let parts = [
            &source["partition"],
            &source["offset"],
            &json["asset"],
            &json["model"],
            &json["version"],
            &window["view"],
            &window["start"],
            &window["end"],
            &window["revision"],
            &window["as_of"],
        ];
        Some(parts.map(Value::to_string).join(" "))
    }

    pub fn stream(&self) -> Stream {
        let of = match self.sink {
            Sink::DeadLetters | Sink::Late => String::new(),
            Sink::Predictions | Sink::Shadow => {
                let json = self.json();
                let scored = json["unscored"].is_null();
                format!("{} {scored}", json["model"])
            }
            Sink::Status => self.json()["status"].to_string(),
            Sink::Alarms => self.json()["alarm"].to_string(),
        };
        Stream {
            sink: self.sink,
            partition: self.source().map_or(-1, |(partition, _)| partition.into()),
            key: self.key.clone(),
            of,
        }
    }

    /// Where it differs from another record with the same identity.
    pub fn difference(&self, other: &Output) -> Option<String> {
        if self.key != other.key {
            return Some(format!(
                "key {} instead of {}",
                text(&self.key),
                text(&other.key)
            ));
        }
        if self.value != other.value {
            return Some(format!(
                "value {} instead of {}",
                text(&self.value),
                text(&other.value)
            ));
        }
        if self.headers == other.headers {
            return None;
        }
        let own = self
            .headers
            .iter()
            .zip(&other.headers)
            .find(|(a, b)| a != b);
        Some(match own {
            Some(((name, value), (_, expected))) => format!(
                "header {name} {} instead of {}",
                String::from_utf8_lossy(value),
                String::from_utf8_lossy(expected)
            ),
            None => format!(
                "{} headers instead of {}",
                self.headers.len(),
                other.headers.len()
            ),
        })
    }
}

/// Bytes for a person, shortened.
fn text(bytes: &Option<Vec<u8>>) -> String {
    const MOST: usize = 400;
    match bytes {
        None => "nothing".into(),
        Some(bytes) if bytes.len() > MOST => {
            format!(
                "{}... ({} bytes)",
                String::from_utf8_lossy(&bytes[..MOST]),
                bytes.len()
            )
        }
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
