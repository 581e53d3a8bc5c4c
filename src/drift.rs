//! `forewarn drift`: are features and scores still as they were in training?
//!
//! ```text
//!   --fit:  a stretch of the log ─▶ engine ─▶ rows of one model ─▶ reference.json beside its graph
//!           a stretch of the log ─▶ engine ─▶ rows of each model ─ its reference ─▶ report, status
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `fit.rs` | making a reference |
//! | `text.rs` | the report for a person |
//! | `trigger.rs` | whether a recipe has a reason to be followed |
//!
//! Not here: what is measured (`forewarn_pipeline::drift`).

mod fit;
mod text;
mod trigger;

pub(crate) use trigger::{NO_DRIFT, looked_at};

use anyhow::{Result, bail};
use clap::Args;
use forewarn_pipeline::config::ServedModel;
use forewarn_pipeline::drift::{Examination, Report};
use forewarn_pipeline::plan::Role;
use forewarn_pipeline::stretch::Settling;
use forewarn_pipeline::{Config, Engine, Plan};
use serde_json::json;

use crate::cli::{HistoryArgs, PastArgs};
use crate::guard;
use crate::history::History;
use crate::model::Named;
use crate::reply::ReplyArgs;
use crate::score;

/// The status of a run that found drift beyond the limit.
pub(crate) const DRIFTED: u8 = 11;

#[derive(Debug, Args)]
pub(crate) struct DriftArgs {
    #[command(flatten)]
    history: HistoryArgs,
    /// The served model, and the version if not the one that serves: NAME or NAME@VERSION [default: all that have a
    /// reference]
    #[arg(long, value_name = "NAME[@VERSION]")]
    model: Option<Named>,
    /// Make the reference of the model from this past, instead of comparing it with one
    #[arg(long, requires = "model")]
    fit: bool,
    /// With --fit: in place of the reference that the version has
    #[arg(long, requires = "fit")]
    replace: bool,
    #[command(flatten)]
    reply: ReplyArgs,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Drifted,
}

pub(crate) fn run(args: &DriftArgs) -> Result<Outcome> {
    let config = args.history.load()?;
    if let (true, Some(model)) = (args.fit, &args.model) {
        let fitted = fit::fit(config, &args.history.past, model, args.replace)?;
        args.reply.output.print(&fitted, || fitted.text())?;
        return Ok(Outcome::Done);
    }
    let large = config.models.drift.large;
    let examined = examine(config, &args.history.past, args.model.as_ref())?;
    let drifted = examined
        .reports
        .iter()
        .any(|report| !report.drifted().is_empty());
    let value = json!({
        "drifted": drifted,
        "limit": large,
        "models": examined.reports,
        "without_reference": examined.without,
    });
    args.reply.output.print(&value, || examined.text(large))?;
    Ok(match drifted {
        true => Outcome::Drifted,
        false => Outcome::Done,
    })
}

/// What was found of a stretch of the log.
pub(crate) struct Examined {
    pub reports: Vec<Report>,
    /// Models that have no reference, as `NAME VERSION`.
    pub without: Vec<String>,
}

/// Compares the past that `args` mean with the references of the models that serve, or of one of them.
///
/// # Errors
/// When no model has a reference, or the stretch has no row of theirs.
pub(crate) fn examine(
    mut config: Config,
    args: &PastArgs,
    model: Option<&Named>,
) -> Result<Examined> {
    if let Some(model) = model {
        narrow(&mut config, model)?;
    }
    config.alarms.clear();
    let history = History::new(args, &mut config)?;
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let drift = &config.models.drift;
    let (mut examinations, mut without) = (Vec::new(), Vec::new());
    for place in places(&plan, model) {
        let of = &plan.models[place].model;
        match Examination::new(&plan, place, drift.limits(), drift.sensitivity()) {
            Some(examination) => examinations.push(examination),
            None => without.push(format!("{} {}", of.name, of.version)),
        }
    }
    if examinations.is_empty() {
        bail!(
            "{} has no training reference to compare with: make one from the past that it was trained on, with \
             `forewarn drift --fit --model NAME`",
            without.join(", ")
        );
    }
    let mut engine = Engine::new(&config, plan);
    let settling = Settling::of_scores(engine.plan());
    let gone = history.run(&config, &mut engine, settling, |step| {
        let all = examinations.iter_mut();
        all.for_each(|examination| examination.take(step, &history.stretch));
        Ok(())
    })?;
    let reports: Vec<Report> = examinations.iter().map(Examination::finish).collect();
    if reports.iter().all(|report| report.rows == 0) {
        bail!(
            "none of {} records gives a row that a model scores in this stretch",
            gone.records
        );
    }
    Ok(Examined { reports, without })
}

/// Leaves the entries of one model in the configuration, and those that share its assets.
fn narrow(config: &mut Config, model: &Named) -> Result<()> {
    let group = |served: &ServedModel| {
        let group = served.group.as_ref().unwrap_or(&served.name);
        group.clone()
    };
    let served = &mut config.models.serve;
    let entries = served.iter().filter(|served| served.name == model.name);
    let groups: Vec<String> = entries.map(group).collect();
    if groups.is_empty() {
        let known: Vec<&str> = served.iter().map(|served| served.name.as_str()).collect();
        bail!(
            "the configuration does not serve {}; it serves: {}",
            model.name,
            known.join(", ")
        );
    }
    served.retain(|served| groups.contains(&group(served)));
    for entry in served.iter_mut() {
        entry.shadow.clear();
    }
    match model.version {
        Some(_) => score::serve_versions(config, std::slice::from_ref(model)),
        None => Ok(()),
    }
}

/// The models that are meant, in the plan: those that serve.
fn places(plan: &Plan, model: Option<&Named>) -> Vec<usize> {
    let all = plan.models.iter().enumerate();
    let meant = all.filter(|(_, planned)| {
        let is_named = model.is_none_or(|model| model.name == planned.model.name);
        is_named && planned.role != Role::Challenger
    });
    meant.map(|(place, _)| place).collect()
}
