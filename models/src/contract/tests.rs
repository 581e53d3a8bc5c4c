use super::*;

fn read(keys: &BTreeMap<String, String>) -> Result<Contract, Vec<String>> {
    Contract::from_keys(keys, &[])
}

fn keys(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn a_rul_contract_is_read_from_metadata() {
    let contract = read(&keys(&[
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
    assert_eq!(contract.task.outputs()[0].name, "rul");
    assert_eq!(contract.sequence.unwrap().padding, Padding::Edge);
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = read(&keys(&[
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
    let problems = read(&BTreeMap::new()).unwrap_err();
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
    let contract = read(&keys).unwrap();
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
    read(&all)
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
    let manifest = read(&keys_from_toml(toml).unwrap()).unwrap();
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

/// Features a and b, and `more` keys.
fn with(more: &[(&str, &str)]) -> Result<Contract, Vec<String>> {
    let mut all = keys(&[("features", r#"["a","b"]"#)]);
    all.extend(keys(more));
    read(&all)
}

#[test]
fn each_task_is_read_with_what_its_verdicts_need() {
    let lower = with(&[
        ("task", "anomaly"),
        ("output.score", "scores"),
        ("score-order", "lower"),
        ("threshold", "-0.25"),
    ]);
    let error = ErrorOutput::Score {
        output: "scores".into(),
        order: ScoreOrder::Lower,
    };
    let threshold = -0.25;
    assert_eq!(lower.unwrap().task, Task::Anomaly { error, threshold });

    let forecast = with(&[
        ("task", "forecast"),
        ("output.forecast", "y"),
        ("targets", r#"["b"]"#),
        ("forecast-horizon", "3"),
        ("residual-scale", "[2.5]"),
        ("threshold", "4"),
        ("sequence-length", "6"),
        ("sequence-step", "2"),
    ])
    .unwrap();
    let gathered = forecast.gathered().unwrap();
    assert_eq!(
        (gathered.length, gathered.min_rows, gathered.step),
        (9, 9, 2)
    );
    assert_eq!((forecast.length(), forecast.input_len()), (6, 18));
    assert_eq!(forecast.contributors(), ["b"]);

    let classes = with(&[
        ("task", "classification"),
        ("classes", "[0, 1, 2]"),
        ("output.probabilities", "p"),
        ("normal-class", "0"),
    ]);
    let Task::Classification(told) = classes.unwrap().task else {
        panic!()
    };
    assert_eq!((told.classes[2].as_str(), told.normal), ("2", Some(0)));

    let quantiles = with(&[
        ("task", "rul"),
        ("unit", "hours"),
        ("rul-cap", "500"),
        ("output.quantiles", "q"),
        ("quantiles", "[0.1, 0.5, 0.9]"),
        ("failure-horizons", "[24, 168]"),
    ]);
    let Task::Rul(rul) = quantiles.unwrap().task else {
        panic!()
    };
    // The default of 0.9 is not within the reach of these quantiles.
    assert!((rul.coverage - 0.8).abs() < 1e-12);
    assert_eq!(rul.horizons, [24.0, 168.0]);
}

#[test]
fn features_of_several_tensors_come_in_the_order_of_the_graph() {
    let several = keys(&[
        ("task", "custom"),
        ("outputs", r#"["y"]"#),
        ("input.pressure", r#"["p"]"#),
        ("input.others", r#"["a","b","p"]"#),
    ]);
    let graph = ["pressure".to_owned(), "others".to_owned()];
    let contract = Contract::from_keys(&several, &graph).unwrap();
    assert_eq!(contract.features, ["p", "a", "b"]);
    assert_eq!(contract.inputs[1].features, ["a", "b", "p"]);
    let mut listed = several.clone();
    listed.insert("features".into(), r#"["b","a","p","unused"]"#.into());
    let contract = Contract::from_keys(&listed, &graph).unwrap();
    assert_eq!(contract.features, ["b", "a", "p", "unused"]);
    listed.insert("features".into(), r#"["b","a"]"#.into());
    let problems = Contract::from_keys(&listed, &graph).unwrap_err();
    assert!(problems[0].contains("lacks p"), "{problems:?}");
}

#[test]
fn each_problem_of_a_task_names_its_key() {
    let rul = [("task", "rul"), ("unit", "h"), ("rul-cap", "100")];
    let value = [&rul[..], &[("output.rul", "y")]].concat();
    let quantiles = [&rul[..], &[("output.quantiles", "q")]].concat();
    let levels = [&quantiles[..], &[("quantiles", "[0.1,0.5,0.9]")]].concat();
    let mean = [&rul[..], &[("output.mean", "m")]].concat();
    let score = [("task", "anomaly"), ("output.score", "s")];
    let forecast = [
        ("task", "forecast"),
        ("output.forecast", "y"),
        ("threshold", "1"),
        ("residual-scale", "[1,1]"),
    ];
    let long = [&forecast[..], &[("sequence-length", "4")]].concat();
    let classes = [("task", "classification"), ("output.label", "l")];
    let named = [&classes[..], &[("classes", r#"["ok","worn"]"#)]].concat();
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let table: &[(Pairs<'_>, (&str, &str), &str, &str)] = &[
        (&score, ("task", "clustering"), "task", "must be one of"),
        (&score, ("threshold", "[1]"), "threshold", "not the JSON"),
        (&score, ("score-order", "up"), "score-order", "\"lower\""),
        (
            &score,
            ("output.residual", "e"),
            "output.residual",
            "keep the one",
        ),
        (&value, ("score-order", "lower"), "score-order", ""),
        (
            &value,
            ("interval-coverage", "0.9"),
            "interval-coverage",
            "calibration.residuals",
        ),
        (
            &value,
            ("calibration.residuals", "[2,1]"),
            "calibration.residuals",
            "sorted",
        ),
        (
            &value,
            ("calibration.margin", "1"),
            "calibration.margin",
            "output.quantiles",
        ),
        (&mean, ("unit", "h"), "output.variance", "output.sd"),
        (&quantiles, ("unit", "h"), "quantiles", "is missing"),
        (&quantiles, ("quantiles", "[0.1,0.9]"), "quantiles", "0.5"),
        (
            &quantiles,
            ("quantiles", "[0.5]"),
            "quantiles",
            "between others",
        ),
        (
            &levels,
            ("interval-coverage", "0.95"),
            "interval-coverage",
            "calibration.margin",
        ),
        (
            &levels,
            ("interval-coverage", "1"),
            "interval-coverage",
            "within 0 and 1",
        ),
        (
            &levels,
            ("failure-horizons", "[50,150]"),
            "failure-horizons",
            "below rul-cap",
        ),
        (
            &levels,
            ("calibration.residuals", "[1]"),
            "calibration.residuals",
            "margin",
        ),
        (&forecast, ("unit", "h"), "sequence-length", "is missing"),
        (&long, ("padding", "edge"), "padding", "real rows"),
        (&long, ("targets", r#"["c"]"#), "targets", "a, b"),
        (
            &long,
            ("forecast-horizon", "0"),
            "forecast-horizon",
            "at least 1",
        ),
        (&classes, ("unit", "h"), "classes", "is missing"),
        (
            &classes,
            ("classes", r#"["ok","ok"]"#),
            "classes",
            "each once",
        ),
        (&named, ("normal-class", "fine"), "normal-class", "ok, worn"),
        (
            &[("task", "custom")],
            ("outputs", "[]"),
            "outputs",
            "at least one",
        ),
        (&long, ("input-layout", "BF"), "input-layout", "\"FL\""),
        (
            &value,
            ("input-layout", "FL"),
            "input-layout",
            "sequence-length",
        ),
        (&value, ("input.x", "[]"), "input.x", "must name"),
    ];
    for (base, more, key, what) in table {
        let problems = with(&[base, &[*more][..]].concat()).err();
        let told = problems.iter().flatten();
        let mut told = told.filter(|problem| problem.starts_with(&format!("forewarn.{key} ")));
        // A key of another task is not looked at, and no mistake.
        let expected = usize::from(!what.is_empty());
        let found = told.clone().count();
        let said = told.next().map_or("", String::as_str);
        assert!(
            found == expected && said.contains(what),
            "{more:?}: {problems:?}"
        );
    }
}
