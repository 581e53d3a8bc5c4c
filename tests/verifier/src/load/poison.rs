//! Messages that are no readings, or strange ones.

use super::plan::Message;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    NotJson,
    Truncated,
    WrongTypes,
    NaN,
    Large,
    InvalidUtf8,
    NoKey,
    InvalidKey,
    Tombstone,
    Empty,
    DeepNesting,
    DeepNestingBeside,
    HugeNumbers,
    ManyDigits,
    Repeated,
    FarFuture,
}

impl Poison {
    pub const ALL: [Poison; 16] = [
        Poison::NotJson,
        Poison::Truncated,
        Poison::WrongTypes,
        Poison::NaN,
        Poison::Large,
        Poison::InvalidUtf8,
        Poison::NoKey,
        Poison::InvalidKey,
        Poison::Tombstone,
        Poison::Empty,
        Poison::DeepNesting,
        Poison::DeepNestingBeside,
        Poison::HugeNumbers,
        Poison::ManyDigits,
        Poison::Repeated,
        Poison::FarFuture,
    ];
}

/// Beyond the default `message.max.bytes` of brokers and clients, which are 1 MB.
const LARGE: usize = 10 << 20;
/// Deeper than any stack.
const DEEP: usize = 200_000;

/// Is it beyond the defaults?
pub fn is_large(message: &Message) -> bool {
    let payload = message.payload.as_ref();
    payload.is_some_and(|payload| payload.len() >= LARGE)
}

/// A message of the kind under the name of `asset`, for the instant `at` in milliseconds.
pub fn message(poison: Poison, asset: &str, at: u64, chance: u64) -> Message {
    let good = format!("{{\"t\":{at},\"n\":0,\"a\":1,\"b\":1}}");
    let with =
        |field: &str| format!("{{\"t\":{at},\"n\":0,\"a\":1,\"b\":1,\"x\":{field}}}").into_bytes();
    let nested = || "[".repeat(DEEP) + &"]".repeat(DEEP);
    let payload: Option<Vec<u8>> = match poison {
        Poison::NotJson => Some(b"<html>".to_vec()),
        Poison::Truncated => Some(good.as_bytes()[..good.len() - 2].to_vec()),
        Poison::WrongTypes => {
            Some(format!("{{\"t\":{at},\"n\":\"0\",\"a\":[1],\"b\":true}}").into())
        }
        Poison::NaN => Some(format!("{{\"t\":{at},\"n\":0,\"a\":NaN,\"b\":1}}").into()),
        Poison::Large => Some(with(&format!("\"{}\"", "x".repeat(LARGE)))),
        Poison::InvalidUtf8 => Some([b"{\"t\":\xff\xfe".as_slice(), good.as_bytes()].concat()),
        Poison::Tombstone => None,
        Poison::Empty => Some(Vec::new()),
        Poison::DeepNesting => Some(nested().into_bytes()),
        Poison::DeepNestingBeside => Some(with(&nested())),
        Poison::HugeNumbers => {
            Some(format!("{{\"t\":{at},\"n\":0,\"a\":1e300,\"b\":-1e999}}").into())
        }
        Poison::ManyDigits => {
            let digits = "9".repeat(100_000);
            Some(format!("{{\"t\":{at},\"n\":0,\"a\":{digits},\"b\":0.{digits}}}").into())
        }
        Poison::Repeated => Some(format!("{{\"t\":{at},\"a\":1,\"n\":0,\"a\":2,\"b\":1}}").into()),
        Poison::FarFuture => {
            Some(format!("{{\"t\":{},\"n\":0,\"a\":1,\"b\":1}}", u64::MAX / 2).into())
        }
        Poison::NoKey | Poison::InvalidKey => Some(good.into_bytes()),
    };
    let key = match poison {
        Poison::NoKey => None,
        Poison::InvalidKey => Some(b"asset-\xff\xfe".to_vec()),
        _ => Some(asset.as_bytes().to_vec()),
    };
    Message {
        partition: key.is_none().then_some(chance),
        key,
        payload,
        is_poison: true,
    }
}
