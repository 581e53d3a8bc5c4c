//! Dialogs for every task: what is asked of which graph, and what comes of the answers.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use forewarn_models::admission::Port;
use forewarn_models::contract::keys_from_toml;
use forewarn_models::{Contract, ModelFiles};
use forewarn_pipeline::config::Models;

use super::super::draft::tests::{graph, port};
use super::*;
use crate::guard;

const F32: u64 = 1;
const I64: u64 = 7;
const STRING: u64 = 8;
const ANY: Option<u64> = None;

/// Gives these answers, one a line; the contract that comes of them, and what was written.
fn dialog(mut draft: Draft, answers: &[&str]) -> (BTreeMap<String, String>, String) {
    let mut input = Cursor::new(
        answers
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    );
    let mut output = Vec::new();
    let asked = ask(&mut draft, &mut input, &mut output);
    let told = String::from_utf8(output).unwrap();
    asked.unwrap_or_else(|error| panic!("{error}\n{told}"));
    let left = input.get_ref().len() as u64 - input.position();
    assert_eq!(left, 0, "answers are left over\n{told}");
    let inputs: Vec<String> = draft
        .outline()
        .inputs
        .iter()
        .map(|p| p.name.clone())
        .collect();
    Contract::from_keys(&draft.keys(), &inputs).unwrap_or_else(|e| panic!("{e:?}\n{told}"));
    assert!(told.contains("\nThe contract:\n\n"), "{told}");
    (draft.keys(), told)
}

/// The same, when this contract comes of them; what was written.
fn asks(draft: Draft, answers: &[&str], contract: &[(&str, &str)]) -> String {
    let (keys, told) = dialog(draft, answers);
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let contract: BTreeMap<String, String> = contract.iter().map(owned).collect();
    assert_eq!(keys, contract, "{told}");
    told
}

fn x(shape: &[Option<u64>]) -> Vec<Port> {
    vec![port("x", F32, shape)]
}

#[test]
fn an_anomaly_by_its_residual() {
    let two = [ANY, Some(2)];
    let draft = graph(x(&two), vec![port("e", F32, &two)]);
    let contract = [
        ("task", "anomaly"),
        ("features", "[\"a\",\"b\"]"),
        ("output.residual", "e"),
        ("threshold", "2.5"),
    ];
    let told = asks(draft, &["", "a, b", "", "2.5"], &contract);
    // No output of that graph is one number per row.
    assert!(
        told.contains("reconstruction") && !told.contains("score-order"),
        "{told}"
    );
    assert!(!told.contains("one number per row, which"), "{told}");
    assert!(
        told.contains("output.residual = e: nothing else fits"),
        "{told}"
    );
    assert!(told.ends_with("threshold = 2.5\n\n"), "{told}");
}

#[test]
fn an_anomaly_by_the_reconstruction_of_a_sequence() {
    let shape = [ANY, Some(30), Some(2)];
    let draft = graph(x(&shape), vec![port("y", F32, &shape)]);
    // Task, layout, features, padding, form, scales, threshold; the length is the graph's.
    let answers = ["anomaly", "", "a b", "edge", "reconstruction", "0.4 3", "1"];
    let contract = [
        ("task", "anomaly"),
        ("input-layout", "LF"),
        ("features", "[\"a\",\"b\"]"),
        ("sequence-length", "30"),
        ("padding", "edge"),
        ("output.reconstruction", "y"),
        ("residual-scale", "[0.4,3.0]"),
        ("threshold", "1.0"),
    ];
    let told = asks(draft, &answers, &contract);
    assert!(
        told.contains("sequence-length = 30: nothing else fits"),
        "{told}"
    );
}

#[test]
fn an_anomaly_by_a_score_of_its_own() {
    let one = [ANY, Some(1)];
    let outputs = vec![port("label", I64, &one), port("scores", F32, &one)];
    let draft = graph(x(&[ANY, Some(2)]), outputs);
    let contract = [
        ("task", "anomaly"),
        ("features", "[\"a\",\"b\"]"),
        ("output.score", "scores"),
        ("score-order", "lower"),
        ("threshold", "0.0"),
    ];
    asks(draft, &["", "a b", "lower", "0"], &contract);
}

#[test]
fn a_remaining_life_as_a_value_and_of_a_model_with_state() {
    let one = [ANY, Some(1)];
    let state = [Some(1), ANY, Some(8)];
    let inputs = vec![
        port("x", F32, &[ANY, Some(2)]),
        port("h_in", F32, &state),
        port("c_in", F32, &state),
    ];
    let outputs = vec![
        port("life", F32, &one),
        port("h_out", F32, &state),
        port("c_out", F32, &state),
    ];
    // Task, three roles, the states, features, unit, cap.
    let answers = ["", "", "", "", "", "a b", "hours", "500"];
    let contract = [
        ("task", "rul"),
        ("state.h_in", "h_out"),
        ("state.c_in", "c_out"),
        ("features", "[\"a\",\"b\"]"),
        ("output.rul", "life"),
        ("unit", "hours"),
        ("rul-cap", "500.0"),
    ];
    let told = asks(graph(inputs, outputs), &answers, &contract);
    assert!(!told.contains("sequence-length"), "{told}");
}

#[test]
fn an_output_that_is_a_new_state_too() {
    let state = |name: &str| port(name, F32, &[Some(1), ANY, Some(8)]);
    let inputs = vec![port("x", F32, &[ANY, Some(2)]), state("h"), state("c")];
    let draft = graph(inputs, vec![state("h_out"), state("c_out")]);
    // Task, three roles, the state of h, features, outputs; that c is a state too is not taken for granted.
    let answers = ["custom", "", "", "state", "", "a b", "h_out"];
    let contract = [
        ("task", "custom"),
        ("state.h", "h_out"),
        ("state.c", "c_out"),
        ("features", "[\"a\",\"b\"]"),
        ("outputs", "[\"h_out\"]"),
    ];
    let told = asks(draft, &answers, &contract);
    assert!(
        told.contains("state.c = c_out: nothing else fits"),
        "{told}"
    );
}

#[test]
fn a_remaining_life_by_quantiles() {
    let draft = graph(x(&[ANY, Some(2)]), vec![port("q", F32, &[ANY, Some(3)])]);
    // The levels first wrong in number, then in order: the contract's own reason.
    let answers = [
        "rul",
        "a b",
        "0.5",
        "0.5, 0.05, 0.95",
        "0.05, 0.5, 0.95",
        "hours",
        "500",
    ];
    let contract = [
        ("task", "rul"),
        ("features", "[\"a\",\"b\"]"),
        ("output.quantiles", "q"),
        ("quantiles", "[0.05,0.5,0.95]"),
        ("unit", "hours"),
        ("rul-cap", "500.0"),
    ];
    let told = asks(draft, &answers, &contract);
    assert!(
        told.contains("3 numbers are wanted, and these are 1: 0.5"),
        "{told}"
    );
    assert!(
        told.contains("quantiles must rise strictly within 0 and 1"),
        "{told}"
    );
}

#[test]
fn a_remaining_life_by_mean_and_spread() {
    let outputs = vec![port("life", F32, &[ANY]), port("doubt", F32, &[ANY])];
    let draft = graph(x(&[ANY, Some(2)]), outputs);
    let answers = ["", "a b", "moments", "", "sd", "hours", "500"];
    let contract = [
        ("task", "rul"),
        ("features", "[\"a\",\"b\"]"),
        ("output.mean", "life"),
        ("output.sd", "doubt"),
        ("unit", "hours"),
        ("rul-cap", "500.0"),
    ];
    let told = asks(draft, &answers, &contract);
    assert!(
        told.contains("output.sd = doubt: nothing else fits"),
        "{told}"
    );
}

#[test]
fn a_forecast_of_some_features() {
    let draft = graph(
        x(&[ANY, Some(12), Some(3)]),
        vec![port("next", F32, &[ANY, Some(1)])],
    );
    // Two targets, an unknown one, then by its number; horizon, scale, threshold.
    let answers = ["forecast", "", "a b c", "a, b", "d", "3", "2", "12", "9"];
    let contract = [
        ("task", "forecast"),
        ("input-layout", "LF"),
        ("features", "[\"a\",\"b\",\"c\"]"),
        ("sequence-length", "12"),
        ("output.forecast", "next"),
        ("targets", "[\"c\"]"),
        ("forecast-horizon", "2"),
        ("residual-scale", "[12.0]"),
        ("threshold", "9.0"),
    ];
    let told = asks(draft, &answers, &contract);
    assert!(
        told.contains("1 names are wanted, and these are 2"),
        "{told}"
    );
    assert!(told.contains("d is none of a, b, c"), "{told}");
    assert!(!told.contains("padding"), "a forecast has none: {told}");
}

#[test]
fn a_forecast_from_one_row_of_all_its_features() {
    let two = [ANY, Some(2)];
    let draft = graph(x(&two), vec![port("next", F32, &two)]);
    let (keys, _) = dialog(draft, &["forecast", "a b", "", "1 1", "9"]);
    assert_eq!(keys["sequence-length"], "1");
    assert_eq!(
        keys.get("targets"),
        None,
        "all of them are meant without it"
    );
}

#[test]
fn classes_by_probabilities_and_by_label() {
    let outputs = || {
        vec![
            port("label", STRING, &[ANY]),
            port("probabilities", F32, &[ANY, Some(3)]),
        ]
    };
    let draft = || graph(x(&[ANY, Some(2)]), outputs());
    let contract = [
        ("task", "classification"),
        ("features", "[\"a\",\"b\"]"),
        ("output.probabilities", "probabilities"),
        ("classes", "[\"healthy\",\"bearing\",\"seal\"]"),
        ("normal-class", "healthy"),
    ];
    asks(
        draft(),
        &["", "a b", "", "healthy, bearing, seal", "healthy"],
        &contract,
    );
    let (keys, _) = dialog(draft(), &["", "a b", "label", "0 1 2 3", ""]);
    assert_eq!(keys["output.label"], "label");
    assert_eq!(keys["classes"], "[\"0\",\"1\",\"2\",\"3\"]");
    assert_eq!(keys.get("normal-class"), None);
    // Two classes may share one probability.
    let draft = graph(x(&[ANY, Some(2)]), vec![port("p", F32, &[ANY, Some(1)])]);
    let (keys, told) = dialog(
        draft,
        &["classification", "a b", "a b c", "sound worn", "1"],
    );
    assert_eq!(keys["normal-class"], "sound");
    assert!(
        told.contains("2 names are wanted, and these are 3"),
        "{told}"
    );
}

#[test]
fn outputs_of_a_custom_model() {
    let outputs = || {
        vec![
            port("embedding", F32, &[ANY, Some(16)]),
            port("cluster", I64, &[ANY]),
        ]
    };
    let draft = || graph(x(&[ANY, ANY]), outputs());
    let (keys, _) = dialog(draft(), &["custom", "a b", ""]);
    assert_eq!(keys["outputs"], "[\"embedding\",\"cluster\"]");
    let (keys, _) = dialog(draft(), &["5", "a b", "2"]);
    assert_eq!(keys["outputs"], "[\"cluster\"]");
    // Nothing is asked of the only output.
    let draft = graph(x(&[ANY, ANY]), vec![port("y", F32, &[])]);
    let (keys, _) = dialog(draft, &["custom", "a"]);
    assert_eq!(keys["outputs"], "[\"y\"]");
}

#[test]
fn a_wrong_answer_is_told_and_asked_again() {
    let two = [ANY, Some(2)];
    let draft = graph(x(&two), vec![port("e", F32, &two)]);
    let answers = [
        "oracle", "1", "a", "a b", "9", "residual", "", "-1", "high", "nan", "2",
    ];
    let (keys, told) = dialog(draft, &answers);
    assert_eq!(keys["threshold"], "2.0");
    for reason in [
        "oracle is none of anomaly, rul, forecast, classification, custom",
        "2 names are wanted, and these are 1: a",
        "9 is none of residual, reconstruction",
        "there is no default: an answer is needed",
        "threshold must be a positive number, not -1",
        "high is no number",
        "nan is no number",
    ] {
        let reason = format!("that can't be taken: {reason}");
        assert!(told.contains(&reason), "no \"{reason}\" in {told}");
    }
}

#[test]
fn a_sequence_that_lies_flat_has_its_length_given() {
    let mut draft = graph(x(&[ANY, Some(6)]), vec![port("life", F32, &[ANY, Some(1)])]);
    draft.merge("sequence-length = 3".parse().unwrap());
    let (keys, told) = dialog(draft, &["", "a b", "edge", "hours", "500"]);
    assert_eq!(
        (keys["sequence-length"].as_str(), keys["padding"].as_str()),
        ("3", "edge")
    );
    assert!(told.contains("Names of the 2 features"), "{told}");
}

#[test]
fn an_end_of_the_input_is_no_answer() {
    let two = [ANY, Some(2)];
    let mut draft = graph(x(&two), vec![port("e", F32, &two)]);
    let error = ask(&mut draft, &mut Cursor::new("\n"), &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("the input ended"), "{error}");
}

/// The answers that a person would give who knows this contract.
fn answers(mut draft: Draft, contract: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(question) = draft.question(true) {
        let key = question.about.key();
        let has = |key: &str| contract.contains_key(key);
        let forms = [
            ("output.residual", "residual"),
            ("output.reconstruction", "reconstruction"),
            ("output.score", "score"),
            ("output.rul", "value"),
            ("output.quantiles", "quantiles"),
            ("output.mean", "moments"),
            ("output.probabilities", "probabilities"),
            ("output.label", "label"),
        ];
        let form = forms.iter().find(|(key, _)| has(key));
        let answer = match (&question.about, contract.get(key)) {
            (_, Some(value)) => value.clone(),
            (About::Decision(what), _) if what == "form" => form.unwrap().1.to_owned(),
            (About::Decision(what), _) if what == "spread" => "variance".to_owned(),
            (About::Decision(what), _) => {
                let input = what.strip_prefix("role of ").unwrap();
                let role = if has(&format!("state.{input}")) {
                    "state"
                } else {
                    "features"
                };
                role.to_owned()
            }
            (About::Optional(_), None) => String::new(),
            (About::Key(key), None) => panic!("{key} is not in {contract:?}"),
        };
        let only = question.only().map(ToOwned::to_owned);
        if only.is_none() {
            lines.push(answer.clone());
        }
        let answer = only.unwrap_or(answer);
        draft
            .answer(&question, &answer)
            .unwrap_or_else(|e| panic!("{key} {answer}: {e}"));
    }
    lines
}

#[test]
fn the_files_of_real_exporters_get_the_contract_that_they_have() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/models");
    let store = tempfile::tempdir().unwrap();
    let models = Models::serving_none(PathBuf::new());
    let admission = guard::admission_in(&models, store.path().to_owned()).unwrap();
    let mut tried = 0;
    for folder in std::fs::read_dir(&root).unwrap() {
        let folder = folder.unwrap().path().join("1");
        let text = std::fs::read_to_string(folder.join("model.toml")).unwrap();
        let mut contract = keys_from_toml(&text).unwrap();
        // What has to be calculated is not asked for.
        let asked = |key: &str| {
            !key.starts_with("calibration.")
                && !["interval-coverage", "failure-horizons"].contains(&key)
        };
        contract.retain(|key, _| asked(key));
        let files = ModelFiles {
            manifest: folder.join("none.toml"),
            ..ModelFiles::in_folder("model", 1, &folder)
        };
        let mut draft = Draft::default();
        draft.look_at(admission.inspect(&files).unwrap()).unwrap();
        let inputs: Vec<String> = draft
            .outline()
            .inputs
            .iter()
            .map(|p| p.name.clone())
            .collect();
        let lines = answers(draft.clone(), &contract);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (keys, told) = dialog(draft, &lines);
        let (got, wanted) = (
            Contract::from_keys(&keys, &inputs).unwrap(),
            Contract::from_keys(&contract, &inputs).unwrap(),
        );
        assert_eq!(got, wanted, "{}\n{told}", folder.display());
        tried += 1;
    }
    assert_eq!(tried, 20);
}
