//! `forewarn replay --to-topic`: the messages of a stretch once more, to another topic.

use std::time::Instant;

use anyhow::{Result, bail};
use forewarn_pipeline::engine::EngineError;
use forewarn_pipeline::kafka::copy::{Pace, Target, copy};
use forewarn_pipeline::kafka::{replay, topics};
use forewarn_pipeline::message::Message;
use forewarn_pipeline::{Config, Engine, Plan};

use crate::cli::PastArgs;
use crate::guard;
use crate::history::History;
use crate::terminal::thousands;

/// `10x`: ten times as fast as it was.
pub(super) fn speed(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('x').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(speed) if speed > 0.0 && speed.is_finite() => Ok(speed),
        _ => Err("write it as 10x, for ten times as fast as it was; 1x is as it was".into()),
    }
}

/// Messages per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("write messages per second, such as 500".into()),
    }
}

pub(super) fn run(args: &PastArgs, config: &Config, topic: &str, pace: Pace) -> Result<()> {
    if args.input.is_some() {
        bail!("--to-topic copies messages of the topic: leave --input out");
    }
    is_allowed(config, topic)?;
    let mut plain = config.readings_only();
    let history = History::new(args, &mut plain)?;
    let plan = Plan::build(&plain, &guard::loader(&plain)?)?;
    let records = history.records(&plain, &plan)?;
    let target = target(config, topic)?;
    let mut engine = Engine::new(&plain, plan);
    for (partition, range) in &records {
        engine.assign(*partition, range.start, range.start, Vec::new());
    }
    let begun = Instant::now();
    let stretch = &history.stretch;
    let is_of_readings = stretch.is_of_readings();
    let select = |messages: &[Message<'_>]| -> Result<Vec<bool>, EngineError> {
        if !is_of_readings {
            let taken = messages
                .iter()
                .map(|message| stretch.takes_record(message.partition, message.offset));
            return Ok(taken.collect());
        }
        // What is no reading has neither asset nor event time: it is in no such stretch.
        let mut taken = vec![false; messages.len()];
        let step = engine.step(messages)?;
        for head in &step.views[0].heads {
            if let Some(message) = head.message.filter(|_| stretch.takes_row(&step, head)) {
                taken[message as usize] = true;
            }
        }
        Ok(taken)
    };
    let copied = copy(&plain, &records, &target, pace, select)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} messages of {} to {topic} in {seconds:.1} s ({} messages/s)",
        thousands(copied),
        config.source.topic,
        thousands((copied as f64 / seconds) as u64)
    );
    Ok(())
}

/// A copy must not come back to the pipeline, nor stand among its outputs.
fn is_allowed(config: &Config, topic: &str) -> Result<()> {
    if topic == config.source.topic {
        bail!(
            "{topic} is the topic that is replayed: its own messages would come again; name another one"
        );
    }
    let sink = &config.sink;
    let own = [
        &sink.predictions,
        &sink.dead_letters,
        &sink.late,
        &sink.status,
        &sink.alarms,
        &sink.shadow,
        &config.models_topic(),
        &config.progress_topic(),
        &config.state_topic(),
    ];
    let told = config
        .statuses
        .values()
        .filter_map(|status| status.topic.as_ref());
    if own.into_iter().chain(told).any(|own| own == topic) {
        bail!("{topic} is a topic of the pipeline itself: name another one");
    }
    Ok(())
}

/// The topic; it is made with as many partitions as the input when it is not there.
fn target(config: &Config, topic: &str) -> Result<Target> {
    let present = topics::list(&config.kafka)?;
    let partitions = match present.get(topic) {
        Some(partitions) => *partitions,
        None => {
            let partitions = replay::held(config)?.len();
            topics::create(&config.kafka, topic, partitions)?;
            partitions
        }
    };
    Ok(Target {
        topic: topic.to_owned(),
        partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::{rate, speed};

    #[test]
    fn a_pace_is_a_number_above_zero() {
        assert_eq!(speed("10x"), Ok(10.0));
        assert_eq!(speed("0.5x"), Ok(0.5));
        assert_eq!(rate("500"), Ok(500.0));
        for wrong in ["", "x", "0x", "-1x", "infx", "fast"] {
            assert!(speed(wrong).is_err() && rate(wrong).is_err(), "{wrong}");
        }
    }
}
