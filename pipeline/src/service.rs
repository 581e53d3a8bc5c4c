//! The service: workers on threads, until it is told to stop or one of them can't go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use forewarn_models::{Loader, Runtime};

use crate::config::{Config, Problems, Reload};
use crate::kafka::topics::{self, TopicError};
use crate::kafka::{Links, Worker, WorkerError};
use crate::metrics::{Metrics, Totals};
use crate::plan::Plan;
use crate::swap::{Message, ReloadHandle, Reloader};

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
    loader: Loader,
    metrics: Arc<Metrics>,
    messages: (Sender<Message>, Receiver<Message>),
}

impl Service {
    /// Checks the configuration against its models; each worker gets sessions of its own.
    ///
    /// # Errors
    /// All problems of views and models.
    pub fn new(config: Config, loader: Loader) -> Result<Self, ServiceError> {
        let plans = (0..config.service.workers)
            .map(|_| Plan::build(&config, &loader))
            .collect::<Result<_, _>>()?;
        Ok(Service {
            config: Arc::new(config),
            plans,
            loader,
            metrics: Arc::default(),
            messages: channel(),
        })
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
            loader,
            metrics,
            messages: (reports, messages),
        } = self;
        // Also when brokers or topics are missing: whoever waits for this service must not wait for ever.
        let _stop_all = StopOnReturn(shutdown.clone());
        let Some(plan) = plans.first() else {
            return Ok(metrics.totals());
        };
        topics::require(&config, plan, create_topics)?;
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
            .enumerate()
            .map(|(worker, (plan, swaps))| {
                let (config, metrics, shutdown) =
                    (config.clone(), metrics.clone(), shutdown.clone());
                let reports = reports.clone();
                let links = reloads.then_some(Links { swaps, reports });
                let run = move || {
                    let _stop_all = StopOnReturn(shutdown.clone());
                    Worker::open(config, plan, metrics, (worker, links))?.run(&shutdown)
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
        if let Some(reloader) = reloader {
            // It ends with the shutdown that the workers' end has requested.
            let _ = reloader.join();
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
