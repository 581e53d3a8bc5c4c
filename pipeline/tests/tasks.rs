//! Each task from a reading to what is published of it, by hand.
#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps says what it expects"
)]

use std::convert::Infallible;
use std::path::Path;

use forewarn_pipeline::message::Message;
use forewarn_pipeline::publish::{Encoder, OutputRecord, Publisher, SetAsideRecord};
use forewarn_pipeline::{Config, Engine, Plan, Prediction};
use serde_json::{Value, json};

/// What is published as a prediction.
#[derive(Default)]
struct Predictions(Vec<Value>);

impl Publisher for Predictions {
    type Error = Infallible;

    fn record(&mut self, record: &OutputRecord<'_>) -> Result<(), Infallible> {
        // What is written can be read back, by programs of this crate too.
        let read: Prediction<'_> = serde_json::from_slice(record.payload).unwrap();
        let again = serde_json::to_vec(&read).unwrap();
        assert_eq!(again, record.payload);
        self.0.push(serde_json::from_slice(record.payload).unwrap());
        Ok(())
    }

    fn set_aside(&mut self, record: &SetAsideRecord<'_>) -> Result<(), Infallible> {
        panic!("set aside: {:?}", record.why);
    }
}

/// What a model of the fixtures says of the readings of (asset, a, b), a second apart.
fn told(model: &str, readings: &[(&str, f64, f64)]) -> Vec<Value> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let text = format!(
        "name = \"p\"\n[source]\ntopic = \"in\"\nevent-time = {{ field = \"t\", unit = \"s\" }}\n\
         [signals]\na = {{}}\nb = {{}}\n[views.v]\nfeatures = [\"b\", \"a\"]\n[models]\nrepository = \"{}\"\n\
         [[models.serve]]\nname = \"{model}\"\nview = \"v\"\n",
        models.display()
    );
    let config = Config::parse("p.toml", &text, Path::new(".")).unwrap();
    let mut engine = Engine::new(&config, Plan::build(&config).unwrap());
    engine.assign(0, 0, 0, Vec::new());
    let payloads: Vec<String> = readings
        .iter()
        .enumerate()
        .map(|(t, (_, a, b))| json!({"t": t, "a": a, "b": b}).to_string())
        .collect();
    let messages: Vec<Message<'_>> = payloads
        .iter()
        .enumerate()
        .map(|(offset, payload)| Message {
            partition: 0,
            offset: offset as i64,
            timestamp: Some(2_000_000_000_000),
            key: Some(readings[offset].0.as_bytes()),
            payload: Some(payload.as_bytes()),
        })
        .collect();
    let mut predictions = Predictions::default();
    let step = engine.step(&messages).unwrap();
    let Ok(()) = Encoder::new("p", "in").publish(&step, &mut predictions);
    predictions
        .0
        .sort_by_key(|p| p["source"]["offset"].as_i64());
    predictions.0
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
