//! What a model of anomalies said of rows that it has not learnt from, against what was wrong.
//!
//! ```text
//!   said, by asset ─┬─ rows that are normal and held back ─▶ threshold
//!                   └─ rows that are judged, but unsure ones ─▶ cases ─▶ figures, curves, gate (`evaluate`)
//!                                                            └▶ by kind of fault
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::calibrate::{CalibrateError, Scores};
use crate::episodes::{Episode, Episodes, State};
use crate::evaluate::Detected;
use crate::evaluate::detection::Case;
use crate::split::Split;
use crate::threshold::Threshold;
use crate::uses::Uses;

/// What was said of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    /// Microseconds since 1970.
    pub time: i64,
    /// The higher, the more anomalous.
    pub score: f64,
    pub flagged: bool,
}

/// By asset, in the order of time.
pub type SaidOf = BTreeMap<String, Vec<Said>>;

/// Held-back assets are judged by the threshold that other ones give: in so many parts.
const PARTS: usize = 5;

/// Scores of normal rows that a threshold is taken from, of the assets that are wanted.
pub fn normal_scores(
    said: &SaidOf,
    (uses, episodes): (&Uses, &Episodes),
    wanted: impl Fn(&str) -> bool,
) -> Scores {
    let mut scores = Scores::default();
    for (asset, said) in said.iter().filter(|(asset, _)| wanted(asset)) {
        let Some(of) = uses.of_asset(asset) else {
            continue;
        };
        for said in said.iter().filter(|said| of.calibrate.contains(&said.time)) {
            if episodes.state(asset, said.time) == State::Normal {
                scores.push(asset, said.time, said.score);
            }
        }
    }
    scores
}

/// Flags what is beyond the threshold that `of` gives an asset. Where the threshold comes from the very rows that are
/// judged, each part of the assets is flagged with the one that the other parts give, so that what is measured is what new
/// assets will see.
///
/// # Errors
/// When a part of the assets alone gives no threshold.
pub fn flag(
    said: &mut SaidOf,
    parts: (&Uses, &Episodes),
    of: impl Fn(&str) -> Option<f64>,
    (rule, split): (&Threshold, &Split),
) -> Result<(), CalibrateError> {
    let mut crossed = Vec::new();
    if parts.0.is_shared {
        for part in 0..PARTS {
            let others = normal_scores(said, parts, |asset| split.fold(asset, PARTS) != part);
            crossed.push(rule.find(&others)?.threshold);
        }
    }
    for (asset, said) in said {
        let crossed = crossed.get(split.fold(asset, PARTS)).copied();
        // An asset without a model has no scores either.
        let threshold = crossed.or_else(|| of(asset)).unwrap_or(f64::INFINITY);
        said.iter_mut()
            .for_each(|said| said.flagged = said.score > threshold);
    }
    Ok(())
}

/// The rows that are judged, as cases: those that are surely normal or surely wrong.
pub fn cases(said: &SaidOf, (uses, episodes): (&Uses, &Episodes)) -> Detected {
    let mut detected = Detected::default();
    for (asset, said) in said {
        let Some(of) = uses.of_asset(asset) else {
            continue;
        };
        let judged = said.iter().filter(|said| of.judge.contains(&said.time));
        let cases: Vec<Case> = judged
            .filter_map(|said| {
                let state = episodes.state(asset, said.time);
                (state != State::Unsure).then(|| Case {
                    time: said.time,
                    score: said.score,
                    flagged: said.flagged,
                    truth: state == State::Wrong,
                })
            })
            .collect();
        if !cases.is_empty() {
            detected.0.insert(asset.clone(), cases);
        }
    }
    detected
}

/// How well one kind of event is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfKind {
    pub kind: String,
    /// Rows on which it lasts, and share of them that is flagged.
    pub rows: u64,
    pub recall: Option<f64>,
    /// The same while nothing else is wrong: what is flagged then is flagged for it.
    pub rows_alone: u64,
    pub recall_alone: Option<f64>,
    /// Events that began while nothing else was wrong.
    pub began_alone: u64,
    /// Those of them that were flagged before anything else went wrong.
    pub detected_alone: u64,
    /// Median time from the beginning of those to the first flagged row, in seconds.
    #[serde(serialize_with = "seconds")]
    pub median_delay: Option<Duration>,
}

fn seconds<S: serde::Serializer>(
    delay: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    delay.map(|delay| delay.as_secs_f64()).serialize(serializer)
}

/// Rows of a kind, and flagged ones among them.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    rows: u64,
    flagged: u64,
}

impl Count {
    fn add(&mut self, flagged: bool) {
        self.rows += 1;
        self.flagged += u64::from(flagged);
    }

    fn share(self) -> Option<f64> {
        crate::evaluate::ratio(self.flagged, self.rows)
    }
}

/// Each kind of event on the rows that are judged.
pub fn by_kind(detected: &Detected, episodes: &Episodes) -> Vec<OfKind> {
    let kinds = episodes.kinds().len();
    let (mut all, mut alone) = (vec![Count::default(); kinds], vec![Count::default(); kinds]);
    let (mut began, mut delays) = (vec![0; kinds], vec![Vec::new(); kinds]);
    for (asset, cases) in &detected.0 {
        for case in cases {
            let lasting: Vec<usize> = episodes.kinds_at(asset, case.time).collect();
            for &kind in &lasting {
                all[kind].add(case.flagged);
            }
            if let [kind] = lasting[..] {
                alone[kind].add(case.flagged);
            }
        }
        for episode in episodes.of_asset(asset) {
            if let Some(delay) = delay_alone(episode, (asset, cases), episodes) {
                began[episode.kind] += 1;
                delays[episode.kind].extend(delay);
            }
        }
    }
    let kind = |(place, kind): (usize, &String)| {
        delays[place].sort_unstable();
        OfKind {
            kind: kind.clone(),
            rows: all[place].rows,
            recall: all[place].share(),
            rows_alone: alone[place].rows,
            recall_alone: alone[place].share(),
            began_alone: began[place],
            detected_alone: delays[place].len() as u64,
            median_delay: delays[place].get(delays[place].len() / 2).copied(),
        }
    };
    episodes.kinds().iter().enumerate().map(kind).collect()
}

/// How long an event lasted until it was flagged, before anything else went wrong; `Some(None)`: it was not. `None`: it did
/// not begin while nothing else was wrong, or not on rows that are judged.
fn delay_alone(
    episode: &Episode,
    (asset, cases): (&str, &[Case]),
    episodes: &Episodes,
) -> Option<Option<Duration>> {
    let is_alone = |time: i64| episodes.kinds_at(asset, time).eq([episode.kind]);
    let first = cases.partition_point(|case| case.time < episode.from);
    let begins = cases.get(first).filter(|case| is_alone(case.time))?;
    // Rows before its beginning must have been judged, too: else it may have begun long ago.
    let seen_before = first > 0 && cases[first - 1].time < episode.from;
    if !seen_before || begins.time > episode.until {
        return None;
    }
    let mut lasts = cases[first..].iter().take_while(|case| is_alone(case.time));
    let told = lasts.find(|case| case.flagged);
    let micros = |told: &Case| u64::try_from(told.time - episode.from).unwrap_or(0);
    Some(told.map(|told| Duration::from_micros(micros(told))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episodes::Around;
    use crate::labels::read_events;

    /// Rows at 0, 1, ... milliseconds; `x` where one is flagged.
    fn cases(flags: &str) -> Vec<Case> {
        let case = |(row, flag): (usize, char)| Case {
            time: row as i64 * 1_000,
            score: 0.0,
            flagged: flag == 'x',
            truth: false,
        };
        flags.chars().enumerate().map(case).collect()
    }

    #[test]
    fn what_is_flagged_is_for_a_fault_only_while_nothing_else_is_wrong() {
        let text = "asset,time,kind,until\n\
            a,2,leak,7\na,5,noise,open\n\
            b,0,leak,3\n\
            c,1,leak,2\n";
        let episodes = Episodes::of(
            read_events(text.as_bytes()).unwrap(),
            &[],
            Around::default(),
        );
        let detected = Detected(BTreeMap::from([
            // The leak is told after 2 ms; the noise begins while it leaks, and is alone from 8 on.
            ("a".to_owned(), cases("....xxxx.x")),
            // It leaks from the first row on: nobody knows since when.
            ("b".to_owned(), cases("xx..")),
            // Flagged when it is over: missed.
            ("c".to_owned(), cases("...x")),
        ]));
        let told = by_kind(&detected, &episodes);
        let leak = &told[0];
        assert_eq!(
            (leak.kind.as_str(), leak.rows, leak.rows_alone),
            ("leak", 12, 9)
        );
        assert_eq!(
            (leak.recall, leak.recall_alone),
            (Some(6.0 / 12.0), Some(3.0 / 9.0))
        );
        assert_eq!((leak.began_alone, leak.detected_alone), (2, 1));
        assert_eq!(leak.median_delay, Some(Duration::from_millis(2)));
        let noise = &told[1];
        assert_eq!((noise.rows, noise.rows_alone, noise.began_alone), (5, 2, 0));
        assert_eq!((noise.recall_alone, noise.median_delay), (Some(0.5), None));
    }
}
