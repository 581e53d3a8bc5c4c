//! What a graph really takes and gives, compared with what its contract says.
//!
//! Not here: running it (`scorer.rs`).

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::contract::{Contract, ErrorOutput, Task};

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

    /// The input tensor that the contract means.
    ///
    /// # Errors
    /// A sentence that says which input to name.
    pub fn input<'a>(&'a self, contract: &Contract) -> Result<&'a Tensor, String> {
        match (&contract.input, self.inputs.as_slice()) {
            (Some(name), inputs) => {
                inputs
                    .iter()
                    .find(|input| input.name == *name)
                    .ok_or_else(|| {
                        format!(
                            "forewarn.input names {name}, but the graph's inputs are {}",
                            names(inputs)
                        )
                    })
            }
            (None, [only]) => Ok(only),
            (None, inputs) => Err(format!(
                "the graph has {} inputs ({}): name the one to feed in forewarn.input",
                inputs.len(),
                names(inputs)
            )),
        }
    }

    /// Everything in which the graph differs from its contract.
    pub fn problems(&self, contract: &Contract) -> Vec<String> {
        let mut problems = Vec::new();
        match self.input(contract) {
            Ok(input) => problems.extend(input_problem(input, contract)),
            Err(problem) => problems.push(problem),
        }
        if contract.input.is_some() && self.inputs.len() > 1 {
            problems.push(format!(
                "the graph needs {} inputs ({}): only models with one input can be fed",
                self.inputs.len(),
                names(&self.inputs)
            ));
        }
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
}

fn names(tensors: &[Tensor]) -> String {
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

fn input_problem(input: &Tensor, contract: &Contract) -> Option<String> {
    let features = i64::try_from(contract.features.len()).unwrap_or(i64::MAX);
    let wanted = match contract.sequence {
        Some(sequence) => vec![
            -1,
            i64::try_from(sequence.length).unwrap_or(i64::MAX),
            features,
        ],
        None => vec![-1, features],
    };
    if input.dtype != "f32" {
        return Some(format!(
            "input {input} must be f32: add a Cast at the front of the graph"
        ));
    }
    if !fits(&input.shape, &wanted) {
        return Some(format!(
            "input {input} does not fit the contract, which means f32{} ({} features, sequence length {}): \
             correct forewarn.features or forewarn.sequence-length, or export the graph again",
            show(&wanted),
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
    let features = i64::try_from(contract.features.len()).unwrap_or(i64::MAX);
    let length = i64::try_from(contract.length()).unwrap_or(i64::MAX);
    let wanted: Vec<Vec<i64>> = match &contract.task {
        Task::Rul { .. } => vec![vec![-1], vec![-1, 1]],
        Task::Anomaly {
            error: ErrorOutput::Residual { .. } | ErrorOutput::Reconstruction { .. },
            ..
        } => match contract.sequence {
            Some(_) => vec![vec![-1, length, features]],
            None => vec![vec![-1, features]],
        },
    };
    if wanted.iter().any(|shape| fits(&output.shape, shape)) {
        return None;
    }
    let wanted: Vec<String> = wanted.iter().map(|shape| show(shape)).collect();
    Some(format!(
        "output {output} does not fit the task {}, which means f32{}",
        contract.task.name(),
        wanted.join(" or f32")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Padding, Sequence};

    fn tensor(name: &str, dtype: &str, shape: &[i64]) -> Tensor {
        Tensor {
            name: name.into(),
            dtype: dtype.into(),
            shape: shape.into(),
        }
    }

    fn rul_contract() -> Contract {
        Contract {
            description: String::new(),
            task: Task::Rul {
                output: "rul".into(),
                unit: "cycles".into(),
                cap: 125.0,
            },
            features: vec!["a".into(), "b".into()],
            units: Vec::new(),
            input: None,
            sequence: Some(Sequence {
                length: 30,
                padding: Padding::Edge,
                step: 1,
                min_rows: 1,
            }),
            max_gap: None,
            state: Vec::new(),
        }
    }

    fn problems(input: Tensor, output: Tensor) -> Vec<String> {
        Signature {
            inputs: vec![input],
            outputs: vec![output],
        }
        .problems(&rul_contract())
    }

    #[test]
    fn a_fitting_graph_has_no_problems() {
        let none = problems(
            tensor("x", "f32", &[-1, 30, 2]),
            tensor("rul", "f32", &[-1]),
        );
        assert_eq!(none, Vec::<String>::new());
    }

    #[test]
    fn each_misfit_is_named_with_its_remedy() {
        let good = || tensor("x", "f32", &[-1, 30, 2]);
        let rul = || tensor("rul", "f32", &[-1, 1]);
        let table = [
            (tensor("x", "f32", &[-1, 30, 3]), rul(), "forewarn.features"),
            (tensor("x", "f32", &[-1, 2]), rul(), "sequence-length"),
            (tensor("x", "f64", &[-1, 30, 2]), rul(), "Cast"),
            (
                tensor("x", "f32", &[1, 30, 2]),
                rul(),
                "dynamic first dimension",
            ),
            (good(), tensor("y", "f32", &[-1]), "outputs are y"),
            (good(), tensor("rul", "f32", &[-1, 5]), "task rul"),
        ];
        for (input, output, expected) in table {
            let found = problems(input, output);
            assert!(
                found.len() == 1 && found[0].contains(expected),
                "{expected}: {found:?}"
            );
        }
    }
}
