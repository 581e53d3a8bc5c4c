//! The element types of tensors, and how rows of f32 become them.
//!
//! Invariants:
//! - rows of f32 go into f32 tensors without a copy;
//! - a value that an element type can't hold is told ([`Element::holds`]), never passed on as another one.
//!
//! Not here: which values go into which tensor (`inputs.rs`), reading outputs (`outputs.rs`).

use std::borrow::Cow;
use std::fmt;

use half::f16;
use ort::session::SessionInputValue;
use ort::value::{PrimitiveTensorElementType, Tensor, TensorElementType, TensorRef, ValueType};

/// What a tensor holds, as far as this crate reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    F32,
    F64,
    F16,
    I64,
    I32,
    Bool,
    Text,
    /// A sequence with a map per row, from classes by number or by name to probabilities (ZipMap).
    MapOfNumbers,
    MapOfTexts,
    /// Anything else, in ONNX Runtime's words.
    Other(String),
}

impl Element {
    pub(crate) fn of(value: &ValueType) -> Self {
        match value {
            ValueType::Tensor { ty, .. } => match ty {
                TensorElementType::Float32 => Element::F32,
                TensorElementType::Float64 => Element::F64,
                TensorElementType::Float16 => Element::F16,
                TensorElementType::Int64 => Element::I64,
                TensorElementType::Int32 => Element::I32,
                TensorElementType::Bool => Element::Bool,
                TensorElementType::String => Element::Text,
                other => Element::Other(other.to_string()),
            },
            ValueType::Sequence(inner) => match **inner {
                ValueType::Map {
                    key: TensorElementType::Int64,
                    value: TensorElementType::Float32,
                } => Element::MapOfNumbers,
                ValueType::Map {
                    key: TensorElementType::String,
                    value: TensorElementType::Float32,
                } => Element::MapOfTexts,
                _ => Element::Other(value.to_string()),
            },
            other => Element::Other(other.to_string()),
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self, Element::MapOfNumbers | Element::MapOfTexts)
    }

    /// Can feature rows be converted to it?
    pub(crate) fn takes_numbers(&self) -> bool {
        matches!(
            self,
            Element::F32 | Element::F64 | Element::F16 | Element::I64 | Element::I32
        )
    }

    /// Can it be read as numbers?
    pub(crate) fn gives_numbers(&self) -> bool {
        self.takes_numbers() || *self == Element::Bool
    }

    pub(crate) fn is_integer(&self) -> bool {
        matches!(self, Element::I64 | Element::I32)
    }

    /// Is `value` within the range? Of f64 and f32 every value is, also one that is not finite: that is
    /// the model's to judge.
    pub(crate) fn holds(&self, value: f32) -> bool {
        match self {
            Element::F16 => f16::from_f32(value).is_finite(),
            // The largest f32 below 2^63 and 2^31; beyond them a cast would clamp.
            Element::I64 => value.abs() < 9.223_372e18,
            Element::I32 => value.abs() < 2_147_483_648.0,
            _ => true,
        }
    }

    /// A tensor of this type. Integers are the nearest ones, halves going to the even one.
    pub(crate) fn tensor<'v>(
        &self,
        shape: Vec<usize>,
        values: Cow<'v, [f32]>,
    ) -> Result<SessionInputValue<'v>, ort::Error> {
        match self {
            Element::F64 => convert(shape, &values, f64::from),
            Element::F16 => convert(shape, &values, f16::from_f32),
            Element::I64 => convert(shape, &values, |value| value.round_ties_even() as i64),
            Element::I32 => convert(shape, &values, |value| value.round_ties_even() as i32),
            _ => match values {
                Cow::Borrowed(values) => Ok(TensorRef::from_array_view((shape, values))?.into()),
                Cow::Owned(values) => Ok(Tensor::from_array((shape, values))?.into()),
            },
        }
    }
}

fn convert<'v, T: PrimitiveTensorElementType + fmt::Debug + Clone + 'static>(
    shape: Vec<usize>,
    values: &[f32],
    into: impl Fn(f32) -> T,
) -> Result<SessionInputValue<'v>, ort::Error> {
    let values: Vec<T> = values.iter().map(|value| into(*value)).collect();
    Ok(Tensor::from_array((shape, values))?.into())
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Element::F32 => "f32",
            Element::F64 => "f64",
            Element::F16 => "f16",
            Element::I64 => "i64",
            Element::I32 => "i32",
            Element::Bool => "bool",
            Element::Text => "string",
            Element::MapOfNumbers => "sequence of maps from i64 to f32",
            Element::MapOfTexts => "sequence of maps from string to f32",
            Element::Other(name) => name,
        })
    }
}
