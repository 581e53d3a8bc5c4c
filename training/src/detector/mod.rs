//! Models of the normal state: what is far from it is an anomaly. They learn from rows of machines that are well, and need no
//! example of a fault.
//!
//! ```text
//!   rows that are normal ─▶ scaling, per regime ─▶ one of                           ┌ score = mean over all numbers of
//!                                                  pca           residual ──────────┤ residual², and each feature's part
//!                                                  autoencoder   residual ──────────┘ of it
//!                                                  mixture       score
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `pca.rs` | principal components: T², Q, or both |
//! | `mixture.rs` | a mixture of normal distributions |
//! | `autoencoder.rs` | networks that give rows, or sequences of them, back through a bottleneck |
//! | `scaled.rs` | rows as these see them |
//!
//! Invariant: [`Detector::scores`] and the graph of [`Detector::export`] say the same of each row.
//!
//! Not here: which rows are normal (`episodes.rs`), the threshold (`threshold.rs`), whether it is better than what serves.

mod autoencoder;
mod mixture;
mod pca;
mod scaled;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use autoencoder::{Autoencoder, DenseSettings, SequenceSettings};
pub use mixture::{Mixture, Settings as MixtureSettings};
pub use pca::{Index, Pca, Settings as PcaSettings};
pub use scaled::Scaled;

use crate::neural::{Checkpoint, Round, Settings, Stop};
use crate::onnx::{Builder, Setting, Size, Value};
use crate::rows::Rows;
use crate::scaling::Scaling;

#[derive(Debug, thiserror::Error)]
pub enum DetectorError {
    #[error("the features of the rows do not vary, so they have no components")]
    NoComponents,
    #[error(
        "trainer.index = \"q\" is what leaves the components that are kept, and all of them are: make trainer.explains smaller"
    )]
    NothingOffPlane,
    #[error(
        "no mixture was found ({reason}): take fewer trainer.components, or leave features out that hardly vary"
    )]
    Mixture { reason: String },
    #[error(transparent)]
    Network(#[from] Stop),
}

/// What a recipe says of it: `[trainer]`, by its `kind`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Trainer {
    Pca(PcaSettings),
    Mixture(MixtureSettings),
    Autoencoder(DenseSettings),
    LstmAutoencoder(SequenceSettings),
}

impl Trainer {
    /// Rounds of its training; 0: it is no network.
    pub fn rounds(&self) -> u64 {
        let rounds = |learning: &Settings| learning.steps.div_ceil(learning.round) as u64;
        match self {
            Trainer::Pca(_) | Trainer::Mixture(_) => 0,
            Trainer::Autoencoder(settings) => rounds(&settings.learning),
            Trainer::LstmAutoencoder(settings) => rounds(&settings.learning),
        }
    }

    /// In words, for a card.
    pub fn describe(&self) -> String {
        match self {
            Trainer::Pca(settings) => {
                let index = match settings.index {
                    Index::Combined => "T² and Q, each over its limit",
                    Index::T2 => "T²",
                    Index::Q => "Q",
                };
                format!(
                    "principal components that hold {:.0} % of the variance ({index})",
                    settings.explains * 100.0
                )
            }
            Trainer::Mixture(settings) => {
                format!("a mixture of {} normal distributions", settings.components)
            }
            Trainer::Autoencoder(settings) => {
                format!("an autoencoder of single rows, {:?} units", settings.hidden)
            }
            Trainer::LstmAutoencoder(settings) => format!(
                "an autoencoder of {} rows, LSTM of {} and {} units",
                settings.length, settings.encoder, settings.decoder
            ),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Pca(Pca),
    Mixture(Mixture),
    Autoencoder(Autoencoder),
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    pub scaling: Scaling,
    kind: Kind,
}

/// Where a training is written down, and who is told of its rounds.
pub struct Watched<'a> {
    /// A file for the checkpoint, and what it must be of.
    pub checkpoint: Option<(&'a Path, &'a str)>,
    /// Is told of each round, and says whether to go on.
    pub on: &'a dyn Fn(usize, Round) -> bool,
}

/// A detector, and the rounds of its training if it has any.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    pub detector: Detector,
    pub rounds: Vec<Round>,
}

impl Detector {
    /// Learns from `rows`, which are taken for normal; each entry of `rows.assets` is a stretch that hangs together.
    ///
    /// # Errors
    /// When these rows give no such model, or the training is told to stop.
    pub fn fit(
        rows: &Rows,
        scaling: Scaling,
        trainer: &Trainer,
        seed: u64,
        watched: &Watched<'_>,
    ) -> Result<Trained, DetectorError> {
        let scaled = Scaled::new(rows, &scaling);
        let checkpoint = watched.checkpoint;
        let checkpoint = checkpoint.map(|(path, fingerprint)| Checkpoint::new(path, fingerprint));
        let checkpoint = checkpoint.as_ref();
        let mut rounds = Vec::new();
        let kind = match trainer {
            Trainer::Pca(settings) => Kind::Pca(Pca::fit(&scaled.values, scaled.width, settings)?),
            Trainer::Mixture(settings) => {
                Kind::Mixture(Mixture::fit(&scaled.values, scaled.width, settings, seed)?)
            }
            Trainer::Autoencoder(settings) => {
                let fitted = Autoencoder::of_rows(&scaled, settings, checkpoint, watched.on)?;
                rounds = fitted.1;
                Kind::Autoencoder(fitted.0)
            }
            Trainer::LstmAutoencoder(settings) => {
                let fitted = Autoencoder::of_sequences(&scaled, settings, checkpoint, watched.on)?;
                rounds = fitted.1;
                Kind::Autoencoder(fitted.0)
            }
        };
        Ok(Trained {
            detector: Detector { scaling, kind },
            rounds,
        })
    }

    /// Rows that are looked at for one score: the first of them have none.
    pub fn length(&self) -> usize {
        match &self.kind {
            Kind::Autoencoder(model) => model.length(),
            _ => 1,
        }
    }

    /// The trainer's own scores: of each row of each stretch from the `length`-th on.
    pub fn scores(&self, rows: &Rows) -> Vec<f64> {
        let scaled = Scaled::new(rows, &self.scaling);
        let features = self.scaling.features() as f64;
        let width = scaled.width;
        match &self.kind {
            Kind::Pca(pca) => {
                let mut root = Vec::new();
                let scores = scaled.values.chunks_exact(width).map(|row| {
                    root.clear();
                    pca.apply(row, &mut root);
                    root.iter().map(|value| value * value).sum()
                });
                scores.collect()
            }
            Kind::Mixture(mixture) => {
                let rows = scaled.values.chunks_exact(width);
                rows.map(|row| mixture.score(row)).collect()
            }
            Kind::Autoencoder(model) => {
                let count = model.length() as f64 * features;
                let residuals = model.residuals(&scaled).into_iter();
                let sum = |residuals: Vec<f64>| residuals.iter().map(|r| r * r).sum::<f64>();
                residuals.map(|residuals| sum(residuals) / count).collect()
            }
        }
    }

    /// The graph, with `metadata` and the keys of its contract that the graph decides.
    pub fn export(&self, name: &str, metadata: Vec<(String, String)>) -> Vec<u8> {
        let mut graph = Builder::new(name);
        let (features, length) = (self.scaling.features(), self.length());
        let shape = match length {
            1 => vec![Size::Batch, Size::Fixed(features)],
            _ => vec![Size::Batch, Size::Fixed(length), Size::Fixed(features)],
        };
        let rows = graph.input("rows", &shape);
        let (key, output) = match &self.kind {
            Kind::Pca(pca) => {
                let (scaled, _) = self.scaling.export(&mut graph, &rows);
                let root = residual_root(pca, self.scaling.width(), features);
                let root = graph.constant(&[self.scaling.width(); 2], &root);
                let residual = graph.node("MatMul", &[&scaled, &root], &[]);
                ("residual", self.spread(&mut graph, &residual))
            }
            Kind::Mixture(mixture) => {
                let (scaled, _) = self.scaling.export(&mut graph, &rows);
                ("score", mixture.export(&mut graph, &scaled))
            }
            Kind::Autoencoder(model) => {
                let residual = self.export_autoencoder(model, &mut graph, &rows);
                ("residual", residual)
            }
        };
        let shape = match key {
            "score" => vec![Size::Batch, Size::Fixed(1)],
            _ => shape,
        };
        graph.output(key, &output, &shape);
        let mut keys = vec![
            ("forewarn.input".to_owned(), "rows".to_owned()),
            (format!("forewarn.output.{key}"), key.to_owned()),
        ];
        if length > 1 {
            keys.push(("forewarn.sequence-length".to_owned(), length.to_string()));
            keys.push(("forewarn.padding".to_owned(), "none".to_owned()));
        }
        keys.extend(metadata);
        graph.finish(&keys)
    }

    fn export_autoencoder(&self, model: &Autoencoder, graph: &mut Builder, rows: &str) -> Value {
        let (features, length) = (self.scaling.features() as i64, model.length() as i64);
        let reshape = |graph: &mut Builder, value: &str, shape: &[i64]| {
            let shape = graph.ints(shape);
            graph.node("Reshape", &[value, &shape], &[])
        };
        let transpose = |graph: &mut Builder, value: &str| {
            graph.node(
                "Transpose",
                &[value],
                &[("perm", Setting::Ints(&[1, 0, 2]))],
            )
        };
        let flat = match length {
            1 => rows.to_owned(),
            _ => reshape(graph, rows, &[-1, features]),
        };
        let (scaled, regime) = self.scaling.export(graph, &flat);
        let inputs = match &regime {
            Some(regime) => {
                let settings = [("axis", Setting::Int(1))];
                graph.node("Concat", &[&scaled, regime], &settings)
            }
            None => scaled.clone(),
        };
        if length == 1 {
            let residual = model.export(graph, &inputs, &scaled);
            return self.spread(graph, &residual);
        }
        // LSTM wants [L, B, numbers].
        let width = self.scaling.width() as i64;
        let numbers = width + regime.map_or(0, |_| self.scaling.regimes() as i64);
        let [inputs, scaled] = [(&inputs, numbers), (&scaled, width)].map(|(value, numbers)| {
            let sequences = reshape(graph, value, &[-1, length, numbers]);
            transpose(graph, &sequences)
        });
        let residual = model.export(graph, &inputs, &scaled);
        let residual = transpose(graph, &residual);
        self.spread(graph, &residual)
    }

    /// From numbers of the scaled features to those of all, which have none where they make the regime.
    fn spread(&self, graph: &mut Builder, residual: &str) -> Value {
        let (width, features) = (self.scaling.width(), self.scaling.features());
        if width == features {
            return residual.to_owned();
        }
        let mut matrix = vec![0.0; width * features];
        for (row, place) in self.scaling.scaled().iter().enumerate() {
            matrix[row * features + place] = 1.0;
        }
        let matrix = graph.constant(&[width, features], &matrix);
        graph.node("MatMul", &[residual, &matrix], &[])
    }
}

/// The root of the index, made so much larger that the mean of the squares over all features is the index.
fn residual_root(pca: &Pca, width: usize, features: usize) -> Vec<f32> {
    let scale = (features as f64).sqrt();
    let root = pca
        .root
        .iter()
        .map(|value| (f64::from(*value) * scale) as f32);
    // It is symmetric, so rows times it are it times rows.
    debug_assert_eq!(pca.root.len(), width * width);
    root.collect()
}

/// The value that a share of `values` is not above: of them, the smallest such.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (share * values.len() as f64).ceil() as usize;
    let place = place.clamp(1, values.len().max(1)) - 1;
    values.get(place).copied().unwrap_or(0.0)
}
