//! The readings: every asset once in each round, as JSON messages or as plain numbers.
//!
//! Messages are made for a batch at a time: those of a run would not fit in memory.

use std::fmt::Write;

use forewarn_pipeline::message::Message;

/// 2026-01-01, where a minute begins; microseconds.
pub const BEGIN: i64 = 1_767_225_600_000_000;
/// Length of a round in microseconds.
pub const ROUND: i64 = 10_000_000;
/// Different values; prime, so that no asset and no signal has the same one again and again.
const VALUES: usize = 997;

/// The messages of a batch.
pub struct Feed {
    assets: usize,
    /// The assets in the order of their readings in `round`.
    order: Vec<u32>,
    round: usize,
    fields: Vec<String>,
    numbers: Vec<String>,
    batch: Vec<(String, String)>,
}

impl Feed {
    pub fn new(signals: &str, assets: usize) -> Self {
        let fields = signals.split(' ').map(|signal| format!(",\"{signal}\":"));
        Feed {
            assets,
            order: order(assets, 0),
            round: 0,
            fields: fields.collect(),
            numbers: (0..VALUES).map(|i| format!("{:.3}", nth(i))).collect(),
            batch: Vec::new(),
        }
    }

    /// Makes the messages of the readings from `from` to `to`.
    pub fn write(&mut self, from: usize, to: usize) {
        self.batch.resize_with(to - from, Default::default);
        for reading in from..to {
            let (round, place) = (reading / self.assets, reading % self.assets);
            if round != self.round {
                (self.round, self.order) = (round, order(self.assets, round));
            }
            let asset = self.order[place];
            let at = BEGIN + ROUND * round as i64 + ROUND * place as i64 / self.assets as i64;
            let (key, payload) = &mut self.batch[reading - from];
            key.clear();
            payload.clear();
            // Names of one length, whatever the number of assets. A string takes all that is written.
            let _ = write!(key, "asset-{asset:07}");
            let _ = write!(payload, "{{\"time\":{at}");
            for (signal, field) in self.fields.iter().enumerate() {
                payload.push_str(field);
                payload.push_str(&self.numbers[value(asset, round, signal)]);
            }
            payload.push('}');
        }
    }

    pub fn messages(&self, from: usize) -> Vec<Message<'_>> {
        let messages = (from..).zip(&self.batch);
        let messages = messages.map(|(offset, (key, payload))| Message {
            partition: 0,
            offset: offset as i64,
            timestamp: None,
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
        });
        messages.collect()
    }
}

/// The assets of a round, shuffled anew: an asset's number is its place in the first round, and in that order
/// state would be walked from front to back, as in no fleet.
pub fn order(assets: usize, round: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..assets as u32).collect();
    // Knuth's MMIX generator, of which the upper bits are the good ones; the round is the seed.
    let mut random = round as u64;
    for left in (1..assets).rev() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        order.swap(left, (random >> 33) as usize % (left + 1));
    }
    order
}

/// Which value a signal has.
fn value(asset: u32, round: usize, signal: usize) -> usize {
    (asset as usize * 31 + round * 7 + signal * 17) % VALUES
}

/// A signal's value.
pub fn number(asset: u32, round: usize, signal: usize) -> f64 {
    nth(value(asset, round, signal))
}

fn nth(value: usize) -> f64 {
    20.0 + value as f64 * 0.037
}
