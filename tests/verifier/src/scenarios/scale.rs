//! More processes: what they bring, and what it costs when they come.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Extent;
use crate::stage::Stage;

const LIMIT: Duration = Duration::from_secs(120);
/// Silences are looked at for so long after the last one has joined.
const JOINING: Duration = Duration::from_secs(10);

pub(super) fn scale(stage: &mut Stage, extent: Extent) -> Result<()> {
    let ticks = extent.pick(10_000, 200_000);
    settle(stage)?;
    let two = throughput(stage, ticks)?;
    settle(stage)?;
    let before = Instant::now();
    for place in 2..stage.fleet.len() {
        stage.fleet.start(place)?;
    }
    stage.all_take_part()?;
    stage.pause(JOINING)?;
    let silences = stage.watch().silences(before, Instant::now());
    let longest = silences.values().max().copied().unwrap_or_default();
    let mean = silences.values().sum::<Duration>() / (silences.len() as u32).max(1);
    settle(stage)?;
    let four = throughput(stage, ticks)?;
    stage.note(format!(
        "2 processes {two:.0} messages/s, 4 processes {four:.0} messages/s; longest silence of a partition while \
         they joined {:.1} s, mean {:.1} s",
        longest.as_secs_f64(),
        mean.as_secs_f64()
    ));
    Ok(())
}

/// Waits until nothing is left to be done but what comes in.
fn settle(stage: &mut Stage) -> Result<()> {
    let since = Instant::now();
    let rate = stage.mix.rate;
    let settled = |stage: &Stage| {
        let lag = stage.watch().lag();
        lag.is_some_and(|(at, lag)| at > since && lag < rate)
    };
    stage.until(LIMIT, "a lag below one second of load", settled)
}

/// Messages per second of a burst, from its begin until no more than a second of load is left.
fn throughput(stage: &mut Stage, ticks: u64) -> Result<f64> {
    let begun = Instant::now();
    stage.load.burst(ticks);
    stage.until(LIMIT, "a burst to be sent", |stage| {
        stage.load.burst_is_sent()
    })?;
    settle(stage)?;
    Ok(ticks as f64 / begun.elapsed().as_secs_f64())
}
