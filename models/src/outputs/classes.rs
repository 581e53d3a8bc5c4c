//! What a graph calls the classes of its contract: in labels, and in the maps that exporters append to
//! classifiers (ZipMap).
//!
//! ```text
//!   classes in the contract   labels and keys of the graph
//!   ["ok", "worn"]            "ok", "worn"    or their places: 0, 1
//!   [3, 7]                    3, 7            all classes being numbers
//! ```

use ort::value::{DynMap, DynMapValueType, DynValue};

use crate::contract::Form;
use crate::element::Element;
use crate::scorer::ScoreError;

#[derive(Debug)]
pub(super) enum Classes {
    None,
    Names(Vec<String>),
    Numbers(Vec<i64>),
    /// By their places, this many.
    Places(usize),
}

/// A label that the contract does not have.
#[derive(Debug)]
pub(super) struct Unknown(pub String);

/// The place of a class, and its probability.
type Entry = (Result<usize, Unknown>, f32);

impl Classes {
    /// Probabilities in a tensor stand in the order of the classes and need no name.
    pub fn of(form: Form<'_>, element: &Element) -> Self {
        let names = match form {
            Form::Label(names) => names,
            Form::Probabilities(names) if element.is_map() => names,
            _ => return Classes::None,
        };
        if matches!(element, Element::Text | Element::MapOfTexts) {
            return Classes::Names(names.to_vec());
        }
        let numbers: Result<Vec<i64>, _> = names.iter().map(|name| name.parse()).collect();
        numbers.map_or(Classes::Places(names.len()), Classes::Numbers)
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Classes::None)
    }

    fn len(&self) -> usize {
        match self {
            Classes::None => 0,
            Classes::Names(names) => names.len(),
            Classes::Numbers(numbers) => numbers.len(),
            Classes::Places(count) => *count,
        }
    }

    /// The place of a class that the graph calls by name.
    pub fn named(&self, label: &str) -> Result<usize, Unknown> {
        let place = match self {
            Classes::Names(names) => names.iter().position(|name| name == label),
            _ => None,
        };
        place.ok_or_else(|| Unknown(label.to_owned()))
    }

    /// The place of a class that the graph calls by number.
    pub fn numbered(&self, label: f64) -> Result<usize, Unknown> {
        let place = match self {
            Classes::Numbers(numbers) => numbers.iter().position(|number| *number as f64 == label),
            Classes::Places(count) => (0..*count).find(|place| *place as f64 == label),
            _ => None,
        };
        place.ok_or_else(|| Unknown(label.to_string()))
    }

    /// The probabilities of a sequence with a map for each row, in the order of the classes. `failed` and
    /// `unknown` are the caller's errors.
    pub fn probabilities(
        &self,
        value: &DynValue,
        element: &Element,
        failed: impl Fn(ort::Error) -> ScoreError,
        unknown: impl Fn(Unknown) -> ScoreError,
    ) -> Result<Vec<f64>, ScoreError> {
        let maps = value.try_extract_sequence::<DynMapValueType>();
        let mut values = Vec::new();
        for map in maps.map_err(&failed)? {
            let start = values.len();
            // A class that the map leaves out would be a verdict on nothing.
            values.resize(start + self.len(), f64::NAN);
            for (place, probability) in self.entries(&map, element).map_err(&failed)? {
                values[start + place.map_err(&unknown)?] = f64::from(probability);
            }
        }
        Ok(values)
    }

    /// Each class of a map with its probability.
    fn entries(&self, map: &DynMap, element: &Element) -> Result<Vec<Entry>, ort::Error> {
        if *element == Element::MapOfTexts {
            let pairs = map.try_extract_key_values::<String, f32>()?.into_iter();
            return Ok(pairs.map(|(key, p)| (self.named(&key), p)).collect());
        }
        let pairs = map.try_extract_key_values::<i64, f32>()?.into_iter();
        Ok(pairs
            .map(|(key, p)| (self.numbered(key as f64), p))
            .collect())
    }
}
