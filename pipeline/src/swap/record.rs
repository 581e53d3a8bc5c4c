//! What happens to the models of a running service, as published: together with the log it says which version
//! scored which record.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelEvent {
    /// Another version serves from these records on.
    Swapped,
    /// The version on trial failed: the one before serves from these records on.
    RolledBack,
    /// A worker took partitions over, in which this version serves from these records on.
    TakenOver,
}

/// One event of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelEventRecord<'a> {
    pub event: ModelEvent,
    pub model: Cow<'a, str>,
    /// `champion`, `canary` or `challenger`.
    pub role: Cow<'a, str>,
    pub from: u32,
    pub to: u32,
    /// Who promoted it.
    pub by: Cow<'a, str>,
    pub why: Cow<'a, str>,
    /// The worker that did it: process and thread.
    pub worker: Cow<'a, str>,
    /// By partition, the first record that `to` scores.
    pub offsets: BTreeMap<i32, i64>,
}
