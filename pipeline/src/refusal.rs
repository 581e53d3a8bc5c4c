//! Why a message was refused. A refused message goes to the dead letter queue as it came; its neighbours in
//! the batch are not touched.
//!
//! Invariant: a code, once published, keeps its meaning: operators filter dead letters by it.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;

use crate::message::MessageIndex;

/// The reason, with what a person needs to mend it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("the message has no value (a tombstone): a reading needs one")]
    EmptyPayload,
    #[error("the message has {bytes} bytes, more than source.max-message-bytes ({max})")]
    TooLarge { bytes: usize, max: usize },
    #[error(
        "the key is empty: the producer must set it to the asset's name, or source.asset must name a field"
    )]
    EmptyKey,
    #[error("the key is not UTF-8")]
    InvalidKey,
    #[error("the value is not UTF-8 (at byte {at})")]
    InvalidUtf8 { at: usize },
    #[error("the value is not JSON: {detail}")]
    MalformedJson { detail: String },
    #[error("the value is JSON, but {found} instead of an object")]
    NotAnObject { found: &'static str },
    #[error("field {field} appears twice")]
    DuplicateField { field: String },
    #[error("field {field}, the asset's name, is missing or empty")]
    MissingAsset { field: String },
    #[error("asset {asset} does not match source.known-assets")]
    UnknownAsset { asset: String },
    #[error("the event time is missing ({field})")]
    MissingTime { field: String },
    #[error("the event time is not valid: {detail}")]
    InvalidTime { detail: String },
    #[error("field {field} is missing")]
    MissingField { field: String },
    #[error("signal {signal} is missing (field {field})")]
    MissingSignal { signal: String, field: String },
    #[error("field {field} is {found}, expected {expected}")]
    WrongType {
        field: String,
        expected: &'static str,
        found: &'static str,
    },
    #[error("field {field} is not a finite number")]
    NotFinite { field: String },
    #[error("signal {signal} is {value}, outside {min} to {max}")]
    OutOfRange {
        signal: String,
        value: f64,
        min: f64,
        max: f64,
    },
    #[error("the event time is {} ahead of the record's timestamp, more than event-time.max-ahead ({})",
        format_duration(*ahead), format_duration(*max))]
    ClockAhead { ahead: Duration, max: Duration },
    #[error("the event time is {} behind the record's timestamp, more than event-time.max-behind ({})",
        format_duration(*behind), format_duration(*max))]
    ClockBehind { behind: Duration, max: Duration },
    #[error("asset {asset} is one more than limits.max-assets-per-partition ({max})")]
    TooManyAssets { asset: String, max: usize },
    #[error(
        "asset {asset} keeps {bytes} bytes in view {view}, more than limits.max-bytes-per-asset ({max})"
    )]
    AssetStateFull {
        asset: String,
        view: String,
        bytes: usize,
        max: usize,
    },
}

impl Refusal {
    /// The stable code, published in the dead letter's headers and counted in the metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::EmptyPayload => "empty-payload",
            Refusal::TooLarge { .. } => "too-large",
            Refusal::EmptyKey => "empty-key",
            Refusal::InvalidKey => "invalid-key",
            Refusal::InvalidUtf8 { .. } => "invalid-utf8",
            Refusal::MalformedJson { .. } => "malformed-json",
            Refusal::NotAnObject { .. } => "not-an-object",
            Refusal::DuplicateField { .. } => "duplicate-field",
            Refusal::MissingAsset { .. } => "missing-asset",
            Refusal::UnknownAsset { .. } => "unknown-asset",
            Refusal::MissingTime { .. } => "missing-time",
            Refusal::InvalidTime { .. } => "invalid-time",
            Refusal::MissingField { .. } => "missing-field",
            Refusal::MissingSignal { .. } => "missing-signal",
            Refusal::WrongType { .. } => "wrong-type",
            Refusal::NotFinite { .. } => "not-finite",
            Refusal::OutOfRange { .. } => "out-of-range",
            Refusal::ClockAhead { .. } => "clock-ahead",
            Refusal::ClockBehind { .. } => "clock-behind",
            Refusal::TooManyAssets { .. } => "too-many-assets",
            Refusal::AssetStateFull { .. } => "asset-state-full",
        }
    }

    /// The stage that refused, in the words of `ARCHITECTURE.md`.
    pub fn stage(&self) -> &'static str {
        match self {
            Refusal::AssetStateFull { .. } => "windows",
            _ => "decode",
        }
    }
}

/// A refused message.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// `None` when it came in an earlier batch and had waited for the watermark.
    pub message: Option<MessageIndex>,
    pub partition: i32,
    pub offset: i64,
    pub refusal: Refusal,
}
