//! Planted defects: what was read is tampered with, and the judge must say so.

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::Judgement;
use super::observed::Observed;
use super::output::Sink;

/// A defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// One prediction is taken away.
    Missing,
    /// One prediction is there twice.
    Doubled,
    /// Two predictions of one asset and model change places.
    Order,
    /// One digit of a value is another one.
    Value,
    /// One asset is not in the state that was written down.
    State,
    /// One change of a status is there once more, under another id.
    Unexpected,
    /// A tenth of one partition was not processed in time.
    Unprocessed,
}

impl Plant {
    /// The judgement that must fail, and no other.
    pub fn judgement(self) -> Judgement {
        match self {
            Plant::Missing => Judgement::Missing,
            Plant::Doubled => Judgement::Doubled,
            Plant::Order => Judgement::Order,
            Plant::Value => Judgement::Values,
            Plant::State => Judgement::State,
            Plant::Unexpected => Judgement::Unexpected,
            Plant::Unprocessed => Judgement::Processed,
        }
    }

    /// Tampers with what was read.
    ///
    /// # Errors
    /// When there is nothing to tamper with.
    pub fn tamper(self, observed: &mut Observed) -> Result<()> {
        let outputs = &mut observed.outputs;
        let mut predictions =
            (0..outputs.len()).filter(|at| outputs[*at].sink == Sink::Predictions);
        let middle = predictions.clone().count() / 2;
        let at = predictions.nth(middle).context("no predictions")?;
        match self {
            Plant::Missing => drop(outputs.remove(at)),
            Plant::Doubled => {
                let again = outputs[at].clone();
                outputs.push(again);
            }
            Plant::Order => {
                let stream = outputs[at].stream();
                let later =
                    (at + 1..outputs.len()).find(|later| outputs[*later].stream() == stream);
                outputs.swap(at, later.context("the last prediction of its asset")?);
            }
            Plant::Value => {
                let value = outputs[at].value.as_mut().context("a value")?;
                let digit = value
                    .iter()
                    .rposition(u8::is_ascii_digit)
                    .context("a digit")?;
                value[digit] = if value[digit] == b'7' { b'8' } else { b'7' };
            }
            Plant::State => {
                let mut written = observed
                    .state
                    .values_mut()
                    .filter_map(|read| read.as_mut().ok());
                let with_assets = written.find(|snapshot| !snapshot.assets.is_empty());
                drop(with_assets.context("no state")?.assets.pop());
            }
            Plant::Unexpected => {
                let mut status = outputs.iter().filter(|output| output.sink == Sink::Status);
                let mut another = status.next().context("no change of a status")?.clone();
                let mut headers = another.headers.iter_mut();
                let id = headers.find(|(name, _)| name == "ce_id");
                id.context("no id")?.1.push(b'x');
                outputs.push(another);
            }
            Plant::Unprocessed => {
                let longest = observed.ends.iter().max_by_key(|(_, end)| **end);
                let (partition, end) = longest.context("no input")?;
                let behind = end - end / 10;
                let processed = observed.processed.entry(*partition).or_default();
                *processed = behind.min(*processed);
            }
        }
        Ok(())
    }
}
