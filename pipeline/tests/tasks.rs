//! Each task from a reading to what is published of it, by hand.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

mod support;

use forewarn_models::Loader;
use forewarn_pipeline::{Plan, Prediction};
use serde_json::{Value, json};

use support::config;

/// The model's features are in another order than the view's.
const ROWS: &str = "[signals]\na = {}\nb = {}\n[views.v]\nfeatures = [\"b\", \"a\"]\n";

/// What is published on `topic` when a model of the fixtures scores readings of (asset, a, b), a second apart.
fn on(topic: &str, alarms: &str, model: &str, readings: &[(&str, f64, f64)]) -> Vec<Value> {
    let config = config(&format!("{alarms}{ROWS}serve {model} v\n"));
    let log: Vec<(&str, Value)> = readings
        .iter()
        .enumerate()
        .map(|(t, (asset, a, b))| (*asset, json!({"t": t, "a": a, "b": b})))
        .collect();
    support::told(&config, &log, topic)
}

fn told(model: &str, readings: &[(&str, f64, f64)]) -> Vec<Value> {
    let mut told = on("prediction", "", model, readings);
    for json in &mut told {
        // What is written is read back, without a loss.
        json.as_object_mut().unwrap().remove("id");
        let text = json.to_string();
        let read: Prediction<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), *json);
    }
    told.sort_by_key(|json| json["source"]["offset"].as_i64());
    told
}

#[test]
fn a_forecast_is_scored_when_the_row_that_it_is_of_has_come() {
    // Two rows are seen, the fifth is the third after them: b₄ is compared with b₁. Another asset between
    // them has rows of its own.
    let mut readings: Vec<(&str, f64, f64)> =
        (0..7).map(|i| ("x", 0.0, f64::from(i * i))).collect();
    readings.insert(3, ("y", 0.0, 50.0));
    let told = told("persistence", &readings);
    assert_eq!(told.len(), readings.len());
    let of_x: Vec<&Value> = told.iter().filter(|told| told["asset"] == "x").collect();
    for (i, told) in of_x.iter().enumerate() {
        let Some(before) = i.checked_sub(3).filter(|_| i >= 4) else {
            assert_eq!(told["unscored"]["code"], "insufficient-history", "row {i}");
            assert!(
                told["unscored"]["reason"]
                    .as_str()
                    .unwrap()
                    .contains("needs 5")
            );
            continue;
        };
        let residual = (i * i - before * before) as f64 / 2.0;
        let score = residual * residual;
        let expected = json!({
            "score": score, "threshold": 4.0, "confidence": score / 4.0, "anomalous": true,
            "contributions": {"b": 1.0},
        });
        assert_eq!(
            (&told["task"], &told["anomaly"]),
            (&json!("forecast"), &expected)
        );
    }
}

#[test]
fn a_class_is_published_with_its_probabilities() {
    let told = told("classes", &[("x", 0.75, 0.25), ("x", 0.25, 0.75)]);
    assert_eq!(
        told[0]["class"],
        json!({"class": "ok", "probability": 0.75, "probabilities": {"ok": 0.75, "worn": 0.25},
               "score": 0.25, "anomalous": false})
    );
    assert_eq!(told[1]["class"]["class"], "worn");
    assert_eq!(told[1]["class"]["anomalous"], true);
    assert_eq!(told[1]["task"], "classification");
}

#[test]
fn a_remaining_life_is_published_with_its_interval_and_failure() {
    let told = told(
        "moments",
        &[("x", 20.0, 10.0), ("x", 95.0, 10.0), ("x", 50.0, -1.0)],
    );
    // 20 % of six ranks at each end: the first and the last of the five residuals.
    assert_eq!(
        told[0]["rul"],
        json!({"value": 20.0, "unit": "hours", "health": 0.2,
               "interval": {"low": 0.0, "high": 40.0, "coverage": 0.6, "open": false},
               "failure": [{"within": 10.0, "probability": 2.0 / 6.0}, {"within": 20.0, "probability": 0.5}]})
    );
    let interval = &told[1]["rul"]["interval"];
    assert_eq!(
        (&interval["high"], &interval["open"]),
        (&json!(100.0), &json!(true))
    );
    // A standard deviation below zero is none.
    assert_eq!(told[2]["unscored"]["code"], "score-not-finite");
}

#[test]
fn custom_outputs_are_published_by_name() {
    let told = told("custom", &[("x", 1.5, 2.0)]);
    assert_eq!(told[0]["custom"], json!({"sum": 3.5, "e": [1.5, 2.0]}));
}

#[test]
fn alarms_watch_the_low_end_and_the_failure_of_a_life() {
    let readings = [("x", 50.0, 5.0), ("x", 30.0, 12.0), ("x", 12.0, 5.0)];
    let raised = |watch: &str, side: &str| -> Vec<Value> {
        let alarm = format!("[alarms.end]\nmodel = \"moments\"\nwatch = \"{watch}\"\n{side}\n");
        let alarms = on("alarm", &alarm, "moments", &readings);
        alarms.iter().map(|alarm| alarm["value"].clone()).collect()
    };
    // low = a − 2 b: 40, 6, 2. Of five residuals 0, 1 and 2 end within 10, the first horizon.
    assert_eq!(raised("rul-low", "below = 10.0"), [json!(6.0)]);
    assert_eq!(raised("failure", "above = 0.3"), [json!(2.5 / 6.0)]);
    assert_eq!(raised("rul", "below = 15.0"), [json!(12.0)]);
}

#[test]
fn an_alarm_on_what_a_task_does_not_give_is_told() {
    let problem = |alarm: &str, model: &str| {
        let alarm = format!("[alarms.x]\nmodel = \"{model}\"\n{alarm}\n");
        let config = config(&format!("{alarm}{ROWS}serve {model} v\n"));
        Plan::build(&config, &Loader::trusted())
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let none = problem("above = 1.0", "custom");
    assert!(none.contains("gives nothing to watch"), "{none}");
    let confidence = problem("watch = \"confidence\"\nabove = 1.0", "classes");
    assert!(
        confidence.contains("does not give confidence; it gives: score"),
        "{confidence}"
    );
    // A class is watched by its score, which is 1 − P(normal).
    let readings = [("x", 0.9, 0.1), ("x", 0.3, 0.7)];
    let alarm = "[alarms.x]\nmodel = \"classes\"\nabove = 0.5\n";
    let raised = on("alarm", alarm, "classes", &readings);
    assert_eq!((raised.len(), &raised[0]["watch"]), (1, &json!("score")));
}
