//! The card of a retrained model of anomalies: what it is, what it learnt from, and how good it is, for a person.

use std::fmt::Write as _;

use forewarn_training::detections::OfKind;
use forewarn_training::evaluate::Detected;
use forewarn_training::evaluate::detection::Figures;
use forewarn_training::recipe::{Anomaly, Recipe};

use super::super::words::{delay, held_back, number, percent, rate};
use super::report::Report;

/// Assets that are told one by one: those that are judged worst.
const TOLD: usize = 20;

/// The card, in Markdown.
pub(super) fn card(
    (recipe, anomaly): (&Recipe, &Anomaly),
    report: &Report,
    judged: &Detected,
) -> String {
    let mut text = format!("# {}, retrained\n\n", recipe.model);
    let _ = writeln!(
        text,
        "Anomalies at every row of view `{}`, by {}{}. Scaling is inside the graph{}: the input is physical units.\n",
        recipe.view,
        anomaly.trainer.describe(),
        match report.models.len() {
            1 => String::new(),
            count => format!("; {count} models, one for each asset"),
        },
        match recipe.scaling.per.is_empty() {
            true => "",
            false => ", per operating regime",
        }
    );
    data(&mut text, (recipe, anomaly), report);
    let _ = writeln!(text, "## Figures\n");
    figures(&mut text, report);
    kinds(&mut text, report);
    assets(&mut text, judged);
    let _ = writeln!(
        text,
        "\nONNX Runtime gives the trainer's scores within {:.1e}, on all held-back rows.",
        report.trainer_difference
    );
    text
}

fn data(text: &mut String, (recipe, anomaly): (&Recipe, &Anomaly), report: &Report) {
    let data = &report.data;
    let _ = writeln!(text, "## Data\n");
    let _ = writeln!(
        text,
        "{} normal rows of {} assets; {}. {} rows lacked a feature and were left out. {}\n",
        data.rows,
        data.assets,
        held_back(data.held_out, data.folds),
        data.incomplete,
        match &anomaly.labels {
            None => "No labels: all rows were taken for normal.",
            Some(_) => "Rows on or near an event of the labels were not learnt from.",
        }
    );
    let _ = writeln!(text, "## Protocol\n");
    let how = match (&recipe.split.time, recipe.judge.assets.is_empty()) {
        (Some(_), _) => {
            "Each asset is learnt from in its first rows; the threshold is taken from later ones, and what comes behind those is \
             judged"
        }
        (None, true) if recipe.split.is_crossed() => {
            "All assets are learnt from. Each is judged, and gives its part of the threshold, by a model that has learnt from the \
             other folds only"
        }
        (None, false) if recipe.split.is_crossed() => {
            "The threshold is taken from all assets, each scored by a model that has learnt from the other folds only; the assets \
             of `judge.assets` are judged"
        }
        (None, true) => {
            "The threshold is taken from held-back assets. They are judged, too, each fifth of them by the threshold that the \
             others give"
        }
        (None, false) => {
            "The threshold is taken from held-back assets; the assets of `judge.assets` are judged"
        }
    };
    let thresholds = report.models.iter().map(|model| model.threshold);
    let (low, high) = (
        thresholds.clone().fold(f64::INFINITY, f64::min),
        thresholds.fold(0.0, f64::max),
    );
    let threshold = match report.models.len() {
        1 => format!("{low:.4}"),
        _ => format!("{low:.4} to {high:.4}"),
    };
    let _ = writeln!(
        text,
        "{how}. Asked: {}. Threshold {threshold}. By the engine that serves, row by row, without point adjustment; a decision \
         uses rows up to its own only. Seed {}. Training took {:.0} s.\n",
        anomaly.threshold,
        recipe.split.seed,
        report.learning.as_secs_f64()
    );
}

fn figures(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "| | assets | precision | recall | F1 | FAR | MAR | episodes detected | median delay | alarms | false alarms | \
         average precision | ROC AUC |"
    );
    let _ = writeln!(
        text,
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    let _ = writeln!(text, "{}", line("this version", &report.figures));
    if let Some(champion) = &report.champion {
        let name = format!("champion, version {}", champion.version);
        let _ = writeln!(text, "{}", line(&name, &champion.figures));
    }
    let _ = writeln!(
        text,
        "\nAlarms are runs of flagged rows, per asset and week.\n\n{}.\n",
        report.reason
    );
}

fn line(name: &str, figures: &Figures) -> String {
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} of {} | {} | {} | {} | {} | {} |",
        figures.assets,
        percent(figures.precision),
        percent(figures.recall),
        number(figures.f1),
        percent(figures.false_alarm_rate),
        percent(figures.missed_alarm_rate),
        figures.detected,
        figures.episodes,
        delay(figures.median_delay),
        rate(figures.alarms_per_week),
        rate(figures.false_alarms_per_week),
        number(figures.average_precision),
        number(figures.roc_auc),
    )
}

/// Kinds of event, with the champion's figures beside.
fn kinds(text: &mut String, report: &Report) {
    if report.by_kind.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "| event | rows | flagged | alone | flagged | began alone | detected | median delay | champion: flagged | alone | \
         detected | median delay |"
    );
    let _ = writeln!(
        text,
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    let champion = report.champion.as_ref();
    for (place, kind) in report.by_kind.iter().enumerate() {
        let other = champion.map(|champion| &champion.by_kind[place]);
        let of = |told: fn(&OfKind) -> String| other.map_or("-".to_owned(), told);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            kind.kind,
            kind.rows,
            percent(kind.recall),
            kind.rows_alone,
            percent(kind.recall_alone),
            kind.began_alone,
            kind.detected_alone,
            delay(kind.median_delay),
            of(|kind| percent(kind.recall)),
            of(|kind| percent(kind.recall_alone)),
            of(|kind| kind.detected_alone.to_string()),
            of(|kind| delay(kind.median_delay)),
        );
    }
    let _ = writeln!(
        text,
        "\n*alone*: while nothing else was wrong with the asset; a delay is from the beginning of such an event to the first \
         flagged row before anything else went wrong.\n"
    );
}

/// The assets on which it is wrong most often.
fn assets(text: &mut String, judged: &Detected) {
    let mut assets: Vec<(&str, Figures)> = judged.by_asset().collect();
    let wrong = |figures: &Figures| figures.rows.wrong();
    assets.sort_by_key(|(_, figures)| std::cmp::Reverse(wrong(figures)));
    let _ = writeln!(text, "| asset | F1 | FAR | MAR | episodes detected |");
    let _ = writeln!(text, "|---|---:|---:|---:|---:|");
    for (asset, figures) in assets.iter().take(TOLD) {
        let _ = writeln!(
            text,
            "| {asset} | {} | {} | {} | {} of {} |",
            number(figures.f1),
            percent(figures.false_alarm_rate),
            percent(figures.missed_alarm_rate),
            figures.detected,
            figures.episodes
        );
    }
    if assets.len() > TOLD {
        let _ = writeln!(
            text,
            "\nThe {TOLD} of {} assets on which most rows are judged wrongly.",
            assets.len()
        );
    }
}
