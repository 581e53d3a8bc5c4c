//! One scenario from its stage to its reports.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::judge::{self, Plant};
use crate::random::hash;
use crate::report::Report;
use crate::scenarios::{Extent, Scenario};
use crate::stage::Stage;

/// Plays a scenario and judges it: once as it was, or once for each of `plants`.
pub fn run(
    scenario: &Scenario,
    seed: u64,
    extent: Extent,
    binary: &Path,
    plants: &[Plant],
) -> Vec<Report> {
    let begun = Instant::now();
    match play(scenario, seed, extent, binary, plants) {
        Ok(reports) => reports,
        Err(error) => vec![Report::failed(scenario.name, seed, &error, begun.elapsed())],
    }
}

fn play(
    scenario: &Scenario,
    seed: u64,
    extent: Extent,
    binary: &Path,
    plants: &[Plant],
) -> Result<Vec<Report>> {
    let begun = Instant::now();
    // Scenarios of one run make choices of their own.
    let name: Vec<u64> = scenario.name.bytes().map(u64::from).collect();
    let mut stage = Stage::set(
        scenario.name,
        scenario.shape,
        binary,
        hash(seed, &name) >> 32,
    )?;
    (scenario.play)(&mut stage, extent)?;
    let mut left = stage.leave(scenario.shape.drain)?;
    let mut report = Report::failed(
        scenario.name,
        seed,
        &anyhow::anyhow!("not judged"),
        begun.elapsed(),
    );
    report.problems = std::mem::take(&mut left.problems);
    report.notes = std::mem::take(&mut left.notes);
    report.set(left.recovery, left.lives, left.sent);
    let mut reports = Vec::new();
    if plants.is_empty() {
        report.judged(judge::judge(&left.config, &left.observed)?, None);
        report.seconds = begun.elapsed().as_secs_f64();
        reports.push(report);
        return Ok(reports);
    }
    for plant in plants {
        let (mut observed, mut report) = (left.observed.clone(), report.clone());
        plant.tamper(&mut observed)?;
        report.judged(judge::judge(&left.config, &observed)?, Some(*plant));
        report.seconds = begun.elapsed().as_secs_f64();
        reports.push(report);
    }
    Ok(reports)
}
