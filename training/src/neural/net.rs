//! What the training of every network needs to know of it: its matrices, its forward pass, its nodes.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::onnx::Value;
use crate::random::Random;

/// Sequences at once when nothing is learnt.
const PREDICTED: usize = 64;

/// The matrices of a network, row-major, in an order that the network knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weights(pub Vec<Matrix>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f32>,
}

/// Sequences, and what is to be said at each of their steps.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    /// How many sequences there are.
    pub size: usize,
    /// For each step, oldest first, a matrix [size, F]. Behind the end of a shorter sequence stands anything finite.
    pub steps: Vec<Vec<f32>>,
    /// For each step and sequence, one number or a row of them.
    pub targets: Vec<f32>,
    /// How much each target counts; 0: not at all.
    pub counts: Vec<f32>,
}

/// Where batches come from.
pub trait Examples: Sync {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `batch` with the sequences at `places`. With `random` they are changed as training wants it; without, they
    /// are what they are.
    fn fill(&self, places: &[usize], random: Option<&mut Random>, batch: &mut Batch);
}

/// A network, without its weights.
pub trait Net: Sync {
    /// Weights to begin with.
    fn begin(&self, random: &mut Random) -> Weights;

    /// From steps [B, F] to what it says at each of them, [steps * B, outputs]. With `random`, units are dropped as
    /// training wants it.
    fn forward(
        &self,
        weights: &[Tensor<2>],
        steps: Vec<Tensor<2>>,
        random: Option<&mut Random>,
    ) -> Tensor<2>;
}

/// A state of a recurrent network in a graph: the input, the output that holds it afterwards, and its width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub input: Value,
    pub output: Value,
    pub width: usize,
}

/// What `net` says at each step of the sequences of `examples`, which are as long as `lengths`: for each sequence the
/// outputs of its steps, row-major.
pub fn predict(
    net: &dyn Net,
    weights: &Weights,
    examples: &dyn Examples,
    lengths: &[usize],
) -> Vec<Vec<f32>> {
    let device = Device::flex();
    let weights = weights.tensors(&device);
    let mut batch = Batch::default();
    let mut said = vec![Vec::new(); examples.len()];
    // Those of about one length together: what stands behind the end of a sequence is computed for nothing.
    let mut places: Vec<usize> = (0..examples.len()).collect();
    places.sort_by_key(|&place| lengths[place]);
    for places in places.chunks(PREDICTED) {
        examples.fill(places, None, &mut batch);
        let all = net.forward(&weights, batch.tensors(&device), None);
        let outputs = all.dims()[1];
        let all = values(all);
        for (row, outputs) in all.chunks_exact(outputs).enumerate() {
            let (step, place) = (row / places.len(), places[row % places.len()]);
            if step < lengths[place] {
                said[place].extend_from_slice(outputs);
            }
        }
    }
    said
}

/// What is made small: means over all targets that count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Loss {
    /// The squared error of one output.
    Squared,
    /// Three outputs: a low quantile, the mean, a high quantile. The mean by its squared error, and the quantiles by
    /// their tilted absolute error (R. Koenker, G. Bassett, *Regression Quantiles*, 1978), `share` as much.
    Interval { low: f64, high: f64, share: f64 },
    /// The mean squared error of so many outputs, each with a target of its own.
    Reconstruction { outputs: usize },
}

impl Loss {
    /// Numbers that a network gives for each target.
    pub fn outputs(&self) -> usize {
        match self {
            Loss::Squared => 1,
            Loss::Interval { .. } => 3,
            Loss::Reconstruction { outputs } => *outputs,
        }
    }

    /// Of `outputs` [n, outputs] at `targets` [n, targets of a row] and `counts` [n, 1].
    pub(super) fn of(
        &self,
        outputs: &Tensor<2>,
        targets: &Tensor<2>,
        counts: &Tensor<2>,
    ) -> Tensor<1> {
        let error = |column: usize| targets.clone() - outputs.clone().narrow(1, column, 1);
        let loss = match self {
            Loss::Squared => error(0).square(),
            Loss::Interval { low, high, share } => {
                let tilted = |level: f64, error: Tensor<2>| {
                    relu(error.clone()).mul_scalar(level) + relu(-error).mul_scalar(1.0 - level)
                };
                let quantiles = tilted(*low, error(0)) + tilted(*high, error(2));
                error(1).square() + quantiles.mul_scalar(*share)
            }
            Loss::Reconstruction { .. } => (targets.clone() - outputs.clone()).square().mean_dim(1),
        };
        (loss * counts.clone()).sum() / counts.clone().sum()
    }
}

impl Weights {
    pub(super) fn tensors(&self, device: &Device) -> Vec<Tensor<2>> {
        let tensor = |matrix: &Matrix| {
            let shape = [matrix.rows, matrix.columns];
            Tensor::from_data(TensorData::new(matrix.values.clone(), shape), device)
        };
        self.0.iter().map(tensor).collect()
    }

    pub(super) fn of(tensors: &[Tensor<2>]) -> Self {
        let matrix = |tensor: &Tensor<2>| {
            let [rows, columns] = tensor.dims();
            Matrix {
                rows,
                columns,
                values: values(tensor.clone()),
            }
        };
        Weights(tensors.iter().map(matrix).collect())
    }
}

impl Matrix {
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Matrix {
            rows,
            columns,
            values: vec![0.0; rows * columns],
        }
    }

    /// Evenly within ±1/√`inputs`: Y. LeCun and others, *Efficient BackProp*, 1998, with a third of its variance, as
    /// PyTorch has it.
    pub fn even(rows: usize, columns: usize, inputs: usize, random: &mut Random) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        let values = (0..rows * columns).map(|_| (bound * (2.0 * random.unit() - 1.0)) as f32);
        Matrix {
            rows,
            columns,
            values: values.collect(),
        }
    }

    /// Rows become columns.
    pub fn transposed(&self) -> Vec<f32> {
        let value = |row: usize, column: usize| self.values[row * self.columns + column];
        let columns = 0..self.columns;
        columns
            .flat_map(|column| (0..self.rows).map(move |row| (row, column)))
            .map(|(row, column)| value(row, column))
            .collect()
    }
}

impl Batch {
    pub(super) fn tensors(&self, device: &Device) -> Vec<Tensor<2>> {
        let step = |step: &Vec<f32>| {
            let shape = [self.size, step.len() / self.size];
            Tensor::from_data(TensorData::new(step.clone(), shape), device)
        };
        self.steps.iter().map(step).collect()
    }

    /// Targets, [steps * B, targets of a row], and how much they count, [steps * B, 1].
    pub(super) fn targets(&self, device: &Device) -> [Tensor<2>; 2] {
        let rows = self.counts.len();
        let matrix = |values: &Vec<f32>| {
            let shape = [rows, values.len() / rows.max(1)];
            Tensor::from_data(TensorData::new(values.clone(), shape), device)
        };
        [matrix(&self.targets), matrix(&self.counts)]
    }
}

/// Row-major.
pub(super) fn values(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap_or_default()
}

/// Ones that are left, made larger by what is dropped, and zeros: N. Srivastava and others, *Dropout*, JMLR 2014.
pub(super) fn mask(
    shape: [usize; 2],
    dropped: f64,
    random: &mut Random,
    device: &Device,
) -> Tensor<2> {
    let kept = (1.0 / (1.0 - dropped)) as f32;
    let values = (0..shape[0] * shape[1]).map(|_| if random.unit() < dropped { 0.0 } else { kept });
    Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), device)
}
