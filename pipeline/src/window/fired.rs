//! Windows that have ended and can still be revised: what was told of each.
//!
//! A window is here from its first result, or from the first late row in it, until the allowed lateness is
//! over. Where nothing may be late, nothing is here.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::rows::Superseded;

/// By asset and start.
#[derive(Debug, Default)]
pub(super) struct FiredWindows {
    windows: BTreeMap<(u32, i64), Fired>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fired {
    end: i64,
    /// The last revision that was told; `None` while its first rows wait for a revision.
    told: Option<u32>,
    /// A late row waits for its revision.
    dirty: bool,
}

/// What a new result of a window takes the place of.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    pub revision: u32,
    pub superseded: Vec<Superseded>,
    /// The window was here, with this end: its expiry is set.
    pub is_known: bool,
}

impl FiredWindows {
    /// A result from `start` to `end` is told. It replaces what was told of all windows of the asset that
    /// begin in `covered`: a late row may have joined several sessions.
    pub fn tell(
        &mut self,
        asset: u32,
        (start, end): (i64, i64),
        covered: RangeInclusive<i64>,
    ) -> Replaced {
        let mut replaced = Replaced::default();
        let keys = (asset, *covered.start())..=(asset, *covered.end());
        for ((_, start), old) in self.windows.extract_if(keys, |_, _| true) {
            replaced.is_known |= old.end == end;
            let Some(revision) = old.told else { continue };
            replaced.revision = replaced.revision.max(revision + 1);
            replaced.superseded.push(Superseded {
                row: 0,
                start,
                end: old.end,
                revision,
            });
        }
        let fired = Fired {
            end,
            told: Some(replaced.revision),
            dirty: false,
        };
        self.windows.insert((asset, start), fired);
        replaced
    }

    /// A late row waits for the next revision of a window. False when one waits already.
    pub fn wait(&mut self, asset: u32, (start, end): (i64, i64)) -> bool {
        let fired = self.windows.entry((asset, start)).or_insert(Fired {
            end,
            told: None,
            dirty: false,
        });
        !std::mem::replace(&mut fired.dirty, true)
    }

    /// The windows of an asset with rows that wait for a revision.
    pub fn waiting(&self, asset: u32) -> Vec<(i64, i64)> {
        let of_asset = self.windows.range((asset, i64::MIN)..=(asset, i64::MAX));
        let waiting = of_asset.filter(|(_, fired)| fired.dirty);
        waiting
            .map(|((_, start), fired)| (*start, fired.end))
            .collect()
    }

    /// Is just this window here?
    pub fn has(&self, asset: u32, start: i64, end: i64) -> bool {
        let fired = self.windows.get(&(asset, start));
        fired.is_some_and(|fired| fired.end == end)
    }

    /// Forgets the windows of an asset that begin in `covered`.
    pub fn forget(&mut self, asset: u32, covered: RangeInclusive<i64>) {
        let keys = (asset, *covered.start())..=(asset, *covered.end());
        self.windows.extract_if(keys, |_, _| true).for_each(drop);
    }

    /// What is here of an asset, by the start of the window.
    pub fn of_asset(&self, asset: u32) -> Vec<(i64, Fired)> {
        let of_asset = self.windows.range((asset, i64::MIN)..=(asset, i64::MAX));
        of_asset
            .map(|((_, start), fired)| (*start, *fired))
            .collect()
    }

    pub fn restore(&mut self, asset: u32, (start, fired): (i64, Fired)) {
        self.windows.insert((asset, start), fired);
    }

    pub fn bytes(&self) -> usize {
        self.windows.len() * size_of::<((u32, i64), Fired)>()
    }
}
