//! One ONNX Runtime session: a batch of inputs in, the judged output of the graph out.
//!
//! Invariants:
//! - the scores of a row do not depend on the rows that share its batch. Matrix kernels may break this by
//!   adding in another order for another batch size; [`Scorer::probe`] looks, and a graph that fails is
//!   run one row at a time from then on (slow, and the same numbers);
//! - one thread: parallelism is one scorer per worker.
//!
//! Not here: what the numbers mean (`verdict.rs`).

use std::path::Path;

use ndarray::ArrayViewD;
use ort::session::Session;
use ort::value::TensorRef;

use crate::contract::Contract;
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
}

/// A loaded graph, ready to score batches.
#[derive(Debug)]
pub struct Scorer {
    session: Session,
    signature: Signature,
    input: String,
    output: String,
    /// `[L, F]` or `[F]`: the shape of one row of the batch.
    row_shape: Vec<usize>,
    max_batch: usize,
    raw: Vec<f32>,
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

    pub fn new(session: Session, contract: &Contract) -> Result<Self, String> {
        let signature = Signature::of(&session);
        let input = signature.input(contract)?.name.clone();
        let mut row_shape = vec![contract.features.len()];
        if let Some(sequence) = contract.sequence {
            row_shape.insert(0, sequence.length);
        }
        Ok(Scorer {
            session,
            signature,
            input,
            output: contract.task.output().to_owned(),
            row_shape,
            max_batch: MAX_BATCH,
            raw: Vec::new(),
        })
    }

    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Number of input values of one row: L × F.
    pub fn row_len(&self) -> usize {
        self.row_shape.iter().product()
    }

    /// Scores `input`, rows of [`Self::row_len`] values, and gives the judged output's values, row by row.
    ///
    /// # Errors
    /// When the graph fails, or gives a number of values that is no multiple of the rows.
    pub fn score(&mut self, input: &[f32]) -> Result<&[f32], ScoreError> {
        self.raw.clear();
        let row_len = self.row_len();
        debug_assert_eq!(input.len() % row_len, 0, "input is whole rows");
        for chunk in input.chunks(row_len * self.max_batch) {
            let rows = chunk.len() / row_len;
            let run = |source| ScoreError::Run { rows, source };
            let shape: Vec<usize> = std::iter::once(rows)
                .chain(self.row_shape.iter().copied())
                .collect();
            let view = ArrayViewD::from_shape(shape, chunk).expect("a chunk is whole rows");
            let tensor = TensorRef::from_array_view(view).map_err(run)?;
            let outputs = self
                .session
                .run(ort::inputs![self.input.as_str() => tensor])
                .map_err(run)?;
            let (_, values) = outputs[self.output.as_str()]
                .try_extract_tensor::<f32>()
                .map_err(run)?;
            if values.is_empty() || values.len() % rows != 0 {
                return Err(ScoreError::OutputSize {
                    output: self.output.clone(),
                    actual: values.len(),
                    expected: rows,
                    rows,
                });
            }
            self.raw.extend_from_slice(values);
        }
        Ok(&self.raw)
    }

    /// Runs the graph on made-up rows: it must run, and give `per_row` values for each. Looks whether a
    /// row's result depends on its batch, and then scores row by row.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub fn probe(&mut self, per_row: usize) -> Result<(), ScoreError> {
        let most = PROBE_BATCHES[PROBE_BATCHES.len() - 1];
        // Distinct values of ordinary size; what they mean to the model does not matter.
        let input: Vec<f32> = (0..most * self.row_len())
            .map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.37)
            .collect();
        self.max_batch = 1;
        let alone = self.score(&input)?.to_vec();
        if alone.len() != most * per_row {
            return Err(ScoreError::OutputSize {
                output: self.output.clone(),
                actual: alone.len(),
                expected: most * per_row,
                rows: most,
            });
        }
        for batch in PROBE_BATCHES {
            self.max_batch = batch;
            let together = self.score(&input)?;
            if alone
                .iter()
                .zip(together)
                .any(|(a, b)| a.to_bits() != b.to_bits())
            {
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
}
