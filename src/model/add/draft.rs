//! A contract in the making: what is given, what the graph suggests, and what has to be asked.
//!
//! Pure but for writing the result; `ask.rs` asks on a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use forewarn_models::admission::{Bundle, Outline, Port, sha256};

/// Beginning of the names of table `[external-data]`, as the contract flattens it.
const EXTERNAL: &str = "external-data";

#[derive(Debug, Default)]
pub(super) struct Draft {
    table: toml::Table,
    /// Keys that the graph's own metadata gives.
    known: BTreeMap<String, String>,
    outline: Outline,
}

/// A key that is missing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub key: &'static str,
    pub text: String,
    /// One of these, if there are any.
    pub choices: Vec<String>,
    pub default: Option<String>,
    /// What it looks like, where there is no default.
    pub example: &'static str,
}

/// A value as TOML writes it; what is no TOML is a text.
pub(super) fn value_of(text: &str) -> toml::Value {
    let parsed = format!("value = {text}").parse::<toml::Table>();
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| toml::Value::String(text.trim().to_owned()))
}

impl Draft {
    pub fn merge(&mut self, keys: toml::Table) {
        self.table.extend(keys);
    }

    pub fn set(&mut self, key: &str, answer: &str) {
        // Names of features may be written as a list of words.
        let value = match value_of(answer) {
            toml::Value::String(text) if key == "features" => {
                let names = text.split([',', ' ']).filter(|name| !name.is_empty());
                names.map(ToOwned::to_owned).collect::<Vec<String>>().into()
            }
            value => value,
        };
        self.table.insert(key.to_owned(), value);
    }

    /// Lists files that lie beside the graph as its weights, with their hashes, unless a contract does.
    pub fn list_weights(&mut self, folder: &Path) {
        if self.table.contains_key(EXTERNAL) {
            return;
        }
        let own = ["model.onnx", "model.toml", "golden.json", "card.md"];
        let mut listed = toml::Table::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let other = !own.contains(&name.as_str()) && !name.ends_with(".minisig");
            if let (true, Ok(bytes)) = (other, fs::read(entry.path())) {
                listed.insert(name, sha256(&bytes).into());
            }
        }
        if !listed.is_empty() {
            self.table.insert(EXTERNAL.into(), listed.into());
        }
    }

    /// Takes note of the graph.
    pub fn look_at(&mut self, bundle: Bundle) -> Result<()> {
        self.known = bundle.keys()?;
        self.outline = bundle.outline;
        Ok(())
    }

    fn has(&self, key: &str) -> bool {
        self.table.contains_key(key) || self.known.contains_key(key) || self.has_below(key)
    }

    /// A key of `key.*`, in the file or written as a table.
    fn has_below(&self, key: &str) -> bool {
        let prefix = format!("{key}.");
        let below = |name: &String| name.starts_with(&prefix);
        self.known.keys().any(below) || self.table.keys().any(below)
    }

    fn task(&self) -> Option<String> {
        let given = self.table.get("task").and_then(toml::Value::as_str);
        given
            .map(ToOwned::to_owned)
            .or_else(|| self.known.get("task").cloned())
    }

    /// The first key that is missing. What depends on it comes later; for tasks that are not asked for here,
    /// the contract's own check says what is missing.
    pub fn question(&self) -> Option<Question> {
        self.about_task()
            .or_else(|| self.about_input())
            .or_else(|| match self.task().as_deref() {
                Some("anomaly") => self.about_anomaly(),
                Some("rul") => self.about_rul(),
                _ => None,
            })
    }

    fn about_task(&self) -> Option<Question> {
        if self.has("task") {
            return None;
        }
        // A reconstruction is as wide as its input; a remaining life is one number.
        let (input, output) = (self.outline.inputs.first(), self.outline.outputs.first());
        let width = |port: Option<&Port>| port.and_then(|port| port.shape.last().copied());
        let wide = width(input) == width(output);
        Some(Question {
            key: "task",
            text: "What does it tell: anomaly, or rul (remaining useful life)?".into(),
            choices: vec!["anomaly".into(), "rul".into()],
            default: Some(if wide { "anomaly" } else { "rul" }.into()),
            example: "",
        })
    }

    fn about_input(&self) -> Option<Question> {
        let inputs = &self.outline.inputs;
        if !self.has("input") && !self.has("state") && inputs.len() > 1 {
            let names = names(inputs);
            return Some(Question {
                key: "input",
                text: format!("Which input takes the features: {}?", names.join(", ")),
                default: names.first().cloned(),
                choices: names,
                example: "",
            });
        }
        let input = inputs.first()?;
        if !self.has("features") && !self.has_below("input") {
            let width = input.shape.last().copied().flatten();
            let count = width.map_or_else(|| "the".to_owned(), |width| format!("the {width}"));
            return Some(Question {
                key: "features",
                text: format!(
                    "Names of {count} features of {input}, in their order, with commas between"
                ),
                choices: Vec::new(),
                default: None,
                example: "[\"first\", \"second\"]",
            });
        }
        if !self.has("sequence-length") && !self.has("state") && input.shape.len() == 3 {
            return Some(Question {
                key: "sequence-length",
                text: format!("How many rows of an asset are one input of {input}?"),
                choices: Vec::new(),
                default: input.shape[1].map(|length| length.to_string()),
                example: "30",
            });
        }
        None
    }

    fn output(&self, key: &'static str, what: &str) -> Question {
        let names = names(&self.outline.outputs);
        Question {
            key,
            text: format!("Which output holds {what}: {}?", names.join(", ")),
            default: names.first().cloned(),
            choices: names,
            example: "",
        }
    }

    fn about_anomaly(&self) -> Option<Question> {
        if !self.has("output") {
            return Some(self.output(
                "output.residual",
                "the residual, (x - reconstruction) / scale",
            ));
        }
        (!self.has("threshold")).then(|| Question {
            key: "threshold",
            text: "Above which score is a row anomalous?".into(),
            choices: Vec::new(),
            default: None,
            example: "1.0",
        })
    }

    fn about_rul(&self) -> Option<Question> {
        if !self.has("output") {
            return Some(self.output("output.rul", "the remaining useful life"));
        }
        let number = |key, text: &str, example| Question {
            key,
            text: text.into(),
            choices: Vec::new(),
            default: None,
            example,
        };
        if !self.has("unit") {
            return Some(number(
                "unit",
                "Its unit, such as hours or cycles",
                "\"hours\"",
            ));
        }
        let text = "The largest value that it was trained to give";
        (!self.has("rul-cap")).then(|| number("rul-cap", text, "125.0"))
    }

    /// A `model.toml` to fill in: what is known, and what is missing with what the graph suggests.
    pub fn template(&self) -> String {
        let mut filled = Draft {
            table: self.table.clone(),
            known: self.known.clone(),
            outline: self.outline.clone(),
        };
        let mut missing = String::new();
        while let Some(question) = filled.question() {
            let from_graph = question.default.as_deref();
            let answer = from_graph.unwrap_or(question.example);
            let _ = writeln!(missing, "# {}", question.text);
            let what = if from_graph.is_some() {
                "as the graph suggests"
            } else {
                "an example: to be replaced"
            };
            let _ = writeln!(
                missing,
                "{} = {}  # {what}",
                quoted(question.key),
                value_of(answer)
            );
            filled.set(question.key, answer);
        }
        let given = toml::to_string(&self.table).unwrap_or_default();
        if given.contains("\n[") || given.starts_with('[') {
            // Keys after a table would be its own.
            return format!("{missing}{given}");
        }
        format!("{given}{missing}")
    }

    /// Writes `model.toml`; nothing where the file says all of it.
    pub fn write(&self, path: &Path) -> Result<()> {
        if self.table.is_empty() {
            return Ok(());
        }
        let text = toml::to_string(&self.table).context("the contract as TOML")?;
        // A signature holds for these bytes alone.
        if fs::read_to_string(path).is_ok_and(|old| {
            old.parse::<toml::Table>()
                .is_ok_and(|old| old == self.table)
        }) {
            return Ok(());
        }
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}

fn names(ports: &[Port]) -> Vec<String> {
    ports.iter().map(|port| port.name.clone()).collect()
}

/// A dotted key is one key here, not a table in a table.
fn quoted(key: &str) -> String {
    if key.contains('.') {
        format!("\"{key}\"")
    } else {
        key.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, shape: &[Option<u64>]) -> Port {
        Port {
            name: name.into(),
            element: 1,
            shape: shape.into(),
        }
    }

    fn draft(input: &[Option<u64>], output: &[Option<u64>]) -> Draft {
        Draft {
            outline: Outline {
                inputs: vec![port("x", input)],
                outputs: vec![port("y", output)],
                ..Outline::default()
            },
            ..Draft::default()
        }
    }

    #[test]
    fn the_graph_answers_what_it_can() {
        let mut draft = draft(&[None, Some(30), Some(2)], &[None, Some(1)]);
        let mut asked = Vec::new();
        while let Some(question) = draft.question() {
            let answer = question
                .default
                .clone()
                .unwrap_or_else(|| question.example.into());
            draft.set(question.key, &answer);
            asked.push((question.key, question.default));
        }
        let some = |text: &str| Some(text.to_owned());
        let expected = [
            ("task", some("rul")),
            ("features", None),
            ("sequence-length", some("30")),
            ("output.rul", some("y")),
            ("unit", None),
            ("rul-cap", None),
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_template_is_toml_that_answers_every_question() {
        let mut draft = draft(&[None, Some(2)], &[None, Some(2)]);
        draft.set("features", "a, b");
        let template = draft.template();
        assert!(
            template.contains("task = \"anomaly\"  # as the graph suggests"),
            "{template}"
        );
        assert!(
            template.contains("# an example: to be replaced"),
            "{template}"
        );
        draft.merge(template.parse().unwrap());
        assert_eq!(draft.question(), None, "{template}");
        assert_eq!(draft.table["features"].to_string(), "[\"a\", \"b\"]");
    }

    #[test]
    fn what_is_given_is_not_asked() {
        let mut draft = draft(&[None, Some(2)], &[None, Some(2)]);
        let given = "task = \"anomaly\"\nfeatures = [\"a\", \"b\"]\n[output]\nresidual = \"y\"\n";
        draft.merge(given.parse().unwrap());
        assert_eq!(
            draft.question().map(|question| question.key),
            Some("threshold")
        );
        draft.set("threshold", "2.5");
        assert_eq!(draft.question(), None);
        assert_eq!(draft.table["threshold"], toml::Value::Float(2.5));
    }
}
