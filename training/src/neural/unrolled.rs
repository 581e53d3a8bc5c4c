//! An autoencoder of sequences: one LSTM reads them into its last state, a second one is given that state at every step and
//! writes them again.
//!
//! Source: P. Malhotra and others, *LSTM-based Encoder-Decoder for Multi-sensor Anomaly Detection*, 2016; here the decoder
//! goes forwards and is fed with the encoder's state instead of its own outputs, so that a wrong step spoils no later one.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::net::{Matrix, Net, Weights};
use crate::onnx::{Builder, Setting, Value};
use crate::random::Random;

const CELL: Cell = Cell::Lstm;

/// Its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unrolled {
    /// Steps of a sequence.
    pub length: usize,
    pub inputs: usize,
    /// Units of the encoder, which are the bottleneck.
    pub encoder: usize,
    pub decoder: usize,
    pub outputs: usize,
}

impl Unrolled {
    /// Sizes of both layers.
    fn layers(&self) -> [(usize, usize); 2] {
        [(self.inputs, self.encoder), (self.encoder, self.decoder)]
    }

    /// The same in a graph: from `input`, [L, B, inputs], to [L, B, outputs].
    pub fn export(&self, weights: &Weights, graph: &mut Builder, input: &str) -> Value {
        let (encoder, rest) = weights.0.split_at(CELL.matrices());
        let (decoder, dense) = rest.split_at(CELL.matrices());
        let [first, second] = self.layers();
        let settings = |units: usize| [("hidden_size", Setting::Int(units as i64))];
        let [w, r, b] = CELL.tables(encoder, first, graph);
        let inputs = [input, &w, &r, &b];
        // The last state, [1, B, units], once more for each step.
        let state = graph.others_of(CELL.operator(), &inputs, &settings(self.encoder), 1);
        let steps = graph.ints(&[self.length as i64, 1, 1]);
        let repeated = graph.node("Expand", &[&state[0], &steps], &[]);
        let [w, r, b] = CELL.tables(decoder, second, graph);
        let inputs = [repeated.as_str(), &w, &r, &b];
        // The states of all steps, [L, 1, B, units].
        let states = graph.node(CELL.operator(), &inputs, &settings(self.decoder));
        let direction = graph.ints(&[1]);
        let states = graph.node("Squeeze", &[&states, &direction], &[]);
        let matrix = graph.constant(&[self.decoder, self.outputs], &dense[0].values);
        let bias = graph.constant(&[self.outputs], &dense[1].values);
        let value = graph.node("MatMul", &[&states, &matrix], &[]);
        graph.node("Add", &[&value, &bias], &[])
    }
}

impl Net for Unrolled {
    fn begin(&self, random: &mut Random) -> Weights {
        let memory = self.length as f64;
        let [first, second] = self.layers();
        let mut matrices = CELL.begin(first, memory, random);
        matrices.extend(CELL.begin(second, memory, random));
        matrices.push(Matrix::even(
            self.decoder,
            self.outputs,
            self.decoder,
            random,
        ));
        matrices.push(Matrix::zeros(1, self.outputs));
        Weights(matrices)
    }

    fn forward(
        &self,
        weights: &[Tensor<2>],
        steps: Vec<Tensor<2>>,
        _: Option<&mut Random>,
    ) -> Tensor<2> {
        let (encoder, rest) = weights.split_at(CELL.matrices());
        let (decoder, dense) = rest.split_at(CELL.matrices());
        let mut states = CELL.layer(encoder, &steps, self.encoder);
        let last = states.pop().expect("a sequence has a step");
        let repeated = vec![last; steps.len()];
        let states = CELL.layer(decoder, &repeated, self.decoder);
        Tensor::cat(states, 0).matmul(dense[0].clone()) + dense[1].clone()
    }
}
