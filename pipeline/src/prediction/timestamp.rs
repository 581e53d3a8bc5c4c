//! Event times as they are written and read: RFC 3339 in UTC, with as many digits as an instant needs.
//!
//! Each result has its time twice, in the record and in a header; so it is written without chrono's general formatter,
//! which took longer than the rest of a small result. The text is chrono's.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// `2026-01-01T00:00:00.000000Z`.
const LONGEST: usize = 27;

/// Microseconds since 1970, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventTimestamp(pub i64);

impl EventTimestamp {
    /// Reads RFC 3339.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|time| EventTimestamp(time.timestamp_micros()))
    }

    /// Its text in `buffer`; `None` where the year does not have four digits.
    fn write(self, buffer: &mut [u8; LONGEST]) -> Option<&str> {
        let (days, of_day) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = date(days);
        if !(0..=9_999).contains(&year) {
            return None;
        }
        let (seconds, micros) = (of_day / SECOND, of_day % SECOND);
        buffer.copy_from_slice(b"0000-00-00T00:00:00.000000Z");
        put(&mut buffer[0..4], year);
        put(&mut buffer[5..7], month);
        put(&mut buffer[8..10], day);
        put(&mut buffer[11..13], seconds / 3_600);
        put(&mut buffer[14..16], seconds / 60 % 60);
        put(&mut buffer[17..19], seconds % 60);
        let end = match micros {
            0 => 19,
            _ if micros % 1_000 == 0 => {
                put(&mut buffer[20..23], micros / 1_000);
                23
            }
            _ => {
                put(&mut buffer[20..26], micros);
                26
            }
        };
        buffer[end] = b'Z';
        std::str::from_utf8(&buffer[..=end]).ok()
    }
}

/// Decimal digits that fill `place`.
fn put(place: &mut [u8], mut number: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar (Hinnant, *chrono-compatible low-level date
/// algorithms*, `civil_from_days`): years begin in March, so that the day that comes and goes is their last one, and 400
/// of them have 146,097 days.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl fmt::Display for EventTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.write(&mut [0; LONGEST]) {
            Some(text) => f.write_str(text),
            None => {
                let time = DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or_default();
                f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
            }
        }
    }
}

impl Serialize for EventTimestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.write(&mut [0; LONGEST]) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for EventTimestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        EventTimestamp::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chronos(micros: i64) -> String {
        let time = DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
        time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }

    #[test]
    fn every_day_of_ten_thousand_years_is_that_of_chrono() {
        let (first, last) = ("0000-01-01T00:00:00Z", "9999-12-31T00:00:00Z");
        let of = |text| EventTimestamp::parse(text).unwrap().0;
        let mut at = of(first);
        while at <= of(last) {
            // Nearly a day on, so that times of the day are all kinds of them.
            assert_eq!(EventTimestamp(at).to_string(), chronos(at));
            at += DAY - 7_654_321;
        }
    }

    #[test]
    fn years_of_other_lengths_are_written_too() {
        let of_five = 253_402_300_800 * SECOND;
        for micros in [of_five, of_five - 1, -62_167_219_200 * SECOND - 1] {
            assert_eq!(EventTimestamp(micros).to_string(), chronos(micros));
        }
    }

    proptest! {
        #[test]
        fn an_instant_is_written_as_chrono_does_and_read_back(
            micros in -62_167_219_200 * SECOND..253_402_300_800 * SECOND,
            digits in prop::sample::select(vec![1, 1_000, 1_000_000]),
        ) {
            let micros = micros / digits * digits;
            let text = EventTimestamp(micros).to_string();
            prop_assert_eq!(&text, &chronos(micros));
            prop_assert_eq!(EventTimestamp::parse(&text).unwrap().0, micros);
            prop_assert_eq!(serde_json::to_string(&EventTimestamp(micros)).unwrap(), format!("\"{text}\""));
        }
    }
}
