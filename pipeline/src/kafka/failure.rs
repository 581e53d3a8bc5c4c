//! What ends a turn of a worker: what can be tried again and what can't, and whether another process is why.
//!
//! Not here: going back (`worker.rs`), new clients for those that have wedged (`renewal.rs`).

use rdkafka::error::KafkaError;

use super::client;
use super::reader::ReadError;
use super::sink::{Sink, SinkError, kafka_disposition};
use super::source::Source;
use super::worker::Worker;
use crate::config::Config;
use crate::engine::{Disposition, EngineError};

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("consumer: {0}")]
    Consumer(#[from] KafkaError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the system gives no thread for a commit: {0}")]
    Thread(std::io::Error),
    #[error("notices: {0}")]
    Notices(#[from] ReadError),
    #[error(
        "another process runs as instance {instance} of pipeline {pipeline} and took over from this one, which ends; \
         what it had not committed, the other one scores: give each process a delivery.instance of its own"
    )]
    Fenced { instance: String, pipeline: String },
    #[error("a version on trial is rolled back: {reason}")]
    Trial {
        /// Of the model, in the plan.
        place: usize,
        reason: String,
    },
}

impl WorkerError {
    pub fn disposition(&self) -> Disposition {
        match self {
            WorkerError::Sink(error) => error.disposition(),
            WorkerError::Consumer(error) => kafka_disposition(error),
            WorkerError::Engine(error) => error.disposition(),
            WorkerError::Notices(ReadError::Kafka(error)) => kafka_disposition(error),
            WorkerError::Notices(_) | WorkerError::Fenced { .. } => Disposition::Halt,
            WorkerError::Thread(_) | WorkerError::Trial { .. } => Disposition::Retry,
        }
    }

    /// Says it in a sentence when another process has fenced this one's clients.
    pub(super) fn explained(self, config: &Config, clients: Option<(&Sink, &Source)>) -> Self {
        let is_fenced = match &self {
            WorkerError::Sink(error) => error.is_fenced(clients.map(|(sink, _)| sink.producer())),
            WorkerError::Consumer(_) => clients.is_some_and(|(_, source)| source.is_fenced()),
            _ => false,
        };
        match is_fenced {
            true => WorkerError::Fenced {
                instance: client::instance(config),
                pipeline: config.name.clone(),
            },
            false => self,
        }
    }
}

impl Worker {
    /// Have the brokers refused a producer whose transaction they may have ended by themselves, after an outage?
    pub(super) fn is_expired(&self, error: &WorkerError) -> bool {
        let fenced = |error: &SinkError| error.is_fenced(Some(self.sink.producer()));
        self.sink.may_have_expired() && matches!(error, WorkerError::Sink(error) if fenced(error))
    }
}
