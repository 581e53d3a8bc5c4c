//! Waits for the workers, and notices one that can't end any more.
//!
//! Calls of the Kafka client have blocked for ever (librdkafka 5456 and 5511 with `send_offsets_to_transaction`). A
//! thread that is stuck in one can't be cancelled, and its clients belong to it; so the process has to end and be
//! started anew. The brokers abort its open transaction after their timeout, or as soon as the next start takes its
//! identity over, and what was not committed is scored again.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::health::{Health, Stage};
use crate::kafka::WorkerError;
use crate::pulse::Pulse;
use crate::service::{ServiceError, Shutdown};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// The same while workers drain: how much longer a stop may take than it has to.
const LOOK_CLOSELY: Duration = Duration::from_millis(5);

/// A worker's thread.
#[derive(Debug)]
pub(crate) struct Watched {
    pub worker: usize,
    pub pulse: Arc<Pulse>,
    pub thread: JoinHandle<Result<(), WorkerError>>,
}

/// How long the watchdog waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For a call of the Kafka client.
    pub call: Duration,
    /// For all workers, once they are told to stop.
    pub drain: Duration,
}

/// Waits until all workers have ended.
///
/// # Errors
/// The first worker's error; or that one is stuck, whose thread is left behind then.
pub(crate) fn watch(
    mut workers: Vec<Watched>,
    patience: Patience,
    shutdown: &Shutdown,
    health: &Health,
) -> Result<(), ServiceError> {
    let mut result = Ok(());
    let mut draining: Option<Instant> = None;
    let mut looked = Instant::now();
    let mut resumed = looked;
    loop {
        let (ended, running): (Vec<_>, Vec<_>) = workers
            .into_iter()
            .partition(|worker| worker.thread.is_finished());
        workers = running;
        for worker in ended {
            result = result.and(ended_with(worker));
        }
        if workers.is_empty() {
            return result;
        }
        let now = Instant::now();
        if now.saturating_duration_since(looked) > patience.call / 2 {
            // The process was stopped (SIGSTOP, a frozen container): calls of before have not hung since then.
            resumed = now;
        }
        looked = now;
        let stuck = workers
            .iter()
            .find_map(|worker| stuck(worker, patience.call, resumed, now));
        if let Some(stuck) = stuck {
            return result.and(Err(stuck));
        }
        if !shutdown.is_requested() {
            shutdown.wait(LOOK);
            continue;
        }
        if draining.is_none() {
            health.enter(Stage::Draining);
        }
        if now.saturating_duration_since(*draining.get_or_insert(now)) >= patience.drain {
            return result.and(Err(not_drained(&workers, patience.drain)));
        }
        std::thread::sleep(LOOK_CLOSELY);
    }
}

fn ended_with(Watched { worker, thread, .. }: Watched) -> Result<(), ServiceError> {
    match thread.join() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(ServiceError::Worker { worker, source }),
        Err(_) => Err(ServiceError::Panicked { worker }),
    }
}

fn stuck(
    watched: &Watched,
    limit: Duration,
    resumed: Instant,
    now: Instant,
) -> Option<ServiceError> {
    let doing = watched.pulse.doing();
    let (call, worker) = (doing.call?, watched.worker);
    let lasts = doing.lasts(now).min(now.saturating_duration_since(resumed));
    if lasts <= limit {
        return None;
    }
    tracing::error!(
        worker,
        call,
        ?lasts,
        "a call of the Kafka client does not return"
    );
    Some(ServiceError::Stuck {
        worker,
        call,
        seconds: lasts.as_secs(),
    })
}

fn not_drained(workers: &[Watched], drain: Duration) -> ServiceError {
    let doing = workers.iter().map(|watched| {
        let call = watched.pulse.doing().call.unwrap_or("its own work");
        format!("worker {} is in {call}", watched.worker)
    });
    ServiceError::NotDrained {
        seconds: drain.as_secs(),
        doing: doing.collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::pulse;

    const SOON: Patience = Patience {
        call: Duration::from_millis(500),
        drain: Duration::from_millis(300),
    };
    const NEVER: Duration = Duration::from_secs(600);

    /// A worker that does `work` until the sender is dropped.
    fn worker(
        worker: usize,
        work: impl FnOnce(&dyn Fn()) -> Result<(), WorkerError> + Send + 'static,
    ) -> (Watched, Sender<()>) {
        let pulse = Arc::<Pulse>::default();
        let (release, released) = channel::<()>();
        let mine = pulse.clone();
        let thread = std::thread::spawn(move || {
            mine.carry();
            work(&|| {
                let _ = released.recv();
            })
        });
        let watched = Watched {
            worker,
            pulse,
            thread,
        };
        (watched, release)
    }

    #[test]
    fn a_call_that_does_not_return_ends_the_service_and_is_named() {
        let (blocked, _held) = worker(3, |block| {
            pulse::call("send_offsets_to_transaction", block);
            Ok(())
        });
        let (fine, done) = worker(0, |_| Ok(()));
        drop(done);
        let told = watch(
            vec![fine, blocked],
            SOON,
            &Shutdown::default(),
            &Health::default(),
        );
        let told = told.expect_err("it is stuck");
        assert_eq!(told.exit_status(), 4);
        let told = told.to_string();
        assert!(
            told.starts_with("worker 3 has been in send_offsets_to_transaction for 0 s"),
            "{told}"
        );
    }

    #[test]
    fn a_call_of_a_process_that_was_stopped_counts_from_when_it_goes_on() {
        let (blocked, held) = worker(0, |block| {
            pulse::call("poll", block);
            Ok(())
        });
        while blocked.pulse.doing().call.is_none() {
            std::thread::yield_now();
        }
        let since = blocked.pulse.doing().since;
        let (limit, later) = (SOON.call, since + 3 * SOON.call);
        assert!(stuck(&blocked, limit, later - limit / 2, later).is_none());
        assert!(stuck(&blocked, limit, since, later).is_some());
        drop(held);
        let ended = blocked.thread.join().expect("no panic");
        assert!(ended.is_ok());
    }

    #[test]
    fn calls_that_return_and_work_outside_of_them_may_last() {
        let (busy, done) = worker(0, |block| {
            for _ in 0..10 {
                pulse::call("poll", || std::thread::sleep(SOON.call / 20));
            }
            // Longer than the limit of a call: a model over a large batch.
            block();
            Ok(())
        });
        let releaser = std::thread::spawn(move || {
            std::thread::sleep(SOON.call * 3);
            drop(done);
        });
        let patience = Patience {
            call: SOON.call,
            drain: NEVER,
        };
        watch(
            vec![busy],
            patience,
            &Shutdown::default(),
            &Health::default(),
        )
        .expect("nothing is stuck");
        releaser.join().expect("no panic");
    }

    #[test]
    fn a_worker_that_does_not_drain_is_left_behind() {
        let (blocked, _held) = worker(1, |block| {
            pulse::call("commit_transaction", block);
            Ok(())
        });
        let patience = Patience {
            call: NEVER,
            drain: SOON.drain,
        };
        let (shutdown, health) = (Shutdown::default(), Health::default());
        shutdown.request();
        let told = watch(vec![blocked], patience, &shutdown, &health);
        let told = told.expect_err("it does not end");
        assert_eq!(told.exit_status(), 5);
        let told = told.to_string();
        assert!(told.contains("worker 1 is in commit_transaction"), "{told}");
        assert_eq!(health.not_ready(), ["draining: it was told to stop"]);
    }

    #[test]
    fn the_first_error_is_told() {
        let (first, a) = worker(0, |_| {
            Err(WorkerError::Fenced {
                instance: "one".into(),
                pipeline: "pumps".into(),
            })
        });
        let (second, b) = worker(1, |block| {
            block();
            Ok(())
        });
        drop(a);
        let releaser = std::thread::spawn(move || {
            std::thread::sleep(SOON.call);
            drop(b);
        });
        let told = watch(
            vec![second, first],
            SOON,
            &Shutdown::default(),
            &Health::default(),
        );
        let told = told.expect_err("one has failed");
        assert!(
            matches!(told, ServiceError::Worker { worker: 0, .. }),
            "{told}"
        );
        assert_eq!(told.exit_status(), 3, "fenced");
        releaser.join().expect("no panic");
    }
}
