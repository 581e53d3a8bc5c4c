//! One scenario from its stage to its reports.

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
    match play(scenario, how, begun) {
        Ok(reports) => reports,
        Err(error) => {
            let mut report = Report::new(scenario.name, how.seed);
            report.problems.push(format!("{error:#}"));
            report.seconds = begun.elapsed().as_secs_f64();
            vec![report]
        }
    }
}

fn play(scenario: &Scenario, how: &How<'_>, begun: Instant) -> Result<Vec<Report>> {
    // Scenarios of one run make choices of their own.
    let name: Vec<u64> = scenario.name.bytes().map(u64::from).collect();
    let seed = hash(how.seed, &name) >> 32;
    let mut stage = Stage::set(scenario.name, scenario.shape, (how.binary, how.keep), seed)?;
    (scenario.play)(&mut stage, how.extent)?;
    let mut left = stage.leave(scenario.shape.drain)?;
    let mut report = Report::new(scenario.name, how.seed);
    report.problems = std::mem::take(&mut left.problems);
    report.notes = std::mem::take(&mut left.notes);
    report.void = left.void.take();
    report.set(left.recovery, left.lives, left.sent);
    let mut reports = Vec::new();
    if how.plants.is_empty() {
        report.judged(judge::judge(&left.config, &left.observed)?, None);
        reports.push(report);
    } else {
        for plant in how.plants {
            let (mut observed, mut report) = (left.observed.clone(), report.clone());
            plant.tamper(&mut observed)?;
            report.judged(judge::judge(&left.config, &observed)?, Some(*plant));
            reports.push(report);
        }
    }
    for report in &mut reports {
        report.seconds = begun.elapsed().as_secs_f64();
    }
    Ok(reports)
}
