//! The outputs that a task is judged by: which of them, in which shape and type, and their values row by row.
//!
//! Invariant: an output of another size than the contract means is an error, never cut or filled.
//!
//! Not here: what the values mean (`verdict.rs`), new states (`recurrent.rs`).

mod classes;
mod values;

use std::borrow::Cow;

use classes::{Classes, Unknown};
use ort::session::SessionOutputs;
use ort::value::DynValue;
pub(crate) use values::{Values, numbers};

use crate::contract::{Contract, Form, Layout};
use crate::element::Element;
use crate::inputs::input_shapes;
use crate::scorer::ScoreError;
use crate::signature::{self, Signature, Tensor};

/// All outputs that a contract names; no other output is looked at.
#[derive(Debug)]
pub(crate) struct Outputs {
    read: Vec<Read>,
    fixed_batch: Option<usize>,
}

#[derive(Debug)]
struct Read {
    name: String,
    element: Element,
    width: Width,
    /// L × F, where they have to change places.
    transposed: Option<(usize, usize)>,
    /// Of classifications: what the graph calls the classes.
    classes: Classes,
    probabilities: bool,
}

/// How many values each row has.
#[derive(Debug, Clone, Copy)]
enum Width {
    Exactly(usize),
    /// One probability, or one per class.
    OneOrBoth,
    /// The first run tells.
    Any,
}

impl Outputs {
    /// The outputs that the contract means.
    ///
    /// # Errors
    /// Everything in which they do not fit, each with its remedy.
    pub fn of(
        signature: &Signature,
        contract: &Contract,
        fixed_batch: Option<usize>,
    ) -> Result<Self, Vec<String>> {
        let (mut read, mut problems) = (Vec::new(), Vec::new());
        for judged in contract.task.outputs() {
            let found = signature.outputs.iter().find(|o| o.name == judged.name);
            let one = match found {
                Some(tensor) => Read::try_new(tensor, judged.form, contract),
                None => Err(format!(
                    "the contract's output {} is not in the graph; its outputs are {}: name one of them",
                    judged.name,
                    signature::names(&signature.outputs)
                )),
            };
            match one {
                Ok(one) => read.push(one),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(Outputs { read, fixed_batch })
        } else {
            Err(problems)
        }
    }

    /// How many values a row has of each output; 0: no run has told it yet.
    pub fn widths(&self) -> Vec<usize> {
        let width = |read: &Read| match read.width {
            Width::Exactly(width) => width,
            Width::OneOrBoth | Width::Any => 0,
        };
        self.read.iter().map(width).collect()
    }

    /// Looks at what made-up rows gave: what is far outside 0 and 1 is no probability.
    pub fn check_probabilities(&self, outputs: &[Vec<f64>]) -> Result<(), ScoreError> {
        let probabilities = self.read.iter().zip(outputs);
        for (read, values) in probabilities.filter(|(read, _)| read.probabilities) {
            let is_none = |value: &&f64| value.is_finite() && !(-0.01..=1.01).contains(*value);
            if let Some(value) = values.iter().find(is_none) {
                return Err(ScoreError::NoProbability {
                    output: read.name.clone(),
                    value: *value,
                });
            }
        }
        Ok(())
    }

    /// The values of `rows` rows, in the order of [`crate::contract::Task::outputs`]. What filled up a
    /// fixed batch is dropped.
    pub fn read<'o>(
        &mut self,
        outputs: &'o SessionOutputs<'_>,
        rows: usize,
    ) -> Result<Vec<Values<'o>>, ScoreError> {
        let batch = self.fixed_batch.unwrap_or(rows);
        let read = self.read.iter_mut();
        read.map(|read| read.values(&outputs[read.name.as_str()], rows, batch))
            .collect()
    }
}

impl Read {
    fn try_new(tensor: &Tensor, form: Form<'_>, contract: &Contract) -> Result<Self, String> {
        let (element, is_class) = (&tensor.element, matches!(form, Form::Label(_)));
        let maps = matches!(form, Form::Probabilities(_));
        let readable = element.gives_numbers()
            || (maps && element.is_map())
            || (is_class && *element == Element::Text);
        if !readable {
            return Err(format!(
                "output {tensor} can't be read for the task {}: it must hold numbers (f32, f64, f16, i64, i32, \
                 bool){}; add a Cast at the end of the graph, or name another output",
                contract.task.name(),
                if is_class { " or text" } else { "" }
            ));
        }
        let wanted = output_shapes(form, contract, tensor);
        if let Some(shapes) = signature::misfit(&tensor.shape, &wanted)
            && !wanted.is_empty()
        {
            return Err(format!(
                "output {tensor} does not fit the task {}, which means {shapes}: \
                 name another output, or export the graph again",
                contract.task.name()
            ));
        }
        Ok(Read {
            name: tensor.name.clone(),
            element: element.clone(),
            width: Width::of(form, contract),
            transposed: (form == Form::LikeInput && contract.layout == Layout::FeaturesFirst)
                .then_some((contract.length(), contract.features.len())),
            classes: Classes::of(form, element),
            probabilities: maps,
        })
    }

    fn values<'o>(
        &mut self,
        value: &'o DynValue,
        rows: usize,
        batch: usize,
    ) -> Result<Values<'o>, ScoreError> {
        let failed = |source| ScoreError::Run { rows, source };
        let unknown = |Unknown(label)| ScoreError::UnknownClass {
            output: self.name.clone(),
            label,
        };
        let places = |places: Vec<f64>| Values::F64(Cow::Owned(places));
        let mut values = match &self.element {
            element if element.is_map() => {
                let classes = &self.classes;
                places(classes.probabilities(value, element, failed, unknown)?)
            }
            Element::Text => {
                let (_, labels) = value.try_extract_strings().map_err(failed)?;
                let named = labels.iter().map(|label| self.classes.named(label));
                let named = named.map(|place| Ok(place.map_err(unknown)? as f64));
                places(named.collect::<Result<_, ScoreError>>()?)
            }
            element if self.classes.is_none() => numbers(value, element).map_err(failed)?,
            element => {
                let labels = numbers(value, element).map_err(failed)?;
                let numbered = labels.iter().map(|label| self.classes.numbered(label));
                let numbered = numbered.map(|place| Ok(place.map_err(unknown)? as f64));
                places(numbered.collect::<Result<_, ScoreError>>()?)
            }
        };
        self.check_size(values.len(), batch)?;
        values.truncate(values.len() / batch * rows);
        if let Some((length, features)) = self.transposed {
            values.transpose(length, features);
        }
        Ok(values)
    }

    fn check_size(&mut self, actual: usize, batch: usize) -> Result<(), ScoreError> {
        let expected = match self.width {
            Width::Exactly(width) => batch * width,
            Width::OneOrBoth if actual == batch => batch,
            Width::OneOrBoth => 2 * batch,
            Width::Any => actual / batch * batch,
        };
        if actual == expected && actual > 0 {
            self.width = Width::Exactly(actual / batch);
            return Ok(());
        }
        Err(ScoreError::OutputSize {
            output: self.name.clone(),
            actual,
            expected,
            rows: batch,
        })
    }
}

impl Width {
    fn of(form: Form<'_>, contract: &Contract) -> Self {
        match form {
            Form::Scalar | Form::Label(_) => Width::Exactly(1),
            Form::Vector(width) => Width::Exactly(width),
            Form::LikeInput => Width::Exactly(contract.length() * contract.features.len()),
            Form::Probabilities([_, _]) => Width::OneOrBoth,
            Form::Probabilities(classes) => Width::Exactly(classes.len()),
            Form::Free => Width::Any,
        }
    }
}

/// Shapes that an output may have, -1 being the batch; none: any.
fn output_shapes(form: Form<'_>, contract: &Contract, tensor: &Tensor) -> Vec<Vec<i64>> {
    let scalar = || {
        let mut shapes = vec![vec![-1], vec![-1, 1], vec![-1, 1, 1]];
        // The batch may be the second dimension only of a tensor that says so: [B,5] is no [1,B].
        if tensor.shape.first() == Some(&1) {
            shapes.push(vec![1, -1]);
        }
        shapes
    };
    let vector = |width: usize| {
        let width = i64::try_from(width).unwrap_or(i64::MAX);
        vec![vec![-1, width], vec![-1, 1, width]]
    };
    match form {
        Form::Scalar | Form::Label(_) | Form::Vector(1) => scalar(),
        Form::Vector(width) => vector(width),
        Form::LikeInput => input_shapes(contract, contract.features.len()),
        Form::Probabilities(classes @ [_, _]) => [vector(classes.len()), scalar()].concat(),
        Form::Probabilities(classes) => vector(classes.len()),
        Form::Free => Vec::new(),
    }
}
