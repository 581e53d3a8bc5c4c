//! Reads state back that was written down: the latest records of the state topic, per partition of the input.
//!
//! All records of one writing, and the offsets that it belongs to, are in one transaction; under at-least-once they
//! may be there in part, which is noticed. What can't be read is no state: it is rebuilt from the log then.

use std::collections::HashMap;

use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::past::Past;
use crate::config::Config;
use crate::saved::{SavedAsset, SavedError, SavedPartition, decode};

/// The key of what the assets share; no asset has an empty name.
pub const SHARED: &[u8] = b"";

/// The state of a partition, as it was written down.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub shared: SavedPartition,
    pub assets: Vec<(String, SavedAsset)>,
    /// Bytes of the records that it was read from.
    pub bytes: u64,
}

/// The latest record of each key.
type Records = HashMap<Vec<u8>, Vec<u8>>;

/// The state of `partitions` that was written down under `fingerprint`. A partition without any is not in it;
/// one whose state is of no use comes with the reason.
///
/// # Errors
/// When the brokers do not answer.
pub fn read(
    config: &Config,
    fingerprint: u64,
    partitions: &[i32],
) -> KafkaResult<HashMap<i32, Result<Snapshot, SavedError>>> {
    let topic = config.state_topic();
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(&topic, *partition, Offset::Beginning)?;
    }
    let past = Past::open(config)?;
    past.begin(&list)?;
    let mut latest: HashMap<i32, Records> = HashMap::new();
    while let Some(message) = past.next()? {
        let key = message.key().unwrap_or_default();
        let records = latest.entry(message.partition()).or_default();
        match message.payload() {
            Some(payload) => drop(records.insert(key.to_vec(), payload.to_vec())),
            None => drop(records.remove(key)),
        }
    }
    let read = latest.into_iter().filter_map(|(partition, records)| {
        Snapshot::of(fingerprint, records)
            .transpose()
            .map(|snapshot| (partition, snapshot))
    });
    Ok(read.collect())
}

impl Snapshot {
    /// `None` when nothing was ever written to its end.
    fn of(fingerprint: u64, mut records: Records) -> Result<Option<Self>, SavedError> {
        let Some(shared) = records.remove(SHARED) else {
            return Ok(None);
        };
        let mut bytes = shared.len() as u64;
        let shared: SavedPartition = decode(fingerprint, &shared)?;
        let mut assets = Vec::with_capacity(records.len());
        for (name, record) in records {
            let asset: SavedAsset = match decode(fingerprint, &record) {
                Ok(asset) => asset,
                // It had no reading since the configuration was another one.
                Err(SavedError::Fingerprint) => continue,
                Err(error) => return Err(error),
            };
            if asset.offset > shared.offset {
                let message = "it was not written to its end".into();
                return Err(SavedError::Damaged(message));
            }
            let name = String::from_utf8(name)
                .map_err(|_| SavedError::Damaged("the name of an asset is not UTF-8".into()))?;
            bytes += record.len() as u64;
            assets.push((name, asset));
        }
        if assets.len() as u64 != shared.assets {
            let (found, written) = (assets.len(), shared.assets);
            let message = format!("{found} of {written} assets are there");
            return Err(SavedError::Damaged(message));
        }
        // Numbers of assets are given in this order.
        assets.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(Some(Snapshot {
            shared,
            assets,
            bytes,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::encode;

    fn records(assets: u64, offsets: &[i64]) -> Records {
        let shared = SavedPartition {
            offset: 10,
            latest: 0,
            watermark: 0,
            next_eviction: 0,
            assets,
        };
        let asset = |offset: &i64| SavedAsset {
            offset: *offset,
            ..SavedAsset::default()
        };
        let mut records: Records = (0..)
            .zip(offsets)
            .map(|(n, offset)| (format!("x-{n}").into_bytes(), encode(7, &asset(offset))))
            .collect();
        records.insert(SHARED.to_vec(), encode(7, &shared));
        records
    }

    #[test]
    fn a_whole_writing_is_read_and_a_part_of_one_is_not() {
        let read =
            |records| Snapshot::of(7, records).map(|read| read.map(|read| read.assets.len()));
        assert_eq!(read(records(2, &[3, 10])), Ok(Some(2)));
        assert_eq!(read(Records::new()), Ok(None));
        let told = |result: Result<_, SavedError>| result.unwrap_err().to_string();
        assert!(told(read(records(3, &[3, 10]))).contains("2 of 3 assets"));
        // A later writing that has not come to its end.
        assert!(told(read(records(2, &[3, 11]))).contains("not written to its end"));
        let mut damaged = records(1, &[3]);
        damaged.get_mut(&b"x-0"[..]).unwrap()[20] ^= 4;
        assert!(told(read(damaged)).contains("checksum"));
        assert_eq!(
            Snapshot::of(8, records(1, &[3])).unwrap_err(),
            SavedError::Fingerprint
        );
        let mut old = records(1, &[3]);
        old.insert(b"y".to_vec(), encode(6, &SavedAsset::default()));
        assert_eq!(
            read(old),
            Ok(Some(1)),
            "an asset of an earlier configuration"
        );
    }
}
