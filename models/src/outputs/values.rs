//! The values of one output of a run.
//!
//! Invariant: f32 and f64 are not copied, and nothing is rounded: f16 becomes f32, integers become f64, which
//! is exact up to 2^53.

use std::borrow::Cow;

use half::f16;
use ort::value::DynValue;

use crate::element::Element;

/// The values of one output, as many for each row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values<'o> {
    F32(Cow<'o, [f32]>),
    F64(Cow<'o, [f64]>),
}

impl Values<'_> {
    pub fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
        }
    }

    pub fn iter(&self) -> Box<dyn Iterator<Item = f64> + '_> {
        match self {
            Values::F32(values) => Box::new(values.iter().map(|value| f64::from(*value))),
            Values::F64(values) => Box::new(values.iter().copied()),
        }
    }

    pub(super) fn truncate(&mut self, len: usize) {
        fn cut<T: Clone>(values: &mut Cow<'_, [T]>, len: usize) {
            match values {
                Cow::Borrowed(values) => *values = &values[..len],
                Cow::Owned(values) => values.truncate(len),
            }
        }
        match self {
            Values::F32(values) => cut(values, len),
            Values::F64(values) => cut(values, len),
        }
    }

    /// Rows of features × length into rows of length × features.
    pub(super) fn transpose(&mut self, length: usize, features: usize) {
        fn turn<T: Copy>(values: &[T], length: usize, features: usize) -> Vec<T> {
            let rows = values.chunks_exact(length * features);
            let turned = rows.flat_map(|row| {
                let places = (0..length).flat_map(move |l| (0..features).map(move |f| (l, f)));
                places.map(move |(l, f)| row[f * length + l])
            });
            turned.collect()
        }
        match self {
            Values::F32(values) => *values = Cow::Owned(turn(values, length, features)),
            Values::F64(values) => *values = Cow::Owned(turn(values, length, features)),
        }
    }
}

/// The numbers of a tensor.
pub(crate) fn numbers<'o>(
    value: &'o DynValue,
    element: &Element,
) -> Result<Values<'o>, ort::Error> {
    fn f64s<'o, T: Copy>(values: &[T], into: impl Fn(T) -> f64) -> Values<'o> {
        Values::F64(values.iter().map(|value| into(*value)).collect())
    }
    Ok(match element {
        Element::F16 => {
            let (_, values) = value.try_extract_tensor::<f16>()?;
            Values::F32(values.iter().map(|value| value.to_f32()).collect())
        }
        Element::F64 => Values::F64(Cow::Borrowed(value.try_extract_tensor::<f64>()?.1)),
        Element::I64 => f64s(value.try_extract_tensor::<i64>()?.1, |value| value as f64),
        Element::I32 => f64s(value.try_extract_tensor::<i32>()?.1, f64::from),
        Element::Bool => f64s(value.try_extract_tensor::<bool>()?.1, |value| {
            f64::from(u8::from(value))
        }),
        _ => Values::F32(Cow::Borrowed(value.try_extract_tensor::<f32>()?.1)),
    })
}
