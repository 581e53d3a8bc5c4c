//! What the outline of a graph tells of its inputs and outputs. A shape that the file does not tell fits
//! everywhere.

use forewarn_models::admission::Port;

/// Numbers of `TensorProto.DataType`.
const WHOLE: [u64; 2] = [6, 7];
const STRING: u64 = 8;
/// What the outline says of an output that is no tensor: a map per row.
const NO_TENSOR: u64 = 0;

type Size = Option<u64>;

/// Sizes behind the batch; nothing when the file does not tell them.
fn row(port: &Port) -> Option<&[Size]> {
    port.shape.split_first().map(|(_, row)| row)
}

fn fits(size: Size, other: Size) -> bool {
    size.is_none() || other.is_none() || size == other
}

fn same(one: &[Size], other: &[Size]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| fits(*a, *b))
}

pub(super) fn is_map(port: &Port) -> bool {
    port.element == NO_TENSOR && port.shape.is_empty()
}

fn is_numbers(port: &Port) -> bool {
    port.element != STRING && port.element != NO_TENSOR
}

/// Whole numbers or text: a class rather than a measure.
fn is_name(port: &Port) -> bool {
    port.element == STRING || WHOLE.contains(&port.element)
}

/// One value per row.
fn is_single(port: &Port) -> bool {
    row(port).is_none_or(|row| matches!(row, [] | [None | Some(1)]))
}

/// One number per row.
pub(super) fn is_scalar(port: &Port) -> bool {
    is_numbers(port) && !is_name(port) && is_single(port)
}

/// Several numbers per row, or nobody knows how many.
pub(super) fn is_vector(port: &Port) -> bool {
    let several = |row: &[Size]| matches!(row, [None | Some(2..)]);
    is_numbers(port) && row(port).is_none_or(several)
}

/// One or several numbers per row.
pub(super) fn is_flat(port: &Port) -> bool {
    is_scalar(port) || is_vector(port)
}

/// A number for each of the input.
pub(super) fn is_like(port: &Port, input: &Port) -> bool {
    is_numbers(port)
        && match (row(port), row(input)) {
            (Some(own), Some(input)) => same(own, input),
            _ => true,
        }
}

/// A probability per class: a vector, a map, or that of the second of two classes.
pub(super) fn is_probabilities(port: &Port) -> bool {
    is_map(port) || is_flat(port) && !is_name(port)
}

/// The class alone.
pub(super) fn is_label(port: &Port) -> bool {
    is_name(port) && is_single(port)
}

/// Can the output be the new state of the input?
pub(super) fn is_state(output: &Port, input: &Port) -> bool {
    output.element == input.element && same(&output.shape, &input.shape)
}

/// Values per row of a vector; 1 of a scalar.
pub(super) fn width(port: &Port) -> Option<usize> {
    match row(port)? {
        [] => Some(1),
        [size] => size.and_then(|size| usize::try_from(size).ok()),
        _ => None,
    }
}

/// Size number `at` of a row.
pub(super) fn size(port: &Port, at: usize) -> Option<usize> {
    let size = *row(port)?.get(at)?;
    usize::try_from(size?).ok()
}
