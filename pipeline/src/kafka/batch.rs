//! One batch: read, taken through the engine, and sent; and a commit of what came before it, meanwhile.

use std::time::{Duration, Instant};

use rdkafka::message::BorrowedMessage;

use super::committing::{Commit, beside};
use super::crossed;
use super::failure::WorkerError;
use super::replay::borrow;
use super::sink::BatchPublisher;
use super::worker::Worker;
use crate::message::Message;
use crate::metrics::{Inputs, Stage};
use crate::pulse;

/// What became of a batch, and of the commit beside it.
pub(super) struct Turned {
    /// When the commit had ended; `None` where there was none.
    pub ended: Option<Result<Instant, WorkerError>>,
    pub worked: Result<(), WorkerError>,
}

impl Worker {
    /// Reads and scores a batch, while `commit` is asked for, and then sends what the batch caused; nothing, where the
    /// commit has failed. Waits at most `idle` for the first message.
    pub(super) fn batch(&mut self, idle: Duration, commit: Option<&Commit>) -> Turned {
        let Worker {
            engine,
            encoder,
            source,
            sink,
            traced,
            metrics,
            quiet,
            has_timers,
            swapping,
            lag,
            pace,
            due,
            drift,
            config,
            ..
        } = self;
        // Rebuilding state is quick, and says nothing of the pace.
        let rebuilds = engine
            .partitions()
            .all(|state| state.next_offset < state.publish_from);
        let most = if rebuilds {
            config.source.max_batch_messages
        } else {
            pace.most()
        };
        let consumer = source.consumer();
        let (ended, scored) = beside(commit, sink, consumer, || -> Result<_, WorkerError> {
            let mut batch: Vec<BorrowedMessage<'_>> = Vec::new();
            let begun = Instant::now();
            source.poll(idle, most, &mut batch)?;
            due.read(batch.len() == most);
            if batch.is_empty() {
                return Ok(None);
            }
            let polled = Instant::now();
            traced.read(&batch, begun, |(partition, offset)| {
                let mut states = engine.partitions();
                states.any(|state| state.partition == partition && offset >= state.publish_from)
            });
            let messages: Vec<Message<'_>> = batch.iter().map(borrow).collect();
            lag.read(&messages);
            if *has_timers {
                let now = Instant::now();
                for messages in messages.chunk_by(|a, b| a.partition == b.partition) {
                    quiet.heard(messages[0].partition, now);
                }
            }
            let step = engine.step(&messages)?;
            Ok(Some((batch, step, [begun, polled, Instant::now()])))
        });
        if let Some(Err(_)) = ended {
            return Turned {
                ended,
                worked: Ok(()),
            };
        }
        let send = || {
            if let Some((batch, step, [begun, polled, scored])) = scored? {
                swapping.judge(&step)?;
                let sending = Instant::now();
                let mut publisher = BatchPublisher::new(sink, traced, &batch);
                pulse::call("produce", || encoder.publish(&step, &mut publisher))?;
                let (counts, sent) = (publisher.counts, Instant::now());
                for (stage, begun, ended) in [
                    (Stage::Poll, begun, polled),
                    (Stage::DecodeAndScore, polled, scored),
                    (Stage::EncodeAndSend, sending, sent),
                ] {
                    metrics.stage(stage, ended - begun);
                    traced.stage(stage, begun, ended);
                }
                if counts.has_results() {
                    pace.took(batch.len(), (scored - polled) + (sent - sending));
                }
                metrics.step(&step, &config.models.serve);
                crossed::say(drift.look(&step, &metrics.drift, sent));
                let inputs = Inputs {
                    messages: batch.len() as u64,
                    readings: step.readings,
                    ignored: step.ignored,
                    familiar: step.familiar,
                    duplicates: step.duplicates,
                };
                metrics.batch(inputs, &counts);
            }
            sink.poll();
            Ok(())
        };
        Turned {
            worked: send(),
            ended,
        }
    }
}
