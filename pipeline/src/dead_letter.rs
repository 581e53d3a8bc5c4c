//! Dead letters read back: what was refused, why and where it came from; and the receipts of letters whose
//! messages were sent again. Pure: the topic is read in `kafka/dead_letters.rs`.
//!
//! ```text
//!   partition 0 of the dead letters:  letter ─ letter ─ letter ─ letter ─ receipt "1-2" ─ letter
//!                                       0        1        2        3        4            5
//! ```
//!
//! A receipt stands in the partition of its letters and behind them, so retention never takes it before them.
//!
//! Invariant: what a letter gives back is the original, byte for byte, with its own headers and none of ours.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::prediction::EventTimestamp;

/// Headers that follow those of the original, in this order; the last two only where [`of_original`] says so.
pub const TOPIC: &str = "__connect.errors.topic";
pub const PARTITION: &str = "__connect.errors.partition";
pub const OFFSET: &str = "__connect.errors.offset";
pub const PIPELINE: &str = "__connect.errors.connector.name";
pub const STAGE: &str = "__connect.errors.stage";
pub const REASON: &str = "__connect.errors.exception.message";
pub const CODE: &str = "forewarn.code";
/// The timestamp of the original record, in milliseconds since 1970: the letter has one of its own.
pub const TIMESTAMP: &str = "forewarn.timestamp";
/// In place of a value that is larger than the producer may send: how many bytes it has. The original is in the
/// log, where the other headers say.
pub const OMITTED: &str = "forewarn.omitted-bytes";
const OURS: [&str; 7] = [TOPIC, PARTITION, OFFSET, PIPELINE, STAGE, REASON, CODE];

/// On a receipt: offsets of the letters whose messages were sent again, such as `1-2,7`.
pub const REDRIVEN: &str = "forewarn.redriven";
/// On a receipt: the pipeline that it is of.
pub const RECEIPT_PIPELINE: &str = "forewarn.pipeline";
/// On a message that was sent again: topic, partition and offset of its letter.
pub const REDRIVE: &str = "forewarn.redrive";

/// The code of a message without a value; its letter has none either.
const EMPTY_PAYLOAD: &str = "empty-payload";

/// A header as Kafka has it: a name, which may come several times, and bytes or nothing.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A record of the dead letter topic.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    Letter(Letter<'a>),
    Receipt(Receipt<'a>),
    /// Another program wrote it.
    Other,
}

/// A refused message.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter<'a> {
    pub pipeline: &'a str,
    pub code: &'a str,
    /// The stage that refused it.
    pub stage: &'a str,
    pub reason: &'a str,
    /// The record that was refused.
    pub source: Source<'a>,
    /// Timestamp of that record, in milliseconds; letters of older versions do not tell.
    pub timestamp: Option<i64>,
    /// Bytes of its value, where that was too large to be sent again.
    pub omitted: Option<u64>,
    /// Its own headers.
    pub headers: Vec<Header<'a>>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
}

/// The record that a letter is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.topic, self.partition, self.offset)
    }
}

/// Letters of one partition whose messages were sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt<'a> {
    pub pipeline: &'a str,
    pub offsets: Offsets,
}

/// A place in the dead letter topic: `PARTITION:OFFSET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub partition: i32,
    pub offset: i64,
}

/// Offsets of one partition, as stretches: `1-2,7`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets {
    /// First and last of each stretch; they neither touch nor overlap.
    stretches: BTreeMap<i64, i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no place in a topic: write PARTITION:OFFSET, such as 0:12")]
pub struct NoPosition(String);

impl<'a> Entry<'a> {
    /// Reads a record by its headers.
    pub fn read(headers: &[Header<'a>], key: Option<&'a [u8]>, payload: Option<&'a [u8]>) -> Self {
        if let Some(letter) = letter(headers, key, payload) {
            return Entry::Letter(letter);
        }
        receipt(headers).map_or(Entry::Other, Entry::Receipt)
    }
}

/// The headers that tell what a letter can't have from its original: its timestamp, in milliseconds, and the size of
/// a value that is left out.
pub fn of_original(timestamp: Option<i64>, omitted: Option<usize>) -> Vec<(&'static str, String)> {
    let timestamp = timestamp.map(|timestamp| (TIMESTAMP, timestamp.to_string()));
    let omitted = omitted.map(|bytes| (OMITTED, bytes.to_string()));
    timestamp.into_iter().chain(omitted).collect()
}

fn letter<'a>(
    headers: &[Header<'a>],
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
) -> Option<Letter<'a>> {
    let (omitted, rest) = last_of(OMITTED, headers)?;
    let (timestamp, rest) = last_of(TIMESTAMP, rest)?;
    // By their place and not by their names: the original may have had headers of these names.
    let (headers, own) = rest.split_at_checked(rest.len().checked_sub(OURS.len())?)?;
    if !own.iter().map(|(name, _)| *name).eq(OURS) {
        return None;
    }
    let mut values = own.iter().map(|(_, value)| text(*value));
    let mut next = || values.next().flatten();
    let source = Source {
        topic: next()?,
        partition: next()?.parse().ok()?,
        offset: next()?.parse().ok()?,
    };
    Some(Letter {
        source,
        pipeline: next()?,
        stage: next()?,
        reason: next()?,
        code: next()?,
        timestamp,
        omitted,
        headers: headers.to_vec(),
        key,
        payload,
    })
}

/// The number in the last header, if that is `name`, and the headers before it. `None` when it is no number.
fn last_of<'h, 'a, T: FromStr>(
    name: &str,
    headers: &'h [Header<'a>],
) -> Option<(Option<T>, &'h [Header<'a>])> {
    match headers.split_last()? {
        ((last, value), rest) if *last == name => Some((Some(text(*value)?.parse().ok()?), rest)),
        _ => Some((None, headers)),
    }
}

fn receipt<'a>(headers: &[Header<'a>]) -> Option<Receipt<'a>> {
    let value = |name: &str| {
        let found = headers.iter().find(|(own, _)| *own == name);
        found.and_then(|(_, value)| text(*value))
    };
    Some(Receipt {
        pipeline: value(RECEIPT_PIPELINE)?,
        offsets: value(REDRIVEN)?.parse().ok()?,
    })
}

fn text(value: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(value?).ok()
}

impl Letter<'_> {
    /// Is it a reference to a record, without its bytes: one that had waited, or was too large? The record is in the
    /// source topic then, if anywhere.
    pub fn is_reference(&self) -> bool {
        if self.omitted.is_some() {
            return true;
        }
        let is_bare = self.key.is_none() && self.payload.is_none() && self.headers.is_empty();
        is_bare && self.timestamp.is_none() && self.code != EMPTY_PAYLOAD
    }
}

impl Offsets {
    pub fn insert(&mut self, offset: i64) {
        self.insert_stretch(offset, offset);
    }

    pub fn extend(&mut self, other: &Offsets) {
        for (first, last) in &other.stretches {
            self.insert_stretch(*first, *last);
        }
    }

    pub fn contains(&self, offset: i64) -> bool {
        let before = self.stretches.range(..=offset).next_back();
        before.is_some_and(|(_, last)| *last >= offset)
    }

    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    fn insert_stretch(&mut self, mut first: i64, mut last: i64) {
        // Those that begin at or before the offset behind the new one, and end at or behind the one before it.
        while let Some((start, end)) = self.stretches.range(..=last.saturating_add(1)).next_back() {
            let (start, end) = (*start, *end);
            if end < first.saturating_sub(1) {
                break;
            }
            self.stretches.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.stretches.insert(first, last);
    }
}

impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.stretches.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Offsets {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let wrong = || NoPosition(text.to_owned());
        let mut offsets = Offsets::default();
        for stretch in text.split(',') {
            let (first, last) = stretch.split_once('-').unwrap_or((stretch, stretch));
            let first: i64 = first.parse().map_err(|_| wrong())?;
            let last: i64 = last.parse().map_err(|_| wrong())?;
            if first < 0 || last < first {
                return Err(wrong());
            }
            offsets.insert_stretch(first, last);
        }
        Ok(offsets)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let wrong = || NoPosition(text.to_owned());
        let (partition, offset) = text.split_once(':').ok_or_else(wrong)?;
        let position = Position {
            partition: partition.parse().map_err(|_| wrong())?,
            offset: offset.parse().map_err(|_| wrong())?,
        };
        if position.partition < 0 || position.offset < 0 {
            return Err(wrong());
        }
        Ok(position)
    }
}

/// When a record was written, from Kafka's milliseconds.
pub fn instant(millis: i64) -> EventTimestamp {
    EventTimestamp(millis.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LETTER: [Header<'static>; 7] = [
        (TOPIC, Some(b"in")),
        (PARTITION, Some(b"3")),
        (OFFSET, Some(b"4711")),
        (PIPELINE, Some(b"plant")),
        (STAGE, Some(b"decode")),
        (REASON, Some(b"it is no JSON")),
        (CODE, Some(b"malformed-json")),
    ];

    fn read<'a>(own: &[Header<'a>], more: &[Header<'a>]) -> Entry<'a> {
        let headers = [own, &LETTER, more].concat();
        Entry::read(&headers, Some(b"k"), Some(b"{"))
    }

    #[test]
    fn a_letter_gives_the_original_back_with_its_own_headers() {
        // The original had been redriven, and had been a dead letter of something else before.
        let own: [Header<'_>; 4] = [
            ("trace", Some(b"\xff")),
            (CODE, Some(b"of another program")),
            (TIMESTAMP, None),
            ("trace", None),
        ];
        let Entry::Letter(letter) = read(&own, &[(TIMESTAMP, Some(b"1700000000123"))]) else {
            panic!("a letter");
        };
        assert_eq!(letter.headers, own);
        assert_eq!((letter.code, letter.pipeline), ("malformed-json", "plant"));
        assert_eq!((letter.stage, letter.reason), ("decode", "it is no JSON"));
        let source = Source {
            topic: "in",
            partition: 3,
            offset: 4711,
        };
        assert_eq!(letter.source, source);
        assert_eq!(letter.timestamp, Some(1_700_000_000_123));
        assert_eq!(
            (letter.key, letter.payload),
            (Some(&b"k"[..]), Some(&b"{"[..]))
        );
        // Too large to be sent again.
        let more: [Header<'_>; 2] = [(TIMESTAMP, Some(b"5")), (OMITTED, Some(b"1030000"))];
        for more in [&more[..], &more[1..]] {
            let Entry::Letter(letter) = read(&[], more) else {
                panic!("a letter");
            };
            assert!(letter.is_reference());
            assert_eq!(
                (letter.code, letter.omitted),
                ("malformed-json", Some(1_030_000))
            );
            assert_eq!(letter.timestamp, (more.len() == 2).then_some(5));
        }
        // As versions before wrote them.
        let Entry::Letter(letter) = read(&own, &[]) else {
            panic!("a letter");
        };
        assert_eq!((letter.timestamp, letter.headers.len()), (None, 4));
    }

    #[test]
    fn a_letter_without_bytes_refers_to_its_record_unless_that_had_none() {
        let bare = |code: &'static str, key, more: &[Header<'static>]| {
            let mut headers = LETTER.to_vec();
            headers[6].1 = Some(code.as_bytes());
            headers.extend(more);
            match Entry::read(&headers, key, None) {
                Entry::Letter(letter) => letter.is_reference(),
                other => panic!("{other:?}"),
            }
        };
        assert!(bare("asset-state-full", None, &[]));
        assert!(!bare("asset-state-full", Some(b"k"), &[]));
        assert!(!bare("empty-payload", None, &[]));
        assert!(!bare("empty-key", None, &[(TIMESTAMP, Some(b"0"))]));
    }

    #[test]
    fn marks_are_told_from_letters_and_from_what_others_wrote() {
        let headers = |offsets: &'static [u8]| -> Vec<Header<'static>> {
            vec![
                (RECEIPT_PIPELINE, Some(b"plant")),
                (REDRIVEN, Some(offsets)),
            ]
        };
        let Entry::Receipt(receipt) = Entry::read(&headers(b"1-2,7"), None, Some(b"{}")) else {
            panic!("a receipt");
        };
        assert_eq!(
            (receipt.pipeline, receipt.offsets.to_string()),
            ("plant", "1-2,7".into())
        );
        let inside = [0, 1, 2, 3, 6, 7, 8].map(|offset| receipt.offsets.contains(offset));
        assert_eq!(inside, [false, true, true, false, false, true, false]);
        for wrong in [&b""[..], b"7-1", b"x", b"1-", b"-1", b"\xff"] {
            let headers = vec![
                (RECEIPT_PIPELINE, Some(&b"plant"[..])),
                (REDRIVEN, Some(wrong)),
            ];
            assert_eq!(Entry::read(&headers, None, None), Entry::Other, "{wrong:?}");
        }
        assert_eq!(Entry::read(&[], None, Some(b"{")), Entry::Other);
        assert_eq!(Entry::read(&LETTER[1..], None, None), Entry::Other);
        let mut swapped = LETTER.to_vec();
        swapped.swap(0, 1);
        assert_eq!(Entry::read(&swapped, None, None), Entry::Other);
    }

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        let position: Position = "2:30".parse().unwrap();
        assert_eq!((position.partition, position.offset), (2, 30));
        assert_eq!(position.to_string(), "2:30");
        for wrong in ["2", "2:", ":3", "2:-1", "-1:3", "a:b", "1:2:3"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn offsets_are_a_set_and_read_back(values in prop::collection::vec(0..40_i64, 1..40)) {
            let mut offsets = Offsets::default();
            for value in &values {
                offsets.insert(*value);
            }
            for value in 0..41 {
                prop_assert_eq!(offsets.contains(value), values.contains(&value));
            }
            prop_assert_eq!(&offsets.to_string().parse::<Offsets>().unwrap(), &offsets);
            let (mut one, mut other) = (Offsets::default(), Offsets::default());
            let (first, second) = values.split_at(values.len() / 2);
            first.iter().for_each(|value| one.insert(*value));
            second.iter().for_each(|value| other.insert(*value));
            one.extend(&other);
            prop_assert_eq!(one, offsets);
        }
    }
}
