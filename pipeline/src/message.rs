//! Messages as the engine sees them: borrowed bytes and where in the log they stand. No Kafka type.

/// Index of a message in its batch.
pub type MessageIndex = u32;

/// A message of the input topic.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub partition: i32,
    pub offset: i64,
    /// The record's timestamp in milliseconds since 1970, UTC: its ingestion time.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}
