//! Alarms: decisions over several results of an asset, raised and cleared.
//!
//! ```text
//!   results beyond the limit   . x . x x . . . . .        of = 3, within = 5, clear-after = 4
//!   alarm                      . . . . R──────C .         R raised (or escalated), C cleared
//! ```
//!
//! - **raised** when `of` of the last `within` results of the asset are beyond the limit; its severity is the
//!   worst one that `of` of them are beyond;
//! - **escalated** when a worse severity is reached; a milder one changes nothing until it is cleared;
//! - **cleared** after `clear-after` results in a row on the good side of `clear-at`, or when the asset is
//!   forgotten.
//!
//! Invariants:
//! - an alarm is a function of the asset's results in their order. Rows without a score, provisional results and
//!   revisions do not count: they say nothing new of the machine, or come after it was judged;
//! - an asset that is well costs nothing: only those with a result beyond the limit are remembered.
//!
//! | file | holds |
//! |---|---|
//! | `spec.rs` | what is watched, and the limits |
//! | `record.rs` | the published form |

mod record;
mod spec;

use std::collections::VecDeque;

use forewarn_models::Verdict;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

pub use record::AlarmRecord;
pub use spec::AlarmSpec;

/// Will a person look at a result: is it anomalous, or beyond the mildest limit of one of the alarms on it?
pub fn is_flagged<'a>(
    verdict: &Verdict<'_>,
    mut alarms: impl Iterator<Item = &'a AlarmSpec>,
) -> bool {
    verdict.anomalous() || alarms.any(|alarm| alarm.is_reached_by(verdict))
}

/// An alarm that was raised, became worse, or was cleared.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmChange {
    pub slot: u32,
    pub asset: u32,
    /// Its place in the plan's alarms.
    pub alarm: usize,
    pub event: AlarmEvent,
    /// Its place in the alarm's severities.
    pub severity: usize,
    /// The latest result that counted.
    pub latest: Sample,
    /// The first result beyond the limit, of those that raised it.
    pub first: Sample,
    /// When it was raised; with asset and alarm it names this occurrence.
    pub raised_at: i64,
    /// Results beyond the severity's limit among the last `within`; good ones in a row when cleared.
    pub count: u32,
    /// Why, with what contributed most.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmEvent {
    Raised,
    Escalated,
    Cleared,
}

impl AlarmEvent {
    /// The published word.
    pub fn name(self) -> &'static str {
        match self {
            AlarmEvent::Raised => "raised",
            AlarmEvent::Escalated => "escalated",
            AlarmEvent::Cleared => "cleared",
        }
    }
}

/// One result that counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub value: f64,
    /// Event time in microseconds; of a window, where it ends.
    pub at: i64,
    pub offset: i64,
    /// The model that gave it, as its place in the plan.
    pub model: usize,
}

/// The alarms of one partition.
#[derive(Debug, Default)]
pub struct Alarms {
    /// By asset and alarm.
    watched: HashMap<(u32, u32), Watched>,
}

/// An asset with results beyond the limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Watched {
    /// Results since the first one beyond the limit.
    results: u64,
    /// Those beyond the limit among the last `within`, with their number.
    beyond: VecDeque<(u64, Sample)>,
    raised: Option<Raised>,
    /// Good results in a row.
    good: u32,
}

/// What is remembered of an asset for one alarm, written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedAlarm {
    alarm: u32,
    watched: Watched,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Raised {
    first: Sample,
    at: i64,
    severity: usize,
}

/// What a result did to an alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    pub event: AlarmEvent,
    pub severity: usize,
    pub first: Sample,
    pub raised_at: i64,
    pub count: u32,
}

impl Alarms {
    /// Takes the next result of an asset.
    pub fn take(
        &mut self,
        spec: &AlarmSpec,
        (asset, alarm): (u32, usize),
        sample: Sample,
    ) -> Option<Turn> {
        let key = (asset, alarm as u32);
        let beyond = spec.is_beyond(0, sample.value);
        if !beyond && !self.watched.contains_key(&key) {
            return None;
        }
        let watched = self.watched.entry(key).or_default();
        let turn = watched.take(spec, sample, beyond);
        if watched.raised.is_none() && watched.beyond.is_empty() {
            self.watched.remove(&key);
        }
        turn
    }

    /// Forgets an asset, and gives the alarms that end with it, in order: alarm, severity, first, raised at.
    pub fn forget(&mut self, asset: u32, alarms: usize) -> Vec<(usize, Turn)> {
        let mut ended = Vec::new();
        for alarm in 0..alarms {
            let watched = self.watched.remove(&(asset, alarm as u32));
            if let Some(raised) = watched.and_then(|watched| watched.raised) {
                ended.push((alarm, raised.turn(AlarmEvent::Cleared, 0)));
            }
        }
        ended
    }

    /// Everything remembered, by asset.
    pub fn by_asset(&self) -> HashMap<u32, Vec<SavedAlarm>> {
        let mut assets: HashMap<u32, Vec<SavedAlarm>> = HashMap::new();
        for ((asset, alarm), watched) in &self.watched {
            let (alarm, watched) = (*alarm, watched.clone());
            assets
                .entry(*asset)
                .or_default()
                .push(SavedAlarm { alarm, watched });
        }
        for alarms in assets.values_mut() {
            alarms.sort_unstable_by_key(|saved| saved.alarm);
        }
        assets
    }

    /// What [`Self::by_asset`] gave of an asset.
    pub fn restore(&mut self, asset: u32, saved: &SavedAlarm) {
        self.watched
            .insert((asset, saved.alarm), saved.watched.clone());
    }

    /// Alarms that are raised now.
    pub fn raised(&self) -> usize {
        self.watched
            .values()
            .filter(|watched| watched.raised.is_some())
            .count()
    }

    pub fn bytes(&self) -> usize {
        let samples = self.watched.values().map(|watched| watched.beyond.len());
        self.watched.capacity() * size_of::<((u32, u32), Watched)>()
            + samples.sum::<usize>() * size_of::<(u64, Sample)>()
    }
}

impl Watched {
    fn take(&mut self, spec: &AlarmSpec, sample: Sample, beyond: bool) -> Option<Turn> {
        self.results += 1;
        let within = u64::from(spec.within);
        while let Some((number, _)) = self.beyond.front()
            && number + within <= self.results
        {
            self.beyond.pop_front();
        }
        if beyond {
            self.beyond.push_back((self.results, sample));
        }
        let is_good = spec.is_good(sample.value);
        self.good = if is_good { self.good + 1 } else { 0 };
        let worst = self.worst(spec);
        match (&mut self.raised, worst) {
            (None, Some((severity, count))) => {
                let (_, first) = self.beyond[0];
                let raised = Raised {
                    first,
                    at: sample.at,
                    severity,
                };
                self.raised = Some(raised);
                Some(raised.turn(AlarmEvent::Raised, count))
            }
            (Some(raised), Some((severity, count))) if severity > raised.severity => {
                raised.severity = severity;
                Some(raised.turn(AlarmEvent::Escalated, count))
            }
            (Some(raised), _) if self.good >= spec.clear_after => {
                let turn = raised.turn(AlarmEvent::Cleared, self.good);
                *self = Watched::default();
                Some(turn)
            }
            _ => None,
        }
    }

    /// The worst severity that enough results are beyond, and how many.
    fn worst(&self, spec: &AlarmSpec) -> Option<(usize, u32)> {
        (0..spec.severities.len()).rev().find_map(|severity| {
            let beyond = self
                .beyond
                .iter()
                .filter(|(_, sample)| spec.is_beyond(severity, sample.value));
            let count = beyond.count() as u32;
            (count >= spec.of).then_some((severity, count))
        })
    }
}

impl Raised {
    fn turn(&self, event: AlarmEvent, count: u32) -> Turn {
        Turn {
            event,
            severity: self.severity,
            first: self.first,
            raised_at: self.at,
            count,
        }
    }
}

#[cfg(test)]
mod tests;
