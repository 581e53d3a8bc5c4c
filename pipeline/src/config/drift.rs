//! `[models.drift]`: how far from training a model's features and scores may be.

use std::time::Duration;

use serde::Deserialize;

use crate::drift::measure::Limits;
use crate::drift::page_hinkley::Sensitivity;

/// `[models.drift]`. Drift is measured where a version has a reference (`reference.json`, which `forewarn drift --fit`
/// makes); no output depends on it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Drift {
    /// Whether the running service measures it, for `/metrics`. Default: true.
    pub watch: bool,
    /// Rows of a model in a window, at least. Of few rows chance makes a distance. Of a large batch about a thousand rows
    /// are looked at. Default: 10,000.
    pub window_rows: u64,
    /// How long a window lasts, by the clock, at least. As long as what comes and goes by itself: of a window over an hour
    /// of the night, a day in the reference looks like drift. Default: 10 min.
    #[serde(with = "humantime_serde")]
    pub window_lasts: Duration,
    /// From this population stability index on a feature has moved. Default: 0.1.
    pub moderate: f64,
    /// From this one on it is out of the model's range: the service warns, and `forewarn drift` ends with status 11.
    /// Default: 0.25.
    pub large: f64,
    /// When the mean of scores has changed.
    pub page_hinkley: PageHinkley,
}

/// `models.drift.page-hinkley`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PageHinkley {
    /// Changes of the mean below it are borne, in standard deviations of the scores' ranks in training. Default: 0.25,
    /// half of the change that a PSI of 0.25 is.
    pub delta: f64,
    /// What must add up beyond it before a change is told. Smaller: sooner, and oftener for nothing. Default: 25.
    pub lambda: f64,
}

impl Default for Drift {
    fn default() -> Self {
        Drift {
            watch: true,
            window_rows: 10_000,
            window_lasts: Duration::from_secs(600),
            moderate: 0.1,
            large: 0.25,
            page_hinkley: PageHinkley::default(),
        }
    }
}

impl Default for PageHinkley {
    fn default() -> Self {
        PageHinkley {
            delta: 0.25,
            lambda: 25.0,
        }
    }
}

impl Drift {
    pub fn limits(&self) -> Limits {
        Limits {
            moderate: self.moderate,
            large: self.large,
        }
    }

    pub fn sensitivity(&self) -> Sensitivity {
        let PageHinkley { delta, lambda } = self.page_hinkley;
        Sensitivity { delta, lambda }
    }

    /// What is wrong, with the key of each.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut wants = |holds: bool, key, message: String| {
            if !holds {
                problems.push((key, message));
            }
        };
        let rows = self.window_rows;
        wants(rows > 0, "window-rows", "must be at least 1".into());
        let (moderate, large) = (self.moderate, self.large);
        let message = format!("must be above 0, not {moderate}");
        wants(moderate > 0.0, "moderate", message);
        let message = format!("must be a number not below moderate ({moderate}), not {large}");
        wants(large >= moderate && large.is_finite(), "large", message);
        let PageHinkley { delta, lambda } = self.page_hinkley;
        let message = format!("must be 0 or above, not {delta}");
        wants(delta >= 0.0, "page-hinkley.delta", message);
        let message = format!("must be above 0, not {lambda}");
        wants(lambda > 0.0, "page-hinkley.lambda", message);
        problems
    }
}
