//! The rows of every asset as linked lists in one slab, in the order of their instants, then of their
//! arrival.
//!
//! ```text
//!   assets:  [ head ─┬ tail ]
//!                    └──────▶ | at, first offset, offset, next, F values | at, ... | ...     words of 64 bits
//! ```
//!
//! Appending a row in order and dropping the oldest ones cost the same for the first asset and the
//! millionth; a freed place is used again. A row and what is known of it stand side by side, because with
//! many assets each place in memory that is looked at is a cache miss. A row that comes behind is linked in
//! after a walk.

/// The end of a list.
const NONE: u32 = u32::MAX;
/// Words of a row before its values.
const EVENT_AT: usize = 0;
const FIRST_OFFSET: usize = 1;
const OFFSET: usize = 2;
const NEXT: usize = 3;
const VALUES: usize = 4;

#[derive(Debug)]
pub(super) struct Chains {
    /// Words of a row.
    stride: usize,
    words: Vec<u64>,
    /// First free place.
    free: u32,
    assets: Vec<Chain>,
}

#[derive(Debug, Clone, Copy)]
struct Chain {
    head: u32,
    tail: u32,
    len: u32,
}

const EMPTY: Chain = Chain {
    head: NONE,
    tail: NONE,
    len: 0,
};

/// A row as it is read back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept<'a> {
    pub event_at: i64,
    pub first_offset: i64,
    pub offset: i64,
    values: &'a [u64],
}

impl<'a> Kept<'a> {
    pub fn values(self) -> impl Iterator<Item = f64> + 'a {
        self.values.iter().map(|bits| f64::from_bits(*bits))
    }
}

impl Chains {
    pub fn new(width: usize) -> Self {
        Chains {
            stride: VALUES + width,
            words: Vec::new(),
            free: NONE,
            assets: Vec::new(),
        }
    }

    /// Bytes that one row takes.
    pub fn row_bytes(&self) -> usize {
        self.stride * size_of::<u64>()
    }

    pub fn len(&self, asset: u32) -> u32 {
        self.chain(asset).len
    }

    fn chain(&self, asset: u32) -> Chain {
        self.assets.get(asset as usize).copied().unwrap_or(EMPTY)
    }

    fn event_at(&self, place: u32) -> i64 {
        self.words[place as usize * self.stride + EVENT_AT] as i64
    }

    fn next(&self, place: u32) -> u32 {
        self.words[place as usize * self.stride + NEXT] as u32
    }

    fn set_next(&mut self, place: u32, next: u32) {
        self.words[place as usize * self.stride + NEXT] = u64::from(next);
    }

    /// Puts a row where its instant belongs, behind those of the same instant.
    pub fn insert(
        &mut self,
        asset: u32,
        event_at: i64,
        offsets: (i64, i64),
        values: impl Iterator<Item = f64>,
    ) {
        if asset as usize >= self.assets.len() {
            self.assets.resize(asset as usize + 1, EMPTY);
        }
        let place = self.place();
        let chain = self.assets[asset as usize];
        let after = match chain.tail {
            NONE => NONE,
            tail if self.event_at(tail) <= event_at => tail,
            _ => self.last_until(chain.head, event_at),
        };
        let next = if after == NONE {
            chain.head
        } else {
            let next = self.next(after);
            self.set_next(after, place);
            next
        };
        let row = &mut self.words[place as usize * self.stride..][..self.stride];
        row[EVENT_AT] = event_at as u64;
        row[FIRST_OFFSET] = offsets.0 as u64;
        row[OFFSET] = offsets.1 as u64;
        row[NEXT] = u64::from(next);
        for (word, value) in row[VALUES..].iter_mut().zip(values) {
            *word = value.to_bits();
        }
        let chain = &mut self.assets[asset as usize];
        if after == NONE {
            chain.head = place;
        }
        if next == NONE {
            chain.tail = place;
        }
        chain.len += 1;
    }

    /// The last row at or before `event_at`, in a list whose tail is after it.
    fn last_until(&self, head: u32, event_at: i64) -> u32 {
        let (mut found, mut at) = (NONE, head);
        while self.event_at(at) <= event_at {
            (found, at) = (at, self.next(at));
        }
        found
    }

    /// A free place.
    fn place(&mut self) -> u32 {
        if self.free == NONE {
            let place = self.words.len() / self.stride;
            self.words.resize((place + 1) * self.stride, 0);
            return place as u32;
        }
        let place = self.free;
        self.free = self.next(place);
        place
    }

    fn set_free(&mut self, place: u32) {
        self.set_next(place, self.free);
        self.free = place;
    }

    /// Drops the oldest rows while `is_done` of their instant.
    pub fn drop_while(&mut self, asset: u32, mut is_done: impl FnMut(i64) -> bool) {
        let mut chain = self.chain(asset);
        while chain.head != NONE && is_done(self.event_at(chain.head)) {
            let next = self.next(chain.head);
            self.set_free(chain.head);
            chain.head = next;
            chain.len -= 1;
        }
        if chain.head == NONE {
            chain.tail = NONE;
        }
        if let Some(known) = self.assets.get_mut(asset as usize) {
            *known = chain;
        }
    }

    /// Removes the row at exactly `event_at`, if there is one.
    pub fn remove(&mut self, asset: u32, event_at: i64) {
        let mut chain = self.chain(asset);
        let (mut before, mut at) = (NONE, chain.head);
        while at != NONE && self.event_at(at) < event_at {
            (before, at) = (at, self.next(at));
        }
        if at == NONE || self.event_at(at) != event_at {
            return;
        }
        let next = self.next(at);
        self.set_free(at);
        chain.len -= 1;
        if before == NONE {
            chain.head = next;
        } else {
            self.set_next(before, next);
        }
        if next == NONE {
            chain.tail = before;
        }
        self.assets[asset as usize] = chain;
    }

    /// The rows of an asset, oldest first.
    pub fn rows(&self, asset: u32) -> impl Iterator<Item = Kept<'_>> {
        let mut at = self.chain(asset).head;
        std::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let row = &self.words[at as usize * self.stride..][..self.stride];
            at = row[NEXT] as u32;
            Some(Kept {
                event_at: row[EVENT_AT] as i64,
                first_offset: row[FIRST_OFFSET] as i64,
                offset: row[OFFSET] as i64,
                values: &row[VALUES..],
            })
        })
    }

    /// The instant of the newest row.
    pub fn newest(&self, asset: u32) -> Option<i64> {
        let tail = self.chain(asset).tail;
        (tail != NONE).then(|| self.event_at(tail))
    }

    /// Looks at the newest rows of `assets`, where the next ones will be linked. Looks that do not wait for
    /// each other are served together.
    pub fn touch_newest(&self, assets: impl Iterator<Item = u32>) {
        let tails = assets.map(|asset| self.chain(asset).tail);
        let looks = tails
            .filter(|tail| *tail != NONE)
            .map(|tail| self.event_at(tail));
        std::hint::black_box(looks.fold(0, i64::wrapping_add));
    }

    /// Looks at all rows of `assets`, walking their lists side by side.
    pub fn touch_rows(&self, assets: &[u32], walks: &mut Vec<u32>) {
        walks.clear();
        walks.extend(assets.iter().map(|asset| self.chain(*asset).head));
        let mut seen = 0_u64;
        while !walks.is_empty() {
            walks.retain_mut(|place| {
                if *place == NONE {
                    return false;
                }
                // A row is longer than a cache line: its end too.
                seen ^= self.words[(*place as usize + 1) * self.stride - 1];
                *place = self.next(*place);
                true
            });
        }
        std::hint::black_box(seen);
    }

    /// Bytes of everything kept.
    pub fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>() + self.assets.capacity() * size_of::<Chain>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Op {
        Insert(u32, i64),
        DropBefore(u32, i64),
        Remove(u32, i64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (asset, at) = (0_u32..3, 0_i64..30);
        prop_oneof![
            4 => (asset.clone(), at.clone()).prop_map(|(a, t)| Op::Insert(a, t)),
            1 => (asset.clone(), at.clone()).prop_map(|(a, t)| Op::DropBefore(a, t)),
            1 => (asset, at).prop_map(|(a, t)| Op::Remove(a, t)),
        ]
    }

    proptest! {
        #[test]
        fn chains_equal_sorted_lists(ops in prop::collection::vec(op(), 0..200)) {
            let mut chains = Chains::new(1);
            let mut lists: Vec<Vec<(i64, i64)>> = vec![Vec::new(); 3];
            for (n, op) in ops.into_iter().enumerate() {
                let n = n as i64;
                match op {
                    Op::Insert(asset, at) => {
                        chains.insert(asset, at, (n, n), std::iter::once(n as f64));
                        let list = &mut lists[asset as usize];
                        let place = list.partition_point(|row| row.0 <= at);
                        list.insert(place, (at, n));
                    }
                    Op::DropBefore(asset, at) => {
                        chains.drop_while(asset, |row| row < at);
                        lists[asset as usize].retain(|row| row.0 >= at);
                    }
                    Op::Remove(asset, at) => {
                        chains.remove(asset, at);
                        let list = &mut lists[asset as usize];
                        if let Some(place) = list.iter().position(|row| row.0 == at) {
                            list.remove(place);
                        }
                    }
                }
                for (asset, list) in lists.iter().enumerate() {
                    let asset = asset as u32;
                    let kept: Vec<(i64, i64)> =
                        chains.rows(asset).map(|row| (row.event_at, row.values().next().unwrap() as i64)).collect();
                    prop_assert_eq!(&kept, list);
                    prop_assert_eq!(chains.len(asset) as usize, list.len());
                    prop_assert_eq!(chains.newest(asset), list.last().map(|row| row.0));
                }
            }
        }
    }
}
