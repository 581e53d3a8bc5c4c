//! Which question comes next: what the outline of the graph and the keys so far leave open.
//!
//! ```text
//!   task ─▶ which inputs take features, which are states ─▶ features, sequence ─▶ form of the task ─▶ outputs
//!                                                                                   ─▶ numbers that judge
//! ```
//!
//! Invariant: a question depends on the keys and on what was decided only, so that keys that were given are
//! never asked for.
//!
//! Not here: the questions of each task (`questions/tasks.rs`).

use forewarn_models::admission::Port;

use super::draft::Draft;
use super::ports;
use super::question::{About, Choice, Kind, Many, Question};

mod tasks;

/// What an input is for.
const FEATURES: &str = "features";
const STATE: &str = "state";

impl Draft {
    /// The first thing that is missing. `all`: also what may be left out.
    pub fn question(&self, all: bool) -> Option<Question> {
        let known = |question: &Question| {
            let key = question.about.key();
            match &question.about {
                About::Key(_) => self.has(key),
                About::Optional(_) => !all || self.has(key) || self.is_left(key),
                About::Decision(_) => self.decided(key).is_some(),
            }
        };
        let mut open = Vec::new();
        self.about_task(&mut open);
        if !open.iter().any(|question| !known(question)) {
            self.about_inputs(&mut open);
        }
        let about_task = match self.text("task").as_deref() {
            Some("anomaly") => Draft::about_anomaly,
            Some("rul") => Draft::about_rul,
            Some("forecast") => Draft::about_forecast,
            Some("classification") => Draft::about_classes,
            Some("custom") => Draft::about_custom,
            // The contract's own check says that there is no such task.
            _ => |_: &Draft, _: &mut Vec<Question>| {},
        };
        if !open.iter().any(|question| !known(question)) {
            about_task(self, &mut open);
        }
        open.into_iter().find(|question| !known(question))
    }

    fn about_task(&self, open: &mut Vec<Question>) {
        let choices = [
            Choice::new(
                "anomaly",
                "how far a row is from normal, against a threshold",
            ),
            Choice::new("rul", "remaining useful life: how long until it fails"),
            Choice::new(
                "forecast",
                "what comes next; how wrong that was is the score",
            ),
            Choice::new("classification", "which of several classes a row is"),
            Choice::new("custom", "numbers that are published as they are"),
        ];
        let question = Question::key("task", "What does it tell?", Kind::Word).choices(choices);
        open.push(question.default(Some(self.likely_task().into())));
    }

    /// What the shapes look like.
    fn likely_task(&self) -> &'static str {
        let outputs: Vec<&Port> = self.outputs().collect();
        let Some(input) = self.outline().inputs.first() else {
            return "custom";
        };
        let rows = input.shape.len() == 3;
        let forecasts = |port: &&&Port| rows && ports::is_vector(port) && !port.shape.is_empty();
        if outputs.iter().any(|port| ports::is_like(port, input)) {
            "anomaly"
        } else if outputs.iter().any(|port| ports::is_label(port)) {
            // An isolation forest gives a label too, beside one score.
            let scores = outputs.iter().any(|port| ports::is_scalar(port));
            if scores { "anomaly" } else { "classification" }
        } else if outputs.iter().find(forecasts).is_some() {
            "forecast"
        } else if outputs.iter().any(|port| ports::is_map(port)) {
            "classification"
        } else {
            "rul"
        }
    }

    fn about_inputs(&self, open: &mut Vec<Question>) {
        let inputs = &self.outline().inputs;
        for input in inputs.iter().skip(usize::from(inputs.len() == 1)) {
            open.extend(self.about_role(input));
        }
        if inputs.iter().any(|input| self.role(input).is_none()) {
            return;
        }
        for input in inputs.iter().filter(|input| self.is_state(input)) {
            open.push(self.about_state(input));
        }
        let fed: Vec<&Port> = self.fed().collect();
        match &fed[..] {
            [] => {}
            [input] => self.about_features(input, open),
            several if self.has("input") => {
                // One that is named takes all of them.
                let named = self.text("input");
                let input = several
                    .iter()
                    .find(|input| Some(&input.name) == named.as_ref());
                if let Some(input) = input {
                    self.about_features(input, open);
                }
            }
            several => {
                for input in several {
                    open.push(features(
                        format!("input.{}", input.name),
                        input,
                        ports::width(input),
                    ));
                }
            }
        }
    }

    /// With states among several inputs, which are they?
    fn about_role(&self, input: &Port) -> Option<Question> {
        if !self.may_have_states() || self.has("input") || self.has_below("input") {
            return None;
        }
        if self.decided(&role_of(input)).is_none() && self.has_below(STATE) {
            return None;
        }
        let is_first = self.outline().inputs.first() == Some(input);
        let fits = self.new_states(input).next().is_some();
        let likely = !is_first && fits && self.leaves_an_output();
        let question =
            Question::decision(role_of(input), format!("What is the input {input} for?"));
        let choices = [
            Choice::new(FEATURES, "it takes features of a row"),
            Choice::new(STATE, "it takes what the model remembers of an asset"),
        ];
        let default = if likely { STATE } else { FEATURES };
        Some(question.choices(choices).default(Some(default.into())))
    }

    /// An output must be left for the task.
    fn may_have_states(&self) -> bool {
        let (inputs, outputs) = (&self.outline().inputs, &self.outline().outputs);
        let one = |input: &Port| self.new_states(input).next().is_some();
        inputs.len() > 1 && outputs.len() > 1 && inputs.iter().any(one)
    }

    /// Is an output left for the task with one more state? Only a person knows of one that is both.
    fn leaves_an_output(&self) -> bool {
        let inputs = self.outline().inputs.iter();
        let states = inputs.filter(|input| self.is_state(input)).count();
        states + 1 < self.outline().outputs.len()
    }

    fn role(&self, input: &Port) -> Option<&str> {
        let inputs = self.outline().inputs.len();
        if let Some(role) = self.decided(&role_of(input)) {
            return Some(role);
        }
        if self.has(&format!("state.{}", input.name)) {
            return Some(STATE);
        }
        let told = self.has_below(STATE) || self.has("input") || self.has_below("input");
        (inputs == 1 || told || !self.may_have_states()).then_some(FEATURES)
    }

    fn is_state(&self, input: &Port) -> bool {
        self.role(input) == Some(STATE)
    }

    /// Inputs that take features.
    fn fed(&self) -> impl Iterator<Item = &Port> {
        let inputs = self.outline().inputs.iter();
        inputs.filter(|input| !self.is_state(input))
    }

    /// Does it remember an asset?
    fn is_recurrent(&self) -> bool {
        self.has_below(STATE)
            || self
                .outline()
                .inputs
                .iter()
                .any(|input| self.is_state(input))
    }

    /// Outputs that may be the new state of `input`, none of them another one's.
    fn new_states<'a>(&'a self, input: &'a Port) -> impl Iterator<Item = &'a Port> {
        let own = format!("state.{}", input.name);
        let keys = self.keys().into_iter();
        let others = keys.filter(|(key, _)| key.starts_with("state.") && *key != own);
        let taken: Vec<String> = others.map(|(_, output)| output).collect();
        let outputs = self.outline().outputs.iter();
        outputs
            .filter(move |output| ports::is_state(output, input) && !taken.contains(&output.name))
    }

    fn about_state(&self, input: &Port) -> Question {
        let fitting: Vec<&Port> = self.new_states(input).collect();
        let all = self.outline().outputs.iter().collect();
        let outputs = if fitting.is_empty() { all } else { fitting };
        let alike = |output: &&&Port| {
            let pairs = output.name.bytes().zip(input.name.bytes());
            pairs.take_while(|(a, b)| a == b).count()
        };
        let default = outputs.iter().max_by_key(alike);
        let default = default.map(|output| output.name.clone());
        let text = format!("Which output is the new state of {}?", input.name);
        Question::key(format!("state.{}", input.name), text, Kind::Word)
            .choices(outputs.into_iter().map(choice))
            .default(default)
    }

    /// The features of the only input that takes some, and how many rows of them.
    fn about_features(&self, input: &Port, open: &mut Vec<Question>) {
        let is_sequence = input.shape.len() == 3 && !self.is_recurrent();
        if is_sequence {
            let choices = [
                Choice::new("LF", "rows, and in each its features"),
                Choice::new("FL", "features, and of each its rows"),
            ];
            let text = format!("What are the last two sizes of {input}?");
            let layout = Question::optional("input-layout", text, Kind::Word);
            open.push(layout.choices(choices).default(Some("LF".into())));
        }
        // A sequence that lies flat in a row has its length given beforehand: nothing here tells of it.
        let flat = self
            .text("sequence-length")
            .and_then(|length| length.parse().ok());
        let flat = flat.filter(|length: &usize| *length > 0).unwrap_or(1);
        let (rows, width) = match (input.shape.len(), self.text("input-layout").as_deref()) {
            (3, Some("FL")) => (ports::size(input, 1), ports::size(input, 0)),
            (3, _) => (ports::size(input, 0), ports::size(input, 1)),
            _ => (Some(1), ports::width(input).map(|width| width / flat)),
        };
        open.push(features(FEATURES.into(), input, width));
        if is_sequence || self.text("task").as_deref() == Some("forecast") {
            open.push(length(input, rows));
        }
        if self.has("sequence-length") && self.text("task").as_deref() != Some("forecast") {
            let choices = [
                Choice::new("none", "an asset has no score before it has all rows"),
                Choice::new("edge", "its first row is repeated until there are enough"),
            ];
            let text = "And while an asset has fewer rows?";
            let padding = Question::optional("padding", text, Kind::Word);
            open.push(padding.choices(choices).default(Some("none".into())));
        }
    }
}

fn role_of(input: &Port) -> String {
    format!("role of {}", input.name)
}

fn features(key: String, input: &Port, width: Option<usize>) -> Question {
    let (count, many) = match width {
        Some(width) => (format!("the {width}"), Many::Exactly(width)),
        None => ("the".into(), Many::Any),
    };
    let text = format!("Names of {count} features of {input}, in their order, with commas between");
    let example = match width {
        None | Some(2) => "[\"first\", \"second\"]".into(),
        Some(width) => {
            let names: Vec<String> = (1..=width).map(|i| format!("\"feature-{i}\"")).collect();
            format!("[{}]", names.join(", "))
        }
    };
    Question::key(key, text, Kind::Words(many)).example(example)
}

fn length(input: &Port, rows: Option<usize>) -> Question {
    let text = format!("How many rows of an asset are one input of {input}?");
    let question = Question::key("sequence-length", text, Kind::Whole);
    // A size that the graph fixes leaves nothing open.
    let fixed = rows.map(|rows| Choice::new(&rows.to_string(), "as the graph fixes it"));
    question
        .default(fixed.as_ref().map(|choice| choice.value.clone()))
        .choices(fixed)
        .example("30")
}

/// An output as a choice.
fn choice(output: &Port) -> Choice {
    let told = output.to_string();
    let shape = told.strip_prefix(&output.name).unwrap_or_default().trim();
    let hint = if ports::is_map(output) {
        "a map per row"
    } else {
        shape
    };
    Choice::new(&output.name, hint)
}
