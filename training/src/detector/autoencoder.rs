//! Autoencoders: what a network that has learnt to give rows of machines that are well back through a bottleneck does not
//! give back.
//!
//! ```text
//!   scaled rows │ one in the place of the regime ─▶ network ─▶ y        residual_f = (z_f − y_f) / what it misses of f in
//!                                                                                     rows that were learnt from
//! ```
//!
//! While it learns, some features of an example are those of another one, and the right ones must be given all the same
//! (P. Vincent and others, *Extracting and Composing Robust Features with Denoising Autoencoders*, 2008): a fault then shows
//! in its own signal.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::Scaled;
use crate::neural::{
    Batch, Checkpoint, Dense, Examples, Fitted, Loss, Net, Round, Settings as Learning, Stop,
    Unrolled, Weights, fit, predict,
};
use crate::onnx::{Builder, Value};
use crate::random::Random;

/// A feature that is given back nearly without an error is not divided by less than this, in its own deviations: what it
/// then missed would be rounding.
const LEAST_MISSED: f64 = 0.03;

/// `[trainer]` with `kind = "autoencoder"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct DenseSettings {
    /// Units of each layer between, the bottleneck among them.
    pub hidden: Vec<usize>,
    /// Share of the features of an example that are spoiled while it learns.
    pub spoiled: f64,
    #[serde(deserialize_with = "of_rows")]
    pub learning: Learning,
}

/// `[trainer]` with `kind = "lstm-autoencoder"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SequenceSettings {
    /// Rows of a sequence.
    pub length: usize,
    /// Units of the encoder, the bottleneck, and of the decoder.
    pub encoder: usize,
    pub decoder: usize,
    pub spoiled: f64,
    #[serde(deserialize_with = "of_sequences")]
    pub learning: Learning,
}

fn of_rows<'de, D: Deserializer<'de>>(from: D) -> Result<Learning, D::Error> {
    over(&DenseSettings::default().learning, from)
}

fn of_sequences<'de, D: Deserializer<'de>>(from: D) -> Result<Learning, D::Error> {
    over(&SequenceSettings::default().learning, from)
}

/// What is written, and for the rest these settings and not those of a recurrent network.
fn over<'de, D: Deserializer<'de>>(settings: &Learning, from: D) -> Result<Learning, D::Error> {
    let written = toml::Table::deserialize(from)?;
    let mut whole = toml::Table::try_from(settings).map_err(D::Error::custom)?;
    whole.extend(written);
    whole.try_into().map_err(D::Error::custom)
}

/// Small steps of many rows: one row says less than a life.
fn learning() -> Learning {
    Learning {
        steps: 4_000,
        batch: 128,
        rate: 3e-3,
        decay: 1e-4,
        round: 500,
        ..Learning::default()
    }
}

impl Default for DenseSettings {
    fn default() -> Self {
        DenseSettings {
            hidden: vec![64, 7, 64],
            spoiled: 0.1,
            learning: learning(),
        }
    }
}

impl Default for SequenceSettings {
    fn default() -> Self {
        SequenceSettings {
            length: 30,
            encoder: 16,
            decoder: 32,
            spoiled: 0.1,
            learning: Learning {
                steps: 1_000,
                batch: 64,
                round: 100,
                ..learning()
            },
        }
    }
}

/// A network of one of the two kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Network {
    Rows(Dense),
    Sequences(Unrolled),
}

/// A trained autoencoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Autoencoder {
    network: Network,
    weights: Weights,
    /// What is missed of each feature in rows that were learnt from: root mean square, in its own deviations.
    missed: Vec<f32>,
}

impl Network {
    fn net(&self) -> &dyn Net {
        match self {
            Network::Rows(net) => net,
            Network::Sequences(net) => net,
        }
    }

    fn length(&self) -> usize {
        match self {
            Network::Rows(_) => 1,
            Network::Sequences(net) => net.length,
        }
    }
}

impl Autoencoder {
    /// Learns single rows.
    ///
    /// # Errors
    /// As [`fit`].
    pub fn of_rows(
        rows: &Scaled,
        settings: &DenseSettings,
        checkpoint: Option<&Checkpoint>,
        on: impl Fn(usize, Round) -> bool,
    ) -> Result<(Self, Vec<Round>), Stop> {
        let network = Network::Rows(Dense {
            inputs: rows.inputs(),
            hidden: settings.hidden.clone(),
            outputs: rows.width,
        });
        Self::learn(
            network,
            rows,
            (&settings.learning, settings.spoiled),
            checkpoint,
            on,
        )
    }

    /// Learns sequences of rows that follow each other.
    ///
    /// # Errors
    /// As [`fit`].
    pub fn of_sequences(
        rows: &Scaled,
        settings: &SequenceSettings,
        checkpoint: Option<&Checkpoint>,
        on: impl Fn(usize, Round) -> bool,
    ) -> Result<(Self, Vec<Round>), Stop> {
        let network = Network::Sequences(Unrolled {
            length: settings.length,
            inputs: rows.inputs(),
            encoder: settings.encoder,
            decoder: settings.decoder,
            outputs: rows.width,
        });
        Self::learn(
            network,
            rows,
            (&settings.learning, settings.spoiled),
            checkpoint,
            on,
        )
    }

    fn learn(
        network: Network,
        rows: &Scaled,
        (learning, spoiled): (&Learning, f64),
        checkpoint: Option<&Checkpoint>,
        on: impl Fn(usize, Round) -> bool,
    ) -> Result<(Self, Vec<Round>), Stop> {
        let examples = Windows {
            rows,
            ends: rows.ends(network.length()),
            length: network.length(),
            spoiled,
        };
        let loss = Loss::Reconstruction {
            outputs: rows.width,
        };
        let Fitted {
            weights, rounds, ..
        } = fit(
            network.net(),
            (&examples, &loss),
            learning,
            checkpoint,
            |_| None,
            on,
        )?;
        let mut model = Autoencoder {
            network,
            weights,
            missed: vec![1.0; rows.width],
        };
        model.missed = model.measure(rows);
        Ok((model, rounds))
    }

    fn measure(&self, rows: &Scaled) -> Vec<f32> {
        let mut squares = vec![0.0; rows.width];
        let mut count = 0.0;
        for residuals in self.residuals(rows) {
            for residuals in residuals.chunks_exact(rows.width) {
                count += 1.0;
                for (sum, residual) in squares.iter_mut().zip(residuals) {
                    *sum += residual * residual;
                }
            }
        }
        let missed = squares
            .iter()
            .map(|sum| (sum / f64::max(count, 1.0)).sqrt());
        missed
            .map(|missed| missed.max(LEAST_MISSED) as f32)
            .collect()
    }

    /// Rows that are looked at together.
    pub fn length(&self) -> usize {
        self.network.length()
    }

    /// Of each row that has enough rows before it, the residuals of the rows that are looked at.
    pub fn residuals(&self, rows: &Scaled) -> Vec<Vec<f64>> {
        let length = self.length();
        let windows = Windows {
            rows,
            ends: rows.ends(length),
            length,
            spoiled: 0.0,
        };
        let lengths = vec![length; windows.len()];
        let said = predict(self.network.net(), &self.weights, &windows, &lengths);
        let residuals = windows.ends.iter().zip(said).map(|(&end, said)| {
            let first = end + 1 - length;
            let truth = (first..=end).flat_map(|row| rows.row(row));
            let missed = self.missed.iter().cycle();
            truth
                .zip(&said)
                .zip(missed)
                .map(|((z, y), missed)| f64::from((z - y) / missed))
                .collect()
        });
        residuals.collect()
    }

    /// The same in a graph: from inputs, [B, inputs] or [L, B, inputs], and scaled features of the same rows to residuals.
    pub fn export(&self, graph: &mut Builder, inputs: &str, scaled: &str) -> Value {
        let said = match &self.network {
            Network::Rows(net) => net.export(&self.weights, graph, inputs),
            Network::Sequences(net) => net.export(&self.weights, graph, inputs),
        };
        let missed = graph.constant(&[self.missed.len()], &self.missed);
        let apart = graph.node("Sub", &[scaled, &said], &[]);
        graph.node("Div", &[&apart, &missed], &[])
    }
}

/// Rows that follow each other, as examples.
struct Windows<'a> {
    rows: &'a Scaled,
    /// The last row of each.
    ends: Vec<usize>,
    length: usize,
    spoiled: f64,
}

impl Windows<'_> {
    /// For each feature of an example, whose it is while it learns: another one's, or its own.
    fn spoil(&self, random: &mut Random) -> Vec<Option<usize>> {
        let mut spoil = || {
            let is_spoiled = random.unit() < self.spoiled;
            is_spoiled.then(|| self.ends[random.below(self.ends.len())])
        };
        (0..self.rows.width).map(|_| spoil()).collect()
    }
}

impl Examples for Windows<'_> {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn fill(&self, places: &[usize], random: Option<&mut Random>, batch: &mut Batch) {
        let spoiled: Option<Vec<Vec<Option<usize>>>> =
            random.map(|random| places.iter().map(|_| self.spoil(random)).collect());
        batch.size = places.len();
        batch.targets.clear();
        batch.counts.clear();
        batch.steps.resize(self.length, Vec::new());
        for (step, values) in batch.steps.iter_mut().enumerate() {
            values.clear();
            let before = self.length - 1 - step;
            for (number, &place) in places.iter().enumerate() {
                let row = self.ends[place] - before;
                let begin = values.len();
                values.extend(self.rows.input(row));
                if let Some(spoiled) = &spoiled {
                    for (feature, other) in spoiled[number].iter().enumerate() {
                        if let Some(end) = other {
                            values[begin + feature] = self.rows.value(end - before, feature);
                        }
                    }
                }
                batch.targets.extend(self.rows.row(row));
                batch.counts.push(1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_of_the_learning_is_that_of_its_kind() {
        let rows: DenseSettings = toml::from_str("[learning]\nsteps = 7\n").unwrap();
        let expected = Learning {
            steps: 7,
            ..DenseSettings::default().learning
        };
        assert_eq!(rows.learning, expected);
        assert_eq!(rows.learning.batch, 128);
        let sequences: SequenceSettings = toml::from_str("[learning]\nrate = 0.01\n").unwrap();
        assert_eq!(
            (sequences.learning.batch, sequences.learning.rate),
            (64, 0.01)
        );
        assert!(toml::from_str::<DenseSettings>("[learning]\nlayers = 7\n").is_err());
        assert_eq!(
            toml::from_str::<DenseSettings>("").unwrap(),
            DenseSettings::default()
        );
    }
}
