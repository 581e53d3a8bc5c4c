//! Clocks that lie: how far an event time may be from the record's own timestamp.
//!
//! A reading outside the bounds is refused before it is seen by the watermark, so one device whose clock is
//! wrong closes no windows of the others. The record's timestamp is part of the log: a replay judges alike.

use std::time::Duration;

use wildmatch::WildMatch;

use crate::config::EventTimeConfig;
use crate::refusal::Refusal;

/// The bounds of every asset.
#[derive(Debug)]
pub struct Clocks {
    default: Bounds,
    /// The first whose patterns match counts.
    others: Vec<(Vec<WildMatch>, Bounds)>,
}

/// In microseconds.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    ahead: i64,
    behind: Option<i64>,
}

impl Clocks {
    pub fn new(config: &EventTimeConfig) -> Self {
        let default = Bounds {
            ahead: micros(config.max_ahead),
            behind: config.max_behind.map(micros),
        };
        let others = config.clocks.iter().map(|clock| {
            let patterns = clock.assets.iter().map(|p| WildMatch::new(p)).collect();
            let bounds = Bounds {
                ahead: clock.max_ahead.map_or(default.ahead, micros),
                behind: clock.max_behind.map(micros).or(default.behind),
            };
            (patterns, bounds)
        });
        Clocks {
            default,
            others: others.collect(),
        }
    }

    /// Compares an event time with the record's timestamp in milliseconds. A record without one, as a row of
    /// a file, is not judged.
    ///
    /// # Errors
    /// [`Refusal::ClockAhead`] or [`Refusal::ClockBehind`].
    pub fn judge(
        &self,
        asset: &str,
        event_at: i64,
        ingested_ms: Option<i64>,
    ) -> Result<(), Refusal> {
        let Some(ingested) = ingested_ms.and_then(|ms| ms.checked_mul(1_000)) else {
            return Ok(());
        };
        let ahead = event_at.saturating_sub(ingested);
        let bounds = self
            .others
            .iter()
            .find(|(patterns, _)| patterns.iter().any(|p| p.matches(asset)))
            .map_or(self.default, |(_, bounds)| *bounds);
        if ahead > bounds.ahead {
            return Err(Refusal::ClockAhead {
                ahead: Duration::from_micros(ahead.unsigned_abs()),
                max: Duration::from_micros(bounds.ahead.unsigned_abs()),
            });
        }
        match bounds.behind {
            Some(behind) if -ahead > behind => Err(Refusal::ClockBehind {
                behind: Duration::from_micros(ahead.unsigned_abs()),
                max: Duration::from_micros(behind.unsigned_abs()),
            }),
            _ => Ok(()),
        }
    }
}

/// A duration in microseconds; beyond 292,000 years, that many.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Clock;

    #[test]
    fn a_clock_is_judged_by_its_assets_bounds() {
        let clocks = Clocks::new(&EventTimeConfig {
            max_ahead: Duration::from_secs(60),
            max_behind: Some(Duration::from_secs(3600)),
            clocks: vec![Clock {
                assets: vec!["logger-*".into()],
                max_ahead: None,
                max_behind: Some(Duration::from_secs(86_400)),
            }],
            ..EventTimeConfig::default()
        });
        let judge = |asset: &str, seconds: i64| {
            let told = clocks.judge(asset, seconds * 1_000_000, Some(10_000_000));
            told.map_err(|refusal| refusal.code())
        };
        assert_eq!(judge("pump-1", 10_060), Ok(()));
        assert_eq!(judge("pump-1", 10_061), Err("clock-ahead"));
        assert_eq!(judge("pump-1", 6_400), Ok(()));
        assert_eq!(judge("pump-1", 6_399), Err("clock-behind"));
        assert_eq!(judge("logger-7", 6_399), Ok(()));
        assert_eq!(judge("logger-7", 10_061), Err("clock-ahead"));
        assert!(clocks.judge("pump-1", i64::MAX, None).is_ok());
    }
}
