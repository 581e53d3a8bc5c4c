use super::*;
use crate::contract::{Padding, Sequence, StatePair};

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
        (tensor("x", "f32", &[-1, 5, 2]), "f32[B,2] or f32[B,1,2]"),
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
    assert_eq!(
        signature.input(&contract("x")).map(|input| &*input.name),
        Ok("x")
    );
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
