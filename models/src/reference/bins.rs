//! Where the bins of a distribution end: at its deciles, as is usual for the population stability index.

/// Bins of a distribution without repeated values.
const BINS: usize = 10;

/// The edges of bins for a sample in rising order, whose values are finite.
///
/// A value that a tenth of the rows or more have (a constant, a whole number, an end of the scale) gets a bin of its
/// own: else a constant that changes a little would stay in its bin, which reaches to infinity.
pub fn edges(sorted: &[f32]) -> Vec<f32> {
    let mut edges: Vec<f32> = Vec::new();
    let mut add = |edge: f32| {
        if edge.is_finite() && edges.last().is_none_or(|last| *last < edge) {
            edges.push(edge);
        }
    };
    for k in 1..=BINS {
        // The smallest value that k tenths of the rows do not exceed.
        let Some(at) = (sorted.len() * k).div_ceil(BINS).checked_sub(1) else {
            continue;
        };
        let value = sorted[at];
        let first = sorted.partition_point(|other| *other < value);
        let last = sorted.partition_point(|other| *other <= value);
        let is_repeated = (last - first) * BINS >= sorted.len() && last - first > 1;
        if is_repeated {
            add(value.next_down());
        }
        if is_repeated || k < BINS {
            add(value);
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::edges;

    #[test]
    fn bins_are_deciles_where_values_differ() {
        let sample: Vec<f32> = (1..=100_u8).map(f32::from).collect();
        let deciles: Vec<f32> = (1..10_u8).map(|k| f32::from(k) * 10.0).collect();
        assert_eq!(edges(&sample), deciles);
        assert_eq!(edges(&[1.0, 2.0]), [1.0, 2.0]);
        assert_eq!(edges(&[]), [0.0_f32; 0]);
    }

    #[test]
    fn a_value_that_many_rows_have_gets_a_bin_of_its_own() {
        assert_eq!(edges(&[7.0; 50]), [7.0_f32.next_down(), 7.0]);
        // Two thirds are 0, the rest differ.
        let mut sample = vec![0.0_f32; 60];
        sample.extend((1..=30_u8).map(f32::from));
        let found = edges(&sample);
        assert_eq!(found[..2], [0.0_f32.next_down(), 0.0]);
        assert!(found[2..].iter().all(|edge| *edge > 0.0), "{found:?}");
        // The highest one, too: what lies above it has never been seen.
        let mut sample: Vec<f32> = (0..50_u8).map(f32::from).collect();
        sample.extend([100.0; 50]);
        assert!(edges(&sample).ends_with(&[100.0_f32.next_down(), 100.0]));
    }
}
