//! Reads what other topics say about assets: notices, for statuses with a topic.
//!
//! Each worker reads these topics whole, joins no group and commits nothing there: how far each partition of the
//! input has taken them in is known from its marks.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::past::Past;
use super::reader::{ReadError, partitions, read_records};
use crate::config::Config;
use crate::dead_letter::Position;
use crate::decode::time;
use crate::notices::{KNOWN, Notice};
use crate::prediction::EventTimestamp;

/// The field that says whether a status holds, where the configuration names no other one.
const ACTIVE: &str = "active";
/// The field that says from when on.
const AT: &str = "at";
/// So many notices are kept before it is looked whether they are needed.
const FULL: usize = 100_000;
/// Most records taken between two batches.
const AT_ONCE: usize = 10_000;

/// The topics of all statuses, and what they said so far.
pub(super) struct NoticeReader {
    topics: Vec<Topic>,
    /// In the order in which they were read.
    notices: Vec<Notice>,
    /// By partition of the input: how many of `notices` it was given.
    given: HashMap<i32, usize>,
    /// So many are looked through for those that nothing is judged by any more.
    full: usize,
}

struct Topic {
    name: String,
    past: Past,
    fields: Fields,
}

/// Status and field.
type Fields = Vec<(String, String)>;

/// Hands what each record of a status' topic says, from its beginning to its present end, or why it can't be read, to
/// `on`.
///
/// # Errors
/// When there is no such topic, or a partition can't be read to its end.
pub fn read(
    config: &Config,
    topic: &str,
    mut on: impl FnMut(Position, Result<Vec<Notice>, String>),
) -> Result<(), ReadError> {
    let fields = fields(config, topic);
    read_records(config, topic, |message| {
        let (partition, offset) = (message.partition(), message.offset());
        on(Position { partition, offset }, notices(message, &fields));
        Ok(())
    })
}

/// The statuses that a topic tells.
fn fields(config: &Config, topic: &str) -> Fields {
    let told = config
        .statuses
        .iter()
        .filter(|(_, told)| told.topic.as_deref() == Some(topic));
    let field = |field: &Option<String>| field.clone().unwrap_or_else(|| ACTIVE.into());
    told.map(|(status, told)| (status.clone(), field(&told.field)))
        .collect()
}

impl NoticeReader {
    /// Opens the topics and reads them to their present end.
    ///
    /// # Errors
    /// When a topic is not there, or the brokers do not answer.
    pub fn open(config: &Config) -> Result<Self, ReadError> {
        let mut topics: Vec<Topic> = Vec::new();
        for name in config
            .statuses
            .values()
            .filter_map(|told| told.topic.as_ref())
        {
            if topics.iter().any(|topic| topic.name == *name) {
                continue;
            }
            let past = Past::open(config)?;
            past.begin(&partitions(past.consumer(), name, Offset::Beginning)?)?;
            topics.push(Topic {
                name: name.clone(),
                past,
                fields: fields(config, name),
            });
        }
        let mut notices = Vec::new();
        for topic in &topics {
            while let Some(message) = topic.past.next()? {
                topic.take(&message, &mut notices);
            }
        }
        Ok(NoticeReader {
            topics,
            notices,
            given: HashMap::new(),
            full: FULL,
        })
    }

    /// Takes what has come, without waiting.
    ///
    /// # Errors
    /// Those that waiting does not mend.
    pub fn poll(&mut self) -> Result<(), ReadError> {
        for topic in &self.topics {
            for _ in 0..AT_ONCE {
                let Some(message) = topic.past.more(Duration::ZERO)? else {
                    break;
                };
                topic.take(&message, &mut self.notices);
            }
        }
        if self.notices.len() > self.full {
            keep_latest(&mut self.notices);
            self.full = FULL.max(2 * self.notices.len());
            // What a partition knows already it does not take again.
            self.given.clear();
        }
        Ok(())
    }

    /// What partition `partition` of the input was not given yet; what it was given before it was rebuilt is
    /// among it after [`Self::again`].
    pub fn give(&mut self, partition: i32) -> &[Notice] {
        let given = self.given.entry(partition).or_default();
        let from = std::mem::replace(given, self.notices.len());
        &self.notices[from..]
    }

    /// The partition's state begins anew.
    pub fn again(&mut self, partition: i32) {
        self.given.remove(&partition);
    }
}

/// Keeps as many notices of each asset and status as a record is judged by.
fn keep_latest(notices: &mut Vec<Notice>) {
    let mut counts: HashMap<(String, String), usize> = HashMap::new();
    let latest = |notice: &Notice| {
        let about = (notice.asset.clone(), notice.status.clone());
        let count = counts.entry(about).or_default();
        *count += 1;
        *count <= KNOWN
    };
    let kept: Vec<bool> = notices.iter().rev().map(latest).collect();
    let mut kept = kept.into_iter().rev();
    notices.retain(|_| kept.next() == Some(true));
}

impl Topic {
    fn take(&self, message: &BorrowedMessage<'_>, known: &mut Vec<Notice>) {
        match notices(message, &self.fields) {
            Ok(said) => known.extend(said),
            Err(reason) => tracing::error!(
                topic = self.name,
                partition = message.partition(),
                offset = message.offset(),
                reason,
                "a notice that can't be read is passed over"
            ),
        }
    }
}

fn notices(
    message: &BorrowedMessage<'_>,
    fields: &[(String, String)],
) -> Result<Vec<Notice>, String> {
    let record = Record {
        key: message.key(),
        payload: message.payload(),
        timestamp: message.timestamp().to_millis(),
    };
    let notice = |said: Said| Notice {
        asset: said.asset,
        status: said.status,
        active: said.active,
        at: said.at,
        partition: message.partition(),
        record: message.offset(),
    };
    Ok(record.read(fields)?.into_iter().map(notice).collect())
}

/// A record of a status' topic.
struct Record<'a> {
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    timestamp: Option<i64>,
}

#[derive(Debug, PartialEq)]
struct Said {
    asset: String,
    status: String,
    active: bool,
    at: EventTimestamp,
}

impl Record<'_> {
    /// What it says of each status that it has a field of.
    fn read(&self, fields: &[(String, String)]) -> Result<Vec<Said>, String> {
        let key = self.key.ok_or("it has no key: the key names the asset")?;
        let asset = std::str::from_utf8(key).map_err(|_| "its key is not UTF-8")?;
        let stamped = || time::from_record(self.timestamp).map_err(|refusal| refusal.to_string());
        let said = |status: &str, active, at| Said {
            asset: asset.to_owned(),
            status: status.to_owned(),
            active,
            at: EventTimestamp(at),
        };
        let Some(payload) = self.payload else {
            let at = stamped()?;
            let over = fields.iter().map(|(status, _)| said(status, false, at));
            return Ok(over.collect());
        };
        let json: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(payload).map_err(|error| format!("no JSON object: {error}"))?;
        let at = match json.get(AT) {
            None | Some(serde_json::Value::Null) => stamped()?,
            Some(at) => instant(at)?,
        };
        let mut all = Vec::new();
        for (status, field) in fields {
            let active = match json.get(field) {
                None | Some(serde_json::Value::Null) => continue,
                Some(serde_json::Value::Bool(active)) => *active,
                Some(number) if number.as_f64() == Some(0.0) => false,
                Some(number) if number.as_f64() == Some(1.0) => true,
                Some(other) => {
                    return Err(format!(
                        "{field} is {other}: expected true or false, or 1 or 0"
                    ));
                }
            };
            all.push(said(status, active, at));
        }
        Ok(all)
    }
}

fn instant(at: &serde_json::Value) -> Result<i64, String> {
    let read = match at {
        serde_json::Value::String(text) => time::from_text(text, crate::config::TimeUnit::Rfc3339),
        other => {
            let millis = other.as_f64().unwrap_or(f64::NAN);
            time::from_number(millis, crate::config::TimeUnit::Ms)
        }
    };
    read.map_err(|refusal| format!("{AT}: {refusal}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: Option<&[u8]>, payload: Option<&str>) -> Result<Vec<(String, bool, i64)>, String> {
        let fields = [("maintenance", "active"), ("idle", "idle")];
        let fields = fields.map(|(status, field)| (status.to_owned(), field.to_owned()));
        let record = Record {
            key,
            payload: payload.map(str::as_bytes),
            timestamp: Some(7_000),
        };
        let said = record.read(&fields)?;
        let told = |said: Said| (said.status, said.active, said.at.0);
        Ok(said.into_iter().map(told).collect())
    }

    #[test]
    fn a_record_says_what_it_has_a_field_of() {
        let told = |payload: &str| read(Some(b"x"), Some(payload)).unwrap();
        let one = |status: &str, active, at| vec![(status.to_owned(), active, at)];
        assert_eq!(
            told(r#"{"active":true}"#),
            one("maintenance", true, 7_000_000)
        );
        let at = r#"{"idle":0,"at":"1970-01-01T00:00:02+00:00"}"#;
        assert_eq!(told(at), one("idle", false, 2_000_000));
        assert_eq!(
            told(r#"{"idle":1,"at":3000}"#),
            one("idle", true, 3_000_000)
        );
        assert_eq!(told(r#"{"active":true,"idle":false}"#).len(), 2);
        assert_eq!(told(r#"{"by":"somebody"}"#), []);
        let over = read(Some(b"x"), None).unwrap();
        assert_eq!(over.len(), 2);
        assert!(
            over.iter()
                .all(|(_, active, at)| !active && *at == 7_000_000)
        );
    }

    #[test]
    fn the_latest_notices_of_each_asset_are_kept() {
        let notice = |record: i64| Notice {
            asset: ["x", "y"][usize::from(record == 0)].into(),
            status: "s".into(),
            active: true,
            at: EventTimestamp(0),
            partition: 0,
            record,
        };
        let mut notices: Vec<Notice> = (0..2_000).map(notice).collect();
        keep_latest(&mut notices);
        assert_eq!(notices.len(), 1 + KNOWN);
        assert_eq!(
            (notices[0].record, notices[1].record),
            (0, 2_000 - KNOWN as i64)
        );
        assert!(notices.is_sorted_by_key(|notice| notice.record));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (key, payload, why) in [
            (None, "{}", "it has no key"),
            (Some(&b"\xff"[..]), "{}", "not UTF-8"),
            (Some(b"x"), "on", "no JSON object"),
            (Some(b"x"), r#"{"active":"yes"}"#, "expected true or false"),
            (Some(b"x"), r#"{"active":2}"#, "expected true or false"),
            (Some(b"x"), r#"{"active":true,"at":"soon"}"#, "at: "),
            (Some(b"x"), r#"{"active":true,"at":[]}"#, "at: "),
        ] {
            let told = read(key, Some(payload)).unwrap_err();
            assert!(told.contains(why), "{payload}: {told}");
        }
    }
}
