//! How well do scores tell anomalous rows from others, whatever the threshold is?
//!
//! ```text
//!   rows by falling score   8  7  7  5  3  1      each distinct score is a threshold: rows that are equal are taken
//!   anomalous               #  #  .  .  #  .      together, so that their order does not matter
//! ```
//!
//! Areas are of all thresholds; the points of a curve are thinned for a figure by columns, of which the first, the
//! lowest, the highest and the last point stay: U. Jugel and others, *M4: A Visualization-Oriented Time Series Data
//! Aggregation*, VLDB 2014.

/// Columns that a curve is thinned to; with four points each, 400 at most.
const COLUMNS: f64 = 100.0;

/// A curve with its area.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Thinned; x does not fall.
    pub points: Vec<(f64, f64)>,
    pub area: f64,
}

/// Rows at or above a threshold.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    anomalous: u64,
    others: u64,
}

/// The receiver operating characteristic: the share of anomalous rows that are flagged, over the share of the others.
///
/// Its area is the chance that an anomalous row has a higher score than another one, ties counting as a half: H. Mann,
/// D. Whitney, *On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other*, 1947. `None`
/// where all rows are anomalous, or none is.
pub fn roc(scores: impl Iterator<Item = (f64, bool)>) -> Option<Curve> {
    let counts = counts(scores);
    let all = *counts.last()?;
    if all.anomalous == 0 || all.others == 0 {
        return None;
    }
    // Twice the area of each trapezoid, in whole rows.
    let twice = |from: Count, to: Count| {
        u128::from(to.others - from.others) * u128::from(from.anomalous + to.anomalous)
    };
    let area: u128 = steps(&counts).map(|(from, to)| twice(from, to)).sum();
    let rows = 2 * u128::from(all.anomalous) * u128::from(all.others);
    let point = |count: Count| {
        (
            count.others as f64 / all.others as f64,
            count.anomalous as f64 / all.anomalous as f64,
        )
    };
    let points = std::iter::once(Count::default()).chain(counts.iter().copied());
    Some(Curve {
        points: thinned(points.map(point)),
        area: area as f64 / rows as f64,
    })
}

/// Precision over recall. Its area is the average precision as scikit-learn defines it, the sum of
/// `(R_n - R_{n-1}) P_n` over the thresholds: no line is drawn between two of them, which would be too optimistic (J. Davis,
/// M. Goadrich, *The Relationship Between Precision-Recall and ROC Curves*, ICML 2006). `None` where no row is anomalous.
///
/// The curve begins with the highest score; a threshold above it flags nothing, and has no precision.
pub fn precision_recall(scores: impl Iterator<Item = (f64, bool)>) -> Option<Curve> {
    let counts = counts(scores);
    let all = counts.last()?.anomalous;
    if all == 0 {
        return None;
    }
    let precision = |count: Count| count.anomalous as f64 / (count.anomalous + count.others) as f64;
    let recall = |anomalous: u64| anomalous as f64 / all as f64;
    let steps = steps(&counts);
    let areas = steps.map(|(from, to)| recall(to.anomalous - from.anomalous) * precision(to));
    let area = areas.sum();
    let points = counts.iter();
    let points = points.map(|&count| (recall(count.anomalous), precision(count)));
    Some(Curve {
        points: thinned(points),
        area,
    })
}

/// What each distinct score flags as a threshold, from the highest score down.
fn counts(scores: impl Iterator<Item = (f64, bool)>) -> Vec<Count> {
    // Adding zero makes -0 the same score as 0. An engine gives no NaN; were there one, it would be a score like others.
    let mut sorted: Vec<(f64, bool)> = scores.map(|(score, truth)| (score + 0.0, truth)).collect();
    sorted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut counted = Count::default();
    let equal = sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq());
    let counts = equal.map(|rows| {
        let anomalous = rows.iter().filter(|(_, truth)| *truth).count() as u64;
        counted.anomalous += anomalous;
        counted.others += rows.len() as u64 - anomalous;
        counted
    });
    counts.collect()
}

/// Each count with the one before it; before the first one nothing is flagged.
fn steps(counts: &[Count]) -> impl Iterator<Item = (Count, Count)> {
    let before = std::iter::once(Count::default()).chain(counts.iter().copied());
    before.zip(counts.iter().copied())
}

/// Points whose x does not fall, without those that nobody would see.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = points.collect();
    let column = |x: f64| (x * COLUMNS) as u64;
    let mut kept = Vec::new();
    for points in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let by_height = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
        let places = 0..points.len();
        let lowest = places.clone().min_by(by_height).unwrap_or(0);
        let highest = places.max_by(by_height).unwrap_or(0);
        let mut places = [0, lowest, highest, points.len() - 1].to_vec();
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().map(|place| points[place]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows<'a>(scores: &'a [f64], truth: &'a [u8]) -> impl Iterator<Item = (f64, bool)> + 'a {
        let truth = truth.iter().map(|truth| *truth == 1);
        scores.iter().copied().zip(truth)
    }

    fn areas(scores: &[f64], truth: &[u8]) -> (Option<f64>, Option<f64>) {
        (
            roc(rows(scores, truth)).map(|curve| curve.area),
            precision_recall(rows(scores, truth)).map(|curve| curve.area),
        )
    }

    fn is_close(a: Option<f64>, b: Option<f64>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            _ => a == b,
        }
    }

    /// `roc_auc_score` and `average_precision_score` of scikit-learn 1.9.1.
    #[test]
    fn areas_are_those_of_scikit_learn() {
        for (scores, truth, area, precision) in [
            (
                // Three of nine pairs are wrong by a half each, and one wholly.
                &[8.0, 7.0, 7.0, 5.0, 3.0, 1.0][..],
                &[1, 1, 0, 0, 1, 0][..],
                Some(0.7222222222222222),
                Some(0.7555555555555555),
            ),
            (
                &[0.1, 0.4, 0.35, 0.8],
                &[0, 0, 1, 1],
                Some(0.75),
                Some(0.8333333333333333),
            ),
            (
                &[5.0, 4.0, 3.0, 2.0, 1.0],
                &[1, 0, 1, 1, 0],
                Some(0.6666666666666666),
                Some(0.8055555555555556),
            ),
            // Scores that are all equal say nothing, in whatever order the rows are.
            (&[2.0; 4], &[1, 0, 0, 1], Some(0.5), Some(0.5)),
            (&[2.0; 4], &[1, 1, 0, 0], Some(0.5), Some(0.5)),
            (
                &[3.0, 2.0, 1.0],
                &[0, 0, 1],
                Some(0.0),
                Some(0.3333333333333333),
            ),
            (&[1.0, 2.0, 3.0], &[1, 1, 1], None, Some(1.0)),
            (&[1.0, 2.0, 3.0], &[0, 0, 0], None, None),
            (&[1.0], &[1], None, Some(1.0)),
            (&[], &[], None, None),
        ] {
            let told = areas(scores, truth);
            assert!(is_close(told.0, area), "{scores:?} {truth:?}: {told:?}");
            assert!(
                is_close(told.1, precision),
                "{scores:?} {truth:?}: {told:?}"
            );
        }
    }

    /// A thousand rows with 53 distinct scores; areas of scikit-learn 1.9.1.
    #[test]
    fn many_rows_with_ties_have_the_areas_of_scikit_learn() {
        let truth: Vec<u8> = (0..1_000).map(|row| u8::from(row % 7 == 0)).collect();
        let score = |row: usize| {
            let score = (row * 7_919 % 1_009) as f64 / 100.0 + 3.0 * f64::from(truth[row]);
            (score * 4.0).floor() / 4.0
        };
        let scores: Vec<f64> = (0..1_000).map(score).collect();
        let told = areas(&scores, &truth);
        assert!(is_close(told.0, Some(0.7579783110704932)), "{told:?}");
        assert!(is_close(told.1, Some(0.4956422199166033)), "{told:?}");
    }

    #[test]
    fn curves_go_through_the_points_of_each_threshold() {
        let (scores, truth) = ([8.0, 7.0, 7.0, 5.0, 3.0, 1.0], [1, 1, 0, 0, 1, 0]);
        let third = 1.0 / 3.0;
        let roc = roc(rows(&scores, &truth)).unwrap();
        let expected = [
            (0.0, 0.0),
            (0.0, third),
            (third, 2.0 * third),
            (2.0 * third, 2.0 * third),
            (2.0 * third, 1.0),
            (1.0, 1.0),
        ];
        assert_eq!(roc.points, expected);
        let curve = precision_recall(rows(&scores, &truth)).unwrap();
        let expected = [
            (third, 1.0),
            (2.0 * third, 2.0 * third),
            (2.0 * third, 0.5),
            (1.0, 0.6),
            (1.0, 0.5),
        ];
        assert_eq!(curve.points, expected);
    }

    #[test]
    fn curves_of_many_rows_are_thinned_and_keep_ends_and_peaks() {
        let rows = || (0..20_000).map(|row| (f64::from(-row), row % 3 == 0 && row < 15_000));
        for curve in [roc(rows()).unwrap(), precision_recall(rows()).unwrap()] {
            assert!(curve.points.len() <= 404, "{}", curve.points.len());
            let is_in_order = curve.points.windows(2).all(|pair| pair[0].0 <= pair[1].0);
            assert!(is_in_order);
        }
        assert_eq!(roc(rows()).unwrap().points[0], (0.0, 0.0));
        assert_eq!(roc(rows()).unwrap().points.last(), Some(&(1.0, 1.0)));
        let curve = precision_recall(rows()).unwrap();
        assert_eq!(curve.points[0], (1.0 / 5_000.0, 1.0));
        assert_eq!(curve.points.last(), Some(&(1.0, 0.25)));
    }

    #[test]
    fn scores_that_no_engine_gives_are_scores_all_the_same() {
        let scores = [f64::NAN, f64::INFINITY, -0.0, 0.0, f64::NEG_INFINITY];
        let (area, precision) = areas(&scores, &[1, 1, 1, 0, 0]);
        // Of six pairs all are right, but for the one of equal zeros.
        assert!(is_close(area, Some(5.5 / 6.0)), "{area:?}");
        assert!(precision.is_some());
    }
}
