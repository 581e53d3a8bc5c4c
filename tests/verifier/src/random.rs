//! Choices that depend on the seed alone.

use rand_pcg::Lcg64Xsh32;
use rand_pcg::rand_core::Rng as _;

/// The choices of a scenario, one after the other.
#[derive(Debug, Clone)]
pub struct Random(Lcg64Xsh32);

impl Random {
    pub fn new(seed: u64, stream: u64) -> Self {
        Random(Lcg64Xsh32::new(seed, stream))
    }

    /// At least `from`, below `to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.0.next_u64() % to.saturating_sub(from).max(1)
    }
}

/// A number for `what`, the same whenever it is asked for (SplitMix64's finaliser over each word).
pub fn hash(seed: u64, what: &[u64]) -> u64 {
    what.iter().fold(seed, |state, word| {
        let mut z =
            (state ^ word.wrapping_mul(0xff51_afd7_ed55_8ccd)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
