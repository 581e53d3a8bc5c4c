//! A number of JSON where it stands in a message, as the nearest `f64`.
//!
//! Digits are taken eight at a time, without a branch for each: how many there are differs from value to value, and a
//! processor that guesses it wrong loses more time than it takes to add them up. A whole number below 2^53 over a power
//! of ten that is exact itself is rounded once, by the division, and so is the nearest (Clinger, "How to read floating
//! point numbers accurately", 1990). All others are left to the standard library, which gives the nearest too.

/// Digits that a `u64` always has room for.
const EXACT_DIGITS: usize = 19;

/// Powers of ten as far as so many decimals need them; an `f64` holds them exactly.
const POWERS: [f64; EXACT_DIGITS + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19,
];

/// Powers of ten by which a number grows when eight digits or fewer are put behind it.
const SHIFTS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// The number at the beginning of `text`, and what stands behind it. `None` when there is none by JSON's grammar, or
/// when it is beyond the largest `f64`.
pub(super) fn take(text: &[u8]) -> Option<(f64, &[u8])> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (value, rest) = take_unsigned(unsigned)?;
    let is_negative = unsigned.len() < text.len();
    Some((if is_negative { -value } else { value }, rest))
}

fn take_unsigned(text: &[u8]) -> Option<(f64, &[u8])> {
    let (whole, length) = digits(0, text);
    if length == 0 || (length > 1 && text[0] == b'0') {
        return None;
    }
    let (mut mantissa, mut decimals, mut end) = (whole, 0, length);
    if text.get(end) == Some(&b'.') {
        (mantissa, decimals) = digits(whole, &text[end + 1..]);
        if decimals == 0 {
            return None;
        }
        end += 1 + decimals;
    }
    if let Some(b'e' | b'E') = text.get(end) {
        let signed = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let begin = end + 1 + signed;
        let (_, length) = digits(0, text.get(begin..)?);
        if length == 0 {
            return None;
        }
        return nearest(text, begin + length);
    }
    if length + decimals > EXACT_DIGITS || (decimals > 0 && mantissa > 1 << f64::MANTISSA_DIGITS) {
        return nearest(text, end);
    }
    Some((mantissa as f64 / POWERS[decimals], &text[end..]))
}

/// What the standard library makes of the first `end` bytes.
fn nearest(text: &[u8], end: usize) -> Option<(f64, &[u8])> {
    let (number, rest) = text.split_at(end);
    let number: f64 = str::from_utf8(number).ok()?.parse().ok()?;
    number.is_finite().then_some((number, rest))
}

/// `number` with the digits at the beginning of `text` behind it, and how many those are. Beyond [`EXACT_DIGITS`] it is
/// some other number.
fn digits(mut number: u64, text: &[u8]) -> (u64, usize) {
    let mut count = 0;
    while let Some(eight) = text[count..].first_chunk() {
        let (value, length) = of_eight(u64::from_le_bytes(*eight));
        number = number.wrapping_mul(SHIFTS[length]).wrapping_add(value);
        count += length;
        if length < 8 {
            return (number, count);
        }
    }
    let last = text[count..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    for digit in last {
        number = number
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit - b'0'));
        count += 1;
    }
    (number, count)
}

/// The number that the first digits among eight bytes are, the first byte in the lowest place, and how many they are.
///
/// The digits are moved to the end, behind zeros, and then added up by pairs, the pairs by pairs, and those.
fn of_eight(bytes: u64) -> (u64, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let values = bytes ^ (EACH * 0x30);
    // A byte above 9 has its high bit in the sum, or in itself. What it carries over meets only bytes behind it.
    let others = (values.wrapping_add(EACH * 0x76) | values) & (EACH * 0x80);
    let length = others.trailing_zeros() / 8;
    let digits = values.checked_shl(64 - 8 * length).unwrap_or(0);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    const LOW: u64 = 0x0000_00ff_0000_00ff;
    let outer = (pairs & LOW).wrapping_mul(100 + (1_000_000 << 32));
    let inner = ((pairs >> 16) & LOW).wrapping_mul(1 + (10_000 << 32));
    (outer.wrapping_add(inner) >> 32, length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What serde_json makes of the same text.
    fn parsed(text: &str) -> Option<u64> {
        let parsed: Result<f64, _> = serde_json::from_str(text);
        parsed.ok().map(f64::to_bits)
    }

    /// A number that is all of `text`, whatever stands behind it.
    fn taken(text: &str) -> Option<u64> {
        let bits = [",", "}", "", "                "].map(|behind| {
            let message = format!("{text}{behind}");
            let (value, rest) = take(message.as_bytes())?;
            (rest == behind.as_bytes()).then_some(value.to_bits())
        });
        assert!(bits.iter().all(|one| *one == bits[0]), "{text}: {bits:?}");
        bits[0]
    }

    #[test]
    fn the_grammar_is_that_of_json() {
        let numbers = [
            "0",
            "-0",
            "-0.0",
            "10",
            "0.5",
            "1e5",
            "1E+05",
            "1.25e-7",
            "0e999999999999",
        ];
        let others = [
            "", "-", "+1", "01", "-01", "00", ".5", "1.", "-.5", "1.e5", "1e", "1e+", "1.5e-",
            "NaN", "inf", "-inf", "0x1", "1e400", "-1e400", "1_000", "١",
        ];
        for text in numbers {
            assert!(
                taken(text).is_some() && taken(text) == parsed(text),
                "{text}"
            );
        }
        for text in others {
            assert!(taken(text).is_none() && parsed(text).is_none(), "{text}");
        }
    }

    #[test]
    fn hard_cases_are_the_nearest_double() {
        for text in [
            "9007199254740993",
            "9007199254740993.0",
            "900719925474099.3",
            "18446744073709551615",
            "18446744073709551616",
            "9223372036854775807",
            "-9223372036854775809",
            "2.2250738585072011e-308",
            "1.7976931348623157e308",
            "5e-324",
            "2.4703282292062328e-324",
            "0.000000000000000000000000000001",
            "123456789.123456789",
            "8.5899345920000005",
            "99999999.99999999",
            "179769313486231580793728971405301e276",
        ] {
            assert!(
                taken(text).is_some() && taken(text) == parsed(text),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_comes_back(bits: u64, digits in 0usize..20) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for text in [format!("{value}"), format!("{value:e}")] {
                prop_assert_eq!(taken(&text), Some(value.to_bits()), "{}", text);
            }
            let value = value % 1e9;
            let rounded = format!("{value:.digits$}");
            prop_assert_eq!(taken(&rounded), parsed(&rounded), "{}", rounded);
        }

        #[test]
        fn any_text_is_taken_as_serde_json_takes_it(text in "-?[0-9]{0,24}(\\.[0-9]{0,24})?([eE][+-]?[0-9]{0,4})?") {
            prop_assert_eq!(taken(&text), parsed(&text), "{}", text);
        }
    }
}
