//! Admission: what a file goes through before it may score. Models are code that others wrote.
//!
//! ```text
//!  <name>/<version>/      bundle        inspect           signed         store           probe, prober
//!  model.onnx, ...   ──▶  read once ──▶ is it ONNX? ──▶  by whom? ──▶  copied under ──▶ a process with limits ──▶ Admitted
//!                         one handle    which operators?               its hash         loads, runs, times it
//! ```
//!
//! Once admitted, a version is not tried again under the same ONNX Runtime and processor; its copy is compared
//! with the hash, and its answer to the golden input with the one that it gave then, at every load.
//!
//! Invariants:
//! - what is loaded is the copy in the store, never the file that was dropped in;
//! - nothing that a file does while it is tried reaches this process: a crash, a hang and greed are reasons;
//! - a refused version leaves nothing behind.
//!
//! Not here: the repository with its versions and champions (`repository/`), when models are loaded (the
//! `pipeline` crate).

mod bundle;
mod digest;
mod environment;
mod golden;
mod inspect;
mod outline;
mod probe;
mod prober;
mod refusal;
mod signed;
mod sniff;
mod store;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

pub use bundle::Bundle;
pub(crate) use bundle::optional;
pub use digest::sha256;
pub use environment::Environment;
pub use golden::Answer;
pub use outline::{Outline, Port};
pub use probe::{Report, serve};
pub use prober::Prober;
pub use refusal::{Reason, Refusal};
pub use signed::{Policy, PolicyError};

use crate::model::Model;
use crate::repository::ModelFiles;
use crate::runtime::Runtime;
use probe::{Failure, Request};
use store::{Entry, Store};

/// What a version may cost while it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All files of a version together.
    pub max_bytes: u64,
    /// Address space of the probing process, library and program included.
    pub probe_memory: u64,
    pub probe_time: Duration,
}

impl Default for Limits {
    /// Larger than any model that keeps up with a stream on a processor.
    fn default() -> Self {
        Limits {
            max_bytes: 1 << 30,
            probe_memory: 4 << 30,
            probe_time: Duration::from_secs(30),
        }
    }
}

/// Decides which versions may score.
#[derive(Debug)]
pub struct Admission {
    store: Store,
    limits: Limits,
    policy: Policy,
    prober: Option<Prober>,
}

/// A version that may score.
#[derive(Debug)]
pub struct Admitted {
    /// The copy in the store: these are the files to load.
    pub files: ModelFiles,
    /// Of the version's files: its name in the store.
    pub sha256: String,
    pub outline: Outline,
    /// Where it was admitted first.
    pub environment: Environment,
    /// The trial in this environment.
    pub report: Report,
    /// Was it tried now, or before?
    pub tried_now: bool,
    /// The answer that it gave when it was tried in this environment.
    answer: Answer,
    /// The file that was dropped in.
    source: PathBuf,
}

/// The first trial of an admitted version.
#[derive(Debug, Clone)]
pub struct Known {
    pub environment: Environment,
    pub report: Report,
}

impl Admission {
    /// Without a prober, models are tried in this process: for tests and benches with models of one's own.
    pub fn new(
        store: impl Into<PathBuf>,
        limits: Limits,
        policy: Policy,
        prober: Option<Prober>,
    ) -> Self {
        Admission {
            store: Store::new(store),
            limits,
            policy,
            prober,
        }
    }

    /// Lets a version in, or says why not.
    ///
    /// # Errors
    /// The first reason found, all problems of the contract together.
    pub fn admit(&self, runtime: &Runtime, files: &ModelFiles) -> Result<Admitted, Refusal> {
        self.examine(runtime, files)
            .map_err(|reason| reason.of(&files.onnx))
    }

    /// Reads a version and looks at it without running it.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn inspect(&self, files: &ModelFiles) -> Result<Bundle, Refusal> {
        self.read(files).map_err(|reason| reason.of(&files.onnx))
    }

    /// What is known of a version from when it was admitted; nothing is run.
    pub fn known(&self, bundle: &Bundle) -> Option<Known> {
        let entry = self.store.find(bundle).ok().flatten()?;
        Some(Known {
            environment: entry.admitted.environment.clone(),
            report: Store::report(&entry, &entry.admitted.environment)?,
        })
    }

    fn read(&self, files: &ModelFiles) -> Result<Bundle, Reason> {
        let bundle = Bundle::read(files, self.limits.max_bytes)?;
        self.policy.verify(&bundle)?;
        Ok(bundle)
    }

    fn examine(&self, runtime: &Runtime, files: &ModelFiles) -> Result<Admitted, Reason> {
        let bundle = self.read(files)?;
        let here = Environment::of(runtime);
        let (entry, report, tried_now) = match self.store.find(&bundle)? {
            None => {
                let (entry, report) = self.first(runtime, files, &bundle, &here)?;
                (entry, report, true)
            }
            Some(entry) => match Store::report(&entry, &here) {
                Some(report) => (entry, report, false),
                None => {
                    let report = self.again(runtime, files, &entry, &here)?;
                    (entry, report, true)
                }
            },
        };
        let answer = report.answer.clone();
        Ok(Admitted {
            files: ModelFiles::in_folder(&files.name, files.version, &entry.folder),
            sha256: entry.sha256,
            outline: bundle.outline,
            environment: entry.admitted.environment,
            report,
            tried_now,
            answer,
            source: files.onnx.clone(),
        })
    }

    /// Tries a version that is new here; only one that passes gets its name in the store.
    fn first(
        &self,
        runtime: &Runtime,
        files: &ModelFiles,
        bundle: &Bundle,
        here: &Environment,
    ) -> Result<(Entry, Report), Reason> {
        let staged = self.store.stage(bundle)?;
        let copy = ModelFiles::in_folder(&files.name, files.version, staged.folder());
        let report = self.probe(runtime, &copy)?;
        let entry = self.store.commit(staged, bundle, &report, here)?;
        Ok((entry, report))
    }

    /// Tries an admitted version in another environment than before. Another processor may add products up in
    /// another order: the answer must be the one of then but for rounding, and its own bits from now on.
    fn again(
        &self,
        runtime: &Runtime,
        files: &ModelFiles,
        entry: &Entry,
        here: &Environment,
    ) -> Result<Report, Reason> {
        let copy = ModelFiles::in_folder(&files.name, files.version, &entry.folder);
        let report = self.probe(runtime, &copy)?;
        let admitted = &entry.admitted;
        if let Some(worst) = admitted.answer.departure(&report.answer) {
            return Err(Reason::GoldenChanged {
                worst,
                then: Box::new(admitted.environment.clone()),
                now: Box::new(here.clone()),
                entry: entry.folder.clone(),
            });
        }
        self.store.add_report(entry, here, &report)?;
        Ok(report)
    }

    fn probe(&self, runtime: &Runtime, copy: &ModelFiles) -> Result<Report, Reason> {
        let Some(prober) = &self.prober else {
            return probe::probe(runtime, copy)
                .map_err(|failure| prober::reason(failure, &self.limits));
        };
        let absolute = |path: &std::path::Path| std::path::absolute(path);
        let request = Request {
            runtime: absolute(runtime.path()).map_err(Reason::Unreadable)?,
            name: copy.name.clone(),
            version: copy.version,
            folder: absolute(&copy.folder()).map_err(Reason::Unreadable)?,
            memory: self.limits.probe_memory,
            seconds: self.limits.probe_time.as_secs(),
        };
        prober.probe(&request, &self.limits)
    }
}

impl Admitted {
    /// Does the loaded model give the answer, bit for bit, that it gave when it was tried in this environment?
    /// To be asked of every session, in the process that scores; it is then scored as it was tried.
    ///
    /// # Errors
    /// [`Reason::GoldenChanged`] with both environments, or why the model could not be asked.
    pub fn check(&self, runtime: &Runtime, model: &mut Model) -> Result<(), Refusal> {
        if self.report.row_by_row {
            model.score_row_by_row();
        }
        let asked = probe::golden_of(&self.files.folder())
            .and_then(|golden| {
                let asked = golden.ask(model);
                asked.map_err(|error| Failure::DoesNotRun(error.to_string()))
            })
            .map_err(|failure| prober::reason(failure, &Limits::default()).of(&self.source))?;
        match self.answer.difference(&asked.answer) {
            None => Ok(()),
            Some(worst) => Err(Reason::GoldenChanged {
                worst,
                then: Box::new(self.environment.clone()),
                now: Box::new(Environment::of(runtime)),
                entry: self.files.folder(),
            }
            .of(&self.source)),
        }
    }
}
