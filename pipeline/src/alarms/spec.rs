//! What an alarm watches and when it is raised, from the configuration.

use forewarn_models::contract::{ClassOutput, Classification, ScoreOrder};
use forewarn_models::{Task, Verdict};

use crate::config::{AlarmConfig, Config, Problems, Watch};
use crate::plan::Serving;

/// Longest memory of an alarm: results of one asset.
const LONGEST: u32 = 1_024;

/// `[alarms.<name>]`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmSpec {
    pub name: String,
    /// Place of the group that it watches in the plan.
    pub group: usize,
    pub watch: Watch,
    /// Higher values are worse.
    pub rises: bool,
    /// Name and limit, from the mildest on; never empty.
    pub severities: Vec<(String, f64)>,
    pub of: u32,
    pub within: u32,
    pub clear_at: f64,
    pub clear_after: u32,
}

impl AlarmSpec {
    /// The alarms of a configuration; what is wrong with them goes to `problems`.
    pub(crate) fn of(config: &Config, serving: &Serving, problems: &mut Problems) -> Vec<Self> {
        let mut alarms = Vec::new();
        for (name, alarm) in &config.alarms {
            match Self::one(name, alarm, serving) {
                Ok(Some(spec)) => alarms.push(spec),
                Ok(None) => {}
                Err(told) => {
                    for (key, message) in told {
                        let path = format!("alarms.{name}.{key}");
                        problems.add(&path, config.line(&path), message);
                    }
                }
            }
        }
        alarms
    }

    /// `None` where the group that it watches has problems of its own.
    fn one(
        name: &str,
        alarm: &AlarmConfig,
        serving: &Serving,
    ) -> Result<Option<Self>, Vec<(&'static str, String)>> {
        let mut told = Vec::new();
        let named = |group: &crate::plan::Group| group.name == alarm.model;
        let group = serving.groups.iter().position(named);
        if group.is_none() && serving.complete {
            let known: Vec<&str> = serving
                .groups
                .iter()
                .map(|group| group.name.as_str())
                .collect();
            let message = format!(
                "{} is not served; there is: {}",
                alarm.model,
                known.join(", ")
            );
            told.push(("model", message));
        }
        let within = alarm.within.unwrap_or(alarm.of);
        if alarm.of == 0 || within < alarm.of || within > LONGEST {
            let message = format!(
                "of = {} and within = {within} must be at least 1, at most {LONGEST}, and `of` not above `within`",
                alarm.of
            );
            told.push(("of", message));
        }
        let (levels, rises) = match (&alarm.above, &alarm.below) {
            (Some(levels), None) => (levels, true),
            (None, Some(levels)) => (levels, false),
            _ => {
                told.push(("above", "needs one of `above` and `below`".into()));
                return Err(told);
            }
        };
        let severities = levels.ordered(rises);
        let limits_are_finite = severities.iter().all(|(_, limit)| limit.is_finite());
        if severities.is_empty() || !limits_are_finite {
            let key = if rises { "above" } else { "below" };
            told.push((
                key,
                "needs at least one severity with a finite limit".into(),
            ));
            return Err(told);
        }
        let limit = severities[0].1;
        let clear_at = alarm.clear_at.unwrap_or(limit);
        if !clear_at.is_finite() || (rises && clear_at > limit) || (!rises && clear_at < limit) {
            let message = format!(
                "is {clear_at}, on the bad side of the limit {limit}: the alarm would be cleared while it is raised"
            );
            told.push(("clear-at", message));
        }
        let clear_after = alarm.clear_after.unwrap_or(within);
        if clear_after == 0 {
            told.push(("clear-after", "must be at least 1".into()));
        }
        let watch = group.map(|group| watch(alarm.watch, group, serving));
        match watch {
            Some(Err(message)) => {
                told.push(("watch", message));
                Err(told)
            }
            _ if !told.is_empty() => Err(told),
            None => Ok(None),
            Some(Ok(watch)) => Ok(Some(AlarmSpec {
                name: name.to_owned(),
                group: group.unwrap_or_default(),
                watch,
                rises,
                severities,
                of: alarm.of,
                within,
                clear_at,
                clear_after,
            })),
        }
    }

    /// Is a value beyond the limit of a severity?
    pub fn is_beyond(&self, severity: usize, value: f64) -> bool {
        let limit = self.severities[severity].1;
        if self.rises {
            value > limit
        } else {
            value < limit
        }
    }

    /// Is it where the alarm may be cleared?
    pub fn is_good(&self, value: f64) -> bool {
        if self.rises {
            value <= self.clear_at
        } else {
            value >= self.clear_at
        }
    }

    /// What it watches of a verdict; `None` when the verdict does not say.
    pub fn value(&self, verdict: &Verdict<'_>) -> Option<f64> {
        match (self.watch, verdict) {
            (Watch::Confidence, verdict) => verdict.confidence(),
            (Watch::Score, verdict) => verdict.score(),
            (Watch::Rul, Verdict::Rul { value, .. }) => Some(*value),
            (Watch::Health, Verdict::Rul { health, .. }) => Some(*health),
            (Watch::RulLow, Verdict::Rul { interval, .. }) => interval.map(|told| told.low),
            (Watch::Failure, Verdict::Rul { failure, .. }) => failure.first().copied(),
            _ => None,
        }
    }

    /// Is a result beyond its mildest limit?
    pub fn is_reached_by(&self, verdict: &Verdict<'_>) -> bool {
        self.value(verdict)
            .is_some_and(|value| self.is_beyond(0, value))
    }

    /// The published word for what it watches.
    pub fn watched(&self) -> &'static str {
        word(self.watch)
    }
}

fn word(watch: Watch) -> &'static str {
    match watch {
        Watch::Confidence => "confidence",
        Watch::Score => "score",
        Watch::Rul => "rul",
        Watch::RulLow => "rul-low",
        Watch::Health => "health",
        Watch::Failure => "failure",
    }
}

/// What the verdicts of a task give to watch, first what is watched by default.
fn given(task: &Task) -> Vec<Watch> {
    match task {
        Task::Anomaly { error, threshold } => {
            let has_confidence = error.order() == ScoreOrder::Higher && *threshold > 0.0;
            let confidence = has_confidence.then_some(Watch::Confidence);
            confidence.into_iter().chain([Watch::Score]).collect()
        }
        Task::Forecast(_) => vec![Watch::Confidence, Watch::Score],
        Task::Rul(rul) => {
            let mut given = vec![Watch::Rul, Watch::Health];
            if rul.has_interval() {
                given.push(Watch::RulLow);
                given.extend((!rul.horizons.is_empty()).then_some(Watch::Failure));
            }
            given
        }
        // A label alone has no score.
        Task::Classification(Classification {
            normal: Some(_),
            output: ClassOutput::Probabilities(_),
            ..
        }) => vec![Watch::Score],
        Task::Classification(_) | Task::Custom { .. } => Vec::new(),
    }
}

/// What is watched of a group's models; they must all give it.
fn watch(wanted: Option<Watch>, group: usize, serving: &Serving) -> Result<Watch, String> {
    let group = &serving.groups[group];
    let mut chosen = wanted;
    for member in &group.members {
        let planned = &serving.models[*member];
        let task = &planned.model.contract.task;
        let given = given(task);
        let none = || format!("model {} gives nothing to watch", planned.model.name);
        let first = *given.first().ok_or_else(none)?;
        let chosen = *chosen.get_or_insert(first);
        if !given.contains(&chosen) {
            let words: Vec<&str> = given.iter().map(|watch| word(*watch)).collect();
            return Err(format!(
                "model {} ({}) does not give {}; it gives: {}",
                planned.model.name,
                task.name(),
                word(chosen),
                words.join(", ")
            ));
        }
    }
    // A group has members, or it is not complete and told as such.
    Ok(chosen.unwrap_or(Watch::Confidence))
}
