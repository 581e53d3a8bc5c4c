//! The threshold of a model of anomalies, from rows of machines that are well and that no training has seen.
//!
//! Either a share of these rows may be flagged: the threshold is then the conformal quantile (V. Vovk, A. Gammerman, G.
//! Shafer, *Algorithmic Learning in a Random World*, 2005), of which a new normal row is beyond with at most that chance,
//! whatever the scores' distribution. Or so many alarms are borne: see [`crate::calibrate`].

use std::fmt;

use forewarn_pipeline::alarms::AlarmSpec;
use forewarn_pipeline::config::Watch;
use serde::Deserialize;

use crate::calibrate::{Bearable, CalibrateError, Scores, calibrate};

/// `[threshold]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Threshold {
    /// Share of normal rows that may be flagged. Default: 0.005.
    pub flags: f64,
    /// Alarms that are borne, such as `1/asset/week`, instead: an alarm is `of` of the last `within` results beyond.
    #[serde(deserialize_with = "bearable")]
    pub max_alarms: Option<Bearable>,
    /// Default: 1, as `within`.
    pub of: u32,
    pub within: u32,
}

impl Default for Threshold {
    fn default() -> Self {
        Threshold {
            flags: 0.005,
            max_alarms: None,
            of: 1,
            within: 1,
        }
    }
}

fn bearable<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Bearable>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// A threshold that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    pub threshold: f64,
    /// Scores that it was found in.
    pub scores: usize,
    /// They are too few for what was asked, and it is the highest of them.
    pub is_short: bool,
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.max_alarms {
            None => write!(f, "at most {} % of normal rows flagged", self.flags * 100.0),
            Some(borne) => write!(
                f,
                "at most {borne} alarms, each of {} of {} results beyond",
                self.of, self.within
            ),
        }
    }
}

impl Threshold {
    /// The lowest threshold that keeps to it, in scores of normal rows.
    ///
    /// # Errors
    /// When there are no scores, or none is above zero.
    pub fn find(&self, scores: &Scores) -> Result<Found, CalibrateError> {
        if let Some(borne) = self.max_alarms {
            let found = calibrate(scores, &self.rule(), borne)?;
            return Ok(Found {
                threshold: found.threshold,
                scores: scores.len(),
                is_short: found.is_short,
            });
        }
        let mut values: Vec<f64> = scores.values().collect();
        values.sort_by(f64::total_cmp);
        let Some(&highest) = values.last() else {
            return Err(CalibrateError::NoScores);
        };
        let place = ((1.0 - self.flags) * (values.len() + 1) as f64).ceil() as usize;
        let is_short = place > values.len();
        let threshold = values.get(place.max(1) - 1).copied().unwrap_or(highest);
        match threshold > 0.0 {
            true => Ok(Found {
                threshold,
                scores: values.len(),
                is_short,
            }),
            false => Err(CalibrateError::NothingAbove(highest.to_string())),
        }
    }

    fn rule(&self) -> AlarmSpec {
        AlarmSpec {
            name: "threshold".into(),
            group: 0,
            watch: Watch::Confidence,
            rises: true,
            severities: vec![("warning".into(), 1.0)],
            of: self.of,
            within: self.within,
            clear_at: 1.0,
            clear_after: self.within,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(values: impl Iterator<Item = f64>) -> Scores {
        let mut scores = Scores::default();
        for (hour, value) in values.enumerate() {
            scores.push("pump", hour as i64 * 3_600_000_000, value);
        }
        scores
    }

    #[test]
    fn so_many_new_rows_are_beyond_as_was_asked() {
        let found = |flags: f64, count: u32| {
            let threshold = Threshold {
                flags,
                ..Threshold::default()
            };
            let scores = scores((1..=count).rev().map(f64::from));
            threshold.find(&scores).unwrap()
        };
        // Of 199 rows the highest one: a new row is above all of them once in 200 times.
        let half_a_percent = found(0.005, 199);
        assert_eq!(
            (half_a_percent.threshold, half_a_percent.is_short),
            (199.0, false)
        );
        assert_eq!(found(0.1, 99).threshold, 90.0);
        let few = found(0.005, 100);
        assert_eq!(
            (few.threshold, few.scores, few.is_short),
            (100.0, 100, true)
        );
    }

    #[test]
    fn alarms_that_are_borne_are_counted_by_the_rule() {
        let recipe = "max-alarms = \"2/asset/week\"\nof = 2\nwithin = 3\n";
        let threshold: Threshold = toml::from_str(recipe).unwrap();
        // A lone spike every 20 hours, and pairs of spikes in the last week of four.
        let week = 7 * 24;
        let value = |hour: i64| match (hour % 20, hour > 3 * week) {
            (19, _) => 100.0 + hour as f64,
            (18, true) => 50.0 + hour as f64,
            _ => 1.0,
        };
        let found = threshold.find(&scores((0..4 * week).map(value))).unwrap();
        // Of eight pairs seven are borne, an hour being wanting to four weeks; lone spikes are higher and no alarm.
        assert_eq!(found.threshold, 50.0 + 518.0);
        assert!(toml::from_str::<Threshold>("max-alarms = \"often\"").is_err());
    }

    #[test]
    fn no_scores_and_only_zeros_are_told() {
        let find = |values: &[f64]| Threshold::default().find(&scores(values.iter().copied()));
        assert_eq!(find(&[]), Err(CalibrateError::NoScores));
        assert!(matches!(
            find(&[0.0; 300]),
            Err(CalibrateError::NothingAbove(_))
        ));
    }
}
