//! `forewarn replay --verify`: is what was published what the log gives?
//!
//! ```text
//!   ends of the outputs ─▶ committed offsets ─▶ engine over the records below them ─▶ predictions, alarms ─┐ by id,
//!                                               published outputs, in turn ────────────────────────────────┴ by bytes
//! ```
//!
//! A pipeline may go on meanwhile. What was there at the first look was made of records that are committed at the
//! second one, and all that those records give is there when the outputs are read to their end: so everything old
//! must be recomputed, and everything recomputed must be there.
//!
//! Versions that were swapped while the service ran are put in place where it was done (`versions.rs`).
//!
//! Not compared: what another version said that the configuration does not serve, and the alarms where there is such a
//! version, which look back at its results; what was made of records that are not in the log any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use forewarn_pipeline::dead_letter::Position;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::kafka::published::{Published, Said};
use forewarn_pipeline::kafka::reader::Lag;
use forewarn_pipeline::kafka::replay::Records;
use forewarn_pipeline::plan::{PlannedModel, Role};
use forewarn_pipeline::publish::{Encoder, Output as To, OutputRecord, Publisher, SetAsideRecord};
use forewarn_pipeline::stretch::{Settling, Stretch};
use forewarn_pipeline::{Config, Engine, Plan, Prediction};
use serde_json::{Value, json};

use super::compare::{About, Comparison, Counts, Difference, Output};
use super::versions::Versions;
use crate::cli::PastArgs;
use crate::guard;
use crate::history::{Gone, History};
use crate::reply;
use crate::terminal::thousands;

/// Bytes of outputs that may wait for their counterparts.
const MOST_WAITING: usize = 512 << 20;

pub(super) fn run(args: &PastArgs, mut config: Config, reply: reply::Output) -> Result<()> {
    if args.input.is_some() {
        bail!("--verify compares with what was published of the topic: leave --input out");
    }
    let history = History::new(args, &mut config)?;
    // They change nothing of what is compared.
    config
        .models
        .serve
        .iter_mut()
        .for_each(|served| served.shadow.clear());
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let predictions = Published::open(&config, &config.sink.predictions)?;
    let alarms = match plan.alarms.is_empty() {
        true => None,
        false => Some(Published::open(&config, &config.sink.alarms)?),
    };
    let records = committed(&config, &history, &plan)?;
    let versions = Versions::said(&config, &plan)?;
    let served = served(&plan, &versions);
    let mut verify = Verify::new(&config, served, &history.stretch, &records);
    let mut encoder = Encoder::new(&config.name, &config.source.topic, config.sink.headers);
    let on = |step: &Step<'_>| {
        encoder.publish(step, &mut verify)?;
        while verify.is_ahead() {
            let said = predictions.next(|said| verify.prediction(said))?;
            if said.transpose()?.is_none() {
                verify.all_read = true;
            }
        }
        verify.is_bounded()
    };
    let gone = match versions.is_empty() {
        true => {
            let settling = Settling::of_scores(&plan);
            let mut engine = Engine::new(&config, plan);
            history.topic(&config, &mut engine, (&records, settling), on)?
        }
        false => Gone {
            records: versions.replay(&config, &records, on)?,
            read: records.clone(),
            warm_up: args.stretch.warm_up,
        },
    };
    while let Some(taken) = predictions.next(|said| verify.prediction(said))? {
        taken?;
        verify.is_bounded()?;
    }
    if let Some(alarms) = alarms {
        while let Some(taken) = alarms.next(|said| verify.alarm(said))? {
            taken?;
        }
    }
    let report = verify.finish(gone.records);
    reply.print(&report.json(&config), || report.text(&config))?;
    gone.tell();
    if !report.is_equal() {
        bail!("what was published is not what the log gives");
    }
    Ok(())
}

/// The records of the stretch that the pipeline has committed.
fn committed(config: &Config, history: &History<'_>, plan: &Plan) -> Result<Records> {
    let committed = Lag::open(config)?.committed()?;
    if committed.is_empty() {
        bail!(
            "pipeline {} has committed nothing of {} yet",
            config.name,
            config.source.topic
        );
    }
    let mut records = history.records(config, plan)?;
    records.retain(|partition, range| {
        let end = committed.get(partition);
        range.end = end.map_or(range.start, |end| range.end.min(*end));
        end.is_some()
    });
    Ok(records)
}

/// Models and versions whose results are published as predictions.
fn served(plan: &Plan, versions: &Versions) -> BTreeSet<(String, u32)> {
    let is_published = |planned: &&PlannedModel| planned.role != Role::Challenger;
    let configured = plan.models.iter().filter(is_published);
    let configured = configured.map(|planned| (planned.model.name.clone(), planned.model.version));
    configured.chain(versions.all(plan)).collect()
}

struct Verify<'a> {
    config: &'a Config,
    stretch: &'a Stretch,
    /// The oldest record of each partition that was gone through.
    oldest: BTreeMap<i32, i64>,
    /// Models and versions whose results are compared.
    served: BTreeSet<(String, u32)>,
    predictions: Comparison,
    alarms: Comparison,
    /// Why not, and how many.
    not_verified: BTreeMap<String, u64>,
    /// Versions that are not served now have said something.
    other_versions: bool,
    all_read: bool,
}

impl<'a> Verify<'a> {
    fn new(
        config: &'a Config,
        served: BTreeSet<(String, u32)>,
        stretch: &'a Stretch,
        records: &Records,
    ) -> Self {
        Verify {
            config,
            stretch,
            oldest: records
                .iter()
                .map(|(partition, range)| (*partition, range.start))
                .collect(),
            served,
            predictions: Comparison::default(),
            alarms: Comparison::default(),
            not_verified: BTreeMap::new(),
            other_versions: false,
            all_read: false,
        }
    }

    /// Has the log given more than was read of what was published?
    fn is_ahead(&self) -> bool {
        let (recomputed, published) = self.predictions.waiting();
        !self.all_read && recomputed > published
    }

    fn is_bounded(&self) -> Result<()> {
        let (recomputed, published) = self.predictions.waiting();
        if recomputed + published > MOST_WAITING {
            bail!(
                "{} MiB of results wait for their counterparts: compare a shorter stretch, or a partition at a time \
                 (--offsets)",
                MOST_WAITING >> 20
            );
        }
        Ok(())
    }

    fn is_meant(&self, about: &About<'_>) -> bool {
        let place = (about.source.partition, about.source.offset);
        self.stretch.takes(place, about.event_time.0, &about.asset)
    }

    fn is_served(&self, about: &About<'_>) -> bool {
        let (model, version) = (about.model.as_ref(), about.version);
        self.served
            .iter()
            .any(|(name, number)| name == model && *number == version)
    }

    fn pass_over(&mut self, why: String) {
        *self.not_verified.entry(why).or_default() += 1;
    }

    /// What a published record is about, if it is to be compared.
    fn about<'m>(&mut self, said: &Said<'m>, topic: &str) -> Result<Option<(&'m str, About<'m>)>> {
        let place = || format!("{topic} {}", said.position);
        let Some(id) = said.id else {
            self.pass_over(format!("records of other programs in {topic}"));
            return Ok(None);
        };
        let about: About<'_> = serde_json::from_slice(said.value).with_context(place)?;
        if about.source.topic != self.config.source.topic || !self.is_meant(&about) {
            return Ok(None);
        }
        let first = about.source.first_offset.unwrap_or(about.source.offset);
        match self.oldest.get(&about.source.partition) {
            // Committed after it was looked what is.
            None => Ok(None),
            Some(oldest) if first < *oldest => {
                self.pass_over("made of records that are not in the log any more".into());
                Ok(None)
            }
            Some(_) => Ok(Some((id, about))),
        }
    }

    fn prediction(&mut self, said: &Said<'_>) -> Result<()> {
        let topic = self.config.sink.predictions.clone();
        let Some((id, about)) = self.about(said, &topic)? else {
            return Ok(());
        };
        if self.is_served(&about) {
            let (output, place) = (output(&about, said.value), place(&topic, said.position));
            self.predictions.published(id, output, place, said.is_old);
            return Ok(());
        }
        self.other_versions = true;
        self.pass_over(format!(
            "said by {} version {}, which is not served now",
            about.model, about.version
        ));
        let mut prediction: Prediction<'_> = serde_json::from_slice(said.value)?;
        for (_, version) in self.served.iter().filter(|(name, _)| *name == about.model) {
            prediction.version = *version;
            self.predictions.excuse(prediction.id());
        }
        Ok(())
    }

    fn alarm(&mut self, said: &Said<'_>) -> Result<()> {
        let topic = self.config.sink.alarms.clone();
        let Some((id, about)) = self.about(said, &topic)? else {
            return Ok(());
        };
        if self.other_versions || !self.is_served(&about) {
            self.pass_over(
                "alarms, which look back at results of a version that is not served now".into(),
            );
            return Ok(());
        }
        let (output, place) = (output(&about, said.value), place(&topic, said.position));
        self.alarms.published(id, output, place, said.is_old);
        Ok(())
    }

    fn finish(self, records: u64) -> Report {
        let (predictions, first_prediction) = self.predictions.finish();
        let (alarms, first_alarm) = match self.other_versions {
            true => (Counts::default(), None),
            false => self.alarms.finish(),
        };
        Report {
            records,
            predictions,
            alarms,
            not_verified: self.not_verified,
            first: first_prediction.or(first_alarm),
        }
    }
}

fn output(about: &About<'_>, value: &[u8]) -> Output {
    Output {
        record: (about.source.partition, about.source.offset),
        value: value.to_vec(),
    }
}

fn place(topic: &str, position: Position) -> String {
    format!("{topic} {position}")
}

/// Takes what the log gives.
impl Publisher for Verify<'_> {
    type Error = anyhow::Error;

    fn record(&mut self, record: &OutputRecord<'_>) -> Result<()> {
        if !matches!(record.output, To::Prediction { .. } | To::Alarm(_)) {
            return Ok(());
        }
        let about: About<'_> = serde_json::from_slice(record.payload)?;
        let id = record.headers.iter().find(|(name, _)| *name == "ce_id");
        let Some((_, id)) = id.filter(|_| self.is_meant(&about)) else {
            return Ok(());
        };
        let comparison = match record.output {
            To::Alarm(_) => &mut self.alarms,
            _ => &mut self.predictions,
        };
        comparison.recomputed(id, output(&about, record.payload));
        Ok(())
    }

    fn set_aside(&mut self, _: &SetAsideRecord<'_>) -> Result<()> {
        Ok(())
    }
}

struct Report {
    records: u64,
    predictions: Counts,
    alarms: Counts,
    not_verified: BTreeMap<String, u64>,
    first: Option<Difference>,
}

impl Report {
    fn is_equal(&self) -> bool {
        self.predictions.are_equal() && self.alarms.are_equal()
    }

    fn json(&self, config: &Config) -> Value {
        json!({
            "records": self.records,
            "equal": self.is_equal(),
            "predictions": { "topic": config.sink.predictions, "counts": self.predictions },
            "alarms": { "topic": config.sink.alarms, "counts": self.alarms },
            "not_verified": self.not_verified,
            "first_difference": self.first,
        })
    }

    fn text(&self, config: &Config) -> String {
        let mut text = format!("{} records gone through again\n", thousands(self.records));
        let sink = &config.sink;
        for (what, topic, counts) in [
            ("predictions", &sink.predictions, &self.predictions),
            ("alarms", &sink.alarms, &self.alarms),
        ] {
            let _ = writeln!(
                text,
                "{what:12} equal {}, different {}, missing {}, unexpected {} ({topic})",
                thousands(counts.equal),
                thousands(counts.different),
                thousands(counts.missing),
                thousands(counts.unexpected)
            );
        }
        for (why, count) in &self.not_verified {
            let _ = writeln!(text, "not verified {}: {why}", thousands(*count));
        }
        if let Some(first) = &self.first {
            let Difference {
                id,
                partition,
                offset,
                place,
                published,
                recomputed,
            } = first;
            let place = place.as_deref().unwrap_or("nowhere");
            let none = || "nothing".to_owned();
            let _ = writeln!(
                text,
                "first difference: {id}, of record {partition}:{offset}, published at {place}\n  published   {}\n  \
                 recomputed  {}",
                published.clone().unwrap_or_else(none),
                recomputed.clone().unwrap_or_else(none)
            );
        }
        text
    }
}
