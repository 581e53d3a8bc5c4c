//! From decoded readings to the rows of each view: order, alignment, conditions, features, windows.
//!
//! A stage takes what the one before it gave in this segment of the batch, of all partitions at once. Views
//! stand in such an order that one which reads another comes after it.

use super::step::Late;
use crate::align::AlignState;
use crate::clocks::micros;
use crate::conditions::{Order, StatusChange};
use crate::config::{Config, Limits};
use crate::decode::Decoded;
use crate::feature::FeatureError;
use crate::plan::{Plan, PlannedView};
use crate::refusal::{Refusal, Refused};
use crate::rows::{Head, Origin, Rows, Superseded};
use crate::state::{PartitionState, Partitions};
use crate::window::{self, Gathered, Taken, WindowState};

/// Rows whose windows are looked at together, before they are taken one by one: few enough to stay in the
/// cache.
const TOUCHED: usize = 512;

#[derive(Debug)]
pub(super) struct Stages {
    signals: usize,
    /// Nothing ever waits: the watermark is at the latest reading.
    immediate: bool,
    arrived: Rows,
    released: Rows,
    aligned: Rows,
    /// Beside the rows that conditions were applied to.
    orders: Vec<Order>,
    views: Vec<Rows>,
    gathered: Vec<Gathered>,
    pub refused: Vec<Refused>,
    pub late: Vec<Late>,
    pub changes: Vec<StatusChange>,
    pub readings: u64,
    pub ignored: u64,
    pub familiar: u64,
    pub duplicates: u64,
}

impl Stages {
    pub fn new(plan: &Plan, config: &Config) -> Self {
        let signals = config.signals.len();
        let columns = signals + plan.conditions.statuses.len();
        Stages {
            signals,
            immediate: micros(config.event_time.out_of_orderness) == 0,
            arrived: Rows::new(columns),
            released: Rows::new(columns),
            aligned: Rows::new(columns),
            orders: Vec::new(),
            views: plan
                .views
                .iter()
                .map(|view| Rows::new(view.view.width()))
                .collect(),
            gathered: plan
                .views
                .iter()
                .map(|view| view.view.gathering(view.kept.clone()))
                .collect(),
            refused: Vec::new(),
            late: Vec::new(),
            changes: Vec::new(),
            readings: 0,
            ignored: 0,
            familiar: 0,
            duplicates: 0,
        }
    }

    /// Makes the state that a new partition needs.
    pub fn prepare(&self, plan: &Plan, limits: &Limits, state: &mut PartitionState) {
        state.align = plan.align.map(|spec| AlignState::new(spec, self.signals));
        let windows = plan.views.iter().map(|view| {
            let spec = view.window.clone()?;
            // Rows of a window are never two at one instant: a second one is a revision.
            let unique = plan.conditions.unique || view.from.is_some();
            let most = limits.max_bytes_per_asset;
            Some(WindowState::new(spec, view.kept.len(), unique, most))
        });
        state.windows = windows.collect();
    }

    pub fn forget(&self, plan: &Plan, state: &mut PartitionState, asset: u32) {
        state.conditions.forget(&plan.conditions, asset);
        if let Some(align) = &mut state.align {
            align.forget(asset);
        }
        for windows in state.windows.iter_mut().flatten() {
            windows.forget(asset);
        }
    }

    pub fn views(&self) -> &[Rows] {
        &self.views
    }

    /// A new batch begins.
    pub fn begin(&mut self) {
        self.arrived.clear();
        self.gathered.iter_mut().for_each(Gathered::clear);
        self.views.iter_mut().for_each(Rows::clear);
        self.refused.clear();
        self.late.clear();
        self.changes.clear();
        self.readings = 0;
        self.ignored = 0;
        self.familiar = 0;
        self.duplicates = 0;
    }

    /// Where the next segment is decoded to.
    pub fn decoded<'a>(&'a mut self, partitions: &'a mut Partitions) -> Decoded<'a> {
        self.arrived.clear();
        Decoded {
            partitions,
            rows: &mut self.arrived,
            refused: &mut self.refused,
            ignored: &mut self.ignored,
            familiar: &mut self.familiar,
        }
    }

    /// Takes the decoded rows through the stages. Gives, per view, its first row of this segment.
    pub fn run(
        &mut self,
        plan: &Plan,
        partitions: &mut Partitions,
    ) -> Result<Vec<usize>, FeatureError> {
        self.readings += self.arrived.len() as u64;
        let begins: Vec<usize> = self.views.iter().map(Rows::len).collect();
        for (planned, rows) in plan.views.iter().zip(&mut self.views) {
            if !planned.ordered {
                append(
                    rows,
                    &self.arrived.heads,
                    planned.view.evaluate(&self.arrived, 0)?,
                );
            }
        }
        if plan.has_order() {
            self.release(partitions);
            self.align(plan, partitions);
            self.condition(plan, partitions);
            for view in 0..plan.views.len() {
                if plan.views[view].ordered {
                    self.view(plan, view, &begins, partitions)?;
                }
            }
        }
        self.arrived.clear();
        Ok(begins)
    }

    /// Lets go, in order, the rows that the watermark has reached.
    fn release(&mut self, partitions: &mut Partitions) {
        self.released.clear();
        if self.immediate {
            std::mem::swap(&mut self.arrived, &mut self.released);
            return;
        }
        for row in 0..self.arrived.len() {
            let state = partitions.state(self.arrived.heads[row].slot);
            state.held.push(&self.arrived, row, self.signals);
        }
        for state in partitions.iter_mut() {
            let begin = self.released.len();
            state
                .held
                .release(state.watermark.at(), self.signals, &mut self.released);
            for head in &mut self.released.heads[begin..] {
                head.publish |= state.watermark.is_unpublished(head.release.at);
            }
        }
    }

    /// Makes rows of narrow telemetry.
    fn align(&mut self, plan: &Plan, partitions: &mut Partitions) {
        if plan.align.is_none() {
            return;
        }
        self.aligned.clear();
        let Stages {
            released,
            aligned,
            late,
            ..
        } = self;
        for (row, head) in released.heads.iter().enumerate() {
            let state = partitions.state(head.slot);
            let PartitionState {
                align: Some(align),
                watermark,
                ..
            } = state
            else {
                continue;
            };
            align.advance(head.slot, watermark, head.release.at, aligned);
            if let Some(made) = align.insert(released, row, aligned) {
                late.extend(too_late(head, None, (head.event_at, made)));
            }
        }
        for slot in partitions.slots() {
            let PartitionState {
                align: Some(align),
                watermark,
                ..
            } = partitions.state(slot)
            else {
                continue;
            };
            align.advance(slot, watermark, watermark.at(), aligned);
        }
        std::mem::swap(released, aligned);
    }

    /// Fills in what is known from earlier rows; drops duplicates.
    fn condition(&mut self, plan: &Plan, partitions: &mut Partitions) {
        let Stages {
            released: rows,
            orders,
            changes,
            signals,
            ..
        } = self;
        orders.clear();
        for row in 0..rows.len() {
            let head = rows.heads[row];
            let PartitionState {
                conditions,
                watermark,
                notices,
                assets,
                ..
            } = partitions.state(head.slot);
            let due = (head.release.at, !head.release.in_time);
            conditions.advance(&plan.conditions, head.slot, watermark, due, changes);
            let noticed = |status| {
                let asset = assets.name(head.asset);
                notices.status(asset, status, head.event_at, head.offset)
            };
            let order = conditions.apply(&plan.conditions, rows, row, *signals, noticed, changes);
            orders.push(order);
        }
        for slot in partitions.slots() {
            let PartitionState {
                conditions,
                watermark,
                ..
            } = partitions.state(slot);
            let due = (watermark.at(), true);
            conditions.advance(&plan.conditions, slot, watermark, due, changes);
        }
        changes.retain(|change| change.publish);
        if orders.contains(&Order::Duplicate) {
            let kept: Vec<bool> = orders
                .iter()
                .map(|order| *order != Order::Duplicate)
                .collect();
            self.duplicates += kept.iter().filter(|kept| !**kept).count() as u64;
            rows.retain(&kept);
            orders.retain(|order| *order != Order::Duplicate);
        }
    }

    /// The rows of one ordered view.
    fn view(
        &mut self,
        plan: &Plan,
        view: usize,
        begins: &[usize],
        partitions: &mut Partitions,
    ) -> Result<(), FeatureError> {
        let planned = &plan.views[view];
        let (before, rest) = self.views.split_at_mut(view);
        let (input, begin) = match planned.from {
            Some(from) => (&before[from], begins[from]),
            None => (&self.released, 0),
        };
        let rows = &mut rest[0];
        if planned.window.is_some() {
            let mut windows = Windows {
                view,
                planned,
                partitions,
                gathered: &mut self.gathered[view],
                late: &mut self.late,
                refused: &mut self.refused,
                duplicates: &mut self.duplicates,
            };
            windows.run(input, begin);
            let gathered = &mut self.gathered[view];
            if !gathered.is_empty() {
                let columns = planned.view.aggregate(gathered)?;
                append_superseded(rows, &gathered.windows.superseded, 0);
                append(rows, &gathered.windows.heads, columns);
                gathered.clear();
            }
            return Ok(());
        }
        if planned.from.is_some() || self.orders.iter().all(|order| *order == Order::InOrder) {
            let columns = planned.view.evaluate(input, begin)?;
            append_superseded(rows, &input.superseded, begin);
            append(rows, &input.heads[begin..], columns);
            return Ok(());
        }
        let mut kept = Vec::with_capacity(self.orders.len());
        for (head, order) in input.heads.iter().zip(&self.orders) {
            kept.push(*order == Order::InOrder);
            if let Order::Behind { latest } = order {
                self.late
                    .extend(too_late(head, Some(view), (head.event_at, *latest)));
            }
        }
        let mut in_order = input.clone();
        in_order.retain(&kept);
        append(rows, &in_order.heads, planned.view.evaluate(&in_order, 0)?);
        Ok(())
    }
}

/// A view's windows, for one segment.
struct Windows<'a> {
    view: usize,
    planned: &'a PlannedView,
    partitions: &'a mut Partitions,
    gathered: &'a mut Gathered,
    late: &'a mut Vec<Late>,
    refused: &'a mut Vec<Refused>,
    duplicates: &'a mut u64,
}

impl Windows<'_> {
    fn run(&mut self, input: &Rows, begin: usize) {
        for row in begin..input.len() {
            let head = &input.heads[row];
            if (row - begin).is_multiple_of(TOUCHED) {
                let until = (row + TOUCHED).min(input.len());
                self.touch(&input.heads[row..until]);
            }
            // An open window's early result is not yet a row for others.
            if head.is_provisional() {
                continue;
            }
            let superseded = input.superseded_by(row);
            let values = self
                .planned
                .kept
                .iter()
                .map(|kept| input.columns[kept.column][row]);
            let taken = self.insert(head, superseded, values);
            self.account(head, taken);
        }
        for slot in self.partitions.slots() {
            let (windows, partition) = open(self.partitions, self.view, slot);
            let until = partition.watermark.at();
            windows.advance(partition, until, true, self.gathered);
        }
    }

    /// Looks at the windows of rows that follow, partition by partition.
    fn touch(&self, heads: &[Head]) {
        for heads in heads.chunk_by(|a, b| a.slot == b.slot) {
            if let Some(windows) = &self.partitions.at(heads[0].slot).windows[self.view] {
                windows.touch(heads.iter().map(|head| head.asset));
            }
        }
    }

    fn insert(
        &mut self,
        head: &Head,
        superseded: &[Superseded],
        values: impl Iterator<Item = f64>,
    ) -> Taken {
        let (windows, partition) = open(self.partitions, self.view, head.slot);
        let release = head.release;
        windows.advance(partition, release.at, !release.in_time, self.gathered);
        windows.insert(partition, head, superseded, values, self.gathered)
    }

    fn account(&mut self, head: &Head, taken: Taken) {
        // What a window of windows does not take was told when its reading came.
        let of_reading = !matches!(head.origin, Origin::Window(_));
        match taken {
            Taken::Yes => {}
            Taken::Duplicate => *self.duplicates += u64::from(of_reading),
            Taken::Late { start, end } if of_reading => {
                self.late
                    .extend(too_late(head, Some(self.view), (start, end)));
            }
            Taken::Late { .. } => {}
            Taken::Full { bytes, max } => {
                let state = self.partitions.at(head.slot);
                let known = |refused: &Refused| {
                    refused.offset == head.offset && refused.partition == state.partition
                };
                if head.publish && !self.refused.iter().any(known) {
                    self.refused.push(Refused {
                        message: head.message,
                        partition: state.partition,
                        offset: head.offset,
                        refusal: Refusal::AssetStateFull {
                            asset: state.assets.name(head.asset).to_owned(),
                            view: self.planned.view.name().to_owned(),
                            bytes,
                            max,
                        },
                    });
                }
            }
        }
    }
}

/// The windows of a view in the partition of `slot`.
fn open(
    partitions: &mut Partitions,
    view: usize,
    slot: u32,
) -> (&mut WindowState, window::Partition<'_>) {
    let PartitionState {
        windows, watermark, ..
    } = partitions.state(slot);
    let windows = windows[view]
        .as_mut()
        .expect("a view over windows has state");
    (windows, window::Partition { slot, watermark })
}

fn too_late(head: &Head, view: Option<usize>, (start, end): (i64, i64)) -> Option<Late> {
    head.publish.then_some(Late {
        message: head.message,
        slot: head.slot,
        offset: head.offset,
        view,
        event_at: head.event_at,
        start,
        end,
        watermark: head.release.at,
    })
}

fn append(rows: &mut Rows, heads: &[Head], columns: Vec<Vec<f64>>) {
    rows.heads.extend_from_slice(heads);
    for (all, mut new) in rows.columns.iter_mut().zip(columns) {
        if all.is_empty() {
            *all = new;
        } else {
            all.append(&mut new);
        }
    }
}

/// Appends, before the rows themselves, what those from `begin` on replace.
fn append_superseded(rows: &mut Rows, superseded: &[Superseded], begin: usize) {
    let shift = rows.len();
    let fresh = superseded.iter().filter(|old| old.row as usize >= begin);
    rows.superseded.extend(fresh.map(|old| Superseded {
        row: (old.row as usize - begin + shift) as u32,
        ..*old
    }));
}
