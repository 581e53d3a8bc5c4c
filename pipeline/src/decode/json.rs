//! JSON: one object per message, numbers at the top level, fields in any order, other fields ignored.
//!
//! Invariants:
//! - numbers are parsed to the nearest `f64`, as every correct JSON parser does: a score computed elsewhere
//!   from the same message is the same score;
//! - a message costs only itself: the parser has a depth limit, the payload a size limit, and no input
//!   panics.

use std::fmt;

use hashbrown::HashMap;
use serde::Deserializer as _;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::row::{Acceptance, Decoded, Place, Row};
use super::time;
use crate::config::{AssetSource, Config, EventTime, TimeUnit};
use crate::message::{Message, MessageIndex};
use crate::refusal::{Refusal, Refused};
use crate::state::Partitions;

/// Messages whose assets are looked at together, before they are taken one by one: few enough to stay in the
/// cache while they are parsed.
const TOUCHED: usize = 256;

/// Decodes JSON messages into readings.
#[derive(Debug)]
pub struct JsonDecoder {
    acceptance: Acceptance,
    fields: HashMap<String, Field>,
    /// Signals by the name that narrow messages give them.
    narrow: Option<HashMap<String, usize>>,
    asset: AssetSource,
    event_time: EventTime,
    max_bytes: usize,
    row: Row,
}

/// What a field of the object carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Signal(usize),
    Asset,
    Time(TimeUnit),
    /// The name of the one signal of a narrow message, and its value.
    Name,
    Value,
}

impl JsonDecoder {
    pub fn new(config: &Config) -> Self {
        let mut fields = HashMap::new();
        let signals = config.signals.iter().enumerate();
        let signals = signals.map(|(i, signal)| (signal.field.clone(), i));
        let narrow = config.source.narrow.as_ref().map(|names| {
            fields.insert(names.signal.clone(), Field::Name);
            fields.insert(names.value.clone(), Field::Value);
            signals.clone().collect()
        });
        if narrow.is_none() {
            fields.extend(signals.map(|(field, i)| (field, Field::Signal(i))));
        }
        if let AssetSource::Field { field } = &config.source.asset {
            fields.insert(field.clone(), Field::Asset);
        }
        if let EventTime::Field { field, unit } = &config.source.event_time {
            fields.insert(field.clone(), Field::Time(*unit));
        }
        JsonDecoder {
            acceptance: Acceptance::new(config),
            fields,
            narrow,
            asset: config.source.asset.clone(),
            event_time: config.source.event_time.clone(),
            max_bytes: config.source.max_message_bytes,
            row: Row::default(),
        }
    }

    /// Decodes a batch from its message `begin` on: accepted readings become rows, the others are refused.
    /// Messages of partitions that are not owned, or that the state already includes, are skipped. Gives the
    /// message to go on with, which is not the end when assets are to be evicted first.
    pub fn decode(
        &mut self,
        messages: &[Message<'_>],
        begin: usize,
        to: &mut Decoded<'_>,
    ) -> usize {
        for (index, message) in messages.iter().enumerate().skip(begin) {
            if (index - begin).is_multiple_of(TOUCHED) && self.asset == AssetSource::Key {
                touch_assets(
                    &messages[index..(index + TOUCHED).min(messages.len())],
                    to.partitions,
                );
            }
            let Some(slot) = to.partitions.slot(message.partition) else {
                continue;
            };
            let state = to.partitions.state(slot);
            if message.offset < state.next_offset {
                continue;
            }
            state.next_offset = message.offset + 1;
            let publish = message.offset >= state.publish_from;
            let place = Place {
                message: index as MessageIndex,
                slot,
                offset: message.offset,
                ingested: message.timestamp,
            };
            let decoded = self.decode_one(message, place, to);
            if let Err(refusal) = decoded
                && publish
            {
                to.refused.push(Refused {
                    message: Some(place.message),
                    partition: message.partition,
                    offset: message.offset,
                    refusal,
                });
            }
            if self.acceptance.must_evict(to.partitions, slot) {
                return index + 1;
            }
        }
        messages.len()
    }

    fn decode_one(
        &mut self,
        message: &Message<'_>,
        place: Place,
        to: &mut Decoded<'_>,
    ) -> Result<(), Refusal> {
        let payload = message.payload.ok_or(Refusal::EmptyPayload)?;
        if payload.len() > self.max_bytes {
            return Err(Refusal::TooLarge {
                bytes: payload.len(),
                max: self.max_bytes,
            });
        }
        let text = std::str::from_utf8(payload).map_err(|error| Refusal::InvalidUtf8 {
            at: error.valid_up_to(),
        })?;
        self.row.reset(self.acceptance.signals.len());
        self.parse(text)?;
        if !self.resolve_narrow()? {
            *to.ignored += 1;
            return Ok(());
        }
        let asset = self.row.asset.take();
        let asset = match &self.asset {
            AssetSource::Key => asset_of_key(message.key)?,
            AssetSource::Field { field } => asset
                .as_deref()
                .filter(|asset| !asset.is_empty())
                .ok_or_else(|| Refusal::MissingAsset {
                    field: field.clone(),
                })?,
        };
        let event_at = match &self.event_time {
            EventTime::Record => time::from_record(message.timestamp)?,
            EventTime::Field { field, .. } => {
                self.row.event_at.ok_or_else(|| Refusal::MissingTime {
                    field: field.clone(),
                })?
            }
        };
        self.acceptance
            .accept(&mut self.row, asset, event_at, place, to)
    }

    /// Puts the value of a narrow message into its signal's place; false when the signal is not declared.
    fn resolve_narrow(&mut self) -> Result<bool, Refusal> {
        let Some(signals) = &self.narrow else {
            return Ok(true);
        };
        let missing = |field: Field| Refusal::MissingField {
            field: field_name(&self.fields, field),
        };
        let name = self
            .row
            .signal
            .as_ref()
            .ok_or_else(|| missing(Field::Name))?;
        let Some(&signal) = signals.get(name) else {
            return Ok(false);
        };
        let value = self.row.value.ok_or_else(|| missing(Field::Value))?;
        self.row.values[signal] = self.acceptance.signals[signal].accept(value)?;
        self.row.seen[signal] = true;
        Ok(true)
    }

    /// Fills `row` from the object in `text`.
    fn parse(&mut self, text: &str) -> Result<(), Refusal> {
        let mut refusal = None;
        let object = ObjectVisitor {
            fields: &self.fields,
            signals: &self.acceptance,
            row: &mut self.row,
            refusal: &mut refusal,
        };
        let mut json = serde_json::Deserializer::from_str(text);
        let parsed = json.deserialize_any(object).and_then(|()| json.end());
        match (refusal, parsed) {
            (Some(refusal), _) => Err(refusal),
            (None, Err(error)) => Err(malformed(text, &error)),
            (None, Ok(())) => Ok(()),
        }
    }
}

/// Looks at the assets that follow, partition by partition, before their messages are parsed.
fn touch_assets(messages: &[Message<'_>], partitions: &Partitions) {
    for messages in messages.chunk_by(|a, b| a.partition == b.partition) {
        if let Some(slot) = partitions.slot(messages[0].partition) {
            let keys = messages.iter().filter_map(|message| message.key);
            let names = keys.filter_map(|key| std::str::from_utf8(key).ok());
            partitions.at(slot).assets.touch(names);
        }
    }
}

fn asset_of_key(key: Option<&[u8]>) -> Result<&str, Refusal> {
    let key = key.filter(|key| !key.is_empty()).ok_or(Refusal::EmptyKey)?;
    std::str::from_utf8(key).map_err(|_| Refusal::InvalidKey)
}

/// The parser's message; `NaN` and `Infinity`, which some producers write, get a sentence of their own.
fn malformed(text: &str, error: &serde_json::Error) -> Refusal {
    let line = text
        .split_inclusive('\n')
        .nth(error.line().saturating_sub(1))
        .unwrap_or("");
    let column = error.column().saturating_sub(1).min(line.len());
    let at = line.as_bytes()[column..]
        .iter()
        .take(9)
        .copied()
        .collect::<Vec<u8>>();
    let at = String::from_utf8_lossy(&at);
    let hint = if ["NaN", "Inf", "-Inf", "nan", "inf", "-inf"]
        .iter()
        .any(|nan| at.starts_with(nan))
    {
        "; JSON has no NaN and no Infinity: leave the field out"
    } else {
        ""
    };
    Refusal::MalformedJson {
        detail: format!("{error}{hint}"),
    }
}

/// Reads the object's fields into the row. A wrong value stops with `refusal` set; serde's own error then
/// only ends the parse.
struct ObjectVisitor<'a> {
    fields: &'a HashMap<String, Field>,
    signals: &'a Acceptance,
    row: &'a mut Row,
    refusal: &'a mut Option<Refusal>,
}

impl ObjectVisitor<'_> {
    fn refuse<E: de::Error, T>(self, refusal: Refusal) -> Result<T, E> {
        *self.refusal = Some(refusal);
        Err(E::custom("refused"))
    }

    fn not_an_object<E: de::Error>(self, found: &'static str) -> Result<(), E> {
        self.refuse(Refusal::NotAnObject { found })
    }
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(FieldSeed(self.fields))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value_seed(ScalarSeed)?;
            let stored = match field {
                Field::Signal(i) => store_signal(self.row, self.signals, i, &value),
                Field::Asset => store_asset(self.row, &value),
                Field::Time(unit) => store_time(self.row, unit, &value),
                Field::Name => store_name(self.row, &value),
                Field::Value => store_value(self.row, &value),
            };
            if let Err(refusal) = stored {
                let refusal = self.named(field, refusal);
                return self.refuse(refusal);
            }
        }
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.not_an_object("a boolean")
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.not_an_object("a number")
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.not_an_object("a number")
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.not_an_object("a number")
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.not_an_object("text")
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.not_an_object("null")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.not_an_object("an array")
    }
}

impl ObjectVisitor<'_> {
    /// Puts the field's name, which the storing functions do not know, into the refusal.
    fn named(&self, field: Field, refusal: Refusal) -> Refusal {
        let name = || field_name(self.fields, field);
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
}

fn field_name(fields: &HashMap<String, Field>, field: Field) -> String {
    let found = fields.iter().find(|(_, other)| **other == field);
    found.map(|(name, _)| name.clone()).unwrap_or_default()
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
    signals: &Acceptance,
    i: usize,
    value: &Scalar<'_>,
) -> Result<(), Refusal> {
    if row.seen[i] {
        return Err(duplicate());
    }
    match value {
        Scalar::Number(number) => {
            row.values[i] = signals.signals[i].accept(*number)?;
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
        Scalar::Text(text) => Some(text.to_string()),
        // Asset numbers are names too, when they are whole.
        Scalar::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
            Some((*number as i64).to_string())
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
        Scalar::Text(text) => row.signal = Some(text.to_string()),
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

/// Looks a key up without copying it.
struct FieldSeed<'a>(&'a HashMap<String, Field>);

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = Option<Field>;

    fn deserialize<D: de::Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldSeed<'_> {
    type Value = Option<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(key).copied())
    }
}

/// A value at the top level of the object.
enum Scalar<'de> {
    Number(f64),
    Text(std::borrow::Cow<'de, str>),
    Bool,
    Null,
    Array,
    Object,
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

struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, value: D) -> Result<Scalar<'de>, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value as f64))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value as f64))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool)
    }
    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(text.into()))
    }
    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(text.to_owned().into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Array)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
