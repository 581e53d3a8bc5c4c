//! What a graph really takes and gives, compared with what its contract says.
//!
//! Not here: running it (`scorer.rs`).

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::contract::{Contract, ErrorOutput, Task};
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
    /// Element type in ONNX Runtime's words, such as `f32`; `?` when it is no tensor.
    pub dtype: String,
    pub shape: Vec<i64>,
}

impl std::fmt::Display for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dims: Vec<String> = self
            .shape
            .iter()
            .map(|dim| {
                if *dim < 0 {
                    "?".to_owned()
                } else {
                    dim.to_string()
                }
            })
            .collect();
        write!(f, "{} {}[{}]", self.name, self.dtype, dims.join(","))
    }
}

impl Signature {
    pub fn of(session: &Session) -> Self {
        Signature {
            inputs: session.inputs().iter().map(tensor).collect(),
            outputs: session.outputs().iter().map(tensor).collect(),
        }
    }

    /// The input tensor that takes the features: the one that the contract names, or the only one that is
    /// no state.
    ///
    /// # Errors
    /// A sentence that says which input to name.
    pub fn input<'a>(&'a self, contract: &Contract) -> Result<&'a Tensor, String> {
        let mut others = self
            .inputs
            .iter()
            .filter(|input| !is_state(input, contract));
        match (&contract.input, others.next(), others.next()) {
            (Some(name), ..) if contract.state.iter().any(|pair| pair.input == *name) => Err(
                format!("forewarn.input names {name}, which forewarn.state.{name} calls a state"),
            ),
            (Some(name), ..) => self.named_input(name),
            (None, Some(only), None) => Ok(only),
            (None, ..) => Err(format!(
                "the graph has {} inputs ({}): name the one that takes the features in forewarn.input, \
                 and each state as forewarn.state.<input> = <output>",
                self.inputs.len(),
                names(&self.inputs)
            )),
        }
    }

    fn named_input(&self, name: &str) -> Result<&Tensor, String> {
        let found = self.inputs.iter().find(|input| input.name == name);
        found.ok_or_else(|| {
            format!(
                "forewarn.input names {name}, but the graph's inputs are {}",
                names(&self.inputs)
            )
        })
    }

    /// Everything in which the graph differs from its contract.
    pub fn problems(&self, contract: &Contract) -> Vec<String> {
        let mut problems = Vec::new();
        match self.input(contract) {
            Ok(input) => {
                problems.extend(input_problem(input, contract));
                problems.extend(self.unfed_inputs(input, contract));
            }
            Err(problem) => problems.push(problem),
        }
        problems.extend(States::of(self, contract).err().unwrap_or_default());
        let wanted = contract.task.output();
        match self.outputs.iter().find(|output| output.name == wanted) {
            Some(output) => problems.extend(output_problem(output, contract)),
            None => problems.push(format!(
                "the contract's output {wanted} is not in the graph; its outputs are {}",
                names(&self.outputs)
            )),
        }
        problems
    }

    fn unfed_inputs(&self, fed: &Tensor, contract: &Contract) -> Option<String> {
        let unfed = |input: &&Tensor| input.name != fed.name && !is_state(input, contract);
        let unfed: Vec<Tensor> = self.inputs.iter().filter(unfed).cloned().collect();
        (!unfed.is_empty()).then(|| {
            format!(
                "the graph also needs {}: only the features ({}) and states can be fed; \
                 name a state as forewarn.state.<input> = <output>",
                names(&unfed),
                fed.name
            )
        })
    }
}

fn is_state(input: &Tensor, contract: &Contract) -> bool {
    contract.state.iter().any(|pair| pair.input == input.name)
}

pub(crate) fn names(tensors: &[Tensor]) -> String {
    tensors
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn tensor(outlet: &Outlet) -> Tensor {
    let (dtype, shape) = match outlet.dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape,
            ..
        } => ("f32".into(), shape.to_vec()),
        ValueType::Tensor { ty, shape, .. } => (ty.to_string(), shape.to_vec()),
        _ => ("?".into(), Vec::new()),
    };
    Tensor {
        name: outlet.name().to_owned(),
        dtype,
        shape,
    }
}

/// Does `actual` fit `wanted`? -1 in either means any.
fn fits(actual: &[i64], wanted: &[i64]) -> bool {
    actual.len() == wanted.len()
        && actual
            .iter()
            .zip(wanted)
            .all(|(a, w)| *a < 0 || *w < 0 || a == w)
}

fn show(shape: &[i64]) -> String {
    let dims: Vec<String> = shape
        .iter()
        .map(|dim| {
            if *dim < 0 {
                "B".to_owned()
            } else {
                dim.to_string()
            }
        })
        .collect();
    format!("[{}]", dims.join(","))
}

/// Shapes that hold the features of each row; one row of a recurrent model may be a sequence of one.
fn row_shapes(contract: &Contract) -> Vec<Vec<i64>> {
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    let features = size(contract.features.len());
    match contract.sequence {
        Some(sequence) => vec![vec![-1, size(sequence.length), features]],
        None if contract.is_recurrent() => vec![vec![-1, features], vec![-1, 1, features]],
        None => vec![vec![-1, features]],
    }
}

/// Is `actual` one of `wanted`? If not, these in words.
fn misfit(actual: &[i64], wanted: &[Vec<i64>]) -> Option<String> {
    if wanted.iter().any(|shape| fits(actual, shape)) {
        return None;
    }
    let wanted: Vec<String> = wanted.iter().map(|shape| show(shape)).collect();
    Some(format!("f32{}", wanted.join(" or f32")))
}

fn input_problem(input: &Tensor, contract: &Contract) -> Option<String> {
    if input.dtype != "f32" {
        return Some(format!(
            "input {input} must be f32: add a Cast at the front of the graph"
        ));
    }
    if let Some(wanted) = misfit(&input.shape, &row_shapes(contract)) {
        return Some(format!(
            "input {input} does not fit the contract, which means {wanted} ({} features, sequence length {}): \
             correct forewarn.features or forewarn.sequence-length, or export the graph again",
            contract.features.len(),
            contract.length()
        ));
    }
    if input.shape[0] >= 0 {
        return Some(format!(
            "input {input} has a fixed batch: export it with a dynamic first dimension"
        ));
    }
    None
}

fn output_problem(output: &Tensor, contract: &Contract) -> Option<String> {
    if output.dtype != "f32" {
        return Some(format!(
            "output {output} must be f32: add a Cast at the end of the graph"
        ));
    }
    let wanted = match &contract.task {
        Task::Rul { .. } => vec![vec![-1], vec![-1, 1]],
        Task::Anomaly {
            error: ErrorOutput::Residual { .. } | ErrorOutput::Reconstruction { .. },
            ..
        } => row_shapes(contract),
    };
    misfit(&output.shape, &wanted).map(|wanted| {
        format!(
            "output {output} does not fit the task {}, which means {wanted}",
            contract.task.name()
        )
    })
}

#[cfg(test)]
mod tests;
