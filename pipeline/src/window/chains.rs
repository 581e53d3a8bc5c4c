//! The rows of every asset as linked lists in one slab, in the order of their instants, then of their
//! arrival.
//!
//! ```text
//!   assets:  [ head ─┬ tail ]        rows:   | at, offset, next | at, offset, next | ...
//!                    └──────────────────────▶ values: | F values | F values | ...
//! ```
//!
//! Appending a row in order and dropping the oldest ones cost the same for the first asset and the
//! millionth; a freed place is used again. A row that comes behind is linked in after a walk.

/// The end of a list.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Chains {
    width: usize,
    values: Vec<f64>,
    rows: Vec<Row>,
    /// First free place.
    free: u32,
    assets: Vec<Chain>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    event_at: i64,
    first_offset: i64,
    offset: i64,
    next: u32,
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
    pub values: &'a [f64],
}

impl Chains {
    pub fn new(width: usize) -> Self {
        Chains {
            width,
            values: Vec::new(),
            rows: Vec::new(),
            free: NONE,
            assets: Vec::new(),
        }
    }

    /// Bytes that one row takes.
    pub fn row_bytes(&self) -> usize {
        self.width * size_of::<f64>() + size_of::<Row>()
    }

    pub fn len(&self, asset: u32) -> u32 {
        self.chain(asset).len
    }

    fn chain(&self, asset: u32) -> Chain {
        self.assets.get(asset as usize).copied().unwrap_or(EMPTY)
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
        let place = self.place(values);
        let chain = self.assets[asset as usize];
        let after = match chain.tail {
            NONE => NONE,
            tail if self.rows[tail as usize].event_at <= event_at => tail,
            _ => self.last_until(chain.head, event_at),
        };
        let next = match after {
            NONE => chain.head,
            after => std::mem::replace(&mut self.rows[after as usize].next, place),
        };
        self.rows[place as usize] = Row {
            event_at,
            first_offset: offsets.0,
            offset: offsets.1,
            next,
        };
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
        while self.rows[at as usize].event_at <= event_at {
            (found, at) = (at, self.rows[at as usize].next);
        }
        found
    }

    fn place(&mut self, values: impl Iterator<Item = f64>) -> u32 {
        if self.free != NONE {
            let place = self.free;
            self.free = self.rows[place as usize].next;
            let at = place as usize * self.width;
            for (kept, value) in self.values[at..at + self.width].iter_mut().zip(values) {
                *kept = value;
            }
            return place;
        }
        self.values.extend(values);
        self.rows.push(Row {
            event_at: 0,
            first_offset: 0,
            offset: 0,
            next: NONE,
        });
        (self.rows.len() - 1) as u32
    }

    /// Drops the oldest rows while `is_done` of their instant.
    pub fn drop_while(&mut self, asset: u32, mut is_done: impl FnMut(i64) -> bool) {
        let Some(chain) = self.assets.get_mut(asset as usize) else {
            return;
        };
        while chain.head != NONE {
            let row = &mut self.rows[chain.head as usize];
            if !is_done(row.event_at) {
                return;
            }
            let next = std::mem::replace(&mut row.next, self.free);
            self.free = chain.head;
            chain.head = next;
            chain.len -= 1;
        }
        chain.tail = NONE;
    }

    /// Removes the row at exactly `event_at`, if there is one.
    pub fn remove(&mut self, asset: u32, event_at: i64) {
        let (mut before, mut at) = (NONE, self.chain(asset).head);
        while at != NONE && self.rows[at as usize].event_at < event_at {
            (before, at) = (at, self.rows[at as usize].next);
        }
        if at == NONE || self.rows[at as usize].event_at != event_at {
            return;
        }
        let next = std::mem::replace(&mut self.rows[at as usize].next, self.free);
        self.free = at;
        let chain = &mut self.assets[asset as usize];
        chain.len -= 1;
        if before == NONE {
            chain.head = next;
        } else {
            self.rows[before as usize].next = next;
        }
        if next == NONE {
            chain.tail = before;
        }
    }

    /// The rows of an asset, oldest first.
    pub fn rows(&self, asset: u32) -> impl Iterator<Item = Kept<'_>> {
        let mut at = self.chain(asset).head;
        std::iter::from_fn(move || {
            let place = at as usize;
            let row = self.rows.get(place).filter(|_| at != NONE)?;
            at = row.next;
            Some(Kept {
                event_at: row.event_at,
                first_offset: row.first_offset,
                offset: row.offset,
                values: &self.values[place * self.width..][..self.width],
            })
        })
    }

    /// The instant of the newest row.
    pub fn newest(&self, asset: u32) -> Option<i64> {
        let tail = self.chain(asset).tail;
        (tail != NONE).then(|| self.rows[tail as usize].event_at)
    }

    /// Bytes of everything kept.
    pub fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
            + self.rows.capacity() * size_of::<Row>()
            + self.assets.capacity() * size_of::<Chain>()
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
                        chains.rows(asset).map(|row| (row.event_at, row.values[0] as i64)).collect();
                    prop_assert_eq!(&kept, list);
                    prop_assert_eq!(chains.len(asset) as usize, list.len());
                    prop_assert_eq!(chains.newest(asset), list.last().map(|row| row.0));
                }
            }
        }
    }
}
