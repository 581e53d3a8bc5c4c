//! Polars' own `group_by`, as a program would call it that has all rows at once.

use std::hint::black_box;
use std::time::Instant;

use polars::prelude::*;

use super::feed::{BEGIN, ROUND, number, order};
use super::{ROUNDS, Shape};

/// Seconds for the windows of `rounds` rounds: the better one of polars' two forms, each twice.
pub fn group_by(shape: &Shape, assets: usize, rounds: usize) -> f64 {
    let frame = frame(shape, assets, rounds);
    let aggregates = |name| [col(name).mean(), col(name).min(), col(name).max()];
    let expressions = shape.signals.split(' ').flat_map(aggregates).enumerate();
    let expressions: Vec<Expr> = expressions.map(|(i, e)| e.alias(i.to_string())).collect();
    let mut best = f64::INFINITY;
    for stable in [false, true, false, true] {
        let (lazy, keys) = (frame.clone().lazy(), [col("asset"), col("window")]);
        let begun = Instant::now();
        let groups = if stable {
            lazy.group_by_stable(keys)
        } else {
            lazy.group_by(keys)
        };
        let told = groups.agg(&expressions).collect().expect("polars goes on");
        best = best.min(begun.elapsed().as_secs_f64());
        assert_eq!(told.height(), frame.height() / ROUNDS, "as many windows");
        black_box(told);
    }
    best
}

/// The rows of all measured windows in the order in which they came, once for each window that holds them.
fn frame(shape: &Shape, assets: usize, rounds: usize) -> DataFrame {
    let signals: Vec<&str> = shape.signals.split(' ').collect();
    let (mut names, mut starts, mut columns) =
        (Vec::new(), Vec::new(), vec![Vec::new(); signals.len()]);
    for window in (0..rounds).step_by(ROUNDS / shape.overlap) {
        for round in window..window + ROUNDS {
            for asset in order(assets, round) {
                names.push(asset);
                starts.push(BEGIN + ROUND * window as i64);
                for (signal, column) in columns.iter_mut().enumerate() {
                    column.push(number(asset, round, signal));
                }
            }
        }
    }
    let rows = names.len();
    let mut all = vec![
        Column::new("asset".into(), names),
        Column::new("window".into(), starts),
    ];
    all.extend(
        signals
            .iter()
            .zip(columns)
            .map(|(name, values)| Column::new((*name).into(), values)),
    );
    DataFrame::new(rows, all).expect("columns of one length")
}
