//! JSON: one object per message, numbers at the top level, fields in any order, other fields ignored.
//!
//! Invariants:
//! - numbers are parsed to the nearest `f64`, as every correct JSON parser does: a score computed elsewhere
//!   from the same message is the same score;
//! - what is made of a message does not depend on those before it, though it may be read in their form (`forms.rs`);
//! - a message costs only itself: the parser has a depth limit, the payload a size limit, and no input
//!   panics.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::{Field, Fields, Scalar, store};
use super::forms::Forms;
use super::row::{Acceptance, Decoded, Place, Row};
use super::time;
use crate::config::{AssetSource, Config, EventTime};
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
    fields: Fields,
    forms: Forms,
    asset: AssetSource,
    event_time: EventTime,
    max_bytes: usize,
    row: Row,
}

impl JsonDecoder {
    pub fn new(config: &Config) -> Self {
        JsonDecoder {
            acceptance: Acceptance::new(config),
            fields: Fields::new(config),
            forms: Forms::default(),
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
        let is_familiar = self.forms.fill(payload, &self.acceptance, &mut self.row);
        // What is to be refused is looked at by the general parser: so the reason is the same, whatever came before.
        if is_familiar && self.take(message, place, to).is_ok() {
            *to.familiar += 1;
            return Ok(());
        }
        let text = std::str::from_utf8(payload).map_err(|error| Refusal::InvalidUtf8 {
            at: error.valid_up_to(),
        })?;
        self.row.reset(self.acceptance.signals.len());
        self.parse(text)?;
        if !is_familiar {
            self.forms.learn(text, &self.fields);
        }
        self.take(message, place, to)
    }

    /// Makes a reading of the row.
    fn take(
        &mut self,
        message: &Message<'_>,
        place: Place,
        to: &mut Decoded<'_>,
    ) -> Result<(), Refusal> {
        let row = &mut self.row;
        if !self.fields.resolve_narrow(row, &self.acceptance)? {
            *to.ignored += 1;
            return Ok(());
        }
        let asset = row.asset.take();
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
            EventTime::Field { field, .. } => row.event_at.ok_or_else(|| Refusal::MissingTime {
                field: field.clone(),
            })?,
        };
        self.acceptance.accept(row, asset, event_at, place, to)
    }

    /// Fills `row` from the object in `text`.
    fn parse(&mut self, text: &str) -> Result<(), Refusal> {
        let mut refusal = None;
        let object = ObjectVisitor {
            fields: &self.fields,
            acceptance: &self.acceptance,
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
    fields: &'a Fields,
    acceptance: &'a Acceptance,
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
            let stored = store(self.row, self.acceptance, field, &value);
            if let Err(refusal) = stored {
                let refusal = self.fields.named(field, refusal);
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

/// Looks a key up without copying it.
struct FieldSeed<'a>(&'a Fields);

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
        Ok(self.0.get(key))
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
