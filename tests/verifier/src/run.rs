//! One scenario from its stage to its reports.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::judge::{self, Plant};
use crate::random::hash;
use crate::report::Report;
use crate::scenarios::{Extent, Scenario};
use crate::stage::Stage;

/// How scenarios are played.
#[derive(Debug, Clone, Copy)]
pub struct How<'a> {
    pub seed: u64,
    pub extent: Extent,
    /// The service.
    pub binary: &'a Path,
    /// Judged once for each of these defects; once as it was, if there is none.
    pub plants: &'a [Plant],
    /// The folder is not removed.
    pub keep: bool,
}

/// Plays a scenario and judges it.
pub fn run(scenario: &Scenario, how: &How<'_>) -> Vec<Report> {
    let begun = Instant::now();
    let mut reports = play(scenario, how).unwrap_or_else(|error| {
        let mut report = Report::new(scenario.name, how.seed);
        report.problem(&error);
        vec![report]
    });
    for report in &mut reports {
        report.seconds = begun.elapsed().as_secs_f64();
    }
    reports
}

fn play(scenario: &Scenario, how: &How<'_>) -> Result<Vec<Report>> {
    // Scenarios of one run make choices of their own.
    let name: Vec<u64> = scenario.name.bytes().map(u64::from).collect();
    let seed = hash(how.seed, &name) >> 32;
    let shape = scenario.shape;
    let mut report = Report::new(scenario.name, how.seed);
    let mut stage = Stage::set(scenario.name, shape, (how.binary, how.keep), seed)?;
    let played = (scenario.play)(&mut stage, how.extent);
    let worked_off = match played.and_then(|()| stage.work_off(shape.drain)) {
        Ok(worked_off) => worked_off,
        Err(error) => {
            (report.problems, report.void) = stage.give_up();
            report.problem(&error);
            return Ok(vec![report]);
        }
    };
    let left = stage.leave(worked_off);
    report.problems = left.problems;
    report.notes = left.notes;
    report.void = left.void;
    report.set(left.recovery, left.lives, left.sent);
    let observed = match left.observed {
        Ok(observed) => observed,
        Err(error) => {
            report.problem(&error);
            return Ok(vec![report]);
        }
    };
    let judged = |plant: Option<Plant>| {
        let (mut observed, mut report) = (Cow::Borrowed(&observed), report.clone());
        let told = plant.map_or(Ok(()), |plant| plant.tamper(observed.to_mut()));
        match told.and_then(|()| judge::judge(&left.config, &observed)) {
            Ok(verdict) => report.judged(verdict, plant),
            Err(error) => report.problem(&error),
        }
        report
    };
    if how.plants.is_empty() {
        return Ok(vec![judged(None)]);
    }
    Ok(how
        .plants
        .iter()
        .map(|plant| judged(Some(*plant)))
        .collect())
}
