//! The acceptance of one row: the rules that every format shares.

use compact_str::CompactString;
use wildmatch::WildMatch;

use crate::clocks::Clocks;
use crate::config::{Config, EventTime};
use crate::message::MessageIndex;
use crate::refusal::{Refusal, Refused};
use crate::rows::{Head, Origin, Rows};
use crate::signal::{MissingPolicy, Signal};
use crate::state::Partitions;

/// What a reading must be to be accepted.
#[derive(Debug)]
pub(super) struct Acceptance {
    pub signals: Vec<Signal>,
    known_assets: Vec<WildMatch>,
    /// `None` where event time is the record's timestamp itself.
    clocks: Option<Clocks>,
    /// A message carries one signal: the others are not missing.
    narrow: bool,
    max_assets: usize,
    evicts: bool,
}

/// Where a batch is decoded to.
#[derive(Debug)]
pub struct Decoded<'a> {
    pub partitions: &'a mut Partitions,
    pub rows: &'a mut Rows,
    pub refused: &'a mut Vec<Refused>,
    /// Narrow messages whose signal is not declared.
    pub ignored: &'a mut u64,
    /// Messages that had the form of one before.
    pub familiar: &'a mut u64,
}

/// A row while its values come in.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub values: Vec<f64>,
    /// Which values have come.
    pub seen: Vec<bool>,
    pub asset: Option<CompactString>,
    pub event_at: Option<i64>,
    /// The signal's name and value of a narrow message.
    pub signal: Option<CompactString>,
    pub value: Option<f64>,
}

impl Row {
    pub fn reset(&mut self, signals: usize) {
        self.values.clear();
        self.values.resize(signals, 0.0);
        self.seen.clear();
        self.seen.resize(signals, false);
        self.asset = None;
        self.event_at = None;
        self.signal = None;
        self.value = None;
    }
}

/// Where a row stands in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub message: MessageIndex,
    pub slot: u32,
    pub offset: i64,
    /// The record's timestamp in milliseconds.
    pub ingested: Option<i64>,
}

impl Acceptance {
    pub fn new(config: &Config) -> Self {
        let source = &config.source;
        Acceptance {
            signals: config.signals.clone(),
            known_assets: source
                .known_assets
                .iter()
                .map(|p| WildMatch::new(p))
                .collect(),
            clocks: (source.event_time != EventTime::Record)
                .then(|| Clocks::new(&config.event_time)),
            narrow: source.narrow.is_some(),
            max_assets: config.limits.max_assets_per_partition,
            evicts: config.limits.evict_after.is_some(),
        }
    }

    /// Turns a complete row into a reading.
    pub fn accept(
        &self,
        row: &mut Row,
        asset: &str,
        event_at: i64,
        place: Place,
        to: &mut Decoded<'_>,
    ) -> Result<(), Refusal> {
        if !self.known_assets.is_empty() && !self.known_assets.iter().any(|p| p.matches(asset)) {
            return Err(Refusal::UnknownAsset {
                asset: asset.to_owned(),
            });
        }
        let values = row.values.iter_mut().zip(&row.seen);
        for (signal, (value, seen)) in self.signals.iter().zip(values) {
            *value = match (seen, signal.missing()) {
                (true, _) => signal.accept(*value)?,
                (false, MissingPolicy::Refuse) if !self.narrow => {
                    return Err(Refusal::MissingSignal {
                        signal: signal.name.clone(),
                        field: signal.field.clone(),
                    });
                }
                (false, MissingPolicy::Fill(value)) if !self.narrow => value,
                (false, _) => f64::NAN,
            };
        }
        if let Some(clocks) = &self.clocks {
            clocks.judge(asset, event_at, place.ingested)?;
        }
        // Last, because a refused reading must not make an asset known, nor move the watermark.
        let state = to.partitions.state(place.slot);
        let Some(number) = state.assets.intern(asset, event_at, self.max_assets) else {
            return Err(Refusal::TooManyAssets {
                asset: asset.to_owned(),
                max: self.max_assets,
            });
        };
        let publish = place.offset >= state.publish_from;
        let head = Head {
            slot: place.slot,
            asset: number,
            event_at,
            first_offset: place.offset,
            offset: place.offset,
            message: Some(place.message),
            release: state.watermark.observe(place.offset, event_at, publish),
            publish,
            origin: Origin::Reading,
        };
        to.rows.push(head, &row.values);
        Ok(())
    }

    /// Must the engine evict idle assets before it reads on? It does so at the record that makes it due, not
    /// at the end of a batch.
    pub fn must_evict(&self, partitions: &mut Partitions, slot: u32) -> bool {
        let state = partitions.state(slot);
        self.evicts && state.watermark.at() >= state.next_eviction && !state.assets.is_empty()
    }
}
