//! What a model of remaining life said of assets that it has not learnt from, against what came true.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::conformal::{self, Row};
use crate::evaluate::{mae, nasa_score, rmse};
use crate::gate::{Difference, compare};
use crate::labels::Labels;
use crate::lives::{FIRST_JUDGED, Target};
use crate::recipe::JudgedRows;
use crate::rul::Told;

/// One row that is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    pub told: Told,
    /// Up to the cap.
    pub truth: f64,
}

/// Cases by asset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged(pub BTreeMap<String, Vec<Case>>);

/// How good it was. Errors in units of remaining life.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    pub assets: usize,
    pub rows: usize,
    pub rmse: f64,
    pub mae: f64,
    /// The sum over all rows: see [`nasa_score`].
    pub nasa_score: f64,
    /// Share of the rows below the cap whose truth lies in the interval.
    pub coverage: Option<f64>,
    /// Mean width of the interval there.
    pub width: Option<f64>,
}

impl Judged {
    /// Takes what was said of each asset, `(event time, told)` in the order of time, and keeps what is to be judged. Rows
    /// whose remaining life nobody knows are left out.
    pub fn new(
        said: impl IntoIterator<Item = (String, Vec<(i64, Told)>)>,
        labels: &Labels,
        target: Target,
        wanted: JudgedRows,
    ) -> Self {
        let mut judged = Judged::default();
        for (asset, said) in said {
            let (mut seen, mut before) = (0, None);
            let mut cases = Vec::new();
            for (time, told) in said {
                let Some(left) = labels.left(&asset, time) else {
                    continue;
                };
                let failure = time + left;
                seen = if before == Some(failure) { seen + 1 } else { 0 };
                before = Some(failure);
                let left = left as f64 / target.unit as f64;
                let says_something = seen >= FIRST_JUDGED && left <= target.healthy();
                if wanted == JudgedRows::Last || says_something {
                    let truth = left.min(target.cap);
                    cases.push(Case { told, truth });
                }
            }
            if wanted == JudgedRows::Last {
                cases.drain(..cases.len().saturating_sub(1));
            }
            if !cases.is_empty() {
                judged.0.insert(asset, cases);
            }
        }
        judged
    }

    pub fn figures(&self, cap: f64) -> Figures {
        let (told, truth) = columns(self.0.values());
        let below = self.rows(cap);
        let width: f64 = below.iter().map(|row| row.told.high - row.told.low).sum();
        Figures {
            assets: self.0.len(),
            rows: truth.len(),
            rmse: rmse(&told, &truth),
            mae: mae(&told, &truth),
            nasa_score: nasa_score(&told, &truth),
            coverage: conformal::coverage(below.iter().copied(), 0.0),
            width: (!below.is_empty()).then(|| width / below.len() as f64),
        }
    }

    /// This champion and a challenger by the root mean squared error over the assets that both have.
    pub fn against(&self, challenger: &Judged, confidence: f64, seed: u64) -> Option<Difference> {
        let pair = |(asset, champion): (&String, &Vec<Case>)| {
            Some((champion.clone(), challenger.0.get(asset)?.clone()))
        };
        let pairs: Vec<(Vec<Case>, Vec<Case>)> = self.0.iter().filter_map(pair).collect();
        let metric = |assets: &[&Vec<Case>]| {
            let (told, truth) = columns(assets.iter().copied());
            rmse(&told, &truth)
        };
        (!pairs.is_empty()).then(|| compare(&pairs, metric, confidence, seed))
    }

    /// All cases below the cap, for the margin of the interval: at the cap an interval that ends there is always right,
    /// and says nothing of how wide it should be.
    pub fn rows(&self, cap: f64) -> Vec<Row> {
        let assets = self.0.values().enumerate();
        let rows = assets.flat_map(|(asset, cases)| {
            let below = cases.iter().filter(move |case| case.truth < cap);
            below.map(move |case| Row {
                asset,
                told: case.told,
                truth: case.truth,
            })
        });
        rows.collect()
    }
}

fn columns<'a>(assets: impl Iterator<Item = &'a Vec<Case>>) -> (Vec<f64>, Vec<f64>) {
    let cases = assets.flatten();
    cases.map(|case| (case.told.mean, case.truth)).unzip()
}
