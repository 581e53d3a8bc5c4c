//! Writing ONNX files: a graph built node by node, and the contract in its metadata.
//!
//! ```text
//!   Builder ─ input, constant, node, output ─▶ finish(metadata) ─▶ bytes of a model.onnx
//! ```
//!
//! Nodes come in the order in which they are added, which is an order in which they can be computed. Operators are those
//! of opset 17, whose LSTM, GRU and arithmetic every ONNX Runtime since 2022 has.
//!
//! Not here: what a trainer's parts are as nodes (each has that beside its own mathematics), and which models may score
//! (`forewarn_models::admission`).

mod proto;

use prost::Message as _;
use proto::{
    Attribute, AttributeKind, Dimension, DimensionValue, Element, Entry, Graph, Model, Node,
    OperatorSet, Shape, Tensor, TensorType, Type, ValueInfo,
};

const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// Name of a value in a graph.
pub type Value = String;

/// A dimension of an input or output.
#[derive(Debug, Clone, Copy)]
pub enum Size {
    /// The rows of a batch.
    Batch,
    Fixed(usize),
}

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub enum Setting<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [i64]),
}

/// A graph in the making.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Graph,
}

impl Builder {
    pub fn new(name: &str) -> Self {
        Builder {
            graph: Graph {
                name: name.to_owned(),
                ..Graph::default()
            },
        }
    }

    /// An input of 32-bit floats.
    pub fn input(&mut self, name: &str, shape: &[Size]) -> Value {
        self.graph.input.push(value_info(name, shape));
        name.to_owned()
    }

    /// Gives a value to the outside as `name`.
    pub fn output(&mut self, name: &str, value: &str, shape: &[Size]) {
        self.push("Identity", &[value], vec![name.to_owned()], &[]);
        self.graph.output.push(value_info(name, shape));
    }

    /// A constant of 32-bit floats, row-major.
    ///
    /// # Panics
    /// When the shape is not that of the values.
    pub fn constant(&mut self, shape: &[usize], values: &[f32]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.initializer(shape, values.len(), Element::Float, bytes.collect())
    }

    /// One number.
    pub fn scalar(&mut self, value: f32) -> Value {
        self.constant(&[], &[value])
    }

    /// A constant list of whole numbers, such as axes.
    pub fn ints(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.initializer(
            &[values.len()],
            values.len(),
            Element::Int64,
            bytes.collect(),
        )
    }

    /// Adds a node with one output. An input without a name is left out.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        settings: &[(&str, Setting<'_>)],
    ) -> Value {
        let output = self.fresh(operator);
        self.push(operator, inputs, vec![output.clone()], settings);
        output
    }

    /// Adds a node with `count` outputs behind its first one, which nobody wants: the last states of LSTM and GRU.
    pub fn others_of(
        &mut self,
        operator: &str,
        inputs: &[&str],
        settings: &[(&str, Setting<'_>)],
        count: usize,
    ) -> Vec<Value> {
        let name = self.fresh(operator);
        let others: Vec<Value> = (1..=count)
            .map(|number| format!("{name}_{number}"))
            .collect();
        let outputs = std::iter::once(String::new()).chain(others.iter().cloned());
        self.push(operator, inputs, outputs.collect(), settings);
        others
    }

    fn fresh(&self, operator: &str) -> Value {
        format!("{}_{}", operator.to_lowercase(), self.graph.node.len())
    }

    fn push(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: Vec<Value>,
        settings: &[(&str, Setting<'_>)],
    ) {
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output,
            name: self.fresh(operator),
            op_type: operator.to_owned(),
            attribute: settings
                .iter()
                .map(|(name, setting)| attribute(name, *setting))
                .collect(),
        });
    }

    fn initializer(
        &mut self,
        shape: &[usize],
        count: usize,
        element: Element,
        raw_data: Vec<u8>,
    ) -> Value {
        assert_eq!(
            shape.iter().product::<usize>(),
            count,
            "a constant of shape {shape:?}"
        );
        let name = format!("constant_{}", self.graph.initializer.len());
        self.graph.initializer.push(Tensor {
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: element.into(),
            name: name.clone(),
            raw_data,
        });
        name
    }

    /// The file, with `metadata` as its properties.
    pub fn finish(self, metadata: &[(String, String)]) -> Vec<u8> {
        let entry = |(key, value): &(String, String)| Entry {
            key: key.clone(),
            value: value.clone(),
        };
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: "forewarn".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet {
                domain: String::new(),
                version: OPSET,
            }],
            metadata_props: metadata.iter().map(entry).collect(),
        };
        model.encode_to_vec()
    }
}

fn attribute(name: &str, setting: Setting<'_>) -> Attribute {
    let (mut attribute, kind) = (
        Attribute::default(),
        match setting {
            Setting::Int(_) => AttributeKind::Int,
            Setting::Float(_) => AttributeKind::Float,
            Setting::Ints(_) => AttributeKind::Ints,
        },
    );
    match setting {
        Setting::Int(value) => attribute.i = value,
        Setting::Float(value) => attribute.f = value,
        Setting::Ints(values) => attribute.ints = values.to_vec(),
    }
    attribute.name = name.to_owned();
    attribute.kind = kind.into();
    attribute
}

fn value_info(name: &str, shape: &[Size]) -> ValueInfo {
    let dimension = |size: &Size| Dimension {
        value: Some(match size {
            Size::Batch => DimensionValue::Name("batch".into()),
            Size::Fixed(size) => DimensionValue::Size(*size as i64),
        }),
    };
    let tensor = TensorType {
        elem_type: Element::Float.into(),
        shape: Some(Shape {
            dim: shape.iter().map(dimension).collect(),
        }),
    };
    ValueInfo {
        name: name.to_owned(),
        kind: Some(Type {
            tensor: Some(tensor),
        }),
    }
}
