//! Which version served from which record on, as a running service has said on `sink.models`; and the log gone through
//! with each of them in its place.
//!
//! ```text
//!   events          1 ─▶ 2 at 0:400, 1:380          2 ─▶ 1 at 0:900, 1:870
//!   partition 0     ──── by 1 ────│400──── by 2 ────│900──── by 1 ────▶
//!   partition 1     ──── by 1 ──│380──── by 2 ────│870──── by 1 ──────▶
//! ```
//!
//! A version begins at another record in each partition, so partitions are gone through one after the other. State is
//! handed over or built anew at a swap as the service does it.
//!
//! Not followed: swaps of a pipeline with marks. Nothing says which came first of a mark and a swap at the same record.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use anyhow::{Result, anyhow};
use forewarn_models::{Loader, Model, Repository, Runtime};
use forewarn_pipeline::config::Reload;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::kafka::reader::read_records;
use forewarn_pipeline::kafka::replay::{Records, Replay};
use forewarn_pipeline::kafka::topics;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::swap::ModelEventRecord;
use forewarn_pipeline::{Config, Engine, Plan};
use rdkafka::message::Message as _;

use crate::guard;

/// What is put in place before a record: models of the plan, by place, and their versions.
type InPlace = BTreeMap<usize, u32>;

/// By partition and record, which versions begin there.
#[derive(Debug, Default)]
pub(super) struct Versions(BTreeMap<i32, BTreeMap<i64, InPlace>>);

impl Versions {
    /// What is said of the models of `plan`. Nothing, where nothing has to be put in place.
    pub(super) fn said(config: &Config, plan: &Plan) -> Result<Self> {
        let (topic, mut events) = (config.models_topic(), Vec::new());
        if config.models.reload == Reload::None
            || plan.has_marks(config)
            || !topics::list(&config.kafka)?.contains_key(&topic)
        {
            return Ok(Versions::default());
        }
        read_records(config, &topic, |message| {
            // What is none was written by another program.
            let payload = message.payload().unwrap_or_default();
            events.extend(serde_json::from_slice::<ModelEventRecord<'_>>(payload).ok());
            Ok(())
        })?;
        let serves: Vec<(&str, &str, u32)> = plan
            .models
            .iter()
            .map(|planned| {
                let model = &planned.model;
                (model.name.as_str(), planned.role.name(), model.version)
            })
            .collect();
        let versions = Versions::of(&events, &serves);
        if let Some(reason) = versions.gone(config, plan)? {
            tracing::warn!(reason, "swaps are not followed");
            return Ok(Versions::default());
        }
        Ok(versions)
    }

    /// `serves`: name, role and version of each model of the plan. Events of one model are in the order of their commits.
    fn of(events: &[ModelEventRecord<'_>], serves: &[(&str, &str, u32)]) -> Self {
        let mut versions: BTreeMap<i32, BTreeMap<i64, InPlace>> = BTreeMap::new();
        for event in events {
            let is_meant =
                |(name, role, _): &(&str, &str, u32)| *name == event.model && *role == event.role;
            let places = (0..serves.len()).filter(|place| is_meant(&serves[*place]));
            for (place, (partition, offset)) in
                places.flat_map(|place| event.offsets.iter().map(move |at| (place, at)))
            {
                let begins = versions.entry(*partition).or_default();
                // Before the first event, what it has replaced.
                if !begins.values().any(|begin| begin.contains_key(&place)) {
                    begins
                        .entry(i64::MIN)
                        .or_default()
                        .insert(place, event.from);
                }
                begins.entry(*offset).or_default().insert(place, event.to);
            }
        }
        let is_other = |(place, version): (&usize, &u32)| serves[*place].2 != *version;
        let mut begins = versions.values().flat_map(BTreeMap::values).flatten();
        if begins.any(is_other) {
            return Versions(versions);
        }
        Versions::default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Models of `plan` and their versions, wherever they serve.
    pub(super) fn all(&self, plan: &Plan) -> BTreeSet<(String, u32)> {
        let begins = self.0.values().flat_map(BTreeMap::values).flatten();
        let named =
            |(place, version): (&usize, &u32)| (plan.models[*place].model.name.clone(), *version);
        begins.map(named).collect()
    }

    /// Why one of them can't be put in place any more.
    fn gone(&self, config: &Config, plan: &Plan) -> Result<Option<String>> {
        let shelf = Shelf::open(config)?;
        let wanted = self.all(plan);
        let mut loaded = wanted
            .iter()
            .map(|(name, version)| shelf.load(name, *version));
        let gone = loaded.find_map(Result::err);
        Ok(gone.map(|why| why.to_string()))
    }

    /// Hands all steps over `records` to `on`, one partition after the other; gives the number of records.
    pub(super) fn replay(
        &self,
        config: &Config,
        records: &Records,
        mut on: impl FnMut(&Step<'_>) -> Result<()>,
    ) -> Result<u64> {
        let (shelf, mut count) = (Shelf::open(config)?, 0);
        for (partition, range) in records {
            let passage = Passage::new((config, &shelf), self, (*partition, range.clone()))?;
            count += passage.run(&mut on)?;
        }
        Ok(count)
    }

    /// What is in place at record `to`, if `from` and all up to there are behind.
    fn between(&self, partition: i32, from: i64, to: i64) -> InPlace {
        let begins = self.0.get(&partition).into_iter();
        let begins = begins.flat_map(|begins| begins.range(from..=to));
        begins.flat_map(|(_, begin)| begin.clone()).collect()
    }

    /// The first record behind `at` before which something is put in place.
    fn next(&self, partition: i32, at: i64) -> i64 {
        let mut begins = self.0.get(&partition).into_iter();
        let next = begins.find_map(|begins| begins.range(at + 1..).next());
        next.map_or(i64::MAX, |(offset, _)| *offset)
    }
}

/// Where versions are loaded from.
struct Shelf {
    runtime: Runtime,
    loader: Loader,
    repository: Repository,
}

impl Shelf {
    fn open(config: &Config) -> Result<Self> {
        Ok(Shelf {
            runtime: Runtime::load(config.models.runtime.as_deref())?,
            loader: guard::loader(config)?,
            repository: Repository::new(&config.models.repository),
        })
    }

    fn load(&self, name: &str, version: u32) -> Result<Model> {
        let loaded = self
            .loader
            .load(&self.runtime, &self.repository, name, Some(version));
        loaded.map_err(|problems| anyhow!("{name}@{version}: {}", problems.join("; ")))
    }
}

/// One partition, gone through with the versions that served.
struct Passage<'a> {
    config: &'a Config,
    shelf: &'a Shelf,
    versions: &'a Versions,
    partition: i32,
    records: Range<i64>,
    engine: Engine,
    /// Everything that begins before it is in place.
    placed: i64,
}

impl<'a> Passage<'a> {
    fn new(
        (config, shelf): (&'a Config, &'a Shelf),
        versions: &'a Versions,
        (partition, records): (i32, Range<i64>),
    ) -> Result<Self> {
        let plan = Plan::build(config, &shelf.loader)?;
        Ok(Passage {
            config,
            shelf,
            versions,
            partition,
            records,
            engine: Engine::new(config, plan),
            placed: i64::MIN,
        })
    }

    fn run(mut self, mut on: impl FnMut(&Step<'_>) -> Result<()>) -> Result<u64> {
        let all = Records::from([(self.partition, self.records.clone())]);
        let replay = Replay::open_at(self.config, &mut self.engine, &all)?;
        let mut count = 0;
        while let Some(done) = replay.batch(|messages| {
            count += messages.len() as u64;
            self.batch(messages, &mut on)
        })? {
            done?;
        }
        Ok(count)
    }

    /// Cuts a batch where versions begin.
    fn batch(
        &mut self,
        mut messages: &[Message<'_>],
        on: &mut impl FnMut(&Step<'_>) -> Result<()>,
    ) -> Result<()> {
        while let Some(first) = messages.first() {
            self.put_in_place(first.offset)?;
            let next = self.versions.next(self.partition, first.offset);
            let count = messages.partition_point(|message| message.offset < next);
            let (now, rest) = messages.split_at(count);
            on(&self.engine.step(now)?)?;
            messages = rest;
        }
        Ok(())
    }

    /// Puts in place what serves at record `at`.
    fn put_in_place(&mut self, at: i64) -> Result<()> {
        let in_place = self.versions.between(self.partition, self.placed, at);
        self.placed = at + 1;
        let mut rebuild = false;
        for (place, version) in in_place {
            let model = &self.engine.plan().models[place].model;
            if model.version == version {
                continue;
            }
            let loaded = self.shelf.load(&model.name, version)?;
            let swapped = self.engine.swap(place, loaded, self.config);
            let problems = |problems: Vec<String>| anyhow!(problems.join("; "));
            rebuild |= swapped.map_err(problems)?.rebuild;
        }
        match rebuild {
            true => self.rebuild(at),
            false => Ok(()),
        }
    }

    /// State as if what serves now had served always. Nothing before record `at` is given again.
    fn rebuild(&mut self, at: i64) -> Result<()> {
        let before = Records::from([(self.partition, self.records.start..at)]);
        let replay = Replay::open_at(self.config, &mut self.engine, &before)?;
        self.engine
            .assign(self.partition, self.records.start, at, Vec::new());
        while let Some(done) = replay.batch(|messages| self.engine.step(messages).map(drop))? {
            done?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use forewarn_pipeline::swap::ModelEvent;

    use super::*;

    fn event(
        event: ModelEvent,
        (from, to): (u32, u32),
        offsets: &[(i32, i64)],
    ) -> ModelEventRecord<'static> {
        ModelEventRecord {
            event,
            model: "plain".into(),
            role: "champion".into(),
            from,
            to,
            by: "".into(),
            why: "".into(),
            worker: "".into(),
            offsets: offsets.iter().copied().collect(),
        }
    }

    const SERVES: [(&str, &str, u32); 2] = [("other", "champion", 1), ("plain", "champion", 2)];

    #[test]
    fn each_partition_has_its_own_records_from_which_on_a_version_serves() {
        let events = [
            event(ModelEvent::TakenOver, (1, 1), &[(0, 0), (1, 5)]),
            event(ModelEvent::Swapped, (1, 3), &[(0, 40)]),
            event(ModelEvent::RolledBack, (3, 1), &[(0, 40)]),
            event(ModelEvent::Swapped, (1, 2), &[(0, 60), (1, 55)]),
        ];
        let versions = Versions::of(&events, &SERVES);
        let at = |partition, from, to| versions.between(partition, from, to).get(&1).copied();
        assert_eq!(at(0, i64::MIN, 0), Some(1));
        assert_eq!((at(0, 1, 39), versions.next(0, 0)), (None, 40));
        assert_eq!(at(0, 1, 40), Some(1), "what was rolled back scored nothing");
        assert_eq!((at(0, 41, 60), versions.next(0, 60)), (Some(2), i64::MAX));
        assert_eq!(at(1, i64::MIN, 3), Some(1), "before the first event, too");
        assert_eq!(at(1, 4, 55), Some(2));
        assert_eq!(at(2, i64::MIN, 99), None);
    }

    #[test]
    fn nothing_is_put_in_place_where_the_same_version_served_always() {
        let taken_over = event(ModelEvent::TakenOver, (2, 2), &[(0, 0), (1, 0)]);
        assert!(Versions::of(&[taken_over], &SERVES).is_empty());
    }
}
