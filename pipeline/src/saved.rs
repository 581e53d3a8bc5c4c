//! The state of a partition, written down and read back: one record per asset, and one for what they share.
//!
//! ```text
//!   record:   format │ fingerprint │ checksum │ MessagePack        (1 + 8 + 8 + n bytes)
//! ```
//!
//! An asset's record is what was known of it when it was written. An asset without a reading since then is not
//! written again: what has become due in the meantime is done again when it is read back, by the watermark of
//! the shared record, and causes no output.
//!
//! The **fingerprint** stands for everything of the configuration and of the models that gives state its
//! meaning: state of another fingerprint is not read.
//!
//! Not here: Kafka (`kafka/snapshots.rs`), and when state is written (`kafka/writing.rs`).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::alarms::SavedAlarm;
use crate::align::SavedAlign;
use crate::conditions::SavedConditions;
use crate::held::SavedRow;
use crate::plan::Plan;
use crate::sequence::SavedSequence;
use crate::state::{ModelState, PartitionState};
use crate::window::SavedWindows;

/// Of the records: another one is read as no state.
pub const FORMAT: u8 = 1;
/// Bytes before the MessagePack.
const HEADER: usize = 1 + 8 + 8;

/// What the assets of a partition share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPartition {
    /// The state is that before this record.
    pub offset: i64,
    /// Latest event time, in microseconds; `i64::MIN` before the first reading.
    pub latest: i64,
    pub watermark: i64,
    pub next_eviction: i64,
    /// How many assets there are.
    pub assets: u64,
}

/// What is known of one asset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedAsset {
    /// It includes the readings before this record.
    pub offset: i64,
    /// The watermark there.
    pub watermark: i64,
    /// Event time of the latest reading.
    pub latest: i64,
    pub held: Vec<SavedRow>,
    pub align: Option<SavedAlign>,
    pub conditions: SavedConditions,
    /// One per view.
    pub windows: Vec<Option<SavedWindows>>,
    pub sequences: Vec<Option<SavedSequence>>,
    /// One per model.
    pub models: Vec<SavedModel>,
    pub alarms: Vec<SavedAlarm>,
}

/// What a model remembers of an asset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedModel {
    pub rows: u32,
    /// Recurrent models only.
    pub latest: Option<i64>,
    #[serde(with = "f32_bits")]
    pub recurrent: Vec<f32>,
}

/// A change since the state was written before.
#[derive(Debug)]
pub enum Change<'a> {
    Changed(&'a str, &'a SavedAsset),
    Evicted(&'a str),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedError {
    #[error("it has format {0}, this version reads {FORMAT}")]
    Format(u8),
    #[error("it is of another configuration, or of another version of a recurrent model")]
    Fingerprint,
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// A record of `value`.
pub fn encode(fingerprint: u64, value: &impl Serialize) -> Vec<u8> {
    let mut record = vec![0; HEADER];
    // Writing to a vector can't fail, and these types can all be written.
    let _ = rmp_serde::encode::write(&mut record, value);
    let checksum = checksum(&record[HEADER..]);
    record[0] = FORMAT;
    record[1..9].copy_from_slice(&fingerprint.to_le_bytes());
    record[9..HEADER].copy_from_slice(&checksum.to_le_bytes());
    record
}

/// What [`encode`] wrote.
///
/// # Errors
/// When it is not of this format and `fingerprint`, or damaged.
pub fn decode<T: DeserializeOwned>(fingerprint: u64, record: &[u8]) -> Result<T, SavedError> {
    let (format, rest) = record
        .split_first()
        .ok_or_else(|| SavedError::Damaged("it is empty".into()))?;
    if *format != FORMAT {
        return Err(SavedError::Format(*format));
    }
    let short = || SavedError::Damaged("it is cut short".into());
    let (of, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (sum, body) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    if u64::from_le_bytes(*sum) != checksum(body) {
        return Err(SavedError::Damaged("its checksum is another one".into()));
    }
    if u64::from_le_bytes(*of) != fingerprint {
        return Err(SavedError::Fingerprint);
    }
    rmp_serde::from_slice(body).map_err(|error| SavedError::Damaged(error.to_string()))
}

/// FNV-1a with 64 bits: one bit that is another one always gives another sum.
fn checksum(bytes: &[u8]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

impl PartitionState {
    /// Hands over what has changed since the last call (all of it the first time), and gives what the assets
    /// share.
    pub fn save(&mut self, plan: &Plan, mut on: impl FnMut(Change<'_>)) -> SavedPartition {
        let (changed, evicted) = self.assets.take_changes();
        for name in &evicted {
            on(Change::Evicted(name));
        }
        self.write(plan, changed, |name, asset| {
            on(Change::Changed(name, asset));
        });
        SavedPartition {
            offset: self.next_offset,
            latest: self.watermark.latest(),
            watermark: self.watermark.at(),
            next_eviction: self.next_eviction,
            assets: self.assets.len() as u64,
        }
    }

    /// All assets as they are now, by name; nothing counts as written down.
    pub fn export(&self, plan: &Plan) -> BTreeMap<String, SavedAsset> {
        let mut exported = BTreeMap::new();
        self.write(plan, self.assets.numbers(), |name, asset| {
            exported.insert(name.to_owned(), asset.clone());
        });
        exported
    }

    fn write(&self, plan: &Plan, assets: Vec<u32>, mut on: impl FnMut(&str, &SavedAsset)) {
        let mut held = self.held.by_asset(plan.signals);
        let timers: Vec<_> = self
            .windows
            .iter()
            .map(|windows| windows.as_ref().map(crate::window::WindowState::timers))
            .collect();
        let mut alarms = self.alarms.by_asset();
        for asset in assets {
            let windows = self.windows.iter().zip(&timers);
            let windows = windows.map(|(windows, timers)| {
                let timers = timers.as_ref()?.get(&asset).map_or(&[][..], Vec::as_slice);
                Some(windows.as_ref()?.save(asset, timers))
            });
            let sequences = self.sequences.iter();
            let models = self.models.iter().zip(&plan.models);
            let saved = SavedAsset {
                offset: self.next_offset,
                watermark: self.watermark.at(),
                latest: self.assets.latest(asset),
                held: held.remove(&asset).unwrap_or_default(),
                align: self.align.as_ref().and_then(|align| align.save(asset)),
                conditions: self.conditions.save(&plan.conditions, asset),
                windows: windows.collect(),
                sequences: sequences
                    .map(|sequences| Some(sequences.as_ref()?.save(asset)))
                    .collect(),
                models: models
                    .map(|(model, planned)| model.save(asset, planned.model.state_len()))
                    .collect(),
                alarms: alarms.remove(&asset).unwrap_or_default(),
            };
            on(self.assets.name(asset), &saved);
        }
    }

    /// Takes in what the assets share; before the first of them.
    pub fn restore(&mut self, saved: &SavedPartition) {
        self.next_offset = saved.offset;
        self.watermark.restore(saved.latest, saved.watermark);
        self.next_eviction = saved.next_eviction;
    }

    /// Takes in an asset of the partition whose slot is `slot`.
    pub fn restore_asset(&mut self, plan: &Plan, slot: u32, name: &str, saved: &SavedAsset) {
        let Some(asset) = self.assets.restore(name, saved.latest) else {
            return;
        };
        for row in &saved.held {
            self.held.restore((slot, asset), row, plan.signals);
        }
        if let (Some(align), Some(saved)) = (&mut self.align, &saved.align) {
            align.restore(asset, saved);
        }
        self.conditions
            .restore(&plan.conditions, asset, &saved.conditions, saved.watermark);
        for (windows, saved) in self.windows.iter_mut().zip(&saved.windows) {
            if let (Some(windows), Some(saved)) = (windows, saved) {
                windows.restore(asset, saved);
            }
        }
        for (sequences, saved) in self.sequences.iter_mut().zip(&saved.sequences) {
            if let (Some(sequences), Some(saved)) = (sequences, saved) {
                sequences.restore(asset, saved);
            }
        }
        let models = self.models.iter_mut().zip(&plan.models);
        for ((model, planned), saved) in models.zip(&saved.models) {
            model.restore(asset, planned.model.state_len(), saved);
        }
        for alarm in &saved.alarms {
            self.alarms.restore(asset, alarm);
        }
    }
}

impl ModelState {
    fn save(&self, asset: u32, width: usize) -> SavedModel {
        let at = asset as usize;
        SavedModel {
            rows: self.rows.get(at).copied().unwrap_or_default(),
            latest: self.latest.get(at).copied().filter(|at| *at != i64::MIN),
            recurrent: self
                .recurrent
                .get(at * width..(at + 1) * width)
                .map_or_else(|| vec![0.0; width], <[f32]>::to_vec),
        }
    }

    fn restore(&mut self, asset: u32, width: usize, saved: &SavedModel) {
        self.admit(asset, width);
        let at = asset as usize;
        self.rows[at] = saved.rows;
        if let (Some(latest), Some(saved)) = (self.latest.get_mut(at), saved.latest) {
            *latest = saved;
        }
        if saved.recurrent.len() == width {
            self.recurrent[at * width..][..width].copy_from_slice(&saved.recurrent);
        }
    }
}

/// Values as their bits, in one stretch of bytes: a NaN stays the NaN that it was. For people, as numbers.
macro_rules! bits {
    ($module:ident, $float:ty) => {
        pub(crate) mod $module {
            use serde::de::{self, Deserializer, Visitor};
            use serde::ser::Serializer;

            pub fn serialize<S: Serializer>(values: &[$float], to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() {
                    return to.collect_seq(values);
                }
                let bytes = values.iter().flat_map(|value| value.to_le_bytes());
                to.serialize_bytes(&bytes.collect::<Vec<u8>>())
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<Vec<$float>, D::Error> {
                struct Bytes;
                impl Visitor<'_> for Bytes {
                    type Value = Vec<$float>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("bytes")
                    }

                    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<$float>, E> {
                        let (values, rest) = bytes.as_chunks::<{ size_of::<$float>() }>();
                        if !rest.is_empty() {
                            return Err(E::invalid_length(bytes.len(), &self));
                        }
                        let values = values.iter().map(|value| <$float>::from_le_bytes(*value));
                        Ok(values.collect())
                    }
                }
                from.deserialize_bytes(Bytes)
            }
        }
    };
}

bits!(f32_bits, f32);
bits!(f64_bits, f64);

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> SavedPartition {
        SavedPartition {
            offset: 12,
            latest: 5_000_000,
            watermark: i64::MIN,
            next_eviction: 0,
            assets: 3,
        }
    }

    #[test]
    fn a_record_is_read_back_and_says_what_is_wrong_with_it() {
        let record = encode(7, &shared());
        assert_eq!(decode(7, &record), Ok(shared()));
        let read = |record: &[u8]| decode::<SavedPartition>(7, record);
        assert_eq!(
            decode::<SavedPartition>(8, &record),
            Err(SavedError::Fingerprint)
        );
        assert!(matches!(read(&[]), Err(SavedError::Damaged(_))));
        assert_eq!(read(&[9, 1, 2]), Err(SavedError::Format(9)));
        for length in 1..record.len() {
            assert!(matches!(
                read(&record[..length]),
                Err(SavedError::Damaged(_))
            ));
        }
    }

    #[test]
    fn a_bit_that_has_flipped_is_noticed_wherever_it_is() {
        let record = encode(7, &shared());
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = decode::<SavedPartition>(7, &flipped);
            assert!(read.is_err(), "bit {bit}: {read:?}");
        }
    }

    #[test]
    fn a_value_that_is_missing_stays_so() {
        let model = SavedModel {
            rows: 3,
            latest: None,
            recurrent: vec![f32::NAN, -0.0, 1.5],
        };
        let read: SavedModel = decode(0, &encode(0, &model)).unwrap();
        let bits = |model: &SavedModel| -> Vec<u32> {
            model
                .recurrent
                .iter()
                .map(|value| value.to_bits())
                .collect()
        };
        assert_eq!(bits(&read), bits(&model));
    }
}
