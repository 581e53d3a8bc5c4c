//! Protobuf's wire format, walked in place: fields of a message, one after the other.
//!
//! A decoder into structs would let a small file ask for much memory (an empty node is two bytes in the file
//! and a hundred in a struct), and this runs in the process of the service. The walk allocates nothing.
//!
//! Not here: what the fields mean (`outline.rs`).

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Floats and fixed-width integers; nothing that is looked at here is one.
    Fixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("a part of it goes on for {missing} bytes beyond its end")]
    Truncated { missing: u64 },
    #[error("it is no protobuf message")]
    Malformed,
}

/// Walks the fields of `message`; ends after the first error.
pub(super) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<Field<'a>, WireError> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| WireError::Malformed)?;
        if number == 0 {
            return Err(WireError::Malformed);
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups (3, 4) have been out of use since before ONNX.
            _ => return Err(WireError::Malformed),
        };
        Ok(Field { number, value })
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds only the highest bit.
            if shift == 63 && byte > 1 {
                return Err(WireError::Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Malformed)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let have = self.rest.len() as u64;
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = taken.ok_or(WireError::Truncated {
            missing: length.saturating_sub(have),
        })?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_walked_in_order() {
        let message = [
            0x08, 0x96, 0x01, // 1: 150
            0x12, 0x02, b'h', b'i', // 2: "hi"
            0x1d, 1, 2, 3, 4, // 3: fixed32
            0x21, 1, 2, 3, 4, 5, 6, 7, 8, // 4: fixed64
        ];
        let walked: Vec<(u32, Value<'_>)> = fields(&message)
            .map(|field| field.map(|field| (field.number, field.value)).unwrap())
            .collect();
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed),
            (4, Value::Fixed),
        ];
        assert_eq!(walked, expected);
    }

    #[test]
    fn what_is_cut_off_or_no_message_ends_the_walk() {
        for (message, error) in [
            (&[0x12, 0x05, b'h'][..], WireError::Truncated { missing: 4 }),
            (&[0x08][..], WireError::Truncated { missing: 1 }),
            (&[0x00, 0x01][..], WireError::Malformed),
            (&[0x0b][..], WireError::Malformed),
            (&[0xff; 11][..], WireError::Malformed),
        ] {
            let walked: Vec<_> = fields(message).collect();
            assert_eq!(walked, [Err(error)], "{message:?}");
        }
    }
}
