//! What the fields of a message carry, and how a value is put into its place of the row.

use std::borrow::Cow;

use compact_str::{CompactString, ToCompactString as _};
use hashbrown::HashMap;

use super::row::{Acceptance, Row};
use super::time;
use crate::config::{AssetSource, Config, EventTime, TimeUnit};
use crate::refusal::Refusal;

/// What a field of the object carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Signal(usize),
    Asset,
    Time(TimeUnit),
    /// The name of the one signal of a narrow message, and its value.
    Name,
    Value,
}

/// The fields that are declared, by name; others are ignored.
#[derive(Debug)]
pub(super) struct Fields {
    names: HashMap<String, Field>,
    /// Signals by the name that narrow messages give them.
    narrow: Option<HashMap<String, usize>>,
}

/// A value at the top level of the object.
pub(super) enum Scalar<'t> {
    Number(f64),
    Text(Cow<'t, str>),
    Bool,
    Null,
    Array,
    Object,
}

impl Fields {
    pub fn new(config: &Config) -> Self {
        let mut names = HashMap::new();
        let signals = config.signals.iter().enumerate();
        let signals = signals.map(|(i, signal)| (signal.field.clone(), i));
        let narrow = config.source.narrow.as_ref().map(|narrow| {
            names.insert(narrow.signal.clone(), Field::Name);
            names.insert(narrow.value.clone(), Field::Value);
            signals.clone().collect()
        });
        if narrow.is_none() {
            names.extend(signals.map(|(field, i)| (field, Field::Signal(i))));
        }
        if let AssetSource::Field { field } = &config.source.asset {
            names.insert(field.clone(), Field::Asset);
        }
        if let EventTime::Field { field, unit } = &config.source.event_time {
            names.insert(field.clone(), Field::Time(*unit));
        }
        Fields { names, narrow }
    }

    pub fn get(&self, name: &str) -> Option<Field> {
        self.names.get(name).copied()
    }

    /// Puts the value of a narrow message into its signal's place; false when the signal is not declared.
    pub fn resolve_narrow(&self, row: &mut Row, acceptance: &Acceptance) -> Result<bool, Refusal> {
        let Some(signals) = &self.narrow else {
            return Ok(true);
        };
        let missing = |field: Field| Refusal::MissingField {
            field: self.name(field),
        };
        let name = row.signal.as_ref().ok_or_else(|| missing(Field::Name))?;
        let Some(&signal) = signals.get(name.as_str()) else {
            return Ok(false);
        };
        let value = row.value.ok_or_else(|| missing(Field::Value))?;
        row.values[signal] = acceptance.signals[signal].accept(value)?;
        row.seen[signal] = true;
        Ok(true)
    }

    /// Puts the field's name, which the storing functions do not know, into the refusal.
    pub fn named(&self, field: Field, refusal: Refusal) -> Refusal {
        let name = || self.name(field);
        match refusal {
            Refusal::DuplicateField { .. } => Refusal::DuplicateField { field: name() },
            Refusal::WrongType {
                expected, found, ..
            } => Refusal::WrongType {
                field: name(),
                expected,
                found,
            },
            other => other,
        }
    }

    fn name(&self, field: Field) -> String {
        let found = self.names.iter().find(|(_, other)| **other == field);
        found.map(|(name, _)| name.clone()).unwrap_or_default()
    }
}

impl Scalar<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Scalar::Number(_) => "a number",
            Scalar::Text(_) => "text",
            Scalar::Bool => "a boolean",
            Scalar::Null => "null",
            Scalar::Array => "an array",
            Scalar::Object => "an object",
        }
    }
}

/// Puts the value of a field into the row.
pub(super) fn store(
    row: &mut Row,
    acceptance: &Acceptance,
    field: Field,
    value: &Scalar<'_>,
) -> Result<(), Refusal> {
    match field {
        Field::Signal(i) => store_signal(row, acceptance, i, value),
        Field::Asset => store_asset(row, value),
        Field::Time(unit) => store_time(row, unit, value),
        Field::Name => store_name(row, value),
        Field::Value => store_value(row, value),
    }
}

fn duplicate() -> Refusal {
    Refusal::DuplicateField {
        field: String::new(),
    }
}

fn wrong_type(expected: &'static str, value: &Scalar<'_>) -> Refusal {
    Refusal::WrongType {
        field: String::new(),
        expected,
        found: value.kind(),
    }
}

fn store_signal(
    row: &mut Row,
    acceptance: &Acceptance,
    i: usize,
    value: &Scalar<'_>,
) -> Result<(), Refusal> {
    if row.seen[i] {
        return Err(duplicate());
    }
    match value {
        Scalar::Number(number) => {
            row.values[i] = acceptance.signals[i].accept(*number)?;
            row.seen[i] = true;
            Ok(())
        }
        // As if the field were not there.
        Scalar::Null => Ok(()),
        other => Err(wrong_type("a number", other)),
    }
}

fn store_asset(row: &mut Row, value: &Scalar<'_>) -> Result<(), Refusal> {
    if row.asset.is_some() {
        return Err(duplicate());
    }
    row.asset = match value {
        Scalar::Text(text) => Some(CompactString::new(text)),
        // Asset numbers are names too, when they are whole.
        Scalar::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Some((*number as i64).to_compact_string())
        }
        Scalar::Null => None,
        other => return Err(wrong_type("text", other)),
    };
    Ok(())
}

fn store_time(row: &mut Row, unit: TimeUnit, value: &Scalar<'_>) -> Result<(), Refusal> {
    if row.event_at.is_some() {
        return Err(duplicate());
    }
    row.event_at = match value {
        Scalar::Number(number) => Some(time::from_number(*number, unit)?),
        Scalar::Text(text) => Some(time::from_text(text, unit)?),
        Scalar::Null => None,
        other => return Err(wrong_type("a time", other)),
    };
    Ok(())
}

fn store_name(row: &mut Row, value: &Scalar<'_>) -> Result<(), Refusal> {
    if row.signal.is_some() {
        return Err(duplicate());
    }
    match value {
        Scalar::Text(text) => row.signal = Some(CompactString::new(text)),
        Scalar::Null => {}
        other => return Err(wrong_type("text", other)),
    }
    Ok(())
}

fn store_value(row: &mut Row, value: &Scalar<'_>) -> Result<(), Refusal> {
    if row.value.is_some() {
        return Err(duplicate());
    }
    match value {
        Scalar::Number(number) => row.value = Some(*number),
        Scalar::Null => {}
        other => return Err(wrong_type("a number", other)),
    }
    Ok(())
}
