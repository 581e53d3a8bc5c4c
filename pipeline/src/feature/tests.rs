use super::*;
use crate::rows::Rows;

fn columns() -> InputColumns {
    InputColumns {
        names: vec!["a".into(), "b".into(), "quiet".into()],
        starred: 2,
    }
}

fn compile(texts: &[&str], scope: Scope) -> Result<FeatureView, Vec<FeatureProblem>> {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    FeatureView::compile("v", &texts, &columns(), scope)
}

fn evaluate(view: &FeatureView, a: &[f64], b: &[f64]) -> Vec<Vec<f64>> {
    let mut rows = Rows::new(3);
    let head = crate::rows::Head {
        slot: 0,
        asset: 0,
        event_at: 0,
        first_offset: 0,
        offset: 0,
        message: None,
        release: crate::rows::Release {
            at: 0,
            in_time: true,
        },
        publish: true,
        origin: crate::rows::Origin::Reading,
    };
    for (a, b) in a.iter().zip(b) {
        rows.push(head, &[*a, *b, 0.0]);
    }
    view.evaluate(&rows, 0).unwrap()
}

#[test]
fn signals_pass_and_expressions_are_computed() {
    let texts = [
        "b",
        "a - b AS d",
        "CASE WHEN a > 2 THEN 1 ELSE 0 END AS high",
    ];
    let twice = compile(&["b", "*"], Scope::Row);
    assert!(twice.is_err(), "b is there twice");
    let view = compile(&texts, Scope::Row).unwrap();
    let told = evaluate(&view, &[1.0, 5.0], &[0.5, 2.0]);
    assert_eq!(told, [[0.5, 2.0], [0.5, 3.0], [0.0, 1.0]]);
    assert_eq!(view.feature_names().collect::<Vec<_>>(), ["b", "d", "high"]);
}

#[test]
fn what_is_missing_stays_missing() {
    let view = compile(&["a / b AS q", "a", "COALESCE(a, 0) AS c"], Scope::Row).unwrap();
    let told = evaluate(&view, &[1.0, f64::NAN], &[4.0, 4.0]);
    assert_eq!(told[0][0], 0.25);
    assert!(told[0][1].is_nan() && told[1][1].is_nan());
    assert_eq!(told[2], [1.0, 0.0]);
}

#[test]
fn problems_of_single_rows_name_the_feature_the_place_and_the_reason() {
    let table = [
        (
            "missing + 1 AS m",
            "column 1: no column missing here; there are a, b, quiet",
        ),
        ("a + bb AS m", "column 5: no column bb"),
        ("a +", "column "),
        ("AVG(a) AS mean", "needs a view with `window`"),
        (
            "a - LAG(a) OVER (ORDER BY a) AS step",
            "more than one reading",
        ),
        ("a + NOSUCH(a) AS n", "column 5: "),
        ("'text' AS t", "expected a number"),
        ("a + event_time AS t", "column 5: no column event_time"),
    ];
    let texts: Vec<&str> = table.iter().map(|(text, _)| *text).collect();
    let problems = compile(&texts, Scope::Row).unwrap_err();
    assert_eq!(problems.len(), table.len(), "{problems:#?}");
    for (problem, (text, expected)) in problems.iter().zip(table) {
        assert!(
            problem.message.contains(expected),
            "{text}: {}",
            problem.message
        );
    }
}

#[test]
fn problems_of_windows_name_the_feature_the_place_and_the_reason() {
    let table = [
        ("a", "aggregate it"),
        ("a - AVG(a) AS d", "aggregate it"),
        ("*", "name the aggregates"),
        (
            "AVG(c) AS m",
            "column 5: no column c here; there are a, b, quiet, event_time",
        ),
        ("AVG(a", "column "),
        ("MIN(a) || 'x' AS t", "expected a number"),
    ];
    let texts: Vec<&str> = table.iter().map(|(text, _)| *text).collect();
    let problems = compile(&texts, Scope::Window).unwrap_err();
    assert_eq!(problems.len(), table.len(), "{problems:#?}");
    for (problem, (text, expected)) in problems.iter().zip(table) {
        assert!(
            problem.message.contains(expected),
            "{text}: {}",
            problem.message
        );
    }
    let good = [
        "AVG(a) AS mean",
        "STDDEV(a) AS std",
        "QUANTILE_CONT(a, 0.9) AS q90",
        "FIRST(a) AS first",
        "COUNT(*) AS n",
        "COVAR_SAMP(a, event_time) / VARIANCE(event_time) AS slope",
        "AVG(a) FILTER (WHERE b > 2) AS busy",
        "SQRT(AVG(a * a)) AS rms",
        "MAX(ABS(a)) AS peak",
    ];
    assert!(compile(&good, Scope::Window).is_ok());
}

#[test]
fn the_result_does_not_depend_on_the_batch() {
    let texts = ["SQRT(a * a + b) AS r", "ROUND(a, 2) AS k", "EXP(-b) AS e"];
    let view = compile(&texts, Scope::Row).unwrap();
    let a: Vec<f64> = (0..100).map(|i| f64::from(i) * 0.317 - 4.0).collect();
    let b: Vec<f64> = (0..100).map(|i| 20.0 + f64::from(i * i) * 0.01).collect();
    let whole = evaluate(&view, &a, &b);
    let mut cut = vec![Vec::new(); 3];
    for (a, b) in a.chunks(7).zip(b.chunks(7)) {
        for (all, part) in cut.iter_mut().zip(evaluate(&view, a, b)) {
            all.extend(part);
        }
    }
    assert_eq!(whole, cut);
}
