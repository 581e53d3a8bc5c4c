//! The keys of what a model is fed with: features, their tensors, sequences, states.

use std::time::Duration;

use super::keys::KeyReader;
use super::{FedInput, Layout, Padding, Sequence, StatePair};

/// Each key that starts with this names a state input, and its value the state output.
const STATE_PREFIX: &str = "state.";

/// Each key that starts with this names an input tensor, and its value the features that it takes.
const INPUT_PREFIX: &str = "input.";

impl KeyReader<'_> {
    /// The features, and which of them go into which tensor. `graph` are the names of the graph's inputs:
    /// where the contract does not list the features, they come in that order.
    pub(super) fn features(&mut self, graph: &[String]) -> (Vec<String>, Vec<FedInput>) {
        let inputs = self.inputs(graph);
        if inputs.is_empty() {
            let features: Vec<String> = self.required_json("features").unwrap_or_default();
            if features.is_empty() && self.keys.contains_key("features") {
                self.problem("features", "must name at least one feature");
            }
            return (features, inputs);
        }
        if self.keys.contains_key("input") {
            let what = "can't go with forewarn.input.<tensor>: keep the one that the graph has";
            self.problem("input", what);
        }
        let features = self.features_of(&inputs);
        (features, inputs)
    }

    /// The features of several tensors: as the contract lists them, else one tensor after the other.
    fn features_of(&mut self, inputs: &[FedInput]) -> Vec<String> {
        let fed = inputs.iter().flat_map(|input| &input.features);
        if !self.keys.contains_key("features") {
            let mut features: Vec<String> = Vec::new();
            for name in fed {
                if !features.contains(name) {
                    features.push(name.clone());
                }
            }
            return features;
        }
        let features: Vec<String> = self.json("features").unwrap_or_default();
        let missing: Vec<&str> = fed
            .filter(|name| !features.contains(name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let what = format!(
                "lacks {}, which forewarn.input.<tensor> takes: add what is missing, or drop this key",
                missing.join(", ")
            );
            self.problem("features", &what);
        }
        features
    }

    fn inputs(&mut self, graph: &[String]) -> Vec<FedInput> {
        let tensors = self
            .keys
            .keys()
            .filter_map(|key| key.strip_prefix(INPUT_PREFIX));
        let mut tensors: Vec<&str> = tensors.collect();
        tensors.sort_by_key(|tensor| graph.iter().position(|name| name == tensor));
        let mut inputs = Vec::new();
        for tensor in tensors {
            let key = format!("{INPUT_PREFIX}{tensor}");
            let Some(features) = self.json::<Vec<String>>(&key) else {
                continue;
            };
            if features.is_empty() {
                self.problem(&key, "must name the features that the tensor takes");
            }
            inputs.push(FedInput {
                tensor: tensor.to_owned(),
                features,
            });
        }
        inputs
    }

    pub(super) fn units(&mut self, features: usize) -> Vec<String> {
        let units: Vec<String> = self.json("units").unwrap_or_default();
        if !units.is_empty() && units.len() != features {
            let what = format!("has {} entries for {features} features", units.len());
            self.problem("units", &what);
        }
        units
    }

    pub(super) fn reference(&mut self, features: usize) -> Vec<f32> {
        let reference: Vec<f32> = self.json("reference").unwrap_or_default();
        if !reference.is_empty() && reference.len() != features {
            let what = format!("has {} entries for {features} features", reference.len());
            self.problem("reference", &what);
        }
        if reference.iter().any(|value| !value.is_finite()) {
            self.problem("reference", "must hold finite numbers");
        }
        reference
    }

    pub(super) fn layout(&mut self) -> Option<Layout> {
        match self.text("input-layout").as_deref() {
            None | Some("LF") => Some(Layout::RowsFirst),
            Some("FL") if self.keys.contains_key("sequence-length") => Some(Layout::FeaturesFirst),
            Some("FL") => {
                let what = "has no meaning without forewarn.sequence-length";
                self.problem("input-layout", what);
                None
            }
            Some(other) => {
                let what = format!("must be \"LF\" or \"FL\", not \"{other}\"");
                self.problem("input-layout", &what);
                None
            }
        }
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

    pub(super) fn state_keys(&self) -> impl Iterator<Item = StatePair> {
        self.keys.iter().filter_map(|(key, value)| {
            Some(StatePair {
                input: key.strip_prefix(STATE_PREFIX)?.to_owned(),
                output: value.trim().to_owned(),
            })
        })
    }
}
