//! Writes small ONNX files, good and bad ones, field by field. Numbers are those of `onnx.proto3`.

/// A protobuf message in the making.
#[derive(Debug, Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn number(mut self, field: u32, value: u64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value);
        self
    }

    pub fn bytes(mut self, field: u32, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn all(self, field: u32, messages: &[Message]) -> Self {
        let add = |message: Self, part: &Message| message.bytes(field, &part.0);
        messages.iter().fold(self, add)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

pub fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let node = inputs
        .iter()
        .fold(Message::default(), |node, name| node.bytes(1, name));
    let node = outputs.iter().fold(node, |node, name| node.bytes(2, name));
    node.bytes(4, operator)
}

/// An int64 tensor; of no dimension when `dims` is empty.
pub fn integers(name: &str, dims: &[u64], values: &[i64]) -> Message {
    let raw: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let tensor = dims
        .iter()
        .fold(Message::default(), |tensor, dim| tensor.number(1, *dim));
    tensor.number(2, 7).bytes(8, name).bytes(9, raw)
}

/// A float tensor of two values in another file.
pub fn external(name: &str, location: &str) -> Message {
    let entry = Message::default().bytes(1, "location").bytes(2, location);
    let tensor = Message::default().number(1, 2).number(2, 1).bytes(8, name);
    tensor.bytes(13, entry.0).number(14, 1)
}

/// An input or output; `None` is a dimension of any size.
pub fn port(name: &str, element: u64, dims: &[Option<u64>]) -> Message {
    let shape = dims.iter().fold(Message::default(), |shape, dim| {
        let dim = match dim {
            Some(size) => Message::default().number(1, *size),
            None => Message::default().bytes(2, "B"),
        };
        shape.bytes(1, dim.0)
    });
    let tensor = Message::default().number(1, element).bytes(2, shape.0);
    let kind = Message::default().bytes(1, tensor.0);
    Message::default().bytes(1, name).bytes(2, kind.0)
}

pub fn graph(
    nodes: &[Message],
    weights: &[Message],
    inputs: &[Message],
    outputs: &[Message],
) -> Message {
    let graph = Message::default().all(1, nodes).bytes(2, "g");
    graph.all(5, weights).all(11, inputs).all(12, outputs)
}

/// A node's attribute that is a graph.
pub fn body(name: &str, graph: &Message) -> Message {
    Message::default()
        .bytes(1, name)
        .bytes(6, &graph.0)
        .number(20, 5)
}

/// A model of two features with its contract inside.
#[derive(Debug, Clone)]
pub struct File {
    pub ir: u64,
    pub opset: u64,
    pub nodes: Vec<Message>,
    pub weights: Vec<Message>,
    /// Fields of the model besides: further opsets, functions.
    pub rest: Message,
}

impl File {
    /// `nodes` make `e` of `x`, both `[B, 2]`.
    pub fn new(nodes: &[Message]) -> Self {
        File {
            ir: 8,
            opset: 17,
            nodes: nodes.to_vec(),
            weights: Vec::new(),
            rest: Message::default(),
        }
    }

    /// The residual is the reading itself.
    pub fn identity() -> Self {
        File::new(&[node("Identity", &["x"], &["e"])])
    }

    pub fn weights(mut self, weights: &[Message]) -> Self {
        self.weights = weights.to_vec();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let rows = [None, Some(2)];
        let graph = graph(
            &self.nodes,
            &self.weights,
            &[port("x", 1, &rows)],
            &[port("e", 1, &rows)],
        );
        let opset = Message::default().bytes(1, "").number(2, self.opset);
        let mut model = Message::default()
            .number(1, self.ir)
            .bytes(7, graph.0)
            .bytes(8, opset.0);
        for (key, value) in [
            ("task", "anomaly"),
            ("features", "[\"a\",\"b\"]"),
            ("output.residual", "e"),
            ("threshold", "1.0"),
        ] {
            let entry = Message::default()
                .bytes(1, format!("forewarn.{key}"))
                .bytes(2, value);
            model = model.bytes(14, entry.0);
        }
        model.0.extend_from_slice(&self.rest.0);
        model.0
    }
}

/// Asks for 4 GiB of zeros and adds their largest to the reading: less than machines have, so that it is the
/// limit that refuses it.
pub fn bomb() -> Vec<u8> {
    let nodes = [
        node("ConstantOfShape", &["n"], &["z"]),
        node("ReduceMax", &["z"], &["m"]),
        node("Add", &["x", "m"], &["e"]),
    ];
    File::new(&nodes)
        .weights(&[integers("n", &[1], &[1 << 30])])
        .bytes()
}

/// Adds the reading to itself for some hundred years.
pub fn endless() -> Vec<u8> {
    let rows = [None, Some(2)];
    let inner = graph(
        &[
            node("Identity", &["c"], &["c2"]),
            node("Add", &["v", "v"], &["v2"]),
        ],
        &[],
        &[port("i", 7, &[]), port("c", 9, &[]), port("v", 1, &rows)],
        &[port("c2", 9, &[]), port("v2", 1, &rows)],
    );
    let looped = node("Loop", &["n", "", "x"], &["e"]).bytes(5, body("body", &inner).0);
    File::new(&[looped])
        .weights(&[integers("n", &[], &[i64::MAX])])
        .bytes()
}

/// Ifs within Ifs, `depth` of them; they need not run to be refused.
pub fn nested(depth: usize) -> Vec<u8> {
    let out = port("e", 1, &[None, Some(2)]);
    let mut inner = node("Identity", &["x"], &["e"]);
    for _ in 0..depth {
        let branch = graph(&[inner], &[], &[], std::slice::from_ref(&out));
        inner = node("If", &["c"], &["e"]).bytes(5, body("then_branch", &branch).0);
    }
    File::new(&[inner]).bytes()
}
