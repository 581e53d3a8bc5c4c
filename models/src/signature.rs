//! What a graph really takes and gives, compared with what its contract says.
//!
//! Not here: which tensors take what (`inputs.rs`, `recurrent.rs`), which outputs are read (`outputs.rs`),
//! running it (`scorer.rs`).

use ort::session::Session;
use ort::value::{Outlet, ValueType};

use crate::contract::Contract;
use crate::element::Element;
use crate::inputs::Inputs;
use crate::outputs::Outputs;
use crate::recurrent::States;

/// Inputs and outputs of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

/// One input or output: `-1` is a dimension that may vary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub element: Element,
    /// Empty for a single number, and where the file does not tell.
    pub shape: Vec<i64>,
}

impl std::fmt::Display for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.element)?;
        if self.element.is_map() {
            return Ok(());
        }
        f.write_str(&show(&self.shape, "?"))
    }
}

impl Signature {
    pub fn of(session: &Session) -> Self {
        Signature {
            inputs: session.inputs().iter().map(tensor).collect(),
            outputs: session.outputs().iter().map(tensor).collect(),
        }
    }

    /// Everything in which the graph differs from its contract.
    pub fn problems(&self, contract: &Contract) -> Vec<String> {
        let mut problems = Vec::new();
        let batch = match Inputs::of(self, contract) {
            Ok(inputs) => inputs.fixed_batch(),
            Err(found) => {
                problems.extend(found);
                None
            }
        };
        problems.extend(States::of(self, contract, batch).err().unwrap_or_default());
        problems.extend(Outputs::of(self, contract, batch).err().unwrap_or_default());
        problems
    }
}

pub(crate) fn names(tensors: &[Tensor]) -> String {
    tensors
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn tensor(outlet: &Outlet) -> Tensor {
    let shape = match outlet.dtype() {
        ValueType::Tensor { shape, .. } => shape.to_vec(),
        _ => Vec::new(),
    };
    Tensor {
        name: outlet.name().to_owned(),
        element: Element::of(outlet.dtype()),
        shape,
    }
}

/// One of several shapes, in words, unless `actual` is one of them. -1 in either means any; a tensor
/// whose shape is not told fits.
pub(crate) fn misfit(actual: &[i64], wanted: &[Vec<i64>]) -> Option<String> {
    let fits = |wanted: &Vec<i64>| {
        let mut pairs = actual.iter().zip(wanted);
        actual.len() == wanted.len() && pairs.all(|(a, w)| *a < 0 || *w < 0 || a == w)
    };
    if actual.is_empty() || wanted.iter().any(fits) {
        return None;
    }
    let wanted: Vec<String> = wanted.iter().map(|shape| show(shape, "B")).collect();
    Some(wanted.join(" or "))
}

fn show(shape: &[i64], unknown: &str) -> String {
    let dims: Vec<String> = shape
        .iter()
        .map(|dim| match dim {
            ..0 => unknown.to_owned(),
            size => size.to_string(),
        })
        .collect();
    format!("[{}]", dims.join(","))
}

#[cfg(test)]
mod tests;
