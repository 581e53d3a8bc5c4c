//! `forewarn calibrate`: the threshold that raises no more alarms than an operator bears, from the past.

use anyhow::{Context, Result, bail};
use forewarn_models::{ScoreOrder, Task, Verdict};
use forewarn_pipeline::alarms::AlarmSpec;
use forewarn_pipeline::config::Watch;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_pipeline::{Engine, Plan};
use forewarn_training::calibrate::{Calibration, Scores, calibrate};
use serde_json::json;

use crate::cli::CalibrateArgs;
use crate::guard;
use crate::history::History;
use crate::terminal::thousands;

pub(crate) fn run(args: &CalibrateArgs) -> Result<()> {
    let mut config = args.history.load()?;
    let from = instant(args.from.as_deref(), "--from")?.unwrap_or(i64::MIN);
    let to = instant(args.to.as_deref(), "--to")?.unwrap_or(i64::MAX);
    let history = History::new(args.history.input.as_deref(), &mut config)?;
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let group = group(&plan, &args.model)?;
    let rule = rule(&plan, group);
    let mut scores = Scores::default();
    let mut engine = Engine::new(&config, plan);
    history.run(&config, &mut engine, |step| {
        collect(step, group, from..to, &mut scores);
    })?;
    let found = calibrate(&scores, &rule, args.max_alarms)?;
    let planned = &engine.plan().models[engine.plan().groups[group].members[0]];
    let (name, version) = (&planned.model.name, planned.model.version);
    if args.json {
        println!("{:#}", as_json(&found, (name, version), &rule));
    } else {
        print(&found, (name, version), &rule);
    }
    Ok(())
}

fn instant(text: Option<&str>, option: &str) -> Result<Option<i64>> {
    text.map(|text| {
        let parsed = EventTimestamp::parse(text);
        parsed
            .map(|at| at.0)
            .with_context(|| format!("{option} {text}: write it as 2026-01-31T00:00:00Z"))
    })
    .transpose()
}

/// The place of the group whose model is to be calibrated.
fn group(plan: &Plan, name: &str) -> Result<usize> {
    let Some(place) = plan.groups.iter().position(|group| group.name == name) else {
        let known: Vec<&str> = plan
            .groups
            .iter()
            .map(|group| group.name.as_str())
            .collect();
        bail!("{name} is not served; there is: {}", known.join(", "));
    };
    let group = &plan.groups[place];
    if group.members.len() > 1 {
        bail!("{name} is a group of several models: calibrate each in a configuration of its own");
    }
    let task = &plan.models[group.members[0]].model.contract.task;
    match task {
        Task::Forecast(_) => {}
        Task::Anomaly { error, .. } if error.order() == ScoreOrder::Higher => {}
        _ => bail!(
            "{name} is a model for task {}: thresholds are found for scores of which high ones are anomalous",
            task.name()
        ),
    }
    Ok(place)
}

/// The rule of the first alarm that watches the group's scores; without one, every score beyond the threshold
/// is an alarm.
fn rule(plan: &Plan, group: usize) -> AlarmSpec {
    let watches = |alarm: &&AlarmSpec| {
        alarm.group == group && matches!(alarm.watch, Watch::Confidence | Watch::Score)
    };
    let alarm = plan.alarms.iter().find(watches).cloned();
    alarm.unwrap_or_else(|| AlarmSpec {
        name: "each score".into(),
        group,
        watch: Watch::Confidence,
        rises: true,
        severities: vec![("warning".into(), 1.0)],
        of: 1,
        within: 1,
        clear_at: 1.0,
        clear_after: 1,
    })
}

fn collect(step: &Step<'_>, group: usize, stretch: std::ops::Range<i64>, scores: &mut Scores) {
    for scored in step.results() {
        let head = &scored.head;
        let window = head.window();
        let counts = !head.is_provisional() && window.is_none_or(|window| window.revision == 0);
        let at = window.map_or(head.event_at, |window| window.end);
        if scored.model.group != group || !counts || !stretch.contains(&at) {
            continue;
        }
        if let Ok(Verdict::Anomaly { score, .. }) = scored.verdict {
            scores.push(step.asset(head.slot, head.asset), at, score);
        }
    }
}

fn as_json(
    found: &Calibration,
    (model, version): (&str, u32),
    rule: &AlarmSpec,
) -> serde_json::Value {
    json!({
        "model": model,
        "version": version,
        "threshold": found.threshold,
        "alarms": found.alarms,
        "alarms_borne": found.borne,
        "scores": found.scores,
        "scores_above": found.above,
        "assets": found.assets,
        "asset_days": asset_days(found),
        "rule": { "name": rule.name, "of": rule.of, "within": rule.within },
        "past_too_short": found.is_short,
    })
}

fn print(found: &Calibration, (model, version): (&str, u32), rule: &AlarmSpec) {
    println!("{model} version {version}: threshold {}", found.threshold);
    println!(
        "  over {} scores of {} assets in {:.1} asset-days it raises {} alarms ({:.1} are borne); {} scores are above it",
        thousands(found.scores),
        thousands(found.assets as u64),
        asset_days(found),
        found.alarms,
        found.borne,
        thousands(found.above),
    );
    println!(
        "  rule {}: {} of {} results beyond the limit",
        rule.name, rule.of, rule.within
    );
    if found.is_short {
        println!(
            "  the past is too short to bear one alarm: this threshold raises none in it, which means little"
        );
    }
}

fn asset_days(found: &Calibration) -> f64 {
    found.watched.as_secs_f64() / 86_400.0
}
