//! Signals: the measured quantities that a pipeline declares, and the one place where a value of a signal
//! is accepted or refused, whatever format it came in.

use std::time::Duration;

use serde::Deserialize;

use crate::refusal::Refusal;

/// A signal as configured under `[signals]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SignalConfig {
    /// Physical unit, such as `degC`. Compared with the units that a model declares. Default: not compared.
    pub unit: Option<String>,
    /// Name of the field or column that carries it. Default: the signal's own name.
    pub field: Option<String>,
    /// Smallest value that the sensor can give; a smaller one is refused. Default: any.
    pub min: Option<f64>,
    /// Largest value that the sensor can give; a larger one is refused. Default: any.
    pub max: Option<f64>,
    /// What happens when a reading does not have it: `"refuse"` the reading; `"no-score"`, the row is
    /// published without a score and with the reason; `{ hold = "30s" }`, the asset's last value up to this
    /// age; `"interpolate"`, between the neighbours inside a closed window; `{ fill = 0 }`, a constant.
    /// Default: refuse; `no-score` where one message carries one signal.
    pub missing: Option<MissingPolicy>,
}

/// What stands in for a value that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    expecting = "missing is one of \"refuse\", \"no-score\", \"interpolate\", { hold = \"30s\" }, { fill = 0 }"
)]
pub enum MissingPolicy {
    Refuse,
    NoScore,
    Interpolate,
    Hold(#[serde(with = "humantime_serde")] Duration),
    Fill(f64),
}

/// A declared signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub name: String,
    pub unit: Option<String>,
    /// The field or column that carries it.
    pub field: String,
    pub min: f64,
    pub max: f64,
    pub missing: Option<MissingPolicy>,
}

impl Signal {
    pub fn new(name: &str, config: SignalConfig) -> Self {
        Signal {
            field: config.field.unwrap_or_else(|| name.to_owned()),
            name: name.to_owned(),
            unit: config.unit,
            min: config.min.unwrap_or(f64::NEG_INFINITY),
            max: config.max.unwrap_or(f64::INFINITY),
            missing: config.missing,
        }
    }

    /// What stands in for a missing value.
    pub fn missing(&self) -> MissingPolicy {
        self.missing.unwrap_or(MissingPolicy::Refuse)
    }

    /// Accepts `value`, or says why not.
    ///
    /// # Errors
    /// Not finite, or outside `min..=max`.
    pub fn accept(&self, value: f64) -> Result<f64, Refusal> {
        if !value.is_finite() {
            return Err(Refusal::NotFinite {
                field: self.field.clone(),
            });
        }
        if value < self.min || value > self.max {
            return Err(Refusal::OutOfRange {
                signal: self.name.clone(),
                value,
                min: self.min,
                max: self.max,
            });
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_includes_its_ends() {
        let config = SignalConfig {
            min: Some(0.0),
            max: Some(1.0),
            ..SignalConfig::default()
        };
        let signal = Signal::new("soc", config);
        assert!(signal.accept(0.0).is_ok() && signal.accept(1.0).is_ok());
        assert_eq!(signal.accept(1.1).unwrap_err().code(), "out-of-range");
        assert_eq!(signal.accept(f64::NAN).unwrap_err().code(), "not-finite");
    }
}
