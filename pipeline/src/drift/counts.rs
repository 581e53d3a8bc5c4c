//! Rows in the bins of a reference, counted column by column.

use forewarn_models::reference::Distribution;

/// How many rows are in each bin of one distribution.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// As many as the distribution has.
    pub bins: Vec<u64>,
    pub missing: u64,
    /// Of the values.
    pub sum: f64,
}

impl Counts {
    /// None, in the bins of a distribution.
    pub fn of(distribution: &Distribution) -> Self {
        Counts {
            bins: vec![0; distribution.counts.len()],
            ..Counts::default()
        }
    }

    /// Rows with a value.
    pub fn present(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.present() + self.missing
    }

    pub fn mean(&self) -> f64 {
        self.sum / self.present() as f64
    }

    /// Counts one value; what is not finite is missing.
    pub fn push(&mut self, distribution: &Distribution, value: f32) {
        if value.is_finite() {
            self.bins[distribution.bin(value)] += 1;
            self.sum += f64::from(value);
        } else {
            self.missing += 1;
        }
    }

    /// The same for a column of which few values are missing: edge by edge over all values, which a processor does with
    /// several at once.
    pub fn extend(&mut self, distribution: &Distribution, values: &[f32]) {
        if values.iter().any(|value| value.is_infinite()) {
            values
                .iter()
                .for_each(|value| self.push(distribution, *value));
            return;
        }
        let missing: u32 = values.iter().map(|value| u32::from(value.is_nan())).sum();
        let mut left = values.len() as u64 - u64::from(missing);
        self.missing += u64::from(missing);
        for (bin, edge) in distribution.edges.iter().enumerate() {
            let above: u32 = values.iter().map(|value| u32::from(value > edge)).sum();
            self.bins[bin] += left - u64::from(above);
            left = above.into();
        }
        self.bins[distribution.edges.len()] += left;
        let present = values
            .iter()
            .map(|value| if value.is_nan() { 0.0 } else { *value });
        self.sum += present.map(f64::from).sum::<f64>();
    }

    pub fn add(&mut self, other: &Counts) {
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            *bin += more;
        }
        self.missing += other.missing;
        self.sum += other.sum;
    }

    pub fn clear(&mut self) {
        self.bins.fill(0);
        self.missing = 0;
        self.sum = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::fit::tests::distribution;

    #[test]
    fn columns_are_counted_as_single_values_are() {
        let of = distribution(&[1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 5.0]);
        let nan = f32::NAN;
        let column = [2.0, 0.5, nan, 9.0, 5.0, 1.0, 2.0, 3.5, nan, -1.0, 1.0000001];
        let with_infinity = [column.as_slice(), &[f32::INFINITY, f32::NEG_INFINITY]].concat();
        for values in [&column[..], &with_infinity, &[]] {
            let (mut by_column, mut by_value) = (Counts::of(&of), Counts::of(&of));
            by_column.extend(&of, values);
            values.iter().for_each(|value| by_value.push(&of, *value));
            assert_eq!(by_column.bins, by_value.bins);
            assert_eq!(by_column.rows(), values.len() as u64);
            assert_eq!(by_column.missing, by_value.missing);
            assert!((by_column.sum - by_value.sum).abs() < 1e-12);
        }
    }
}
