//! The load: readings in plan's order at a pace, acknowledged by all replicas, on a thread of its own.
//!
//! | file | holds |
//! |---|---|
//! | `plan.rs` | what is sent, in which order |
//! | `poison.rs` | messages that are no readings |
//!
//! It talks to the broker directly, never through the proxy: what is to be measured is the service.

pub mod plan;
pub mod poison;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext};

use plan::{Message, Messages, Mix};

/// How evenly the pace is kept.
const PAUSE: Duration = Duration::from_millis(4);
/// Longer than any broker is away.
const PATIENCE: Duration = Duration::from_secs(600);
/// For messages of 10 MB.
const MOST_BYTES: &str = "20000000";

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    pub readings: u64,
    pub poison: u64,
    /// Of the poison, messages beyond what brokers and clients take by default.
    pub large: u64,
    /// Acknowledged by the broker.
    pub acknowledged: u64,
}

#[derive(Debug, Default)]
struct Control {
    burst: AtomicU64,
    stop: AtomicBool,
    /// Nobody asks any more what was sent.
    abandoned: AtomicBool,
}

/// The running load. Dropped, it ends without waiting for what is not acknowledged.
#[derive(Debug)]
pub struct Load {
    control: Arc<Control>,
    /// `None`: it has ended.
    thread: Option<JoinHandle<Result<Sent>>>,
}

impl Load {
    /// Begins to send `mix` to a topic with `partitions` partitions, at its pace.
    ///
    /// # Errors
    /// When the client or the thread can't be had.
    pub fn start(brokers: &str, topic: &str, partitions: usize, mix: Mix) -> Result<Self> {
        let control = Arc::<Control>::default();
        let (own, brokers, topic) = (control.clone(), brokers.to_owned(), topic.to_owned());
        let run = move || {
            let mut sender = Sender::open(&brokers, topic, partitions)?;
            sender.run(mix, &own)
        };
        let thread = std::thread::Builder::new().name("load".into()).spawn(run)?;
        Ok(Load {
            control,
            thread: Some(thread),
        })
    }

    /// Sends so many ticks at once.
    pub fn burst(&self, ticks: u64) {
        self.control.burst.fetch_add(ticks, Ordering::SeqCst);
    }

    /// Has the last burst been handed to the client?
    pub fn burst_is_sent(&self) -> bool {
        self.control.burst.load(Ordering::SeqCst) == 0
    }

    /// Sends what was held back, waits for all acknowledgements, and says what was sent.
    ///
    /// # Errors
    /// When the broker did not take something.
    pub fn stop(&mut self) -> Result<Sent> {
        self.control.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.take().context("it has ended before")?;
        thread.join().map_err(|_| anyhow!("it panicked"))?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.control.abandoned.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Acknowledged {
    arrived: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Acknowledged {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() {
            &self.arrived
        } else {
            &self.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

struct Sender {
    producer: BaseProducer<Acknowledged>,
    topic: String,
    partitions: usize,
    sent: Sent,
}

impl Sender {
    fn open(brokers: &str, topic: String, partitions: usize) -> Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "2000000")
            .set("message.max.bytes", MOST_BYTES)
            .set("message.timeout.ms", PATIENCE.as_millis().to_string())
            .create_with_context(Acknowledged::default())
            .context("the producer of the load")?;
        Ok(Sender {
            producer,
            topic,
            partitions,
            sent: Sent::default(),
        })
    }

    fn run(&mut self, mix: Mix, control: &Control) -> Result<Sent> {
        let (mut last, mut due) = (Instant::now(), 0.0);
        let (mut messages, mut batch) = (Messages::new(mix), Vec::new());
        while !control.stop.load(Ordering::SeqCst) {
            if control.abandoned.load(Ordering::SeqCst) {
                return Ok(self.sent);
            }
            let burst = control.burst.load(Ordering::SeqCst);
            for _ in 0..burst {
                messages.tick(&mut batch);
                self.send_all(&mut batch)?;
            }
            control.burst.fetch_sub(burst, Ordering::SeqCst);
            let now = Instant::now();
            due += (now - last).as_secs_f64() * mix.rate as f64;
            last = now;
            while due >= 1.0 {
                messages.tick(&mut batch);
                due -= 1.0;
            }
            self.send_all(&mut batch)?;
            self.producer.poll(Duration::ZERO);
            std::thread::sleep(PAUSE);
        }
        messages.rest(&mut batch);
        self.send_all(&mut batch)?;
        self.producer
            .flush(PATIENCE)
            .context("the load is not acknowledged")?;
        let context = self.producer.context();
        match context.failed.load(Ordering::Relaxed) {
            0 => {}
            failed => bail!("the broker did not take {failed} messages of the load"),
        }
        self.sent.acknowledged = context.arrived.load(Ordering::Relaxed);
        Ok(self.sent)
    }

    fn send_all(&mut self, batch: &mut Vec<Message>) -> Result<()> {
        for message in batch.drain(..) {
            self.send(&message)?;
        }
        Ok(())
    }

    fn send(&mut self, message: &Message) -> Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic);
        record.key = message.key.as_deref();
        record.payload = message.payload.as_deref();
        record.partition = message
            .partition
            .map(|chance| (chance % self.partitions as u64) as i32);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(20));
                }
                Err((error, _)) => return Err(error).context("the load can't be sent"),
            }
        }
        match message.is_poison {
            true => self.sent.poison += 1,
            false => self.sent.readings += 1,
        }
        self.sent.large += u64::from(poison::is_large(message));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_is_dropped_does_not_wait_for_a_dead_broker() {
        let mix = Mix {
            seed: 1,
            assets: 12,
            rate: 1_000,
            poison_per_thousand: 0,
            large: 0,
        };
        let load = Load::start("127.0.0.1:1", "nowhere", 4, mix).unwrap();
        load.burst(100);
        while !load.burst_is_sent() {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        drop(load);
        assert!(begun.elapsed() < PATIENCE / 10, "{:?}", begun.elapsed());
    }
}
