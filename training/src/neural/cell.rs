//! The cells of recurrent layers.
//!
//! LSTM: S. Hochreiter, J. Schmidhuber, *Long Short-Term Memory*, 1997, with the forget gate of F. Gers and others, 2000.
//! GRU: K. Cho and others, *Learning Phrase Representations using RNN Encoder-Decoder*, 2014, in the form that applies the
//! reset gate after the product (`linear_before_reset`), as cuDNN, PyTorch and Keras do.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use serde::{Deserialize, Serialize};

use super::net::Matrix;
use crate::onnx::{Builder, Value};
use crate::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    Lstm,
    Gru,
}

/// Gates in the order of ONNX: input, output, forget and cell of LSTM; update, reset and hidden of GRU.
impl Cell {
    fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// Matrices of a layer: for each gate those of input and state, and the bias of each.
    pub(super) fn matrices(self) -> usize {
        4 * self.gates()
    }

    pub(super) fn operator(self) -> &'static str {
        match self {
            Cell::Lstm => "LSTM",
            Cell::Gru => "GRU",
        }
    }

    /// The matrices of a layer to begin with. The units of an LSTM look back as far as `memory` rows: see
    /// [`super::Recurrent::memory`].
    pub(super) fn begin(
        self,
        (inputs, units): (usize, usize),
        memory: f64,
        random: &mut Random,
    ) -> Vec<Matrix> {
        let remembers: Vec<f32> = (0..units)
            .map(|_| (1.0 + random.unit() * (memory - 2.0).max(0.0)).ln() as f32)
            .collect();
        let mut matrices = Vec::with_capacity(self.matrices());
        for gate in 0..self.gates() {
            matrices.push(Matrix::even(inputs, units, units, random));
            matrices.push(Matrix::even(units, units, units, random));
            let mut bias = Matrix::zeros(1, units);
            if self == Cell::Lstm {
                match gate {
                    0 => bias.values = remembers.iter().map(|value| -value).collect(),
                    2 => bias.values.clone_from(&remembers),
                    _ => {}
                }
            }
            matrices.push(bias);
            matrices.push(Matrix::zeros(1, units));
        }
        matrices
    }

    /// The matrices of a layer as the operator's inputs W, R and B.
    pub(super) fn tables(
        self,
        own: &[Matrix],
        (inputs, units): (usize, usize),
        graph: &mut Builder,
    ) -> [Value; 3] {
        let gates = self.gates();
        let of_gates = |place: usize| {
            own.chunks_exact(4)
                .flat_map(move |gate| gate[place].transposed())
        };
        let w: Vec<f32> = of_gates(0).collect();
        let r: Vec<f32> = of_gates(1).collect();
        let b: Vec<f32> = of_gates(2).chain(of_gates(3)).collect();
        [
            graph.constant(&[1, gates * units, inputs], &w),
            graph.constant(&[1, gates * units, units], &r),
            graph.constant(&[1, 2 * gates * units], &b),
        ]
    }

    /// The states after each of `steps`, each [B, units], from zeros on.
    pub(super) fn layer(
        self,
        weights: &[Tensor<2>],
        steps: &[Tensor<2>],
        units: usize,
    ) -> Vec<Tensor<2>> {
        let device = steps[0].device();
        let rows = steps[0].dims()[0];
        let mut state = Tensor::zeros([rows, units], &device);
        let mut memory = state.clone();
        let gate = |place| Gate::of(weights, place);
        let mut states = Vec::with_capacity(steps.len());
        for step in steps {
            state = match self {
                Cell::Lstm => {
                    let [input, output, forget] =
                        [0, 1, 2].map(|g| sigmoid(gate(g).sum(step, &state)));
                    memory = forget * memory + input * gate(3).sum(step, &state).tanh();
                    output * memory.clone().tanh()
                }
                Cell::Gru => {
                    let [update, reset] = [0, 1].map(|g| sigmoid(gate(g).sum(step, &state)));
                    let hidden = gate(2);
                    let new = (hidden.of_input(step) + reset * hidden.of_state(&state)).tanh();
                    // update * state + (1 - update) * new
                    new.clone() + update * (state - new)
                }
            };
            states.push(state.clone());
        }
        states
    }
}

/// The matrices of one gate.
struct Gate<'a> {
    input: &'a Tensor<2>,
    state: &'a Tensor<2>,
    input_bias: &'a Tensor<2>,
    state_bias: &'a Tensor<2>,
}

impl<'a> Gate<'a> {
    fn of(weights: &'a [Tensor<2>], gate: usize) -> Self {
        let weights = &weights[4 * gate..];
        Gate {
            input: &weights[0],
            state: &weights[1],
            input_bias: &weights[2],
            state_bias: &weights[3],
        }
    }

    fn of_input(&self, step: &Tensor<2>) -> Tensor<2> {
        step.clone().matmul(self.input.clone()) + self.input_bias.clone()
    }

    fn of_state(&self, state: &Tensor<2>) -> Tensor<2> {
        state.clone().matmul(self.state.clone()) + self.state_bias.clone()
    }

    fn sum(&self, step: &Tensor<2>, state: &Tensor<2>) -> Tensor<2> {
        self.of_input(step) + self.of_state(state)
    }
}
