//! A contract in the making: what is given, what the graph suggests, and what has to be asked.
//!
//! Pure but for writing the result; `questions.rs` has the questions, `ask.rs` asks them on a terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use forewarn_models::Contract;
use forewarn_models::admission::{Bundle, Outline, Port, sha256};
use forewarn_models::contract::keys_from_toml;

use super::question::{About, NOTHING, Question, value_of};

/// Beginning of the names of table `[external-data]`, as the contract flattens it.
const EXTERNAL: &str = "external-data";

#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    table: toml::Table,
    /// Keys that the graph's own metadata gives.
    known: BTreeMap<String, String>,
    outline: Outline,
    /// Answers that are no key: the form of the task, what an input is for.
    decided: BTreeMap<String, String>,
    /// Keys that may be left out, and were.
    left: BTreeSet<String>,
}

impl Draft {
    pub fn merge(&mut self, keys: toml::Table) {
        self.table.extend(keys);
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

    /// What the file says of its inputs and outputs.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// All keys of the contract so far: those of the file, then those that were given, which win.
    pub fn keys(&self) -> BTreeMap<String, String> {
        let given = toml::to_string(&self.table).unwrap_or_default();
        let mut keys = self.known.clone();
        keys.extend(keys_from_toml(&given).unwrap_or_default());
        // An empty text takes a key away.
        keys.retain(|_, value| !value.trim().is_empty());
        keys
    }

    pub fn has(&self, key: &str) -> bool {
        self.keys().contains_key(key)
    }

    /// Is there a key of `key.*`?
    pub fn has_below(&self, key: &str) -> bool {
        let prefix = format!("{key}.");
        self.keys().keys().any(|name| name.starts_with(&prefix))
    }

    pub fn text(&self, key: &str) -> Option<String> {
        self.keys().get(key).map(|text| text.trim().to_owned())
    }

    /// A list of names or numbers; empty when it is not there.
    pub fn names(&self, key: &str) -> Vec<String> {
        let text = self.text(key).unwrap_or_default();
        let items: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
        let name = |item: &serde_json::Value| {
            item.as_str()
                .map_or_else(|| item.to_string(), ToOwned::to_owned)
        };
        items.iter().map(name).collect()
    }

    /// All features, whichever input takes them.
    pub fn features(&self) -> Vec<String> {
        let mut features = self.names("features");
        if features.is_empty() {
            let inputs = self.outline.inputs.iter();
            let fed = inputs.flat_map(|input| self.names(&format!("input.{}", input.name)));
            for name in fed {
                if !features.contains(&name) {
                    features.push(name);
                }
            }
        }
        features
    }

    /// Outputs that may tell what the task is about: those that are no new state. Where every one is, as of a
    /// bare LSTM, each may be both.
    pub fn outputs(&self) -> impl Iterator<Item = &Port> {
        let keys = self.keys().into_iter();
        let states = keys.filter(|(key, _)| key.starts_with("state."));
        let states: Vec<String> = states.map(|(_, output)| output).collect();
        let outputs = self.outline.outputs.iter();
        let are_states = outputs.clone().all(|port| states.contains(&port.name));
        outputs.filter(move |port| are_states || !states.contains(&port.name))
    }

    /// The output that a key names.
    pub fn named(&self, key: &str) -> Option<&Port> {
        let name = self.text(key)?;
        self.outline.outputs.iter().find(|port| port.name == name)
    }

    pub fn decided(&self, what: &str) -> Option<&str> {
        self.decided.get(what).map(String::as_str)
    }

    /// Was it left out?
    pub fn is_left(&self, key: &str) -> bool {
        self.left.contains(key)
    }

    /// Takes an answer, an empty one for the default.
    ///
    /// # Errors
    /// What is wrong with it, also by the contract's own check of that key.
    pub fn answer(&mut self, question: &Question, answer: &str) -> Result<(), String> {
        let value = question.read(answer)?;
        let mut with = self.clone();
        with.take(&question.about, value);
        let inputs = self.outline.inputs.iter();
        let inputs: Vec<String> = inputs.map(|input| input.name.clone()).collect();
        let prefix = format!("forewarn.{} ", question.about.key());
        let problems = Contract::from_keys(&with.keys(), &inputs).err();
        let own = problems.into_iter().flatten().find_map(|problem| {
            let told = problem.strip_prefix(&prefix)?;
            // What gives it a meaning is asked for next.
            if told.starts_with("has no meaning without") {
                return None;
            }
            Some(format!("{} {told}", question.about.key()))
        });
        match own {
            Some(problem) => Err(problem),
            None => {
                *self = with;
                Ok(())
            }
        }
    }

    fn take(&mut self, about: &About, value: toml::Value) {
        match about {
            About::Decision(what) => {
                let value = value.as_str().unwrap_or_default();
                self.decided.insert(what.clone(), value.to_owned());
            }
            About::Optional(key) if value.as_str() == Some(NOTHING) => {
                self.left.insert(key.clone());
            }
            About::Key(key) | About::Optional(key) => {
                self.table.insert(key.clone(), value);
            }
        }
    }

    /// The contract as it is now: what is written beside the graph, and what the graph says itself.
    pub fn shown(&self) -> String {
        let mut shown = toml::to_string(&self.table).unwrap_or_default();
        let given = keys_from_toml(&shown).unwrap_or_default();
        for (key, value) in &self.known {
            if !given.contains_key(key) {
                let _ = writeln!(shown, "# in the file: {key} = {value}");
            }
        }
        shown
    }

    /// A `model.toml` to fill in: what is known, and what is missing with what the graph suggests.
    pub fn template(&self) -> String {
        let mut filled = self.clone();
        let mut missing = String::new();
        let mut last = None;
        while let Some(question) = filled.question(false) {
            // Nothing answers it, such as which output of a graph that has none.
            if last.as_ref() == Some(&question) {
                break;
            }
            let from_graph = question.only().or(question.default.as_deref());
            let answer = from_graph.unwrap_or(&question.example);
            // An example has to do until a person knows better.
            let value = question.read(answer).unwrap_or_else(|_| value_of(answer));
            let _ = writeln!(missing, "# {}", question.text);
            for choice in &question.choices {
                let told = format!("#   {}  {}", choice.value, choice.hint);
                let _ = writeln!(missing, "{}", told.trim_end());
            }
            let what = if from_graph.is_some() {
                "as the graph suggests"
            } else {
                "an example: to be replaced"
            };
            let _ = match &question.about {
                About::Decision(_) => writeln!(missing, "# {answer}, {what}"),
                about => writeln!(missing, "{} = {value}  # {what}", quoted(about.key())),
            };
            filled.take(&question.about, value);
            last = Some(question);
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

/// A dotted key is one key here, not a table in a table.
fn quoted(key: &str) -> String {
    if key.contains('.') {
        format!("\"{key}\"")
    } else {
        key.to_owned()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn port(name: &str, element: u64, shape: &[Option<u64>]) -> Port {
        Port {
            name: name.into(),
            element,
            shape: shape.into(),
        }
    }

    /// A draft for a graph with these inputs and outputs.
    pub fn graph(inputs: Vec<Port>, outputs: Vec<Port>) -> Draft {
        Draft {
            outline: Outline {
                inputs,
                outputs,
                ..Outline::default()
            },
            ..Draft::default()
        }
    }

    fn draft(input: &[Option<u64>], output: &[Option<u64>]) -> Draft {
        graph(vec![port("x", 1, input)], vec![port("y", 1, output)])
    }

    #[test]
    fn the_graph_answers_what_it_can() {
        let mut draft = draft(&[None, Some(30), Some(2)], &[None, Some(1)]);
        let mut asked = Vec::new();
        while let Some(question) = draft.question(false) {
            let answer = question
                .default
                .clone()
                .unwrap_or_else(|| question.example.clone());
            draft.answer(&question, &answer).unwrap();
            asked.push((question.about.key().to_owned(), question.default));
        }
        let expected = [
            ("task", Some("rul")),
            ("features", None),
            ("sequence-length", Some("30")),
            ("output.rul", Some("y")),
            ("unit", None),
            ("rul-cap", None),
        ];
        let expected =
            expected.map(|(key, default)| (key.to_owned(), default.map(ToOwned::to_owned)));
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_template_is_toml_that_answers_every_question() {
        let (two, one) = ([None, Some(2)], [None, Some(1)]);
        let state = [Some(1), None, Some(8)];
        let plain = draft(&two, &two);
        let step = graph(
            vec![port("x", 1, &two), port("h", 1, &state)],
            vec![port("y", 1, &one), port("h_new", 1, &state)],
        );
        let bare = bare_lstm();
        let mut both = bare.clone();
        both.merge("state = { h = \"h_out\", c = \"c_out\" }".parse().unwrap());
        let several = graph(
            vec![port("a", 1, &one), port("b", 1, &two)],
            vec![port("y", 1, &one)],
        );
        for (graph, tasks) in [
            (plain, &TASKS[..]),
            (step, &["rul", "custom"]),
            (several, &TASKS),
            (bare, &["rul", "custom"]),
            (both, &["rul", "custom"]),
        ] {
            for task in tasks {
                let mut draft = graph.clone();
                draft.merge(toml::Table::from_iter([("task".into(), (*task).into())]));
                let template = draft.template();
                draft.merge(template.parse().unwrap());
                assert_eq!(draft.question(false), None, "{template}");
            }
        }
    }

    /// Both outputs may be new states.
    fn bare_lstm() -> Draft {
        let state = |name: &str| port(name, 1, &[Some(1), None, Some(8)]);
        graph(
            vec![port("x", 1, &[None, Some(2)]), state("h"), state("c")],
            vec![state("h_out"), state("c_out")],
        )
    }

    #[test]
    fn the_graph_leaves_an_output_for_the_task() {
        let mut draft = bare_lstm();
        draft.merge(draft.template().parse().unwrap());
        assert_eq!(draft.text("state.h").as_deref(), Some("h_out"));
        assert!(!draft.has("state.c"));
        assert_eq!(draft.text("output.rul").as_deref(), Some("c_out"));
    }

    #[test]
    fn a_template_ends_where_nothing_answers_a_question() {
        for task in TASKS {
            let mut draft = graph(vec![port("x", 1, &[None, Some(2)])], Vec::new());
            draft.merge(toml::Table::from_iter([("task".into(), task.into())]));
            draft.template().parse::<toml::Table>().unwrap();
        }
    }

    const TASKS: [&str; 5] = ["anomaly", "rul", "forecast", "classification", "custom"];

    #[test]
    fn a_template_says_what_the_graph_suggests() {
        let mut draft = draft(&[None, Some(2)], &[None, Some(2)]);
        draft.merge("features = [\"a\", \"b\"]".parse().unwrap());
        let template = draft.template();
        for words in [
            "task = \"anomaly\"  # as the graph suggests",
            "# residual, as the graph suggests",
            "# an example: to be replaced",
        ] {
            assert!(template.contains(words), "{template}");
        }
    }

    #[test]
    fn what_is_given_is_not_asked() {
        let mut draft = draft(&[None, Some(2)], &[None, Some(2)]);
        let given = "task = \"anomaly\"\nfeatures = [\"a\", \"b\"]\n[output]\nresidual = \"y\"\n";
        draft.merge(given.parse().unwrap());
        let question = draft.question(false).unwrap();
        assert_eq!(question.about.key(), "threshold");
        draft.answer(&question, "2.5").unwrap();
        assert_eq!(draft.question(false), None);
        assert_eq!(draft.table["threshold"], toml::Value::Float(2.5));
    }
}
