//! The keys of a contract, one by one: where they come from, what type they have, and what is wrong.
//!
//! Invariant: reading never stops at the first problem; every problem names its key.
//!
//! Not here: which keys there are (`read_input.rs`, `read_task.rs`, `read_rul.rs`), what they mean together
//! with the graph (`signature.rs`).

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

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

    pub(super) fn version(&mut self, known: &str) {
        if let Some(version) = self.text("contract")
            && version != known
        {
            let what = format!("version {version} is not known; this build reads {known}");
            self.problem("contract", &what);
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.keys.get(key).map(|text| text.trim().to_owned())
    }

    pub(super) fn required(&mut self, key: &str) -> Option<String> {
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

    pub(super) fn finite(&mut self, key: &str) -> Option<f64> {
        let value: f64 = self.required_json(key)?;
        if value.is_finite() {
            return Some(value);
        }
        self.problem(key, &format!("must be a finite number, not {value}"));
        None
    }

    pub(super) fn positive(&mut self, key: &str) -> Option<f64> {
        let value: f64 = self.required_json(key)?;
        if value.is_finite() && value > 0.0 {
            return Some(value);
        }
        self.problem(key, &format!("must be a positive number, not {value}"));
        None
    }

    /// A whole number from 1; `default` where the key is absent.
    pub(super) fn count(&mut self, key: &str, default: usize) -> Option<usize> {
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
}
