//! Which model scores which asset.
//!
//! ```text
//!   group:  entry 1 (canary, 5 % of pump-*) → entry 1 (pump-*) → entry 2 (every asset)
//!           the first one that takes the asset, and whose gates are open on the row, scores it
//! ```
//!
//! Invariant: the choice is a function of the asset's name and of the row, so it is the same after a restart, in
//! every process and in a replay. What is kept here is only a memory of it.

use std::hash::Hasher;

use fnv::FnvHasher;
use wildmatch::WildMatch;

use crate::rows::Rows;

/// The assets that an entry is for.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Empty: every asset.
    patterns: Vec<WildMatch>,
    share: Option<Share>,
}

/// A part of the assets, by their names.
#[derive(Debug, Clone)]
struct Share {
    /// Within 0 and 1.
    share: f64,
    /// Other parts of the assets for other canaries.
    salt: String,
}

impl Selection {
    /// Assets whose name fits one of `patterns`, with `*` and `?`; every asset when there are none.
    pub fn new(patterns: &[String]) -> Self {
        Selection {
            patterns: patterns
                .iter()
                .map(|pattern| WildMatch::new(pattern))
                .collect(),
            share: None,
        }
    }

    /// Of these, `share` (0 to 1): always the same ones for one `salt`.
    #[must_use]
    pub fn part(&self, share: f64, salt: &str) -> Self {
        Selection {
            patterns: self.patterns.clone(),
            share: Some(Share {
                share,
                salt: salt.to_owned(),
            }),
        }
    }

    pub fn takes_all(&self) -> bool {
        self.patterns.is_empty() && self.share.is_none()
    }

    pub fn takes(&self, asset: &str) -> bool {
        let named =
            self.patterns.is_empty() || self.patterns.iter().any(|pattern| pattern.matches(asset));
        named && self.share.as_ref().is_none_or(|share| share.takes(asset))
    }
}

impl Share {
    fn takes(&self, asset: &str) -> bool {
        let mut hasher = FnvHasher::default();
        hasher.write(self.salt.as_bytes());
        hasher.write_u8(0);
        hasher.write(asset.as_bytes());
        // FNV's high bits hardly depend on the last bytes of short names; these steps of murmur3 mix them.
        let mut hash = hasher.finish();
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 33;
        // 53 bits are a double between 0 and 1.
        ((hash >> 11) as f64) / ((1_u64 << 53) as f64) < self.share
    }
}

/// A feature that must, or must not, hold for a row to be scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Its place in the view.
    pub feature: usize,
    pub name: String,
    /// True: only rows in which it is not 0. False: only rows in which it is 0.
    pub only: bool,
}

impl Gate {
    pub fn is_open(&self, rows: &Rows, row: usize) -> bool {
        (rows.columns[self.feature][row] != 0.0) == self.only
    }
}

/// The first entry of each group that takes an asset: remembered, so that patterns are matched once per asset.
#[derive(Debug, Default)]
pub struct Routes {
    /// Asset by asset, a cell per group.
    cells: Vec<u16>,
    groups: usize,
}

const UNKNOWN: u16 = u16::MAX;
const NOBODY: u16 = u16::MAX - 1;

/// Entries of a group: what a cell can hold.
pub const MOST_MEMBERS: usize = NOBODY as usize;

impl Routes {
    pub fn new(groups: usize) -> Self {
        Routes {
            cells: Vec::new(),
            groups,
        }
    }

    /// What `find` said the first time.
    pub fn first(
        &mut self,
        asset: u32,
        group: usize,
        find: impl FnOnce() -> Option<usize>,
    ) -> Option<usize> {
        let at = asset as usize * self.groups + group;
        if at >= self.cells.len() {
            self.cells
                .resize((asset as usize + 1) * self.groups, UNKNOWN);
        }
        if self.cells[at] == UNKNOWN {
            self.cells[at] = find().map_or(NOBODY, |member| member as u16);
        }
        (self.cells[at] != NOBODY).then_some(self.cells[at] as usize)
    }

    /// The number stands for another asset from now on.
    pub fn forget(&mut self, asset: u32) {
        let begin = asset as usize * self.groups;
        if let Some(cells) = self.cells.get_mut(begin..begin + self.groups) {
            cells.fill(UNKNOWN);
        }
    }

    /// All numbers stand for other assets from now on.
    pub fn clear(&mut self) {
        self.cells.clear();
    }

    pub fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u16>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_about_as_large_as_asked_and_grows_without_changing_sides() {
        let names: Vec<String> = (0..20_000).map(|i| format!("car-{i}")).collect();
        let taken = |share: f64, salt: &str| -> Vec<bool> {
            let part = Selection::new(&["car-*".into()]).part(share, salt);
            names.iter().map(|name| part.takes(name)).collect()
        };
        let count = |taken: &[bool]| taken.iter().filter(|taken| **taken).count();
        let (five, ten) = (taken(0.05, "a"), taken(0.1, "a"));
        assert!((900..1_100).contains(&count(&five)), "{}", count(&five));
        assert!((1_850..2_150).contains(&count(&ten)), "{}", count(&ten));
        assert!(five.iter().zip(&ten).all(|(five, ten)| !five || *ten));
        assert_ne!(five, taken(0.05, "b"), "another canary, other cars");
        assert_eq!(
            (count(&taken(0.0, "a")), count(&taken(1.0, "a"))),
            (0, 20_000)
        );
    }

    #[test]
    fn a_route_is_looked_for_once_and_again_for_another_asset_of_that_number() {
        let mut routes = Routes::new(2);
        assert_eq!(routes.first(3, 1, || Some(7)), Some(7));
        assert_eq!(routes.first(3, 1, || unreachable!()), Some(7));
        assert_eq!(routes.first(3, 0, || None), None);
        assert_eq!(routes.first(3, 0, || unreachable!()), None);
        routes.forget(3);
        assert_eq!(routes.first(3, 1, || Some(2)), Some(2));
    }
}
