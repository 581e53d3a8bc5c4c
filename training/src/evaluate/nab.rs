//! The score of the Numenta Anomaly Benchmark: detections count, the earlier in a window the more.
//!
//! ```text
//!              |<----- window ----->|
//!   earns      1                    ~0     by the earliest detection in it
//!   costs  0.11                       0 ~ 0.11, once three widths behind it     each detection outside
//!              1                           a window without detection
//! ```
//!
//! A. Lavin, S. Ahmad, *Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark*, ICMLA 2015, with
//! the weights of its standard profile and the positions of its published scorer (corpus 1.1).
//!
//! On one series windows are wide and few: a detector that flags at random may do well.

use std::ops::Range;

/// Of the standard profile: what a false detection costs at most. A missed window costs 1, a detection earns 1 at most.
const FALSE_DETECTION: f64 = 0.11;
/// In the first rows, this share of a series but not more than [`PROBATION_ROWS`], detections do not count: a detector may
/// learn there.
const PROBATION_PERCENT: usize = 15;
const PROBATION_ROWS: usize = 750;
/// Widths behind a window from which on a false detection costs all it can.
const FAR: f64 = 3.0;

/// The normalised score of a series: 100 where each window is detected in its first row and nothing else is flagged, 0 for
/// a detector that flags nothing, below zero for one that does harm. `windows` are places of rows, in order, apart from
/// each other and not empty. `None` without windows.
pub fn score(flagged: &[bool], windows: &[Range<usize>]) -> Option<f64> {
    let probation = (flagged.len() * PROBATION_PERCENT / 100).min(PROBATION_ROWS);
    let detections = || (probation..flagged.len()).filter(|&row| flagged[row]);
    let earned = |window: &Range<usize>| {
        let first = detections().find(|row| window.contains(row));
        first.map_or(-1.0, |row| earns(row, window))
    };
    let earned: f64 = windows.iter().map(earned).sum();
    let outside = detections().filter(|row| !windows.iter().any(|window| window.contains(row)));
    let cost: f64 = outside.map(|row| costs(row, windows)).sum();
    let best = windows.len() as f64;
    (best > 0.0).then(|| 100.0 * (earned - cost + best) / (2.0 * best))
}

fn earns(row: usize, window: &Range<usize>) -> f64 {
    let position = (window.end - row) as f64 / window.len() as f64;
    sigmoid(-position) / sigmoid(-1.0)
}

/// By how far the last window before it is.
fn costs(row: usize, windows: &[Range<usize>]) -> f64 {
    let before = windows.iter().rev().find(|window| window.end <= row);
    let position = before.map_or(f64::INFINITY, |window| {
        (row + 1 - window.end) as f64 / (window.len() - 1) as f64
    });
    if position > FAR {
        FALSE_DETECTION
    } else {
        -FALSE_DETECTION * sigmoid(position)
    }
}

/// From 1, far before the end of a window, over 0 at its end to -1.
fn sigmoid(position: f64) -> f64 {
    2.0 / (1.0 + (5.0 * position).exp()) - 1.0
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn told(flagged: &[usize], windows: &[Range<usize>]) -> f64 {
        let rows: Vec<bool> = (0..20).map(|row| flagged.contains(&row)).collect();
        score(&rows, windows).unwrap()
    }

    fn is_close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn the_best_has_a_hundred_and_silence_none() {
        let windows = [5..10, 14..18];
        assert!(is_close(told(&[5, 14], &windows), 100.0));
        // More detections in the same window earn nothing, and cost nothing.
        assert!(is_close(told(&[5, 6, 9, 14, 17], &windows), 100.0));
        assert!(is_close(told(&[], &windows), 0.0));
        assert_eq!(score(&[true; 20], &[]), None);
        assert_eq!(score(&[], &[]), None);
    }

    /// With `sigma(-0.8) = 0.9640275800758169`, `sigma(-1) = 0.9866142981514305`, `sigma(0.25) = -0.5545997223493824`.
    #[test]
    fn score_of_a_hand_computed_case() {
        // Row 1 of 20 is within probation, row 4 before all windows, row 10 a quarter of a width behind the first one.
        let earned = 0.9640275800758169 / 0.9866142981514305 - 1.0;
        let cost = 0.11 + 0.11 * 0.5545997223493824;
        let expected = 100.0 * (earned - cost + 2.0) / 4.0;
        let told = told(&[1, 4, 6, 8, 10], &[5..10, 14..18]);
        assert!(is_close(told, expected), "{told} {expected}");
    }

    #[test]
    fn a_false_detection_costs_its_full_price_far_behind_a_window() {
        // Three widths of two rows are over behind row 7: sigma(3) is -0.9999993881955461.
        let of = |row: usize| told(&[3, row], from_ref(&(3..5)));
        let full = told(&[3], from_ref(&(3..5))) - 5.5;
        assert!(is_close(of(8), full) && is_close(of(19), full));
        assert!(is_close(of(7), full + 5.5 * (1.0 - 0.9999993881955461)));
        assert!(of(5) > full + 0.05);
        // A window of one row has no width to be behind of.
        assert!(is_close(told(&[3, 4], from_ref(&(3..4))), 100.0 - 5.5));
    }

    #[test]
    fn detections_in_probation_do_not_count() {
        // 15 % of 20 rows.
        assert!(is_close(told(&[0, 1, 2, 5], from_ref(&(5..10))), 100.0));
        let mut rows = vec![false; 10_000];
        rows[749] = true;
        rows[900] = true;
        assert!(is_close(
            score(&rows, from_ref(&(900..950))).unwrap(),
            100.0
        ));
        rows[750] = true;
        assert!(is_close(score(&rows, from_ref(&(900..950))).unwrap(), 94.5));
    }
}
