//! Whether a recipe has a reason to be followed at all: `[trigger]`.
//!
//! ```toml
//! [trigger.drift]
//! psi = 0.25
//! ```
//!
//! Without the section a recipe is followed whenever it is asked for.

use forewarn_pipeline::drift::measure::Verdict;
use forewarn_pipeline::drift::report::{Report, Variable};
use serde::Deserialize;

/// `[trigger]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Trigger {
    /// Train only when the version that serves has drifted. Default: always.
    pub drift: Option<OnDrift>,
}

/// `[trigger.drift]`: what is drift enough. What it is measured against is the reference of the version that serves; a
/// version without one is a reason by itself, as nothing is known of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OnDrift {
    /// A feature, or the score, with this population stability index or more, and more than chance gives. Default: 0.25.
    pub psi: f64,
    /// How many of them there must be. Default: 1.
    pub variables: usize,
    /// Also when the mean score of the fleet has left that of training, by the test of Page and Hinkley. A fleet that
    /// wears out within the stretch has that without any drift. Default: false.
    pub page_hinkley: bool,
}

impl Default for OnDrift {
    fn default() -> Self {
        OnDrift {
            psi: 0.25,
            variables: 1,
            page_hinkley: false,
        }
    }
}

impl OnDrift {
    /// The reason to train, in a sentence; `None`: there is none.
    pub fn reason(&self, report: &Report) -> Option<String> {
        let is_beyond = |of: &&Variable| {
            let distance = &of.distance;
            distance.psi >= self.psi && distance.psi > distance.chance
        };
        let all = report.features.iter().chain(&report.score);
        let beyond: Vec<String> = all
            .filter(is_beyond)
            .map(|of| format!("{} (PSI {:.2})", of.name, of.distance.psi))
            .collect();
        let model = format!("{} {}", report.model, report.version);
        if !beyond.is_empty() && beyond.len() >= self.variables {
            return Some(format!("{model} has drifted: {}", beyond.join(", ")));
        }
        let change = report.fleet.as_ref().filter(|_| self.page_hinkley)?;
        Some(format!(
            "the mean score of {model} has left that of training since {}",
            change.since
        ))
    }

    /// Why there is none.
    pub fn no_reason(&self, report: &Report) -> String {
        let all = report.features.iter().chain(&report.score);
        let farthest = all.max_by(|a, b| a.distance.psi.total_cmp(&b.distance.psi));
        let farthest = farthest.map_or(String::new(), |of| {
            let by_chance = match of.distance.verdict {
                Verdict::ByChance => ", which may be chance",
                _ => "",
            };
            format!(
                "; the farthest is {} with a PSI of {:.2}{by_chance}",
                of.name, of.distance.psi
            )
        });
        format!(
            "{} {} has not drifted: fewer than {} of its features and score have a PSI of {} or more{farthest}",
            report.model, report.version, self.variables, self.psi
        )
    }

    /// What is wrong with it.
    pub fn problem(&self) -> Option<String> {
        if !(self.psi > 0.0 && self.psi.is_finite()) {
            return Some(format!(
                "trigger.drift.psi must be above 0, not {}",
                self.psi
            ));
        }
        (self.variables == 0).then(|| "trigger.drift.variables must be at least 1".into())
    }
}

#[cfg(test)]
mod tests {
    use forewarn_pipeline::drift::measure::Distance;
    use forewarn_pipeline::drift::page_hinkley::{Change, Direction};
    use forewarn_pipeline::drift::report::Kind;

    use super::*;

    fn variable(name: &str, psi: f64, chance: f64) -> Variable {
        Variable {
            kind: Kind::Feature,
            name: name.into(),
            distance: Distance {
                psi,
                chance,
                ks: 0.0,
                ks_p: 1.0,
                shift: None,
                verdict: Verdict::Stable,
            },
            rows: 1,
            effective: 1.0,
            reference_mean: 0.0,
            mean: None,
            reference_sd: 1.0,
            sd: None,
            reference_missing: 0.0,
            missing: 0.0,
        }
    }

    fn report(features: Vec<Variable>) -> Report {
        Report {
            model: "pump".into(),
            version: 2,
            origin: serde_json::Value::Null,
            reference_rows: 1,
            reference_assets: 1,
            rows: 1,
            assets: 1,
            same_fleet: false,
            times: None,
            features,
            score: None,
            fleet: None,
            interval: 1,
            intervals: 1,
            changed: Vec::new(),
        }
    }

    #[test]
    fn a_recipe_is_followed_when_enough_has_drifted_beyond_chance() {
        let trigger: Trigger = toml::from_str("[drift]\npsi = 0.2\nvariables = 2\n").unwrap();
        let on = trigger.drift.unwrap();
        assert_eq!(on.problem(), None);
        let of = |features| on.reason(&report(features));
        let (a, b) = (variable("a", 0.3, 0.1), variable("b", 0.2, 0.1));
        let told = of(vec![a.clone(), b]).unwrap();
        assert_eq!(told, "pump 2 has drifted: a (PSI 0.30), b (PSI 0.20)");
        assert_eq!(of(vec![a.clone()]), None, "one of two");
        assert_eq!(of(vec![a.clone(), variable("b", 0.9, 1.0)]), None, "chance");
        assert_eq!(
            of(vec![a.clone(), variable("b", 0.19, 0.1)]),
            None,
            "too little"
        );
        let why = on.no_reason(&report(vec![a]));
        assert!(
            why.contains("the farthest is a with a PSI of 0.30"),
            "{why}"
        );
    }

    #[test]
    fn a_change_of_the_mean_score_counts_where_it_is_asked_for() {
        let mut moved = report(vec![variable("a", 0.0, 0.1)]);
        let change = Change {
            direction: Direction::Up,
            since: 0,
            at: 1,
        };
        moved.fleet = Some(change.into());
        assert_eq!(OnDrift::default().reason(&moved), None);
        let on: OnDrift = toml::from_str("page-hinkley = true").unwrap();
        let told = on.reason(&moved).unwrap();
        assert!(told.contains("since 1970-01-01T00:00:00Z"), "{told}");
        assert_eq!(toml::from_str::<Trigger>("").unwrap().drift, None);
        let wrong: OnDrift = toml::from_str("psi = 0.0").unwrap();
        assert!(wrong.problem().is_some());
    }
}
