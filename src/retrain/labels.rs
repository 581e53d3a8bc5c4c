//! Reads labels: what happened to which asset, from the file or the topic that the recipe names.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, Result, bail};
use forewarn_pipeline::Config;
use forewarn_pipeline::dead_letter::Position;
use forewarn_pipeline::kafka::notices;
use forewarn_pipeline::kafka::reader::{ReadError, read_records};
use forewarn_training::labels::{Labels, Message, Told, Topic};
use forewarn_training::recipe::Labelling;
use rdkafka::message::Message as _;

/// # Errors
/// When they can't be read whole, or hold no failure: what is learnt from a part of them is wrong.
pub(super) fn read(config: &Config, from: &Labelling) -> Result<Labels> {
    let labels = match (&from.topic, &from.failures) {
        (Some(topic), _) => {
            in_topic(config, topic, &from.kinds).with_context(|| format!("topic {}", topic.name))
        }
        (None, Some(file)) => in_file(file, &from.kinds),
        (None, None) => bail!("nothing is named"),
    };
    labels.context("labels")
}

fn in_file(path: &Path, kinds: &[String]) -> Result<Labels> {
    let place = || path.display().to_string();
    let file = File::open(path).with_context(place)?;
    Labels::read(BufReader::new(file), kinds).with_context(place)
}

fn in_topic(config: &Config, topic: &Topic, kinds: &[String]) -> Result<Labels> {
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
    Ok(Labels::of(happened, kinds)?)
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
