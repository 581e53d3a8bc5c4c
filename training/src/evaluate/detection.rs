//! How good is a detector of anomalies? By rows, by episodes, and by alarms.
//!
//! ```text
//!   truth     . . # # # # . . . . . # # .     two episodes
//!   flagged   # . . . # # # . # . . . . .     three alarms: one touches an episode, two are false
//!                 |---|                       the delay of the first episode; the second one is missed
//! ```
//!
//! Rows count one by one, without point adjustment (which takes a whole episode for detected where one row of it is):
//! adjusted, a detector that flags at random looks excellent. S. Kim and others, *Towards a Rigorous Evaluation of
//! Time-Series Anomaly Detection*, AAAI 2022.
//!
//! An episode or an alarm goes on until a row says otherwise, however long the pause between two rows is. An alarm here is
//! a run of flagged rows; what a rule with hysteresis makes of the scores is `calibrate::alarms`.
//!
//! Invariants:
//! - what is undefined is `None`, never 0 nor 1;
//! - a tally of several assets is the sum of theirs, so that a bootstrap over assets adds, and never counts again.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Range;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{Confusion, Curve, precision_recall, ratio, roc};
use crate::calibrate::{WEEK, watched};
use crate::gate::{Difference, compare};

/// One scored row of an asset.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// Event time in microseconds.
    pub time: i64,
    /// The higher, the more anomalous: the score over its threshold.
    pub score: f64,
    pub flagged: bool,
    pub truth: bool,
}

/// Cases by asset, those of each in the order of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Detected(pub BTreeMap<String, Vec<Case>>);

/// What a detector did on one asset, or, summed, on several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub rows: Confusion,
    pub episodes: u64,
    /// Episodes with a flagged row.
    pub detected: u64,
    pub alarms: u64,
    /// Alarms that touch no episode.
    pub false_alarms: u64,
    /// See [`watched`].
    pub watched: Duration,
}

/// A run of anomalous rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    /// Event times of its first and its last row.
    pub first: i64,
    pub last: i64,
    /// From its first row to the first one in it that is flagged; `None`: it is missed. Zero where an alarm that began
    /// before it was still going on.
    pub delay: Option<Duration>,
}

/// How good it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    pub assets: usize,
    pub rows: Confusion,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    pub f1: Option<f64>,
    pub false_alarm_rate: Option<f64>,
    pub missed_alarm_rate: Option<f64>,
    pub episodes: u64,
    pub detected: u64,
    /// Share of the episodes that were detected.
    pub detection_rate: Option<f64>,
    /// Of the episodes that were detected.
    #[serde(serialize_with = "seconds")]
    pub mean_delay: Option<Duration>,
    #[serde(serialize_with = "seconds")]
    pub median_delay: Option<Duration>,
    pub alarms: u64,
    pub false_alarms: u64,
    /// Per asset and week that it was watched.
    pub alarms_per_week: Option<f64>,
    pub false_alarms_per_week: Option<f64>,
    pub roc_auc: Option<f64>,
    pub average_precision: Option<f64>,
}

impl Detected {
    /// Over all assets.
    pub fn figures(&self) -> Figures {
        figures(self.0.values().map(Vec::as_slice))
    }

    pub fn by_asset(&self) -> impl Iterator<Item = (&str, Figures)> {
        let assets = self.0.iter();
        assets.map(|(asset, cases)| (asset.as_str(), figures(std::iter::once(cases.as_slice()))))
    }

    /// This champion and a challenger over the assets that both have, by `metric`, of which less is better: such as
    /// [`Tally::f1_lost`].
    pub fn against(
        &self,
        challenger: &Detected,
        metric: impl Fn(&Tally) -> f64,
        confidence: f64,
        seed: u64,
    ) -> Option<Difference> {
        let pair = |(asset, champion): (&String, &Vec<Case>)| {
            let challenger = challenger.0.get(asset)?;
            Some((Tally::of(champion), Tally::of(challenger)))
        };
        let pairs: Vec<(Tally, Tally)> = self.0.iter().filter_map(pair).collect();
        let metric = |assets: &[&Tally]| metric(&assets.iter().copied().copied().sum());
        (!pairs.is_empty()).then(|| compare(&pairs, metric, confidence, seed))
    }

    /// The curve of the receiver operating characteristic; see [`roc`].
    pub fn roc(&self) -> Option<Curve> {
        roc(self.scores())
    }

    /// See [`precision_recall`].
    pub fn precision_recall(&self) -> Option<Curve> {
        precision_recall(self.scores())
    }

    /// Scores of all rows, and whether they are anomalous.
    pub fn scores(&self) -> impl Iterator<Item = (f64, bool)> {
        scores(self.0.values().map(Vec::as_slice))
    }
}

impl Tally {
    /// What a detector did on one asset.
    pub fn of(cases: &[Case]) -> Self {
        let mut tally = Tally::default();
        for case in cases {
            tally.rows.add(case.flagged, case.truth);
        }
        let episodes = episodes(cases);
        tally.episodes = episodes.len() as u64;
        tally.detected = delays(&episodes).count() as u64;
        for alarm in runs(cases, |case| case.flagged) {
            tally.alarms += 1;
            tally.false_alarms += u64::from(cases[alarm].iter().all(|case| !case.truth));
        }
        if let [first, .., last] = cases {
            tally.watched = watched(first.time, last.time);
        }
        tally
    }

    /// 1 - F1, for a comparison in which less is better: (FP + FN) / (2 TP + FP + FN). Without a flagged or an anomalous
    /// row, where F1 is undefined, no row is judged wrongly, and it is 0.
    pub fn f1_lost(&self) -> f64 {
        self.rows.f1().map_or(0.0, |f1| 1.0 - f1)
    }

    /// What the detector's mistakes cost, where an episode that it misses costs `missed` and a false alarm `false_alarm`.
    pub fn cost(&self, missed: f64, false_alarm: f64) -> f64 {
        missed * (self.episodes - self.detected) as f64 + false_alarm * self.false_alarms as f64
    }

    /// False alarms per asset and week that it was watched.
    pub fn false_alarms_per_week(&self) -> Option<f64> {
        self.per_week(self.false_alarms)
    }

    /// `count` of alarms, per asset and week.
    fn per_week(&self, count: u64) -> Option<f64> {
        let weeks = self.watched.as_secs_f64() / WEEK.as_secs_f64();
        (weeks > 0.0).then(|| count as f64 / weeks)
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(each: I) -> Self {
        each.fold(Tally::default(), |mut sum, one| {
            sum.rows += one.rows;
            sum.episodes += one.episodes;
            sum.detected += one.detected;
            sum.alarms += one.alarms;
            sum.false_alarms += one.false_alarms;
            sum.watched += one.watched;
            sum
        })
    }
}

/// The episodes of an asset, in the order of time.
pub fn episodes(cases: &[Case]) -> Vec<Episode> {
    let episode = |rows: Range<usize>| {
        let rows = &cases[rows];
        let (first, last) = (rows[0].time, rows[rows.len() - 1].time);
        let flagged = rows.iter().find(|case| case.flagged);
        Episode {
            first,
            last,
            delay: flagged.map(|case| watched(first, case.time)),
        }
    };
    runs(cases, |case| case.truth).map(episode).collect()
}

/// Places of the rows of each run of cases that `is_in`, as long as it gets.
pub fn runs(
    cases: &[Case],
    is_in: impl Fn(&Case) -> bool + Copy,
) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        from += cases[from..].iter().position(is_in)?;
        let length = cases[from..].iter().take_while(|case| is_in(case)).count();
        let run = from..from + length;
        from = run.end;
        Some(run)
    })
}

fn figures<'a>(assets: impl Iterator<Item = &'a [Case]> + Clone) -> Figures {
    let tally: Tally = assets.clone().map(Tally::of).sum();
    let episodes: Vec<Episode> = assets.clone().flat_map(episodes).collect();
    let mut delays: Vec<Duration> = delays(&episodes).collect();
    delays.sort_unstable();
    let rows = tally.rows;
    Figures {
        assets: assets.clone().count(),
        rows,
        precision: rows.precision(),
        recall: rows.recall(),
        f1: rows.f1(),
        false_alarm_rate: rows.false_alarm_rate(),
        missed_alarm_rate: rows.missed_alarm_rate(),
        episodes: tally.episodes,
        detected: tally.detected,
        detection_rate: ratio(tally.detected, tally.episodes),
        mean_delay: mean(&delays),
        median_delay: median(&delays),
        alarms: tally.alarms,
        false_alarms: tally.false_alarms,
        alarms_per_week: tally.per_week(tally.alarms),
        false_alarms_per_week: tally.false_alarms_per_week(),
        roc_auc: roc(scores(assets.clone())).map(|curve| curve.area),
        average_precision: precision_recall(scores(assets)).map(|curve| curve.area),
    }
}

fn scores<'a>(assets: impl Iterator<Item = &'a [Case]>) -> impl Iterator<Item = (f64, bool)> {
    assets.flatten().map(|case| (case.score, case.truth))
}

fn delays(episodes: &[Episode]) -> impl Iterator<Item = Duration> {
    episodes.iter().filter_map(|episode| episode.delay)
}

fn mean(delays: &[Duration]) -> Option<Duration> {
    let sum: Duration = delays.iter().sum();
    (!delays.is_empty()).then(|| sum.div_f64(delays.len() as f64))
}

/// Of sorted delays; of an even number, the middle of the two in the middle.
fn median(delays: &[Duration]) -> Option<Duration> {
    let (below, above) = (delays.len().checked_sub(1)? / 2, delays.len() / 2);
    Some((delays[below] + delays[above]) / 2)
}

fn seconds<S: Serializer>(delay: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    delay.map(|delay| delay.as_secs_f64()).serialize(serializer)
}

#[cfg(test)]
mod tests;
