//! `forewarn feed`: telemetry to score, from NASA's engines or simulated cars, to Kafka or a file.
//!
//! ```text
//!   cmapss, cars: write records → Pace (rate, progress) → Target: Kafka topic, or file
//! ```

mod cars;
mod cmapss;
mod target;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use forewarn_pipeline::config::Kafka;
use forewarn_pipeline::kafka::topics;
use indicatif::ProgressBar;

use crate::cli::{FeedArgs, FeedSource, FeedTargetArgs};
use crate::terminal::{progress, thousands};

pub(crate) use cars::CarFeed;
pub(crate) use cmapss::EngineFeed;
pub(crate) use target::{Encoding, FileTarget, KafkaTarget, Target};

/// How often a paced feed looks at the clock: bursts of at most 5 ms of messages.
const PACE_STEP: Duration = Duration::from_millis(5);

pub(crate) fn run(args: &FeedArgs) -> Result<()> {
    match &args.source {
        FeedSource::Cmapss(args) => {
            let feed = EngineFeed::load(args.data.as_deref(), args.subset, args.split)?;
            let bar = progress(feed.len(), "readings");
            let pace = Pace::new(args.to.rate, bar)?;
            let topic = args.to.topic.as_deref().unwrap_or("turbofan-telemetry");
            let mut telemetry = open(&args.to, topic)?;
            report(feed.run(telemetry.as_mut(), pace)?, &args.to, topic);
            if let Some(file) = &args.failures {
                let failures = feed.failures(args.data.as_deref())?.csv();
                std::fs::write(file, failures).with_context(|| file.display().to_string())?;
            }
            if let Some(topic) = &args.failures_topic {
                let kafka = kafka(&args.to);
                topics::require_kept(&kafka, topic)?;
                let failures = feed.failures(args.data.as_deref())?;
                failures.tell(&mut KafkaTarget::open(&kafka, topic)?)?;
            }
        }
        FeedSource::Cars(args) => {
            let feed = CarFeed::new(args.assets, args.steps, args.seed)?;
            let pace = Pace::new(args.to.rate, progress(feed.len(), "readings"))?;
            let topic = args.to.topic.as_deref().unwrap_or("car-telemetry");
            let mut telemetry = open(&args.to, topic)?;
            let mut truth: Box<dyn Target> = match (&args.truth_output, &args.to.output) {
                (Some(file), _) => Box::new(FileTarget::create(file)?),
                (None, Some(_)) => Box::new(target::Nowhere),
                (None, None) => {
                    let default = format!("{topic}-truth");
                    open(&args.to, args.truth_topic.as_deref().unwrap_or(&default))?
                }
            };
            report(
                feed.run(telemetry.as_mut(), truth.as_mut(), pace)?,
                &args.to,
                topic,
            );
            if let Some(file) = &args.failures {
                if args.steps == 0 {
                    bail!("--failures needs an end: give --steps");
                }
                std::fs::write(file, feed.failures())
                    .with_context(|| file.display().to_string())?;
            }
        }
    }
    Ok(())
}

fn open(args: &FeedTargetArgs, topic: &str) -> Result<Box<dyn Target>> {
    if let Some(file) = &args.output {
        return Ok(Box::new(FileTarget::create(file)?));
    }
    let kafka = kafka(args);
    topics::require_one(&kafka, topic, Some(args.partitions))?;
    Ok(Box::new(KafkaTarget::open(&kafka, topic)?))
}

fn kafka(args: &FeedTargetArgs) -> Kafka {
    Kafka {
        brokers: args.brokers.clone(),
        ..Kafka::default()
    }
}

fn report(fed: Fed, args: &FeedTargetArgs, topic: &str) {
    let rate = fed.messages as f64 / fed.took.as_secs_f64().max(1e-9);
    let to = match &args.output {
        Some(file) => file.display().to_string(),
        None => format!("topic {topic} at {}", args.brokers),
    };
    println!(
        "{} readings of {} assets to {to} in {:.1} s ({}/s)",
        thousands(fed.messages),
        thousands(fed.assets),
        fed.took.as_secs_f64(),
        thousands(rate as u64)
    );
}

/// What a feed did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fed {
    pub messages: u64,
    pub assets: u64,
    pub took: Duration,
}

/// Keeps a rate and shows progress.
pub(crate) struct Pace {
    rate: Option<f64>,
    begun: Instant,
    sent: u64,
    bar: ProgressBar,
    /// Looked at when this many are sent.
    next_look: u64,
}

impl Pace {
    pub(crate) fn new(rate: Option<f64>, bar: ProgressBar) -> Result<Self> {
        if rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            bail!("--rate must be a positive number; leave it out to feed as fast as possible");
        }
        Ok(Pace {
            rate,
            begun: Instant::now(),
            sent: 0,
            bar,
            next_look: 0,
        })
    }

    /// Counts a message, and waits when it came too early.
    pub(crate) fn tick(&mut self) {
        self.sent += 1;
        if self.sent < self.next_look {
            return;
        }
        self.bar.set_position(self.sent);
        let Some(rate) = self.rate else {
            self.next_look = self.sent + 1_000;
            return;
        };
        self.next_look = self.sent + ((rate * PACE_STEP.as_secs_f64()) as u64).max(1);
        let due = Duration::from_secs_f64(self.sent as f64 / rate);
        std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
    }

    pub(crate) fn finish(self, assets: u64) -> Fed {
        self.bar.finish_and_clear();
        Fed {
            messages: self.sent,
            assets,
            took: self.begun.elapsed(),
        }
    }
}

/// The data folder: named, from the environment, or beside the checkout.
pub(crate) fn data_dir(named: Option<&Path>) -> std::path::PathBuf {
    match (
        named,
        std::env::var_os("FOREWARN_DATA").filter(|dir| !dir.is_empty()),
    ) {
        (Some(dir), _) => dir.to_owned(),
        (None, Some(dir)) => dir.into(),
        (None, None) => "../shared/data".into(),
    }
}
