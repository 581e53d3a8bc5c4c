//! `forewarn calibrate`: the threshold that raises no more alarms than an operator bears, from the past.

mod write;

use std::fmt::Write as _;

use anyhow::{Result, bail};
use forewarn_models::{ScoreOrder, Task, Verdict};
use forewarn_pipeline::alarms::AlarmSpec;
use forewarn_pipeline::config::Watch;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_pipeline::stretch::{Settling, Stretch};
use forewarn_pipeline::{Engine, Plan};
use forewarn_training::calibrate::{Bearable, Calibration, Scores, calibrate};
use serde_json::{Value, json};

use crate::cli::CalibrateArgs;
use crate::guard;
use crate::history::History;
use crate::terminal::thousands;

pub(crate) fn run(args: &CalibrateArgs) -> Result<()> {
    if args.note.is_given() && !args.write {
        bail!("--why and --by are for the history of a version: they go with --write");
    }
    let mut config = args.history.load()?;
    if args.write {
        write::is_allowed(&config.models)?;
    }
    let history = History::new(&args.history.past, &mut config)?;
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let group = group(&plan, &args.model)?;
    let rule = rule(&plan, group);
    let mut scores = Scores::default();
    let mut engine = Engine::new(&config, plan);
    let settling = Settling::of_scores(engine.plan());
    history.run(&config, &mut engine, settling, |step| {
        collect(step, group, &history.stretch, &mut scores);
        Ok(())
    })?;
    let found = calibrate(&scores, &rule, args.max_alarms)?;
    let planned = &engine.plan().models[engine.plan().groups[group].members[0]];
    let outcome = Outcome {
        found,
        model: &planned.model.name,
        version: planned.model.version,
        before: threshold(&planned.model.contract.task),
        borne: args.max_alarms,
        rule,
    };
    let output = args.reply.output;
    if !args.write {
        return output.print(&outcome.json(), || outcome.text());
    }
    let written = outcome
        .can_be_written()
        .and_then(|()| outcome.write(config.models, &args.note));
    match written {
        Ok(added) => {
            let mut value = outcome.json();
            value["written"] = added.json();
            output.print(&value, || format!("{}{}", outcome.text(), added.text()))
        }
        // What was found is told also when it can't be written.
        Err(error) => {
            output.print(&outcome.json(), || outcome.text())?;
            Err(error)
        }
    }
}

/// What was found, and for what.
struct Outcome<'a> {
    found: Calibration,
    model: &'a str,
    version: u32,
    /// The threshold of that version.
    before: f64,
    borne: Bearable,
    rule: AlarmSpec,
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

fn collect(step: &Step<'_>, group: usize, stretch: &Stretch, scores: &mut Scores) {
    for scored in step.results() {
        let head = &scored.head;
        let window = head.window();
        let counts = !head.is_provisional() && window.is_none_or(|window| window.revision == 0);
        if scored.model.group != group || !counts || !stretch.takes_row(step, head) {
            continue;
        }
        if let Ok(Verdict::Anomaly { score, .. }) = scored.verdict {
            scores.push(step.asset(head.slot, head.asset), head.at(), score);
        }
    }
}

impl Outcome<'_> {
    fn json(&self) -> Value {
        let (found, rule) = (&self.found, &self.rule);
        let (first, last) = found.stretch;
        json!({
            "model": self.model,
            "version": self.version,
            "threshold": found.threshold,
            "threshold_before": self.before,
            "alarms": found.alarms,
            "alarms_borne": found.borne,
            "scores": found.scores,
            "scores_above": found.above,
            "first_score": EventTimestamp(first),
            "last_score": EventTimestamp(last),
            "assets": found.assets,
            "asset_days": asset_days(found),
            "rule": { "name": rule.name, "of": rule.of, "within": rule.within },
            "past_too_short": found.is_short,
        })
    }

    fn text(&self) -> String {
        let (found, rule) = (&self.found, &self.rule);
        let mut text = format!(
            "{} version {}: threshold {}\n",
            self.model, self.version, found.threshold
        );
        let _ = writeln!(
            text,
            "  over {} scores of {} assets in {:.1} asset-days it raises {} alarms ({:.1} are borne); {} scores are above it",
            thousands(found.scores),
            thousands(found.assets as u64),
            asset_days(found),
            found.alarms,
            found.borne,
            thousands(found.above),
        );
        let _ = writeln!(
            text,
            "  rule {}: {} of {} results beyond the limit",
            rule.name, rule.of, rule.within
        );
        if found.is_short {
            text += "  the past is too short to bear one alarm: this threshold raises none in it, which means little\n";
        }
        text
    }
}

/// The contract's threshold; [`group`] has let no other task pass.
fn threshold(task: &Task) -> f64 {
    match task {
        Task::Anomaly { threshold, .. } => *threshold,
        Task::Forecast(forecast) => forecast.threshold,
        _ => f64::NAN,
    }
}

fn asset_days(found: &Calibration) -> f64 {
    found.watched.as_secs_f64() / 86_400.0
}
