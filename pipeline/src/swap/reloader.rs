//! Looks for versions that should serve and hands them to the workers.
//!
//! Loading a model takes long enough to hold up a worker, so it is done here, once per worker: each has sessions
//! of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use forewarn_models::repository::RepositoryError;
use forewarn_models::{Loader, Repository, Runtime};

use super::{Outcome, Report, Swap};
use crate::config::{Config, Reload};
use crate::metrics::Metrics;
use crate::plan::{Plan, Role};
use crate::service::Shutdown;

/// How soon a shutdown is noticed.
const NOTICE: Duration = Duration::from_millis(100);

/// Versions to go back to: one after the other may turn out bad before it is noticed.
const REMEMBERED: usize = 16;

/// What the reloader is told.
#[derive(Debug)]
pub enum Message {
    /// Look at the repository now.
    Look,
    Report(Report),
}

/// Asks a running service to look at its repository.
#[derive(Debug, Clone)]
pub struct ReloadHandle(pub(crate) Sender<Message>);

impl ReloadHandle {
    pub fn look(&self) {
        // A service that has ended looks no more.
        let _ = self.0.send(Message::Look);
    }
}

/// A model that may be replaced.
#[derive(Debug)]
struct Served {
    place: usize,
    name: String,
    /// Versions that were handed to the workers and have not failed since, the one that serves last.
    versions: Vec<u32>,
    role: Role,
    /// What was handed to the workers last.
    offered: Key,
    /// Versions that were refused or failed. They are tried again when somebody promotes them again, or the
    /// process starts anew.
    refused: BTreeSet<Key>,
    /// The last version that was said to be gone.
    gone: Option<u32>,
}

impl Served {
    fn version(&self) -> u32 {
        self.versions.last().copied().unwrap_or_default()
    }
}

/// A version, and when it was promoted.
type Key = (u32, Option<String>);

/// A version that should serve.
#[derive(Debug)]
struct Wanted {
    version: u32,
    promoted_at: Option<String>,
    by: String,
    why: String,
}

impl Wanted {
    fn key(&self) -> Key {
        (self.version, self.promoted_at.clone())
    }
}

/// The thread that watches the repository.
pub struct Reloader {
    config: Arc<Config>,
    runtime: Runtime,
    loader: Loader,
    repository: Repository,
    served: Vec<Served>,
    workers: Vec<Sender<Swap>>,
    messages: Receiver<Message>,
    metrics: Arc<Metrics>,
}

impl Reloader {
    /// Watches the models of `plan` that have no version of their own in the configuration.
    pub fn new(
        config: Arc<Config>,
        (runtime, loader): (Runtime, Loader),
        plan: &Plan,
        (workers, messages): (Vec<Sender<Swap>>, Receiver<Message>),
        metrics: Arc<Metrics>,
    ) -> Self {
        let served = plan
            .models
            .iter()
            .enumerate()
            .filter_map(|(place, planned)| {
                let entry = &config.models.serve[planned.entry];
                let follows = match planned.role {
                    Role::Champion => entry.version.is_none(),
                    Role::Canary => false,
                    Role::Challenger => !entry
                        .shadow
                        .iter()
                        .any(|challenger| challenger.version == Some(planned.model.version)),
                };
                follows.then(|| Served {
                    place,
                    name: planned.model.name.clone(),
                    versions: vec![planned.model.version],
                    role: planned.role,
                    offered: (planned.model.version, None),
                    refused: BTreeSet::new(),
                    gone: None,
                })
            });
        Reloader {
            repository: Repository::new(&config.models.repository),
            served: served.collect(),
            config,
            runtime,
            loader,
            workers,
            messages,
            metrics,
        }
    }

    /// Runs until `shutdown`.
    pub fn run(mut self, shutdown: &Shutdown) {
        let every = self.config.models.reload_every;
        let polls = self.config.models.reload == Reload::Poll;
        let mut next = Instant::now() + every;
        while !shutdown.is_requested() {
            let wait = next.saturating_duration_since(Instant::now()).min(NOTICE);
            match self
                .messages
                .recv_timeout(if polls { wait } else { NOTICE })
            {
                Ok(Message::Look) => self.look(),
                Ok(Message::Report(report)) => self.take(report),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if polls && Instant::now() >= next => {
                    self.look();
                    next = Instant::now() + every;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Compares what serves with what should.
    fn look(&mut self) {
        for at in 0..self.served.len() {
            let wanted = match self.wanted(&self.served[at]) {
                Ok(Some(wanted)) => wanted,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "the repository can't be looked at; what serves goes on");
                    continue;
                }
            };
            let served = &mut self.served[at];
            if wanted.version == served.version() || served.refused.contains(&wanted.key()) {
                continue;
            }
            if wanted.version < served.version() && wanted.promoted_at.is_none() {
                if served.gone.replace(wanted.version) != Some(wanted.version) {
                    tracing::warn!(
                        model = served.name,
                        serving = served.version(),
                        highest = wanted.version,
                        "the version that serves is gone from the repository; it goes on, since nobody promoted \
                         another one"
                    );
                }
                continue;
            }
            self.offer(at, &wanted);
        }
    }

    /// The version that should serve: the champion, or the highest one. A challenger is always the highest.
    fn wanted(&self, served: &Served) -> Result<Option<Wanted>, RepositoryError> {
        let champion = match served.role {
            Role::Challenger => None,
            Role::Champion | Role::Canary => self.repository.champion(&served.name)?,
        };
        Ok(match champion {
            Some(champion) => Some(Wanted {
                version: champion.version,
                promoted_at: Some(champion.note.at),
                by: champion.note.by,
                why: champion.note.why,
            }),
            None => {
                let highest = self.repository.versions(&served.name).last().copied();
                highest.map(|version| Wanted {
                    version,
                    promoted_at: None,
                    by: "repository".into(),
                    why: "it is the highest version".into(),
                })
            }
        })
    }

    /// Loads a version for each worker and hands it over, or remembers why not.
    fn offer(&mut self, at: usize, wanted: &Wanted) {
        let version = wanted.version;
        let (name, place) = (self.served[at].name.clone(), self.served[at].place);
        let loaded: Result<Vec<_>, _> = self
            .workers
            .iter()
            .map(|_| {
                self.loader
                    .load(&self.runtime, &self.repository, &name, Some(version))
            })
            .collect();
        let served = &mut self.served[at];
        match loaded {
            Ok(models) => {
                served.versions.push(version);
                let old = served.versions.len().saturating_sub(REMEMBERED);
                served.versions.drain(..old);
                served.offered = wanted.key();
                for (worker, model) in self.workers.iter().zip(models) {
                    // A worker that has ended swaps no more.
                    let _ = worker.send(Swap {
                        place,
                        model,
                        on_trial: true,
                        by: wanted.by.clone(),
                        why: wanted.why.clone(),
                    });
                }
            }
            Err(problems) => {
                served.refused.insert(wanted.key());
                self.metrics.count(|totals| totals.swaps_refused += 1);
                tracing::error!(
                    model = name,
                    version,
                    serving = served.version(),
                    reason = problems.join("; "),
                    "a version is refused; what serves goes on"
                );
            }
        }
    }

    /// What one worker found out holds for all.
    fn take(&mut self, report: Report) {
        let Some(at) = self.served.iter().position(|s| s.place == report.place) else {
            return;
        };
        let served = &mut self.served[at];
        let model = served.name.clone();
        let rolled_back = matches!(report.outcome, Outcome::RolledBack(_));
        let (reason, failed) = match report.outcome {
            Outcome::Serving => return,
            Outcome::Refused(reason) => (reason, "refused"),
            Outcome::RolledBack(reason) => (reason, "rolled back"),
        };
        // Under the key that it was offered with; an old report is about a version that is refused already.
        let key = match served.offered.0 == report.version {
            true => served.offered.clone(),
            false => (report.version, None),
        };
        if !served.refused.insert(key) {
            return;
        }
        if served.versions.len() > 1 {
            served.versions.retain(|version| *version != report.version);
        }
        let back_to = served.version();
        tracing::error!(
            model,
            version = report.version,
            serving = back_to,
            reason,
            "a version is {failed}; the one before serves"
        );
        self.metrics.count(|totals| totals.swaps_refused += 1);
        if rolled_back {
            self.metrics.count(|totals| totals.rolled_back += 1);
        }
        // The others may have it in place.
        let others: BTreeMap<usize, &Sender<Swap>> = self
            .workers
            .iter()
            .enumerate()
            .filter(|(worker, _)| *worker != report.worker)
            .collect();
        for sender in others.values() {
            let loaded = self
                .loader
                .load(&self.runtime, &self.repository, &model, Some(back_to));
            match loaded {
                Ok(old) => drop(sender.send(Swap {
                    place: report.place,
                    model: old,
                    on_trial: false,
                    by: "forewarn".into(),
                    why: format!("version {} {failed}: {reason}", report.version),
                })),
                Err(problems) => tracing::error!(
                    model,
                    version = back_to,
                    reason = problems.join("; "),
                    "the version before can't be loaded again for another worker"
                ),
            }
        }
    }
}
