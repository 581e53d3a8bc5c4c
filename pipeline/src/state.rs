//! The state of one input partition: its assets, its watermark, what waits, what is open, and how far it has
//! come.
//!
//! State belongs to (partition, asset) and is a function of the partition's records up to `next_offset`, and
//! of the marks among them. It holds no clock and nothing of the batch it was built from, so it can be rebuilt
//! from the log at any time, on any machine.

use compact_str::CompactString;
use hashbrown::DefaultHashBuilder;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::alarms::Alarms;
use crate::align::AlignState;
use crate::conditions::Conditions;
use crate::held::Held;
use crate::notices::Notices;
use crate::routing::Routes;
use crate::sequence::Sequences;
use crate::watermark::Watermark;
use crate::window::WindowState;

/// Names of assets as small numbers, in the order in which they were first seen.
///
/// With a million assets every look at memory is a cache miss. So the table holds the name itself, and with it
/// what is asked of an asset at each reading.
#[derive(Debug, Default)]
pub struct Assets {
    index: HashTable<Known>,
    hasher: DefaultHashBuilder,
    names: Vec<CompactString>,
    /// Numbers of evicted assets, to be used again.
    free: Vec<u32>,
    /// Those evicted in this batch, whose outputs still need their names.
    evicted: Vec<u32>,
    /// Names of those that are written down, and were evicted since.
    gone: Vec<CompactString>,
}

#[derive(Debug)]
struct Known {
    name: CompactString,
    asset: u32,
    /// Event time of the latest reading.
    latest: i64,
    /// It had a reading since the state was written down.
    changed: bool,
    /// It was written down.
    written: bool,
}

impl Assets {
    /// The number of the asset called `name`, which has a reading at `event_at`; a new one when it was not
    /// seen before, unless there are `max` already.
    pub fn intern(&mut self, name: &str, event_at: i64, max: usize) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        if let Some(known) = self.index.find_mut(hash, |known| known.name == name) {
            known.latest = known.latest.max(event_at);
            known.changed = true;
            return Some(known.asset);
        }
        if self.index.len() >= max {
            return None;
        }
        let asset = self.free.pop().unwrap_or_else(|| {
            self.names.push(CompactString::default());
            (self.names.len() - 1) as u32
        });
        self.names[asset as usize] = name.into();
        let known = Known {
            name: name.into(),
            asset,
            latest: event_at,
            changed: true,
            written: false,
        };
        let hasher = &self.hasher;
        self.index
            .insert_unique(hash, known, |known| hasher.hash_one(known.name.as_str()));
        Some(asset)
    }

    /// Looks up what `names` will be looked up for soon. Looks that do not wait for each other are served
    /// together, where one by one each would wait for memory.
    pub fn touch<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let found = names.map(|name| {
            let hash = self.hasher.hash_one(name);
            let known = self.index.find(hash, |known| known.name == name);
            known.map_or(0, |known| known.asset)
        });
        std::hint::black_box(found.fold(0, u32::wrapping_add));
    }

    /// Frees the numbers of assets whose latest reading is at or before `until`, and gives them in order.
    pub fn evict(&mut self, until: i64) -> Vec<u32> {
        let mut evicted = Vec::new();
        for known in self.index.extract_if(|known| known.latest <= until) {
            evicted.push(known.asset);
            if known.written {
                self.gone.push(known.name);
            }
        }
        evicted.sort_unstable();
        self.evicted.extend(&evicted);
        evicted
    }

    /// The assets to be written down: with a reading since the last call; and the names of those that were
    /// written down and evicted since.
    pub fn take_changes(&mut self) -> (Vec<u32>, Vec<CompactString>) {
        let changed = self.index.iter_mut();
        let changed = changed.filter_map(|known| {
            known.written = true;
            std::mem::take(&mut known.changed).then_some(known.asset)
        });
        let mut changed: Vec<u32> = changed.collect();
        changed.sort_unstable();
        (changed, std::mem::take(&mut self.gone))
    }

    /// The numbers of all assets.
    pub fn numbers(&self) -> Vec<u32> {
        self.index.iter().map(|known| known.asset).collect()
    }

    /// An asset that was written down; it has not changed since. `None` when it is here already.
    pub fn restore(&mut self, name: &str, latest: i64) -> Option<u32> {
        let before = self.len();
        let asset = self.intern(name, latest, usize::MAX)?;
        let hash = self.hasher.hash_one(name);
        if let Some(known) = self.index.find_mut(hash, |known| known.name == name) {
            (known.changed, known.written) = (false, true);
        }
        (self.len() > before).then_some(asset)
    }

    /// Event time of an asset's latest reading.
    pub fn latest(&self, asset: u32) -> i64 {
        let name = self.name(asset);
        let known = self
            .index
            .find(self.hasher.hash_one(name), |known| known.name == name);
        known.map_or(i64::MIN, |known| known.latest)
    }

    /// A new batch begins: numbers of assets evicted before may be used again.
    pub fn begin_batch(&mut self) {
        for asset in self.evicted.drain(..).rev() {
            self.names[asset as usize] = CompactString::default();
            self.free.push(asset);
        }
    }

    /// Forgets all names: numbers of a pipeline without state live for one batch.
    pub fn clear(&mut self) {
        *self = Assets::default();
    }

    pub fn name(&self, asset: u32) -> &str {
        &self.names[asset as usize]
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub fn bytes(&self) -> usize {
        // Longer names are on the heap, twice.
        let heap = |name: &CompactString| {
            if name.is_heap_allocated() {
                2 * name.capacity()
            } else {
                0
            }
        };
        let names: usize = self.names.iter().map(heap).sum();
        names
            + self.names.capacity() * size_of::<CompactString>()
            + self.index.capacity() * (size_of::<Known>() + 1)
    }
}

/// One partition's state.
#[derive(Debug)]
pub struct PartitionState {
    pub partition: i32,
    /// Records below this offset are already in the state; they are skipped when they come again.
    pub next_offset: i64,
    /// Records below this offset build state but cause no output: what they caused is published already.
    pub publish_from: i64,
    pub assets: Assets,
    pub watermark: Watermark,
    pub held: Held,
    pub align: Option<AlignState>,
    pub conditions: Conditions,
    pub notices: Notices,
    /// One per view over windows; `None` for the others.
    pub windows: Vec<Option<WindowState>>,
    /// One per view that feeds a model with a sequence; `None` for the others.
    pub sequences: Vec<Option<Sequences>>,
    /// One per model.
    pub models: Vec<ModelState>,
    /// Of sequences that are gathered for a table; not written down, as only a replay has it.
    pub gathered: ModelState,
    pub alarms: Alarms,
    /// Which models score which assets: nothing that can't be told again.
    pub routes: Routes,
    /// The watermark at which idle assets are evicted next; `i64::MIN` before the first reading.
    pub next_eviction: i64,
}

/// What a model remembers of each asset.
#[derive(Debug, Default)]
pub struct ModelState {
    /// Rows since its sequence, or its recurrent state, began.
    pub rows: Vec<u32>,
    /// Recurrent models: the instant of the latest row, and the state after it, asset by asset.
    pub latest: Vec<i64>,
    pub recurrent: Vec<f32>,
}

impl ModelState {
    /// Makes room for `asset`, with `width` values of recurrent state.
    pub fn admit(&mut self, asset: u32, width: usize) {
        let assets = asset as usize + 1;
        if assets > self.rows.len() {
            self.rows.resize(assets, 0);
            self.recurrent.resize(assets * width, 0.0);
            if width > 0 {
                self.latest.resize(assets, i64::MIN);
            }
        }
    }

    /// The asset begins anew.
    pub fn forget(&mut self, asset: u32, width: usize) {
        if let Some(rows) = self.rows.get_mut(asset as usize) {
            *rows = 0;
            self.recurrent[asset as usize * width..][..width].fill(0.0);
            if width > 0 {
                self.latest[asset as usize] = i64::MIN;
            }
        }
    }

    fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<u32>()
            + self.latest.capacity() * size_of::<i64>()
            + self.recurrent.capacity() * size_of::<f32>()
    }
}

impl PartitionState {
    /// A partition without any state, whose next record is `next_offset`.
    pub fn new(partition: i32, next_offset: i64, publish_from: i64, watermark: Watermark) -> Self {
        PartitionState {
            partition,
            next_offset,
            publish_from,
            assets: Assets::default(),
            watermark,
            held: Held::default(),
            align: None,
            conditions: Conditions::default(),
            notices: Notices::default(),
            windows: Vec::new(),
            sequences: Vec::new(),
            models: Vec::new(),
            gathered: ModelState::default(),
            alarms: Alarms::default(),
            routes: Routes::default(),
            next_eviction: i64::MIN,
        }
    }

    /// The watermark at which something becomes due: a window, a held row, an alignment, a silence.
    pub fn next_due(&self) -> Option<i64> {
        let windows = self.windows.iter().flatten().filter_map(WindowState::next);
        let others = [
            self.held.next(),
            self.align.as_ref().and_then(AlignState::next),
            self.conditions.next(),
        ];
        windows.chain(others.into_iter().flatten()).min()
    }

    /// Bytes of all that is kept, an estimate from capacities.
    pub fn bytes(&self) -> usize {
        let windows: usize = self.windows.iter().flatten().map(WindowState::bytes).sum();
        let sequences: usize = self.sequences.iter().flatten().map(Sequences::bytes).sum();
        let models: usize = self.models.iter().map(ModelState::bytes).sum();
        self.assets.bytes()
            + self.held.bytes()
            + self.align.as_ref().map_or(0, AlignState::bytes)
            + self.conditions.bytes()
            + self.notices.bytes()
            + windows
            + sequences
            + models
            + self.alarms.bytes()
            + self.routes.bytes()
    }
}

/// The partitions that an engine owns.
#[derive(Debug, Default)]
pub struct Partitions {
    slots: Vec<Option<PartitionState>>,
}

impl Partitions {
    /// Takes a partition over with empty state, replacing what was there.
    pub fn insert(&mut self, state: PartitionState) {
        self.remove(state.partition);
        match self.slots.iter_mut().find(|slot| slot.is_none()) {
            Some(free) => *free = Some(state),
            None => self.slots.push(Some(state)),
        }
    }

    pub fn remove(&mut self, partition: i32) -> Option<PartitionState> {
        let slot = self.slot(partition)?;
        self.slots[slot as usize].take()
    }

    /// The slot of a partition, which stays the same until it is removed.
    pub fn slot(&self, partition: i32) -> Option<u32> {
        let owned = |slot: &Option<PartitionState>| {
            slot.as_ref()
                .is_some_and(|state| state.partition == partition)
        };
        self.slots.iter().position(owned).map(|slot| slot as u32)
    }

    /// # Panics
    /// When the slot is empty: slots come from [`Self::slot`] and live for one batch.
    pub fn state(&mut self, slot: u32) -> &mut PartitionState {
        self.slots[slot as usize]
            .as_mut()
            .expect("slot of an owned partition")
    }

    /// What is in a slot.
    ///
    /// # Panics
    /// As [`Self::state`].
    pub fn at(&self, slot: u32) -> &PartitionState {
        self.slots[slot as usize]
            .as_ref()
            .expect("slot of an owned partition")
    }

    /// The slots in use.
    pub fn slots(&self) -> impl Iterator<Item = u32> + use<> {
        let used = |(slot, state): (usize, &Option<PartitionState>)| {
            state.is_some().then_some(slot as u32)
        };
        let slots: Vec<u32> = self.slots.iter().enumerate().filter_map(used).collect();
        slots.into_iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut PartitionState> {
        self.slots.iter_mut().flatten()
    }

    pub fn iter(&self) -> impl Iterator<Item = &PartitionState> {
        self.slots.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_until_it_is_evicted() {
        let mut assets = Assets::default();
        let mut intern = |(name, at)| assets.intern(name, at, 3);
        let told = [("a", 10), ("b", 30), ("a", 5), ("c", 20)].map(&mut intern);
        assert_eq!(told, [0, 1, 0, 2].map(Some));
        assert_eq!(intern(("d", 40)), None, "there are three");
        assert_eq!(assets.evict(20), [0, 2]);
        assert_eq!((assets.len(), assets.name(1)), (1, "b"));
        assert_eq!(assets.name(2), "c", "known until the batch is over");
        assets.begin_batch();
        let mut intern = |(name, at)| assets.intern(name, at, 3);
        let told = [("d", 50), ("b", 50), ("a", 50), ("e", 50)].map(&mut intern);
        assert_eq!(told, [Some(0), Some(1), Some(2), None]);
    }

    #[test]
    fn a_partition_keeps_its_slot_while_others_come_and_go() {
        let state =
            |partition| PartitionState::new(partition, 0, 0, Watermark::new(0, Vec::new(), 0));
        let mut partitions = Partitions::default();
        (4..7).for_each(|partition| partitions.insert(state(partition)));
        partitions.remove(4);
        assert_eq!(partitions.slot(6), Some(2));
        partitions.insert(state(9));
        assert_eq!((partitions.slot(9), partitions.slot(4)), (Some(0), None));
    }
}
