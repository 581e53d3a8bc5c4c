//! How scenarios came out, for people and for programs.

use serde::Serialize;

use crate::judge::{Finding, Judgement, Plant, Undecided, Verdict};
use crate::load::Sent;
use crate::stage::Recovery;
use crate::workers::Lives;

/// One scenario, judged once.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    pub scenario: String,
    pub seed: u64,
    /// The defect that was planted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plant: Option<String>,
    pub green: bool,
    /// The judgements that failed.
    pub red: Vec<Judgement>,
    /// The broker itself broke what is to be judged, and how: see [`Report::is_void`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// A transaction that stays open hides what is to be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undecided: Option<String>,
    /// Why it shows nothing, or shows a defect that no judgement is about.
    pub problems: Vec<String>,
    pub notes: Vec<String>,
    /// Seconds from the end of a fault until each partition had a committed output of new input: the longest.
    pub recovery_s: Option<f64>,
    /// Seconds until the lag was under one second of load, too: the longest.
    pub caught_up_s: Option<f64>,
    pub faults: u64,
    /// Records read again to rebuild state.
    pub replayed: u64,
    pub went_back: u64,
    pub started: u64,
    pub peak_rss_mb: u64,
    pub readings: u64,
    pub poison: u64,
    pub seconds: f64,
    pub verdict: Option<Verdict>,
}

impl Report {
    /// Of a scenario that has not been judged: it is red.
    pub fn new(scenario: &str, seed: u64) -> Self {
        Report {
            scenario: scenario.to_owned(),
            seed,
            ..Report::default()
        }
    }

    pub fn set(&mut self, recovery: Recovery, lives: Lives, sent: Sent) {
        self.recovery_s = recovery.outputs.map(|time| time.as_secs_f64());
        self.caught_up_s = recovery.caught_up.map(|time| time.as_secs_f64());
        self.faults = recovery.faults;
        self.replayed = lives.replayed;
        self.went_back = lives.went_back;
        self.started = lives.started;
        self.peak_rss_mb = lives.peak_rss_kb >> 10;
        self.readings = sent.readings;
        self.poison = sent.poison;
    }

    /// What was judged; green only without anything to say against it.
    pub fn judged(&mut self, verdict: Verdict, plant: Option<Plant>) {
        self.plant = plant.map(|plant| plant.judgement().to_string());
        self.red = verdict.red();
        self.green = self.red.is_empty() && self.problems.is_empty();
        self.verdict = Some(verdict);
    }

    /// Why it could not be played, read or judged.
    pub fn problem(&mut self, error: &anyhow::Error) {
        let told = format!("{error:#}");
        match error.is::<Undecided>() {
            true => self.undecided = Some(told),
            false => self.problems.push(told),
        }
    }

    /// Not green, and dropped markers explain all of it: records that were aborted are committed later, or stay
    /// undecided. Nothing that is lost, changed or out of order is explained by them, nor any problem.
    pub fn is_void(&self) -> bool {
        let explained = |red: &Judgement| matches!(red, Judgement::Doubled | Judgement::Unexpected);
        let explained = self.red.iter().all(explained) && self.problems.is_empty();
        !self.green && self.void.is_some() && explained
    }

    /// Neither green nor void.
    pub fn is_red(&self) -> bool {
        !self.green && !self.is_void()
    }

    /// One line, and below it what is wrong.
    pub fn print(&self) {
        println!("{}", row(&self.cells()));
        let findings = self.verdict.iter().flat_map(|verdict| &verdict.findings);
        for Finding {
            judgement,
            count,
            examples,
        } in findings.filter(|finding| finding.is_red())
        {
            println!("    {judgement}: {count}");
            for example in examples {
                println!("        {example}");
            }
        }
        if let Some(void) = &self.void {
            println!("    broker: {void}");
        }
        if let Some(undecided) = &self.undecided {
            println!("    undecided: {undecided}");
        }
        for problem in &self.problems {
            println!("    problem: {problem}");
        }
        for note in &self.notes {
            println!("    note: {note}");
        }
    }

    fn cells(&self) -> [String; 9] {
        let seconds = |time: Option<f64>| time.map_or("-".into(), |time| format!("{time:.1} s"));
        let verdict = match (self.green, self.red.as_slice()) {
            (true, _) => "green".to_owned(),
            (false, _) if self.is_void() => "void".to_owned(),
            (false, []) => "RED".to_owned(),
            (false, red) => {
                let names: Vec<String> = red.iter().map(ToString::to_string).collect();
                format!("RED {}", names.join(","))
            }
        };
        let name = match &self.plant {
            Some(plant) => format!("{} +{plant}", self.scenario),
            None => self.scenario.clone(),
        };
        let outputs = self.verdict.as_ref().map_or(0, |verdict| verdict.expected);
        [
            name,
            self.seed.to_string(),
            verdict,
            format!("{} / {outputs}", self.readings + self.poison),
            seconds(self.recovery_s),
            seconds(self.caught_up_s),
            self.replayed.to_string(),
            format!("{} MB", self.peak_rss_mb),
            format!("{:.0} s", self.seconds),
        ]
    }
}

/// The table at the end.
pub fn table(reports: &[Report]) {
    let head = [
        "scenario",
        "seed",
        "verdict",
        "in / out",
        "recovery",
        "caught up",
        "replayed",
        "RSS max",
        "took",
    ];
    println!("\n{}", row(&head.map(str::to_owned)));
    for report in reports {
        println!("{}", row(&report.cells()));
    }
}

fn row(cells: &[String; 9]) -> String {
    let widths = [20, 10, 12, 17, 9, 9, 9, 8, 6];
    let padded = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:<width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_markers_excuse_what_they_explain_and_nothing_else() {
        let is_void = |red: &[Judgement], problem: bool, dropped: bool| {
            let mut report = Report::new("broker-kill", 1);
            report.red = red.to_vec();
            report.problems.extend(problem.then(String::new));
            report.void = dropped.then(String::new);
            assert_ne!(report.is_void(), report.is_red());
            report.is_void()
        };
        let explained = [Judgement::Doubled, Judgement::Unexpected];
        assert!(is_void(&explained, false, true));
        assert!(is_void(&[], false, true), "undecided");
        assert!(!is_void(&explained, false, false), "none was dropped");
        assert!(!is_void(&explained, true, true), "a problem");
        assert!(!is_void(&[], true, true), "a problem");
        for other in [
            Judgement::Missing,
            Judgement::Order,
            Judgement::Values,
            Judgement::State,
            Judgement::Processed,
        ] {
            let red = [Judgement::Doubled, other];
            assert!(!is_void(&red, false, true), "{other}");
        }
    }
}
