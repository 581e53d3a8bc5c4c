//! The card of a retrained version: what it is, what it learnt from, and how good it is, for a person.

use std::fmt::Write as _;

use forewarn_training::judged::{Figures, Judged};
use forewarn_training::life::LifeTrainer;
use forewarn_training::recipe::{JudgedRows, Life, Recipe};

use super::super::words::held_back;
use super::report::Report;

/// Bands of remaining life that errors are told in.
const BANDS: usize = 5;

/// The card, in Markdown.
pub(super) fn card((recipe, life): (&Recipe, &Life), report: &Report, judged: &Judged) -> String {
    let (data, labels, trainer) = (&report.data, &life.labels, &life.trainer);
    let unit = &labels.unit;
    let mut text = format!("# {}, retrained\n\n", recipe.model);
    let _ = writeln!(
        text,
        "Remaining useful life in {unit}, at every row of view `{}`, by {}. Scaling is inside the graph{}: the input is \
         physical units.\n",
        recipe.view,
        trainer.describe(),
        match recipe.scaling.per.is_empty() {
            true => "",
            false => ", per operating regime",
        }
    );
    let _ = writeln!(text, "## Data\n");
    let _ = writeln!(
        text,
        "{} rows of {} assets, {} of which failed; {}. {} rows lacked a feature and were left out. The target is \
         min(remaining life, {}) {unit}.\n",
        data.rows,
        data.assets,
        data.failed,
        held_back(data.held_out, data.folds),
        data.incomplete,
        labels.cap
    );
    let _ = writeln!(text, "## Protocol\n");
    protocol(&mut text, (recipe, life), report);
    let _ = writeln!(text, "## Figures\n");
    let _ = writeln!(
        text,
        "| | assets | rows | RMSE | MAE | NASA score (sum) | interval below the cap holds | mean width |"
    );
    let _ = writeln!(text, "|---|---:|---:|---:|---:|---:|---:|---:|");
    let line = |name: &str, figures: &Figures| {
        let dash = || "-".to_owned();
        let held = figures
            .coverage
            .map_or_else(dash, |share| format!("{:.1} %", share * 100.0));
        let width = figures
            .width
            .map_or_else(dash, |width| format!("{width:.1}"));
        let (assets, rows, score) = (figures.assets, figures.rows, figures.nasa_score);
        let (rmse, mae) = (figures.rmse, figures.mae);
        format!(
            "| {name} | {assets} | {rows} | {rmse:.2} | {mae:.2} | {score:.0} | {held} | {width} |"
        )
    };
    let _ = writeln!(text, "{}", line("this version", &report.figures));
    if let Some((version, figures)) = &report.champion {
        let _ = writeln!(
            text,
            "{}",
            line(&format!("champion, version {version}"), figures)
        );
    }
    if let Some(figures) = &report.baseline {
        let figures = Figures {
            coverage: None,
            width: None,
            ..*figures
        };
        let _ = writeln!(text, "{}", line("an elastic net on single rows", &figures));
    }
    let _ = writeln!(
        text,
        "\nThe interval is of {:.0} % nominally.",
        report.interval.nominal * 100.0
    );
    if let Some(crossed) = report.interval.crossed {
        let _ = writeln!(
            text,
            "Of the held-back assets, each with the margin of the others, it holds {:.1} %.",
            crossed * 100.0
        );
    }
    let _ = writeln!(text, "\n{}.\n", report.reason);
    let _ = writeln!(text, "| remaining {unit} | rows | RMSE | mean error |");
    let _ = writeln!(text, "|---|---:|---:|---:|");
    for band in 0..BANDS {
        let width = labels.cap / BANDS as f64;
        let (low, high) = (band as f64 * width, (band + 1) as f64 * width);
        let is_last = band + 1 == BANDS;
        let errors: Vec<f64> = judged
            .0
            .values()
            .flatten()
            .filter(|case| case.truth >= low && (case.truth < high || is_last))
            .map(|case| case.told.mean - case.truth)
            .collect();
        let count = errors.len() as f64;
        let rmse = (errors.iter().map(|error| error * error).sum::<f64>() / count).sqrt();
        let mean = errors.iter().sum::<f64>() / count;
        if !errors.is_empty() {
            let _ = writeln!(
                text,
                "| {low:.0} to {high:.0} | {} | {rmse:.1} | {mean:+.1} |",
                errors.len()
            );
        }
    }
    let _ = writeln!(
        text,
        "\nONNX Runtime gives the trainer's numbers within {:.1e} of the cap, on all held-back rows.",
        report.trainer_difference
    );
    text
}

/// How it was trained and judged.
fn protocol(text: &mut String, (recipe, life): (&Recipe, &Life), report: &Report) {
    let apart = match recipe.split.folds {
        0 => format!(
            "Assets are held back by name and seed {}; the margin of the interval is of them",
            recipe.split.seed
        ),
        folds => format!(
            "All assets are learnt from. Each gives its part of the margin of the interval by a model that has learnt from the \
             others of {folds} folds (by name and seed {}) only",
            recipe.split.seed
        ),
    };
    let which = match (recipe.judge.assets.is_empty(), recipe.split.is_crossed()) {
        (true, false) => "the held-back assets, by the engine that serves",
        (true, true) => "all assets, each by the model that has not learnt from it",
        (false, _) => "the assets of `judge.assets`, by the engine that serves",
    };
    let rows = match recipe.judge.rows {
        JudgedRows::All => "at every row that says something",
        JudgedRows::Last => "at the last row of each",
    };
    let rounds: Vec<String> = report
        .rounds
        .iter()
        .map(|(all, best)| format!("{best} of {all}"))
        .collect();
    let learnt = match &life.trainer {
        LifeTrainer::Linear(_) => String::new(),
        LifeTrainer::Recurrent(training) => format!(
            " {} (best rounds: {}).",
            match training.watched {
                true =>
                    "Each network learns from all others but those of one fold, which says in which round it was the best",
                false => "Each network learns from all of them, for all steps",
            },
            rounds.join(", ")
        ),
    };
    let _ = writeln!(
        text,
        "{apart}.{learnt} Judged are {which}, {rows}, truth capped at {} {}. Training took {:.0} s.\n",
        life.labels.cap,
        life.labels.unit,
        report.learning.as_secs_f64()
    );
}
