//! What scores tell apart, and where the threshold is.

use super::axis::Axis;
use super::sheet::{Ink, Mark, Panel, Shape, Sheet};
use crate::evaluate::Detected;
use crate::evaluate::detection::Figures;

/// Bins of a histogram.
const BINS: usize = 48;
/// Scores are drawn at most this many powers of ten below and above the threshold; what is beyond is in the bin at the
/// end.
const DECADES: f64 = 4.0;

/// The ROC curve and precision over recall of models on the same rows, by name, each with the point that its threshold
/// chose. `None` where no model has rows of both kinds, so that there is no curve.
pub fn curves(models: &[(&str, &Detected)]) -> Option<String> {
    let unit = |label: &str| Axis::linear(label, 0.0, 1.0).in_percent();
    let mut roc = Panel {
        heading: "ROC".into(),
        x: unit("false alarm rate, of normal rows"),
        y: unit("recall, of anomalous rows"),
        marks: vec![
            Mark::new(Ink::Guide, Shape::Line(vec![(0.0, 0.0), (1.0, 1.0)])).named("chance"),
        ],
    };
    let mut precision = Panel {
        heading: "Precision over recall".into(),
        x: unit("recall, of anomalous rows"),
        y: unit("precision, of flagged rows"),
        marks: models
            .first()
            .map(|(_, detected)| chance(detected))
            .into_iter()
            .collect(),
    };
    let mut told = Vec::new();
    for (number, (name, detected)) in models.iter().enumerate() {
        let (Some(of_roc), Some(of_precision)) = (detected.roc(), detected.precision_recall())
        else {
            continue;
        };
        let ink = Ink::of(number);
        let areas = format!(
            "{name}: area {:.3}, average precision {:.3}",
            of_roc.area, of_precision.area
        );
        let line = |points| Mark::new(ink, Shape::Line(points));
        roc.marks.push(line(of_roc.points).named(&*areas));
        precision.marks.push(line(steps(&of_precision.points)));
        let figures = detected.figures();
        let dot = |point: Option<(f64, f64)>| {
            let dot = Mark::new(ink, Shape::Dots(point.into_iter().collect()));
            dot.named(format!("{name}, its threshold"))
        };
        roc.marks
            .push(dot(figures.false_alarm_rate.zip(figures.recall)));
        precision
            .marks
            .push(dot(figures.recall.zip(figures.precision)));
        told.push(areas);
    }
    if told.is_empty() {
        return None;
    }
    let sheet = Sheet {
        title: "How well scores tell anomalous rows from normal ones".into(),
        description: format!(
            "The ROC curve, and precision over recall, of all thresholds. {}.",
            told.join("; ")
        ),
        panels: vec![roc, precision],
        columns: 2,
        height: 300.0,
    };
    Some(sheet.draw())
}

/// The precision of a detector that flags at random.
fn chance(detected: &Detected) -> Mark {
    let Figures { rows, .. } = detected.figures();
    let anomalous = (rows.tp + rows.fn_) as f64;
    let share = anomalous / (anomalous + (rows.tn + rows.fp) as f64);
    Mark::new(Ink::Guide, Shape::Line(vec![(0.0, share), (1.0, share)])).named("chance")
}

/// Between two thresholds precision is that of the lower one: no line is drawn from one to the other.
fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let corners = points
        .windows(2)
        .flat_map(|pair| [pair[0], (pair[0].0, pair[1].1)]);
    let mut stepped: Vec<(f64, f64)> = corners.chain(points.last().copied()).collect();
    stepped.dedup();
    stepped
}

/// How the scores of normal and of anomalous rows are spread, each as shares of its own rows, on a logarithmic axis with
/// the threshold at 1.
pub fn scores(detected: &Detected) -> String {
    let figures = detected.figures();
    let all = || detected.scores().map(|(score, _)| score);
    let drawn = all().filter(|score| score.is_finite() && *score > 0.0);
    let (low, high) = drawn.fold((1.0, 1.0), |(low, high): (f64, f64), score| {
        (low.min(score), high.max(score))
    });
    let decade = |score: f64| score.log10().clamp(-DECADES, DECADES);
    let (low, high) = (decade(low).floor().min(-1.0), decade(high).ceil().max(1.0));
    let x = Axis::log(
        "score over its threshold",
        10_f64.powf(low),
        10_f64.powf(high),
    );
    let kinds = [
        (Ink::Blue, "normal", false, figures.false_alarm_rate),
        (Ink::Orange, "anomalous", true, figures.recall),
    ];
    let mut marks = Vec::new();
    let mut highest = 0.0_f64;
    for (ink, name, kind, flagged) in kinds {
        let scores = detected.scores().filter(|(_, truth)| *truth == kind);
        let bars = histogram(scores.map(|(score, _)| score), &x);
        highest = bars.iter().map(|bar| bar.2).fold(highest, f64::max);
        let rows = detected
            .scores()
            .filter(|(_, truth)| *truth == kind)
            .count();
        let flagged = flagged.map_or("-".into(), |share| format!("{:.1} %", share * 100.0));
        let name = format!("{name}: {rows} rows, {flagged} flagged");
        marks.push(Mark::new(ink, Shape::Bars(bars)).named(name));
    }
    let y = Axis::from_zero("share of the rows of a kind", highest).in_percent();
    let threshold = Shape::Line(vec![(1.0, 0.0), (1.0, y.high())]);
    marks.push(Mark::new(Ink::Guide, threshold).named("threshold"));
    let sheet = Sheet {
        title: "Scores of normal and of anomalous rows".into(),
        description: "Histograms of scores over their threshold, on a logarithmic axis. What lies to the right of 1 is flagged."
            .into(),
        panels: vec![Panel {
            heading: String::new(),
            x,
            y,
            marks,
        }],
        columns: 1,
        height: 280.0,
    };
    sheet.draw()
}

/// Shares of the scores in bins that are equally wide on the axis.
fn histogram(scores: impl Iterator<Item = f64>, axis: &Axis) -> Vec<(f64, f64, f64)> {
    let (mut counts, mut rows) = ([0_u64; BINS], 0_u64);
    for score in scores {
        let bin = (axis.place(score) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
        rows += 1;
    }
    let end = |bin: usize| axis.value(bin as f64 / BINS as f64);
    let bars = counts.into_iter().enumerate();
    bars.map(|(bin, count)| (end(bin), end(bin + 1), count as f64 / rows.max(1) as f64))
        .collect()
}
