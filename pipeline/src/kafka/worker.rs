//! A worker: one thread, one consumer, one producer, one engine, and the partitions it owns.
//!
//! ```text
//!   loop:  poll a batch → step → send outputs ─┐
//!          │   commit interval over? meanwhile commit outputs + offsets of before, now and then with state
//!          ├ a partition is quiet? close what is due by the clock, send the mark
//!          ├ another topic says something about an asset? tell the engine, send the mark
//!          ├ partitions revoked?   commit first, then give them up
//!          ├ partitions assigned?  find where to resume, rebuild state, then publish
//!          └ error?                abort, forget state, go back to the committed offsets
//! ```
//!
//! Invariant: the state is rebuilt from the log, never kept across an abort. After an error the records
//! since the last commit are read again as if for the first time.
//!
//! Not here: a batch (`batch.rs`), what is committed (`committing.rs`) and when (`due.rs`), errors and what they mean
//! (`failure.rs`), how it comes to that state (`takeover.rs`), when it is written down (`writing.rs`), swaps
//! (`swapping.rs`), and clients that have wedged (`renewal.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SdkTracer;
use rdkafka::Offset;
use rdkafka::error::KafkaError;

use super::batch::Turned;
use super::client;
use super::crossed;
use super::due::Due;
use super::failure::WorkerError;
use super::idle::Quiet;
use super::lag::Lag;
use super::notices::NoticeReader;
use super::pace::Pace;
use super::sink::{BatchPublisher, Sink};
use super::source::{Rebalance, Source};
use super::swapping::{Links, Swapping};
use super::traced::Traced;
use super::writing::{State, Written};
use crate::clocks::micros;
use crate::config::Config;
use crate::drift::watch::Watcher;
use crate::engine::{Disposition, Engine};
use crate::marks::Mark;
use crate::metrics::{Inputs, Metrics};
use crate::plan::Plan;
use crate::publish::Encoder;
use crate::pulse;
use crate::service::Shutdown;
use crate::swap::TrialRules;

/// Longest wait for a message: how soon a shutdown is noticed on a quiet topic.
const IDLE: Duration = Duration::from_millis(50);
/// Pause before going back to the committed offsets, doubled up to the longest until a batch succeeds.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Which of a service's workers one is, and its ties to the rest.
pub struct Seat {
    pub number: usize,
    /// Where versions of models are taken over while the service runs.
    pub links: Option<Links>,
    /// Where spans are sent.
    pub tracer: Option<SdkTracer>,
    /// When it is to stop.
    pub shutdown: Shutdown,
}

/// One worker of a pipeline.
pub struct Worker {
    pub(super) config: Arc<Config>,
    pub(super) engine: Engine,
    pub(super) encoder: Encoder,
    pub(super) source: Source,
    pub(super) sink: Sink,
    pub(super) traced: Traced,
    pub(super) metrics: Arc<Metrics>,
    /// Next record to read of each owned partition, as last committed.
    pub(super) committed: HashMap<i32, i64>,
    /// Owned partitions of which a process that has stopped was the last to commit: see `farewell.rs`.
    pub(super) farewells: HashSet<i32>,
    /// A producer that was replaced had a transaction that was aborted, and not every partition knows it: see
    /// `settling.rs`.
    pub(super) unsettled: bool,
    /// State of each owned partition that was written down.
    pub(super) written: HashMap<i32, Written>,
    /// When one was the last time, or when the worker began.
    pub(super) latest_written: Instant,
    pub(super) due: Due,
    /// Can anything become due without a record?
    pub(super) has_timers: bool,
    pub(super) quiet: Quiet,
    pub(super) lag: Lag,
    pub(super) pace: Pace,
    /// Where the plan has statuses that other topics tell.
    pub(super) notices: Option<NoticeReader>,
    pub(super) swapping: Swapping,
    /// Challengers that are left out, as places in the plan.
    failed: HashSet<usize>,
    pub(super) drift: Watcher,
    pub(super) number: usize,
    pub(super) shutdown: Shutdown,
}

impl Worker {
    /// Opens the clients; to be called on the thread that runs the worker.
    ///
    /// # Errors
    /// When a client can't be opened.
    pub fn open(
        config: Arc<Config>,
        plan: Plan,
        metrics: Arc<Metrics>,
        Seat {
            number,
            links,
            tracer,
            shutdown,
        }: Seat,
    ) -> Result<Self, WorkerError> {
        let stateful = plan.has_state();
        let notices = match plan.has_notices() {
            true => Some(NoticeReader::open(&config)?),
            false => None,
        };
        let rules = TrialRules {
            results: config.models.trial_results,
            max_row_time: config.models.max_row_time,
        };
        let name = client::transactional_id(&config, number);
        Ok(Worker {
            has_timers: plan.has_timers(&config),
            quiet: Quiet::new(config.event_time.idle_timeout.0),
            lag: Lag::default(),
            pace: Pace::new(config.source.max_batch_messages),
            notices,
            engine: Engine::new(&config, plan),
            encoder: Encoder::new(&config.name, &config.source.topic, config.sink.headers),
            sink: Sink::open(&config, number)
                .map_err(|error| WorkerError::from(error).explained(&config, None))?,
            traced: Traced::new(&config, number, tracer),
            source: Source::subscribe(&config, number, stateful)?,
            metrics,
            committed: HashMap::new(),
            farewells: HashSet::new(),
            unsettled: false,
            written: HashMap::new(),
            latest_written: Instant::now(),
            due: Due::new(config.delivery.commit_interval, Instant::now()),
            swapping: Swapping::new(links, rules, name),
            failed: HashSet::new(),
            drift: Watcher::new(&config),
            number,
            shutdown,
            config,
        })
    }

    /// Runs until it is told to stop, then commits what was done.
    ///
    /// # Errors
    /// Those that can't be mended by trying again.
    pub fn run(mut self) -> Result<(), WorkerError> {
        self.metrics.health.joining(self.number);
        let done = self.serve();
        let clients = Some((&self.sink, &self.source));
        let done = done.map_err(|error| error.explained(&self.config, clients));
        // Closing the consumer leaves the group; it has been seen to hang.
        pulse::call("close", || drop(self));
        done
    }

    fn serve(&mut self) -> Result<(), WorkerError> {
        let shutdown = self.shutdown.clone();
        let mut pause = FIRST_PAUSE;
        // After an error the state is ahead of what is published. Until it has gone back, nothing else may
        // happen: a commit would skip the readings whose outputs were aborted.
        let mut must_go_back = false;
        while !shutdown.is_requested() {
            pulse::beat();
            let done = if must_go_back {
                self.go_back()
            } else {
                self.turn().map_err(|error| self.roll_back_after(error))
            };
            match done {
                Ok(()) => {
                    if !std::mem::take(&mut must_go_back) && pause != FIRST_PAUSE {
                        pause = FIRST_PAUSE;
                        self.metrics.health.going_on(self.number);
                    }
                }
                Err(error)
                    if error.disposition() == Disposition::Halt && !self.is_expired(&error) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    let worker = self.number;
                    tracing::warn!(worker, %error, ?pause, "going back to the committed offsets");
                    self.metrics.count(|totals| totals.restarts += 1);
                    let health = &self.metrics.health;
                    health.going_back(worker, &error.to_string());
                    self.traced.aborted(&error.to_string());
                    must_go_back = true;
                    // One that is told to stop needs no new clients, and has no time for them.
                    if !shutdown.is_requested()
                        && let Err(error) = self.renew_clients_after(&error)
                    {
                        tracing::warn!(worker, %error, "the clients can't be replaced yet");
                    }
                    shutdown.wait(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        if must_go_back {
            tracing::warn!(
                worker = self.number,
                "stopped while going back; what was not committed comes again"
            );
            return Ok(());
        }
        self.commit_with_state(State::All)?;
        tracing::info!(worker = self.number, "drained and committed");
        Ok(())
    }

    /// One batch, and what is due after it.
    fn turn(&mut self) -> Result<(), WorkerError> {
        self.take_swaps()?;
        self.take_notices()?;
        let commit = self.commit_due()?;
        let idle = match commit.is_none() && self.has_uncommitted() {
            true => self.due.within(Instant::now()).min(IDLE),
            false => IDLE,
        };
        let Turned { ended, worked } = self.batch(idle, commit.as_ref());
        if let Some((commit, ended)) = commit.zip(ended) {
            // Also where the batch has failed: what is committed must not be said again.
            self.committed(commit, ended?);
        }
        worked?;
        self.close_quiet()?;
        self.notice_failed();
        while let Some(event) = self.source.rebalance() {
            match self.answer(event) {
                // It is told to stop, and needs no partitions any more.
                Err(WorkerError::Consumer(KafkaError::Canceled)) => return Ok(()),
                answered => answered?,
            }
        }
        self.tell();
        Ok(())
    }

    /// Says once which challengers are left out.
    fn notice_failed(&mut self) {
        for (place, planned, reason) in self.engine.failed() {
            if self.failed.insert(place) {
                let (model, version) = (&planned.model.name, planned.model.version);
                tracing::error!(
                    model,
                    version,
                    reason,
                    "a challenger failed and is left out"
                );
                self.metrics.count(|totals| totals.challengers_failed += 1);
            }
        }
    }

    /// Closes what is due in partitions that have gone quiet, and writes down that it did.
    fn close_quiet(&mut self) -> Result<(), WorkerError> {
        if !self.has_timers {
            return Ok(());
        }
        for (partition, offset, watermark) in self.due_by_the_clock(Instant::now()) {
            let step = self.engine.advance(partition, watermark)?;
            let mut publisher = BatchPublisher::new(&mut self.sink, &mut self.traced, &[]);
            pulse::call("produce", || self.encoder.publish(&step, &mut publisher))?;
            self.metrics.step(&step, &self.config.models.serve);
            let now = Instant::now();
            crossed::say(self.drift.look(&step, &self.metrics.drift, now));
            let mark = Mark::advance(offset, watermark);
            self.encoder.mark(partition, mark, &mut publisher)?;
            self.metrics.batch(Inputs::default(), &publisher.counts);
        }
        Ok(())
    }

    /// Quiet partitions in which something would be due by now, with their next records and the watermarks that
    /// make it so.
    fn due_by_the_clock(&mut self, now: Instant) -> Vec<(i32, i64, i64)> {
        let mut due = Vec::new();
        for state in self.engine.partitions() {
            let (partition, offset) = (state.partition, state.next_offset);
            let watermark = self
                .quiet
                .quiet_for(partition, now)
                .and_then(|quiet| state.watermark.after(micros(quiet)));
            let Some(watermark) = watermark else { continue };
            // While state is rebuilt, marks come from the log.
            let is_due = state.next_due().is_some_and(|due| due <= watermark);
            if !is_due || offset < state.publish_from || !self.quiet.may_ask(partition, now) {
                continue;
            }
            let Some(end) = self.source.end(partition) else {
                // Brokers that do not answer for one partition do not for the next: each would be waited for.
                break;
            };
            if self.quiet.is_at_end(partition, offset, end, now) {
                due.push((partition, offset, watermark));
            }
        }
        due
    }

    /// Hands what other topics say to the partitions, and writes down that they know it.
    fn take_notices(&mut self) -> Result<(), WorkerError> {
        let Some(reader) = &mut self.notices else {
            return Ok(());
        };
        reader.poll()?;
        let partitions = self.engine.partitions().map(|state| state.partition);
        for partition in partitions.collect::<Vec<_>>() {
            for notice in reader.give(partition) {
                let Some(mark) = self.engine.notice(partition, notice) else {
                    continue;
                };
                let mut publisher = BatchPublisher::new(&mut self.sink, &mut self.traced, &[]);
                self.encoder.mark(partition, mark, &mut publisher)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, event: Rebalance) -> Result<(), WorkerError> {
        match event {
            Rebalance::Assigned(partitions) => {
                let from = match self.prepare(&partitions) {
                    Ok(from) => from,
                    Err(error) => {
                        // Unanswered it would be forgotten, and its partitions never read.
                        self.source.put_back(Rebalance::Assigned(partitions));
                        return Err(error.into());
                    }
                };
                let resume = from.resume.clone();
                self.take_over(from);
                self.say_taken_over(&partitions);
                self.source.accept(&resume)?;
                self.lag.tell_soon();
                self.tell();
                self.metrics.health.member(self.number);
                tracing::info!(worker = self.number, ?partitions, "partitions assigned");
            }
            Rebalance::Revoked(partitions) => {
                // Drain, commit, then give up. If the commit fails they are given up all the same: the next
                // owner starts from what was committed.
                let committed = self.commit_with_state(State::Of(&partitions));
                self.forget(&partitions);
                self.source.give_up(&partitions)?;
                if self.engine.partitions().next().is_none() {
                    // An assignment follows, if only that of none; after an outage once the group has it again.
                    self.metrics.health.joining(self.number);
                }
                tracing::info!(worker = self.number, ?partitions, "partitions given up");
                committed?;
            }
        }
        Ok(())
    }

    /// These partitions are not this worker's any more.
    pub(super) fn forget(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.engine.revoke(*partition);
            self.committed.remove(partition);
            self.farewells.remove(partition);
            self.written.remove(partition);
            self.quiet.forget(*partition);
            self.lag.forget(*partition);
        }
        self.lag.tell_soon();
    }

    /// Drops what is not committed and starts again from what is.
    fn go_back(&mut self) -> Result<(), WorkerError> {
        if let Err(error) = self.sink.abort() {
            if error.is_fenced(Some(self.sink.producer())) && !self.sink.may_have_expired() {
                // A new producer would fence the other process, and that one this one, for ever.
                return Err(error.into());
            }
            // The client may not be usable any more; a new one fences it.
            tracing::warn!(worker = self.number, %error, "abort failed; opening a new producer");
            self.renew_sink()?;
        }
        if self.unsettled {
            // Which offset does not matter: it is aborted.
            let offsets = self.source.list([(0, Offset::Offset(0))].into_iter())?;
            self.sink.settle(&offsets, self.source.consumer())?;
            self.unsettled = false;
            tracing::info!(
                worker = self.number,
                "the transaction of a producer that was replaced is settled"
            );
        }
        self.rebuild()
    }
}
