//! What an ONNX file says of itself, read without ONNX Runtime: versions, operators, external data, ports.
//!
//! Numbers of fields are those of `onnx.proto3` (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>).
//! Weights are passed over. A field that is not known here is passed over too: ONNX Runtime decides on it,
//! in the probe.
//!
//! Invariants:
//! - recursion ends at [`MAX_DEPTH`], whatever the file says;
//! - memory is bounded by names in the file, and each kind of name is kept once.
//!
//! Not here: which of it is allowed (`inspect.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::wire::{Value, WireError, fields};

/// Subgraphs within subgraphs. Exporters nest an If in a Loop in a Scan; sixteen is far beyond them and far
/// from the end of a stack.
const MAX_DEPTH: usize = 16;

/// Operators, inputs and the like that a file may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    pub ir_version: u64,
    /// The exporter, such as `pytorch`.
    pub producer: String,
    /// Operator set versions by domain; `""` is `ai.onnx`.
    pub opsets: BTreeMap<String, u64>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// `metadata_props`.
    pub metadata: BTreeMap<String, String>,
    /// Files that tensors are kept in, as the graph names them.
    pub external: BTreeSet<String>,
    /// Domain and name of each operator in use that the file does not define itself.
    pub operators: BTreeSet<(String, String)>,
    pub has_graph: bool,
}

/// An input or output of the graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `TensorProto.DataType`; 0 when it is no tensor.
    pub element: u64,
    /// `None`: of any size.
    pub shape: Vec<Option<u64>>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = match self.element {
            1 => "f32",
            6 => "i32",
            7 => "i64",
            8 => "string",
            9 => "bool",
            10 => "f16",
            11 => "f64",
            _ => "?",
        };
        let size =
            |size: &Option<u64>| size.map_or_else(|| "?".to_owned(), |size| size.to_string());
        let dims: Vec<String> = self.shape.iter().map(size).collect();
        write!(f, "{} {element}[{}]", self.name, dims.join(","))
    }
}

/// Why no outline can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutlineError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("its subgraphs are nested more than {MAX_DEPTH} deep")]
    TooDeep,
}

impl Outline {
    /// Walks a `ModelProto`.
    pub(super) fn read(model: &[u8]) -> Result<Self, OutlineError> {
        let mut walk = Walk::default();
        let mut outline = Outline::default();
        for field in fields(model) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Varint(version)) => outline.ir_version = version,
                (2, Value::Bytes(name)) => outline.producer = text(name),
                (7, Value::Bytes(graph)) => {
                    outline.has_graph = true;
                    outline.ports(graph)?;
                    walk.graph(graph, 0)?;
                }
                (8, Value::Bytes(opset)) => {
                    let (domain, version) = opset_of(opset)?;
                    outline.opsets.insert(domain, version);
                }
                (14, Value::Bytes(entry)) => {
                    let (key, value) = entry_of(entry)?;
                    outline.metadata.insert(key, value);
                }
                (25, Value::Bytes(function)) => walk.function(function)?,
                _ => {}
            }
        }
        outline.external = walk.external;
        outline.operators = walk.operators;
        let defined = walk.defined;
        outline
            .operators
            .retain(|operator| !defined.contains(operator));
        Ok(outline)
    }

    /// Inputs that must be fed, and outputs. In old files weights are listed as inputs too.
    fn ports(&mut self, graph: &[u8]) -> Result<(), OutlineError> {
        let mut weights = BTreeSet::new();
        for field in fields(graph) {
            let field = field?;
            match (field.number, field.value) {
                (5, Value::Bytes(tensor)) => weights.extend(find_text(tensor, 8)?),
                (11, Value::Bytes(input)) => self.inputs.push(port_of(input)?),
                (12, Value::Bytes(output)) => self.outputs.push(port_of(output)?),
                _ => {}
            }
        }
        self.inputs.retain(|input| !weights.contains(&input.name));
        Ok(())
    }
}

/// What is gathered from nodes, wherever they are.
#[derive(Default)]
struct Walk {
    external: BTreeSet<String>,
    operators: BTreeSet<(String, String)>,
    defined: BTreeSet<(String, String)>,
}

impl Walk {
    fn graph(&mut self, graph: &[u8], depth: usize) -> Result<(), OutlineError> {
        if depth > MAX_DEPTH {
            return Err(OutlineError::TooDeep);
        }
        for field in fields(graph) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(node)) => self.node(node, depth)?,
                (5, Value::Bytes(tensor)) => self.tensor(tensor)?,
                (15, Value::Bytes(sparse)) => self.sparse(sparse)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &[u8], depth: usize) -> Result<(), OutlineError> {
        let (mut name, mut domain) = (String::new(), String::new());
        for field in fields(node) {
            let field = field?;
            match (field.number, field.value) {
                (4, Value::Bytes(operator)) => name = text(operator),
                (5, Value::Bytes(attribute)) => self.attribute(attribute, depth)?,
                (7, Value::Bytes(named)) => domain = canonical(named),
                _ => {}
            }
        }
        self.operators.insert((domain, name));
        Ok(())
    }

    fn attribute(&mut self, attribute: &[u8], depth: usize) -> Result<(), OutlineError> {
        for field in fields(attribute) {
            let field = field?;
            match (field.number, field.value) {
                (5 | 10, Value::Bytes(tensor)) => self.tensor(tensor)?,
                (6 | 11, Value::Bytes(graph)) => self.graph(graph, depth + 1)?,
                (22 | 23, Value::Bytes(sparse)) => self.sparse(sparse)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn sparse(&mut self, sparse: &[u8]) -> Result<(), OutlineError> {
        for field in fields(sparse) {
            let field = field?;
            if let (1 | 2, Value::Bytes(tensor)) = (field.number, field.value) {
                self.tensor(tensor)?;
            }
        }
        Ok(())
    }

    /// Only `location` of its `external_data`: offset and length within the file are ONNX Runtime's to check.
    fn tensor(&mut self, tensor: &[u8]) -> Result<(), OutlineError> {
        for field in fields(tensor) {
            let field = field?;
            if let (13, Value::Bytes(entry)) = (field.number, field.value) {
                let (key, value) = entry_of(entry)?;
                if key == "location" {
                    self.external.insert(value);
                }
            }
        }
        Ok(())
    }

    fn function(&mut self, function: &[u8]) -> Result<(), OutlineError> {
        let (mut name, mut domain) = (String::new(), String::new());
        for field in fields(function) {
            let field = field?;
            match (field.number, field.value) {
                (1, Value::Bytes(named)) => name = text(named),
                (7, Value::Bytes(node)) => self.node(node, 0)?,
                (10, Value::Bytes(named)) => domain = canonical(named),
                (11, Value::Bytes(attribute)) => self.attribute(attribute, 0)?,
                _ => {}
            }
        }
        self.defined.insert((domain, name));
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `ai.onnx` is another name of the domain without one.
fn canonical(domain: &[u8]) -> String {
    match domain {
        b"ai.onnx" => String::new(),
        other => text(other),
    }
}

fn find_text(message: &[u8], number: u32) -> Result<Option<String>, WireError> {
    for field in fields(message) {
        let field = field?;
        if let (true, Value::Bytes(bytes)) = (field.number == number, field.value) {
            return Ok(Some(text(bytes)));
        }
    }
    Ok(None)
}

fn entry_of(entry: &[u8]) -> Result<(String, String), WireError> {
    let key = find_text(entry, 1)?.unwrap_or_default();
    Ok((key, find_text(entry, 2)?.unwrap_or_default()))
}

fn opset_of(opset: &[u8]) -> Result<(String, u64), WireError> {
    let (mut domain, mut version) = (String::new(), 0);
    for field in fields(opset) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(named)) => domain = canonical(named),
            (2, Value::Varint(number)) => version = number,
            _ => {}
        }
    }
    Ok((domain, version))
}

/// `ValueInfoProto`: name, then type, tensor, element and shape, each a message in the one before.
fn port_of(info: &[u8]) -> Result<Port, WireError> {
    let mut port = Port {
        name: find_text(info, 1)?.unwrap_or_default(),
        ..Port::default()
    };
    let Some(tensor) = nested(info, 2)?
        .map(|kind| nested(kind, 1))
        .transpose()?
        .flatten()
    else {
        return Ok(port);
    };
    for field in fields(tensor) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Varint(element)) => port.element = element,
            (2, Value::Bytes(shape)) => port.shape = shape_of(shape)?,
            _ => {}
        }
    }
    Ok(port)
}

fn shape_of(shape: &[u8]) -> Result<Vec<Option<u64>>, WireError> {
    let mut dims = Vec::new();
    for field in fields(shape) {
        let field = field?;
        if let (1, Value::Bytes(dim)) = (field.number, field.value) {
            let size = fields(dim).find_map(|field| match field {
                Ok(field) => match (field.number, field.value) {
                    (1, Value::Varint(size)) => Some(size),
                    _ => None,
                },
                Err(_) => None,
            });
            dims.push(size);
        }
    }
    Ok(dims)
}

fn nested(message: &[u8], number: u32) -> Result<Option<&[u8]>, WireError> {
    for field in fields(message) {
        let field = field?;
        if let (true, Value::Bytes(bytes)) = (field.number == number, field.value) {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_file_is_outlined() {
        let bytes = include_bytes!("../../../tests/fixtures/models/weighted/1/model.onnx");
        let outline = Outline::read(bytes).unwrap();
        assert_eq!((outline.ir_version, outline.opsets[""]), (8, 17));
        assert_eq!(outline.inputs[0].name, "x");
        assert_eq!(outline.inputs[0].shape, [None, Some(3), Some(1)]);
        assert_eq!(
            (outline.inputs.len(), outline.outputs[0].name.as_str()),
            (1, "rul")
        );
        let operators: Vec<&str> = outline
            .operators
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        assert_eq!(operators, ["MatMul", "Squeeze"]);
        assert_eq!(outline.metadata["forewarn.task"], "rul");
        assert!(outline.external.is_empty() && outline.has_graph);
    }

    #[test]
    fn no_prefix_of_a_file_is_taken_for_the_whole_or_panics() {
        let bytes = include_bytes!("../../../tests/fixtures/models/lstm-step/1/model.onnx");
        for end in 0..bytes.len() {
            let _ = Outline::read(&bytes[..end]);
        }
        assert!(Outline::read(&bytes[..bytes.len() / 2]).is_err());
    }
}
