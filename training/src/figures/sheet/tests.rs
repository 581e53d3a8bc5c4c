//! Sheets as a whole, and the figures made of them, for data that is easy and for data that is not.

use std::collections::BTreeMap;

use super::*;
use crate::evaluate::Detected;
use crate::evaluate::detection::Case;
use crate::figures::{Life, curves, learning, lives, scores, told_and_true};
use crate::judged::{self, Judged};
use crate::neural::Round;
use crate::random::Random;
use crate::rul::Told;

/// What a figure may take in a repository.
const LARGEST: usize = 40_000;

fn judged(assets: usize, rows: usize, seed: u64) -> Judged {
    let mut random = Random::new(seed, 0);
    let mut case = |row: usize| {
        let truth = (row * 7 % 126) as f64;
        let mean = truth + 8.0 * random.normal();
        let told = Told {
            low: mean - 15.0,
            mean,
            high: mean + 15.0,
        };
        judged::Case { told, truth }
    };
    let mut asset = |asset| {
        (
            format!("engine-{asset}"),
            (0..rows).map(&mut case).collect(),
        )
    };
    Judged((0..assets).map(&mut asset).collect())
}

fn detected(rows: usize, good: f64, seed: u64) -> Detected {
    let mut random = Random::new(seed, 0);
    let mut case = |row: usize| {
        let truth = row.is_multiple_of(10);
        let score = (random.normal() + f64::from(truth) * good - 1.0).exp();
        Case {
            time: row as i64 * 1_000_000,
            score,
            flagged: score > 1.0,
            truth,
        }
    };
    let cases = (0..rows).map(&mut case).collect();
    Detected(BTreeMap::from([("pump".to_owned(), cases)]))
}

fn life(asset: usize) -> Life {
    let told = |left: f64| Told {
        low: left - 10.0,
        mean: left,
        high: left + 10.0,
    };
    let row = |row: usize| {
        (
            row as f64,
            Some((200 - row) as f64),
            told((200 - row) as f64),
        )
    };
    Life {
        asset: format!("engine-{asset}"),
        rows: (0..200).map(row).collect(),
    }
}

fn rounds(count: usize, validation: bool) -> Vec<Round> {
    let round = |round: usize| Round {
        loss: 100.0 / (round + 1) as f64,
        validation: validation.then(|| 10.0 + 5.0 / (round + 1) as f64),
    };
    (0..count).map(round).collect()
}

/// Every figure, of much data.
fn all() -> Vec<(&'static str, String)> {
    let (champion, challenger) = (detected(20_000, 1.0, 1), detected(20_000, 3.0, 2));
    let models = [("champion 3", &champion), ("challenger", &challenger)];
    let alive: Vec<Life> = (0..40).map(life).collect();
    vec![
        ("told", told_and_true(&judged(100, 50, 1), "cycles", 125.0)),
        ("lives", lives(&alive, "cycles", 125.0)),
        ("curves", curves(&models).unwrap()),
        ("scores", scores(&challenger)),
        (
            "learning",
            learning(&[(rounds(400, true), 390), (rounds(300, true), 20)]),
        ),
    ]
}

#[test]
fn the_same_data_gives_the_same_bytes_and_not_many() {
    for ((name, figure), (_, again)) in all().into_iter().zip(all()) {
        assert_eq!(figure, again, "{name}");
        assert!(figure.len() < LARGEST, "{name}: {} bytes", figure.len());
        assert!(
            figure.starts_with("<svg ") && figure.ends_with("</svg>\n"),
            "{name}"
        );
    }
}

#[test]
fn figures_hold_no_number_that_is_none() {
    let mut odd = judged(3, 4, 1);
    for cases in odd.0.values_mut() {
        cases[0].told.mean = f64::NAN;
        cases[1].told.high = f64::INFINITY;
    }
    let mut wild = detected(50, 1.0, 1);
    let cases = wild.0.get_mut("pump").unwrap();
    cases[0].score = f64::NAN;
    cases[1].score = 0.0;
    cases[2].score = -5.0;
    cases[3].score = f64::INFINITY;
    let flat = Detected(BTreeMap::from([("pump".to_owned(), cases[..1].to_vec())]));
    let none = Detected::default();
    let empty = Life {
        asset: "new".into(),
        rows: Vec::new(),
    };
    for figure in [
        told_and_true(&odd, "h", 125.0),
        told_and_true(&Judged::default(), "h", 125.0),
        lives(&[], "h", 125.0),
        lives(&[empty], "h", 125.0),
        curves(&[("wild", &wild)]).unwrap(),
        scores(&wild),
        scores(&flat),
        scores(&none),
        learning(&[]),
        learning(&[(rounds(1, false), 0)]),
    ] {
        assert!(
            !figure.contains("NaN") && !figure.contains("inf"),
            "{figure}"
        );
    }
    assert_eq!(curves(&[("none", &none)]), None);
    assert_eq!(curves(&[]), None);
}

/// A person finds what is drawn by its name, once, within the width of the sheet.
#[test]
fn the_legend_names_each_mark_once_and_stays_on_the_sheet() {
    let mark = |name: &str| Mark::new(Ink::Blue, Shape::Line(Vec::new())).named(name);
    let panel = |marks| Panel {
        heading: String::new(),
        x: Axis::linear("x", 0.0, 1.0),
        y: Axis::linear("y", 0.0, 1.0),
        marks,
    };
    let long: Vec<String> = (0..8)
        .map(|n| format!("a model with a name, {n}"))
        .collect();
    let sheet = Sheet {
        title: "t".into(),
        description: "d".into(),
        panels: vec![
            panel(long.iter().map(|name| mark(name)).collect()),
            panel(vec![mark(&long[0])]),
        ],
        columns: 2,
        height: 100.0,
    };
    let legend = sheet.legend();
    assert!(legend.len() > 1);
    assert_eq!(legend.iter().flatten().count(), 8);
    for (x, mark) in legend.iter().flatten() {
        let name = mark.name.as_deref().unwrap();
        assert!(
            x + SWATCH + 6.0 + width(name, WORDS.size) < WIDTH,
            "{x} {name}"
        );
    }
}

#[test]
fn dots_of_the_figure_are_rows_that_were_judged() {
    let circles = |figure: &str| figure.matches("<circle").count();
    // One more is in the legend.
    assert_eq!(circles(&told_and_true(&judged(100, 1, 1), "h", 125.0)), 101);
    assert_eq!(
        circles(&told_and_true(&judged(20, 500, 1), "h", 125.0)),
        241
    );
    assert_eq!(circles(&told_and_true(&judged(700, 3, 1), "h", 125.0)), 241);
    let two = judged(2, 1, 1);
    let figure = told_and_true(&two, "h", 125.0);
    assert!(figure.contains("2 rows of 2 assets"), "{figure}");
}
