//! The keys of each task.
//!
//! Invariant: as everywhere in the contract, reading goes on after a problem.
//!
//! Not here: the keys of remaining useful life (`read_rul.rs`).

use serde::Deserialize;

use super::keys::KeyReader;
use super::task::{ClassOutput, Classification, ErrorOutput, Forecast, ScoreOrder, Task};

impl KeyReader<'_> {
    pub(super) fn task(&mut self, features: &[String]) -> Option<Task> {
        match self.required("task")?.as_str() {
            "anomaly" => self.anomaly(features.len()),
            "rul" => self.rul().map(Task::Rul),
            "forecast" => self.forecast(features).map(Task::Forecast),
            "classification" => self.classification().map(Task::Classification),
            "custom" => self.custom(),
            other => {
                let what = format!(
                    "must be one of anomaly, rul, forecast, classification, custom, not \"{other}\""
                );
                self.problem("task", &what);
                None
            }
        }
    }

    fn anomaly(&mut self, features: usize) -> Option<Task> {
        let error = self.error_output(features);
        let threshold = match &error {
            Some(ErrorOutput::Score { .. }) => self.finite("threshold"),
            _ => self.positive("threshold"),
        };
        Some(Task::Anomaly {
            error: error?,
            threshold: threshold?,
        })
    }

    fn error_output(&mut self, features: usize) -> Option<ErrorOutput> {
        const KEYS: [&str; 3] = ["output.residual", "output.reconstruction", "output.score"];
        self.only_with("score-order", "output.score");
        let key = self.one_of(
            &KEYS,
            "is missing (or give output.reconstruction with residual-scale, or output.score)",
        )?;
        let output = self.required(key)?;
        match key {
            "output.residual" => Some(ErrorOutput::Residual { output }),
            "output.score" => {
                let order = self.score_order()?;
                Some(ErrorOutput::Score { output, order })
            }
            _ => {
                let scale = self.residual_scale(features)?;
                Some(ErrorOutput::Reconstruction { output, scale })
            }
        }
    }

    fn score_order(&mut self) -> Option<ScoreOrder> {
        match self.text("score-order").as_deref() {
            None | Some("higher") => Some(ScoreOrder::Higher),
            Some("lower") => Some(ScoreOrder::Lower),
            Some(other) => {
                let what = format!(
                    "must be \"higher\" or \"lower\", the end that is anomalous, not \"{other}\""
                );
                self.problem("score-order", &what);
                None
            }
        }
    }

    fn residual_scale(&mut self, count: usize) -> Option<Vec<f32>> {
        let scale: Vec<f32> = self.required_json("residual-scale")?;
        if scale.len() != count || scale.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
            self.problem(
                "residual-scale",
                &format!("must hold {count} positive numbers"),
            );
            return None;
        }
        Some(scale)
    }

    fn forecast(&mut self, features: &[String]) -> Option<Forecast> {
        let output = self.required("output.forecast");
        let horizon = self.count("forecast-horizon", 1);
        let targets = self.targets(features);
        let scale = targets
            .as_ref()
            .and_then(|(targets, _)| self.residual_scale(targets.len()));
        let threshold = self.positive("threshold");
        if !self.keys.contains_key("sequence-length") {
            let what =
                "is missing: a forecast is made from the last rows, 1 if the graph sees one row";
            self.problem("sequence-length", what);
        }
        if self.text("padding").as_deref() == Some("edge") {
            let what = "must be \"none\" for a forecast: a row is only compared with one made from real rows";
            self.problem("padding", what);
        }
        if self.state_keys().count() > 0 {
            let what =
                "can't be a forecast with forewarn.state.<input>: give sequence-length instead";
            self.problem("task", what);
        }
        let (targets, places) = targets?;
        Some(Forecast {
            output: output?,
            targets,
            places,
            horizon: horizon?,
            scale: scale?,
            threshold: threshold?,
        })
    }

    /// The names of the forecast features and their places; all, unless the contract says which.
    fn targets(&mut self, features: &[String]) -> Option<(Vec<String>, Vec<usize>)> {
        const KEY: &str = "targets";
        if !self.keys.contains_key(KEY) {
            return Some((features.to_vec(), (0..features.len()).collect()));
        }
        let targets: Vec<String> = self.json(KEY)?;
        let place = |target: &String| features.iter().position(|feature| feature == target);
        let places: Vec<usize> = targets.iter().filter_map(place).collect();
        if places.len() < targets.len() || targets.is_empty() {
            self.problem(
                KEY,
                &format!("must name some of the features {}", features.join(", ")),
            );
            return None;
        }
        Some((targets, places))
    }

    fn classification(&mut self) -> Option<Classification> {
        /// Classes are names, or the numbers that a graph gives as labels.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Class {
            Name(String),
            Number(i64),
        }
        let key = self.one_of(
            &["output.probabilities", "output.label"],
            "is missing (or give output.label): the output with a probability per class",
        );
        let output = key.and_then(|key| self.required(key));
        let classes: Option<Vec<Class>> = self.required_json("classes");
        let classes: Vec<String> = classes?
            .into_iter()
            .map(|class| match class {
                Class::Name(name) => name,
                Class::Number(number) => number.to_string(),
            })
            .collect();
        let distinct = (1..classes.len()).all(|i| !classes[..i].contains(&classes[i]));
        if classes.len() < 2 || !distinct {
            self.problem("classes", "must hold at least two classes, each once");
            return None;
        }
        let normal = match self.text("normal-class") {
            None => None,
            Some(name) => {
                let place = classes.iter().position(|class| *class == name);
                if place.is_none() {
                    let what = format!("is {name}, but the classes are {}", classes.join(", "));
                    self.problem("normal-class", &what);
                }
                Some(place?)
            }
        };
        let output = match key? {
            "output.label" => ClassOutput::Label(output?),
            _ => ClassOutput::Probabilities(output?),
        };
        Some(Classification {
            classes,
            output,
            normal,
        })
    }

    fn custom(&mut self) -> Option<Task> {
        let outputs: Vec<String> = self.required_json("outputs")?;
        let distinct = (1..outputs.len()).all(|i| !outputs[..i].contains(&outputs[i]));
        if outputs.is_empty() || !distinct {
            let what = "must name at least one output of the graph, each once";
            self.problem("outputs", what);
            return None;
        }
        Some(Task::Custom { outputs })
    }

    /// Which of `keys` the contract has; there must be one, and only one. `missing` is said of the first.
    pub(super) fn one_of(&mut self, keys: &[&'static str], missing: &str) -> Option<&'static str> {
        let given: Vec<&'static str> = keys
            .iter()
            .copied()
            .filter(|key| self.keys.contains_key(*key))
            .collect();
        match given[..] {
            [only] => return Some(only),
            [] => self.problem(keys[0], missing),
            [first, second, ..] => {
                let what = format!("can't go with forewarn.{second}: keep the one to judge by");
                self.problem(first, &what);
            }
        }
        None
    }

    pub(super) fn only_with(&mut self, key: &str, with: &str) {
        if self.keys.contains_key(key) && !self.keys.contains_key(with) {
            let what = format!("has no meaning without forewarn.{with}: add that, or drop this");
            self.problem(key, &what);
        }
    }
}
