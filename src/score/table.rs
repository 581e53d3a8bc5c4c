//! The table of scores: one row per prediction, one column per contribution.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use forewarn_models::Verdict;
use forewarn_pipeline::Plan;
use forewarn_pipeline::engine::Step;
use polars::prelude::{
    Column, CsvWriter, DataFrame, DataType, ParquetWriter, SerWriter as _, TimeUnit,
};

/// Columns of the output, filled step by step.
pub(super) struct ScoreTable {
    row: Vec<u64>,
    asset: Vec<String>,
    event_at: Vec<i64>,
    model: Vec<String>,
    version: Vec<u32>,
    task: Vec<&'static str>,
    score: Vec<Option<f64>>,
    threshold: Vec<Option<f64>>,
    confidence: Vec<Option<f64>>,
    anomalous: Vec<Option<bool>>,
    rul: Vec<Option<f64>>,
    health: Vec<Option<f64>>,
    /// Name, and share of the score, of every feature of an anomaly model.
    contributions: Vec<(String, Vec<Option<f32>>)>,
    /// By code: how many rows, and the first one.
    refused: BTreeMap<&'static str, (u64, u64)>,
}

impl ScoreTable {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut contributions: Vec<(String, Vec<Option<f32>>)> = Vec::new();
        for planned in &plan.models {
            let contract = &planned.model.contract;
            let known = |name: &String| contributions.iter().any(|(other, _)| other == name);
            if contract.task.name() == "anomaly" {
                let new: Vec<String> = contract
                    .features
                    .iter()
                    .filter(|name| !known(name))
                    .cloned()
                    .collect();
                contributions.extend(new.into_iter().map(|name| (name, Vec::new())));
            }
        }
        ScoreTable {
            row: Vec::new(),
            asset: Vec::new(),
            event_at: Vec::new(),
            model: Vec::new(),
            version: Vec::new(),
            task: Vec::new(),
            score: Vec::new(),
            threshold: Vec::new(),
            confidence: Vec::new(),
            anomalous: Vec::new(),
            rul: Vec::new(),
            health: Vec::new(),
            contributions,
            refused: BTreeMap::new(),
        }
    }

    /// Appends a step's verdicts; its first message is row `first` of the file, counted from 0.
    pub(super) fn append(&mut self, step: &Step<'_>, first: u64) {
        for refused in step.refused {
            let row = first + u64::from(refused.message);
            self.refused
                .entry(refused.refusal.code())
                .or_insert((0, row))
                .0 += 1;
        }
        for (planned, output) in step.plan.models.iter().zip(step.outputs) {
            let contract = &planned.model.contract;
            for (i, &row) in output.rows.iter().enumerate() {
                let Some(verdict) = output.verdicts.get(i) else {
                    continue;
                };
                let reading = row as usize;
                self.row
                    .push(first + u64::from(step.readings.message[reading]));
                self.asset.push(step.asset(row).to_owned());
                self.event_at.push(step.readings.event_at[reading]);
                self.model.push(planned.model.name.clone());
                self.version.push(planned.model.version);
                self.task.push(contract.task.name());
                self.push_verdict(&contract.features, verdict);
            }
        }
    }

    fn push_verdict(&mut self, features: &[String], verdict: Verdict<'_>) {
        let (anomaly, rul) = match verdict {
            Verdict::Anomaly {
                score,
                threshold,
                contributions,
            } => (Some((score, threshold, contributions)), None),
            Verdict::Rul { value, health } => (None, Some((value, health))),
        };
        self.score.push(anomaly.map(|(score, ..)| score));
        self.threshold
            .push(anomaly.map(|(_, threshold, _)| threshold));
        self.confidence.push(verdict.confidence());
        self.anomalous.push(anomaly.map(|_| verdict.anomalous()));
        self.rul.push(rul.map(|(value, _)| value));
        self.health.push(rul.map(|(_, health)| health));
        for (name, column) in &mut self.contributions {
            let position = features.iter().position(|feature| feature == name);
            column.push(anomaly.and_then(|(_, _, shares)| position.map(|f| shares[f])));
        }
    }

    /// Refused rows by code: how many, and the first one.
    pub(super) fn refused(&self) -> BTreeMap<&'static str, (u64, u64)> {
        self.refused.clone()
    }

    /// Writes the table; gives the number of predictions.
    pub(super) fn write(self, path: &Path) -> Result<u64> {
        let rows = self.row.len();
        let micros = Column::new("event_time".into(), self.event_at);
        let mut columns = vec![
            Column::new("row".into(), self.row),
            Column::new("asset".into(), self.asset),
            micros.cast(&DataType::Datetime(TimeUnit::Microseconds, None))?,
            Column::new("model".into(), self.model),
            Column::new("version".into(), self.version),
            Column::new("task".into(), self.task),
            Column::new("score".into(), self.score),
            Column::new("threshold".into(), self.threshold),
            Column::new("confidence".into(), self.confidence),
            Column::new("anomalous".into(), self.anomalous),
            Column::new("rul".into(), self.rul),
            Column::new("health".into(), self.health),
        ];
        for (name, shares) in self.contributions {
            columns.push(Column::new(format!("contribution.{name}").into(), shares));
        }
        let mut frame = DataFrame::new(rows, columns)?;
        let context = || path.display().to_string();
        let file = File::create(path).with_context(context)?;
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => drop(
                ParquetWriter::new(file)
                    .finish(&mut frame)
                    .with_context(context)?,
            ),
            Some("csv") => CsvWriter::new(file)
                .finish(&mut frame)
                .with_context(context)?,
            _ => bail!(
                "{}: the file's name must end in .parquet or .csv",
                path.display()
            ),
        }
        Ok(rows as u64)
    }
}
