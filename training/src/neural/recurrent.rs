//! Recurrent layers, and dense ones from the state after each step to what is said there.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::net::{Matrix, Net, State, Weights, mask};
use crate::onnx::{Builder, Setting, Size, Value};
use crate::random::Random;

/// Its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recurrent {
    pub cell: Cell,
    /// Features of a step.
    pub inputs: usize,
    /// Units of each recurrent layer.
    pub hidden: Vec<usize>,
    /// Units of each dense layer before the outputs.
    pub dense: Vec<usize>,
    pub outputs: usize,
    /// Share of units that are dropped behind each layer while it learns.
    pub dropout: f64,
    /// Rows that the units of an LSTM can look back at before they have learnt anything: each unit up to a number of its
    /// own below that. C. Tallec, Y. Ollivier, *Can recurrent neural networks warp time?*, ICLR 2018.
    pub memory: f64,
}

impl Recurrent {
    /// Sizes of the inputs of the recurrent layers.
    fn widths(&self) -> impl Iterator<Item = (usize, usize)> {
        let inputs = std::iter::once(self.inputs).chain(self.hidden.iter().copied());
        inputs.zip(self.hidden.iter().copied())
    }

    /// Sizes of the dense layers, that of the outputs last.
    fn dense_sizes(&self) -> Vec<(usize, usize)> {
        let first = self.hidden.last().copied().unwrap_or(self.inputs);
        let inputs = std::iter::once(first).chain(self.dense.iter().copied());
        inputs
            .zip(self.dense.iter().copied().chain([self.outputs]))
            .collect()
    }

    /// One step in a graph: from `input`, [B, F], and the state that it leaves in states of its own, to the outputs,
    /// [B, outputs]. Names of states begin with `prefix`.
    pub fn export(
        &self,
        weights: &Weights,
        graph: &mut Builder,
        input: &str,
        prefix: &str,
    ) -> (Value, Vec<State>) {
        // Recurrent operators want [steps, B, F].
        let first = graph.ints(&[0]);
        let mut value = graph.node("Unsqueeze", &[input, &first], &[]);
        let (mut weights, mut states) = (weights.0.as_slice(), Vec::new());
        for (layer, (inputs, units)) in self.widths().enumerate() {
            let (own, rest) = weights.split_at(self.cell.matrices());
            weights = rest;
            let [w, r, b] = self.cell.tables(own, (inputs, units), graph);
            let size = ("hidden_size", Setting::Int(units as i64));
            let (names, settings): (&[&str], _) = match self.cell {
                Cell::Lstm => (&["state", "memory"], vec![size]),
                Cell::Gru => (
                    &["state"],
                    vec![size, ("linear_before_reset", Setting::Int(1))],
                ),
            };
            let names: Vec<String> = names
                .iter()
                .map(|name| format!("{prefix}{name}{layer}"))
                .collect();
            let shape = [Size::Batch, Size::Fixed(units)];
            let before: Vec<Value> = names
                .iter()
                .map(|name| {
                    let state = graph.input(&format!("{name}_in"), &shape);
                    graph.node("Unsqueeze", &[&state, &first], &[])
                })
                .collect();
            let mut inputs: Vec<&str> = vec![&value, &w, &r, &b, ""];
            inputs.extend(before.iter().map(String::as_str));
            // The first output is the states of all steps; the others are the last ones, [1, B, H].
            let after = graph.others_of(self.cell.operator(), &inputs, &settings, names.len());
            for (name, after) in names.iter().zip(&after) {
                let state = graph.node("Squeeze", &[after, &first], &[]);
                let (input, output) = (format!("{name}_in"), format!("{name}_out"));
                graph.output(&output, &state, &shape);
                states.push(State {
                    input,
                    output,
                    width: units,
                });
            }
            value.clone_from(&after[0]);
        }
        value = graph.node("Squeeze", &[&value, &first], &[]);
        let dense = self.dense_sizes();
        for (layer, ((inputs, units), weights)) in
            dense.iter().zip(weights.chunks_exact(2)).enumerate()
        {
            let matrix = graph.constant(&[*inputs, *units], &weights[0].values);
            let bias = graph.constant(&[*units], &weights[1].values);
            value = graph.node("Gemm", &[&value, &matrix, &bias], &[]);
            if layer + 1 < dense.len() {
                value = graph.node("Relu", &[&value], &[]);
            }
        }
        (value, states)
    }
}

impl Net for Recurrent {
    fn begin(&self, random: &mut Random) -> Weights {
        let mut matrices = Vec::new();
        for (inputs, units) in self.widths() {
            matrices.extend(self.cell.begin((inputs, units), self.memory, random));
        }
        for (inputs, units) in self.dense_sizes() {
            matrices.push(Matrix::even(inputs, units, inputs, random));
            matrices.push(Matrix::zeros(1, units));
        }
        // What is told of a machine of which nothing is known lies in the middle.
        if let Some(bias) = matrices.last_mut() {
            bias.values.fill(0.5);
        }
        Weights(matrices)
    }

    fn forward(
        &self,
        weights: &[Tensor<2>],
        steps: Vec<Tensor<2>>,
        mut random: Option<&mut Random>,
    ) -> Tensor<2> {
        let (mut steps, mut weights) = (steps, weights);
        let mut dropped = |shape: [usize; 2], device: &Device| {
            let random = random.as_deref_mut().filter(|_| self.dropout > 0.0)?;
            Some(mask(shape, self.dropout, random, device))
        };
        for (_, units) in self.widths() {
            let (own, rest) = weights.split_at(self.cell.matrices());
            weights = rest;
            steps = self.cell.layer(own, &steps, units);
            // One mask for all steps: Y. Gal, Z. Ghahramani, *A Theoretically Grounded Application of Dropout in
            // Recurrent Neural Networks*, 2016.
            if let Some(mask) = dropped(steps[0].dims(), &steps[0].device()) {
                steps
                    .iter_mut()
                    .for_each(|step| *step = step.clone() * mask.clone());
            }
        }
        let (count, size) = (steps.len(), steps[0].dims()[0]);
        let mut value = Tensor::cat(steps, 0);
        let dense = self.dense_sizes().len();
        for (layer, weights) in weights.chunks_exact(2).enumerate() {
            value = value.matmul(weights[0].clone()) + weights[1].clone();
            if layer + 1 < dense {
                value = relu(value);
                if let Some(mask) = dropped([size, value.dims()[1]], &value.device()) {
                    value = value * mask.repeat_dim(0, count);
                }
            }
        }
        value
    }
}
