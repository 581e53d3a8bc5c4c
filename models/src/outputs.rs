//! The outputs that a task is judged by: which of them, in which shape and type, and their values row by row.
//!
//! Invariant: reading moves values and never rounds one. f32 is not copied; f16 becomes f32, integers become
//! f64, which is exact up to 2^53.
//!
//! Not here: what the values mean (`verdict.rs`), new states (`recurrent.rs`).

use std::borrow::Cow;

use half::f16;
use ort::session::SessionOutputs;
use ort::value::{DynMap, DynValue};

use crate::contract::{Contract, Form, Layout};
use crate::element::Element;
use crate::inputs::input_shapes;
use crate::scorer::ScoreError;
use crate::signature::{self, Signature, Tensor};

/// The values of one output, as many for each row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values<'o> {
    F32(Cow<'o, [f32]>),
    F64(Cow<'o, [f64]>),
}

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
    /// Of classifications: what the classes are called.
    classes: Classes,
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

/// How a graph calls the classes.
#[derive(Debug)]
enum Classes {
    None,
    Names(Vec<String>),
    Numbers(Vec<i64>),
    /// By their places, this many.
    Places(usize),
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
        })
    }

    fn values<'o>(
        &mut self,
        value: &'o DynValue,
        rows: usize,
        batch: usize,
    ) -> Result<Values<'o>, ScoreError> {
        let failed = |source| ScoreError::Run { rows, source };
        let mut values = match &self.element {
            element if element.is_map() => self.probabilities(value, batch)?,
            Element::Text => {
                let (_, labels) = value.try_extract_strings().map_err(failed)?;
                let places: Result<Vec<f64>, ScoreError> =
                    labels.iter().map(|label| self.named_place(label)).collect();
                Values::F64(Cow::Owned(places?))
            }
            element => numbers(value, element).map_err(failed)?,
        };
        self.check_size(values.len(), batch)?;
        values.truncate(values.len() / batch * rows);
        if let Some((length, features)) = self.transposed {
            values.transpose(length, features);
        }
        if !self.element.is_map() && self.element != Element::Text {
            self.to_places(&mut values)?;
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

    /// A map from classes to probabilities for each row.
    fn probabilities<'o>(&self, value: &DynValue, batch: usize) -> Result<Values<'o>, ScoreError> {
        let rows = batch;
        let failed = |source| ScoreError::Run { rows, source };
        let maps = value.try_extract_sequence::<ort::value::DynMapValueType>();
        let mut values = Vec::new();
        for map in maps.map_err(failed)? {
            let start = values.len();
            // A class that the map leaves out would be a verdict on nothing.
            values.resize(start + self.classes.len(), f64::NAN);
            for (place, probability) in self.entries(&map, rows)? {
                values[start + place as usize] = f64::from(probability);
            }
        }
        Ok(Values::F64(Cow::Owned(values)))
    }

    fn entries(&self, map: &DynMap, rows: usize) -> Result<Vec<(f64, f32)>, ScoreError> {
        let failed = |source| ScoreError::Run { rows, source };
        if self.element == Element::MapOfTexts {
            let pairs = map
                .try_extract_key_values::<String, f32>()
                .map_err(failed)?;
            let pairs = pairs.into_iter();
            return pairs
                .map(|(key, p)| Ok((self.named_place(&key)?, p)))
                .collect();
        }
        let pairs = map.try_extract_key_values::<i64, f32>().map_err(failed)?;
        let pairs = pairs.into_iter();
        pairs
            .map(|(key, p)| Ok((self.numbered_place(key as f64)?, p)))
            .collect()
    }

    /// Labels that are numbers, into places of classes.
    fn to_places(&self, values: &mut Values<'_>) -> Result<(), ScoreError> {
        if matches!(self.classes, Classes::None) {
            return Ok(());
        }
        let places: Result<Vec<f64>, ScoreError> = values
            .iter()
            .map(|label| self.numbered_place(label))
            .collect();
        *values = Values::F64(Cow::Owned(places?));
        Ok(())
    }

    fn named_place(&self, label: &str) -> Result<f64, ScoreError> {
        let place = match &self.classes {
            Classes::Names(names) => names.iter().position(|name| name == label),
            _ => None,
        };
        self.known(place, label)
    }

    fn numbered_place(&self, label: f64) -> Result<f64, ScoreError> {
        let place = match &self.classes {
            Classes::Numbers(numbers) => numbers.iter().position(|number| *number as f64 == label),
            Classes::Places(count) => (0..*count).find(|place| *place as f64 == label),
            _ => None,
        };
        self.known(place, &label.to_string())
    }

    fn known(&self, place: Option<usize>, label: &str) -> Result<f64, ScoreError> {
        place
            .map(|place| place as f64)
            .ok_or_else(|| ScoreError::UnknownClass {
                output: self.name.clone(),
                label: label.to_owned(),
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

impl Classes {
    /// Probabilities in a tensor stand in the order of the classes and need no name.
    fn of(form: Form<'_>, element: &Element) -> Self {
        let names = match form {
            Form::Label(names) => names,
            Form::Probabilities(names) if element.is_map() => names,
            _ => return Classes::None,
        };
        if matches!(element, Element::Text | Element::MapOfTexts) {
            return Classes::Names(names.to_vec());
        }
        let numbers: Result<Vec<i64>, _> = names.iter().map(|name| name.parse()).collect();
        numbers.map_or(Classes::Places(names.len()), Classes::Numbers)
    }

    fn len(&self) -> usize {
        match self {
            Classes::None => 0,
            Classes::Names(names) => names.len(),
            Classes::Numbers(numbers) => numbers.len(),
            Classes::Places(count) => *count,
        }
    }
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

    fn truncate(&mut self, len: usize) {
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
    fn transpose(&mut self, length: usize, features: usize) {
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
