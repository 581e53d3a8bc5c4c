//! Feature rows of one view, asset by asset: what a trainer learns from and is judged by.
//!
//! The values are those that a model gets while it serves: the pipeline's own features, as 32-bit floats. A row with a
//! missing value is left out, as it gets no score live; how many were is told.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

/// The rows of one asset, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AssetRows {
    pub asset: String,
    /// Event times in microseconds since 1970, UTC; of a window its end.
    pub times: Vec<i64>,
    /// Row-major, one value per feature.
    pub values: Vec<f32>,
}

/// Rows of a view.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    pub features: Vec<String>,
    /// By name.
    pub assets: Vec<AssetRows>,
    /// Rows that were left out because a value is missing.
    pub incomplete: u64,
}

impl AssetRows {
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

impl Rows {
    /// Those of the assets that are wanted.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Rows {
        let assets = self.assets.iter().filter(|rows| wanted(&rows.asset));
        Rows {
            features: self.features.clone(),
            assets: assets.cloned().collect(),
            incomplete: 0,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.assets.iter().map(AssetRows::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Of all rows, and of what else a training depends on.
    pub fn fingerprint(&self, more: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{more} {:?}", self.features));
        for asset in &self.assets {
            hash.update(&asset.asset);
            asset
                .times
                .iter()
                .for_each(|time| hash.update(time.to_le_bytes()));
            asset
                .values
                .iter()
                .for_each(|value| hash.update(value.to_le_bytes()));
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Assets by name, their rows by time. Rows of one instant stay in the order in which they came.
    fn in_order(mut self) -> Self {
        let width = self.features.len();
        self.assets.sort_by(|a, b| a.asset.cmp(&b.asset));
        for rows in &mut self.assets {
            if rows.times.is_sorted() {
                continue;
            }
            let mut order: Vec<usize> = (0..rows.times.len()).collect();
            order.sort_by_key(|&row| rows.times[row]);
            rows.values = order
                .iter()
                .flat_map(|&row| rows.values[row * width..][..width].iter().copied())
                .collect();
            rows.times.sort_unstable();
        }
        self
    }
}

/// There are more rows than may be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rows have more than {most} values, which are held in memory with 4 bytes each: take a shorter stretch (--from, --to), \
     fewer assets or features, or a view over windows; or let more be held (most-values)"
)]
pub struct TooManyRows {
    most: usize,
}

/// Takes rows one by one, from wherever they come.
#[derive(Debug, Default)]
pub struct Collector {
    rows: Rows,
    /// Of an asset among the rows.
    places: HashMap<String, usize>,
    /// Values that are held, and how many may be.
    held: usize,
    most: usize,
}

impl Collector {
    /// Holds `most` values at most.
    pub fn new(features: Vec<String>, most: usize) -> Self {
        Collector {
            rows: Rows {
                features,
                ..Rows::default()
            },
            places: HashMap::new(),
            held: 0,
            most,
        }
    }

    /// Adds a row of `asset` at `time`, in microseconds; one with a value that is not finite is counted only.
    ///
    /// # Errors
    /// When there are more than may be held.
    pub fn push(
        &mut self,
        asset: &str,
        time: i64,
        values: impl Iterator<Item = f64>,
    ) -> Result<(), TooManyRows> {
        if self.held >= self.most {
            return Err(TooManyRows { most: self.most });
        }
        let place = self.place(asset);
        let into = &mut self.rows.assets[place];
        let begin = into.values.len();
        into.values.extend(values.map(|value| value as f32));
        if into.values[begin..].iter().all(|value| value.is_finite()) {
            into.times.push(time);
            self.held += self.rows.features.len();
        } else {
            into.values.truncate(begin);
            self.rows.incomplete += 1;
        }
        Ok(())
    }

    /// All rows: assets by name, their rows by time.
    pub fn finish(self) -> Rows {
        let mut rows = self.rows.in_order();
        rows.assets.retain(|asset| !asset.is_empty());
        rows
    }

    fn place(&mut self, asset: &str) -> usize {
        if let Some(place) = self.places.get(asset) {
            return *place;
        }
        let place = self.rows.assets.len();
        self.places.insert(asset.to_owned(), place);
        self.rows.assets.push(AssetRows {
            asset: asset.to_owned(),
            ..AssetRows::default()
        });
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_in_order_and_incomplete_ones_are_counted() {
        let mut collected = Collector::new(vec!["a".into(), "b".into()], 10);
        for (asset, time, values) in [
            ("pump-2", 5, [1.0, 2.0]),
            ("pump-1", 9, [3.0, 4.0]),
            ("pump-1", 7, [5.0, 6.0]),
            ("pump-1", 8, [f64::NAN, 6.0]),
            ("pump-3", 8, [1.0, f64::INFINITY]),
            ("pump-1", 6, [7.0, 8.0]),
            ("pump-1", 5, [9.0, 9.0]),
        ] {
            collected.push(asset, time, values.into_iter()).unwrap();
        }
        let more = collected.push("pump-1", 10, [1.0, 2.0].into_iter());
        assert_eq!(more, Err(TooManyRows { most: 10 }));
        let rows = collected.finish();
        assert_eq!((rows.len(), rows.incomplete), (5, 2));
        let names: Vec<&str> = rows.assets.iter().map(|rows| rows.asset.as_str()).collect();
        assert_eq!(names, ["pump-1", "pump-2"]);
        assert_eq!(rows.assets[0].times, [5, 6, 7, 9]);
        assert_eq!(rows.assets[0].values[4..], [5.0, 6.0, 3.0, 4.0]);
    }
}
