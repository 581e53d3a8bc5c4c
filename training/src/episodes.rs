//! What was wrong with which asset, and from when to when: which rows are normal, and which ones should be told.
//!
//! ```text
//!             before        from ══ until      after
//!   ─ normal ─┼┄┄┄┄┄┄┄┄┄┄┄┄┄┼══ wrong ══┼┄┄┄┄┄┄┄┄┄┄┼─ normal ─▶ time        an event that lasts
//!   ─ normal ─┼═══ wrong ═══╳┄┄┄┄┄┄┄┄┄┄┄┄┄┄┼─ normal ─────────▶ time        an instant, such as a failure
//!             before       time          after
//! ```
//!
//! Rows that are wrong should be told; normal ones are learnt from, and not to be told. What is between is neither: nobody
//! knows how early a fault can be seen. A failure is an instant, and what comes before it is what should be told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::labels::{Happened, Until};

/// Labels are told to the millisecond, and the whole of it belongs to them: a window that ends with a row ends a microsecond
/// behind it.
const MILLISECOND: i64 = 999;

/// How much around an event is not normal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Around {
    /// Ahead of it.
    #[serde(with = "humantime_serde")]
    pub before: Duration,
    /// Behind it.
    #[serde(with = "humantime_serde")]
    pub after: Duration,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Normal,
    Wrong,
    /// Near an event: not learnt from, and not judged.
    Unsure,
}

/// One event of an asset, in microseconds since 1970; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    pub from: i64,
    pub until: i64,
    /// Place of its kind among [`Episodes::kinds`].
    pub kind: usize,
    /// What is not normal around it.
    unsure: (i64, i64),
}

/// All that was wrong, by asset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Episodes {
    kinds: Vec<String>,
    by_asset: BTreeMap<String, Vec<Episode>>,
}

impl Episodes {
    /// The events of `kinds`; of all kinds where none is named.
    pub fn of(events: Vec<Happened>, kinds: &[String], around: Around) -> Self {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let (before, after) = (micros(around.before), micros(around.after));
        let mut episodes = Episodes::default();
        for event in events {
            if !kinds.is_empty() && !kinds.contains(&event.kind) {
                continue;
            }
            let (early, at) = (event.at.saturating_sub(before), event.at);
            let (from, until) = match event.until {
                Until::Instant => (early, at.saturating_add(MILLISECOND)),
                Until::Time(until) => (at, until.saturating_add(MILLISECOND)),
                Until::Open => (at, i64::MAX),
            };
            let kind = episodes.kind(event.kind);
            let all = episodes.by_asset.entry(event.asset).or_default();
            let unsure = (early, until.saturating_add(after));
            let place = all.partition_point(|other: &Episode| other.from <= from);
            all.insert(
                place,
                Episode {
                    from,
                    until,
                    kind,
                    unsure,
                },
            );
        }
        episodes
    }

    fn kind(&mut self, kind: String) -> usize {
        let known = self.kinds.iter().position(|known| *known == kind);
        known.unwrap_or_else(|| {
            self.kinds.push(kind);
            self.kinds.len() - 1
        })
    }

    /// Kinds of events, in the order in which they came.
    pub fn kinds(&self) -> &[String] {
        &self.kinds
    }

    /// The events of an asset, by their beginnings.
    pub fn of_asset(&self, asset: &str) -> &[Episode] {
        self.by_asset.get(asset).map_or(&[], Vec::as_slice)
    }

    /// What a row of `asset` at `time` is.
    pub fn state(&self, asset: &str, time: i64) -> State {
        let mut state = State::Normal;
        for episode in self.of_asset(asset) {
            if (episode.from..=episode.until).contains(&time) {
                return State::Wrong;
            }
            if (episode.unsure.0..=episode.unsure.1).contains(&time) {
                state = State::Unsure;
            }
        }
        state
    }

    /// The kinds of events that last at `time`.
    pub fn kinds_at(&self, asset: &str, time: i64) -> impl Iterator<Item = usize> {
        let lasts = move |episode: &&Episode| (episode.from..=episode.until).contains(&time);
        self.of_asset(asset)
            .iter()
            .filter(lasts)
            .map(|episode| episode.kind)
    }

    pub fn is_empty(&self) -> bool {
        self.by_asset.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::read_events;

    const HOUR: i64 = 3_600_000_000;

    fn states(text: &str, around: Around) -> String {
        let events = read_events(text.as_bytes()).unwrap();
        let episodes = Episodes::of(events, &[], around);
        let state = |hour: i64| match episodes.state("a", hour * HOUR) {
            State::Normal => '.',
            State::Wrong => 'x',
            State::Unsure => '?',
        };
        (0..12).map(state).collect()
    }

    fn around(before: u64, after: u64) -> Around {
        let hours = |hours| Duration::from_secs(3_600 * hours);
        Around {
            before: hours(before),
            after: hours(after),
        }
    }

    #[test]
    fn what_is_wrong_what_is_near_it_and_what_is_normal_are_told_apart() {
        let lasts = "asset,time,kind,until\na,1970-01-01T04:00:00Z,leak,1970-01-01T06:00:00Z\n";
        assert_eq!(states(lasts, around(0, 0)), "....xxx.....");
        assert_eq!(states(lasts, around(2, 1)), "..??xxx?....");
        let failure = "asset,time\na,1970-01-01T06:00:00Z\n";
        assert_eq!(states(failure, around(0, 0)), "......x.....");
        assert_eq!(states(failure, around(3, 2)), "...xxxx??...");
        let open = "asset,time,kind,until\na,1970-01-01T09:00:00Z,leak,open\nb,5,leak,open\n";
        assert_eq!(states(open, around(1, 1)), "........?xxx");
    }

    #[test]
    fn events_at_once_are_told_by_kind() {
        let text = "asset,time,kind,until\na,10,leak,open\na,5,noise,20\na,30,stop,30\n";
        let events = read_events(text.as_bytes()).unwrap();
        let episodes = Episodes::of(events.clone(), &[], Around::default());
        assert_eq!(episodes.kinds(), ["leak", "noise", "stop"]);
        let at = |time: i64| episodes.kinds_at("a", time * 1_000).collect::<Vec<_>>();
        assert_eq!((at(4), at(7), at(12)), (vec![], vec![1], vec![1, 0]));
        assert_eq!((at(25), at(30)), (vec![0], vec![0, 2]));
        let some = Episodes::of(events, &["noise".into()], Around::default());
        assert_eq!(some.kinds(), ["noise"]);
        assert_eq!(some.state("a", 25_000), State::Normal);
    }
}
