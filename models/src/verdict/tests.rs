use super::*;
use crate::contract::{
    ClassOutput, Classification, Contract, ErrorOutput, Estimate, Forecast, Layout, Padding, Rul,
    Sequence, Spread, Task,
};
use crate::outputs::Values;

fn contract(task: Task) -> Contract {
    Contract {
        description: String::new(),
        task,
        features: vec!["a".into(), "b".into()],
        units: Vec::new(),
        input: None,
        inputs: Vec::new(),
        sequence: None,
        layout: Layout::RowsFirst,
        max_gap: None,
        reference: Vec::new(),
        state: Vec::new(),
    }
}

fn residual(threshold: f64) -> Contract {
    let error = ErrorOutput::Residual { output: "e".into() };
    contract(Task::Anomaly { error, threshold })
}

/// Judges outputs of f32 over rows of zeros.
fn judge(contract: &Contract, rows: usize, outputs: &[&[f32]]) -> Verdicts {
    let input = vec![0.0; rows * contract.input_len()];
    judge_input(contract, &input, outputs)
}

fn judge_input(contract: &Contract, input: &[f32], outputs: &[&[f32]]) -> Verdicts {
    let outputs: Vec<Values<'_>> = outputs.iter().map(|o| Values::F32((*o).into())).collect();
    let mut verdicts = Verdicts::default();
    verdicts.judge(contract, input, &outputs);
    verdicts
}

#[test]
fn score_and_contributions_follow_the_formula() {
    let verdicts = judge(&residual(4.0), 2, &[&[3.0, -1.0, 0.0, 0.0]]);
    let Some(Verdict::Anomaly {
        score,
        contributions,
        ..
    }) = verdicts.get(0)
    else {
        panic!()
    };
    assert_eq!(score, 5.0);
    assert_eq!(contributions, [0.9, 0.1]);
    assert!(verdicts.get(0).unwrap().anomalous());
    assert_eq!(verdicts.get(0).unwrap().confidence(), Some(1.25));
    let Some(Verdict::Anomaly {
        score,
        contributions,
        ..
    }) = verdicts.get(1)
    else {
        panic!()
    };
    assert_eq!((score, contributions), (0.0, &[0.0, 0.0][..]));
}

#[test]
fn a_reconstruction_is_scaled_by_the_contract() {
    let error = ErrorOutput::Reconstruction {
        output: "y".into(),
        scale: vec![1.0, 10.0],
    };
    let contract = contract(Task::Anomaly {
        error,
        threshold: 1.0,
    });
    let verdicts = judge_input(&contract, &[5.0, 120.0], &[&[4.0, 100.0]]);
    assert_eq!(verdicts.get(0).unwrap().score(), Some(2.5));
}

#[test]
fn a_score_is_anomalous_at_the_end_that_the_contract_says() {
    let scored = |order, threshold| {
        let error = ErrorOutput::Score {
            output: "s".into(),
            order,
        };
        let verdicts = judge(
            &contract(Task::Anomaly { error, threshold }),
            4,
            &[&[-0.5, 0.0, 0.5, f32::NAN]],
        );
        let told = |row| {
            let verdict: Verdict<'_> = verdicts.get(row)?;
            Some((verdict.anomalous(), verdict.confidence()))
        };
        [told(0), told(1), told(2), told(3)]
    };
    let [yes, no] = [true, false].map(|anomalous| Some((anomalous, None)));
    assert_eq!(scored(ScoreOrder::Lower, 0.0), [yes, no, no, None]);
    assert_eq!(scored(ScoreOrder::Higher, -0.25), [no, yes, yes, None]);
    let above = scored(ScoreOrder::Higher, 0.25);
    assert_eq!(above[2], Some((true, Some(2.0))));
    assert_eq!(above[0], Some((false, Some(-2.0))));
}

#[test]
fn a_forecast_is_compared_with_the_row_that_the_graph_has_not_seen() {
    let forecast = Forecast {
        output: "y".into(),
        targets: vec!["b".into()],
        places: vec![1],
        horizon: 2,
        scale: vec![2.0],
        threshold: 1.0,
    };
    let contract = Contract {
        sequence: Some(Sequence {
            length: 1,
            padding: Padding::None,
            step: 1,
            min_rows: 1,
        }),
        ..contract(Task::Forecast(forecast))
    };
    // Two gathered inputs of three rows: seen, passed over, compared.
    let input = [1., 1., 2., 2., 9., 30., 1., 1., 2., 2., 9., 8.];
    let verdicts = judge_input(&contract, &input, &[&[20.0, 8.0]]);
    let Some(Verdict::Anomaly {
        score,
        contributions,
        ..
    }) = verdicts.get(0)
    else {
        panic!()
    };
    assert_eq!((score, contributions), (25.0, &[1.0][..]));
    assert_eq!(verdicts.get(1).unwrap().score(), Some(0.0));
}

fn rul(estimate: Estimate) -> Contract {
    contract(Task::Rul(Rul {
        estimate,
        unit: "cycles".into(),
        cap: 125.0,
        coverage: 0.8,
        horizons: vec![10.0, 50.0],
    }))
}

fn value(residuals: Vec<f64>) -> Contract {
    let output = "rul".into();
    rul(Estimate::Value { output, residuals })
}

#[test]
fn a_value_that_is_not_finite_has_no_verdict_and_spares_its_neighbours() {
    let verdicts = judge(&residual(1.0), 2, &[&[f32::NAN, 0.0, 1.0, 1.0]]);
    assert_eq!(verdicts.get(0), None);
    assert_eq!(verdicts.get(1).unwrap().confidence(), Some(1.0));
    // A share that leaves the range of f32 is not finite either.
    let verdicts = judge(&residual(1.0), 1, &[&[3e38, 1.0]]);
    assert_eq!(verdicts.get(0), None);
    let verdicts = judge(&value(Vec::new()), 2, &[&[f32::INFINITY, 25.0]]);
    assert_eq!(verdicts.get(0), None);
    assert_eq!(
        verdicts.get(1),
        Some(Verdict::Rul {
            value: 25.0,
            health: 0.2,
            interval: None,
            failure: &[],
        })
    );
}

#[test]
fn each_estimate_of_life_has_its_interval_and_failure() {
    let told = |contract: &Contract, outputs: &[&[f32]]| {
        let verdicts = judge(contract, 1, outputs);
        let Some(Verdict::Rul {
            value,
            interval: Some(interval),
            failure,
            ..
        }) = verdicts.get(0)
        else {
            panic!("{verdicts:?}")
        };
        let ends = (interval.low, interval.high, interval.open);
        (value, ends, failure.to_vec())
    };
    let residuals: Vec<f64> = (-4..=4).map(|i| f64::from(i) * 10.0).collect();
    let conformal = told(&value(residuals), &[&[60.0]]);
    assert_eq!(conformal, (60.0, (20.0, 100.0, false), vec![0.05, 0.4]));
    let quantiles = rul(Estimate::Quantiles {
        output: "q".into(),
        levels: vec![0.1, 0.5, 0.9],
        margin: 5.0,
    });
    let (value, (low, high, open), failure) = told(&quantiles, &[&[55.0, 40.0, 121.0]]);
    assert_eq!((value, low.round(), high, open), (55.0, 35.0, 125.0, true));
    assert_eq!(failure[0], 0.0);
    assert!((failure[1] - 0.4).abs() < 1e-12, "{failure:?}");
    for spread in [
        Spread::Variance("s".into()),
        Spread::StandardDeviation("s".into()),
    ] {
        let told_spread = match spread {
            Spread::Variance(_) => 400.0,
            Spread::StandardDeviation(_) => 20.0,
        };
        let moments = rul(Estimate::Moments {
            mean: "m".into(),
            spread,
            residuals: Vec::new(),
        });
        let (value, (low, high, _), failure) = told(&moments, &[&[50.0], &[told_spread]]);
        assert_eq!((value, failure[1]), (50.0, 0.5));
        assert!((low - 24.369).abs() < 1e-3 && (high - 75.631).abs() < 1e-3);
        assert_eq!(judge(&moments, 1, &[&[50.0], &[-1.0]]).get(0), None);
    }
    let scaled = rul(Estimate::Moments {
        mean: "m".into(),
        spread: Spread::StandardDeviation("s".into()),
        residuals: (-4..=4).map(f64::from).collect(),
    });
    let (_, ends, failure) = told(&scaled, &[&[60.0], &[10.0]]);
    assert_eq!((ends, failure), ((20.0, 100.0, false), vec![0.05, 0.4]));
    // Too few residuals for the coverage, and no spread: still no NaN.
    let few = rul(Estimate::Moments {
        mean: "m".into(),
        spread: Spread::StandardDeviation("s".into()),
        residuals: vec![0.0],
    });
    let (_, ends, failure) = told(&few, &[&[60.0], &[0.0]]);
    assert_eq!((ends, failure), ((0.0, 125.0, true), vec![0.25, 0.25]));
}

#[test]
fn the_likeliest_class_is_told_and_anomalous_unless_normal() {
    let classes = |count: usize, normal| {
        let names = ["ok", "worn", "broken"][..count].iter();
        contract(Task::Classification(Classification {
            classes: names.map(|name| (*name).into()).collect(),
            output: ClassOutput::Probabilities("p".into()),
            normal,
        }))
    };
    let three = judge(
        &classes(3, Some(0)),
        3,
        &[&[0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.5, f32::NAN, 0.25]],
    );
    let first = three.get(0).unwrap();
    assert_eq!((first.anomalous(), first.score()), (false, Some(0.5)));
    let second = three.get(1).unwrap();
    assert_eq!((second.anomalous(), second.score()), (true, Some(0.75)));
    assert!(matches!(second, Verdict::Class { class: 1, .. }));
    assert_eq!(three.get(2), None);
    // Of two classes one number is enough, and without a normal one nothing is anomalous.
    let two = judge(&classes(2, None), 2, &[&[0.75, 0.25]]);
    let told = two.get(0).unwrap();
    assert_eq!((told.anomalous(), told.score()), (false, None));
    assert!(matches!(
        told,
        Verdict::Class {
            class: 1,
            probabilities: &[0.25, 0.75],
            ..
        }
    ));
}

#[test]
fn custom_outputs_are_told_as_they_are() {
    let outputs = vec!["a".into(), "b".into()];
    let custom = contract(Task::Custom { outputs });
    let verdicts = judge(&custom, 2, &[&[1.0, 2.0], &[3.0, 4.0, 5.0, f32::INFINITY]]);
    assert_eq!(
        verdicts.get(0),
        Some(Verdict::Custom {
            values: &[1.0, 3.0, 4.0],
            widths: &[1, 2],
        })
    );
    assert_eq!(verdicts.get(1), None);
}
