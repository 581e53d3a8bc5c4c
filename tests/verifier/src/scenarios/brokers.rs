//! The broker goes away, or the network between it and the service.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;

use super::Extent;
use crate::proxy::Faults;
use crate::stage::Stage;

/// Before the first fault, so that it meets a service under way.
const WARM: Duration = Duration::from_secs(2);
/// What a worker says then.
const REPLACED: &str = "the old ones are replaced";
/// A client waits up to a minute for an answer that never comes.
const RECOVERY: Duration = Duration::from_secs(90);

pub(super) fn restart(stage: &mut Stage, extent: Extent) -> Result<()> {
    for _ in 0..extent.pick(1, 5) {
        stage.pause(WARM)?;
        stage.broker.stop()?;
        stage.broker.up()?;
        let fault = stage.fault_ends()?;
        stage.recover(&fault, RECOVERY)?;
    }
    Ok(())
}

pub(super) fn kill(stage: &mut Stage, extent: Extent) -> Result<()> {
    for _ in 0..extent.pick(1, 5) {
        let millis = stage.random.between(1_000, 3_000);
        stage.pause(Duration::from_millis(millis))?;
        stage.broker.kill()?;
        stage.broker.up()?;
        let fault = stage.fault_ends()?;
        stage.recover(&fault, RECOVERY)?;
    }
    Ok(())
}

pub(super) fn unreachable(stage: &mut Stage, extent: Extent) -> Result<()> {
    stage.pause(WARM)?;
    stage.proxy.set_both(Faults {
        black_hole: true,
        ..Faults::default()
    });
    stage.pause(extent.seconds(20, 300))?;
    let vanished = stage.proxy.counts().vanished_bytes;
    stage.fired(vanished > 0, "no byte vanished");
    stage.proxy.heal();
    let fault = stage.fault_ends()?;
    stage.recover(&fault, RECOVERY)?;
    refused(stage, extent.seconds(5, 60))
}

/// The host is there and nobody listens: connections are reset, new ones refused.
fn refused(stage: &mut Stage, time: Duration) -> Result<()> {
    let port = stage.proxy.port();
    let is_refused = move |_: &Stage| {
        let told = TcpStream::connect(("127.0.0.1", port));
        told.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    stage.proxy.refuse(true);
    stage.until(RECOVERY, "a refused connection", is_refused)?;
    let reset = stage.proxy.reset_all();
    stage.fired(reset > 0, "no connection was reset");
    stage.pause(time)?;
    let refused = is_refused(stage);
    stage.fired(refused, "connections were not refused to the end");
    stage.proxy.heal();
    let fault = stage.fault_ends()?;
    stage.recover(&fault, RECOVERY)
}

/// Clients do not know that their connections are dead. Brokers answer new ones, so that the workers replace theirs
/// where they do not find back by themselves.
pub(super) fn half_open(stage: &mut Stage, extent: Extent) -> Result<()> {
    for _ in 0..extent.pick(1, 5) {
        stage.pause(WARM)?;
        let places = 0..stage.fleet.len();
        let logs: Vec<usize> = places.map(|place| stage.fleet.log_end(place)).collect();
        let lost = stage.proxy.lose_open();
        stage.fired(lost > 0, "no connection was lost");
        let fault = stage.fault_ends()?;
        stage.recover(&fault, RECOVERY)?;
        let replaced = (0..)
            .zip(logs)
            .filter(|(place, from)| stage.fleet.has_said(*place, *from, REPLACED))
            .count();
        // Or its producer closed the connection by itself, because nothing was said on it for 10 s.
        stage.note(format!("{replaced} workers replaced their clients"));
        stage.proxy.heal();
    }
    Ok(())
}

pub(super) fn flaky(stage: &mut Stage, extent: Extent) -> Result<()> {
    stage.pause(WARM)?;
    let latency = Duration::from_millis(50);
    stage.proxy.set_both(Faults {
        latency,
        jitter: latency,
        bytes_per_second: Some(1_000_000),
        black_hole: false,
    });
    let mut resets = 0;
    for _ in 0..extent.pick(12, 120) {
        stage.pause(Duration::from_secs(1))?;
        resets += u32::from(stage.proxy.reset_one());
    }
    let delayed = stage.proxy.counts().delayed_chunks;
    stage.fired(resets > 5 && delayed > 100, "hardly a reset or a delay");
    stage.note(format!("{resets} resets"));
    stage.proxy.heal();
    let fault = stage.fault_ends()?;
    stage.recover(&fault, RECOVERY)
}
