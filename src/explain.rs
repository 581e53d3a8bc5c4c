//! `forewarn explain`: why an alarm was raised, from the log alone.
//!
//! ```text
//!   alarm on sink.alarms ─▶ its partition of the log, from the oldest record ─▶ engine ─▶ the same alarm again
//!                            results that it was made of, the row of the last one, its readings, its score ◀┘
//! ```
//!
//! It is explained with the version that the alarm names, whatever serves now.

mod report;

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};
use clap::Args;
use forewarn_pipeline::alarms::{AlarmRecord, AlarmSpec};
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::kafka::published::Published;
use forewarn_pipeline::kafka::reader::{ReadError, read_records};
use forewarn_pipeline::kafka::replay::{self, Replay};
use forewarn_pipeline::rows::{Head, WindowHead};
use forewarn_pipeline::{Config, Engine, Plan, Prediction};
use rdkafka::message::Message as _;

use crate::cli::PipelineArgs;
use crate::guard;
use crate::reply::ReplyArgs;
use report::Report;

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The alarm: its id, or the ce_id of one of its events
    #[arg(value_name = "ALARM_ID")]
    alarm: String,
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    reply: ReplyArgs,
}

pub(crate) fn run(args: &ExplainArgs) -> Result<()> {
    let mut config = args.pipeline.load()?;
    let events = events(&config, &args.alarm)?;
    let asked = events.iter().find(|event| event.event_id() == args.alarm);
    let Some(event) = asked.or(events.first()) else {
        bail!(
            "there is no alarm {} on {}: ids are those of its records, such as {}-0-NAME:ASSET:1767225600000000",
            args.alarm,
            config.sink.alarms,
            config.source.topic
        );
    };
    serve(&mut config, event);
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let Some(spec) = plan.alarms.iter().position(|spec| spec.name == event.alarm) else {
        bail!(
            "the configuration has no [alarms.{}] any more: explain it with the one that raised it",
            event.alarm
        );
    };
    let found = Search::new(&plan, spec, event).run(&config, plan)?;
    let readings = readings(&config, event, &found)?;
    let published = published(&config, &found)?;
    let report = Report {
        event,
        events: &events,
        found,
        readings,
        published,
    };
    args.reply.output.print(&report.json(), || report.text())
}

/// All events of an occurrence, in their order.
fn events(config: &Config, id: &str) -> Result<Vec<AlarmRecord<'static>>> {
    let mut events: Vec<AlarmRecord<'static>> = Vec::new();
    read_records(config, &config.sink.alarms, |message| {
        let payload = message.payload().unwrap_or_default();
        let event: AlarmRecord<'static> =
            serde_json::from_slice(payload).map_err(|source| ReadError::Format {
                partition: message.partition(),
                offset: message.offset(),
                source,
            })?;
        if event.id == id || event.event_id() == id {
            events.push(event);
        }
        Ok(())
    })?;
    Ok(events)
}

/// Serves the version that gave the alarm's last result, and nothing beside it.
fn serve(config: &mut Config, event: &AlarmRecord<'_>) {
    for served in &mut config.models.serve {
        served.shadow.clear();
        let canary = served.canary.as_ref().map(|canary| canary.version);
        if served.name == event.model && canary != Some(event.version) {
            served.version = Some(event.version);
        }
    }
}

/// What was found in the log.
pub(crate) struct Found {
    /// The last results that counted, oldest first; the last one decided.
    results: Vec<Counted>,
    /// The rows of the view that it looked at, oldest first: one, or those of a sequence.
    rows: Vec<Row>,
    names: Vec<String>,
    view: String,
    spec: AlarmSpec,
    /// The alarm, as the log gives it again.
    again: String,
}

/// A result of the alarm's group.
struct Counted {
    head: Head,
    value: f64,
    id: String,
    prediction: String,
}

/// A row of the view.
struct Row {
    head: Head,
    values: Vec<f64>,
}

/// Goes through the log until the alarm comes again.
struct Search<'e> {
    event: &'e AlarmRecord<'e>,
    event_id: String,
    spec: usize,
    group: usize,
    view: usize,
    within: usize,
    /// Rows that the group's models look at.
    length: usize,
    results: VecDeque<Counted>,
    rows: VecDeque<Row>,
    again: Option<String>,
}

impl<'e> Search<'e> {
    fn new(plan: &Plan, spec: usize, event: &'e AlarmRecord<'e>) -> Self {
        let alarm = &plan.alarms[spec];
        let group = &plan.groups[alarm.group];
        let lengths = group.members.iter().map(|member| {
            let gathered = plan.models[*member].model.contract.gathered();
            gathered.map_or(1, |gathered| gathered.length)
        });
        Search {
            event,
            event_id: event.event_id(),
            spec,
            group: alarm.group,
            view: group.view,
            within: alarm.within.max(alarm.clear_after) as usize,
            length: lengths.max().unwrap_or(1),
            results: VecDeque::new(),
            rows: VecDeque::new(),
            again: None,
        }
    }

    fn run(mut self, config: &Config, plan: Plan) -> Result<Found> {
        let source = &self.event.source;
        let mut records = replay::held(config)?;
        records.retain(|partition, _| *partition == source.partition);
        let oldest = records
            .values()
            .next()
            .map_or(i64::MAX, |range| range.start);
        let first = source.first_offset.unwrap_or(source.offset);
        if first < oldest {
            bail!(
                "record {}:{first}, with which the alarm begins, is not in {} any more",
                source.partition,
                config.source.topic
            );
        }
        let mut engine = Engine::new(config, plan);
        let replay = Replay::open_at(config, &mut engine, &records)?;
        while let Some(taken) =
            replay.batch(|messages| self.take(config, &engine.step(messages)?))?
        {
            taken?;
            if self.again.is_some() {
                break;
            }
        }
        if self.again.is_none() {
            self.take(config, &engine.reach_marks()?)?;
        }
        let plan = engine.plan();
        let again = self.again.with_context(|| {
            format!(
                "the log does not give this alarm with {}@{}: the configuration, or an earlier version's results, were \
                 others then; `forewarn replay --verify` tells what differs",
                self.event.model, self.event.version
            )
        })?;
        let view = &plan.views[self.view].view;
        Ok(Found {
            results: self.results.into(),
            rows: self.rows.into(),
            names: view.feature_names().map(Into::into).collect(),
            view: view.name().to_owned(),
            spec: plan.alarms[self.spec].clone(),
            again,
        })
    }

    /// Takes note of what a step says of the asset, up to the alarm.
    fn take(&mut self, config: &Config, step: &Step<'_>) -> Result<()> {
        let topic = config.source.topic.as_str();
        let is_asset = |head: &Head| step.asset(head.slot, head.asset) == self.event.asset;
        let alarm = step.alarms.iter().find(|change| {
            let asset = step.asset(change.slot, change.asset);
            let place = (topic, step.partition(change.slot));
            asset == self.event.asset
                && AlarmRecord::new(change, step.plan, asset, place).event_id() == self.event_id
        });
        // What comes after the alarm in this step is none of it.
        let last = alarm.map(|change| (change.latest.at, change.latest.offset));
        let is_before = |head: &Head| last.is_none_or(|last| (head.at(), head.offset) <= last);
        let spec = &step.plan.alarms[self.spec];
        let view = step.plan.views[self.view].view.name();
        let mut results: Vec<Counted> = Vec::new();
        for scored in step
            .results()
            .filter(|scored| scored.model.group == self.group)
        {
            let head = scored.head;
            let revised = head.window().is_some_and(|window| window.revision > 0);
            let value = scored
                .verdict
                .as_ref()
                .ok()
                .and_then(|verdict| spec.value(verdict));
            let Some(value) = value.filter(|_| !head.is_provisional() && !revised) else {
                continue;
            };
            if !is_asset(&head) || !is_before(&head) {
                continue;
            }
            let place = (topic, step.partition(head.slot));
            let prediction =
                Prediction::new(&scored, view, step.asset(head.slot, head.asset), place);
            results.push(Counted {
                head,
                value,
                id: prediction.id(),
                prediction: serde_json::to_string(&prediction)?,
            });
        }
        // Models of a group take their rows one model after the other.
        results.sort_by_key(|result| (result.head.at(), result.head.offset));
        keep(&mut self.results, results, self.within);
        let view = &step.views[self.view];
        let rows = view.heads.iter().enumerate();
        let rows =
            rows.filter(|(_, head)| !head.is_provisional() && is_asset(head) && is_before(head));
        let row = |(row, head): (usize, &Head)| Row {
            head: *head,
            values: view.columns.iter().map(|column| column[row]).collect(),
        };
        keep(&mut self.rows, rows.map(row), self.length);
        if let Some(change) = alarm {
            let place = (topic, step.partition(change.slot));
            let record = AlarmRecord::new(change, step.plan, &self.event.asset, place);
            self.again = Some(serde_json::to_string(&record)?);
        }
        Ok(())
    }
}

/// The last `most` of what was there and comes.
fn keep<T>(kept: &mut VecDeque<T>, new: impl IntoIterator<Item = T>, most: usize) {
    kept.extend(new);
    kept.drain(..kept.len().saturating_sub(most));
}

/// A reading that a window was made of.
pub(crate) struct Reading {
    offset: i64,
    at: i64,
    values: Vec<f64>,
}

/// The readings of the window that decided, with the names of the signals; none where a row is a reading itself.
fn readings(
    config: &Config,
    event: &AlarmRecord<'_>,
    found: &Found,
) -> Result<(Vec<String>, Vec<Reading>)> {
    let decided = found.results.last().map(|result| result.head);
    let Some((head, WindowHead { start, end, .. })) =
        decided.and_then(|head| Some((head, head.window()?)))
    else {
        return Ok((Vec::new(), Vec::new()));
    };
    let plain = config.readings_only();
    let plan = Plan::build(&plain, &guard::loader(&plain)?)?;
    let names = plan.views[0].view.feature_names().map(Into::into).collect();
    let mut engine = Engine::new(&plain, plan);
    let partition = event.source.partition;
    let records = replay::Records::from([(partition, head.first_offset..head.offset + 1)]);
    let replay = Replay::open_at(&plain, &mut engine, &records)?;
    let mut readings = Vec::new();
    while let Some(taken) = replay.batch(|messages| {
        let step = engine.step(messages)?;
        let rows = &step.views[0];
        for (row, head) in rows.heads.iter().enumerate() {
            let is_inside = (start..end).contains(&head.event_at);
            if is_inside && step.asset(head.slot, head.asset) == event.asset {
                readings.push(Reading {
                    offset: head.offset,
                    at: head.event_at,
                    values: rows.columns.iter().map(|column| column[row]).collect(),
                });
            }
        }
        anyhow::Ok(())
    })? {
        taken?;
    }
    Ok((names, readings))
}

/// The result that decided, as it was published.
fn published(config: &Config, found: &Found) -> Result<Option<String>> {
    let Some(decided) = found.results.last() else {
        return Ok(None);
    };
    let predictions = Published::open(config, &config.sink.predictions)?;
    loop {
        let text = |said: &[u8]| String::from_utf8_lossy(said).into_owned();
        let said =
            predictions.next(|said| (said.id == Some(&decided.id)).then(|| text(said.value)))?;
        match said {
            None => return Ok(None),
            Some(Some(text)) => return Ok(Some(text)),
            Some(None) => {}
        }
    }
}
