//! Rows out of narrow telemetry: messages that carry one signal each.
//!
//! ```text
//!   rpm   1     2     3           each row takes the last value of every signal, up to a maximum age;
//!   temp     7           8        an older one is missing
//!   rows  ─────|─────|─────|─▶    at multiples of a period, or at each reading of one signal
//! ```
//!
//! A row at T is made when the watermark has passed T, so that every signal measured at T is in it, whatever
//! the order in which they came. A message behind the watermark that is still the asset's newest makes the rows
//! that it was waited for at once; one that is older than what the asset's rows already know is too late.
//!
//! Invariant: an asset without any value that is young enough gets no rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clocks::micros;
use crate::config::Align;
use crate::rows::{Head, Origin, Release, Rows};
use crate::watermark::Watermark;

/// When rows are made, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlignSpec {
    pub at: RowsAt,
    pub max_age: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsAt {
    Every(i64),
    /// The column of the trigger signal.
    Signal(usize),
}

impl AlignSpec {
    /// `column` finds the column of a signal.
    pub fn of(config: &Align, column: impl Fn(&str) -> Option<usize>) -> Option<Self> {
        let at = match (config.every, &config.on) {
            (Some(every), _) => RowsAt::Every(micros(every)),
            (None, Some(on)) => RowsAt::Signal(column(on)?),
            (None, None) => return None,
        };
        Some(AlignSpec {
            at,
            max_age: micros(config.max_age),
        })
    }
}

/// The last values of every asset of a partition.
#[derive(Debug)]
pub struct AlignState {
    spec: AlignSpec,
    signals: usize,
    /// Asset by asset, a cell per signal.
    cells: Vec<Cell>,
    assets: Vec<AlignedAsset>,
    /// Assets by the instant of the row that is due after it.
    due: BTreeMap<i64, Vec<u32>>,
    scratch: Vec<f64>,
}

/// The last values of an asset, written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedAlign {
    made: i64,
    newest: i64,
    next: i64,
    /// Of each signal.
    #[serde(with = "crate::saved::f64_bits")]
    values: Vec<f64>,
    /// Instant and record of each value.
    known: Vec<(i64, i64)>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    value: f64,
    at: i64,
    offset: i64,
}

const EMPTY: Cell = Cell {
    value: f64::NAN,
    at: i64::MIN,
    offset: 0,
};

#[derive(Debug, Clone, Copy)]
struct AlignedAsset {
    /// The latest row that was made.
    made: i64,
    /// The latest value of any signal.
    newest: i64,
    /// The latest row that is due; `i64::MIN` when none is.
    next: i64,
}

const NEW: AlignedAsset = AlignedAsset {
    made: i64::MIN,
    newest: i64::MIN,
    next: i64::MIN,
};

impl AlignState {
    pub fn new(spec: AlignSpec, signals: usize) -> Self {
        AlignState {
            spec,
            signals,
            cells: Vec::new(),
            assets: Vec::new(),
            due: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes row `row` in. Gives the instant that it should have come before, if it is too late.
    pub fn insert(&mut self, rows: &Rows, row: usize, out: &mut Rows) -> Option<i64> {
        let head = &rows.heads[row];
        let (asset, at) = (head.asset as usize, head.event_at);
        self.make_room(head.asset);
        let AlignedAsset { made, newest, .. } = self.assets[asset];
        if at <= made || at < newest {
            return Some(made.max(newest));
        }
        self.assets[asset].newest = at;
        for (signal, column) in rows.columns[..self.signals].iter().enumerate() {
            let (value, cell) = (column[row], &mut self.cells[asset * self.signals + signal]);
            if value.is_nan() {
                continue;
            }
            let offset = head.offset;
            *cell = Cell { value, at, offset };
            match self.spec.at {
                RowsAt::Signal(trigger) if trigger == signal => self.arm(head.asset, at),
                RowsAt::Every(every) if self.assets[asset].next == i64::MIN => {
                    let next = at.saturating_add(every - 1).div_euclid(every) * every;
                    self.arm(head.asset, next);
                }
                _ => {}
            }
        }
        // Rows that the watermark has passed already: this message is what makes them.
        while (i64::MIN + 1..head.release.at).contains(&self.assets[asset].next) {
            let next = self.assets[asset].next;
            self.make(
                (head.slot, head.asset),
                next,
                (head.release, head.publish),
                out,
            );
        }
        None
    }

    fn arm(&mut self, asset: u32, at: i64) {
        let next = &mut self.assets[asset as usize].next;
        if *next != at {
            *next = at;
            self.due.entry(at).or_default().push(asset);
        }
    }

    /// Makes the rows whose instant is before `limit`.
    pub fn advance(&mut self, slot: u32, watermark: &Watermark, limit: i64, out: &mut Rows) {
        while let Some(entry) = self.due.first_entry() {
            let at = *entry.key();
            if at >= limit {
                return;
            }
            let due = at.saturating_add(1);
            let release = Release {
                at: due,
                in_time: true,
            };
            let publish = watermark.is_unpublished(due);
            for asset in entry.remove() {
                // It may have been made already, by a message that came behind.
                if self.assets[asset as usize].next == at {
                    self.make((slot, asset), at, (release, publish), out);
                }
            }
        }
    }

    fn make(
        &mut self,
        (slot, asset): (u32, u32),
        at: i64,
        (release, publish): (Release, bool),
        out: &mut Rows,
    ) {
        let state = &mut self.assets[asset as usize];
        state.next = i64::MIN;
        let cells = &self.cells[asset as usize * self.signals..][..self.signals];
        let young =
            |cell: &&Cell| !cell.value.is_nan() && at.saturating_sub(cell.at) <= self.spec.max_age;
        let offsets = || cells.iter().filter(young).map(|cell| cell.offset);
        let (Some(first_offset), Some(offset)) = (offsets().min(), offsets().max()) else {
            return;
        };
        self.scratch.clear();
        let value = |cell: &Cell| if young(&cell) { cell.value } else { f64::NAN };
        self.scratch.extend(cells.iter().map(value));
        state.made = at;
        let head = Head {
            slot,
            asset,
            event_at: at,
            first_offset,
            offset,
            message: None,
            release,
            publish,
            origin: Origin::Aligned,
        };
        out.push(head, &self.scratch);
        if let RowsAt::Every(every) = self.spec.at {
            self.arm(asset, at + every);
        }
    }

    /// The watermark at which the next row is made.
    pub fn next(&self) -> Option<i64> {
        self.due.keys().next().map(|at| at.saturating_add(1))
    }

    /// What is known of an asset, if anything is.
    pub fn save(&self, asset: u32) -> Option<SavedAlign> {
        let known = |state: &&AlignedAsset| state.newest != i64::MIN;
        let state = self.assets.get(asset as usize).filter(known)?;
        let cells = &self.cells[asset as usize * self.signals..][..self.signals];
        Some(SavedAlign {
            made: state.made,
            newest: state.newest,
            next: state.next,
            values: cells.iter().map(|cell| cell.value).collect(),
            known: cells.iter().map(|cell| (cell.at, cell.offset)).collect(),
        })
    }

    /// What [`Self::save`] gave, for an asset of which nothing is known.
    pub fn restore(&mut self, asset: u32, saved: &SavedAlign) {
        self.make_room(asset);
        let cells = &mut self.cells[asset as usize * self.signals..][..self.signals];
        for ((cell, value), (at, offset)) in cells.iter_mut().zip(&saved.values).zip(&saved.known) {
            *cell = Cell {
                value: *value,
                at: *at,
                offset: *offset,
            };
        }
        let state = &mut self.assets[asset as usize];
        state.made = saved.made;
        state.newest = saved.newest;
        if saved.next != i64::MIN {
            self.arm(asset, saved.next);
        }
    }

    fn make_room(&mut self, asset: u32) {
        let assets = asset as usize + 1;
        if assets > self.assets.len() {
            self.assets.resize(assets, NEW);
            self.cells.resize(assets * self.signals, EMPTY);
        }
    }

    pub fn forget(&mut self, asset: u32) {
        if let Some(state) = self.assets.get_mut(asset as usize) {
            *state = NEW;
            self.cells[asset as usize * self.signals..][..self.signals].fill(EMPTY);
        }
    }

    pub fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
            + self.assets.capacity() * size_of::<AlignedAsset>()
    }
}
