//! The state of a recurrent model: which tensors of the graph hold it, and how it lies in memory.
//!
//! ```text
//!   state of one asset       | c_in | h_in |              `len` values, pairs in the contract's order
//!   in a batch of B assets   c_in [outer, B, inner], h_in [outer, B, inner]
//!                            PyTorch: [layers, B, hidden]; others: [B, hidden], outer being 1
//! ```
//!
//! A graph with a fixed batch has it in its states too; copies of the last row fill it up.
//!
//! Invariant: packing and unpacking move values and never change one. That is why a state is f32, or f16,
//! which f32 holds exactly.
//!
//! Not here: running the graph (`scorer.rs`), keeping states between batches (the `pipeline` crate).

use std::borrow::Cow;
use std::ops::Range;

use ort::session::{SessionInputValue, SessionOutputs};

use crate::contract::{Contract, StatePair};
use crate::element::Element;
use crate::outputs::{self, Values};
use crate::scorer::ScoreError;
use crate::signature::{self, Signature, Tensor};

/// All state tensors of a graph; none for a model without state.
#[derive(Debug, Default)]
pub(crate) struct States {
    tensors: Vec<StateTensor>,
    len: usize,
    fixed_batch: Option<usize>,
}

#[derive(Debug)]
struct StateTensor {
    pair: StatePair,
    element: Element,
    /// The graph's shape; the size at `batch_axis` is that of the next run.
    shape: Vec<usize>,
    batch_axis: usize,
    /// Where it begins in the state of one asset.
    offset: usize,
    /// What the next run is fed with.
    packed: Vec<f32>,
}

impl States {
    /// The state tensors that the contract means.
    ///
    /// # Errors
    /// Everything in which the graph's tensors can't be a state, each with its remedy.
    pub fn of(
        signature: &Signature,
        contract: &Contract,
        fixed_batch: Option<usize>,
    ) -> Result<Self, Vec<String>> {
        let mut states = States {
            fixed_batch,
            ..States::default()
        };
        let mut problems = Vec::new();
        for pair in &contract.state {
            match StateTensor::try_new(pair, signature, states.len, fixed_batch) {
                Ok(tensor) => {
                    states.len += tensor.len();
                    states.tensors.push(tensor);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(states)
        } else {
            Err(problems)
        }
    }

    /// Values of the state of one asset.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes over the states of the next run, asset by asset.
    pub fn pack(&mut self, state: &[f32], rows: usize) {
        let batch = self.fixed_batch.unwrap_or(rows);
        for tensor in &mut self.tensors {
            tensor.pack(state, rows, batch, self.len);
        }
    }

    /// The packed tensors with the names of their inputs.
    pub fn inputs(
        &self,
    ) -> impl Iterator<Item = Result<(&str, SessionInputValue<'_>), ort::Error>> {
        self.tensors.iter().map(|tensor| {
            let values = Cow::Borrowed(tensor.packed.as_slice());
            let value = tensor.element.tensor(tensor.shape.clone(), values)?;
            Ok((tensor.pair.input.as_str(), value))
        })
    }

    /// The new states of a run over `rows` rows, as the graph gives them.
    pub fn outputs<'o>(
        &self,
        outputs: &'o SessionOutputs<'_>,
        rows: usize,
    ) -> Result<Vec<Cow<'o, [f32]>>, ScoreError> {
        let batch = self.fixed_batch.unwrap_or(rows);
        let tensors = self.tensors.iter();
        tensors
            .map(|tensor| tensor.output(outputs, batch))
            .collect()
    }

    /// Clears `finite` for each row with a value in `new` that is not.
    pub fn check(&self, new: &[Cow<'_, [f32]>], finite: &mut [bool]) {
        let batch = self.fixed_batch.unwrap_or(finite.len());
        for (tensor, new) in self.tensors.iter().zip(new) {
            for (row, finite) in finite.iter_mut().enumerate() {
                let mut pieces = tensor.pieces(row, batch);
                *finite &= pieces.all(|(at, _)| new[at].iter().all(|value| value.is_finite()));
            }
        }
    }

    /// Writes the new states of the rows in `keep` over the old ones.
    pub fn unpack(&self, new: &[Cow<'_, [f32]>], keep: &[bool], state: &mut [f32]) {
        let batch = self.fixed_batch.unwrap_or(keep.len());
        for (tensor, new) in self.tensors.iter().zip(new) {
            for (row, state) in state.chunks_exact_mut(self.len).enumerate() {
                if keep[row] {
                    for (at, own) in tensor.pieces(row, batch) {
                        state[own].copy_from_slice(&new[at]);
                    }
                }
            }
        }
    }
}

impl StateTensor {
    fn try_new(
        pair: &StatePair,
        signature: &Signature,
        offset: usize,
        fixed_batch: Option<usize>,
    ) -> Result<Self, String> {
        let StatePair { input, output } = pair;
        let find = |tensors: &[Tensor], name: &str, side: &str| {
            let found = tensors.iter().find(|tensor| tensor.name == name).cloned();
            found.ok_or_else(|| {
                format!(
                    "forewarn.state.{input} needs the {side} {name}, but the graph's {side}s are {}",
                    signature::names(tensors)
                )
            })
        };
        let old = find(&signature.inputs, input, "input")?;
        let new = find(&signature.outputs, output, "output")?;
        let keeps = |tensor: &Tensor| matches!(tensor.element, Element::F32 | Element::F16);
        if let Some(tensor) = [&old, &new].into_iter().find(|tensor| !keeps(tensor)) {
            return Err(format!(
                "state tensor {tensor} must be f32 or f16: add a Cast to the graph"
            ));
        }
        if old.element != new.element {
            return Err(format!(
                "state output {new} is not of the type of its input {old}: add a Cast to the graph"
            ));
        }
        let batch_axis = batch_axis(&old, fixed_batch)?;
        if old.shape.contains(&0) {
            return Err(format!(
                "state input {old} holds no values: drop forewarn.state.{input}, or export the graph again"
            ));
        }
        if !agree(&old.shape, &new.shape) {
            return Err(format!(
                "state output {new} does not have the shape of its input {old}: \
                 correct forewarn.state.{input}, or export the graph again with one dynamic batch for both"
            ));
        }
        Ok(StateTensor {
            pair: pair.clone(),
            element: old.element,
            // A dynamic dimension is negative; the batch gets its size when packed.
            shape: old
                .shape
                .iter()
                .map(|dim| usize::try_from(*dim).unwrap_or(1))
                .collect(),
            batch_axis,
            offset,
            packed: Vec::new(),
        })
    }

    fn outer(&self) -> usize {
        self.shape[..self.batch_axis].iter().product()
    }

    fn inner(&self) -> usize {
        self.shape[self.batch_axis + 1..].iter().product()
    }

    fn len(&self) -> usize {
        self.outer() * self.inner()
    }

    fn pack(&mut self, state: &[f32], rows: usize, batch: usize, state_len: usize) {
        self.shape[self.batch_axis] = batch;
        // Not cleared first: every value is overwritten.
        self.packed.resize(batch * self.len(), 0.0);
        let mut packed = std::mem::take(&mut self.packed);
        for row in 0..batch {
            let state = &state[row.min(rows - 1) * state_len..][..state_len];
            for (at, own) in self.pieces(row, batch) {
                packed[at].copy_from_slice(&state[own]);
            }
        }
        self.packed = packed;
    }

    fn output<'o>(
        &self,
        outputs: &'o SessionOutputs<'_>,
        batch: usize,
    ) -> Result<Cow<'o, [f32]>, ScoreError> {
        let name = &self.pair.output;
        let values = outputs::numbers(&outputs[name.as_str()], &self.element);
        let values = values.map_err(|source| ScoreError::Run {
            rows: batch,
            source,
        })?;
        match values {
            Values::F32(values) if values.len() == batch * self.len() => Ok(values),
            other => Err(ScoreError::OutputSize {
                output: name.clone(),
                actual: other.len(),
                expected: batch * self.len(),
                rows: batch,
            }),
        }
    }

    /// Where the contiguous pieces of one row of a batch lie: in the tensor, and in the asset's state.
    fn pieces(
        &self,
        row: usize,
        batch: usize,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<> {
        let (inner, offset) = (self.inner(), self.offset);
        (0..self.outer()).map(move |outer| {
            let at = (outer * batch + row) * inner;
            let own = offset + outer * inner;
            (at..at + inner, own..own + inner)
        })
    }
}

/// The axis of the batch: the only one that may vary, or a row's state would have no fixed size. Of a graph
/// with a fixed batch it is the only one of that size; for one row it does not matter which of size 1.
fn batch_axis(tensor: &Tensor, fixed_batch: Option<usize>) -> Result<usize, String> {
    let mut dynamic = (0..tensor.shape.len()).filter(|axis| tensor.shape[*axis] < 0);
    match (dynamic.next(), dynamic.next()) {
        (Some(axis), None) => Ok(axis),
        (None, _) => {
            let batch = fixed_batch.and_then(|batch| i64::try_from(batch).ok());
            let sized = |axis: &usize| Some(tensor.shape[*axis]) == batch;
            let mut fixed = (0..tensor.shape.len()).filter(sized);
            match (fixed.next(), fixed.next()) {
                (Some(axis), None) => Ok(axis),
                (Some(axis), _) if batch == Some(1) => Ok(axis),
                _ => Err(format!(
                    "state input {tensor} has a fixed batch: export it with a dynamic batch dimension"
                )),
            }
        }
        _ => Err(format!(
            "state input {tensor} has several dynamic dimensions: export it with only the batch dynamic"
        )),
    }
}

/// Does a new state fit where it is fed next? Exporters often lose sizes of outputs, so any of them may
/// be unknown, which the probe then measures; a known batch is a fixed one.
fn agree(input: &[i64], output: &[i64]) -> bool {
    input.len() == output.len()
        && input
            .iter()
            .zip(output)
            .all(|(input, output)| *output < 0 || output == input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_in_the_middle_is_packed_and_unpacked() {
        // Two layers of two values for three assets, behind one value of another tensor.
        let tensor = |shape: &[usize], batch_axis, offset| StateTensor {
            pair: StatePair {
                input: String::new(),
                output: String::new(),
            },
            element: Element::F32,
            shape: shape.into(),
            batch_axis,
            offset,
            packed: Vec::new(),
        };
        let mut states = States {
            fixed_batch: None,
            tensors: vec![tensor(&[1, 1], 0, 0), tensor(&[2, 1, 2], 1, 1)],
            len: 5,
        };
        let state: Vec<f32> = (0..15).map(|value| value as f32).collect();
        states.pack(&state, 3);
        assert_eq!(states.tensors[0].packed, [0.0, 5.0, 10.0]);
        assert_eq!(states.tensors[1].shape, [2, 3, 2]);
        let layers = [1., 2., 6., 7., 11., 12., 3., 4., 8., 9., 13., 14.];
        assert_eq!(states.tensors[1].packed, layers);

        let mut second = layers.map(|value| value + 100.0);
        second[8] = f32::NAN; // of the second asset, in the second layer
        let new: [Cow<'_, [f32]>; 2] = [vec![100.0, 105.0, 110.0].into(), (&second).into()];
        let mut finite = [true; 3];
        states.check(&new, &mut finite);
        assert_eq!(finite, [true, false, true]);
        let mut written = state.clone();
        states.unpack(&new, &finite, &mut written);
        for (i, (new, old)) in written.iter().zip(&state).enumerate() {
            let expected = if i / 5 == 1 { *old } else { old + 100.0 };
            assert_eq!(*new, expected, "value {i}");
        }
    }
}
