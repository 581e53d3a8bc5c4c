//! The service: workers on threads, until it is told to stop or one of them can't go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use forewarn_models::Loader;

use crate::config::{Config, Problems};
use crate::kafka::topics::{self, TopicError};
use crate::kafka::{Worker, WorkerError};
use crate::metrics::{Metrics, Totals};
use crate::plan::Plan;

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Config(#[from] Problems),
    #[error(transparent)]
    Topics(#[from] TopicError),
    #[error("worker {worker} stopped: {source}")]
    Worker { worker: usize, source: WorkerError },
    #[error(
        "worker {worker} panicked: this is a defect of forewarn; nothing uncommitted was published"
    )]
    Panicked { worker: usize },
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
    metrics: Arc<Metrics>,
}

impl Service {
    /// Checks the configuration against its models; each worker gets sessions of its own.
    ///
    /// # Errors
    /// All problems of views and models.
    pub fn new(config: Config, loader: &Loader) -> Result<Self, ServiceError> {
        let plans = (0..config.service.workers)
            .map(|_| Plan::build(&config, loader))
            .collect::<Result<_, _>>()?;
        Ok(Service {
            config: Arc::new(config),
            plans,
            metrics: Arc::default(),
        })
    }

    /// The counters, to be read while it runs.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Runs until `shutdown`. Topics that do not exist are created with `create_topics` partitions.
    ///
    /// # Errors
    /// When brokers or topics are missing, and the first error of a worker that can't go on; the others are
    /// stopped then.
    pub fn run(
        self,
        shutdown: &Shutdown,
        create_topics: Option<usize>,
    ) -> Result<Totals, ServiceError> {
        let Service {
            config,
            plans,
            metrics,
        } = self;
        // Also when brokers or topics are missing: whoever waits for this service must not wait for ever.
        let _stop_all = StopOnReturn(shutdown.clone());
        let Some(plan) = plans.first() else {
            return Ok(metrics.totals());
        };
        topics::require(&config, plan, create_topics)?;
        let threads: Vec<_> = plans
            .into_iter()
            .enumerate()
            .map(|(worker, plan)| {
                let (config, metrics, shutdown) =
                    (config.clone(), metrics.clone(), shutdown.clone());
                let run = move || {
                    let _stop_all = StopOnReturn(shutdown.clone());
                    Worker::open(config, plan, metrics, worker)?.run(&shutdown)
                };
                let name = format!("worker-{worker}");
                thread::Builder::new()
                    .name(name)
                    .spawn(run)
                    .expect("the system gives a thread")
            })
            .collect();
        let mut result = Ok(());
        for (worker, thread) in threads.into_iter().enumerate() {
            let ended = match thread.join() {
                Ok(Ok(())) => Ok(()),
                Ok(Err(source)) => Err(ServiceError::Worker { worker, source }),
                Err(_) => Err(ServiceError::Panicked { worker }),
            };
            result = result.and(ended);
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
