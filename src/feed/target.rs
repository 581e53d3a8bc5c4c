//! Where a feed goes: a Kafka topic or a file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use forewarn_pipeline::config::Kafka;
use forewarn_pipeline::kafka::client::{self, Role};
use forewarn_pipeline::kafka::deliveries::{Deliveries, Failed};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// How long the brokers may take to acknowledge the last messages.
const LAST_ACKNOWLEDGEMENTS: Duration = Duration::from_secs(60);

/// How a target wants its records written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// A JSON object; the asset is the message's key.
    Json,
    /// A JSON object and a line end; the asset is the field `asset`.
    JsonLine,
    /// A line, after a header.
    Csv,
}

/// One record of a feed, written in the target's encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub asset: &'a str,
    /// Milliseconds since 1970.
    pub time: i64,
    pub payload: &'a [u8],
}

pub(crate) trait Target {
    fn encoding(&self) -> Encoding;
    /// Writes what comes before the records, such as a CSV header.
    fn begin(&mut self, header: &str) -> Result<()>;
    fn send(&mut self, record: Record<'_>) -> Result<()>;
    /// Returns once everything has arrived.
    fn finish(&mut self) -> Result<()>;
}

/// Takes no records.
pub(crate) struct Nowhere;

impl Target for Nowhere {
    fn encoding(&self) -> Encoding {
        Encoding::Csv
    }
    fn begin(&mut self, _: &str) -> Result<()> {
        Ok(())
    }
    fn send(&mut self, _: Record<'_>) -> Result<()> {
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A CSV or JSON Lines file, by its ending.
pub(crate) struct FileTarget {
    path: PathBuf,
    file: BufWriter<File>,
    encoding: Encoding,
}

impl FileTarget {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let encoding = match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Encoding::Csv,
            Some("jsonl") => Encoding::JsonLine,
            _ => bail!(
                "{}: the file's name must end in .csv or .jsonl",
                path.display()
            ),
        };
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(FileTarget {
            path: path.to_owned(),
            file: BufWriter::new(file),
            encoding,
        })
    }
}

impl Target for FileTarget {
    fn encoding(&self) -> Encoding {
        self.encoding
    }

    fn begin(&mut self, header: &str) -> Result<()> {
        if self.encoding == Encoding::Csv {
            writeln!(self.file, "{header}").with_context(|| self.path.display().to_string())?;
        }
        Ok(())
    }

    fn send(&mut self, record: Record<'_>) -> Result<()> {
        let written = match (self.encoding, record.payload.strip_prefix(b"{")) {
            (Encoding::JsonLine, Some(rest)) => {
                write!(self.file, "{{\"asset\":\"{}\",", record.asset)
                    .and_then(|()| self.file.write_all(rest))
                    .and_then(|()| self.file.write_all(b"\n"))
            }
            _ => self.file.write_all(record.payload),
        };
        written.with_context(|| self.path.display().to_string())
    }

    fn finish(&mut self) -> Result<()> {
        self.file
            .flush()
            .with_context(|| self.path.display().to_string())
    }
}

/// A topic, keyed by asset.
pub(crate) struct KafkaTarget {
    producer: BaseProducer<Deliveries>,
    topic: String,
    since_poll: u32,
}

impl KafkaTarget {
    pub(crate) fn open(kafka: &Kafka, topic: &str) -> Result<Self> {
        let producer =
            client::config(kafka, Role::Producer).create_with_context(Deliveries::default())?;
        Ok(KafkaTarget {
            producer,
            topic: topic.to_owned(),
            since_poll: 0,
        })
    }
}

impl Target for KafkaTarget {
    fn encoding(&self) -> Encoding {
        Encoding::Json
    }

    fn begin(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    fn send(&mut self, record: Record<'_>) -> Result<()> {
        let mut message = BaseRecord::to(&self.topic)
            .key(record.asset)
            .payload(record.payload)
            .timestamp(record.time);
        while let Err((error, back)) = self.producer.send(message) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    message = back;
                    self.producer.poll(Duration::from_millis(10));
                }
                other => return Err(other).with_context(|| format!("topic {}", self.topic)),
            }
        }
        self.since_poll += 1;
        if self.since_poll >= 256 {
            self.since_poll = 0;
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let deadline = Instant::now() + LAST_ACKNOWLEDGEMENTS;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            self.producer.poll(Duration::from_millis(5));
        }
        let left = u64::from(self.producer.in_flight_count().unsigned_abs());
        if let Some(Failed {
            records, reason, ..
        }) = self.producer.context().take_failed()
        {
            bail!(
                "{} messages did not arrive in topic {}: {reason}",
                left + records,
                self.topic
            );
        }
        if left > 0 {
            bail!(
                "{left} messages for topic {} were not acknowledged within {} s: is the broker up?",
                self.topic,
                LAST_ACKNOWLEDGEMENTS.as_secs()
            );
        }
        Ok(())
    }
}
