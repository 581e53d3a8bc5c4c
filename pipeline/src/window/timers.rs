//! What is due at which instant of the watermark.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// What happens to an asset's windows, in this order at the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Due {
    /// A window has ended.
    Close,
    /// Provisional results are due.
    Early,
    /// Gathered revisions are due.
    Revise,
    /// The allowed lateness is over.
    Expire,
}

/// Assets by what is due when. Assets share an entry: at the end of a minute there is one, not a million.
#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeMap<(i64, Due), Vec<u32>>,
}

impl Timers {
    pub fn push(&mut self, at: i64, due: Due, asset: u32) {
        self.queue.entry((at, due)).or_default().push(asset);
    }

    /// The next entry that is due before `limit`, or at it when `inclusive`.
    pub fn pop(&mut self, limit: i64, inclusive: bool) -> Option<(i64, Due, Vec<u32>)> {
        let first = self.queue.first_entry()?;
        let at = first.key().0;
        if at > limit || (at == limit && !inclusive) {
            return None;
        }
        let ((at, due), assets) = first.remove_entry();
        Some((at, due, assets))
    }

    /// All entries, by asset.
    pub fn by_asset(&self) -> HashMap<u32, Vec<(i64, Due)>> {
        let mut assets: HashMap<u32, Vec<(i64, Due)>> = HashMap::new();
        for (entry, of) in &self.queue {
            for asset in of {
                assets.entry(*asset).or_default().push(*entry);
            }
        }
        assets
    }

    pub fn next(&self) -> Option<i64> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    pub fn bytes(&self) -> usize {
        let assets: usize = self.queue.values().map(Vec::capacity).sum();
        assets * size_of::<u32>() + self.queue.len() * size_of::<((i64, Due), Vec<u32>)>()
    }
}
