//! A question about a contract, and how its answer is read.
//!
//! Not here: which questions there are (`questions.rs`), asking them (`ask.rs`).

use toml::Value;

/// Stands for leaving a key out that may be left out.
pub(super) const NOTHING: &str = "-";

/// What is not known yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub about: About,
    pub text: String,
    pub kind: Kind,
    /// One or some of these, if there are any. A single one needs no answer.
    pub choices: Vec<Choice>,
    /// What an empty answer means.
    pub default: Option<String>,
    /// What it looks like, where there is no default.
    pub example: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    /// A key of the contract.
    Key(String),
    /// A key that may be left out.
    Optional(String),
    /// No key by itself: which keys come next depends on it.
    Decision(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub value: String,
    /// Half a line on what it means; may be empty.
    pub hint: String,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Words(Many),
    Number,
    Numbers(Many),
    /// From 1 on.
    Whole,
}

/// How many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    Any,
    Exactly(usize),
}

impl About {
    pub fn key(&self) -> &str {
        let (About::Key(key) | About::Optional(key) | About::Decision(key)) = self;
        key
    }
}

impl Choice {
    pub fn new(value: &str, hint: &str) -> Self {
        Choice {
            value: value.into(),
            hint: hint.into(),
        }
    }
}

impl Question {
    pub fn key(key: impl Into<String>, text: impl Into<String>, kind: Kind) -> Self {
        Self::new(About::Key(key.into()), text, kind)
    }

    pub fn optional(key: impl Into<String>, text: impl Into<String>, kind: Kind) -> Self {
        Self::new(About::Optional(key.into()), text, kind)
    }

    pub fn decision(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(About::Decision(key.into()), text, Kind::Word)
    }

    fn new(about: About, text: impl Into<String>, kind: Kind) -> Self {
        Question {
            about,
            text: text.into(),
            kind,
            choices: Vec::new(),
            default: None,
            example: String::new(),
        }
    }

    pub fn choices(self, choices: impl IntoIterator<Item = Choice>) -> Self {
        Question {
            choices: choices.into_iter().collect(),
            ..self
        }
    }

    pub fn default(self, default: Option<String>) -> Self {
        Question { default, ..self }
    }

    pub fn example(self, example: impl Into<String>) -> Self {
        Question {
            example: example.into(),
            ..self
        }
    }

    /// The answer where nothing is left open.
    pub fn only(&self) -> Option<&str> {
        match &self.choices[..] {
            [only] => Some(&only.value),
            _ => None,
        }
    }

    /// Reads an answer; an empty one takes the default.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, answer: &str) -> Result<Value, String> {
        let answer = match (answer.trim(), &self.default) {
            ("", Some(default)) => default,
            ("", None) => return Err("there is no default: an answer is needed".into()),
            (answer, _) => answer,
        };
        let value = self.kind.read(answer)?;
        if self.choices.is_empty() {
            return Ok(value);
        }
        match value {
            Value::Array(words) => {
                let chosen: Result<Vec<Value>, String> =
                    words.iter().map(|word| self.choose(&text(word))).collect();
                Ok(Value::Array(chosen?))
            }
            // A number among choices is one of them, not its place.
            Value::Integer(number) if self.only() == Some(&number.to_string()) => Ok(value),
            value => self.choose(&text(&value)),
        }
    }

    /// A choice by its name, else by its number.
    fn choose(&self, answer: &str) -> Result<Value, String> {
        let mut values = self.choices.iter().map(|choice| &choice.value);
        let named = values.clone().find(|value| *value == answer);
        let lower = || {
            let same = |value: &&String| value.eq_ignore_ascii_case(answer);
            values.clone().find(same)
        };
        let place = answer
            .parse::<usize>()
            .ok()
            .and_then(|at| at.checked_sub(1));
        let chosen = named
            .or_else(lower)
            .or_else(|| place.and_then(|at| values.nth(at)));
        chosen
            .map(|value| Value::String(value.clone()))
            .ok_or_else(|| {
                let names: Vec<&str> = self.choices.iter().map(|c| c.value.as_str()).collect();
                format!(
                    "{answer} is none of {}: write one of them, or its number",
                    names.join(", ")
                )
            })
    }
}

impl Kind {
    fn read(self, answer: &str) -> Result<Value, String> {
        match self {
            Kind::Word => Ok(Value::String(unquoted(answer).to_owned())),
            Kind::Number => number(answer).map(Value::Float),
            Kind::Whole => match answer.parse::<i64>() {
                Ok(number) if number >= 1 => Ok(Value::Integer(number)),
                _ => Err(format!("{answer} is no whole number from 1 on")),
            },
            Kind::Words(many) => {
                let words = list(answer);
                many.check(&words, "names")?;
                Ok(words.into())
            }
            Kind::Numbers(many) => {
                let words = list(answer);
                let numbers: Result<Vec<f64>, String> =
                    words.iter().map(|word| number(word)).collect();
                many.check(&words, "numbers")?;
                Ok(numbers?.into())
            }
        }
    }
}

impl Many {
    fn check(self, words: &[String], what: &str) -> Result<(), String> {
        let count = words.len();
        let told = words.join(", ");
        match self {
            _ if count == 0 => Err(format!("there are no {what} in it")),
            Many::Exactly(wanted) if count != wanted => Err(format!(
                "{wanted} {what} are wanted, and these are {count}: {told}"
            )),
            _ => Ok(()),
        }
    }
}

fn number(answer: &str) -> Result<f64, String> {
    match answer.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("{answer} is no number")),
    }
}

/// A value as TOML writes it; what is no TOML is a text.
pub(super) fn value_of(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<toml::Table>();
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.trim().to_owned()))
}

/// Items of a list as TOML and JSON write it, or with commas, or with blanks between.
fn list(answer: &str) -> Vec<String> {
    if let Value::Array(items) = value_of(answer) {
        return items.iter().map(text).collect();
    }
    let split: Vec<&str> = if answer.contains(',') {
        answer.split(',').collect()
    } else {
        answer.split_whitespace().collect()
    };
    let items = split.into_iter().map(|item| unquoted(item.trim()));
    items
        .filter(|item| !item.is_empty())
        .map(ToOwned::to_owned)
        .collect()
}

fn unquoted(text: &str) -> &str {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_be_written_in_three_ways() {
        let words = Kind::Words(Many::Exactly(2));
        let expected: Value = vec!["a b", "c"].into();
        assert_eq!(words.read("a b, c").unwrap(), expected);
        assert_eq!(words.read("[\"a b\", \"c\"]").unwrap(), expected);
        assert_eq!(words.read("a c").unwrap(), vec!["a", "c"].into());
        assert_eq!(
            words.read("a b c").unwrap_err(),
            "2 names are wanted, and these are 3: a, b, c"
        );
        assert_eq!(
            Kind::Words(Many::Any).read("[0, 1]").unwrap(),
            vec!["0", "1"].into()
        );
        let numbers = Kind::Numbers(Many::Any);
        assert_eq!(numbers.read("[0.4, 3]").unwrap(), vec![0.4, 3.0].into());
        assert_eq!(numbers.read("0.4 3").unwrap(), vec![0.4, 3.0].into());
        assert_eq!(numbers.read("0.4; 3").unwrap_err(), "0.4; is no number");
    }

    #[test]
    fn a_choice_is_named_or_numbered() {
        let choices = ["residual", "Score", "2"].map(|value| Choice::new(value, ""));
        let question = Question::decision("form", "")
            .choices(choices)
            .default(Some("Score".into()));
        let chosen = |answer: &str| question.read(answer).map(|value| text(&value));
        assert_eq!(chosen("").unwrap(), "Score");
        assert_eq!(chosen(" score ").unwrap(), "Score");
        assert_eq!(chosen("1").unwrap(), "residual");
        // A class may be called 2.
        assert_eq!(chosen("2").unwrap(), "2");
        for wrong in ["0", "4", "scor"] {
            let told = chosen(wrong).unwrap_err();
            assert!(told.contains("is none of residual, Score, 2"), "{told}");
        }
    }
}
