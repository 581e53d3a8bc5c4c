//! Bytes that anybody may have sent, for a terminal: as text only where they are harmless.

use std::fmt::Write as _;

/// Bytes of a line of a dump.
const LINE: usize = 16;

/// The bytes as text, if all of it can be printed.
pub(super) fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let harmless = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().all(harmless).then_some(text)
}

/// In one line, with what could steer a terminal escaped.
pub(super) fn line(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// A short value in one line: text, else hexadecimal digits.
pub(super) fn short(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "none".into(),
        Some([]) => "empty".into(),
        Some(bytes) => match printable(bytes) {
            Some(text) => line(text),
            None => hex(bytes),
        },
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// Offset, hexadecimal digits and what can be printed, a line for 16 bytes.
pub(super) fn dump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for (i, line) in bytes.chunks(LINE).enumerate() {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = line.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        let shown: String = shown.collect();
        let _ = writeln!(dump, "{:08x}  {:47}  |{shown}|", i * LINE, digits.join(" "));
    }
    dump
}

/// The first `limit` bytes of a text, ending between two characters.
pub(super) fn head(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit.min(text.len()))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_not_printed() {
        assert_eq!(
            printable("{\"a\":\t1}\n°".as_bytes()),
            Some("{\"a\":\t1}\n°")
        );
        for bytes in [&b"\x1b[2J"[..], b"\xff", b"a\0", b"a\rb"] {
            assert_eq!(printable(bytes), None);
        }
        assert_eq!(line("a\x1b[2J\nb°"), "a\\u{1b}[2J\\nb°");
        assert_eq!(short(Some(b"\xff\x00")), "ff00");
        assert_eq!(
            (short(None), short(Some(b""))),
            ("none".into(), "empty".into())
        );
    }

    #[test]
    fn a_dump_has_offsets_digits_and_letters() {
        let expected = "00000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  |................|\n\
                        00000010  41 20 ff                                         |A .|\n";
        let bytes: Vec<u8> = (0..16).chain([0x41, 0x20, 0xff]).collect();
        assert_eq!(dump(&bytes), expected);
        assert_eq!(head("a°b", 2), "a");
        assert_eq!(head("a°b", 9), "a°b");
    }
}
