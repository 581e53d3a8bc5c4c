//! The keys of remaining useful life: the estimate, what it was calibrated with, what is told of it.
//!
//! Not here: the distributions themselves (`verdict/life.rs`).

use super::keys::KeyReader;
use super::task::{Estimate, Rul, Spread};

/// Nominal coverage of the interval, where the contract does not say.
const DEFAULT_COVERAGE: f64 = 0.9;

/// Levels such as 0.95 have no exact binary form: `1 - 2 * 0.05` is compared within this.
const LEVEL_ROUNDING: f64 = 1e-9;

impl KeyReader<'_> {
    pub(super) fn rul(&mut self) -> Option<Rul> {
        let unit = self.required("unit");
        let cap = self.positive("rul-cap");
        let estimate = self.estimate();
        let coverage = self.coverage(estimate.as_ref());
        let horizons = self.horizons(cap);
        if let Some(Estimate::Value { residuals, .. }) = &estimate
            && residuals.is_empty()
        {
            for key in ["interval-coverage", "failure-horizons"] {
                self.only_with(key, "calibration.residuals");
            }
        }
        Some(Rul {
            estimate: estimate?,
            unit: unit?,
            cap: cap?,
            coverage: coverage?,
            horizons: horizons?,
        })
    }

    fn estimate(&mut self) -> Option<Estimate> {
        const KEYS: [&str; 3] = ["output.rul", "output.quantiles", "output.mean"];
        for (key, with) in [
            ("quantiles", "output.quantiles"),
            ("calibration.margin", "output.quantiles"),
            ("output.variance", "output.mean"),
            ("output.sd", "output.mean"),
        ] {
            self.only_with(key, with);
        }
        let key = self.one_of(
            &KEYS,
            "is missing (or give output.quantiles with quantiles, or output.mean with output.variance)",
        )?;
        let output = self.required(key)?;
        match key {
            "output.rul" => Some(Estimate::Value {
                output,
                residuals: self.residuals()?,
            }),
            "output.quantiles" => self.quantiles(output),
            _ => {
                let spread = self.spread();
                let residuals = self.residuals()?;
                Some(Estimate::Moments {
                    mean: output,
                    spread: spread?,
                    residuals,
                })
            }
        }
    }

    fn spread(&mut self) -> Option<Spread> {
        let key = self.one_of(
            &["output.variance", "output.sd"],
            "is missing (or give output.sd): output.mean alone is no distribution; \
             without one, name the output in output.rul",
        )?;
        let output = self.required(key)?;
        Some(match key {
            "output.sd" => Spread::StandardDeviation(output),
            _ => Spread::Variance(output),
        })
    }

    fn quantiles(&mut self, output: String) -> Option<Estimate> {
        if self.keys.contains_key("calibration.residuals") {
            let what = "has no meaning with forewarn.output.quantiles: give calibration.margin";
            self.problem("calibration.residuals", what);
        }
        let margin = match self.keys.contains_key("calibration.margin") {
            true => self.finite("calibration.margin"),
            false => Some(0.0),
        };
        let levels: Vec<f64> = self.required_json("quantiles")?;
        let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
        let around = levels.first() < Some(&0.5) && levels.last() > Some(&0.5);
        if !inside || !strictly_rising(&levels) || !around || !levels.contains(&0.5) {
            let what = "must rise strictly within 0 and 1, with 0.5 between others, such as \
                        [0.05, 0.5, 0.95], in the order of the output's columns";
            self.problem("quantiles", what);
            return None;
        }
        Some(Estimate::Quantiles {
            output,
            levels,
            margin: margin?,
        })
    }

    fn residuals(&mut self) -> Option<Vec<f64>> {
        const KEY: &str = "calibration.residuals";
        if !self.keys.contains_key(KEY) {
            return Some(Vec::new());
        }
        let residuals: Vec<f64> = self.json(KEY)?;
        let rising = residuals.windows(2).all(|pair| pair[0] <= pair[1]);
        if residuals.is_empty() || !rising || residuals.iter().any(|r| !r.is_finite()) {
            let what = "must hold finite numbers, sorted from the lowest: truth minus value of each row \
                        of a calibration set";
            self.problem(KEY, what);
            return None;
        }
        Some(residuals)
    }

    /// What the contract says; if it says nothing, the default or what the outermost quantiles reach.
    fn coverage(&mut self, estimate: Option<&Estimate>) -> Option<f64> {
        const KEY: &str = "interval-coverage";
        let reach = match estimate {
            Some(Estimate::Quantiles { levels, margin, .. }) if *margin == 0.0 => reach_of(levels),
            _ => 1.0,
        };
        if !self.keys.contains_key(KEY) {
            return Some(DEFAULT_COVERAGE.min(reach));
        }
        let coverage: f64 = self.json(KEY)?;
        let what = if !(coverage > 0.0 && coverage < 1.0) {
            format!("must be within 0 and 1, not {coverage}")
        } else if coverage > reach + LEVEL_ROUNDING {
            format!(
                "is {coverage}, but the outermost quantiles reach {reach:.3}: lower it, \
                 or widen them with calibration.margin"
            )
        } else {
            return Some(coverage);
        };
        self.problem(KEY, &what);
        None
    }

    fn horizons(&mut self, cap: Option<f64>) -> Option<Vec<f64>> {
        const KEY: &str = "failure-horizons";
        if !self.keys.contains_key(KEY) {
            return Some(Vec::new());
        }
        let horizons: Vec<f64> = self.json(KEY)?;
        let below = cap.unwrap_or(f64::INFINITY);
        let inside = horizons.iter().all(|h| *h > 0.0 && *h < below);
        if !inside || !strictly_rising(&horizons) {
            let what = "must rise strictly above 0 and below rul-cap, beyond which the model knows nothing";
            self.problem(KEY, what);
            return None;
        }
        Some(horizons)
    }
}

fn strictly_rising(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] < pair[1])
}

/// The widest interval with equal tails between quantiles of these levels.
fn reach_of(levels: &[f64]) -> f64 {
    let tail = levels[0].max(1.0 - levels[levels.len() - 1]);
    1.0 - 2.0 * tail
}
