//! The state of one input partition: its assets, their sequences, and how far it has come.
//!
//! State belongs to (partition, asset) and is a function of the partition's records up to `next_offset`.
//! It holds no clock and nothing of the batch it was built from, so it can be rebuilt from the log at any
//! time, on any machine.

use hashbrown::DefaultHashBuilder;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::sequence::Sequences;

/// Names of assets as small numbers, in the order in which they were first seen.
#[derive(Debug, Default)]
pub struct Assets {
    names: Vec<Box<str>>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Assets {
    /// The number of `name`, a new one when it was not seen before.
    pub fn intern(&mut self, name: &str) -> u32 {
        let Assets {
            names,
            index,
            hasher,
        } = self;
        let hash = hasher.hash_one(name);
        let found = index.entry(
            hash,
            |asset| &*names[*asset as usize] == name,
            |asset| hasher.hash_one(&*names[*asset as usize]),
        );
        *found
            .or_insert_with(|| {
                names.push(name.into());
                (names.len() - 1) as u32
            })
            .get()
    }

    pub fn name(&self, asset: u32) -> &str {
        &self.names[asset as usize]
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
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
    /// One per view that feeds a model with a sequence; `None` for the others.
    pub sequences: Vec<Option<Sequences>>,
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

    /// The assets of a slot.
    ///
    /// # Panics
    /// As [`Self::state`].
    pub fn assets(&self, slot: u32) -> &Assets {
        &self.slots[slot as usize]
            .as_ref()
            .expect("slot of an owned partition")
            .assets
    }

    pub fn iter(&self) -> impl Iterator<Item = &PartitionState> {
        self.slots.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let mut assets = Assets::default();
        let numbers: Vec<u32> = ["a", "b", "a", "c"]
            .iter()
            .map(|n| assets.intern(n))
            .collect();
        assert_eq!(numbers, [0, 1, 0, 2]);
        assert_eq!(assets.name(2), "c");
        assert_eq!(assets.len(), 3);
    }

    #[test]
    fn a_partition_keeps_its_slot_while_others_come_and_go() {
        let state = |partition| PartitionState {
            partition,
            next_offset: 0,
            publish_from: 0,
            assets: Assets::default(),
            sequences: Vec::new(),
        };
        let mut partitions = Partitions::default();
        (4..7).for_each(|partition| partitions.insert(state(partition)));
        partitions.remove(4);
        assert_eq!(partitions.slot(6), Some(2));
        partitions.insert(state(9));
        assert_eq!((partitions.slot(9), partitions.slot(4)), (Some(0), None));
    }
}
