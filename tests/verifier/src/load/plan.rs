//! What is sent, in which order: a function of the seed.
//!
//! ```text
//!   tick k ─▶ asset k mod ASSETS, its sequence number k div ASSETS ─┬─ sent now
//!                                                                   ├─ sent some ticks later: out of order, or late
//!                                                                   └─ not sent: the asset is silent
//!          └▶ perhaps poison beside it
//! ```
//!
//! Event time advances by the tick, as the wall clock does at the nominal rate: a load that was held up is behind
//! the clock and catches up.

use std::collections::BTreeMap;

use super::poison::{self, Poison};
use crate::random::hash;

/// A whole number of every window in use: 2023-11-14T22:13:20Z in milliseconds.
const BEGIN: u64 = 1_700_000_000_000;
/// Readings of an asset in a block; what an asset does changes from block to block.
const BLOCK: u64 = 48;
/// Of a silent block, the readings that are not sent.
const SILENT: u64 = 32;
/// This message that is no reading is large if none before it was: a short scenario has one whatever the chances are.
const LARGE_AT: u64 = 5;
/// Steps of its asset by which a late reading is held back: far behind the out-of-orderness bound.
const LATE: u64 = 40;

/// How much of what is sent.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    pub seed: u64,
    pub assets: u64,
    /// Ticks per second at the nominal pace.
    pub rate: u64,
    /// Messages that are no readings, per thousand.
    pub poison_per_thousand: u64,
    /// At most so many of them have 10 MB.
    pub large: u64,
}

impl Mix {
    /// Milliseconds between two readings of an asset.
    pub fn step_ms(&self) -> u64 {
        (self.assets * 1_000 / self.rate.max(1)).max(1)
    }
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// The partition of messages without a key, which would have none of their own, as a number to be reduced.
    pub partition: Option<u64>,
    pub is_poison: bool,
}

/// All messages, one tick after the other, without end.
#[derive(Debug)]
pub struct Messages {
    mix: Mix,
    tick: u64,
    poison: u64,
    large: u64,
    held_back: BTreeMap<u64, Vec<Message>>,
}

impl Messages {
    pub fn new(mix: Mix) -> Self {
        Messages {
            mix,
            tick: 0,
            poison: 0,
            large: 0,
            held_back: BTreeMap::new(),
        }
    }

    /// What is sent at the next tick.
    pub fn tick(&mut self, to: &mut Vec<Message>) {
        let (asset, sequence) = (self.tick % self.mix.assets, self.tick / self.mix.assets);
        if !self.is_silent(asset, sequence) {
            let reading = self.reading(asset, sequence);
            match self.held_back_for(asset, sequence) {
                0 => to.push(reading),
                steps => {
                    let at = self.tick + steps * self.mix.assets;
                    self.held_back.entry(at).or_default().push(reading);
                }
            }
        }
        if self.chance(asset, sequence, 1) % 1_000 < self.mix.poison_per_thousand {
            self.poison(asset, sequence, to);
        }
        to.extend(self.held_back.remove(&self.tick).unwrap_or_default());
        self.tick += 1;
    }

    /// What is still held back.
    pub fn rest(&mut self, to: &mut Vec<Message>) {
        to.extend(std::mem::take(&mut self.held_back).into_values().flatten());
    }

    fn chance(&self, asset: u64, sequence: u64, of: u64) -> u64 {
        hash(self.mix.seed, &[of, asset, sequence])
    }

    fn is_silent(&self, asset: u64, sequence: u64) -> bool {
        let silent = self.chance(asset, sequence / BLOCK, 2).is_multiple_of(6);
        silent && sequence % BLOCK < SILENT && sequence >= BLOCK
    }

    /// Steps of the asset by which a reading comes later than it was measured.
    fn held_back_for(&self, asset: u64, sequence: u64) -> u64 {
        match self.chance(asset, sequence, 3) % 200 {
            0..12 => 1 + self.chance(asset, sequence, 4) % 2,
            12 => LATE,
            _ => 0,
        }
    }

    fn reading(&self, asset: u64, sequence: u64) -> Message {
        let step = self.mix.step_ms();
        let at = BEGIN + sequence * step + asset * step / self.mix.assets;
        let hot = self
            .chance(asset, sequence / (BLOCK / 3), 5)
            .is_multiple_of(5);
        let a =
            (self.chance(asset, sequence, 6) % 8) as f64 * 0.25 + f64::from(u8::from(hot)) * 6.0;
        // Every third asset has a signal that stays as it is for a block.
        let changes = if asset.is_multiple_of(3) {
            sequence / BLOCK
        } else {
            sequence
        };
        let b = (self.chance(asset, changes, 7) % 16) as f64 * 0.125 - 0.25;
        let payload = format!("{{\"t\":{at},\"n\":{sequence},\"a\":{a},\"b\":{b}}}");
        Message {
            key: Some(name(asset).into_bytes()),
            payload: Some(payload.into_bytes()),
            partition: None,
            is_poison: false,
        }
    }

    fn poison(&mut self, asset: u64, sequence: u64, to: &mut Vec<Message>) {
        let chance = self.chance(asset, sequence, 8);
        let mut poison = Poison::ALL[chance as usize % Poison::ALL.len()];
        self.poison += 1;
        if self.poison == LARGE_AT && self.large == 0 && self.mix.large > 0 {
            poison = Poison::Large;
        }
        if poison == Poison::Large {
            self.large += 1;
            if self.large > self.mix.large {
                poison = Poison::NotJson;
            }
        }
        let at = BEGIN + sequence * self.mix.step_ms();
        to.push(poison::message(poison, &name(asset), at, chance));
    }
}

fn name(asset: u64) -> String {
    format!("asset-{asset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: Mix = Mix {
        seed: 11,
        assets: 12,
        rate: 120,
        poison_per_thousand: 20,
        large: 1,
    };

    fn first(mix: Mix, ticks: usize) -> Vec<Message> {
        let (mut messages, mut all) = (Messages::new(mix), Vec::new());
        (0..ticks).for_each(|_| messages.tick(&mut all));
        messages.rest(&mut all);
        all
    }

    #[test]
    fn the_same_seed_sends_the_same_and_another_one_does_not() {
        assert_eq!(first(MIX, 3_000), first(MIX, 3_000));
        assert_ne!(first(MIX, 3_000), first(Mix { seed: 12, ..MIX }, 3_000));
    }

    #[test]
    fn a_reading_is_sent_once_and_some_are_behind_some_late_and_some_assets_silent() {
        let all = first(MIX, 12 * 480);
        let mut latest = std::collections::HashMap::new();
        let mut seen = std::collections::HashSet::new();
        let (mut behind, mut late) = (0, 0);
        for message in all.iter().filter(|message| !message.is_poison) {
            let json: serde_json::Value =
                serde_json::from_slice(message.payload.as_deref().unwrap()).unwrap();
            let n = json["n"].as_u64().unwrap();
            assert!(seen.insert((message.key.clone(), n)), "sent twice: {json}");
            let latest = latest.entry(message.key.clone()).or_insert(n);
            behind += u64::from(n < *latest);
            late += u64::from(n + LATE / 2 < *latest);
            *latest = n.max(*latest);
        }
        let silent = 12 * 480 - seen.len();
        assert!(behind > 100 && late > 10, "{behind} behind, {late} late");
        assert!((300..1_500).contains(&silent), "{silent} not sent");
        let poison: Vec<&Message> = all.iter().filter(|message| message.is_poison).collect();
        assert!((60..200).contains(&poison.len()), "{}", poison.len());
        let large =
            |message: &&&Message| message.payload.as_ref().is_some_and(|p| p.len() > 5 << 20);
        assert_eq!(poison.iter().filter(large).count(), 1);
        assert_eq!(poison[..LARGE_AT as usize].iter().filter(large).count(), 1);
    }
}
