//! New clients for a worker whose own ones have wedged.
//!
//! A client that no broker answers may be right, or may have lost its way: librdkafka takes metadata that names no
//! broker, as the last one of a cluster gives while it shuts down, for the end of all brokers, and then may not
//! come back (its issue 5301); a firewall may have forgotten connections that both ends think are open. So when calls
//! have run out of time, a client that knows nothing of all that is asked: if brokers answer it, the worker's are
//! replaced. If not, they are away, and are waited for.
//!
//! Should another process have taken the identity over while this one was cut off, the new producer fences that one,
//! which ends and says so (status 3): one of the two goes on, and nothing is doubled.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{self, Role, Silent};
use super::failure::WorkerError;
use super::notices::NoticeReader;
use super::past::ANSWER;
use super::sink::{Sink, SinkError};
use super::source::Source;
use super::worker::Worker;
use crate::pulse;

impl WorkerError {
    /// Has the client waited for an answer for as long as it may?
    fn is_unanswered(&self) -> bool {
        let timed_out = |error: &KafkaError| {
            let code = error.rdkafka_error_code();
            code.is_some_and(|code| {
                matches!(
                    code,
                    RDKafkaErrorCode::OperationTimedOut
                        | RDKafkaErrorCode::MessageTimedOut
                        | RDKafkaErrorCode::RequestTimedOut
                )
            })
        };
        match self {
            WorkerError::Sink(SinkError::Unacknowledged) => true,
            WorkerError::Sink(
                SinkError::Open(error)
                | SinkError::Commit(error)
                | SinkError::Produce { source: error, .. },
            )
            | WorkerError::Consumer(error) => timed_out(error),
            _ => false,
        }
    }
}

impl Worker {
    /// Replaces the clients if that may mend `error`; the partitions come with the next assignment. Nothing may be
    /// done after it but going back.
    pub(super) fn renew_clients_after(&mut self, error: &WorkerError) -> Result<(), WorkerError> {
        if !error.is_unanswered() || !self.do_brokers_answer() {
            return Ok(());
        }
        let worker = self.number;
        tracing::warn!(
            worker,
            "brokers answer a new client: the old ones are replaced"
        );
        self.renew_sink()?;
        if self.notices.is_some() {
            self.notices = Some(NoticeReader::open(&self.config)?);
        }
        let stateful = self.engine.plan().has_state();
        let new = Source::subscribe(&self.config, worker, stateful)?;
        let old = std::mem::replace(&mut self.source, new);
        let partitions = self.engine.partitions().map(|state| state.partition);
        self.forget(&partitions.collect::<Vec<_>>());
        self.metrics.health.joining(worker);
        self.metrics.count(|totals| totals.clients_renewed += 1);
        pulse::call("close", || drop(old));
        Ok(())
    }

    /// A new producer, which fences the old one; what that had begun is still to be settled.
    pub(super) fn renew_sink(&mut self) -> Result<(), SinkError> {
        self.unsettled |= self.sink.leaves_aborted();
        let new = Sink::open(&self.config, self.number)?;
        let old = std::mem::replace(&mut self.sink, new);
        pulse::call("close", || drop(old));
        Ok(())
    }

    fn do_brokers_answer(&self) -> bool {
        let role = Role::Observer {
            group: &self.config.name,
        };
        let client = client::config(&self.config.kafka, role);
        let client: Result<BaseConsumer<Silent>, _> = client.create_with_context(Silent);
        let topic = Some(self.config.source.topic.as_str());
        let asked = client.and_then(|client| {
            pulse::call("fetch_metadata", || client.fetch_metadata(topic, ANSWER))
        });
        asked.is_ok_and(|metadata| !metadata.brokers().is_empty())
    }
}
