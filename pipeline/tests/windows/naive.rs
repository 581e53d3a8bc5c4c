//! The plain loop that windows are compared with: it keeps every row that it has taken, and asks at each record
//! which windows have ended.

use std::collections::BTreeMap;

use super::{Fired, Kind, Reading, Spec, Told, bits};

/// The plain loop.
pub struct Naive {
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
    pub fn run(spec: Spec, log: &[Reading]) -> Self {
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

    pub fn told(&self, publish_from: i64) -> Told {
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
