//! Messages that have the form of one before: the same fields in the same order, with the same bytes between their
//! values.
//!
//! ```text
//!   {"time":1567606196,"car":"car1","coolant_temp":39.395103,"note":null}    a message that the general parser has read
//!   {"time":          ,"car":      ,"coolant_temp":         ,"note":    }    its form
//!   {"time":1567606197,"car":"car2","coolant_temp":38.2     ,"note":null}    bytes compared, values parsed in place
//! ```
//!
//! Devices of one kind write one form, so nearly all messages of a topic are read here, in a fraction of the time that
//! it takes to find out what each field is.
//!
//! Invariants:
//! - what is taken here is valid JSON, and the row is the one that the general parser makes of it, bit for bit: all
//!   bytes but those of the values are those of an object that it has read, in which no declared field stands twice;
//! - nothing is refused here: what is not plain (an escape in a text, a number that is none, a value of a wrong type) is
//!   left to the general parser, which knows why it is refused.
//!
//! Within a field that is ignored, objects and arrays are bytes like all others, and their values are ignored values.

use std::ops::Range;

use hashbrown::HashSet;

use super::fields::{Field, Fields, Scalar, store};
use super::number;
use super::row::{Acceptance, Row};

/// Forms that are kept: devices of several kinds and versions write to one topic.
const FORMS: usize = 4;
/// A message with more values has no form: it would be larger than what it saves.
const MOST_HOLES: usize = 4_096;

/// The forms of the messages that came last.
#[derive(Debug, Default)]
pub(super) struct Forms {
    /// The one that came last first.
    forms: Vec<Form>,
    /// Messages in a row that had none of them.
    strangers: u64,
}

#[derive(Debug, PartialEq)]
struct Form {
    holes: Vec<Hole>,
    /// All bytes of the message but those of the values.
    bytes: Vec<u8>,
}

/// The place of a value, so many bytes behind the one before it.
#[derive(Debug, PartialEq)]
struct Hole {
    behind: usize,
    /// `None`: it is ignored.
    field: Option<Field>,
}

impl Forms {
    /// Fills `row` from a message that has one of the forms. False when it has none: then the row is not filled.
    pub fn fill(&mut self, message: &[u8], acceptance: &Acceptance, row: &mut Row) -> bool {
        for place in 0..self.forms.len() {
            row.reset(acceptance.signals.len());
            if self.forms[place].fill(message, acceptance, row).is_some() {
                self.forms[..=place].rotate_right(1);
                self.strangers = 0;
                return true;
            }
        }
        false
    }

    /// Takes note of a message that has none of the forms, and that the general parser has read. Where hardly any message
    /// has a form, ever fewer are looked at.
    pub fn learn(&mut self, message: &str, fields: &Fields) {
        self.strangers += 1;
        if self.strangers.is_power_of_two()
            && let Some(form) = Form::of(message, fields)
            && !self.forms.contains(&form)
        {
            self.forms.truncate(FORMS - 1);
            self.forms.insert(0, form);
        }
    }
}

impl Form {
    fn fill(&self, message: &[u8], acceptance: &Acceptance, row: &mut Row) -> Option<()> {
        let (mut message, mut bytes) = (message, self.bytes.as_slice());
        for hole in &self.holes {
            let (before, behind) = bytes.split_at(hole.behind);
            bytes = behind;
            message = fill_value(message.strip_prefix(before)?, hole.field, acceptance, row)?;
        }
        (message == bytes).then_some(())
    }

    /// The form of an object that the general parser has read; `None` where it can't tell by a field's place what it is.
    fn of(message: &str, fields: &Fields) -> Option<Self> {
        let (mut holes, mut bytes) = (Vec::new(), Vec::new());
        let mut known = HashSet::new();
        let mut ended = 0;
        for (place, key) in Values::of(message) {
            let field = match key {
                // Only the general parser resolves escapes.
                Some(key) if key.contains('\\') => return None,
                Some(key) => fields.get(key),
                None => None,
            };
            // A second one is a mistake, unless one of them is null.
            let is_second = field.is_some_and(|field| !known.insert(field));
            if is_second || holes.len() == MOST_HOLES {
                return None;
            }
            bytes.extend_from_slice(&message.as_bytes()[ended..place.start]);
            let behind = place.start - ended;
            holes.push(Hole { behind, field });
            ended = place.end;
        }
        bytes.extend_from_slice(&message.as_bytes()[ended..]);
        Some(Form { holes, bytes })
    }
}

/// The texts, numbers and words of an object that the general parser has read, keys left out: where each stands, and
/// the key that it has at the top level, as it is written.
struct Values<'m> {
    message: &'m str,
    at: usize,
    /// The objects and arrays around this place, by how they open.
    around: Vec<u8>,
    is_key: bool,
    /// The latest key of the top level.
    key: &'m str,
}

impl<'m> Values<'m> {
    fn of(message: &'m str) -> Self {
        Values {
            message,
            at: 0,
            around: Vec::new(),
            is_key: false,
            key: "",
        }
    }
}

impl<'m> Iterator for Values<'m> {
    type Item = (Range<usize>, Option<&'m str>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.message.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            let begin = self.at;
            self.at += 1;
            let is_top = self.around.len() == 1;
            match byte {
                b'{' | b'[' => {
                    self.around.push(*byte);
                    self.is_key = *byte == b'{';
                }
                b'}' | b']' => drop(self.around.pop()),
                b',' => self.is_key = self.around.last() == Some(&b'{'),
                b':' => self.is_key = false,
                b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => {
                    self.at = end_of_value(bytes, begin);
                    if !self.is_key {
                        return Some((begin..self.at, is_top.then_some(self.key)));
                    }
                    if is_top {
                        self.key = &self.message[begin + 1..self.at - 1];
                    }
                }
            }
        }
        None
    }
}

/// Where the text, number or word that begins at `begin` has ended.
fn end_of_value(bytes: &[u8], begin: usize) -> usize {
    let mut end = begin + 1;
    if bytes[begin] == b'"' {
        while bytes[end] != b'"' {
            end += 1 + usize::from(bytes[end] == b'\\');
        }
        return end + 1;
    }
    while !matches!(
        bytes[end],
        b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'
    ) {
        end += 1;
    }
    end
}

/// Puts the value at the beginning of `message` into its place of the row; gives what stands behind it.
fn fill_value<'m>(
    message: &'m [u8],
    field: Option<Field>,
    acceptance: &Acceptance,
    row: &mut Row,
) -> Option<&'m [u8]> {
    // Nearly all of them. Whether they are in range is asked when the row is complete.
    if let Some(Field::Signal(signal)) = field
        && let Some((value, behind)) = number::take(message)
    {
        row.values[signal] = value;
        row.seen[signal] = true;
        return Some(behind);
    }
    let (value, behind) = scalar(message)?;
    if let Some(field) = field {
        store(row, acceptance, field, &value).ok()?;
    }
    Some(behind)
}

/// The plain value at the beginning of `message`, and what stands behind it.
fn scalar(message: &[u8]) -> Option<(Scalar<'_>, &[u8])> {
    if let Some(text) = message.strip_prefix(b"\"") {
        let end = text
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
        let behind = text[end..].strip_prefix(b"\"")?;
        return Some((
            Scalar::Text(str::from_utf8(&text[..end]).ok()?.into()),
            behind,
        ));
    }
    let words: [(&[u8], _); 3] = [
        (b"null", Scalar::Null),
        (b"true", Scalar::Bool),
        (b"false", Scalar::Bool),
    ];
    for (word, value) in words {
        if let Some(behind) = message.strip_prefix(word) {
            return Some((value, behind));
        }
    }
    let (number, behind) = number::take(message)?;
    Some((Scalar::Number(number), behind))
}

#[cfg(test)]
#[path = "forms_tests.rs"]
mod tests;
