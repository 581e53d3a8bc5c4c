//! Random numbers that are the same in every run: all that training draws comes from here.

use rand_pcg::Lcg64Xsh32;
use rand_pcg::rand_core::Rng;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(Lcg64Xsh32);

impl Random {
    /// Streams of one seed do not depend on each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        Random(Lcg64Xsh32::new(seed, stream))
    }

    /// Evenly within 0 (included) and 1.
    pub fn unit(&mut self) -> f64 {
        let bits = u64::from(self.0.next_u32()) << 21 ^ u64::from(self.0.next_u32() >> 11);
        bits as f64 / (1_u64 << 53) as f64
    }

    /// Evenly among the first `count` numbers from 0. Not exactly so: numbers differ by less than 2⁻³⁰ of their share
    /// for every count that memory has room for.
    pub fn below(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// From the normal distribution with mean 0 and standard deviation 1: G. Box, M. Muller, *A Note on the Generation
    /// of Random Normal Deviates*, 1958.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Puts a list into another order: R. Durstenfeld, *Algorithm 235: Random permutation*, 1964.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_in_every_run_and_no_other_one() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            [(); 4].map(|()| random.unit())
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn numbers_are_spread_as_they_should_be() {
        let mut random = Random::new(7, 0);
        let units: Vec<f64> = (0..100_000).map(|_| random.unit()).collect();
        let mean = units.iter().sum::<f64>() / units.len() as f64;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let normals: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / normals.len() as f64;
        assert!((variance - 1.0).abs() < 0.02, "{variance}");
        let mut counts = [0; 5];
        (0..50_000).for_each(|_| counts[random.below(5)] += 1);
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
        let mut list: Vec<usize> = (0..100).collect();
        random.shuffle(&mut list);
        assert_ne!(list, (0..100).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..100).collect::<Vec<_>>());
    }
}
