//! Messages and models: nothing wrong with them, poison, and versions dropped in.

use std::time::Duration;

use anyhow::Result;

use super::Extent;
use crate::stage::Stage;

const RECOVERY: Duration = Duration::from_secs(60);

pub(super) fn calm(stage: &mut Stage, extent: Extent) -> Result<()> {
    stage.pause(extent.seconds(6, 120))
}

pub(super) fn poison(stage: &mut Stage, extent: Extent) -> Result<()> {
    stage.pause(extent.seconds(10, 120))
}

/// Versions of the model of single readings and of the recurrent one come while both workers run, while one of
/// them is dead, and just before one is killed; among them one that is none.
pub(super) fn swaps(stage: &mut Stage, extent: Extent) -> Result<()> {
    let mut version = 1;
    for round in 0..extent.pick(1, 20) {
        let place = round % 2;
        version += 1;
        // A version that lies there when a process starts is no swap.
        stage.all_take_part()?;
        let (staying, log) = (1 - place, stage.fleet.log_end(1 - place));
        stage
            .pipeline
            .drop_in("each", version, "plain", f64::from(version))?;
        stage.pause(Duration::from_secs(2))?;
        stage.fleet.kill(place)?;
        let fault = stage.fault_ends()?;
        stage
            .pipeline
            .drop_in("sum", version, "running-sum", f64::from(version))?;
        let millis = stage.random.between(100, 4_000);
        stage.pause(Duration::from_millis(millis))?;
        stage.fleet.start(place)?;
        stage.recover(&fault, RECOVERY)?;
        for model in ["each", "sum"] {
            let serves = |stage: &Stage| stage.fleet.has_swapped(staying, log, (model, version));
            let what = format!("version {version} of {model} in place");
            stage.until(RECOVERY, &what, serves)?;
        }
        version += 1;
        stage.pipeline.drop_in("each", version, "truncated", 1.0)?;
        version += 1;
        stage
            .pipeline
            .drop_in("each", version, "plain", f64::from(version))?;
        let millis = stage.random.between(0, 500);
        stage.pause(Duration::from_millis(millis))?;
        stage.fleet.kill(staying)?;
        let fault = stage.fault_ends()?;
        stage.pause(Duration::from_millis(500))?;
        stage.fleet.start(staying)?;
        stage.recover(&fault, RECOVERY)?;
    }
    stage.pause(Duration::from_secs(1))
}
