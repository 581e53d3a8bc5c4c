//! The threshold of an anomaly model from what an operator can bear: so many alarms at most.
//!
//! ```text
//!   scores of the past, by asset ─▶ alarms that a threshold would have raised, by the alarm's own rule
//!   wanted: at most 1 per asset and week  ─▶ the lowest threshold from which on there are no more than that
//! ```
//!
//! The past should be one in which the machines were well, or known to be: an alarm that was right counts like
//! a false one here.
//!
//! Not here: going through the past (the `forewarn calibrate` command, with the pipeline's engine).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use forewarn_pipeline::alarms::{AlarmEvent, AlarmSpec, Alarms, Sample};
use forewarn_pipeline::config::Watch;

/// Scores per asset, each in the order of its results.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    assets: BTreeMap<String, Vec<(i64, f64)>>,
}

impl Scores {
    /// The next score of an asset, at `at` microseconds of event time.
    pub fn push(&mut self, asset: &str, at: i64, score: f64) {
        match self.assets.get_mut(asset) {
            Some(scores) => scores.push((at, score)),
            None => drop(self.assets.insert(asset.to_owned(), vec![(at, score)])),
        }
    }

    pub fn assets(&self) -> usize {
        self.assets.len()
    }

    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.assets.values().flatten().map(|(_, score)| *score)
    }

    pub fn len(&self) -> usize {
        self.assets.values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.assets.is_empty()
    }

    /// Time that the assets were watched, summed over them.
    pub fn watched(&self) -> Duration {
        let spans = self.assets.values();
        spans
            .map(|scores| watched(scores[0].0, scores[scores.len() - 1].0))
            .sum()
    }

    /// Event time of the first and of the last score, in microseconds; 0 and 0 without scores.
    pub fn stretch(&self) -> (i64, i64) {
        let each = self.assets.values();
        let first = each.clone().map(|scores| scores[0].0).min();
        let last = each.map(|scores| scores[scores.len() - 1].0).max();
        (first.unwrap_or(0), last.unwrap_or(0))
    }
}

/// Time that an asset was watched, from the times of its first and its last score in microseconds. Pauses count: what an
/// operator bears is a number of alarms in a week of his, whether or not the machine ran in all of it.
pub fn watched(first: i64, last: i64) -> Duration {
    Duration::from_micros(last.saturating_sub(first).unsigned_abs())
}

/// Alarms that are borne: `1/asset/week`, or `5/day` for the whole fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bearable {
    pub alarms: f64,
    pub per_asset: bool,
    pub every: Duration,
}

const HOUR: u64 = 3_600;
pub const WEEK: Duration = Duration::from_secs(7 * 24 * HOUR);
/// Units of time that alarms are borne in, with their seconds. A year is that of the Julian calendar.
const UNITS: [(&str, u64); 4] = [
    ("hour", HOUR),
    ("day", 24 * HOUR),
    ("week", WEEK.as_secs()),
    ("year", 8_766 * HOUR),
];

impl fmt::Display for Bearable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.every.as_secs();
        let unit = UNITS.iter().find(|(_, length)| *length == seconds);
        let asset = if self.per_asset { "asset/" } else { "" };
        match unit {
            Some((unit, _)) => write!(f, "{}/{asset}{unit}", self.alarms),
            None => write!(f, "{}/{asset}{seconds}s", self.alarms),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not a number of alarms: write 1/asset/week, or 5/day for the whole fleet, with hour, day, week or year"
)]
pub struct NotBearable(String);

impl FromStr for Bearable {
    type Err = NotBearable;

    fn from_str(text: &str) -> Result<Self, NotBearable> {
        let wrong = || NotBearable(text.to_owned());
        let (alarms, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (per_asset, unit) = match rest.split_once('/') {
            Some(("asset", unit)) => (true, unit),
            Some(_) => return Err(wrong()),
            None => (false, rest),
        };
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, seconds) = *unit.ok_or_else(wrong)?;
        let alarms: f64 = alarms.parse().map_err(|_| wrong())?;
        if !(alarms.is_finite() && alarms >= 0.0) {
            return Err(wrong());
        }
        Ok(Bearable {
            alarms,
            per_asset,
            every: Duration::from_secs(seconds),
        })
    }
}

impl Bearable {
    /// Alarms borne in the past that `scores` cover.
    pub fn within(&self, scores: &Scores) -> f64 {
        let watched = scores.watched();
        let time = if self.per_asset {
            watched
        } else {
            watched / u32::try_from(scores.assets().max(1)).unwrap_or(u32::MAX)
        };
        self.alarms * time.as_secs_f64() / self.every.as_secs_f64()
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    pub threshold: f64,
    /// Alarms that it would have raised, and those that were borne.
    pub alarms: u64,
    pub borne: f64,
    /// Scores above it, of all.
    pub above: u64,
    pub scores: u64,
    pub assets: usize,
    pub watched: Duration,
    /// Event time of the first and of the last score, in microseconds.
    pub stretch: (i64, i64),
    /// The past is too short to bear one alarm.
    pub is_short: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrateError {
    #[error(
        "there is no score in that stretch of the past: widen --from and --to, or look at `forewarn score`"
    )]
    NoScores,
    #[error(
        "the highest score is {0}, and a threshold must be above 0: the model gives nothing to calibrate"
    )]
    NothingAbove(String),
}

/// Finds the lowest threshold from which on the rule raises no more alarms than are borne.
///
/// # Errors
/// When there are no scores, or none above 0.
pub fn calibrate(
    scores: &Scores,
    rule: &AlarmSpec,
    bearable: Bearable,
) -> Result<Calibration, CalibrateError> {
    let mut sorted: Vec<f64> = scores
        .assets
        .values()
        .flatten()
        .map(|(_, score)| *score)
        .collect();
    sorted.sort_by(f64::total_cmp);
    let highest = *sorted.last().ok_or(CalibrateError::NoScores)?;
    if highest <= 0.0 {
        return Err(CalibrateError::NothingAbove(highest.to_string()));
    }
    let borne = bearable.within(scores);
    let limit = limit(rule);
    // A threshold at a score over the rule's limit: that score is then just not beyond it.
    let threshold = |above: usize| sorted[sorted.len() - 1 - above].max(f64::MIN_POSITIVE) / limit;
    let is_borne = |above: usize| alarms(scores, rule, threshold(above)) as f64 <= borne;
    // From the highest score down, in steps that grow. With a lower threshold alarms may also become fewer,
    // two of them joining to one; the first step that is not borne ends the search all the same, so that every
    // higher threshold that was looked at is borne.
    let (mut good, mut bad) = (0, None);
    let mut above = 1;
    while above < sorted.len() {
        if !is_borne(above) {
            bad = Some(above);
            break;
        }
        good = above;
        above += above.div_ceil(8);
    }
    let mut bad = bad.unwrap_or(sorted.len());
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if is_borne(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    let threshold = threshold(good);
    let beyond = sorted.iter().filter(|score| **score > threshold).count();
    Ok(Calibration {
        threshold,
        alarms: alarms(scores, rule, threshold),
        borne,
        above: beyond as u64,
        scores: sorted.len() as u64,
        assets: scores.assets(),
        watched: scores.watched(),
        stretch: scores.stretch(),
        is_short: borne < 1.0,
    })
}

/// Alarms that the rule raises over the scores with a threshold.
pub fn alarms(scores: &Scores, rule: &AlarmSpec, threshold: f64) -> u64 {
    let spec = at(rule, threshold);
    let (mut alarms, mut raised) = (Alarms::default(), 0);
    for (asset, scores) in scores.assets.values().enumerate() {
        for (at, score) in scores {
            let sample = Sample {
                value: *score,
                at: *at,
                offset: 0,
                model: 0,
            };
            let turn = alarms.take(&spec, (asset as u32, 0), sample);
            raised += u64::from(turn.is_some_and(|turn| turn.event == AlarmEvent::Raised));
        }
        alarms.forget(asset as u32, 1);
    }
    raised
}

/// The mildest limit in units of the threshold.
fn limit(rule: &AlarmSpec) -> f64 {
    match rule.watch {
        Watch::Confidence => rule.severities[0].1,
        _ => 1.0,
    }
}

/// The rule over raw scores, for a threshold.
fn at(rule: &AlarmSpec, threshold: f64) -> AlarmSpec {
    let scale = match rule.watch {
        Watch::Confidence => threshold,
        // A limit on the raw score is what is looked for.
        _ => threshold / rule.severities[0].1,
    };
    AlarmSpec {
        watch: Watch::Score,
        severities: vec![(rule.severities[0].0.clone(), rule.severities[0].1 * scale)],
        clear_at: rule.clear_at * scale,
        ..rule.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(of: u32, within: u32) -> AlarmSpec {
        AlarmSpec {
            name: "hot".into(),
            group: 0,
            watch: Watch::Confidence,
            rises: true,
            severities: vec![("warning".into(), 1.0)],
            of,
            within,
            clear_at: 1.0,
            clear_after: within,
        }
    }

    /// Hourly scores: `value(asset, hour)`.
    fn scores(assets: usize, hours: i64, value: impl Fn(usize, i64) -> f64) -> Scores {
        let mut scores = Scores::default();
        for asset in 0..assets {
            for hour in 0..hours {
                let name = format!("a{asset}");
                scores.push(&name, hour * 3_600_000_000, value(asset, hour));
            }
        }
        scores
    }

    #[test]
    fn what_is_borne_is_read_and_scaled_to_the_past() {
        let week: Bearable = "1/asset/week".parse().unwrap();
        let past = scores(4, 7 * 24 * 2 + 1, |_, _| 0.0);
        assert_eq!(week.within(&past), 8.0);
        let day: Bearable = "0.5/day".parse().unwrap();
        assert_eq!(day.within(&past), 7.0);
        for text in ["1/asset/week", "0.5/day", "12/asset/year", "0/hour"] {
            assert_eq!(text.parse::<Bearable>().unwrap().to_string(), text);
        }
        for wrong in ["1", "1/week/asset", "x/day", "-1/day", "1/asset/moon"] {
            assert!(wrong.parse::<Bearable>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_lowest_threshold_that_is_borne_is_found() {
        // One asset, four weeks and an hour; single spikes of height 1, 2, 3 ... every 20 hours.
        let spike = |_: usize, hour: i64| {
            if hour % 20 == 19 {
                (hour / 20 + 1) as f64
            } else {
                0.25
            }
        };
        let past = scores(1, 4 * 7 * 24 + 1, spike);
        let found = calibrate(&past, &rule(1, 1), "1/asset/week".parse().unwrap()).unwrap();
        // 33 spikes, four of them are borne.
        assert_eq!((found.threshold, found.alarms, found.borne), (29.0, 4, 4.0));
        assert_eq!((found.above, found.scores, found.assets), (4, 673, 1));
        assert_eq!(found.stretch, (0, 4 * 7 * 24 * 3_600_000_000));
        assert!(!found.is_short);
        // Lone spikes are no alarm where two of three must be beyond: none of them limits the threshold.
        let two = calibrate(&past, &rule(2, 3), "1/asset/week".parse().unwrap()).unwrap();
        assert!(two.threshold < 1.0, "{two:?}");
        assert_eq!(alarms(&past, &rule(1, 1), 28.0), 5);
    }

    #[test]
    fn a_past_too_short_for_one_alarm_gives_the_highest_score_and_says_so() {
        let past = scores(2, 5, |asset, hour| asset as f64 + hour as f64 / 10.0);
        let found = calibrate(&past, &rule(1, 1), "1/asset/week".parse().unwrap()).unwrap();
        assert_eq!(
            (found.threshold, found.alarms, found.is_short),
            (1.4, 0, true)
        );
        let none = calibrate(&Scores::default(), &rule(1, 1), "1/day".parse().unwrap());
        assert_eq!(none, Err(CalibrateError::NoScores));
        let flat = scores(1, 5, |_, _| 0.0);
        let flat = calibrate(&flat, &rule(1, 1), "1/day".parse().unwrap());
        assert!(matches!(flat, Err(CalibrateError::NothingAbove(_))));
    }
}
