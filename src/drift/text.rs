//! The report in words.

use std::fmt::Write as _;

use forewarn_pipeline::drift::Report;
use forewarn_pipeline::drift::page_hinkley::Direction;
use forewarn_pipeline::drift::report::{FleetChange, Variable};
use forewarn_pipeline::prediction::EventTimestamp;

use super::Examined;
use crate::terminal::thousands;

/// Changed assets that are named.
const NAMED: usize = 5;

impl Examined {
    pub(super) fn text(&self, large: f64) -> String {
        let mut text = String::new();
        for report in &self.reports {
            text += &of_model(report, large);
        }
        if !self.without.is_empty() {
            let _ = writeln!(
                text,
                "without a reference: {}; `forewarn drift --fit` makes one",
                self.without.join(", ")
            );
        }
        text
    }
}

fn of_model(report: &Report, large: f64) -> String {
    let mut text = format!(
        "{} {}: {} rows of {} assets",
        report.model,
        report.version,
        thousands(report.rows),
        thousands(report.assets)
    );
    if let Some((first, last)) = report.times {
        let _ = write!(
            text,
            ", {} to {}",
            EventTimestamp(first),
            EventTimestamp(last)
        );
    }
    let _ = writeln!(
        text,
        "\nbeside {} rows of {} assets in training{}",
        thousands(report.reference_rows),
        thousands(report.reference_assets),
        if report.same_fleet {
            ", the same ones"
        } else {
            ""
        }
    );
    let all = || report.score.iter().chain(&report.features);
    let width = all().map(|of| of.name.len()).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "  {:width$}      PSI   chance     KS      p    shift  missing  verdict",
        ""
    );
    for of in all() {
        line(&mut text, of, width);
    }
    over_time(&mut text, report);
    let drifted = report.drifted();
    let names: Vec<&str> = drifted.iter().map(|of| of.name.as_str()).collect();
    let _ = match names.len() {
        0 => writeln!(
            text,
            "no drift: nothing is beyond a PSI of {large} and beyond chance"
        ),
        _ => writeln!(text, "drift: beyond a PSI of {large}: {}", names.join(", ")),
    };
    text
}

fn line(text: &mut String, of: &Variable, width: usize) {
    let distance = &of.distance;
    let shift = distance
        .shift
        .map_or("-".into(), |shift| format!("{shift:+.2}"));
    let _ = writeln!(
        text,
        "  {:width$} {:8.3} {:8.3} {:6.3} {:6.4} {shift:>8} {:6.1} %  {}",
        of.name,
        distance.psi,
        distance.chance,
        distance.ks,
        distance.ks_p,
        of.missing * 100.0,
        distance.verdict.name()
    );
}

fn over_time(text: &mut String, report: &Report) {
    if report.score.is_none() {
        return;
    }
    let _ = match &report.fleet {
        Some(change) => writeln!(text, "the mean score of the fleet {}", moved(change)),
        None => writeln!(
            text,
            "the mean score of the fleet has not left that of training"
        ),
    };
    let changed = report.changed.len();
    if changed == 0 {
        return;
    }
    let _ = writeln!(
        text,
        "scores of {} of {} assets changed within it:",
        thousands(changed as u64),
        thousands(report.assets)
    );
    for of in report.changed.iter().take(NAMED) {
        let _ = writeln!(text, "  {} {}", of.asset, moved(&of.change));
    }
    if changed > NAMED {
        let _ = writeln!(text, "  and {} more", thousands((changed - NAMED) as u64));
    }
}

fn moved(change: &FleetChange) -> String {
    let verb = match change.direction {
        Direction::Up => "has risen",
        Direction::Down => "has fallen",
    };
    format!("{verb} since {}, sure at {}", change.since, change.at)
}
