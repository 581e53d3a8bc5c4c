//! The training reference of a version: how its features and its score were distributed where it was trained, so that
//! drift can be measured against it. It is `reference.json` beside `model.onnx`.
//!
//! ```text
//!   share   10 %  10 %  10 %  10 %   10 %   10 %     10 %       30 % of one value     0 %
//!   ──────────┼─────┼─────┼────┼──────┼──────┼─────────┼───────┤├────────────────┼───────────▶ feature
//!             edges: deciles of training; a value that many rows have gets a bin of its own
//! ```
//!
//! Invariants:
//! - it changes no byte of an output: a version with it, without it, or with another one is the same version. So it is
//!   no part of what is admitted and hashed, and it may be written for a version that serves already;
//! - what was read is sound: edges rise, there is one more bin than edges, nothing but names is longer than the model.
//!
//! The contract's key `reference` is something else: one typical value per feature, which results are attributed with.
//!
//! Not here: how it is made of rows, and what is measured with it (`pipeline`, `drift/`).

mod bins;

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use bins::edges;

use crate::admission::optional;
use crate::contract::Contract;

/// The file beside the graph.
pub const REFERENCE: &str = "reference.json";
/// The only version of the file's form so far.
const FORMAT: u32 = 1;
/// Larger than that of any model with a thousand features.
const LIMIT: u64 = 4 << 20;
/// Most assets whose names are kept: fleets in which a single asset counts.
pub const MOST_NAMES: usize = 1_000;

/// How a model's rows were distributed in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    format: u32,
    /// Where the rows came from, for people.
    pub origin: Value,
    pub rows: u64,
    pub assets: u64,
    /// Of the assets, where they are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Rows of each of them. References that were made before it was kept have none: as many of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows_by_name: Vec<u64>,
    /// In the order of the model's features.
    pub features: Vec<Distribution>,
    /// Of the model's score or remaining life; a custom model has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Distribution>,
}

/// How one feature, or the score, was distributed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    pub name: String,
    /// Rows that have a value.
    pub rows: u64,
    pub missing: u64,
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
    pub min: f64,
    pub max: f64,
    /// Share of the variance that is between assets: 1 where each asset has a value of its own that never changes, 0
    /// where all are alike (intraclass correlation).
    pub between: f64,
    /// As many independent rows are worth as much: few where the rows of an asset say the same.
    pub effective: f64,
    /// Upper ends of all bins but the last, which has none; a value that equals one is in its bin.
    pub edges: Vec<f32>,
    /// Rows in each bin: one more than edges. Of a long training they are those of a sample.
    pub counts: Vec<u64>,
}

/// Why a reference can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    #[error("{REFERENCE} {0}")]
    Unreadable(String),
    #[error("{REFERENCE} is no reference: {0}")]
    Unsound(String),
    #[error(
        "{REFERENCE} is of another model: it has no feature {0}; make it anew with `forewarn drift --fit`"
    )]
    OtherModel(String),
}

impl Reference {
    /// Of `assets` and the rows of each, which are kept where they are few.
    pub fn new(
        origin: Value,
        rows: u64,
        mut assets: Vec<(String, u64)>,
        features: Vec<Distribution>,
        score: Option<Distribution>,
    ) -> Self {
        let count = assets.len() as u64;
        if assets.len() > MOST_NAMES {
            assets.clear();
        }
        assets.sort_unstable();
        let (names, rows_by_name) = assets.into_iter().unzip();
        Reference {
            format: FORMAT,
            origin,
            rows,
            assets: count,
            names,
            rows_by_name,
            features,
            score,
        }
    }

    /// Reads the one that lies in a version's folder, for a model with this contract; `None` when there is none.
    ///
    /// # Errors
    /// When it can't be read, or is not of this model.
    pub fn read(folder: &Path, contract: &Contract) -> Result<Option<Self>, ReferenceError> {
        let file = optional(&folder.join(REFERENCE), LIMIT);
        let file = file.map_err(|reason| ReferenceError::Unreadable(reason.to_string()))?;
        let Some(bytes) = file else {
            return Ok(None);
        };
        let unsound = ReferenceError::Unsound;
        let reference: Reference =
            serde_json::from_slice(&bytes).map_err(|error| unsound(error.to_string()))?;
        reference.check().map_err(unsound)?;
        reference.fitted(contract).map(Some)
    }

    /// Writes it beside the graph of a version, whole or not at all.
    ///
    /// # Errors
    /// When the folder can't be written, or ([`io::ErrorKind::AlreadyExists`]) has one that is not to be replaced.
    pub fn write(&self, folder: &Path, replace: bool) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".reference-")
            .tempfile_in(folder)?;
        serde_json::to_writer(file.as_file_mut(), self)?;
        file.as_file_mut().write_all(b"\n")?;
        // Temporary files are for their owner only; the service may run as somebody else.
        let everyone = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(everyone)?;
        file.as_file().sync_all()?;
        let path = folder.join(REFERENCE);
        let done = match replace {
            true => file.persist(path),
            false => file.persist_noclobber(path),
        };
        done.map(drop).map_err(|error| error.error)
    }

    /// The assets that are named, each with its share of their rows.
    pub fn shares(&self) -> impl Iterator<Item = (&str, f64)> {
        let all: u64 = self.rows_by_name.iter().sum();
        let even = 1.0 / self.names.len().max(1) as f64;
        let names = self.names.iter().enumerate();
        names.map(move |(at, name)| {
            let rows = self.rows_by_name.get(at).filter(|_| all > 0);
            (
                name.as_str(),
                rows.map_or(even, |rows| *rows as f64 / all as f64),
            )
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("its format is {}, not {FORMAT}", self.format));
        }
        if self.names.len() > MOST_NAMES {
            return Err(format!("it names more than {MOST_NAMES} assets"));
        }
        let of_names = self.rows_by_name.len();
        if of_names != 0 && of_names != self.names.len() {
            return Err(format!(
                "it has the rows of {of_names} assets, and names {}",
                self.names.len()
            ));
        }
        let all = self.features.iter().chain(&self.score);
        for of in all {
            of.check().map_err(|what| format!("{}: {what}", of.name))?;
        }
        Ok(())
    }

    /// With the features of the contract, in its order.
    fn fitted(mut self, contract: &Contract) -> Result<Self, ReferenceError> {
        let of = |name: &String| {
            let mut all = self.features.iter();
            let found = all.find(|of| of.name == *name).cloned();
            found.ok_or_else(|| ReferenceError::OtherModel(name.clone()))
        };
        let features: Result<Vec<_>, _> = contract.features.iter().map(of).collect();
        self.features = features?;
        Ok(self)
    }
}

impl Distribution {
    /// The bin of a value.
    pub fn bin(&self, value: f32) -> usize {
        self.edges.partition_point(|edge| *edge < value)
    }

    /// Rows in all bins.
    pub fn binned(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Of the rows with a value, the share that is in each bin.
    pub fn shares(&self) -> Vec<f64> {
        let all = self.binned().max(1) as f64;
        self.counts.iter().map(|n| *n as f64 / all).collect()
    }

    /// Of all rows, those without a value.
    pub fn missing_share(&self) -> f64 {
        self.missing as f64 / (self.rows + self.missing).max(1) as f64
    }

    fn check(&self) -> Result<(), String> {
        if !self.edges.iter().all(|edge| edge.is_finite())
            || !self.edges.windows(2).all(|pair| pair[0] < pair[1])
        {
            return Err("its edges do not rise".into());
        }
        if self.counts.len() != self.edges.len() + 1 {
            let (edges, counts) = (self.edges.len(), self.counts.len());
            return Err(format!("{edges} edges make one more bin, not {counts}"));
        }
        if self.binned() == 0 {
            return Err("no row has a value".into());
        }
        let numbers = [self.mean, self.sd, self.between, self.effective];
        if numbers.iter().any(|number| !number.is_finite()) || self.sd < 0.0 {
            return Err("a figure is no finite number".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(name: &str) -> Distribution {
        Distribution {
            name: name.into(),
            rows: 6,
            missing: 2,
            mean: 1.5,
            sd: 0.5,
            min: 1.0,
            max: 2.5,
            between: 0.0,
            effective: 6.0,
            edges: vec![1.0, 2.0],
            counts: vec![2, 3, 1],
        }
    }

    fn reference() -> Reference {
        let features = vec![distribution("b"), distribution("a")];
        let assets = vec![("pump-2".into(), 2), ("pump-1".into(), 6)];
        Reference::new(
            serde_json::json!({}),
            8,
            assets,
            features,
            Some(distribution("score")),
        )
    }

    fn contract(features: &[&str]) -> Contract {
        let features = serde_json::json!(features).to_string();
        let keys = [
            ("task", "custom"),
            ("outputs", "[\"y\"]"),
            ("features", features.as_str()),
        ];
        let keys = keys.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Contract::from_keys(&keys.into(), &["x".into()]).unwrap()
    }

    #[test]
    fn it_comes_back_in_the_order_of_the_features_and_is_not_replaced_by_accident() {
        let dir = tempfile::tempdir().unwrap();
        let of = contract(&["a", "b"]);
        assert_eq!(Reference::read(dir.path(), &of).unwrap(), None);
        reference().write(dir.path(), false).unwrap();
        let read = Reference::read(dir.path(), &of).unwrap().unwrap();
        let names: Vec<&str> = read.features.iter().map(|of| of.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(read.names, ["pump-1", "pump-2"]);
        let shares: Vec<_> = read.shares().collect();
        assert_eq!(shares, [("pump-1", 0.75), ("pump-2", 0.25)]);
        assert_eq!(read.score, reference().score);
        let again = reference().write(dir.path(), false).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        reference().write(dir.path(), true).unwrap();
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 1, "nothing else is left behind");

        let other = Reference::read(dir.path(), &contract(&["a", "c"])).unwrap_err();
        assert!(other.to_string().contains("no feature c"), "{other}");
    }

    #[test]
    fn what_is_no_reference_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let of = contract(&["a"]);
        let told = |change: &dyn Fn(&mut Reference)| {
            let mut wrong = reference();
            change(&mut wrong);
            wrong.write(dir.path(), true).unwrap();
            Reference::read(dir.path(), &of).unwrap_err().to_string()
        };
        let edges = |wrong: &mut Reference| wrong.features[1].edges = vec![2.0, 2.0];
        assert!(told(&edges).contains("a: its edges do not rise"));
        let bins = |wrong: &mut Reference| wrong.features[0].counts.truncate(2);
        assert!(told(&bins).contains("b: 2 edges make one more bin, not 2"));
        let format = |wrong: &mut Reference| wrong.format = 2;
        assert!(told(&format).contains("its format is 2"));
        let rows = |wrong: &mut Reference| wrong.rows_by_name.truncate(1);
        assert!(told(&rows).contains("the rows of 1 assets, and names 2"));
        let empty = |wrong: &mut Reference| wrong.features[0].counts = vec![0, 0, 0];
        assert!(told(&empty).contains("no row has a value"));
        std::fs::write(dir.path().join(REFERENCE), "{").unwrap();
        assert!(Reference::read(dir.path(), &of).is_err());
    }

    #[test]
    fn a_value_that_equals_an_edge_is_below_it() {
        let of = distribution("a");
        let bins = [0.0, 1.0, 1.1, 2.0, 2.1].map(|value| of.bin(value));
        assert_eq!(bins, [0, 0, 1, 1, 2]);
        assert_eq!(of.missing_share(), 0.25);
    }
}
