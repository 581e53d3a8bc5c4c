use super::*;

fn keys(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn a_rul_contract_is_read_from_metadata() {
    let contract = Contract::from_keys(&keys(&[
        ("contract", "1"),
        ("task", "rul"),
        ("features", r#"["T24","T30"]"#),
        ("sequence-length", "30"),
        ("padding", "edge"),
        ("output.rul", "rul"),
        ("unit", "cycles"),
        ("rul-cap", "125"),
    ]))
    .unwrap();
    assert_eq!(contract.length(), 30);
    assert_eq!(contract.task.output(), "rul");
    assert_eq!(contract.sequence.unwrap().padding, Padding::Edge);
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = Contract::from_keys(&keys(&[
        ("task", "anomaly"),
        ("features", r#"["a","b"]"#),
        ("units", r#"["g"]"#),
        ("output.reconstruction", "y"),
        ("residual-scale", "[1.0]"),
        ("threshold", "-1"),
    ]))
    .unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].contains("forewarn.units"));
    assert!(problems[1].contains("2 positive numbers"));
    assert!(problems[2].contains("forewarn.threshold"));
}

#[test]
fn a_bare_file_is_told_what_a_contract_is() {
    let problems = Contract::from_keys(&BTreeMap::new()).unwrap_err();
    assert!(problems[0].contains("model.toml"), "{problems:?}");
}

#[test]
fn model_toml_gives_the_same_keys_as_metadata() {
    let keys = keys_from_toml(
        "task = \"anomaly\"\nfeatures = [\"a\"]\nthreshold = 1.5\n[output]\nresidual = \"e\"\n",
    )
    .unwrap();
    assert_eq!(keys["output.residual"], "e");
    assert_eq!(keys["features"], r#"["a"]"#);
    let contract = Contract::from_keys(&keys).unwrap();
    assert!(matches!(contract.task, Task::Anomaly { threshold, .. } if threshold == 1.5));
}

/// A contract without problems, and `more` keys.
fn rul_with(more: &[(&str, &str)]) -> Result<Contract, Vec<String>> {
    let mut all = keys(&[
        ("task", "rul"),
        ("features", r#"["a"]"#),
        ("output.rul", "rul"),
        ("unit", "hours"),
        ("rul-cap", "100"),
    ]);
    all.extend(keys(more));
    Contract::from_keys(&all)
}

#[test]
fn an_asset_waits_for_all_rows_unless_they_are_padded() {
    let sequence = |more: &[(&str, &str)]| rul_with(more).unwrap().sequence.unwrap();
    let none = sequence(&[("sequence-length", "6")]);
    assert_eq!((none.step, none.min_rows), (1, 6));
    let edge = sequence(&[("sequence-length", "6"), ("padding", "edge")]);
    assert_eq!((edge.step, edge.min_rows), (1, 1));
    let told = sequence(&[
        ("sequence-length", "6"),
        ("padding", "edge"),
        ("sequence-step", "3"),
        ("sequence-min-rows", "4"),
    ]);
    assert_eq!((told.step, told.min_rows), (3, 4));
    let same = sequence(&[("sequence-length", "6"), ("sequence-min-rows", "6")]);
    assert_eq!(same.min_rows, 6);
}

#[test]
fn a_gap_is_a_duration_for_sequences_and_for_states() {
    let gap = |more: &[(&str, &str)]| rul_with(more).unwrap().max_gap;
    assert_eq!(gap(&[("sequence-length", "6")]), None);
    assert_eq!(
        gap(&[("sequence-length", "6"), ("sequence-max-gap", "2h")]),
        Some(Duration::from_secs(7_200))
    );
    assert_eq!(
        gap(&[("state.h_in", "h_out"), ("sequence-max-gap", "90s")]),
        Some(Duration::from_secs(90))
    );
}

#[test]
fn state_pairs_are_the_same_from_metadata_and_from_a_toml_table() {
    let metadata = rul_with(&[("state.h_in", "h_out"), ("state.c_in", "c_out")]).unwrap();
    let pair = |input: &str, output: &str| StatePair {
        input: input.into(),
        output: output.into(),
    };
    assert_eq!(
        metadata.state,
        [pair("c_in", "c_out"), pair("h_in", "h_out")]
    );
    assert!(metadata.is_recurrent());
    let toml = "task = \"rul\"\nfeatures = [\"a\"]\nunit = \"hours\"\nrul-cap = 100\noutput.rul = \"rul\"\n\
                [state]\nh_in = \"h_out\"\nc_in = \"c_out\"\n";
    let manifest = Contract::from_keys(&keys_from_toml(toml).unwrap()).unwrap();
    assert_eq!(manifest, metadata);
}

#[test]
fn each_problem_of_sequence_and_state_names_its_key() {
    let length = ("sequence-length", "6");
    let edge = ("padding", "edge");
    let state = ("state.h_in", "h_out");
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let table: &[(Pairs<'_>, &str, &str)] = &[
        (&[("sequence-length", "0")], "sequence-length", "at least 1"),
        (&[("sequence-length", "six")], "sequence-length", "six"),
        (&[length, ("padding", "zero")], "padding", "zero"),
        (
            &[length, ("sequence-step", "0")],
            "sequence-step",
            "at least 1",
        ),
        (&[length, ("sequence-step", "-1")], "sequence-step", "-1"),
        (
            &[("sequence-step", "2")],
            "sequence-step",
            "without forewarn.sequence-length",
        ),
        (
            &[state, ("sequence-step", "2")],
            "sequence-step",
            "without forewarn.sequence-length",
        ),
        (
            &[("sequence-min-rows", "2")],
            "sequence-min-rows",
            "without forewarn.sequence-length",
        ),
        (
            &[length, edge, ("sequence-min-rows", "0")],
            "sequence-min-rows",
            "at least 1",
        ),
        (
            &[length, edge, ("sequence-min-rows", "7")],
            "sequence-min-rows",
            "length 6, not 7",
        ),
        (
            &[length, ("sequence-min-rows", "3")],
            "sequence-min-rows",
            "\"edge\"",
        ),
        (
            &[("sequence-max-gap", "2h")],
            "sequence-max-gap",
            "forewarn.state.<input>",
        ),
        (
            &[length, ("sequence-max-gap", "0s")],
            "sequence-max-gap",
            "longer than 0",
        ),
        (
            &[length, ("sequence-max-gap", "90")],
            "sequence-max-gap",
            "such as 90s",
        ),
        (
            &[length, state],
            "state.h_in",
            "can't go with forewarn.sequence-length",
        ),
        (&[("state.h_in", "")], "state.h_in", "new state"),
        (&[("state.", "h_out")], "state.", "new state"),
        (
            &[state, ("state.i_in", "h_out")],
            "state.i_in",
            "another input",
        ),
    ];
    for (more, key, what) in table {
        let problems = rul_with(more).unwrap_err();
        assert!(
            problems.len() == 1
                && problems[0].starts_with(&format!("forewarn.{key} "))
                && problems[0].contains(what),
            "{more:?}: {problems:?}"
        );
    }
}
