//! The golden input and a model's answer to it: the same bits whenever the version is loaded, or something
//! under it has changed.
//!
//! A version may bring its own in `golden.json`: `{"input": [[..L·F numbers..], ..], "output": [[..], ..]}`,
//! one entry per row. With `output` (what Python gave) the answer is also compared with it. Without the file
//! rows are made up: positive, so that logarithms and roots of physical units have a value.
//!
//! Not here: where answers are kept (`store.rs`), when they are asked for (`probe.rs`, `mod.rs`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::digest::sha256;
use crate::model::{Model, Raw};
use crate::scorer::ScoreError;

/// Made-up rows: more than a vector is wide, with a remainder.
const ROWS: usize = 19;
/// Values of the answer that are kept to tell how far another one is off; its digest covers all.
const HEAD: usize = 64;
/// How far a result may be from that of `golden.json`: other kernels add in another order.
const TOLERANCE: f64 = 1e-4;

/// What the model is asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Golden {
    MadeUp,
    Given {
        rows: Vec<Vec<f32>>,
        expected: Option<Vec<f32>>,
    },
}

/// What another processor's rounding may come to, relative to 1 + the value.
const ROUNDING: f64 = 1e-3;

/// What it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Of all bits, outputs and new states.
    pub sha256: String,
    /// The bits of the first values.
    pub head: Vec<u64>,
    pub rows: usize,
}

/// An answer with what it says of the model.
#[derive(Debug)]
pub(super) struct Asked {
    pub answer: Answer,
    pub raw: Raw,
    /// Rows of the golden input.
    pub rows: usize,
}

impl Golden {
    /// Reads `golden.json`.
    ///
    /// # Errors
    /// What is wrong with it, and its form.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            input: Vec<Value>,
            output: Option<Value>,
        }
        let form =
            "write {\"input\": [[..], ..], \"output\": [[..], ..]}, one list of numbers per row";
        let file: File =
            serde_json::from_slice(text).map_err(|error| format!("{error}: {form}"))?;
        let flat = |value: &Value| {
            let mut numbers = Vec::new();
            flatten(value, &mut numbers).then_some(numbers)
        };
        let rows: Option<Vec<Vec<f32>>> = file.input.iter().map(flat).collect();
        let rows = rows.filter(|rows| !rows.is_empty());
        let rows = rows.ok_or_else(|| format!("input holds no rows of numbers: {form}"))?;
        let expected = match &file.output {
            None => None,
            Some(output) => {
                Some(flat(output).ok_or_else(|| format!("output holds no numbers: {form}"))?)
            }
        };
        Ok(Golden::Given { rows, expected })
    }

    /// Asks `model`, in one call.
    pub fn ask(&self, model: &mut Model) -> Result<Asked, ScoreError> {
        let input = self.input(model);
        let rows = input.len() / model.row_len();
        let raw = model.raw(&input)?;
        Ok(Asked {
            answer: Answer::of(&raw, rows),
            raw,
            rows,
        })
    }

    /// Asks row by row, the last one first; gives the answers in the order of the rows.
    pub fn ask_backwards(&self, model: &mut Model) -> Result<Vec<Raw>, ScoreError> {
        let row_len = model.row_len();
        let input = self.input(model);
        let mut answers = Vec::new();
        for row in input.chunks(row_len).rev() {
            answers.push(model.raw(row)?);
        }
        answers.reverse();
        Ok(answers)
    }

    /// Does a given input have rows of the model's size?
    pub fn problem(&self, model: &Model) -> Option<String> {
        let Golden::Given { rows, .. } = self else {
            return None;
        };
        let wanted = model.row_len();
        let (i, row) = rows
            .iter()
            .enumerate()
            .find(|(_, row)| row.len() != wanted)?;
        Some(format!(
            "row {i} of input has {} numbers, the model takes {wanted} per row",
            row.len()
        ))
    }

    /// Is the answer the expected one, where one is given?
    pub fn mismatch(&self, outputs: &[f64]) -> Option<String> {
        let Golden::Given {
            expected: Some(expected),
            ..
        } = self
        else {
            return None;
        };
        if expected.len() != outputs.len() {
            return Some(format!(
                "output has {} numbers, the model gives {}",
                expected.len(),
                outputs.len()
            ));
        }
        let off = |(expected, actual): (&f32, &f64)| {
            let expected = f64::from(*expected);
            (expected - actual).abs() > TOLERANCE * (1.0 + expected.abs())
        };
        let at = expected.iter().zip(outputs).position(off)?;
        Some(format!(
            "number {at} of output is {}, the model gives {}: it is not the model that was exported, or the \
             file is of another version",
            expected[at], outputs[at]
        ))
    }

    fn input(&self, model: &Model) -> Vec<f32> {
        match self {
            Golden::Given { rows, .. } => rows.concat(),
            Golden::MadeUp => {
                let value = |i: usize| 0.5 + (i * 37 % 101) as f32 * 0.37;
                let mut input: Vec<f32> = (0..ROWS * model.row_len()).map(value).collect();
                model.suit(&mut input);
                input
            }
        }
    }
}

impl Answer {
    fn of(raw: &Raw, rows: usize) -> Self {
        let states = raw.states.iter().map(|value| f64::from(*value));
        let values = raw.outputs.iter().copied().chain(states);
        let bits = values.map(f64::to_bits);
        let bytes: Vec<u8> = bits.clone().flat_map(u64::to_le_bytes).collect();
        Answer {
            sha256: sha256(&bytes),
            head: bits.take(HEAD).collect(),
            rows,
        }
    }

    /// Where `other`, given elsewhere, differs by more than rounding, in words.
    pub(super) fn departure(&self, other: &Answer) -> Option<String> {
        let far = |(a, b): (&u64, &u64)| {
            let (a, b) = (f64::from_bits(*a), f64::from_bits(*b));
            // Of two that are not numbers neither is wrong; one alone is.
            a.is_nan() != b.is_nan() || (a - b).abs() > ROUNDING * (1.0 + a.abs())
        };
        let pairs = || self.head.iter().zip(&other.head);
        let is_far =
            self.rows != other.rows || self.head.len() != other.head.len() || pairs().any(far);
        if is_far { self.difference(other) } else { None }
    }

    /// Where `other` differs most, in words; `None` when it is the same.
    pub(super) fn difference(&self, other: &Answer) -> Option<String> {
        if self == other {
            return None;
        }
        let value = |bits: &u64| f64::from_bits(*bits);
        let pairs = self.head.iter().zip(&other.head).enumerate();
        let worst = pairs
            .map(|(i, (old, new))| (i, value(old), value(new)))
            .filter(|(_, old, new)| old.to_bits() != new.to_bits())
            .max_by(|a, b| (a.1 - a.2).abs().total_cmp(&(b.1 - b.2).abs()));
        Some(match worst {
            Some((i, old, new)) => format!("value {i} was {old} and is {new}"),
            None => format!("a value beyond the first {HEAD} differs"),
        })
    }
}

/// Numbers at any depth, in order; false where there is something else.
fn flatten(value: &Value, numbers: &mut Vec<f32>) -> bool {
    match value {
        Value::Number(number) => {
            numbers.extend(number.as_f64().map(|number| number as f32));
            true
        }
        Value::Array(values) => values.iter().all(|value| flatten(value, numbers)),
        _ => false,
    }
}
