//! One ONNX Runtime session: a batch of inputs in, the judged output of the graph out, and for recurrent
//! models the state of each row in and out.
//!
//! Invariants:
//! - the scores and the state of a row do not depend on the rows that share its batch. Matrix kernels may
//!   break this by adding in another order for another batch size; [`Scorer::probe`] looks, and a graph
//!   that fails is run one row at a time from then on (slow, and the same numbers);
//! - one thread: parallelism is one scorer per worker.
//!
//! Not here: what the numbers mean (`verdict.rs`), how a state lies in the graph's tensors (`recurrent.rs`).

use std::path::Path;

use ndarray::ArrayViewD;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;

use crate::contract::{Contract, Task};
use crate::recurrent::States;
use crate::runtime::Runtime;
use crate::signature::Signature;

/// Rows per session run. An LSTM of 64 over 30 steps is fastest between 16 and 256 rows; at 4,096 its
/// buffers leave the cache and it loses a quarter.
const MAX_BATCH: usize = 256;

/// Batch sizes that the probe compares with a batch of one: the kernels' vector widths and a remainder.
const PROBE_BATCHES: [usize; 4] = [2, 7, 16, 33];

#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    #[error("the graph failed on {rows} rows: {source}")]
    Run { rows: usize, source: ort::Error },
    #[error("output {output} has {actual} values for {rows} rows, expected {expected}")]
    OutputSize {
        output: String,
        actual: usize,
        expected: usize,
        rows: usize,
    },
    #[error(
        "there are {actual} values of state for {rows} rows, expected {expected}: a recurrent model is scored with the state of each row, others with none"
    )]
    StateSize {
        actual: usize,
        expected: usize,
        rows: usize,
    },
}

/// A loaded graph, ready to score batches.
#[derive(Debug)]
pub struct Scorer {
    session: Session,
    signature: Signature,
    input: String,
    output: String,
    /// `[L, F]`, `[1, F]` or `[F]`: the shape of one row of the batch.
    row_shape: Vec<usize>,
    /// Values of the judged output per row.
    per_row: usize,
    states: States,
    max_batch: usize,
    /// Per row of a run, whether its state may be kept; empty without state.
    finite: Vec<bool>,
}

/// One run of the graph, to be judged while the graph still holds its output.
#[derive(Debug)]
pub struct Run<'a> {
    /// The rows that were scored.
    pub input: &'a [f32],
    /// The values of the judged output, row by row.
    pub output: &'a [f32],
    /// Of a recurrent model, for each row: are its input and its new state finite? Rows that the judge
    /// clears keep their old state. Empty for other models.
    pub finite: &'a mut [bool],
}

impl Scorer {
    /// Opens a graph. The contract is not compared yet: see [`Signature::problems`].
    ///
    /// # Errors
    /// ONNX Runtime's message, when it can't load the file.
    pub fn open(runtime: &Runtime, onnx: &Path) -> Result<Session, ort::Error> {
        Session::builder(runtime.environment())?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            // A worker that waits for Kafka must not burn a core.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_deterministic_compute(true)?
            .commit_from_file(onnx)
    }

    /// Makes a session of a graph that fits its contract ready.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(session: Session, contract: &Contract) -> Result<Self, Vec<String>> {
        let signature = Signature::of(&session);
        let input = signature.input(contract).map_err(|problem| vec![problem])?;
        let features = contract.features.len();
        let row_shape = match contract.sequence {
            Some(sequence) => vec![sequence.length, features],
            None if input.shape.len() == 3 => vec![1, features],
            None => vec![features],
        };
        Ok(Scorer {
            input: input.name.clone(),
            output: contract.task.output().to_owned(),
            per_row: match contract.task {
                Task::Anomaly { .. } => row_shape.iter().product(),
                Task::Rul { .. } => 1,
            },
            row_shape,
            states: States::of(&signature, contract)?,
            session,
            signature,
            max_batch: MAX_BATCH,
            finite: Vec::new(),
        })
    }

    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Number of input values of one row: L × F.
    pub fn row_len(&self) -> usize {
        self.row_shape.iter().product()
    }

    /// Number of values of state of one row, 0 for a model without.
    pub fn state_len(&self) -> usize {
        self.states.len()
    }

    /// Scores `input`, rows of [`Self::row_len`] values, in as many runs as needed, and hands each to
    /// `judge`. `state` holds [`Self::state_len`] values per row and is overwritten with the new state,
    /// but for the rows that are not finite or that the judge clears.
    ///
    /// # Errors
    /// When the graph fails, or gives another number of values than the contract means. The runs before
    /// are judged by then, and their states are new.
    pub fn score(
        &mut self,
        input: &[f32],
        state: &mut [f32],
        mut judge: impl FnMut(Run<'_>),
    ) -> Result<(), ScoreError> {
        let (row_len, state_len) = (self.row_len(), self.state_len());
        debug_assert_eq!(input.len() % row_len, 0, "input is whole rows");
        let rows = input.len() / row_len;
        if state.len() != rows * state_len {
            return Err(ScoreError::StateSize {
                actual: state.len(),
                expected: rows * state_len,
                rows,
            });
        }
        let mut first = 0;
        for input in input.chunks(row_len * self.max_batch) {
            let rows = input.len() / row_len;
            let state = &mut state[first * state_len..][..rows * state_len];
            self.run(input, rows, state, &mut judge)?;
            first += rows;
        }
        Ok(())
    }

    /// The only place that runs the graph.
    fn run(
        &mut self,
        input: &[f32],
        rows: usize,
        state: &mut [f32],
        judge: &mut impl FnMut(Run<'_>),
    ) -> Result<(), ScoreError> {
        let failed = |source| ScoreError::Run { rows, source };
        self.states.pack(state, rows);
        let mut shape = vec![rows];
        shape.extend_from_slice(&self.row_shape);
        let view = ArrayViewD::from_shape(shape, input).expect("a chunk is whole rows");
        let tensor = TensorRef::from_array_view(view).map_err(failed)?;
        let mut inputs = ort::inputs![self.input.as_str() => tensor];
        for pair in self.states.inputs() {
            let (name, tensor) = pair.map_err(failed)?;
            inputs.push((name.into(), SessionInputValue::from(tensor)));
        }
        let outputs = self.session.run(inputs).map_err(failed)?;
        let output = values(&outputs, &self.output, rows, self.per_row)?;
        let new = self.states.outputs(&outputs, rows)?;
        self.finite.clear();
        if !new.is_empty() {
            // Not all kernels hand on what is not a number: the LSTM of ONNX Runtime clamps it to a
            // finite value, which would stay in the state for good.
            let finite = |row: &[f32]| row.iter().all(|value| value.is_finite());
            self.finite
                .extend(input.chunks_exact(input.len() / rows).map(finite));
            self.states.check(&new, &mut self.finite);
        }
        judge(Run {
            input,
            output,
            finite: &mut self.finite,
        });
        self.states.unpack(&new, &self.finite, state);
        Ok(())
    }

    /// Runs the graph on made-up rows and states: it must run, and give the values that the contract
    /// means. Looks whether a row's result depends on its batch, and then scores row by row.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub fn probe(&mut self) -> Result<(), ScoreError> {
        let alone = self.trial(1)?;
        for batch in PROBE_BATCHES {
            if self.trial(batch)? != alone {
                tracing::warn!(
                    batch,
                    "scores depend on the batch size; scoring one row at a time"
                );
                self.max_batch = 1;
                return Ok(());
            }
        }
        self.max_batch = MAX_BATCH;
        Ok(())
    }

    /// The bits of all outputs and new states on the made-up rows, run in batches of `batch`.
    fn trial(&mut self, batch: usize) -> Result<Vec<u32>, ScoreError> {
        // Distinct values; what they mean to the model does not matter.
        let made_up = |len: usize, scale: f32| -> Vec<f32> {
            (0..len)
                .map(|i| ((i * 37 % 101) as f32 - 50.0) * scale)
                .collect()
        };
        let rows = PROBE_BATCHES[PROBE_BATCHES.len() - 1];
        let input = made_up(rows * self.row_len(), 0.37);
        // Within -1 and 1, as the gates of recurrent networks give it.
        let mut state = made_up(rows * self.state_len(), 0.019);
        let mut bits = Vec::new();
        self.max_batch = batch;
        self.score(&input, &mut state, |run| {
            bits.extend(run.output.iter().map(|value| value.to_bits()));
        })?;
        bits.extend(state.iter().map(|value| value.to_bits()));
        Ok(bits)
    }
}

/// The values of an f32 output, not copied; `per_row` for each of `rows` rows.
pub(crate) fn values<'o>(
    outputs: &'o SessionOutputs<'_>,
    name: &str,
    rows: usize,
    per_row: usize,
) -> Result<&'o [f32], ScoreError> {
    let (_, values) = outputs[name]
        .try_extract_tensor::<f32>()
        .map_err(|source| ScoreError::Run { rows, source })?;
    if values.len() == rows * per_row {
        return Ok(values);
    }
    Err(ScoreError::OutputSize {
        output: name.into(),
        actual: values.len(),
        expected: rows * per_row,
        rows,
    })
}
