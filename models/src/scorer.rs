//! One ONNX Runtime session: a batch of inputs in, the judged outputs of the graph out, and for recurrent
//! models the state of each row in and out.
//!
//! Invariants:
//! - the scores and the state of a row do not depend on the rows that share its batch. Matrix kernels may
//!   break this by adding in another order for another batch size; [`Scorer::probe`] looks, admission looks
//!   with the golden input, and a graph that fails is run one row at a time (slow, and the same numbers). A graph with a fixed
//!   batch always runs that many rows; the last one is repeated, and what it gives again is dropped;
//! - one thread: parallelism is one scorer per worker.
//!
//! Not here: what the numbers mean (`verdict.rs`), which tensors they come from and go to (`inputs.rs`,
//! `outputs.rs`, `recurrent.rs`).

use std::path::Path;

use ort::session::{Session, SessionInputValue};

use crate::contract::Contract;
use crate::inputs::Inputs;
use crate::outputs::{Outputs, Values};
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
        "output {output} gives the class {label}, which forewarn.classes does not have: add it there, in the order of the graph's classes"
    )]
    UnknownClass { output: String, label: String },
    #[error(
        "output {output} gives {value} as a probability: end the graph with a softmax or a sigmoid, or name another output"
    )]
    NoProbability { output: String, value: f64 },
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
pub(crate) struct Scorer {
    session: Session,
    signature: Signature,
    inputs: Inputs,
    outputs: Outputs,
    states: States,
    /// Rows per run; [`Scorer::most_rows`], or 1.
    max_batch: usize,
    /// Per row of a run, whether it may have a verdict; empty where nothing can be wrong with one.
    sound: Vec<bool>,
}

/// One run of the graph, to be judged while the graph still holds its outputs.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    /// The rows that were scored, as they were given.
    pub input: &'a [f32],
    /// The values of the judged outputs, each row by row.
    pub outputs: &'a [Values<'a>],
    /// For each row: can its tensors hold it, and are, for a recurrent model, the row and its new state
    /// finite? Rows that the judge clears keep their old state. Empty where every row is sound.
    pub sound: &'a mut [bool],
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
        let inputs = Inputs::of(&signature, contract)?;
        let batch = inputs.fixed_batch();
        Ok(Scorer {
            outputs: Outputs::of(&signature, contract, batch)?,
            states: States::of(&signature, contract, batch)?,
            max_batch: batch.unwrap_or(MAX_BATCH),
            inputs,
            session,
            signature,
            sound: Vec::new(),
        })
    }

    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Number of values of one row as it is given: gathered rows × features.
    fn row_len(&self) -> usize {
        self.inputs.row_len()
    }

    /// How many values a row has of each judged output, known from the first run on.
    pub fn output_widths(&self) -> Vec<usize> {
        self.outputs.widths()
    }

    fn most_rows(&self) -> usize {
        self.inputs.fixed_batch().unwrap_or(MAX_BATCH)
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
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
        for tensor in self.inputs.tensors(input).chain(self.states.inputs()) {
            inputs.push(tensor.map_err(failed)?);
        }
        let outputs = self.session.run(inputs).map_err(failed)?;
        let values = self.outputs.read(&outputs, rows)?;
        let new = self.states.outputs(&outputs, rows)?;
        self.sound.clear();
        let is_recurrent = !new.is_empty();
        if is_recurrent || !self.inputs.take_all() {
            let inputs = &self.inputs;
            // Not all kernels hand on what is not a number: the LSTM of ONNX Runtime clamps it to a
            // finite value, which would stay in the state for good.
            let finite = |row: &[f32]| !is_recurrent || row.iter().all(|value| value.is_finite());
            let rows = input.chunks_exact(inputs.row_len());
            self.sound
                .extend(rows.map(|row| finite(row) && inputs.hold(row)));
            self.states.check(&new, &mut self.sound);
        }
        judge(Run {
            input,
            outputs: &values,
            sound: &mut self.sound,
        });
        if is_recurrent {
            self.states.unpack(&new, &self.sound, state);
        }
        Ok(())
    }

    /// Runs the graph on made-up rows and states: it must run, and give the values that the contract
    /// means. Looks whether a row's result depends on its batch, and then scores row by row.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub fn probe(&mut self) -> Result<(), ScoreError> {
        let most = self.most_rows();
        let alone = self.trial(1)?;
        let values = |bits: &Vec<u64>| bits.iter().map(|bits| f64::from_bits(*bits)).collect();
        let outputs: Vec<Vec<f64>> = alone.iter().map(values).collect();
        self.outputs.check_probabilities(&outputs)?;
        for batch in PROBE_BATCHES.map(|batch| batch.min(most)) {
            if batch > 1 && self.trial(batch)? != alone {
                tracing::debug!(batch, "scores depend on the batch size");
                self.score_row_by_row();
                return Ok(());
            }
        }
        self.max_batch = most;
        Ok(())
    }

    /// Runs the graph on one row at a time from now on: its rows have other bits in a batch than alone.
    pub fn score_row_by_row(&mut self) {
        self.max_batch = 1;
    }

    pub fn is_row_by_row(&self) -> bool {
        self.max_batch == 1 && self.most_rows() > 1
    }

    /// Makes made-up rows of what the graph can take: integers are often places in a table, and 0 and 1 are in
    /// nearly every one.
    pub fn suit(&self, input: &mut [f32]) {
        for feature in self.inputs.integer_features() {
            let column = input.iter_mut().skip(feature);
            for value in column.step_by(self.inputs.features()) {
                *value = f32::from(u8::from(*value > 0.0));
            }
        }
    }

    /// The bits of all outputs and new states on the made-up rows, run in batches of `batch`.
    fn trial(&mut self, batch: usize) -> Result<Vec<Vec<u64>>, ScoreError> {
        // Distinct values; what they mean to the model does not matter.
        let made_up = |len: usize, scale: f32| -> Vec<f32> {
            (0..len)
                .map(|i| ((i * 37 % 101) as f32 - 50.0) * scale)
                .collect()
        };
        let rows = PROBE_BATCHES[PROBE_BATCHES.len() - 1];
        let mut input = made_up(rows * self.row_len(), 0.37);
        self.suit(&mut input);
        // Within -1 and 1, as the gates of recurrent networks give it.
        let mut state = made_up(rows * self.state_len(), 0.019);
        // Of each output, then of the state.
        let mut bits: Vec<Vec<u64>> = Vec::new();
        self.max_batch = batch;
        self.score(&input, &mut state, |run| {
            bits.resize(run.outputs.len(), Vec::new());
            for (bits, output) in bits.iter_mut().zip(run.outputs) {
                bits.extend(output.iter().map(f64::to_bits));
            }
        })?;
        bits.push(
            state
                .iter()
                .map(|value| u64::from(value.to_bits()))
                .collect(),
        );
        Ok(bits)
    }
}
