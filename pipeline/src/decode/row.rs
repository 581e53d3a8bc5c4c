//! The acceptance of one row: the rules that every format shares.

use wildmatch::WildMatch;

use crate::config::Config;
use crate::message::MessageIndex;
use crate::reading::{ReadingHead, Readings};
use crate::refusal::Refusal;
use crate::signal::Signal;
use crate::state::Partitions;

/// What a reading must be to be accepted.
#[derive(Debug)]
pub struct Acceptance {
    pub(super) signals: Vec<Signal>,
    known_assets: Vec<WildMatch>,
}

/// A row while its values come in.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub values: Vec<f64>,
    /// Which values have come.
    pub seen: Vec<bool>,
    pub asset: Option<String>,
    pub event_at: Option<i64>,
}

impl Row {
    pub fn reset(&mut self, signals: usize) {
        self.values.clear();
        self.values.resize(signals, 0.0);
        self.seen.clear();
        self.seen.resize(signals, false);
        self.asset = None;
        self.event_at = None;
    }
}

/// Where a row stands in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub message: MessageIndex,
    pub slot: u32,
    pub offset: i64,
}

impl Acceptance {
    pub fn new(config: &Config) -> Self {
        Acceptance {
            signals: config.signals.clone(),
            known_assets: config
                .source
                .known_assets
                .iter()
                .map(|p| WildMatch::new(p))
                .collect(),
        }
    }

    /// Turns a complete row into a reading.
    pub(super) fn accept(
        &self,
        row: &Row,
        asset: &str,
        event_at: i64,
        place: Place,
        partitions: &mut Partitions,
        readings: &mut Readings,
    ) -> Result<(), Refusal> {
        if !self.known_assets.is_empty() && !self.known_assets.iter().any(|p| p.matches(asset)) {
            return Err(Refusal::UnknownAsset {
                asset: asset.to_owned(),
            });
        }
        for ((signal, value), seen) in self.signals.iter().zip(&row.values).zip(&row.seen) {
            if !seen {
                return Err(Refusal::MissingSignal {
                    signal: signal.name.clone(),
                    field: signal.field.clone(),
                });
            }
            signal.accept(*value)?;
        }
        // The asset gets its number last: a refused reading must not make an asset known.
        let asset = partitions.state(place.slot).assets.intern(asset);
        let head = ReadingHead {
            message: place.message,
            partition: place.slot,
            offset: place.offset,
            asset,
            event_at,
        };
        readings.push(head, &row.values);
        Ok(())
    }
}
