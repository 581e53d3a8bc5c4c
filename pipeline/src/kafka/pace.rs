//! How many messages a batch may have, so that it is worked off soon enough.
//!
//! A worker that scores does not poll. For longer than `max.poll.interval.ms` (5 min) it would be put out of its
//! group, and its partitions would meet the next worker with the same models; for longer than 9 s it could not be
//! stopped in good order. So the next batch is as large as what was worked off in [`TARGET`] at the pace of the last
//! one, and grows by no more than twofold.

use std::time::Duration;

/// How long a batch may take.
const TARGET: Duration = Duration::from_secs(2);
/// Messages of the first batch, whose pace nobody knows.
const FIRST: usize = 256;

#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// `source.max-batch-messages`.
    limit: usize,
}

impl Pace {
    pub fn new(limit: usize) -> Self {
        Pace {
            most: FIRST.min(limit),
            limit,
        }
    }

    /// Messages of the next batch, at most.
    pub fn most(&self) -> usize {
        self.most
    }

    /// A batch was worked off.
    pub fn took(&mut self, messages: usize, time: Duration) {
        let share = TARGET.as_secs_f64() / time.as_secs_f64().max(1e-6);
        // A small batch says little: one message may have closed all windows.
        let fits = (messages as f64 * share) as usize;
        let floor = (self.most / 2).min(FIRST);
        self.most = if time > TARGET {
            fits
        } else {
            fits.max(floor).min(self.most.saturating_mul(2))
        };
        self.most = self.most.clamp(1, self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(batches: &[(usize, Duration)]) -> usize {
        let mut pace = Pace::new(8_192);
        for (messages, time) in batches {
            pace.took(*messages, *time);
        }
        pace.most()
    }

    #[test]
    fn a_batch_is_as_large_as_the_pace_allows() {
        let ms = Duration::from_millis;
        assert_eq!(after(&[]), 256);
        // Twofold at most, up to the limit.
        assert_eq!(after(&[(256, ms(1))]), 512);
        assert_eq!(after(&[(256, ms(1)); 5]), 8_192);
        assert_eq!(after(&[(256, ms(1)); 9]), 8_192);
        // 2 ms per message.
        assert_eq!(after(&[(256, ms(512)); 9]), 1_000);
        // At once where it took too long.
        assert_eq!(after(&[(256, ms(25_600))]), 20);
        assert_eq!(after(&[(256, ms(25_600)), (1, ms(5_000))]), 1);
        assert_eq!(after(&[(256, ms(25_600)), (1, ms(5_000)), (1, ms(1))]), 2);
        assert_eq!(Pace::new(10).most(), 10);
    }

    #[test]
    fn a_small_batch_that_took_its_time_makes_no_small_batches() {
        let ms = Duration::from_millis;
        let fast = [(256, ms(1)); 5];
        assert_eq!(after(&[&fast[..], &[(1, ms(100))]].concat()), 256);
    }
}
