//! A worker's part in swaps: when a version is put in place, judged, and taken back.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender};

use super::failure::WorkerError;
use super::killpoint::KillPoint;
use super::worker::Worker;
use crate::engine::{EngineError, Step};
use crate::publish::Encoder;
use crate::swap::{
    Message, ModelEvent, ModelEventRecord, Outcome, Report, Swap, Trial, TrialRules,
};

/// A worker's side of the reloader.
#[derive(Debug)]
pub struct Links {
    pub swaps: Receiver<Swap>,
    pub reports: Sender<Message>,
}

/// What a worker knows of swaps.
#[derive(Debug)]
pub(super) struct Swapping {
    /// `None`: versions are not taken over while the service runs.
    links: Option<Links>,
    /// Received, and not yet put in place.
    next: Option<Swap>,
    /// By place in the plan.
    trials: BTreeMap<usize, Trial>,
    rules: TrialRules,
    /// Events that no commit has had yet.
    unsaid: Vec<ModelEventRecord<'static>>,
    /// This worker, as events name it.
    name: String,
}

impl Swapping {
    pub fn new(links: Option<Links>, rules: TrialRules, name: String) -> Self {
        Swapping {
            links,
            next: None,
            trials: BTreeMap::new(),
            rules,
            unsaid: Vec::new(),
            name,
        }
    }

    /// Judges a batch of the versions on trial.
    pub fn judge(&mut self, step: &Step<'_>) -> Result<(), WorkerError> {
        for (place, trial) in &mut self.trials {
            let place = *place;
            let (results, not_finite) = step.tally(place);
            let usage = step.plan.models[place].model.usage();
            let judged = trial.judge(results, not_finite, usage);
            judged.map_err(|reason| WorkerError::Trial { place, reason })?;
        }
        self.trials.retain(|_, trial| !trial.is_over());
        Ok(())
    }

    /// Sends the events that no commit has had yet, with the next one.
    pub fn say<P: crate::publish::Publisher>(
        &self,
        encoder: &mut Encoder,
        publisher: &mut P,
    ) -> Result<(), P::Error> {
        let mut events = self.unsaid.iter();
        events.try_for_each(|event| encoder.model_event(event, publisher))
    }

    pub fn has_unsaid(&self) -> bool {
        !self.unsaid.is_empty()
    }

    /// The events are committed.
    pub fn said(&mut self) {
        self.unsaid.clear();
    }

    fn report(&self, worker: usize, (place, version): (usize, u32), outcome: Outcome) {
        if let Some(links) = &self.links {
            // The reloader ends only with the service.
            let _ = links.reports.send(Message::Report(Report {
                worker,
                place,
                version,
                outcome,
            }));
        }
    }
}

impl Worker {
    /// Puts new versions in place, between two batches.
    pub(super) fn take_swaps(&mut self) -> Result<(), WorkerError> {
        loop {
            if self.swapping.next.is_none()
                && let Some(links) = &self.swapping.links
            {
                self.swapping.next = links.swaps.try_recv().ok();
            }
            if self.swapping.next.is_none() {
                return Ok(());
            }
            // What the version before scored is told before the next one scores. Should this fail, the swap
            // waits.
            self.commit()?;
            if let Some(swap) = self.swapping.next.take() {
                self.swap(swap)?;
            }
        }
    }

    fn swap(&mut self, swap: Swap) -> Result<(), WorkerError> {
        let Swap {
            place,
            model,
            on_trial,
            by,
            why,
        } = swap;
        let version = model.version;
        if self.engine.plan().models[place].model.version == version {
            // It has taken the version before back by itself.
            return Ok(());
        }
        let swapped = match self.engine.swap(place, model, &self.config) {
            Ok(swapped) => swapped,
            Err(problems) => {
                let outcome = Outcome::Refused(problems.join("; "));
                self.swapping.report(self.number, (place, version), outcome);
                return Ok(());
            }
        };
        KillPoint::MidSwap.pass();
        let all = |_| true;
        let event = self.event(
            ModelEvent::Swapped,
            (place, swapped.old.version),
            all,
            (by, why),
        );
        tracing::info!(
            worker = self.number,
            model = %event.model,
            from = event.from,
            to = event.to,
            by = %event.by,
            why = %event.why,
            "another version serves"
        );
        self.swapping.unsaid.push(event);
        let rules = self.swapping.rules;
        let trials = &mut self.swapping.trials;
        trials.remove(&place);
        if on_trial {
            trials.insert(place, Trial::new(swapped.old, rules));
        }
        self.metrics.count(|totals| totals.swaps += 1);
        self.swapping
            .report(self.number, (place, version), Outcome::Serving);
        if swapped.rebuild {
            self.rebuild()?;
        }
        Ok(())
    }

    /// If an error is that of a version on trial, puts the one before it back. What was not committed is scored by
    /// that one then.
    pub(super) fn roll_back_after(&mut self, error: WorkerError) -> WorkerError {
        let models = &self.engine.plan().models;
        let of = |name: &str, version: u32| {
            let same = |place: &&usize| {
                let on_trial = &models[**place].model;
                (on_trial.name.as_str(), on_trial.version) == (name, version)
            };
            self.swapping.trials.keys().find(same).copied()
        };
        let (place, reason) = match &error {
            WorkerError::Trial { place, reason } => (Some(*place), reason.clone()),
            WorkerError::Engine(EngineError::Score {
                model,
                version,
                source,
            }) => (of(model, *version), format!("it failed: {source}")),
            _ => return error,
        };
        let Some((place, Trial { old, .. })) =
            place.and_then(|place| Some((place, self.swapping.trials.remove(&place)?)))
        else {
            return error;
        };
        let failed = match self.engine.swap(place, old, &self.config) {
            Ok(swapped) => swapped.old.version,
            // It fitted before, and nothing else has changed.
            Err(_) => return error,
        };
        let by = ("forewarn".to_owned(), reason.clone());
        let event = self.event(ModelEvent::RolledBack, (place, failed), |_| true, by);
        self.swapping.unsaid.push(event);
        let outcome = Outcome::RolledBack(reason.clone());
        self.swapping.report(self.number, (place, failed), outcome);
        WorkerError::Trial { place, reason }
    }

    /// Says which versions serve in partitions that were assigned: the worker before, or the process before,
    /// may have had others.
    pub(super) fn say_taken_over(&mut self, partitions: &[i32]) {
        if self.swapping.links.is_none() {
            return;
        }
        for place in 0..self.engine.plan().models.len() {
            let version = self.engine.plan().models[place].model.version;
            let reason = ("forewarn".to_owned(), "partitions were assigned".to_owned());
            let mine = |partition| partitions.contains(&partition);
            let event = self.event(ModelEvent::TakenOver, (place, version), mine, reason);
            self.swapping.unsaid.push(event);
        }
    }

    /// `from` was replaced by what serves in `place` now, in partitions for which `of` holds.
    fn event(
        &self,
        event: ModelEvent,
        (place, from): (usize, u32),
        of: impl Fn(i32) -> bool,
        (by, why): (String, String),
    ) -> ModelEventRecord<'static> {
        let planned = &self.engine.plan().models[place];
        let offsets = self
            .committed
            .iter()
            .filter(|(partition, _)| of(**partition));
        let offsets: BTreeMap<i32, i64> = offsets.map(|(p, offset)| (*p, *offset)).collect();
        ModelEventRecord {
            event,
            model: planned.model.name.clone().into(),
            role: planned.role.name().into(),
            from,
            to: planned.model.version,
            by: by.into(),
            why: why.into(),
            worker: self.swapping.name.clone().into(),
            offsets,
        }
    }
}
