//! Windows against a plain loop over all rows, for every kind of window: whatever the order of arrival, the
//! cuts between batches, records that come again and restarts, the same rows, bit for bit.
//!
//! The loop keeps every row it has accepted and asks, at each record, which windows have ended. Values are
//! quarters, so that sums have no rounding and an average computed in any order has the same bits.
//!
//! `PROPTEST_CASES=20000 cargo test --release --test windows` looks longer.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::collections::BTreeMap;
use std::path::Path;

use forewarn_models::Loader;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::rows::Origin;
use forewarn_pipeline::watermark::Mark;
use forewarn_pipeline::{Config, Engine, Plan};
use proptest::prelude::*;

const FEATURES: &str = r#"["COUNT(*) AS n", "COUNT(a) AS present", "MIN(a) AS low", "MAX(a) AS high", "AVG(a) AS mean",
    "FIRST(a) AS first", "LAST(a) AS last"]"#;
/// Aggregates whose rounding is polars' own: compared between runs, not with the loop.
const ROUNDED: &str = r#"["STDDEV(a) AS std", "QUANTILE_CONT(a, 0.3) AS q", "AVG(a * 1.1) AS m",
    "COVAR_SAMP(a, event_time) / VARIANCE(event_time) AS slope"]"#;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Time { size: i64, step: i64 },
    Session { gap: i64 },
    Count { rows: usize, step: usize },
}

#[derive(Debug, Clone, Copy)]
struct Spec {
    kind: Kind,
    bound: i64,
    lateness: i64,
}

/// A reading; times in microseconds.
#[derive(Debug, Clone, Copy)]
struct Reading {
    asset: usize,
    at: i64,
    value: Option<f64>,
}

/// A fired window: asset, start, end, revision; the bits of its features; the record that made it fire.
type Fired = (String, i64, i64, u32, Vec<u64>);

fn config(spec: Spec, features: &str, extra: &str) -> Config {
    let window = match spec.kind {
        Kind::Time { size, step } => format!("{{ hopping = \"{size}us\", every = \"{step}us\" }}"),
        Kind::Session { gap } => format!("{{ session = \"{gap}us\" }}"),
        Kind::Count { rows, step } => format!("{{ count = {rows}, every = {step} }}"),
    };
    let lateness = match spec.lateness {
        0 => String::new(),
        lateness => format!("allowed-lateness = \"{lateness}us\""),
    };
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let text = format!(
        "name = \"windows\"\n[source]\ntopic = \"in\"\nevent-time = {{ field = \"t\", unit = \"us\" }}\n\
         [event-time]\nout-of-orderness = \"{}us\"\n{extra}\n\
         [signals]\na = {{ missing = \"no-score\" }}\nb = {{ missing = {{ fill = 0 }} }}\n\
         [views.rows]\nfeatures = [\"*\"]\n\
         [views.w]\nwindow = {window}\n{lateness}\nfeatures = {features}\n\
         [models]\nrepository = \"{}\"\n[[models.serve]]\nname = \"plain\"\nview = \"rows\"\n",
        spec.bound,
        models.display()
    );
    Config::parse("windows.toml", &text, Path::new(".")).unwrap()
}

fn engine(config: &Config) -> Engine {
    Engine::new(config, Plan::build(config, &Loader::trusted()).unwrap())
}

fn payloads(log: &[Reading]) -> Vec<(String, String)> {
    log.iter()
        .map(|reading| {
            let value = reading
                .value
                .map_or(String::new(), |value| format!(",\"a\":{value}"));
            (
                format!("asset-{}", reading.asset),
                format!("{{\"t\":{}{value}}}", reading.at),
            )
        })
        .collect()
}

/// What the windows of a run gave, and which records came too late.
#[derive(Debug, Default, PartialEq)]
struct Told {
    fired: Vec<Fired>,
    late: Vec<i64>,
}

impl Told {
    fn sorted(mut self) -> Self {
        self.fired.sort();
        self.late.sort_unstable();
        self
    }
}

fn note(step: &forewarn_pipeline::engine::Step<'_>, told: &mut Told) {
    let view = step
        .plan
        .views
        .iter()
        .position(|view| view.view.name() == "w")
        .unwrap();
    let rows = &step.views[view];
    for (row, head) in rows.heads.iter().enumerate() {
        let Origin::Window(window) = head.origin else {
            panic!("a row of a window")
        };
        if !head.publish || window.provisional {
            continue;
        }
        let bits = rows
            .columns
            .iter()
            .map(|column| bits(column[row]))
            .collect();
        let asset = step.asset(head.slot, head.asset).to_owned();
        told.fired
            .push((asset, window.start, window.end, window.revision, bits));
    }
    told.late.extend(step.late.iter().map(|late| late.offset));
}

/// All that is missing is alike.
fn bits(value: f64) -> u64 {
    if value.is_nan() {
        u64::MAX
    } else {
        value.to_bits()
    }
}

/// Runs a log through the engine in batches of the sizes of `cuts`, each beginning `repeat` records back, then
/// ends all time.
fn run(config: &Config, log: &[Reading], cuts: &[usize], repeat: usize, publish_from: i64) -> Told {
    let mut engine = engine(config);
    engine.assign(0, 0, publish_from, Vec::new());
    let payloads = payloads(log);
    let messages: Vec<Message<'_>> = (0..)
        .zip(&payloads)
        .map(|(offset, (key, payload))| Message {
            partition: 0,
            offset,
            timestamp: None,
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
        })
        .collect();
    let (mut told, mut at) = (Told::default(), 0);
    for size in cuts.iter().cycle() {
        if at == messages.len() {
            break;
        }
        let end = (at + size).min(messages.len());
        let begin = at.saturating_sub(repeat);
        note(&engine.step(&messages[begin..end]).unwrap(), &mut told);
        at = end;
    }
    note(&engine.advance(0, i64::MAX).unwrap(), &mut told);
    told.sorted()
}

/// The plain loop.
struct Naive {
    spec: Spec,
    watermark: i64,
    latest: i64,
    /// In time, but the watermark has not reached them: (instant, offset, reading).
    held: Vec<(i64, i64, Reading)>,
    /// Taken, in the order of their release.
    taken: Vec<(i64, i64, Reading)>,
    /// The first window that takes a row which came behind, by its offset.
    first_start: BTreeMap<i64, i64>,
    /// Told windows and sessions: (asset, start) to (end, revision).
    told: BTreeMap<(usize, i64), (i64, u32)>,
    counted: BTreeMap<usize, Vec<(i64, i64, Reading)>>,
    fired: Vec<(i64, Fired)>,
    late: Vec<i64>,
}

impl Naive {
    fn run(spec: Spec, log: &[Reading]) -> Self {
        let mut naive = Naive {
            spec,
            watermark: i64::MIN,
            latest: i64::MIN,
            held: Vec::new(),
            taken: Vec::new(),
            first_start: BTreeMap::new(),
            told: BTreeMap::new(),
            counted: BTreeMap::new(),
            fired: Vec::new(),
            late: Vec::new(),
        };
        for (offset, reading) in (0..).zip(log) {
            naive.record(offset, *reading);
        }
        naive.pass(i64::MAX, log.len() as i64);
        naive
    }

    fn told(&self, publish_from: i64) -> Told {
        let fired = self
            .fired
            .iter()
            .filter(|(offset, _)| *offset >= publish_from);
        let late = self.late.iter().filter(|offset| **offset >= publish_from);
        Told {
            fired: fired.map(|(_, fired)| fired.clone()).collect(),
            late: late.copied().collect(),
        }
        .sorted()
    }

    fn record(&mut self, offset: i64, reading: Reading) {
        let before = self.watermark;
        if reading.at < before {
            self.behind(offset, reading);
        } else {
            self.held.push((reading.at, offset, reading));
        }
        self.latest = self.latest.max(reading.at);
        self.pass(before.max(self.latest - self.spec.bound), offset);
    }

    /// Moves the watermark: releases what is held, then tells the windows that have ended.
    fn pass(&mut self, watermark: i64, offset: i64) {
        self.watermark = watermark;
        self.held.sort_by_key(|(at, offset, _)| (*at, *offset));
        let due = self.held.partition_point(|(at, ..)| *at <= watermark);
        for row in self.held.drain(..due).collect::<Vec<_>>() {
            self.take(row, offset);
        }
        match self.spec.kind {
            Kind::Time { size, step } => {
                let rows = self.taken.clone();
                for (at, row, reading) in rows {
                    let first = self.first_start.get(&row).copied().unwrap_or(i64::MIN);
                    for start in starts(at, size, step) {
                        let ended = start + size <= watermark && start >= first;
                        if ended && !self.told.contains_key(&(reading.asset, start)) {
                            self.tell(reading.asset, (start, start + size), offset);
                        }
                    }
                }
            }
            Kind::Session { gap } => {
                for asset in self.assets() {
                    for (start, last) in self.sessions(asset, gap) {
                        let end = last + gap;
                        let known = self
                            .told
                            .get(&(asset, start))
                            .is_some_and(|told| told.0 == end);
                        if end <= watermark && !known {
                            self.tell(asset, (start, end), offset);
                        }
                    }
                }
                self.expire(gap);
            }
            Kind::Count { .. } => {}
        }
    }

    /// Sessions that can't be revised any more are over, with their rows.
    fn expire(&mut self, gap: i64) {
        let (watermark, lateness) = (self.watermark, self.spec.lateness);
        let over = |end: i64| end.saturating_add(lateness) <= watermark;
        for asset in self.assets() {
            for (start, last) in self.sessions(asset, gap) {
                if over(last + gap) {
                    self.taken.retain(|(at, _, reading)| {
                        reading.asset != asset || *at < start || *at > last
                    });
                    self.told.remove(&(asset, start));
                }
            }
        }
    }

    fn assets(&self) -> Vec<usize> {
        let mut assets: Vec<usize> = self
            .taken
            .iter()
            .map(|(_, _, reading)| reading.asset)
            .collect();
        assets.sort_unstable();
        assets.dedup();
        assets
    }

    fn rows(&self, asset: usize) -> Vec<(i64, i64, Reading)> {
        let of_asset = self
            .taken
            .iter()
            .filter(|(_, _, reading)| reading.asset == asset);
        let mut rows: Vec<_> = of_asset.copied().collect();
        // The order of arrival, where the instant is the same: rows were taken in it.
        rows.sort_by_key(|(at, ..)| *at);
        rows
    }

    fn sessions(&self, asset: usize, gap: i64) -> Vec<(i64, i64)> {
        let mut sessions: Vec<(i64, i64)> = Vec::new();
        for (at, ..) in self.rows(asset) {
            match sessions.last_mut() {
                Some(session) if at - session.1 < gap => session.1 = at,
                _ => sessions.push((at, at)),
            }
        }
        sessions
    }

    fn take(&mut self, row: (i64, i64, Reading), offset: i64) {
        let Kind::Count { rows, step } = self.spec.kind else {
            self.taken.push(row);
            return;
        };
        let all = self.counted.entry(row.2.asset).or_default();
        if all.last().is_some_and(|last| row.0 < last.0) {
            self.late.push(row.1);
            return;
        }
        all.push(row);
        if all.len() >= rows && (all.len() - rows).is_multiple_of(step) {
            let last = all[all.len() - rows..].to_vec();
            let (start, end) = (last[0].0, row.0 + 1);
            self.fired
                .push((offset, fired(row.2.asset, (start, end), 0, &last)));
        }
    }

    fn behind(&mut self, offset: i64, reading: Reading) {
        let (at, now, lateness) = (reading.at, self.watermark, self.spec.lateness);
        let row = (at, offset, reading);
        match self.spec.kind {
            Kind::Count { .. } => self.take(row, offset),
            Kind::Time { size, step } => {
                let windows = starts(at, size, step);
                let alive: Vec<i64> = windows
                    .iter()
                    .copied()
                    .filter(|start| start + size + lateness > now)
                    .collect();
                if alive.is_empty() {
                    // Between windows that do not touch it belongs to none, late or not.
                    if !windows.is_empty() {
                        self.late.push(offset);
                    }
                    return;
                }
                self.taken.push(row);
                self.first_start.insert(offset, alive[0]);
                for start in alive {
                    if start + size <= now {
                        self.tell(reading.asset, (start, start + size), offset);
                    }
                }
            }
            Kind::Session { gap } => {
                self.taken.push(row);
                let sessions = self.sessions(reading.asset, gap);
                let (start, last) = *sessions
                    .iter()
                    .find(|(start, last)| *start <= at && at <= *last)
                    .unwrap();
                let end = last + gap;
                if end + lateness <= now {
                    self.taken.pop();
                    self.late.push(offset);
                } else if end <= now {
                    self.tell(reading.asset, (start, end), offset);
                }
            }
        }
    }

    fn tell(&mut self, asset: usize, (start, end): (i64, i64), offset: i64) {
        // A session may join several that were told apart.
        let last = if matches!(self.spec.kind, Kind::Session { .. }) {
            end - 1
        } else {
            start
        };
        let covered: Vec<(usize, i64)> = self
            .told
            .range((asset, start)..=(asset, last))
            .map(|(key, _)| *key)
            .collect();
        let revisions = covered.iter().filter_map(|key| self.told.remove(key));
        let revision = revisions
            .map(|(_, revision)| revision + 1)
            .max()
            .unwrap_or(0);
        self.told.insert((asset, start), (end, revision));
        let inside: Vec<_> = self
            .rows(asset)
            .into_iter()
            .filter(|(at, ..)| (start..end).contains(at))
            .collect();
        self.fired
            .push((offset, fired(asset, (start, end), revision, &inside)));
    }
}

fn starts(at: i64, size: i64, step: i64) -> Vec<i64> {
    (at - size + 1..=at)
        .filter(|start| start.rem_euclid(step) == 0)
        .collect()
}

fn fired(
    asset: usize,
    (start, end): (i64, i64),
    revision: u32,
    rows: &[(i64, i64, Reading)],
) -> Fired {
    let values: Vec<f64> = rows
        .iter()
        .filter_map(|(_, _, reading)| reading.value)
        .collect();
    let (mut low, mut high, mut sum) = (f64::NAN, f64::NAN, 0.0);
    for value in &values {
        low = value.min(low);
        high = value.max(high);
        sum += value;
    }
    let mean = if values.is_empty() {
        f64::NAN
    } else {
        sum / values.len() as f64
    };
    let end_value =
        |row: Option<&(i64, i64, Reading)>| row.and_then(|row| row.2.value).unwrap_or(f64::NAN);
    let features = [
        rows.len() as f64,
        values.len() as f64,
        low,
        high,
        mean,
        end_value(rows.first()),
        end_value(rows.last()),
    ];
    let asset = format!("asset-{asset}");
    (asset, start, end, revision, features.map(bits).to_vec())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1_i64..40).prop_map(|size| Kind::Time { size, step: size }),
        (1_i64..40, 1_i64..40).prop_map(|(size, step)| Kind::Time { size, step }),
        (1_i64..25).prop_map(|gap| Kind::Session { gap }),
        (1_usize..6, 1_usize..8).prop_map(|(rows, step)| Kind::Count { rows, step }),
    ]
}

fn spec() -> impl Strategy<Value = Spec> {
    let lateness = prop_oneof![Just(0_i64), 1_i64..60];
    let bound = prop_oneof![Just(0_i64), 1_i64..30];
    (kind(), bound, lateness).prop_map(|(kind, bound, lateness)| {
        let lateness = if matches!(kind, Kind::Count { .. }) {
            0
        } else {
            lateness
        };
        Spec {
            kind,
            bound,
            lateness,
        }
    })
}

/// A log whose instants wander forward, with readings up to `back` behind.
fn log(back: i64) -> impl Strategy<Value = Vec<Reading>> {
    let reading = (
        0_usize..4,
        0_i64..8,
        0..=back,
        prop::option::weighted(0.9, -40_i32..40),
    );
    prop::collection::vec(reading, 1..150).prop_map(|steps| {
        let mut now = 1_000_000_i64;
        let reading = |(asset, forward, back, value): (usize, i64, i64, Option<i32>)| {
            now += forward;
            Reading {
                asset,
                at: now - back,
                value: value.map(|value| f64::from(value) * 0.25),
            }
        };
        steps.into_iter().map(reading).collect()
    })
}

proptest! {
    #[test]
    fn windows_equal_a_plain_loop_over_all_rows(
        spec in spec(),
        log in prop_oneof![log(0), log(15), log(90)],
        cuts in prop::collection::vec(1_usize..40, 1..8),
        repeat in 0_usize..10,
        publish_from in 0_i64..150,
    ) {
        let config = config(spec, FEATURES, "");
        let naive = Naive::run(spec, &log);
        prop_assert_eq!(run(&config, &log, &[log.len()], 0, 0), naive.told(0), "in one batch");
        prop_assert_eq!(run(&config, &log, &cuts, repeat, 0), naive.told(0), "in several batches");
        let publish_from = publish_from.min(log.len() as i64);
        let restarted = run(&config, &log, &cuts, 0, publish_from);
        prop_assert_eq!(restarted, naive.told(publish_from), "taken over by another process");
    }

    #[test]
    fn the_order_of_arrival_does_not_matter_within_the_bound(
        kind in kind(),
        log in log(0),
        bound in 1_i64..30,
        jitter in prop::collection::vec(0_i64..30, 150),
        copies in prop::collection::vec(0_usize..150, 0..20),
    ) {
        let spec = Spec { kind, bound, lateness: 0 };
        let config = config(spec, ROUNDED, "duplicates = \"drop\"");
        // One reading of an asset at an instant.
        let mut seen = std::collections::BTreeSet::new();
        let mut distinct = log.clone();
        distinct.retain(|reading| seen.insert((reading.asset, reading.at)));
        let expected = run(&config, &distinct, &[distinct.len()], 0, 0);
        prop_assert!(expected.late.is_empty());
        // Each is late by less than the bound; some come twice.
        let mut arrivals: Vec<(i64, Reading)> = distinct
            .iter()
            .zip(&jitter)
            .map(|(reading, jitter)| (reading.at + jitter % (bound + 1), *reading))
            .collect();
        let again: Vec<(i64, Reading)> =
            copies.iter().filter_map(|copy| arrivals.get(*copy).copied()).collect();
        arrivals.extend(again);
        arrivals.sort_by_key(|(arrival, _)| *arrival);
        let shuffled: Vec<Reading> = arrivals.into_iter().map(|(_, reading)| reading).collect();
        prop_assert_eq!(run(&config, &shuffled, &[7, 30, 1], 3, 0), expected);
    }

    #[test]
    fn a_quiet_partition_closed_by_the_clock_is_closed_at_the_same_record_in_a_replay(
        spec in spec(),
        log in log(5),
        marks in prop::collection::vec((0_i64..150, 0_i64..200), 1..5),
        cuts in prop::collection::vec(1_usize..40, 1..8),
    ) {
        let config = config(spec, FEATURES, "");
        let payloads = payloads(&log);
        let messages: Vec<Message<'_>> = (0..)
            .zip(&payloads)
            .map(|(offset, (key, payload))| Message {
                partition: 0,
                offset,
                timestamp: None,
                key: Some(key.as_bytes()),
                payload: Some(payload.as_bytes()),
            })
            .collect();
        // Live: the clock moves the watermark between two records.
        let mut live = engine(&config);
        live.assign(0, 0, 0, Vec::new());
        let mut marks: Vec<Mark> = marks
            .iter()
            .map(|(offset, ahead)| {
                let offset = (*offset).clamp(1, log.len() as i64);
                let latest = log[..offset as usize].iter().map(|reading| reading.at).max().unwrap();
                Mark { offset, watermark: latest + ahead }
            })
            .collect();
        marks.sort_by_key(|mark| mark.offset);
        let (mut expected, mut at) = (Told::default(), 0);
        for mark in &marks {
            note(&live.step(&messages[at..mark.offset as usize]).unwrap(), &mut expected);
            at = mark.offset as usize;
            note(&live.advance(0, mark.watermark).unwrap(), &mut expected);
        }
        note(&live.step(&messages[at..]).unwrap(), &mut expected);
        let expected = expected.sorted();
        // Replayed, with what was published so far, and cut elsewhere.
        for publish_from in [0, log.len() as i64 / 2] {
            let mut replayed = engine(&config);
            // Marks up to the committed offset are in the log of outputs, with what they caused.
            let known: Vec<Mark> =
                marks.iter().copied().filter(|mark| mark.offset <= publish_from).collect();
            replayed.assign(0, 0, publish_from, known.clone());
            let (mut told, mut at, mut cuts) = (Told::default(), 0, cuts.iter().cycle());
            let mut later: Vec<Mark> = marks[known.len()..].to_vec();
            while at < messages.len() {
                let next = later.first().map_or(messages.len(), |mark| mark.offset as usize);
                let end = (at + cuts.next().unwrap()).min(next);
                note(&replayed.step(&messages[at..end]).unwrap(), &mut told);
                at = end;
                while later.first().is_some_and(|mark| mark.offset as usize == at) {
                    note(&replayed.advance(0, later.remove(0).watermark).unwrap(), &mut told);
                }
            }
            let told = told.sorted();
            if publish_from == 0 {
                prop_assert_eq!(&told, &expected);
            } else {
                // Nothing that was not told, and nothing twice.
                let mut left = expected.fired.clone();
                for fired in &told.fired {
                    let place = left.iter().position(|known| known == fired);
                    prop_assert!(place.is_some(), "{:?} was not told live", fired);
                    left.remove(place.unwrap());
                }
            }
        }
    }
}
