//! Marks: what the outputs of a partition depend on besides its records.
//!
//! Each stands before a record of the input. It is published to `sink.progress` in the transaction of what it
//! caused, and given back to the engine when the partition is rebuilt or replayed.

use serde::{Deserialize, Serialize};

use crate::notices::Notice;
use crate::prediction::EventTimestamp;

/// Stands in a partition before the record at `offset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub offset: i64,
    #[serde(flatten)]
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The watermark of a quiet partition went on to this, by the wall clock.
    Watermark(EventTimestamp),
    /// Another topic said something about an asset.
    Notice(Notice),
}

/// A mark, as published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    /// Of the input.
    pub partition: i32,
    #[serde(flatten)]
    pub mark: Mark,
}

impl Mark {
    /// The watermark goes on to `watermark`, in microseconds since 1970.
    pub fn advance(offset: i64, watermark: i64) -> Self {
        Mark {
            offset,
            what: What::Watermark(EventTimestamp(watermark)),
        }
    }

    pub fn notice(offset: i64, notice: Notice) -> Self {
        Mark {
            offset,
            what: What::Notice(notice),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written() {
        let notice = Notice {
            asset: "pump-7".into(),
            status: "maintenance".into(),
            active: true,
            at: EventTimestamp(1_000_000),
            partition: 2,
            record: 17,
        };
        for (mark, text) in [
            (
                Mark::advance(5, 1_000_000),
                r#"{"partition":1,"offset":5,"watermark":"1970-01-01T00:00:01Z"}"#,
            ),
            (
                Mark::notice(6, notice),
                r#"{"partition":1,"offset":6,"notice":{"asset":"pump-7","status":"maintenance","active":true,"at":"1970-01-01T00:00:01Z","partition":2,"record":17}}"#,
            ),
        ] {
            let record = MarkRecord { partition: 1, mark };
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
            assert_eq!(serde_json::from_str::<MarkRecord>(text).unwrap(), record);
        }
    }
}
