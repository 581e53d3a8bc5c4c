//! `forewarn check`: everything that can be known before a pipeline runs.

use std::time::Duration;

use anyhow::{Result, bail};
use forewarn_models::signature::Tensor;
use forewarn_models::{Contract, Model, Task};
use forewarn_pipeline::alarms::AlarmSpec;
use forewarn_pipeline::kafka::topics;
use forewarn_pipeline::plan::{PlannedView, Role};
use forewarn_pipeline::window::Kind;
use forewarn_pipeline::{Config, Plan};

use crate::cli::CheckArgs;
use crate::guard;
use crate::terminal::thousands;

pub(crate) fn run(args: &CheckArgs) -> Result<()> {
    let (config, mut problems) = Config::inspect(&args.config);
    let loader = config.as_ref().map(guard::loader).transpose();
    let plan = match (&config, &loader) {
        (Some(config), Ok(Some(loader))) => match Plan::build(config, loader) {
            Ok(plan) => Some(plan),
            Err(more) => {
                problems.list.extend(more.list);
                None
            }
        },
        // A key that can't be read is among the problems of the file.
        _ => None,
    };
    let count = problems.list.len();
    if let Err(problems) = problems.into_result() {
        println!("{problems}");
        bail!(
            "{} has {count} {}",
            args.config.display(),
            plural(count, "problem")
        );
    }
    loader?;
    if let (Some(config), Some(plan)) = (config, plan) {
        describe(&args.config.display().to_string(), &config, &plan);
    }
    Ok(())
}

fn describe(file: &str, config: &Config, plan: &Plan) {
    println!("{file}: no problems");
    println!(
        "  {} {} from topic {}",
        config.signals.len(),
        plural(config.signals.len(), "signal"),
        config.source.topic
    );
    for view in &plan.views {
        let width = view.view.width();
        println!(
            "  view {}: {width} {} {}",
            view.view.name(),
            plural(width, "feature"),
            rows_of(config, plan, view)
        );
    }
    for planned in &plan.models {
        println!("{}", model_text(&planned.model));
        if planned.role != Role::Champion {
            let group = &plan.groups[planned.group].name;
            println!("    {} in group {group}", planned.role.name());
        }
    }
    for alarm in &plan.alarms {
        println!("{}", alarm_text(alarm, &plan.groups[alarm.group].name));
    }
    let told = config.statuses.iter();
    for (name, topic) in told.filter_map(|(name, status)| Some((name, status.topic.as_ref()?))) {
        println!("  status {name}: told by topic {topic}");
    }
    let mut outputs = topics::outputs(config, plan);
    if plan.has_marks(config) {
        outputs.push(config.progress_topic());
    }
    if plan.writes_state(config) {
        outputs.push(config.state_topic());
    }
    println!("  outputs to {}", outputs.join(", "));
}

/// What a model takes and gives.
fn model_text(model: &Model) -> String {
    let contract = &model.contract;
    let rows = match contract.gathered() {
        _ if contract.is_recurrent() => "one row and its own state".to_owned(),
        Some(gathered) if gathered.length > contract.length() => format!(
            "{} rows, compared with the row {} later",
            contract.length(),
            gathered.length - contract.length()
        ),
        _ => format!("{} {}", contract.length(), plural(contract.length(), "row")),
    };
    let tensors = |tensors: &[Tensor], named: &dyn Fn(&str) -> bool| {
        let named = tensors.iter().filter(|tensor| named(&tensor.name));
        let texts: Vec<String> = named.map(ToString::to_string).collect();
        texts.join(", ")
    };
    let judged = contract.task.outputs();
    let is_judged = |name: &str| judged.iter().any(|output| output.name == name);
    let signature = model.signature();
    let reference = model.reference.as_ref().map(|of| {
        let (rows, assets) = (thousands(of.rows), thousands(of.assets));
        format!("\n    drift is measured against {rows} rows of {assets} assets in training")
    });
    format!(
        "  model {} version {}: {}, {} {} over {rows}\n    takes {}\n    gives {}{}{}",
        model.name,
        model.version,
        contract.task.name(),
        contract.features.len(),
        plural(contract.features.len(), "feature"),
        tensors(&signature.inputs, &|_| true),
        tensors(&signature.outputs, &is_judged),
        told_of(contract),
        reference.unwrap_or_default()
    )
}

/// When an alarm is raised and cleared.
fn alarm_text(alarm: &AlarmSpec, group: &str) -> String {
    let (beyond, back) = if alarm.rises {
        ("above", "at most")
    } else {
        ("below", "at least")
    };
    let levels = alarm.severities.iter();
    let levels: Vec<String> = levels
        .map(|(name, limit)| format!("{limit} ({name})"))
        .collect();
    format!(
        "  alarm {} on {group}: {} of {} results with {} {beyond} {}; cleared by {} {back} {}",
        alarm.name,
        alarm.of,
        alarm.within,
        alarm.watched(),
        levels.join(", "),
        alarm.clear_after,
        alarm.clear_at
    )
}

/// What a task says beyond its outputs.
fn told_of(contract: &Contract) -> String {
    match &contract.task {
        Task::Anomaly { threshold, .. } => format!(": a score, threshold {threshold}"),
        Task::Forecast(forecast) => format!(
            ": a forecast of {}, threshold {}",
            forecast.targets.join(", "),
            forecast.threshold
        ),
        Task::Rul(rul) => {
            let interval = match rul.has_interval() {
                true => format!("an interval of coverage {}", rul.coverage),
                false => "no interval".to_owned(),
            };
            format!(
                ": remaining life in {} up to {}, {interval}",
                rul.unit, rul.cap
            )
        }
        Task::Classification(told) => format!(": one of {}", told.classes.join(", ")),
        Task::Custom { .. } => ", published as they are".to_owned(),
    }
}

/// What a view's rows are, and when they come.
fn rows_of(config: &Config, plan: &Plan, view: &PlannedView) -> String {
    let of = match view.from {
        Some(from) => format!("rows of {}", plan.views[from].view.name()),
        None => "readings".to_owned(),
    };
    let bound = config.event_time.out_of_orderness;
    let wait = match (view.ordered, bound.is_zero()) {
        (false, _) => "as they come".to_owned(),
        (true, true) => "in the order of event time".to_owned(),
        (true, false) => format!("in the order of event time, {bound:?} behind the latest"),
    };
    let micros = |micros: i64| format!("{:?}", Duration::from_micros(micros.unsigned_abs()));
    let windows = match view.window.as_ref().map(|window| window.kind) {
        None => return format!("of {of}, {wait}"),
        Some(Kind::Time { size, step }) if size == step => {
            format!("tumbling windows of {}", micros(size))
        }
        Some(Kind::Time { size, step }) => {
            format!("hopping windows of {} every {}", micros(size), micros(step))
        }
        Some(Kind::Session { gap }) => format!("sessions with gaps under {}", micros(gap)),
        Some(Kind::Count { rows, step }) => format!("the last {rows} at every {step}"),
    };
    format!("over {windows} of {of}, {wait}")
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 {
        word.into()
    } else {
        format!("{word}s")
    }
}
