//! The tensors that take features: which of them, in which shape and type, and how rows get there.
//!
//! ```text
//!   rows of L × F values, f32      [B, L, F]   as it is: no copy
//!                                  [B, F, L]   transposed
//!   several tensors                [B, L, n], [B, n], [B]   each with its own columns
//!   fixed batch                    [16, L, F]  the last row repeated until there are 16
//! ```
//!
//! Invariant: what a row becomes depends on that row only; rows that fill up a fixed batch are copies.
//!
//! Not here: states (`recurrent.rs`), element types (`element.rs`).

use std::borrow::Cow;

use ort::session::SessionInputValue;

use crate::contract::{Contract, Layout};
use crate::element::Element;
use crate::signature::{self, Signature, Tensor};

/// The fed tensors of a graph.
#[derive(Debug)]
pub(crate) struct Inputs {
    fed: Vec<Fed>,
    fixed_batch: Option<usize>,
    /// Features of a row as it is given.
    features: usize,
    /// Values of a given row: gathered rows × features.
    given: usize,
    /// How many of them the graph sees: its sequence length × features.
    seen: usize,
}

#[derive(Debug)]
struct Fed {
    name: String,
    element: Element,
    /// Places of its features in a row; `None`: all, as they are.
    columns: Option<Vec<usize>>,
    /// The tensor's shape without the batch.
    row_shape: Vec<usize>,
    layout: Layout,
}

impl Inputs {
    /// The tensors that the contract means.
    ///
    /// # Errors
    /// Everything in which the graph can't be fed as the contract says, each with its remedy.
    pub fn of(signature: &Signature, contract: &Contract) -> Result<Self, Vec<String>> {
        let tensors = fed_tensors(signature, contract)?;
        let mut problems: Vec<String> = unfed(signature, contract, &tensors).into_iter().collect();
        let mut fed = Vec::new();
        for (tensor, columns) in &tensors {
            match Fed::try_new(tensor, columns.clone(), contract) {
                Ok(one) => fed.push(one),
                Err(problem) => problems.push(problem),
            }
        }
        let fixed_batch = fixed_batch(&tensors).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let features = contract.features.len();
        Ok(Inputs {
            fed,
            fixed_batch,
            features,
            given: contract.input_len(),
            seen: contract.length() * features,
        })
    }

    /// Rows that every run must have; `None`: any number.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.fixed_batch
    }

    /// Features of a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Values of a row as it is given.
    pub fn row_len(&self) -> usize {
        self.given
    }

    /// The tensors of a run over `input`, whole rows of [`Self::row_len`] values.
    pub fn tensors<'v>(
        &'v self,
        input: &'v [f32],
    ) -> impl Iterator<Item = Result<(&'v str, SessionInputValue<'v>), ort::Error>> {
        let batch = self.fixed_batch.unwrap_or(input.len() / self.given);
        self.fed.iter().map(move |fed| {
            let mut shape = vec![batch];
            shape.extend_from_slice(&fed.row_shape);
            let values = self.values(fed, input, batch);
            Ok((fed.name.as_str(), fed.element.tensor(shape, values)?))
        })
    }

    fn values<'v>(&self, fed: &Fed, input: &'v [f32], batch: usize) -> Cow<'v, [f32]> {
        let as_it_is = fed.columns.is_none() && fed.layout == Layout::RowsFirst;
        if as_it_is && self.given == self.seen && input.len() == batch * self.given {
            return Cow::Borrowed(input);
        }
        let mut values = Vec::with_capacity(batch * self.seen);
        let rows = input.chunks_exact(self.given);
        let last = input.len() / self.given - 1;
        let filled = rows.clone().chain(rows.skip(last).cycle()).take(batch);
        for row in filled {
            fed.take(&row[..self.seen], self.features, &mut values);
        }
        Cow::Owned(values)
    }

    /// Do all tensors take any f32?
    pub fn take_all(&self) -> bool {
        let all = |fed: &Fed| matches!(fed.element, Element::F32 | Element::F64);
        self.fed.iter().all(all)
    }

    /// Can the values of a given row be converted to what their tensors hold?
    pub fn hold(&self, row: &[f32]) -> bool {
        self.fed.iter().all(|fed| {
            let held = |value: &f32| fed.element.holds(*value);
            match &fed.columns {
                None => row[..self.seen].iter().all(held),
                Some(columns) => row[..self.seen]
                    .chunks_exact(self.features)
                    .all(|row| columns.iter().all(|column| held(&row[*column]))),
            }
        })
    }

    /// Features that go into tensors of integers.
    pub fn integer_features(&self) -> impl Iterator<Item = usize> {
        let integers = self.fed.iter().filter(|fed| fed.element.is_integer());
        integers.flat_map(|fed| {
            let all = || (0..self.features).collect();
            fed.columns.clone().unwrap_or_else(all)
        })
    }
}

impl Fed {
    fn try_new(
        tensor: &Tensor,
        columns: Option<Vec<usize>>,
        contract: &Contract,
    ) -> Result<Self, String> {
        let width = columns.as_ref().map_or(contract.features.len(), Vec::len);
        let wanted = input_shapes(contract, width);
        if !tensor.element.takes_numbers() {
            return Err(format!(
                "input {tensor} must be f32, f64, f16, i64 or i32: add a Cast at the front of the graph"
            ));
        }
        if let Some(shapes) = signature::misfit(&tensor.shape, &wanted) {
            return Err(format!(
                "input {tensor} does not fit the contract, which means {shapes} ({width} features, sequence length {}): \
                 correct forewarn.features or forewarn.sequence-length, or export the graph again",
                contract.length()
            ));
        }
        // A shape that is not told is taken to be the usual one.
        let shape = wanted
            .iter()
            .find(|shape| signature::misfit(&tensor.shape, std::slice::from_ref(*shape)).is_none());
        let row_shape = shape.map_or(&[][..], |shape| &shape[1..]);
        Ok(Fed {
            name: tensor.name.clone(),
            element: tensor.element.clone(),
            columns,
            row_shape: row_shape
                .iter()
                .map(|dim| dim.unsigned_abs() as usize)
                .collect(),
            layout: contract.layout,
        })
    }

    /// Appends what the tensor takes of one row, `row` being L rows of `features` values.
    fn take(&self, row: &[f32], features: usize, values: &mut Vec<f32>) {
        let width = self.columns.as_ref().map_or(features, Vec::len);
        let column = |i: usize| self.columns.as_ref().map_or(i, |columns| columns[i]);
        match self.layout {
            Layout::RowsFirst => {
                for step in row.chunks_exact(features) {
                    values.extend((0..width).map(|i| step[column(i)]));
                }
            }
            Layout::FeaturesFirst => {
                for i in 0..width {
                    values.extend(row.chunks_exact(features).map(|step| step[column(i)]));
                }
            }
        }
    }
}

/// Shapes that hold `width` features of each row, the usual one first; -1 is the batch. One row of a
/// recurrent model may be a sequence of one; a sequence may lie in one flat row, as models for tables take it.
pub(crate) fn input_shapes(contract: &Contract, width: usize) -> Vec<Vec<i64>> {
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    let (length, width) = (size(contract.length()), size(width));
    let mut shapes = match (contract.sequence, contract.layout) {
        (Some(_), Layout::RowsFirst) => vec![vec![-1, length, width], vec![-1, length * width]],
        (Some(_), Layout::FeaturesFirst) => vec![vec![-1, width, length], vec![-1, length * width]],
        (None, _) if contract.is_recurrent() => vec![vec![-1, width], vec![-1, 1, width]],
        (None, _) => vec![vec![-1, width]],
    };
    if contract.sequence.is_none() && width == 1 {
        shapes.push(vec![-1]);
    }
    shapes
}

/// A tensor and the places of its features in a row; no places: all features.
type Feeding<'a> = (&'a Tensor, Option<Vec<usize>>);

fn fed_tensors<'a>(
    signature: &'a Signature,
    contract: &Contract,
) -> Result<Vec<Feeding<'a>>, Vec<String>> {
    if contract.inputs.is_empty() {
        let only = only_input(signature, contract).map_err(|problem| vec![problem])?;
        return Ok(vec![(only, None)]);
    }
    let place = |name: &String| contract.features.iter().position(|known| known == name);
    let mut tensors = Vec::new();
    let mut problems = Vec::new();
    for fed in &contract.inputs {
        let columns = fed.features.iter().filter_map(place).collect();
        match named(
            signature,
            contract,
            &format!("input.{}", fed.tensor),
            &fed.tensor,
        ) {
            Ok(tensor) => tensors.push((tensor, Some(columns))),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(tensors)
    } else {
        Err(problems)
    }
}

/// The input tensor that takes all features: the one that the contract names, or the only one that is no
/// state.
fn only_input<'a>(signature: &'a Signature, contract: &Contract) -> Result<&'a Tensor, String> {
    if let Some(name) = &contract.input {
        return named(signature, contract, "input", name);
    }
    let mut others = signature
        .inputs
        .iter()
        .filter(|input| !is_state(input, contract));
    match (others.next(), others.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(format!(
            "the graph has {} inputs ({}): name the one that takes the features in forewarn.input, or what \
             each takes as forewarn.input.<tensor> = [features], and each state as \
             forewarn.state.<input> = <output>",
            signature.inputs.len(),
            signature::names(&signature.inputs)
        )),
    }
}

fn named<'a>(
    signature: &'a Signature,
    contract: &Contract,
    key: &str,
    name: &str,
) -> Result<&'a Tensor, String> {
    if contract.state.iter().any(|pair| pair.input == name) {
        return Err(format!(
            "forewarn.{key} names {name}, which forewarn.state.{name} calls a state: drop one of the two"
        ));
    }
    let found = signature.inputs.iter().find(|input| input.name == name);
    found.ok_or_else(|| {
        format!(
            "forewarn.{key} names {name}, but the graph's inputs are {}: name one of them",
            signature::names(&signature.inputs)
        )
    })
}

fn unfed(signature: &Signature, contract: &Contract, fed: &[Feeding<'_>]) -> Option<String> {
    let is_fed = |input: &Tensor| fed.iter().any(|(tensor, _)| tensor.name == input.name);
    let unfed = |input: &&Tensor| !is_fed(input) && !is_state(input, contract);
    let left: Vec<Tensor> = signature.inputs.iter().filter(unfed).cloned().collect();
    let fed: Vec<&str> = fed.iter().map(|(tensor, _)| tensor.name.as_str()).collect();
    (!left.is_empty()).then(|| {
        format!(
            "the graph also needs {}: only the features ({}) and states can be fed; name what it takes as \
             forewarn.input.<tensor> = [features], or a state as forewarn.state.<input> = <output>",
            signature::names(&left),
            fed.join(", ")
        )
    })
}

fn is_state(input: &Tensor, contract: &Contract) -> bool {
    contract.state.iter().any(|pair| pair.input == input.name)
}

/// The batch that the first dimensions fix, if any: the same for all tensors that do.
fn fixed_batch(tensors: &[Feeding<'_>]) -> Result<Option<usize>, String> {
    let mut fixed = tensors.iter().filter_map(|(tensor, _)| {
        let first = *tensor.shape.first()?;
        Some((tensor, usize::try_from(first).ok()?))
    });
    let Some((tensor, batch)) = fixed.next() else {
        return Ok(None);
    };
    if let Some((other, _)) = fixed.find(|(_, size)| *size != batch) {
        return Err(format!(
            "inputs {tensor} and {other} have different fixed batches: export the graph again with one dynamic batch"
        ));
    }
    if batch == 0 {
        return Err(format!(
            "input {tensor} has a batch of no rows: export it with a dynamic first dimension"
        ));
    }
    Ok(Some(batch))
}
