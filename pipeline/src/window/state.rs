//! The windows of one view in one partition.
//!
//! A row goes into its asset's chain once; windows are stretches of the chain. Of a window only its timers
//! are kept, and after it has fired, while late rows may still revise it, its revision.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::chains::Chains;
use super::fired::{Fired, FiredWindows, Replaced};
use super::gathered::Gathered;
use super::sessions::{joined, sessions};
use super::spec::{Kind, WindowSpec, next_multiple, starts};
use super::timers::{Due, Timers};
use crate::rows::{Head, Origin, Release, Superseded, WindowHead};
use crate::watermark::Watermark;

/// Assets whose rows are walked side by side before their windows fire one by one: their rows stay in the
/// cache.
const WALKED: usize = 64;

#[derive(Debug)]
pub struct WindowState {
    spec: WindowSpec,
    /// Two rows of an asset at one instant are one: the first stays.
    unique: bool,
    max_bytes_per_asset: usize,
    chains: Chains,
    timers: Timers,
    assets: Vec<AssetWindows>,
    fired: FiredWindows,
    walks: Vec<u32>,
}

/// The windows of an asset, written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedWindows {
    windows: AssetWindows,
    /// Instant, first and last record of each row, oldest first.
    rows: Vec<(i64, i64, i64)>,
    #[serde(with = "crate::saved::f64_bits")]
    values: Vec<f64>,
    fired: Vec<(i64, Fired)>,
    timers: Vec<(i64, Due)>,
}

/// What is due for each asset.
pub(crate) type AssetTimers = HashMap<u32, Vec<(i64, Due)>>;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct AssetWindows {
    /// Windows of time: the latest start with a timer. Sessions: the timer that is set, `i64::MIN` when none
    /// is. Windows of rows: the instant of the latest row.
    latest: i64,
    /// Windows of rows: rows so far.
    rows: u64,
    /// A timer for provisional results is set.
    early: bool,
}

const NEW: AssetWindows = AssetWindows {
    latest: i64::MIN,
    rows: 0,
    early: false,
};

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Yes,
    /// The asset has a row at this instant.
    Duplicate,
    /// It is in no window that can still be scored; the last one that it belongs to.
    Late {
        start: i64,
        end: i64,
    },
    /// The asset keeps as many bytes as it may.
    Full {
        bytes: usize,
        max: usize,
    },
}

/// What a window fires for.
#[derive(Debug, Clone, Copy)]
struct Cause {
    release: Release,
    publish: bool,
}

/// How a window's rows are told.
#[derive(Debug)]
enum Told {
    /// The window is still open.
    Provisional,
    Final(Replaced),
}

/// The partition that a call is about.
#[derive(Debug, Clone, Copy)]
pub struct Partition<'a> {
    pub slot: u32,
    pub watermark: &'a Watermark,
}

impl Partition<'_> {
    fn timer(&self, at: i64) -> Cause {
        Cause {
            release: Release { at, in_time: true },
            publish: self.watermark.is_unpublished(at),
        }
    }
}

impl WindowState {
    /// Windows over rows of `width` values.
    pub fn new(spec: WindowSpec, width: usize, unique: bool, max_bytes_per_asset: usize) -> Self {
        WindowState {
            spec,
            unique,
            max_bytes_per_asset,
            chains: Chains::new(width),
            timers: Timers::default(),
            assets: Vec::new(),
            fired: FiredWindows::default(),
            walks: Vec::new(),
        }
    }

    /// When something is due.
    pub fn next(&self) -> Option<i64> {
        self.timers.next()
    }

    /// Bytes of everything kept.
    pub fn bytes(&self) -> usize {
        self.chains.bytes()
            + self.timers.bytes()
            + self.assets.capacity() * size_of::<AssetWindows>()
            + self.fired.bytes()
    }

    /// Forgets an asset whose windows are all over.
    pub fn forget(&mut self, asset: u32) {
        self.chains.drop_while(asset, |_| true);
        if let Some(windows) = self.assets.get_mut(asset as usize) {
            *windows = NEW;
        }
        self.fired.forget(asset, i64::MIN..=i64::MAX);
    }

    /// What is due, by asset.
    pub(crate) fn timers(&self) -> AssetTimers {
        self.timers.by_asset()
    }

    /// The windows of an asset, for which `timers` are due.
    pub(crate) fn save(&self, asset: u32, timers: &[(i64, Due)]) -> SavedWindows {
        let windows = self.assets.get(asset as usize).copied().unwrap_or(NEW);
        let rows = || self.chains.rows(asset);
        SavedWindows {
            windows,
            rows: rows()
                .map(|row| (row.event_at, row.first_offset, row.offset))
                .collect(),
            values: rows().flat_map(super::chains::Kept::values).collect(),
            fired: self.fired.of_asset(asset),
            timers: timers.to_vec(),
        }
    }

    /// What [`Self::save`] gave, for an asset without windows.
    pub(crate) fn restore(&mut self, asset: u32, saved: &SavedWindows) {
        if asset as usize >= self.assets.len() {
            self.assets.resize(asset as usize + 1, NEW);
        }
        self.assets[asset as usize] = saved.windows;
        let width = saved.values.len() / saved.rows.len().max(1);
        for (row, (event_at, first_offset, offset)) in saved.rows.iter().enumerate() {
            let values = saved.values[row * width..][..width].iter().copied();
            self.chains
                .insert(asset, *event_at, (*first_offset, *offset), values);
        }
        for fired in &saved.fired {
            self.fired.restore(asset, *fired);
        }
        for (at, due) in &saved.timers {
            self.timers.push(*at, *due, asset);
        }
    }

    /// Takes a row in, after [`Self::advance`] up to its release. `superseded` are earlier rows that it
    /// replaces.
    pub fn insert(
        &mut self,
        partition: Partition<'_>,
        head: &Head,
        superseded: &[Superseded],
        values: impl Iterator<Item = f64>,
        out: &mut Gathered,
    ) -> Taken {
        let (asset, at) = (head.asset, head.event_at);
        if asset as usize >= self.assets.len() {
            self.assets.resize(asset as usize + 1, NEW);
        }
        for old in superseded {
            self.chains.remove(asset, old.end - 1);
        }
        if self.unique && self.has_row_at(asset, at) {
            return Taken::Duplicate;
        }
        let bytes = (self.chains.len(asset) as usize + 1) * self.chains.row_bytes();
        if bytes > self.max_bytes_per_asset {
            let max = self.max_bytes_per_asset;
            return Taken::Full { bytes, max };
        }
        match self.spec.kind {
            Kind::Time { size, step } => {
                self.insert_time(partition, head, values, (size, step), out)
            }
            Kind::Session { gap } => self.insert_session(partition, head, values, gap, out),
            Kind::Count { rows, step } => {
                self.insert_count(partition, head, values, (rows, step), out)
            }
        }
    }

    fn has_row_at(&self, asset: u32, at: i64) -> bool {
        match self.chains.newest(asset) {
            None => false,
            Some(newest) if newest < at => false,
            Some(newest) => newest == at || self.chains.rows(asset).any(|row| row.event_at == at),
        }
    }

    fn keep(&mut self, head: &Head, values: impl Iterator<Item = f64>) {
        let offsets = (head.first_offset, head.offset);
        self.chains
            .insert(head.asset, head.event_at, offsets, values);
        if let Some(every) = self.spec.early_every {
            let windows = &mut self.assets[head.asset as usize];
            if !std::mem::replace(&mut windows.early, true) {
                // After the multiple, so that rows at exactly that instant are in.
                let at = next_multiple(head.release.at, every).saturating_add(1);
                self.timers.push(at, Due::Early, head.asset);
            }
        }
    }

    fn insert_time(
        &mut self,
        partition: Partition<'_>,
        head: &Head,
        values: impl Iterator<Item = f64>,
        (size, step): (i64, i64),
        out: &mut Gathered,
    ) -> Taken {
        let (asset, at, lateness) = (head.asset, head.event_at, self.spec.allowed_lateness);
        let windows = starts(at, size, step);
        if head.release.in_time {
            // Every window that holds it is open, and those that began before the latest start have timers.
            let latest = self.assets[asset as usize].latest;
            let mut any = false;
            for start in windows {
                any = true;
                if start > latest {
                    self.timers.push(start + size, Due::Close, asset);
                    self.assets[asset as usize].latest = start;
                }
            }
            // Windows that do not touch leave rows between them.
            if any {
                self.keep(head, values);
            }
            return Taken::Yes;
        }
        let (mut open, mut revised, mut expired) = (Vec::new(), Vec::new(), None);
        for start in windows {
            let end = start + size;
            if passed(head.release, end.saturating_add(lateness)) {
                expired = Some(start);
            } else if passed(head.release, end) {
                revised.push(start);
            } else {
                open.push(start);
            }
        }
        if open.is_empty() && revised.is_empty() {
            return expired.map_or(Taken::Yes, |start| Taken::Late {
                start,
                end: start + size,
            });
        }
        for start in open {
            let inside = start..start + size;
            if !self
                .chains
                .rows(asset)
                .any(|row| inside.contains(&row.event_at))
            {
                self.timers.push(start + size, Due::Close, asset);
                let windows = &mut self.assets[asset as usize];
                windows.latest = windows.latest.max(start);
            }
        }
        self.keep(head, values);
        for start in revised {
            self.revise(partition, head, start, start + size, out);
        }
        Taken::Yes
    }

    fn insert_session(
        &mut self,
        partition: Partition<'_>,
        head: &Head,
        values: impl Iterator<Item = f64>,
        gap: i64,
        out: &mut Gathered,
    ) -> Taken {
        let (asset, at) = (head.asset, head.event_at);
        if head.release.in_time {
            let newest = self.chains.newest(asset);
            if newest.is_none_or(|newest| at - newest >= gap) {
                self.arm(asset, at.saturating_add(gap));
            }
            self.keep(head, values);
            return Taken::Yes;
        }
        let (start, last) = joined(&self.chains, asset, at, gap);
        let end = last.saturating_add(gap);
        if passed(head.release, end.saturating_add(self.spec.allowed_lateness)) {
            return Taken::Late { start, end };
        }
        self.keep(head, values);
        if passed(head.release, end) {
            self.revise(partition, head, start, end, out);
        } else {
            self.arm(asset, end);
        }
        Taken::Yes
    }

    /// Sets a session's timer, unless one is set that comes earlier: that one will look again.
    fn arm(&mut self, asset: u32, end: i64) {
        let set = &mut self.assets[asset as usize].latest;
        if *set == i64::MIN || end < *set {
            *set = end;
            self.timers.push(end, Due::Close, asset);
        }
    }

    fn insert_count(
        &mut self,
        partition: Partition<'_>,
        head: &Head,
        values: impl Iterator<Item = f64>,
        (rows, step): (u32, u32),
        out: &mut Gathered,
    ) -> Taken {
        let (asset, at) = (head.asset, head.event_at);
        let latest = self.assets[asset as usize].latest;
        if at < latest {
            return Taken::Late {
                start: at,
                end: latest,
            };
        }
        self.keep(head, values);
        let windows = &mut self.assets[asset as usize];
        windows.latest = at;
        windows.rows += 1;
        let complete = windows.rows >= u64::from(rows);
        if complete && (windows.rows - u64::from(rows)).is_multiple_of(u64::from(step)) {
            let cause = Cause {
                release: head.release,
                publish: head.publish,
            };
            let start = self
                .chains
                .rows(asset)
                .next()
                .map_or(at, |row| row.event_at);
            self.gather(
                (partition.slot, asset),
                (start, at + 1),
                cause,
                Told::Final(Replaced::default()),
                out,
            );
        }
        // The last rows − 1 belong to the next window.
        let mut surplus = self.chains.len(asset).saturating_sub(rows - 1);
        self.chains.drop_while(asset, |_| {
            let drop = surplus > 0;
            surplus = surplus.saturating_sub(1);
            drop
        });
        Taken::Yes
    }

    /// A late row has changed the window from `start` to `end`, or is the first one in it.
    fn revise(
        &mut self,
        partition: Partition<'_>,
        head: &Head,
        start: i64,
        end: i64,
        out: &mut Gathered,
    ) {
        let asset = head.asset;
        if let Some(every) = self.spec.revise_every {
            if self.fired.wait(asset, (start, end)) {
                let expiry = end.saturating_add(self.spec.allowed_lateness);
                let at = next_multiple(head.release.at, every).saturating_add(1);
                self.timers.push(at.min(expiry), Due::Revise, asset);
                self.timers.push(expiry, Due::Expire, asset);
            }
            return;
        }
        let cause = Cause {
            release: head.release,
            publish: head.publish,
        };
        self.fire((partition.slot, asset), (start, end), cause, out);
    }

    /// Fires what is due before `limit`, or at it when `inclusive`.
    pub fn advance(
        &mut self,
        partition: Partition<'_>,
        limit: i64,
        inclusive: bool,
        out: &mut Gathered,
    ) {
        while let Some((at, due, assets)) = self.timers.pop(limit, inclusive) {
            for assets in assets.chunks(WALKED) {
                self.chains.touch_rows(assets, &mut self.walks);
                for &asset in assets {
                    match due {
                        Due::Close => self.close(partition, asset, at, out),
                        Due::Early => self.early(partition, asset, at, out),
                        Due::Revise => self.revise_gathered(partition, asset, at, out),
                        Due::Expire => self.expire(asset, at),
                    }
                }
            }
        }
    }

    fn close(&mut self, partition: Partition<'_>, asset: u32, at: i64, out: &mut Gathered) {
        let cause = partition.timer(at);
        match self.spec.kind {
            Kind::Time { size, step } => {
                let start = at - size;
                self.fire((partition.slot, asset), (start, at), cause, out);
                if self.spec.allowed_lateness == 0 {
                    self.chains.drop_while(asset, |row| row < start + step);
                }
            }
            Kind::Session { gap } => {
                let set = &mut self.assets[asset as usize].latest;
                if *set == at {
                    *set = i64::MIN;
                }
                for (first, last) in sessions(&self.chains, asset, gap) {
                    let end = last.saturating_add(gap);
                    if end > at {
                        self.arm(asset, end);
                    } else if !self.fired.has(asset, first, end) {
                        self.fire((partition.slot, asset), (first, end), cause, out);
                        if self.spec.allowed_lateness == 0 {
                            self.chains.drop_while(asset, |row| row <= last);
                        }
                    }
                }
            }
            Kind::Count { .. } => {}
        }
    }

    fn early(&mut self, partition: Partition<'_>, asset: u32, at: i64, out: &mut Gathered) {
        self.assets[asset as usize].early = false;
        let Some(newest) = self.chains.newest(asset) else {
            return;
        };
        let open: Vec<(i64, i64)> = match self.spec.kind {
            Kind::Time { size, step } => starts(newest, size, step)
                .map(|start| (start, start + size))
                .filter(|(_, end)| *end > at)
                .collect(),
            Kind::Session { gap } => sessions(&self.chains, asset, gap)
                .iter()
                .map(|(first, last)| (*first, last.saturating_add(gap)))
                .filter(|(_, end)| *end > at)
                .collect(),
            Kind::Count { .. } => Vec::new(),
        };
        let cause = partition.timer(at);
        for window in open {
            self.gather(
                (partition.slot, asset),
                window,
                cause,
                Told::Provisional,
                out,
            );
        }
    }

    fn revise_gathered(
        &mut self,
        partition: Partition<'_>,
        asset: u32,
        at: i64,
        out: &mut Gathered,
    ) {
        for window in self.fired.waiting(asset) {
            // As a revision it comes after what is in time at this instant.
            let mut cause = partition.timer(at);
            cause.release.in_time = false;
            self.fire((partition.slot, asset), window, cause, out);
        }
    }

    /// Drops rows and records of windows that take no more late rows.
    fn expire(&mut self, asset: u32, at: i64) {
        let lateness = self.spec.allowed_lateness;
        let over = |end: i64| end.saturating_add(lateness) <= at;
        match self.spec.kind {
            Kind::Time { size, step } => {
                let start = at - lateness - size;
                self.fired.forget(asset, start..=start);
                self.chains.drop_while(asset, |row| row < start + step);
            }
            Kind::Session { gap } => {
                // As they are now: late rows may have joined one that was told to others that live on.
                for (first, last) in sessions(&self.chains, asset, gap) {
                    if over(last.saturating_add(gap)) {
                        self.chains.drop_while(asset, |row| row <= last);
                        self.fired.forget(asset, first..=last);
                    }
                }
            }
            Kind::Count { .. } => {}
        }
    }

    /// Fires a window that has ended: its first result, or a revision of what was told of it.
    fn fire(
        &mut self,
        (slot, asset): (u32, u32),
        (start, end): (i64, i64),
        cause: Cause,
        out: &mut Gathered,
    ) {
        let lateness = self.spec.allowed_lateness;
        let mut replaced = Replaced::default();
        if lateness > 0 {
            let covered = match self.spec.kind {
                Kind::Session { .. } => start..=end - 1,
                _ => start..=start,
            };
            replaced = self.fired.tell(asset, (start, end), covered);
            if !replaced.is_known {
                self.timers
                    .push(end.saturating_add(lateness), Due::Expire, asset);
            }
        }
        self.gather(
            (slot, asset),
            (start, end),
            cause,
            Told::Final(replaced),
            out,
        );
    }

    fn gather(
        &self,
        (slot, asset): (u32, u32),
        (start, end): (i64, i64),
        cause: Cause,
        told: Told,
        out: &mut Gathered,
    ) {
        let inside = self
            .chains
            .rows(asset)
            .skip_while(|row| row.event_at < start)
            .take_while(|row| row.event_at < end);
        let (provisional, replaced) = match told {
            Told::Provisional => (true, Replaced::default()),
            Told::Final(replaced) => (false, replaced),
        };
        let window = WindowHead {
            start,
            end,
            rows: 0,
            revision: replaced.revision,
            provisional,
        };
        let head = Head {
            slot,
            asset,
            event_at: end - 1,
            first_offset: 0,
            offset: 0,
            message: None,
            release: cause.release,
            publish: cause.publish,
            origin: Origin::Window(window),
        };
        out.add(head, window, inside, &replaced.superseded);
    }

    /// Looks at what the next rows of `assets` will need.
    pub fn touch(&self, assets: impl Iterator<Item = u32> + Clone) {
        let known = assets
            .clone()
            .filter_map(|asset| self.assets.get(asset as usize));
        std::hint::black_box(
            known
                .map(|windows| windows.latest)
                .fold(0, i64::wrapping_add),
        );
        self.chains.touch_newest(assets);
    }
}

/// Had the watermark passed `instant` when a row was released? Rows in time come before what is due at their
/// own instant.
fn passed(release: Release, instant: i64) -> bool {
    instant < release.at || (instant == release.at && !release.in_time)
}
