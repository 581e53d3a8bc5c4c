//! Where the rows of a table come from: enough to make it again, and to tell whether another one is of the same
//! features.
//!
//! It stands in a Parquet file's own metadata under `forewarn.lineage`; beside a CSV file, or a folder, as
//! `NAME.lineage.json`.

use std::collections::BTreeMap;

use forewarn_pipeline::engine::Step;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_pipeline::rows::Head;
use forewarn_pipeline::{Config, Plan};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::history::{Gone, History};

#[derive(Debug, Serialize)]
pub(crate) struct Lineage {
    /// The version that wrote it.
    forewarn: &'static str,
    written_at: EventTimestamp,
    pipeline: String,
    #[serde(flatten)]
    from: From,
    /// By partition.
    partitions: BTreeMap<i32, Partition>,
    stretch: serde_json::Value,
    /// Are the rows those that the service saw? Not where reading began late: see `warm_up`.
    exact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_up: Option<String>,
    rows: u64,
    #[serde(flatten)]
    content: Content,
}

/// What was gone through.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum From {
    Topic { topic: String, brokers: String },
    File { file: String },
}

/// First and last offset of the records that were read, and of those that rows are made of.
#[derive(Debug, Serialize)]
struct Partition {
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<(i64, i64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<(i64, i64)>,
    rows: u64,
}

/// What a row is.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    View {
        view: String,
        /// SHA-256 of everything in the configuration that the rows depend on.
        feature_hash: String,
        features: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence: Option<serde_json::Value>,
    },
    Scores {
        /// `name@version`.
        models: Vec<String>,
    },
}

impl Content {
    /// What the models of a plan say.
    pub(crate) fn scores(plan: &Plan) -> Self {
        let models = plan.models.iter();
        let versioned =
            models.map(|planned| format!("{}@{}", planned.model.name, planned.model.version));
        Content::Scores {
            models: versioned.collect(),
        }
    }

    /// Rows of a view, or sequences of them.
    pub(crate) fn view(
        config: &Config,
        view: &str,
        features: &[String],
        sequence: Option<serde_json::Value>,
    ) -> Self {
        let digest = Sha256::digest(config.definition(view).as_bytes());
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Content::View {
            view: view.to_owned(),
            feature_hash: format!("sha256:{hash}"),
            features: features.to_vec(),
            sequence,
        }
    }
}

/// The records of the rows that were written, by partition.
#[derive(Debug, Default)]
pub(crate) struct Rows(BTreeMap<i32, (i64, i64, u64)>);

impl Rows {
    pub(crate) fn note(&mut self, step: &Step<'_>, head: &Head) {
        let partition = step.partition(head.slot);
        let none = (i64::MAX, i64::MIN, 0);
        let (first, last, rows) = self.0.entry(partition).or_insert(none);
        *first = (*first).min(head.first_offset);
        *last = (*last).max(head.offset);
        *rows += 1;
    }
}

impl Lineage {
    pub(crate) fn new(
        config: &Config,
        history: &History<'_>,
        gone: &Gone,
        written: &Rows,
        content: Content,
    ) -> Self {
        let mut partitions = BTreeMap::new();
        for (partition, range) in &gone.read {
            let read = (!range.is_empty()).then_some((range.start, range.end - 1));
            let rows = written.0.get(partition);
            partitions.insert(
                *partition,
                Partition {
                    read,
                    written: rows.map(|(first, last, _)| (*first, *last)),
                    rows: rows.map_or(0, |(_, _, rows)| *rows),
                },
            );
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_micros() as i64);
        Lineage {
            forewarn: env!("CARGO_PKG_VERSION"),
            written_at: EventTimestamp(now / 1_000 * 1_000),
            pipeline: config.name.clone(),
            from: match history.file() {
                Some(file) => From::File {
                    file: file.display().to_string(),
                },
                None => From::Topic {
                    topic: config.source.topic.clone(),
                    brokers: config.kafka.brokers.clone(),
                },
            },
            rows: partitions
                .values()
                .map(|partition: &Partition| partition.rows)
                .sum(),
            partitions,
            stretch: history.asked(),
            exact: gone.warm_up.is_none(),
            warm_up: gone
                .warm_up
                .map(|warm_up| humantime::format_duration(warm_up).to_string()),
            content,
        }
    }
}

/// The lineage of nothing.
#[cfg(test)]
pub(super) fn for_tests() -> Lineage {
    Lineage {
        forewarn: "",
        written_at: EventTimestamp(0),
        pipeline: String::new(),
        from: From::File {
            file: String::new(),
        },
        partitions: BTreeMap::new(),
        stretch: serde_json::Value::Null,
        exact: true,
        warm_up: None,
        rows: 0,
        content: Content::Scores { models: Vec::new() },
    }
}
