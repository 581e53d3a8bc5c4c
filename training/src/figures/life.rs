//! What a model of remaining life told, against what came true.

use std::collections::BTreeMap;

use super::axis::Axis;
use super::sheet::{Ink, Mark, Panel, Shape, Sheet};
use super::spread;
use crate::judged::{Case, Judged};
use crate::labels::Labels;
use crate::lives::Target;
use crate::rul::Told;

/// Rows that one figure of single rows holds: more of them hide each other.
const ROWS: usize = 240;
/// Lives side by side, and rows of each: about one in two pixels.
const LIVES: usize = 6;
const ROWS_OF_A_LIFE: usize = 90;

/// What was told along the life of an asset.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    pub asset: String,
    /// Time since the first row, in the unit of remaining life; the remaining life up to the cap, if it is known; and what
    /// was told.
    pub rows: Vec<(f64, Option<f64>, Told)>,
}

impl Life {
    /// Lives of assets by what was said of them, `(event time, told)` in the order of time.
    pub fn of_assets(
        said: &BTreeMap<String, Vec<(i64, Told)>>,
        labels: &Labels,
        target: Target,
    ) -> Vec<Self> {
        let life = |(asset, said): (&String, &Vec<(i64, Told)>)| {
            let units = |time: i64| time as f64 / target.unit as f64;
            let first = said.first().map_or(0, |(time, _)| *time);
            let row = |&(time, told): &(i64, Told)| {
                let left = labels.left(asset, time);
                let truth = left.map(|left| units(left).min(target.cap));
                (units(time.saturating_sub(first)), truth, told)
            };
            Life {
                asset: asset.clone(),
                rows: said.iter().map(row).collect(),
            }
        };
        said.iter().map(life).collect()
    }
}

/// Remaining life told over the true one, with intervals; at the diagonal they are equal. `unit` is that of remaining
/// life. Rows are spread evenly over those of each asset, where there are more than a person can see.
pub fn told_and_true(judged: &Judged, unit: &str, cap: f64) -> String {
    let cases = shown(judged);
    let highest = cases.iter().map(|case| case.told.high.max(case.told.mean));
    let axis = |what: &str| format!("{what} remaining life ({unit})");
    let x = Axis::linear(axis("true"), 0.0, cap);
    let y = Axis::from_zero(axis("told"), highest.fold(cap, f64::max));
    let intervals = cases.iter().filter(|case| case.told.high > case.told.low);
    let intervals: Vec<_> = intervals
        .map(|case| (case.truth, case.told.low, case.told.high))
        .collect();
    let dots = cases
        .iter()
        .map(|case| (case.truth, case.told.mean))
        .collect();
    let mut marks = vec![
        Mark::new(Ink::Guide, Shape::Line(vec![(0.0, cap), (cap, cap)]))
            .named(format!("cap of {cap} {unit}")),
        Mark::new(Ink::Black, Shape::Line(vec![(0.0, 0.0), (cap, cap)])).named("told as it is"),
    ];
    if !intervals.is_empty() {
        marks.push(Mark::new(Ink::Blue, Shape::Whiskers(intervals)).named("interval"));
    }
    marks.push(Mark::new(Ink::Blue, Shape::Dots(dots)).named("told"));
    let (rows, assets) = (cases.len(), judged.0.len());
    let all: usize = judged.0.values().map(Vec::len).sum();
    let which = match rows == all {
        true => format!("{rows} rows of {assets} assets"),
        false => format!("{rows} of {all} rows of {assets} assets"),
    };
    let sheet = Sheet {
        title: format!("Remaining life told and true, {which}"),
        description: format!(
            "Each dot is a row: the remaining life in {unit} that the model told, over the true one, which is capped at {cap}. \
             Dots above the diagonal are told too late, dots below it too early."
        ),
        panels: vec![Panel {
            heading: String::new(),
            x,
            y,
            marks,
        }],
        columns: 1,
        height: 420.0,
    };
    sheet.draw()
}

/// The same number of rows of each asset, as far as it has them.
fn shown(judged: &Judged) -> Vec<Case> {
    let assets = judged.0.len().max(1);
    let each = (ROWS / assets).max(1);
    let assets = spread(judged.0.len(), ROWS);
    let all: Vec<&Vec<Case>> = judged.0.values().collect();
    let cases = assets.flat_map(|asset| {
        let cases = all[asset];
        let count = cases.len().min(each);
        let places = (0..count).map(move |number| match each {
            // The last row, where one stands for all: it is nearest to the failure.
            1 => cases.len() - 1,
            _ => (2 * number + 1) * cases.len() / (2 * count),
        });
        places.map(move |place| cases[place])
    });
    cases.collect()
}

/// Remaining life along some lives: true, told, and its interval. Of many assets, those are shown that are in the middle of
/// equally many by how many rows they have: neither the best nor the worst, and the same ones for each model.
pub fn lives(lives: &[Life], unit: &str, cap: f64) -> String {
    let shown = typical(lives);
    let rows = || shown.iter().flat_map(|life| &life.rows);
    let highest = rows().map(|(_, _, told)| told.high.max(told.mean));
    let longest = rows().map(|(age, ..)| *age);
    let (highest, longest) = (highest.fold(cap, f64::max), longest.fold(0.0, f64::max));
    let panel = |life: &&Life| Panel {
        heading: life.asset.clone(),
        x: Axis::linear(format!("since its first row ({unit})"), 0.0, longest),
        y: Axis::from_zero(format!("left ({unit})"), highest),
        marks: marks(life),
    };
    let names: Vec<&str> = shown.iter().map(|life| life.asset.as_str()).collect();
    let sheet = Sheet {
        title: "Remaining life along the lives of assets".to_owned(),
        description: format!(
            "For {}: the true remaining life in {unit}, capped at {cap}, and what the model told with its interval, at each \
             time since the first row.",
            names.join(", ")
        ),
        columns: shown.len().clamp(1, 3),
        panels: shown.iter().map(panel).collect(),
        height: 150.0,
    };
    sheet.draw()
}

fn typical(lives: &[Life]) -> Vec<&Life> {
    let mut sorted: Vec<&Life> = lives.iter().collect();
    sorted.sort_by_key(|life| life.rows.len());
    let count = sorted.len().min(LIVES);
    let middle = |number: usize| sorted[(2 * number + 1) * sorted.len() / (2 * count)];
    (0..count).map(middle).collect()
}

fn marks(life: &Life) -> Vec<Mark> {
    let places = || spread(life.rows.len(), ROWS_OF_A_LIFE).map(|place| life.rows[place]);
    let told = places().map(|(age, _, told)| (age, told.mean)).collect();
    let truth = places().filter_map(|(age, truth, _)| Some((age, truth?)));
    let band: Vec<_> = places()
        .map(|(age, _, told)| (age, told.low, told.high))
        .collect();
    let mut marks = Vec::new();
    if band.iter().any(|(_, low, high)| high > low) {
        marks.push(Mark::new(Ink::Blue, Shape::Band(band)).named("interval"));
    }
    marks.push(Mark::new(Ink::Blue, Shape::Line(told)).named("told"));
    marks.push(Mark::new(Ink::Black, Shape::Line(truth.collect())).named("true"));
    marks
}
