//! Event times: from what a message carries to microseconds since 1970, UTC.

use crate::config::TimeUnit;
use crate::refusal::Refusal;

/// Years 1900 to 2200: beyond, a time in the wrong unit is likelier than a true one.
const EARLIEST: i64 = -2_208_988_800_000_000;
const LATEST: i64 = 7_258_118_400_000_000;

/// A number in `unit` as microseconds.
///
/// # Errors
/// Not finite, outside the years 1900 to 2200, or a number where RFC 3339 is expected.
pub fn from_number(value: f64, unit: TimeUnit) -> Result<i64, Refusal> {
    let factor = match unit {
        TimeUnit::S => 1e6,
        TimeUnit::Ms => 1e3,
        TimeUnit::Us => 1.0,
        TimeUnit::Rfc3339 => {
            return Err(invalid(format!(
                "{value} is a number, expected RFC 3339 text"
            )));
        }
    };
    let micros = (value * factor).round();
    if !(micros >= EARLIEST as f64 && micros <= LATEST as f64) {
        return Err(invalid(format!(
            "{value} is not between the years 1900 and 2200 in this unit"
        )));
    }
    Ok(micros as i64)
}

/// Text as microseconds: RFC 3339 with any offset.
///
/// # Errors
/// Text where a number is expected, or not RFC 3339.
pub fn from_text(text: &str, unit: TimeUnit) -> Result<i64, Refusal> {
    if unit != TimeUnit::Rfc3339 {
        return Err(invalid(format!(
            "\"{}\" is text, expected a number",
            shorten(text)
        )));
    }
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|time| time.timestamp_micros())
        .map_err(|error| invalid(format!("\"{}\" is not RFC 3339 ({error})", shorten(text))))
}

/// A record's timestamp in milliseconds.
///
/// # Errors
/// When the record has none, or it is out of range.
pub fn from_record(timestamp: Option<i64>) -> Result<i64, Refusal> {
    let field = || "the record's timestamp".to_owned();
    let millis = timestamp.ok_or_else(|| Refusal::MissingTime { field: field() })?;
    from_number(millis as f64, TimeUnit::Ms)
}

fn invalid(detail: String) -> Refusal {
    Refusal::InvalidTime { detail }
}

/// Reasons quote at most this many characters of what a message carried.
fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree() {
        let micros = 1_567_606_196_000_000;
        assert_eq!(from_number(1_567_606_196.0, TimeUnit::S), Ok(micros));
        assert_eq!(from_number(1_567_606_196_000.0, TimeUnit::Ms), Ok(micros));
        assert_eq!(
            from_text("2019-09-04T16:09:56+02:00", TimeUnit::Rfc3339),
            Ok(micros)
        );
    }

    #[test]
    fn a_time_in_the_wrong_unit_is_refused() {
        assert!(from_number(1_567_606_196_000.0, TimeUnit::S).is_err());
        assert!(from_number(f64::NAN, TimeUnit::S).is_err());
        assert!(from_text("yesterday", TimeUnit::Rfc3339).is_err());
        assert!(from_text("12", TimeUnit::S).is_err());
    }
}
