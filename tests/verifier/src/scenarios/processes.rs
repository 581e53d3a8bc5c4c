//! Processes go away: killed, stopped, leaving.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use forewarn_pipeline::kafka::killpoint::{KillPoint, VARIABLE};

use super::Extent;
use crate::signals::Signal;
use crate::stage::Stage;
use crate::workers::GOING_BACK;

const RECOVERY: Duration = Duration::from_secs(60);
/// How long a worker may take to come to its point: it starts, is given partitions and rebuilds their state.
const TO_THE_POINT: Duration = Duration::from_secs(60);
/// Transactions before a point is meant, at most: a second or two of them.
const TRANSACTIONS: u64 = 40;

pub(super) fn kill_random(stage: &mut Stage, extent: Extent) -> Result<()> {
    let (wanted, mut kills) = (extent.pick(5, 100), 0);
    for _ in 0..wanted {
        let millis = stage.random.between(300, 2_500);
        stage.pause(Duration::from_millis(millis))?;
        let place = stage.random.between(0, stage.fleet.len() as u64) as usize;
        if !stage.fleet.is_running(place) {
            continue;
        }
        stage.fleet.kill(place)?;
        kills += 1;
        let fault = stage.fault_ends()?;
        // Sooner or later than the session timeout: the same process comes back, or another one takes over.
        let millis = stage.random.between(0, 4_500);
        stage.pause(Duration::from_millis(millis))?;
        stage.fleet.start(place)?;
        stage.recover(&fault, RECOVERY)?;
    }
    stage.fired(kills == wanted, &format!("{kills} of {wanted} kills"));
    Ok(())
}

/// One worker dies at point after point; the other one and its next life go on.
pub(super) fn kill_points(stage: &mut Stage, extent: Extent) -> Result<()> {
    stage.fleet.terminate(0)?;
    let mut version = 1;
    for _ in 0..extent.pick(1, 5) {
        for (point, name) in KillPoint::ALL {
            let passing = match point {
                KillPoint::MidSwap => 1,
                // Once a second for each partition.
                KillPoint::MidSnapshot => stage.random.between(2, 8),
                _ => stage.random.between(10, TRANSACTIONS),
            };
            let armed = format!("{name}:{passing}");
            stage.fleet.start_with(0, &[(VARIABLE, &armed)])?;
            if point == KillPoint::MidSwap {
                // A version that lies there at the start is no swap.
                let is_there = |stage: &Stage| stage.fleet.takes_part(0);
                stage.until(TO_THE_POINT, "partitions of its own", is_there)?;
                version += 1;
                stage
                    .pipeline
                    .drop_in("each", version, "plain", f64::from(version))?;
            }
            let deadline = Instant::now() + TO_THE_POINT;
            while stage.fleet.is_running(0) && Instant::now() < deadline {
                stage.pause(Duration::from_millis(50))?;
            }
            if stage.fleet.is_running(0) {
                stage.fired(false, &armed);
                stage.fleet.kill(0)?;
            } else {
                let status = stage.fleet.wait(0, RECOVERY)?;
                let killed = status.signal() == Some(9);
                stage.fired(killed, &format!("{armed}: the process ended with {status}"));
            }
        }
        let fault = stage.fault_ends()?;
        stage.fleet.start(0)?;
        stage.recover(&fault, RECOVERY)?;
        stage.fleet.terminate(0)?;
    }
    stage.fleet.start(0)
}

pub(super) fn zombie(stage: &mut Stage, extent: Extent) -> Result<()> {
    // Being fenced may end a process; it is started again.
    stage.may_end = true;
    let partitions = stage.pipeline.settings.partitions;
    let session = stage.pipeline.settings.session_timeout;
    stage.all_take_part()?;
    for round in 0..extent.pick(1, 10) {
        let (zombie, other) = (round % 2, 1 - round % 2);
        let millis = stage.random.between(500, 2_500);
        stage.pause(Duration::from_millis(millis))?;
        let (own_log, other_log) = (stage.fleet.log_end(zombie), stage.fleet.log_end(other));
        let stopped = stage.fleet.signal(zombie, Signal::Stop);
        stage.fired(stopped, "SIGSTOP");
        stage.pause(2 * session)?;
        // A group on a busy machine may be slow to notice.
        let deadline = Instant::now() + RECOVERY;
        while !stage.fleet.was_assigned(other, other_log) && Instant::now() < deadline {
            stage.pause(Duration::from_millis(50))?;
        }
        let took_over = stage.fleet.was_assigned(other, other_log);
        stage.fired(took_over, "nobody took the partitions over");
        stage.fleet.signal(zombie, Signal::Continue);
        let fault = stage.fault_ends()?;
        stage.recover(&fault, RECOVERY)?;
        let deadline = Instant::now() + RECOVERY;
        // It is no member of the group any more, its transaction is refused, or it is fenced and ends.
        let noticed = |stage: &Stage| {
            let said = |text: &str| stage.fleet.has_said(zombie, own_log, text);
            stage.fleet.gave_up(zombie, own_log)
                || said(GOING_BACK)
                || said("another process runs as instance")
        };
        while !noticed(stage) && Instant::now() < deadline {
            stage.pause(Duration::from_millis(100))?;
        }
        let noticed = noticed(stage);
        stage.fired(noticed, "the zombie did not notice that it was one");
        let since = Instant::now();
        let all = |stage: &Stage| stage.watch().partitions_since(since) == partitions;
        stage.until(RECOVERY, "an output of every partition", all)?;
    }
    Ok(())
}

pub(super) fn churn(stage: &mut Stage, extent: Extent) -> Result<()> {
    let every = Duration::from_secs(5);
    let mut running: Vec<usize> = (0..4).collect();
    let mut absent: Vec<usize> = (4..stage.fleet.len()).collect();
    for change in 0..extent.pick(5, 60) {
        let since = Instant::now();
        let at = stage.random.between(0, running.len() as u64) as usize;
        match change % 4 {
            0 | 2 => {
                let place = running.remove(at);
                if change % 4 == 0 {
                    stage.fleet.terminate(place)?;
                } else {
                    stage.fleet.kill(place)?;
                }
                absent.push(place);
            }
            _ => {
                let place = absent.remove(0);
                stage.fleet.start(place)?;
                running.push(place);
            }
        }
        stage.pause(every.saturating_sub(since.elapsed()))?;
    }
    let fault = stage.fault_ends()?;
    stage.recover(&fault, RECOVERY)
}
