//! A dense autoencoder: layers with tanh between, and a linear one that gives the features back.
//!
//! Source: M. Kramer, *Nonlinear principal component analysis using autoassociative neural networks*, AIChE Journal, 1991.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::net::{Matrix, Net, Weights};
use crate::onnx::{Builder, Value};
use crate::random::Random;

/// Its sizes. A row is a sequence of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dense {
    pub inputs: usize,
    /// Units of each layer between; the smallest one is the bottleneck.
    pub hidden: Vec<usize>,
    pub outputs: usize,
}

impl Dense {
    fn sizes(&self) -> impl Iterator<Item = (usize, usize)> {
        let inputs = std::iter::once(self.inputs).chain(self.hidden.iter().copied());
        inputs.zip(self.hidden.iter().copied().chain([self.outputs]))
    }

    /// The same in a graph: from `input`, [B, inputs], to [B, outputs].
    pub fn export(&self, weights: &Weights, graph: &mut Builder, input: &str) -> Value {
        let mut value = input.to_owned();
        for (layer, ((inputs, units), weights)) in
            self.sizes().zip(weights.0.chunks_exact(2)).enumerate()
        {
            let matrix = graph.constant(&[inputs, units], &weights[0].values);
            let bias = graph.constant(&[units], &weights[1].values);
            value = graph.node("Gemm", &[&value, &matrix, &bias], &[]);
            if layer < self.hidden.len() {
                value = graph.node("Tanh", &[&value], &[]);
            }
        }
        value
    }
}

impl Net for Dense {
    fn begin(&self, random: &mut Random) -> Weights {
        let layers = self.sizes().flat_map(|(inputs, units)| {
            [
                Matrix::even(inputs, units, inputs, random),
                Matrix::zeros(1, units),
            ]
        });
        Weights(layers.collect())
    }

    fn forward(
        &self,
        weights: &[Tensor<2>],
        steps: Vec<Tensor<2>>,
        _: Option<&mut Random>,
    ) -> Tensor<2> {
        let mut value = Tensor::cat(steps, 0);
        for (layer, weights) in weights.chunks_exact(2).enumerate() {
            value = value.matmul(weights[0].clone()) + weights[1].clone();
            if layer < self.hidden.len() {
                value = value.tanh();
            }
        }
        value
    }
}
