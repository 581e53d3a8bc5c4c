//! What each task needs: its form, which outputs tell it, and the numbers that judge it.

use forewarn_models::admission::Port;

use super::choice;
use crate::model::add::draft::Draft;
use crate::model::add::ports;
use crate::model::add::question::{Choice, Kind, Many, NOTHING, Question};

/// A way in which outputs tell what the task is about.
struct Form {
    name: &'static str,
    hint: &'static str,
    /// The key that names its output.
    key: &'static str,
    what: &'static str,
    /// Could this output be it, of a graph with this first input?
    fits: fn(&Port, &Port) -> bool,
    /// Outputs that it needs.
    outputs: usize,
}

/// The decision between forms.
const FORM: &str = "form";
const SPREAD: &str = "spread";

impl Draft {
    /// The form that is given, chosen, or the only one that the outputs have; else the question is `open`.
    /// With it the question for its output.
    fn form<'f>(
        &self,
        forms: &'f [Form],
        likely: &str,
        open: &mut Vec<Question>,
    ) -> Option<&'f Form> {
        let none = Port::default();
        let input = self.outline().inputs.first().unwrap_or(&none);
        let given = forms.iter().find(|form| self.has(form.key));
        let chosen = self.decided(FORM);
        let fitting = |form: &&Form| {
            let outputs = self.outputs().filter(|port| (form.fits)(port, input));
            outputs.count() >= form.outputs
        };
        let mut possible: Vec<&Form> = forms.iter().filter(fitting).collect();
        if possible.is_empty() {
            possible = forms.iter().collect();
        }
        let form = given
            .or_else(|| forms.iter().find(|form| Some(form.name) == chosen))
            .or(match &possible[..] {
                [only] => Some(only),
                _ => None,
            });
        let Some(form) = form else {
            let default = possible.iter().find(|form| form.name == likely);
            let default = default
                .or(possible.first())
                .map(|form| form.name.to_owned());
            let choices = possible
                .iter()
                .map(|form| Choice::new(form.name, form.hint));
            open.push(
                Question::decision(FORM, "How does it tell?")
                    .choices(choices)
                    .default(default),
            );
            return None;
        };
        open.push(self.output(form.key, form.what, |port| (form.fits)(port, input)));
        Some(form)
    }

    /// Which output holds `what`? Those that `fit`, or all if there is none.
    fn output(&self, key: &str, what: &str, fit: impl Fn(&Port) -> bool) -> Question {
        let fitting: Vec<Choice> = self
            .outputs()
            .filter(|port| fit(port))
            .map(choice)
            .collect();
        let choices = if fitting.is_empty() {
            self.outputs().map(choice).collect()
        } else {
            fitting
        };
        let default = choices.first().map(|choice: &Choice| choice.value.clone());
        Question::key(key, format!("Which output holds {what}?"), Kind::Word)
            .choices(choices)
            .default(default)
    }

    pub(super) fn about_anomaly(&self, open: &mut Vec<Question>) {
        let forms = [
            Form {
                name: "residual",
                hint: "(x - reconstruction) / scale, which the graph computes itself",
                key: "output.residual",
                what: "the residual, (x - reconstruction) / scale",
                fits: ports::is_like,
                outputs: 1,
            },
            Form {
                name: "reconstruction",
                hint: "the input as the model sees it, in physical units",
                key: "output.reconstruction",
                what: "the reconstruction of the input",
                fits: ports::is_like,
                outputs: 1,
            },
            Form {
                name: "score",
                hint: "one number per row, which is compared as it is",
                key: "output.score",
                what: "the score",
                fits: |port, _| ports::is_scalar(port),
                outputs: 1,
            },
        ];
        let Some(form) = self.form(&forms, "residual", open) else {
            return;
        };
        let mut above = "Above which score is a row anomalous?";
        match form.name {
            "reconstruction" => open.push(scale(&self.features(), "x - reconstruction")),
            "score" => {
                let choices = [
                    Choice::new("higher", "high scores are anomalous"),
                    Choice::new(
                        "lower",
                        "low ones are, as of scikit-learn's IsolationForest",
                    ),
                ];
                let order = Question::optional("score-order", "Which end of it?", Kind::Word);
                open.push(order.choices(choices).default(Some("higher".into())));
                above = "Beyond which score is a row anomalous?";
            }
            _ => {}
        }
        open.push(threshold(above));
    }

    pub(super) fn about_rul(&self, open: &mut Vec<Question>) {
        let forms = [
            Form {
                name: "value",
                hint: "one number: the life that is left",
                key: "output.rul",
                what: "the remaining useful life",
                fits: |port, _| ports::is_scalar(port),
                outputs: 1,
            },
            Form {
                name: "quantiles",
                hint: "a number per quantile, the median among them",
                key: "output.quantiles",
                what: "the quantiles",
                fits: |port, _| {
                    ports::is_vector(port) && ports::width(port).is_none_or(|width| width > 2)
                },
                outputs: 1,
            },
            Form {
                name: "moments",
                hint: "a mean, and a variance or standard deviation",
                key: "output.mean",
                what: "the mean",
                fits: |port, _| ports::is_scalar(port),
                outputs: 2,
            },
        ];
        let scalars = self.outputs().filter(|port| ports::is_scalar(port)).count();
        let likely = if scalars > 1 { "moments" } else { "value" };
        let Some(form) = self.form(&forms, likely, open) else {
            return;
        };
        match form.name {
            "quantiles" => {
                let width = self.named("output.quantiles").and_then(ports::width);
                let many = width.map_or(Many::Any, Many::Exactly);
                let text = "The levels of the quantiles, rising, with 0.5 among them";
                let levels = Question::key("quantiles", text, Kind::Numbers(many));
                open.push(levels.example("[0.05, 0.5, 0.95]"));
            }
            "moments" => self.about_spread(open),
            _ => {}
        }
        let unit = Question::key("unit", "Its unit, such as hours or cycles", Kind::Word);
        open.push(unit.example("\"hours\""));
        let text = "The largest value that it was trained to give";
        open.push(Question::key("rul-cap", text, Kind::Number).example("125.0"));
    }

    fn about_spread(&self, open: &mut Vec<Question>) {
        let Some(mean) = self.text("output.mean") else {
            return;
        };
        let given = ["variance", "sd"]
            .into_iter()
            .find(|spread| self.has(&format!("output.{spread}")));
        let Some(spread) = given.or(self.decided(SPREAD)) else {
            let choices = [
                Choice::new("variance", "in the square of its unit"),
                Choice::new("sd", "the standard deviation, in its unit"),
            ];
            open.push(
                Question::decision(SPREAD, "What does it give beside the mean?")
                    .choices(choices)
                    .default(Some("variance".into())),
            );
            return;
        };
        let other = |port: &Port| ports::is_scalar(port) && port.name != mean;
        let what = if spread == "sd" {
            "the standard deviation"
        } else {
            "the variance"
        };
        open.push(self.output(&format!("output.{spread}"), what, other));
    }

    pub(super) fn about_forecast(&self, open: &mut Vec<Question>) {
        open.push(self.output("output.forecast", "the forecast", ports::is_flat));
        let features = self.features();
        let width = self.named("output.forecast").and_then(ports::width);
        let choices: Vec<Choice> = features.iter().map(|name| Choice::new(name, "")).collect();
        let text = match width {
            Some(width) => format!(
                "Which {width} of the features does it forecast, in the order of its output?"
            ),
            None => "Which features does it forecast, in the order of its output?".into(),
        };
        let kind = Kind::Words(width.map_or(Many::Any, Many::Exactly));
        let all = Some(features.join(", "));
        match width {
            // All of them, in their order: what the contract means without the key.
            Some(width) if width == features.len() => {}
            Some(width) => {
                let example = features.iter().take(width).map(|name| format!("{name:?}"));
                let example = example.collect::<Vec<_>>().join(", ");
                let targets = Question::key("targets", text, kind).choices(choices);
                open.push(targets.example(format!("[{example}]")));
            }
            None if features.len() == 1 => {}
            None => {
                let targets = Question::optional("targets", text, kind).choices(choices);
                open.push(targets.default(all));
            }
        }
        let text = "How many rows after its last one is the row that it forecasts?";
        let horizon = Question::optional("forecast-horizon", text, Kind::Whole);
        open.push(horizon.default(Some("1".into())));
        let targets = self.names("targets");
        let targets = if targets.is_empty() {
            features
        } else {
            targets
        };
        open.push(scale(&targets, "what comes - forecast"));
        open.push(threshold("Above which score is a row anomalous?"));
    }

    pub(super) fn about_classes(&self, open: &mut Vec<Question>) {
        let forms = [
            Form {
                name: "probabilities",
                hint: "a probability per class",
                key: "output.probabilities",
                what: "the probabilities",
                fits: |port, _| ports::is_probabilities(port),
                outputs: 1,
            },
            Form {
                name: "label",
                hint: "the class alone",
                key: "output.label",
                what: "the class",
                fits: |port, _| ports::is_label(port),
                outputs: 1,
            },
        ];
        let Some(form) = self.form(&forms, "probabilities", open) else {
            return;
        };
        let output = self
            .named(form.key)
            .filter(|_| form.name == "probabilities");
        // One probability is that of the second of two classes.
        let count = output.and_then(ports::width).map(|width| width.max(2));
        let text = match output {
            Some(output) => format!("Names of the classes, in the order of {output}, with commas between"),
            None => "Names of the classes, in the order of the graph's numbers for them, with commas between".into(),
        };
        let kind = Kind::Words(count.map_or(Many::Any, Many::Exactly));
        let names: Vec<String> = (1..=count.unwrap_or(2))
            .map(|i| format!("\"class-{i}\""))
            .collect();
        let classes = Question::key("classes", text, kind);
        open.push(classes.example(format!("[{}]", names.join(", "))));
        let classes = self.names("classes");
        let choices = classes.iter().map(|class| Choice::new(class, ""));
        let nothing = Choice::new(NOTHING, "none: no row is anomalous by its class");
        let text = "Which class is normal, so that any other one is anomalous?";
        let normal = Question::optional("normal-class", text, Kind::Word);
        open.push(
            normal
                .choices(choices.chain([nothing]))
                .default(Some(NOTHING.into())),
        );
    }

    pub(super) fn about_custom(&self, open: &mut Vec<Question>) {
        let choices: Vec<Choice> = self.outputs().map(choice).collect();
        let all: Vec<&str> = choices.iter().map(|choice| choice.value.as_str()).collect();
        let all = all.join(", ");
        let text = "Which outputs are published?";
        let outputs = Question::key("outputs", text, Kind::Words(Many::Any));
        open.push(outputs.choices(choices).default(Some(all)));
    }
}

fn threshold(text: &str) -> Question {
    Question::key("threshold", text, Kind::Number).example("1.0")
}

fn scale(names: &[String], what: &str) -> Question {
    let count = names.len().max(1);
    let text = format!(
        "The usual size of {what}, in physical units, of each of: {}",
        names.join(", ")
    );
    let kind = Kind::Numbers(Many::Exactly(count));
    let example = vec!["1.0"; count].join(", ");
    Question::key("residual-scale", text, kind).example(format!("[{example}]"))
}
