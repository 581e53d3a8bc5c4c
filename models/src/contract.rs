//! The contract: what a model says of itself, so that one file dropped into the repository is enough.
//!
//! It is read from the ONNX file's `metadata_props` under `forewarn.*`; a `model.toml` beside the file may
//! give or override any key (there without the prefix, `output.rul` being a dotted key):
//!
//! | key | meaning | for |
//! |---|---|---|
//! | `contract` | version of this list: `1` | all |
//! | `task` | `anomaly` or `rul` | all |
//! | `features` | JSON array of feature names, in the order of the input's last axis | all |
//! | `units` | JSON array of their physical units; compared with the pipeline's signals | optional |
//! | `input` | name of the input tensor | when there are several |
//! | `sequence-length` | L: the input is `[B, L, F]`. Absent: `[B, F]`, one feature row | optional |
//! | `padding` | `edge`: the first row is repeated until there are L; `none`: no score before L rows | with L |
//! | `output.residual` | output `[B, F]` or `[B, L, F]`: (x − reconstruction) / scale, no unit | anomaly |
//! | `output.reconstruction`, `residual-scale` | output in physical units, and a JSON array of F scales | anomaly, instead |
//! | `threshold` | scores above it are anomalous | anomaly |
//! | `output.rul` | output `[B]` or `[B, 1]` | rul |
//! | `unit` | unit of the remaining useful life | rul |
//! | `rul-cap` | largest value the model was trained to give; health = value / cap | rul |
//! | `description` | one sentence | optional |
//!
//! Scaling belongs inside the graph: a model takes physical units.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

/// The only version of the key list so far.
const CONTRACT_VERSION: &str = "1";

/// What a model needs and what it gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    pub description: String,
    pub task: Task,
    /// Feature names in the order of the input's last axis.
    pub features: Vec<String>,
    /// Physical units of the features; empty when the model does not say.
    pub units: Vec<String>,
    /// Name of the input tensor; `None` when the graph has only one.
    pub input: Option<String>,
    /// `None`: the model sees one feature row, its input is `[B, F]`.
    pub sequence: Option<Sequence>,
}

/// The last `length` feature rows of an asset are one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    pub length: usize,
    pub padding: Padding,
}

/// What happens while an asset has fewer rows than the sequence is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The asset's first row is repeated at the front.
    Edge,
    /// There is no score.
    None,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    Anomaly {
        error: ErrorOutput,
        threshold: f64,
    },
    Rul {
        output: String,
        unit: String,
        cap: f64,
    },
}

/// How an anomaly model tells its error.
#[derive(Debug, Clone, PartialEq)]
pub enum ErrorOutput {
    /// The graph computes the residual without unit.
    Residual { output: String },
    /// The graph gives the reconstruction in physical units; the contract gives one scale per feature.
    Reconstruction { output: String, scale: Vec<f32> },
}

impl Task {
    /// The word used in contracts and outputs.
    pub fn name(&self) -> &'static str {
        match self {
            Task::Anomaly { .. } => "anomaly",
            Task::Rul { .. } => "rul",
        }
    }

    /// The graph output that the task is judged by.
    pub fn output(&self) -> &str {
        match self {
            Task::Anomaly {
                error: ErrorOutput::Residual { output },
                ..
            }
            | Task::Anomaly {
                error: ErrorOutput::Reconstruction { output, .. },
                ..
            }
            | Task::Rul { output, .. } => output,
        }
    }
}

impl Contract {
    /// Length of the sequence, 1 for a model that sees one row.
    pub fn length(&self) -> usize {
        self.sequence.map_or(1, |sequence| sequence.length)
    }

    /// Reads the contract from the merged keys (without the `forewarn.` prefix).
    ///
    /// # Errors
    /// Every problem found, each saying which key and what to write.
    pub fn from_keys(keys: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        if !keys.contains_key("task") && !keys.contains_key("contract") {
            return Err(vec![
                "the file has no contract: it needs forewarn.* entries in metadata_props, or a \
                 model.toml beside it, with at least `task`, `features` and the task's output"
                    .into(),
            ]);
        }
        let mut reader = KeyReader {
            keys,
            problems: Vec::new(),
        };
        let version = reader
            .text("contract")
            .unwrap_or_else(|| CONTRACT_VERSION.into());
        if version != CONTRACT_VERSION {
            reader.problem(
                "contract",
                &format!("version {version} is not known; this build reads 1"),
            );
        }
        let features: Vec<String> = reader.required_json("features").unwrap_or_default();
        if features.is_empty() && keys.contains_key("features") {
            reader.problem("features", "must name at least one feature");
        }
        let units: Vec<String> = reader.json("units").unwrap_or_default();
        if !units.is_empty() && units.len() != features.len() {
            reader.problem(
                "units",
                &format!(
                    "has {} entries for {} features",
                    units.len(),
                    features.len()
                ),
            );
        }
        let sequence = reader.sequence();
        let task = reader.task(features.len());
        match (task, reader.problems.is_empty()) {
            (Some(task), true) => Ok(Contract {
                description: keys.get("description").cloned().unwrap_or_default(),
                task,
                features,
                units,
                input: keys.get("input").cloned(),
                sequence,
            }),
            _ => Err(reader.problems),
        }
    }
}

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
struct KeyReader<'a> {
    keys: &'a BTreeMap<String, String>,
    problems: Vec<String>,
}

impl KeyReader<'_> {
    fn problem(&mut self, key: &str, what: &str) {
        self.problems.push(format!("forewarn.{key} {what}"));
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.keys.get(key).map(|text| text.trim().to_owned())
    }

    fn required(&mut self, key: &str) -> Option<String> {
        let text = self.text(key).filter(|text| !text.is_empty());
        if text.is_none() {
            self.problem(key, "is missing");
        }
        text
    }

    fn json<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
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

    fn required_json<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
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

    fn sequence(&mut self) -> Option<Sequence> {
        let length: usize = self.json("sequence-length")?;
        if length == 0 {
            self.problem("sequence-length", "must be at least 1");
            return None;
        }
        let padding = match self.text("padding").as_deref() {
            None | Some("none") => Padding::None,
            Some("edge") => Padding::Edge,
            Some(other) => {
                self.problem(
                    "padding",
                    &format!("must be \"edge\" or \"none\", not \"{other}\""),
                );
                return None;
            }
        };
        Some(Sequence { length, padding })
    }

    fn task(&mut self, features: usize) -> Option<Task> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn a_rul_contract_is_read_from_metadata() {
        let contract = Contract::from_keys(&keys(&[
            ("contract", "1"),
            ("task", "rul"),
            ("features", r#"["T24","T30"]"#),
            ("sequence-length", "30"),
            ("padding", "edge"),
            ("output.rul", "rul"),
            ("unit", "cycles"),
            ("rul-cap", "125"),
        ]))
        .unwrap();
        assert_eq!(contract.length(), 30);
        assert_eq!(contract.task.output(), "rul");
        assert_eq!(contract.sequence.unwrap().padding, Padding::Edge);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems = Contract::from_keys(&keys(&[
            ("task", "anomaly"),
            ("features", r#"["a","b"]"#),
            ("units", r#"["g"]"#),
            ("output.reconstruction", "y"),
            ("residual-scale", "[1.0]"),
            ("threshold", "-1"),
        ]))
        .unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("forewarn.units"));
        assert!(problems[1].contains("2 positive numbers"));
        assert!(problems[2].contains("forewarn.threshold"));
    }

    #[test]
    fn a_bare_file_is_told_what_a_contract_is() {
        let problems = Contract::from_keys(&BTreeMap::new()).unwrap_err();
        assert!(problems[0].contains("model.toml"), "{problems:?}");
    }

    #[test]
    fn model_toml_gives_the_same_keys_as_metadata() {
        let keys = keys_from_toml(
            "task = \"anomaly\"\nfeatures = [\"a\"]\nthreshold = 1.5\n[output]\nresidual = \"e\"\n",
        )
        .unwrap();
        assert_eq!(keys["output.residual"], "e");
        assert_eq!(keys["features"], r#"["a"]"#);
        let contract = Contract::from_keys(&keys).unwrap();
        assert!(matches!(contract.task, Task::Anomaly { threshold, .. } if threshold == 1.5));
    }
}
