//! `forewarn model compare`: challengers beside the models that they may replace, from what was published of
//! both.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail};
use clap::Args;
use forewarn_pipeline::kafka::reader;
use forewarn_pipeline::{Config, Prediction};
use forewarn_training::evaluate::{Paired, Said};
use serde_json::{Value, json};

use super::ReplyArgs;
use crate::cli::PipelineArgs;
use crate::terminal::thousands;

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    reply: ReplyArgs,
}

/// Champion and challenger, each as `name@version`.
type Pair = (String, String);

pub(super) fn run(args: &CompareArgs) -> Result<()> {
    let config = args.pipeline.load()?;
    let champions = champions(&config);
    if champions.is_empty() {
        bail!(
            "no entry of [[models.serve]] has challengers: add shadow = [{{ version = 2 }}] to one"
        );
    }
    // The shadow topic is the smaller one: it is kept, and the predictions pass by.
    let mut shadow: HashMap<String, Vec<(String, String, Said)>> = HashMap::new();
    let kept = |prediction: Prediction<'_>| {
        let told = (
            versioned(&prediction),
            prediction.model.to_string(),
            said(&prediction),
        );
        shadow.entry(prediction.row()).or_default().push(told);
    };
    reader::read_past(&config, &config.sink.shadow, kept)
        .with_context(|| format!("the results of challengers in {}", config.sink.shadow))?;
    let mut pairs: BTreeMap<Pair, Paired> = BTreeMap::new();
    let compared = |prediction: Prediction<'_>| {
        let Some(others) = shadow.get(&prediction.row()) else {
            return;
        };
        for (challenger, name, told) in others {
            let of = champions.get(name).map_or(&[][..], Vec::as_slice);
            if of.iter().any(|champion| *champion == prediction.model) {
                let pair = (versioned(&prediction), challenger.clone());
                let paired = pairs.entry(pair).or_default();
                paired.add(said(&prediction), *told);
            }
        }
    };
    reader::read_past(&config, &config.sink.predictions, compared)
        .with_context(|| format!("the predictions in {}", config.sink.predictions))?;
    let list: Vec<Value> = pairs.iter().map(as_json).collect();
    args.reply.output.print(&list, || text(&pairs))
}

/// By the name of a challenger, the models that it may replace.
fn champions(config: &Config) -> HashMap<String, Vec<String>> {
    let mut champions: HashMap<String, Vec<String>> = HashMap::new();
    for served in &config.models.serve {
        for challenger in &served.shadow {
            let name = challenger.name.as_ref().unwrap_or(&served.name);
            let of = champions.entry(name.clone()).or_default();
            of.push(served.name.clone());
        }
    }
    champions
}

fn versioned(prediction: &Prediction<'_>) -> String {
    format!("{}@{}", prediction.model, prediction.version)
}

fn said(prediction: &Prediction<'_>) -> Said {
    let of_class = prediction.class.as_ref().and_then(|class| class.anomalous);
    Said {
        anomalous: prediction
            .anomaly
            .as_ref()
            .map(|anomaly| anomaly.anomalous)
            .or(of_class),
        rul: prediction.rul.as_ref().map(|rul| rul.value),
        unscored: prediction.unscored.is_some(),
    }
}

fn as_json(((champion, challenger), paired): (&Pair, &Paired)) -> Value {
    let mut value = json!({ "champion": champion, "challenger": challenger });
    if let (Some(value), Ok(Value::Object(counts))) =
        (value.as_object_mut(), serde_json::to_value(paired))
    {
        value.extend(counts);
    }
    value["disagreement"] = paired.disagreement().into();
    if let Some((mean, absolute, within)) = paired.life() {
        value["rul_difference"] =
            json!({ "mean": mean, "mean_absolute": absolute, "p95_absolute": within });
    }
    value
}

fn text(pairs: &BTreeMap<Pair, Paired>) -> String {
    if pairs.is_empty() {
        return "no row has results of both yet".into();
    }
    let mut lines = Vec::new();
    for ((champion, challenger), paired) in pairs {
        lines.push(format!(
            "{challenger} beside {champion}: {} rows that both scored, {} only {champion}, {} only {challenger}",
            thousands(paired.rows),
            thousands(paired.only_champion_scored),
            thousands(paired.only_challenger_scored),
        ));
        if let Some(disagreement) = paired.disagreement() {
            lines.push(format!(
                "  flagged by both {}, only by {champion} {}, only by {challenger} {}, by neither {}: they disagree \
                 on {:.2} %",
                thousands(paired.both_flag),
                thousands(paired.only_champion_flags),
                thousands(paired.only_challenger_flags),
                thousands(paired.neither_flags),
                disagreement * 100.0
            ));
        }
        if let Some((mean, absolute, within)) = paired.life() {
            lines.push(format!(
                "  remaining life: {challenger} says {mean:+.3} on average, {absolute:.3} apart, 95 % within {within:.3}"
            ));
        }
    }
    lines.join("\n")
}
