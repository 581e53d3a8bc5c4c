//! What a row is known to be in the light of its asset's earlier ones: in order or not, missing values held,
//! statuses such as silent or stuck.
//!
//! | status | holds |
//! |---|---|
//! | `silent-for d` | after d without a reading, until the next one |
//! | `unchanged-for d`, `tolerance e` | when the signal has stayed within e of the first value of the stretch for d: 0 is stuck, the sensor's noise a flat line |
//! | `topic t` | when the latest notice in that topic says so (`notices.rs`) |
//!
//! Invariant: a row behind its asset's latest one changes nothing here; its held values are missing, and its
//! statuses but for those of notices, which need no order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clocks::micros;
use crate::config::{Config, Duplicates};
use crate::rows::{Head, Rows};
use crate::signal::MissingPolicy;
use crate::watermark::Watermark;

/// What to do with rows, from the configuration; in microseconds.
#[derive(Debug, Clone, Default)]
pub struct ConditionsSpec {
    /// Columns whose last value is held, and for how long.
    pub holds: Vec<(usize, i64)>,
    pub statuses: Vec<StatusSpec>,
    /// A second row of an asset at one instant is dropped.
    pub unique: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StatusSpec {
    pub name: String,
    pub condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    Silent {
        after: i64,
    },
    Unchanged {
        column: usize,
        after: i64,
        tolerance: f64,
    },
    /// By what a topic says.
    Noticed,
}

/// A status that began or ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatusChange {
    pub slot: u32,
    pub asset: u32,
    /// Its place in [`ConditionsSpec::statuses`].
    pub status: usize,
    pub active: bool,
    /// When what it says began: the last reading, the first value of the stretch; or when it ended.
    pub since: i64,
    /// When it was known.
    pub at: i64,
    /// The asset's latest record.
    pub offset: i64,
    pub publish: bool,
}

impl ConditionsSpec {
    pub fn of(config: &Config) -> Self {
        let column = |name: &str| config.signals.iter().position(|signal| signal.name == name);
        let holds = config.signals.iter().enumerate();
        let holds = holds.filter_map(|(column, signal)| match signal.missing {
            Some(MissingPolicy::Hold(age)) => Some((column, micros(age))),
            _ => None,
        });
        let statuses = config.statuses.iter().filter_map(|(name, status)| {
            let condition = match (status.silent_for, status.unchanged_for) {
                _ if status.topic.is_some() => Condition::Noticed,
                (Some(after), _) => Condition::Silent {
                    after: micros(after),
                },
                (None, after) => Condition::Unchanged {
                    column: column(status.signal.as_ref()?)?,
                    after: micros(after?),
                    tolerance: status.tolerance,
                },
            };
            Some(StatusSpec {
                name: name.clone(),
                condition,
            })
        });
        ConditionsSpec {
            holds: holds.collect(),
            statuses: statuses.collect(),
            unique: config.event_time.duplicates == Duplicates::Drop,
        }
    }

    /// The place of a status that notices are about.
    pub fn noticed(&self, name: &str) -> Option<usize> {
        let named =
            |status: &StatusSpec| status.condition == Condition::Noticed && status.name == name;
        self.statuses.iter().position(named)
    }
}

/// The assets' last rows in one partition.
#[derive(Debug, Default)]
pub struct Conditions {
    assets: Vec<Last>,
    /// Asset by asset, the last value of each held column and its instant.
    held: Vec<(f64, i64)>,
    /// Asset by asset, a cell per status.
    statuses: Vec<StatusCell>,
    /// Assets and statuses by the watermark at which the asset's silence is looked at.
    due: BTreeMap<i64, Vec<(u32, usize)>>,
}

/// What is known of an asset, written down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedConditions {
    last: Last,
    /// Instants of the held values.
    held_at: Vec<i64>,
    #[serde(with = "crate::saved::f64_bits")]
    held: Vec<f64>,
    #[serde(with = "crate::saved::f64_bits")]
    anchors: Vec<f64>,
    /// Of each status: since when, active, a look is due.
    statuses: Vec<(i64, bool, bool)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Last {
    at: i64,
    offset: i64,
}

const NEVER: Last = Last {
    at: i64::MIN,
    offset: 0,
};

#[derive(Debug, Clone, Copy)]
struct StatusCell {
    /// First value of the stretch.
    anchor: f64,
    since: i64,
    active: bool,
    /// A look at the asset's silence is due.
    armed: bool,
}

const CLEAR: StatusCell = StatusCell {
    anchor: f64::NAN,
    since: i64::MIN,
    active: false,
    armed: false,
};

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    InOrder,
    /// Behind the asset's latest row.
    Behind {
        latest: i64,
    },
    Duplicate,
}

impl Conditions {
    /// Fills row `row` in and appends its statuses to the columns after `signals`. `noticed` gives, for the place
    /// of a status, what notices say: active or not, and since when.
    pub fn apply(
        &mut self,
        spec: &ConditionsSpec,
        rows: &mut Rows,
        row: usize,
        signals: usize,
        noticed: impl Fn(usize) -> Option<(bool, i64)>,
        changes: &mut Vec<StatusChange>,
    ) -> Order {
        let head = rows.heads[row];
        let (asset, at) = (head.asset as usize, head.event_at);
        self.make_room(spec, asset);
        let last = self.assets[asset];
        let order = match at {
            at if at < last.at => Order::Behind { latest: last.at },
            at if at == last.at && spec.unique => Order::Duplicate,
            _ => Order::InOrder,
        };
        if order != Order::InOrder {
            for (i, status) in spec.statuses.iter().enumerate() {
                rows.columns[signals + i].push(match status.condition {
                    Condition::Noticed => {
                        f64::from(u8::from(noticed(i).is_some_and(|(active, _)| active)))
                    }
                    _ => f64::NAN,
                });
            }
            return order;
        }
        for (i, (column, age)) in spec.holds.iter().enumerate() {
            let cell = &mut self.held[asset * spec.holds.len() + i];
            let value = &mut rows.columns[*column][row];
            if !value.is_nan() {
                *cell = (*value, at);
            } else if at.saturating_sub(cell.1) <= *age {
                *value = cell.0;
            }
        }
        for (i, status) in spec.statuses.iter().enumerate() {
            let value = match status.condition {
                Condition::Silent { after } => self.spoke(spec, i, after, &head, changes),
                Condition::Unchanged {
                    column,
                    after,
                    tolerance,
                } => {
                    let value = rows.columns[column][row];
                    let cell = &mut self.statuses[asset * spec.statuses.len() + i];
                    cell.stretch(value, (after, tolerance), (i, &head), changes)
                }
                Condition::Noticed => {
                    let (active, since) = noticed(i).unwrap_or((false, at));
                    let cell = &mut self.statuses[asset * spec.statuses.len() + i];
                    cell.become_active(active, since, (i, &head), changes)
                }
            };
            rows.columns[signals + i].push(value);
        }
        self.assets[asset] = Last {
            at,
            offset: head.offset,
        };
        order
    }

    /// An asset has a reading: its silence, if there was one, is over.
    fn spoke(
        &mut self,
        spec: &ConditionsSpec,
        status: usize,
        after: i64,
        head: &Head,
        changes: &mut Vec<StatusChange>,
    ) -> f64 {
        let last = self.assets[head.asset as usize];
        let cell = &mut self.statuses[head.asset as usize * spec.statuses.len() + status];
        if std::mem::take(&mut cell.active) {
            changes.push(change(head, status, false, head.event_at));
        }
        if !std::mem::replace(&mut cell.armed, true) {
            let look = head.event_at.saturating_add(after).saturating_add(1);
            // Not before the watermark that let the row go: what is due by then has been published.
            let look = look.max(head.release.at.saturating_add(1));
            self.due.entry(look).or_default().push((head.asset, status));
        }
        let silent = last.at != i64::MIN && head.event_at - last.at > after;
        f64::from(u8::from(silent))
    }

    /// Looks at the silence of assets that is due before `limit`, or at it when `inclusive`.
    pub fn advance(
        &mut self,
        spec: &ConditionsSpec,
        slot: u32,
        watermark: &Watermark,
        (limit, inclusive): (i64, bool),
        changes: &mut Vec<StatusChange>,
    ) {
        while let Some(entry) = self.due.first_entry() {
            let at = *entry.key();
            if at > limit || (at == limit && !inclusive) {
                return;
            }
            for (asset, status) in entry.remove() {
                let Condition::Silent { after } = spec.statuses[status].condition else {
                    continue;
                };
                let last = self.assets[asset as usize];
                let cell = &mut self.statuses[asset as usize * spec.statuses.len() + status];
                let look = last.at.saturating_add(after).saturating_add(1);
                if !cell.armed || last.at == i64::MIN {
                    continue;
                }
                if look > at {
                    self.due.entry(look).or_default().push((asset, status));
                    continue;
                }
                cell.armed = false;
                cell.active = true;
                changes.push(StatusChange {
                    slot,
                    asset,
                    status,
                    active: true,
                    since: last.at,
                    at: look,
                    offset: last.offset,
                    publish: watermark.is_unpublished(at),
                });
            }
        }
    }

    /// What is known of an asset.
    pub fn save(&self, spec: &ConditionsSpec, asset: u32) -> SavedConditions {
        let asset = asset as usize;
        let (holds, statuses) = (spec.holds.len(), spec.statuses.len());
        let (no_held, no_cells) = (vec![(f64::NAN, i64::MIN); holds], vec![CLEAR; statuses]);
        let held = self.held.get(asset * holds..(asset + 1) * holds);
        let held = held.unwrap_or(&no_held);
        let cells = self.statuses.get(asset * statuses..(asset + 1) * statuses);
        let cells = cells.unwrap_or(&no_cells);
        SavedConditions {
            last: self.assets.get(asset).copied().unwrap_or(NEVER),
            held_at: held.iter().map(|(_, at)| *at).collect(),
            held: held.iter().map(|(value, _)| *value).collect(),
            anchors: cells.iter().map(|cell| cell.anchor).collect(),
            statuses: cells
                .iter()
                .map(|cell| (cell.since, cell.active, cell.armed))
                .collect(),
        }
    }

    /// What [`Self::save`] gave when the watermark was at `watermark`, for an asset of which nothing is known.
    pub fn restore(
        &mut self,
        spec: &ConditionsSpec,
        asset: u32,
        saved: &SavedConditions,
        watermark: i64,
    ) {
        self.make_room(spec, asset as usize);
        self.assets[asset as usize] = saved.last;
        let held = saved.held.iter().copied();
        let held = held.zip(saved.held_at.iter().copied());
        let cells = &mut self.held[asset as usize * spec.holds.len()..];
        cells
            .iter_mut()
            .zip(held)
            .for_each(|(cell, held)| *cell = held);
        let statuses = saved.anchors.iter().zip(&saved.statuses).enumerate();
        for (status, (anchor, (since, active, armed))) in statuses {
            let cell = &mut self.statuses[asset as usize * spec.statuses.len() + status];
            *cell = StatusCell {
                anchor: *anchor,
                since: *since,
                active: *active,
                armed: *armed,
            };
            if let (true, Condition::Silent { after }) = (*armed, spec.statuses[status].condition) {
                // Not before the watermark: what was due by then had been looked at.
                let look = saved.last.at.saturating_add(after).saturating_add(1);
                let look = look.max(watermark.saturating_add(1));
                self.due.entry(look).or_default().push((asset, status));
            }
        }
    }

    fn make_room(&mut self, spec: &ConditionsSpec, asset: usize) {
        if asset >= self.assets.len() {
            self.assets.resize(asset + 1, NEVER);
            self.held
                .resize((asset + 1) * spec.holds.len(), (f64::NAN, i64::MIN));
            self.statuses
                .resize((asset + 1) * spec.statuses.len(), CLEAR);
        }
    }

    pub fn next(&self) -> Option<i64> {
        self.due.keys().next().copied()
    }

    pub fn forget(&mut self, spec: &ConditionsSpec, asset: u32) {
        let asset = asset as usize;
        if asset < self.assets.len() {
            self.assets[asset] = NEVER;
            self.held[asset * spec.holds.len()..][..spec.holds.len()].fill((f64::NAN, i64::MIN));
            self.statuses[asset * spec.statuses.len()..][..spec.statuses.len()].fill(CLEAR);
        }
    }

    pub fn bytes(&self) -> usize {
        self.assets.capacity() * size_of::<Last>()
            + self.held.capacity() * size_of::<(f64, i64)>()
            + self.statuses.capacity() * size_of::<StatusCell>()
    }
}

impl StatusCell {
    /// Whether the signal has not changed for long enough; a missing value says nothing.
    fn stretch(
        &mut self,
        value: f64,
        (after, tolerance): (i64, f64),
        (status, head): (usize, &Head),
        changes: &mut Vec<StatusChange>,
    ) -> f64 {
        let stays = (value - self.anchor).abs() <= tolerance;
        if !value.is_nan() && !stays {
            self.anchor = value;
            self.since = head.event_at;
        }
        let active = self.since != i64::MIN && head.event_at - self.since >= after;
        self.become_active(active, self.since, (status, head), changes)
    }

    /// Gives the status as a value, and tells when it is another one.
    fn become_active(
        &mut self,
        active: bool,
        since: i64,
        (status, head): (usize, &Head),
        changes: &mut Vec<StatusChange>,
    ) -> f64 {
        if active != self.active {
            self.active = active;
            changes.push(change(head, status, active, since));
        }
        f64::from(u8::from(active))
    }
}

fn change(head: &Head, status: usize, active: bool, since: i64) -> StatusChange {
    StatusChange {
        slot: head.slot,
        asset: head.asset,
        status,
        active,
        since,
        at: head.event_at,
        offset: head.offset,
        publish: head.publish,
    }
}
