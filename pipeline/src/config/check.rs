//! Checks across keys and sections, after each section has been read for itself.

use std::collections::BTreeMap;

use ureq::http::Uri;

use super::load::{Config, Reader};
use super::sections::{AssetSource, EventTime};
use crate::kafka::ANSWER;

/// Settings that the delivery guarantee rests on, so that `kafka.options` must not change them.
const OWN_OPTIONS: [&str; 12] = [
    "bootstrap.servers",
    "client.id",
    "group.id",
    "group.instance.id",
    "enable.partition.eof",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "isolation.level",
    "transactional.id",
    "enable.idempotence",
    "acks",
];

/// Checks across keys and sections.
pub(super) fn check(config: &Config, reader: &mut Reader) {
    let source = &config.source;
    if source.topic.is_empty() && reader.lines.of("source").is_some() {
        reader.problem("source.topic", "is missing: name the telemetry topic");
    }
    if source.max_batch_messages == 0 {
        reader.problem("source.max-batch-messages", "must be at least 1");
    }
    for option in config.kafka.options.keys() {
        if OWN_OPTIONS.contains(&option.as_str()) {
            let message = "is set by forewarn: the delivery guarantee rests on it";
            reader.problem(&format!("kafka.options.{option}"), message);
        }
    }
    if config.service.workers == 0 {
        reader.problem("service.workers", "must be at least 1");
    }
    if let Some(traces) = &config.service.traces {
        let uri: Option<Uri> = traces.endpoint.parse().ok();
        if !uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some()) {
            let message = format!(
                "{:?} is not the address of a collector: write http://HOST:PORT, without encryption",
                traces.endpoint
            );
            reader.problem("service.traces.endpoint", message);
        }
    }
    if config.delivery.commit_interval.is_zero() {
        reader.problem("delivery.commit-interval", "must be longer than 0");
    }
    if config.delivery.watchdog <= ANSWER {
        let seconds = ANSWER.as_secs();
        let message = format!("must be longer than {seconds}s: brokers have that long to answer");
        reader.problem("delivery.watchdog", message);
    }
    if let Err(error) = config.models.policy() {
        reader.problem("models.public-keys", error.to_string());
    }
    for (key, message) in config.models.drift.problems() {
        reader.problem(&format!("models.drift.{key}"), message);
    }
    check_topics(config, reader);
    check_signals(config, reader);
    super::check_time::check(config, reader);
    for (i, served) in config.models.serve.iter().enumerate() {
        let path = format!("models.serve[{i}]");
        if !config.views.contains_key(&served.view) {
            let known: Vec<&str> = config.views.keys().map(String::as_str).collect();
            let message = format!(
                "{} is not a view; there is: {}",
                served.view,
                known.join(", ")
            );
            reader.problem(&format!("{path}.view"), message);
        }
        check_served(config, i, reader);
    }
    for (name, view) in &config.views {
        if view.features.is_empty() {
            reader.problem(
                &format!("views.{name}.features"),
                "is empty: name a signal or \"*\"",
            );
        }
    }
}

fn check_served(config: &Config, entry: usize, reader: &mut Reader) {
    let path = format!("models.serve[{entry}]");
    let (before, served) = (&config.models.serve[..entry], &config.models.serve[entry]);
    if before.iter().any(|other| other.name == served.name) {
        let message = format!(
            "{} is served twice: its results could not be told apart; give one entry all `assets`",
            served.name
        );
        reader.problem(&format!("{path}.name"), message);
    }
    if let Some(canary) = &served.canary
        && !(canary.share > 0.0 && canary.share <= 1.0)
    {
        let message = format!("must be above 0 and at most 1, not {}", canary.share);
        reader.problem(&format!("{path}.canary.share"), message);
    }
    for (i, challenger) in served.shadow.iter().enumerate() {
        let name = challenger.name.as_ref().unwrap_or(&served.name);
        if served.shadow[..i].contains(challenger) {
            reader.problem(
                &format!("{path}.shadow[{i}]"),
                format!("{name} is there twice"),
            );
        }
    }
}

fn check_topics(config: &Config, reader: &mut Reader) {
    let progress = config.progress_topic();
    let models = config.models_topic();
    let state = config.state_topic();
    let topics = [
        ("source.topic", &config.source.topic),
        ("sink.predictions", &config.sink.predictions),
        ("sink.dead-letters", &config.sink.dead_letters),
        ("sink.late", &config.sink.late),
        ("sink.status", &config.sink.status),
        ("sink.alarms", &config.sink.alarms),
        ("sink.shadow", &config.sink.shadow),
        ("sink.progress", &progress),
        ("sink.models", &models),
        ("sink.state", &state),
    ];
    for (i, (path, topic)) in topics.iter().enumerate() {
        if topic.is_empty() && i > 0 {
            reader.problem(path, "must name a topic");
        }
        if !topic.is_empty() && topics[..i].iter().any(|(_, other)| other == topic) {
            reader.problem(
                path,
                format!("topic {topic} is used twice: outputs would be read as input"),
            );
        }
    }
    for (name, status) in &config.statuses {
        let path = format!("status.{name}.topic");
        match &status.topic {
            Some(topic) if topic.is_empty() => reader.problem(&path, "must name a topic"),
            Some(topic) if topics.iter().any(|(_, other)| *other == topic) => {
                let message = format!("{topic} has records of another kind already");
                reader.problem(&path, message);
            }
            _ => {}
        }
    }
}

fn check_signals(config: &Config, reader: &mut Reader) {
    let mut fields: BTreeMap<&str, String> = BTreeMap::new();
    if let AssetSource::Field { field } = &config.source.asset {
        fields.insert(field, "source.asset".into());
    }
    if let EventTime::Field { field, .. } = &config.source.event_time
        && let Some(other) = fields.insert(field, "source.event-time".into())
    {
        reader.problem(
            "source.event-time",
            format!("uses field {field}, as {other} does"),
        );
    }
    let narrow = config.source.narrow.as_ref();
    for field in narrow
        .iter()
        .flat_map(|names| [&names.signal, &names.value])
    {
        if let Some(other) = fields.insert(field, "source.narrow".into()) {
            reader.problem(
                "source.narrow",
                format!("uses field {field}, as {other} does"),
            );
        }
    }
    if narrow.is_some() {
        // The names of the signals are values of one field then, not fields beside the others.
        fields.clear();
    }
    for signal in &config.signals {
        let path = format!("signals.{}", signal.name);
        if signal.min > signal.max {
            reader.problem(
                &path,
                format!("min {} is above max {}", signal.min, signal.max),
            );
        }
        if let Some(other) = fields.insert(&signal.field, path.clone()) {
            reader.problem(
                &path,
                format!("uses field {}, as {other} does", signal.field),
            );
        }
    }
}
