//! The keys of a contract, one by one: where they come from, what type they have, and what is wrong.
//!
//! Invariant: reading never stops at the first problem; every problem names its key.
//!
//! Not here: what the keys mean together with the graph (`signature.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{ErrorOutput, Padding, Sequence, StatePair, Task};

/// Each key that starts with this names a state input, and its value the state output.
const STATE_PREFIX: &str = "state.";

/// Flattens a `model.toml` into contract keys: tables become dotted keys, arrays become JSON.
///
/// # Errors
/// The TOML parser's message.
pub fn keys_from_toml(text: &str) -> Result<BTreeMap<String, String>, toml::de::Error> {
    fn flatten(prefix: &str, table: &toml::Table, keys: &mut BTreeMap<String, String>) {
        for (name, value) in table {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match value {
                toml::Value::Table(inner) => flatten(&path, inner, keys),
                toml::Value::String(text) => drop(keys.insert(path, text.clone())),
                other => {
                    // TOML arrays and numbers as JSON, the form they have in metadata_props.
                    let json = serde_json::to_string(other).unwrap_or_else(|_| other.to_string());
                    keys.insert(path, json);
                }
            }
        }
    }
    let mut keys = BTreeMap::new();
    flatten("", &text.parse::<toml::Table>()?, &mut keys);
    Ok(keys)
}

/// Reads typed values and collects what is wrong.
pub(super) struct KeyReader<'a> {
    pub(super) keys: &'a BTreeMap<String, String>,
    pub(super) problems: Vec<String>,
}

impl KeyReader<'_> {
    pub(super) fn problem(&mut self, key: &str, what: &str) {
        self.problems.push(format!("forewarn.{key} {what}"));
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.keys.get(key).map(|text| text.trim().to_owned())
    }

    fn required(&mut self, key: &str) -> Option<String> {
        let text = self.text(key).filter(|text| !text.is_empty());
        if text.is_none() {
            self.problem(key, "is missing");
        }
        text
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        match serde_json::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(
                    key,
                    &format!("is not the JSON expected here ({error}): {text}"),
                );
                None
            }
        }
    }

    pub(super) fn required_json<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        self.required(key)?;
        self.json(key)
    }

    fn positive(&mut self, key: &str) -> Option<f64> {
        let value: f64 = self.required_json(key)?;
        if value.is_finite() && value > 0.0 {
            return Some(value);
        }
        self.problem(key, &format!("must be a positive number, not {value}"));
        None
    }

    pub(super) fn sequence(&mut self) -> Option<Sequence> {
        if !self.keys.contains_key("sequence-length") {
            for key in ["sequence-step", "sequence-min-rows"] {
                if self.keys.contains_key(key) {
                    self.problem(key, "has no meaning without forewarn.sequence-length");
                }
            }
            return None;
        }
        let length = self.count("sequence-length", 1);
        let step = self.count("sequence-step", 1);
        let padding = self.padding();
        let (length, padding) = (length?, padding?);
        let min_rows = self.min_rows(length, padding);
        Some(Sequence {
            length,
            padding,
            step: step?,
            min_rows: min_rows?,
        })
    }

    /// A whole number from 1; `default` where the key is absent.
    fn count(&mut self, key: &str, default: usize) -> Option<usize> {
        if !self.keys.contains_key(key) {
            return Some(default);
        }
        let value: usize = self.json(key)?;
        if value == 0 {
            self.problem(key, "must be at least 1");
            return None;
        }
        Some(value)
    }

    fn padding(&mut self) -> Option<Padding> {
        match self.text("padding").as_deref() {
            None | Some("none") => Some(Padding::None),
            Some("edge") => Some(Padding::Edge),
            Some(other) => {
                let what = format!("must be \"edge\" or \"none\", not \"{other}\"");
                self.problem("padding", &what);
                None
            }
        }
    }

    fn min_rows(&mut self, length: usize, padding: Padding) -> Option<usize> {
        const KEY: &str = "sequence-min-rows";
        let default = match padding {
            Padding::Edge => 1,
            Padding::None => length,
        };
        let rows = self.count(KEY, default)?;
        let what = match padding {
            Padding::None if rows != length => format!(
                "must be the sequence length {length} without padding, not {rows}: \
                 for a score on fewer rows set forewarn.padding to \"edge\""
            ),
            _ if rows > length => {
                format!("must be within 1 and the sequence length {length}, not {rows}")
            }
            _ => return Some(rows),
        };
        self.problem(KEY, &what);
        None
    }

    pub(super) fn max_gap(&mut self) -> Option<Duration> {
        const KEY: &str = "sequence-max-gap";
        let text = self.text(KEY)?;
        let remembers = self.keys.contains_key("sequence-length") || self.state_keys().count() > 0;
        if !remembers {
            self.problem(
                KEY,
                "has no meaning without forewarn.sequence-length or forewarn.state.<input>",
            );
        }
        match humantime::parse_duration(&text) {
            Ok(gap) if !gap.is_zero() => return Some(gap),
            Ok(_) => self.problem(KEY, "must be longer than 0: leave it out for no limit"),
            Err(error) => {
                let what = format!("must be a duration such as 90s or 2h, not {text} ({error})");
                self.problem(KEY, &what);
            }
        }
        None
    }

    /// State pairs, sorted by input as the keys are.
    pub(super) fn state(&mut self) -> Vec<StatePair> {
        let pairs: Vec<StatePair> = self.state_keys().collect();
        for (i, pair) in pairs.iter().enumerate() {
            let key = format!("{STATE_PREFIX}{}", pair.input);
            if pair.input.is_empty() || pair.output.is_empty() {
                let what =
                    "must be forewarn.state.<input> = the name of the output with its new state";
                self.problem(&key, what);
            } else if pairs[..i].iter().any(|other| other.output == pair.output) {
                let what = format!(
                    "names the output {}, which is the new state of another input too",
                    pair.output
                );
                self.problem(&key, &what);
            }
        }
        if let (Some(pair), true) = (pairs.first(), self.keys.contains_key("sequence-length")) {
            let what = "can't go with forewarn.sequence-length: a model with state takes one row at a time, \
                        drop one of the two";
            self.problem(&format!("{STATE_PREFIX}{}", pair.input), what);
        }
        pairs
    }

    fn state_keys(&self) -> impl Iterator<Item = StatePair> {
        self.keys.iter().filter_map(|(key, value)| {
            Some(StatePair {
                input: key.strip_prefix(STATE_PREFIX)?.to_owned(),
                output: value.trim().to_owned(),
            })
        })
    }

    pub(super) fn task(&mut self, features: usize) -> Option<Task> {
        match self.required("task")?.as_str() {
            "anomaly" => {
                let error = self.error_output(features);
                let threshold = self.positive("threshold");
                Some(Task::Anomaly {
                    error: error?,
                    threshold: threshold?,
                })
            }
            "rul" => {
                let output = self.required("output.rul");
                let unit = self.required("unit");
                let cap = self.positive("rul-cap");
                Some(Task::Rul {
                    output: output?,
                    unit: unit?,
                    cap: cap?,
                })
            }
            other => {
                self.problem(
                    "task",
                    &format!("must be \"anomaly\" or \"rul\", not \"{other}\""),
                );
                None
            }
        }
    }

    fn error_output(&mut self, features: usize) -> Option<ErrorOutput> {
        if let Some(output) = self.text("output.residual") {
            return Some(ErrorOutput::Residual { output });
        }
        let Some(output) = self.text("output.reconstruction") else {
            self.problem(
                "output.residual",
                "is missing (or give output.reconstruction with residual-scale)",
            );
            return None;
        };
        let scale: Vec<f32> = self.required_json("residual-scale")?;
        if scale.len() != features || scale.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
            self.problem(
                "residual-scale",
                &format!("must hold {features} positive numbers"),
            );
            return None;
        }
        Some(ErrorOutput::Reconstruction { output, scale })
    }
}
