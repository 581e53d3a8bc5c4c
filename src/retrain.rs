//! `forewarn retrain`: one command from the log to a better model, or the reason why it is not better.
//!
//! ```text
//!   recipe ─ the log, through the views ─▶ rows ─ labels, split ─▶ train ─▶ graph ─▶ admission, as candidate
//!                                                                                      │
//!   the log again, through the engine:  candidate ─▶ its interval or threshold, from held-back assets
//!                                       champion and candidate ─▶ the same rows of held-back assets ─▶ gate
//!                                                                                      │
//!                                       passed: model.onnx, card.md, golden.json as the next version
//! ```
//!
//! Both models are judged by the engine that serves, so what is compared is what would have been published.
//!
//! | file | holds |
//! |---|---|
//! | `past.rs`, `labels.rs` | the rows of the log, and what a version says of them; what happened to the assets |
//! | `candidate.rs`, `figures.rs` | versions as files: tried, served to the engine, added with card and figures |
//! | `words.rs` | figures in words, for reports and cards |
//! | `life.rs`, `life/` | models of remaining useful life |
//! | `anomaly.rs`, `anomaly/` | models of anomalies |
//!
//! Not here: everything that is mathematics (the `training` crate).

mod anomaly;
mod candidate;
mod figures;
mod labels;
mod life;
mod past;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use forewarn_pipeline::Config;
use forewarn_training::recipe::{Recipe, Task};
use serde_json::json;

use crate::cli::RetrainArgs;
use crate::drift::{NO_DRIFT, looked_at};
use past::Past;

/// The status of a run that went well and gave no better model.
const NOT_BETTER: u8 = 10;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Added,
    NotBetter,
    /// The recipe was not followed: nothing has drifted.
    NoDrift,
}

impl Outcome {
    /// Of the process.
    pub fn status(self) -> u8 {
        match self {
            Outcome::Added => 0,
            Outcome::NotBetter => NOT_BETTER,
            Outcome::NoDrift => NO_DRIFT,
        }
    }
}

pub(crate) fn run(args: &RetrainArgs) -> Result<Outcome> {
    let recipe = Recipe::read(&args.recipe)?;
    let config = args.past.load(&recipe.pipeline)?;
    if let Some(on) = &recipe.trigger.drift {
        let looked = looked_at(&config, &args.past, &recipe.model, on)?;
        if !looked.fires {
            let value = json!({ "trigger": { "fires": false, "reason": looked.reason, "drift": looked.report } });
            let text = || format!("not followed: {}", looked.reason);
            args.reply.output.print(&value, text)?;
            return Ok(Outcome::NoDrift);
        }
        tracing::info!(reason = looked.reason, "the recipe is followed");
    }
    let work = work_folder(args, &recipe)?;
    let job = Job {
        args,
        recipe: &recipe,
        config: &config,
        past: Past::new(&config, &args.past),
        work: &work,
    };
    match &recipe.task {
        Task::Life(life) => life::run(&job, life),
        Task::Anomaly(anomaly) => anomaly::run(&job, anomaly),
    }
}

/// What all steps of a run have in common.
struct Job<'a> {
    args: &'a RetrainArgs,
    recipe: &'a Recipe,
    config: &'a Config,
    past: Past<'a>,
    /// What a run keeps for the next one.
    work: &'a Path,
}

/// Where a run keeps what the next one goes on with.
fn work_folder(args: &RetrainArgs, recipe: &Recipe) -> Result<PathBuf> {
    let beside = || {
        let folder = args.recipe.parent().unwrap_or(Path::new("."));
        let name = recipe.model_of("each-asset");
        folder.join(format!(".{name}-retraining"))
    };
    let work = args.work.clone().unwrap_or_else(beside);
    std::fs::create_dir_all(&work).with_context(|| format!("--work {}", work.display()))?;
    Ok(work)
}

/// Serializes a duration as seconds.
fn seconds<S: serde::Serializer>(
    duration: &std::time::Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
