use super::*;
use crate::contract::{Estimate, FedInput, Layout, Padding, Rul, Sequence, StatePair, Task};

fn tensor(name: &str, element: &str, shape: &[i64]) -> Tensor {
    let known = [
        Element::F32,
        Element::F64,
        Element::F16,
        Element::I64,
        Element::I32,
    ];
    let known = known.into_iter().find(|known| known.to_string() == element);
    Tensor {
        name: name.into(),
        element: known.unwrap_or(Element::Other(element.into())),
        shape: shape.into(),
    }
}

fn rul_contract() -> Contract {
    Contract {
        description: String::new(),
        task: Task::Rul(Rul {
            estimate: Estimate::Value {
                output: "rul".into(),
                residuals: Vec::new(),
            },
            unit: "cycles".into(),
            cap: 125.0,
            coverage: 0.9,
            horizons: Vec::new(),
        }),
        features: vec!["a".into(), "b".into()],
        units: Vec::new(),
        input: None,
        inputs: Vec::new(),
        layout: Layout::RowsFirst,
        sequence: Some(Sequence {
            length: 30,
            padding: Padding::Edge,
            step: 1,
            min_rows: 1,
        }),
        max_gap: None,
        reference: Vec::new(),
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
    for (element, input, output) in [
        ("f32", &[-1, 30, 2][..], &[-1][..]),
        ("f64", &[-1, -1, 2], &[-1, 1]),
        ("f16", &[16, 30, 2], &[16, 1]),
        ("i64", &[1, 30, -1], &[1, 1]),
        // Rows of a sequence one after the other, as models for tables take it.
        ("i32", &[-1, 60], &[1, -1]),
        // Exporters often tell no shape at all.
        ("f32", &[-1, 30, 2], &[]),
    ] {
        let none = problems(tensor("x", element, input), tensor("rul", element, output));
        assert_eq!(none, Vec::<String>::new(), "{element} {input:?}");
    }
}

#[test]
fn each_misfit_is_named_with_its_remedy() {
    let good = || tensor("x", "f32", &[-1, 30, 2]);
    let rul = || tensor("rul", "f32", &[-1, 1]);
    let table = [
        (tensor("x", "f32", &[-1, 30, 3]), rul(), "forewarn.features"),
        (tensor("x", "f32", &[-1, 2]), rul(), "sequence-length"),
        (tensor("x", "u8", &[-1, 30, 2]), rul(), "Cast"),
        (
            tensor("x", "f32", &[0, 30, 2]),
            rul(),
            "dynamic first dimension",
        ),
        (good(), tensor("rul", "u8", &[-1]), "add a Cast"),
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

fn recurrent_problems(inputs: &[Tensor], outputs: &[Tensor]) -> Vec<String> {
    let state = |name: &str| StatePair {
        input: format!("{name}_in"),
        output: format!("{name}_out"),
    };
    let contract = Contract {
        sequence: None,
        state: vec![state("c"), state("h")],
        ..rul_contract()
    };
    Signature {
        inputs: inputs.to_vec(),
        outputs: outputs.to_vec(),
    }
    .problems(&contract)
}

#[test]
fn a_recurrent_graph_takes_one_row_and_its_states() {
    let c = |side: &str| tensor(&format!("c_{side}"), "f32", &[1, -1, 8]);
    let h = |side: &str| tensor(&format!("h_{side}"), "f32", &[-1, 4]);
    // What an exporter often leaves: sizes of an output that it does not know.
    let unknown = tensor("h_out", "f32", &[-1, -1]);
    for (row, h_out) in [
        (tensor("x", "f32", &[-1, 2]), h("out")),
        (tensor("x", "f32", &[-1, 1, 2]), unknown),
    ] {
        let rul = tensor("rul", "f32", &[-1, 1]);
        let none = recurrent_problems(&[h("in"), row, c("in")], &[c("out"), rul, h_out]);
        assert_eq!(none, Vec::<String>::new());
    }
}

#[test]
fn each_misfit_of_a_state_is_named_with_its_remedy() {
    let inputs = || {
        let state = |name| tensor(name, "f32", &[1, -1, 8]);
        vec![tensor("x", "f32", &[-1, 2]), state("h_in"), state("c_in")]
    };
    let outputs = || {
        let state = |name| tensor(name, "f32", &[1, -1, 8]);
        vec![
            tensor("rul", "f32", &[-1, 1]),
            state("h_out"),
            state("c_out"),
        ]
    };
    assert_eq!(
        recurrent_problems(&inputs(), &outputs()),
        Vec::<String>::new()
    );
    // (a tensor that takes the place of the same name, or comes as another one, what is told)
    let on_input = [
        (tensor("x", "f32", &[-1, 5, 2]), "[B,2] or [B,1,2]"),
        (tensor("h_in", "f64", &[1, -1, 8]), "add a Cast"),
        (tensor("h_in", "f32", &[1, 1, 8]), "dynamic batch dimension"),
        (
            tensor("h_in", "f32", &[-1, -1, 8]),
            "only the batch dynamic",
        ),
        (tensor("h_in", "f32", &[-1, 1, 8]), "shape of its input"),
        (tensor("h_in", "f32", &[1, -1, 0]), "holds no values"),
        (
            tensor("mask", "f32", &[-1, 2]),
            "name the one that takes the features in forewarn.input",
        ),
    ];
    for (changed, expected) in on_input {
        let found = recurrent_problems(&with(inputs(), changed), &outputs());
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{expected}: {found:?}"
        );
    }
    let on_output = [
        (tensor("h_out", "f64", &[1, -1, 8]), "add a Cast"),
        (
            tensor("h_out", "f32", &[1, -1, 9]),
            "correct forewarn.state.h_in",
        ),
        (
            tensor("h_out", "f32", &[1, 1, 8]),
            "one dynamic batch for both",
        ),
        (tensor("h_out", "f32", &[-1, 8]), "shape of its input"),
    ];
    for (changed, expected) in on_output {
        let found = recurrent_problems(&inputs(), &with(outputs(), changed));
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{expected}: {found:?}"
        );
    }
    let found = recurrent_problems(&inputs()[..2], &outputs());
    assert!(found[0].contains("needs the input c_in"), "{found:?}");
    let found = recurrent_problems(&inputs(), &outputs()[..2]);
    assert!(found[0].contains("needs the output c_out"), "{found:?}");
}

fn with(mut tensors: Vec<Tensor>, changed: Tensor) -> Vec<Tensor> {
    match tensors.iter().position(|old| old.name == changed.name) {
        Some(at) => tensors[at] = changed,
        None => tensors.push(changed),
    }
    tensors
}

#[test]
fn the_input_that_is_named_takes_the_features_and_no_other_is_left_unfed() {
    let contract = |input: &str| Contract {
        sequence: None,
        input: Some(input.into()),
        state: vec![StatePair {
            input: "h_in".into(),
            output: "h_out".into(),
        }],
        ..rul_contract()
    };
    let row = |name| tensor(name, "f32", &[-1, 2]);
    let signature = Signature {
        inputs: vec![row("h_in"), row("mask"), row("x")],
        outputs: vec![row("h_out"), tensor("rul", "f32", &[-1])],
    };
    let only = Signature {
        inputs: vec![row("h_in"), row("x")],
        ..signature.clone()
    };
    assert_eq!(only.problems(&contract("x")), Vec::<String>::new());
    for (input, expected) in [
        ("x", "the graph also needs mask"),
        ("y", "inputs are h_in, mask, x"),
        ("h_in", "forewarn.state.h_in calls a state"),
    ] {
        let found = signature.problems(&contract(input));
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn several_tensors_share_the_features() {
    let fed = |tensor: &str, features: &[&str]| FedInput {
        tensor: tensor.into(),
        features: features.iter().map(|name| (*name).into()).collect(),
    };
    let contract = Contract {
        sequence: None,
        inputs: vec![fed("one", &["b"]), fed("both", &["b", "a"])],
        ..rul_contract()
    };
    let problems = |inputs: &[Tensor]| {
        let outputs = vec![tensor("rul", "f32", &[-1])];
        let inputs = inputs.to_vec();
        Signature { inputs, outputs }.problems(&contract)
    };
    let one = tensor("one", "i64", &[-1]);
    let both = tensor("both", "f32", &[-1, 2]);
    assert_eq!(problems(&[one.clone(), both.clone()]), Vec::<String>::new());
    let more = [one.clone(), both.clone(), tensor("mask", "f32", &[-1, 2])];
    for (inputs, expected) in [
        (
            &[one.clone(), tensor("both", "f32", &[-1, 1])][..],
            "(2 features",
        ),
        (
            &[tensor("one", "f32", &[8]), tensor("both", "f32", &[4, 2])],
            "different fixed batches",
        ),
        (&[one], "names both, but the graph's inputs are one"),
        (&more, "the graph also needs mask"),
    ] {
        let found = problems(inputs);
        assert!(
            found.len() == 1 && found[0].contains(expected),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn a_fixed_batch_is_the_state_s_too() {
    let graph = |batch: i64, h: &[i64]| {
        let outputs = [tensor("rul", "f32", &[batch, 1]), tensor("h_out", "f32", h)];
        let outputs = [&outputs[..], &[tensor("c_out", "f32", h)]].concat();
        let x = tensor("x", "f32", &[batch, 2]);
        recurrent_problems(
            &[x, tensor("h_in", "f32", h), tensor("c_in", "f32", h)],
            &outputs,
        )
    };
    assert_eq!(graph(1, &[1, 1, 8]), Vec::<String>::new());
    assert_eq!(graph(4, &[2, 4, 8]), Vec::<String>::new());
    for (batch, h) in [(4, [4, 4, 8]), (3, [1, 4, 8])] {
        assert!(graph(batch, &h)[0].contains("fixed batch"), "{batch} {h:?}");
    }
}
