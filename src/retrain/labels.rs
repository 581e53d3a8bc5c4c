//! Reads labels: what happened to which asset, from the file or the topic that the recipe names.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result};
use forewarn_pipeline::Config;
use forewarn_pipeline::dead_letter::Position;
use forewarn_pipeline::kafka::notices;
use forewarn_pipeline::kafka::reader::{ReadError, read_records};
use forewarn_training::labels::{Happened, Message, Told, Topic, read_events};
use forewarn_training::recipe::Source;
use rdkafka::message::Message as _;

/// Everything that is told there.
///
/// # Errors
/// When it can't be read whole: what is learnt from a part of it is wrong.
pub(super) fn read(config: &Config, from: &Source) -> Result<Vec<Happened>> {
    let events = match from {
        Source::Topic(topic) => in_topic(config, topic),
        Source::File(file) => in_file(file),
    };
    events.with_context(|| format!("labels: {from}"))
}

fn in_file(path: &Path) -> Result<Vec<Happened>> {
    Ok(read_events(BufReader::new(File::open(path)?))?)
}

fn in_topic(config: &Config, topic: &Topic) -> Result<Vec<Happened>> {
    let mut told = Told::new(topic);
    let is_of_status = |name: &Option<String>| name.as_ref() == Some(&topic.name);
    let mut statuses = config.statuses.values().map(|status| &status.topic);
    match statuses.any(is_of_status) {
        true => notices::read(config, &topic.name, |at, said| told.notices(at, said)),
        false => events(config, topic, &mut told),
    }?;
    let (happened, passed_over) = told.finish(topic.unreadable)?;
    if let Some(unreadable) = passed_over {
        tracing::warn!(
            topic = topic.name,
            messages = unreadable.count,
            first = %unreadable.first,
            reason = unreadable.reason,
            "labels that can't be read are passed over"
        );
    }
    Ok(happened)
}

fn events(config: &Config, topic: &Topic, told: &mut Told) -> Result<(), ReadError> {
    read_records(config, &topic.name, |message| {
        let (partition, offset) = (message.partition(), message.offset());
        told.take(&Message {
            at: Position { partition, offset },
            key: message.key(),
            value: message.payload(),
            timestamp: message.timestamp().to_millis(),
        });
        Ok(())
    })
}
