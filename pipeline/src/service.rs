//! The service: workers on threads, until it is told to stop or one of them can't go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use forewarn_models::{Loader, Runtime};
use opentelemetry_otlp::ExporterBuildError;

use crate::config::{Config, Problems, Reload};
use crate::health::Stage;
use crate::kafka::topics::{self, TopicError};
use crate::kafka::{self, Links, Seat, Taken, Worker, WorkerError};
use crate::metrics::{Metrics, Totals};
use crate::plan::Plan;
use crate::swap::{Message, ReloadHandle, Reloader};
use crate::traces::Traces;
use crate::watchdog::{Patience, Watched, watch};

/// How long workers may drain once they are told to stop: with it the process is gone within the 10 s that
/// supervisors wait before they kill it.
const DRAIN: Duration = Duration::from_secs(9);
/// How long the reloader, which notices a stop within 0.1 s, is waited for after that.
const RELOADER: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error(transparent)]
    Topics(#[from] TopicError),
    #[error(transparent)]
    Taken(#[from] Taken),
    #[error("service.traces: {0}")]
    Traces(#[from] ExporterBuildError),
    #[error("worker {worker} stopped")]
    Worker { worker: usize, source: WorkerError },
    #[error(
        "worker {worker} panicked: this is a defect of forewarn; nothing uncommitted was published"
    )]
    Panicked { worker: usize },
    /// Its thread is left behind: end the process.
    #[error(
        "worker {worker} has been in {call} for {seconds} s: the Kafka client does not come back (delivery.watchdog). \
         Start forewarn anew; what was not committed is scored again"
    )]
    Stuck {
        worker: usize,
        call: &'static str,
        seconds: u64,
    },
    /// Threads are left behind: end the process.
    #[error(
        "not drained within {seconds} s ({doing}): what was not committed is scored again at the next start"
    )]
    NotDrained { seconds: u64, doing: String },
}

impl ServiceError {
    /// The status that tells a supervisor what to do: 3, another process has this identity, which starting again does
    /// not change; 4, a call is stuck, start again; 5, told to stop and not drained in time; 1, anything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            ServiceError::Taken(_)
            | ServiceError::Worker {
                source: WorkerError::Fenced { .. },
                ..
            } => 3,
            ServiceError::Stuck { .. } => 4,
            ServiceError::NotDrained { .. } => 5,
            _ => 1,
        }
    }
}

/// A request to stop, shared by all threads.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<ShutdownState>);

#[derive(Debug, Default)]
struct ShutdownState {
    requested: AtomicBool,
    lock: Mutex<()>,
    woken: Condvar,
}

impl Shutdown {
    pub fn request(&self) {
        // Under the lock, so that nobody is between looking and waiting.
        let guard = self.0.lock.lock();
        self.0.requested.store(true, Ordering::SeqCst);
        self.0.woken.notify_all();
        drop(guard);
    }

    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }

    /// Waits for `pause`, or less when a stop is requested.
    pub fn wait(&self, pause: Duration) {
        if let Ok(guard) = self.0.lock.lock()
            && !self.is_requested()
        {
            let _ = self.0.woken.wait_timeout(guard, pause);
        }
    }
}

/// A pipeline that is ready to run: configuration checked, models loaded.
#[derive(Debug)]
pub struct Service {
    config: Arc<Config>,
    plans: Vec<Plan>,
    loader: Loader,
    metrics: Arc<Metrics>,
    messages: (Sender<Message>, Receiver<Message>),
    take_over: bool,
}

impl Service {
    /// Checks the configuration against its models; each worker gets sessions of its own.
    ///
    /// # Errors
    /// All problems of views and models.
    pub fn new(config: Config, loader: Loader) -> Result<Self, ServiceError> {
        Self::with_metrics(config, loader, Arc::default())
    }

    /// As [`Service::new`], counted in `metrics`, which are served already while models are loaded.
    ///
    /// # Errors
    /// All problems of views and models.
    pub fn with_metrics(
        config: Config,
        loader: Loader,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ServiceError> {
        let plans = (0..config.service.workers)
            .map(|_| Plan::build(&config, &loader))
            .collect::<Result<_, _>>()?;
        Ok(Service {
            config: Arc::new(config),
            plans,
            loader,
            metrics,
            messages: channel(),
            take_over: false,
        })
    }

    /// Does not look whether another process has this identity, and fences it.
    #[must_use]
    pub fn taking_over(mut self, take_over: bool) -> Self {
        self.take_over = take_over;
        self
    }

    /// Asks the service, while it runs, to look at the repository; without effect where `models.reload` is
    /// `none`.
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle(self.messages.0.clone())
    }

    /// The counters, to be read while it runs.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Runs until `shutdown`. Topics that do not exist are created with `create_topics` partitions.
    ///
    /// # Errors
    /// When brokers or topics are missing, when another process has this identity, and the first error of a worker
    /// that can't go on; the others are stopped then. After [`ServiceError::Stuck`] and [`ServiceError::NotDrained`]
    /// threads are still there, and the process is to be ended.
    pub fn run(
        self,
        shutdown: &Shutdown,
        create_topics: Option<usize>,
    ) -> Result<Totals, ServiceError> {
        let Service {
            config,
            plans,
            loader,
            metrics,
            messages: (reports, messages),
            take_over,
        } = self;
        // Also when brokers or topics are missing: whoever waits for this service must not wait for ever.
        let _stop_all = StopOnReturn(shutdown.clone());
        let Some(plan) = plans.first() else {
            return Ok(metrics.totals());
        };
        // Dropped last: what the workers' last commits end is sent, too.
        let traces = Traces::start(&config)?;
        metrics.health.enter(Stage::Connecting);
        topics::require(&config, plan, create_topics)?;
        if !take_over {
            kafka::require_identity(&config, shutdown)?;
        }
        if shutdown.is_requested() {
            return Ok(metrics.totals());
        }
        let alarms = plan.alarms.iter().map(|alarm| alarm.name.as_str());
        metrics.expect_alarms(alarms);
        let pulses = metrics.health.expect(plans.len(), config.delivery.watchdog);
        metrics.health.enter(Stage::Running);
        let reloads = config.models.reload != Reload::None;
        let (senders, receivers): (Vec<_>, Vec<_>) = plans.iter().map(|_| channel()).unzip();
        let reloader = match Runtime::load(config.models.runtime.as_deref()) {
            Ok(runtime) if reloads => {
                let links = (senders, messages);
                let source = (runtime, loader);
                let reloader = Reloader::new(config.clone(), source, plan, links, metrics.clone());
                let shutdown = shutdown.clone();
                let run = move || reloader.run(&shutdown);
                let thread = thread::Builder::new().name("reloader".into()).spawn(run);
                Some(thread.expect("the system gives a thread"))
            }
            // Without a runtime there would be no plan.
            _ => None,
        };
        let threads: Vec<_> = plans
            .into_iter()
            .zip(receivers)
            .zip(pulses)
            .enumerate()
            .map(|(worker, ((plan, swaps), pulse))| {
                let (config, metrics, shutdown) =
                    (config.clone(), metrics.clone(), shutdown.clone());
                let reports = reports.clone();
                let links = reloads.then_some(Links { swaps, reports });
                let seat = Seat {
                    number: worker,
                    links,
                    tracer: traces.as_ref().map(Traces::tracer),
                    shutdown: shutdown.clone(),
                };
                let mine = pulse.clone();
                let run = move || {
                    mine.carry();
                    let _stop_all = StopOnReturn(shutdown.clone());
                    Worker::open(config, plan, metrics, seat)?.run()
                };
                let name = format!("worker-{worker}");
                let thread = thread::Builder::new().name(name).spawn(run);
                Watched {
                    worker,
                    pulse,
                    thread: thread.expect("the system gives a thread"),
                }
            })
            .collect();
        let patience = Patience {
            call: config.delivery.watchdog,
            drain: DRAIN,
        };
        let result = watch(threads, patience, shutdown, &metrics.health);
        shutdown.request();
        if let Some(reloader) = reloader {
            // It may be trying a model. It has no client, so it may as well be left behind.
            let begun = Instant::now();
            while !reloader.is_finished() && begun.elapsed() < RELOADER {
                thread::sleep(Duration::from_millis(5));
            }
        }
        result.map(|()| metrics.totals())
    }
}

/// A worker that ends, for whatever reason, ends all: half a pipeline must not look alive.
struct StopOnReturn(Shutdown);

impl Drop for StopOnReturn {
    fn drop(&mut self) {
        self.0.request();
    }
}
