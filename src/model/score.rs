//! `forewarn model score`: what a version would have said, beside what serves. It is `forewarn score` with
//! that version alone.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use forewarn_pipeline::Config;
use forewarn_pipeline::config::ServedModel;
use serde_json::json;

use super::{Named, Output};
use crate::cli::HistoryArgs;
use crate::score;

#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// The model, and the version if not the one that serves: NAME or NAME@VERSION
    #[arg(value_name = "NAME[@VERSION]")]
    model: Named,
    #[command(flatten)]
    history: HistoryArgs,
    /// The view that gives its input [default: the one on which the configuration serves this model]
    #[arg(long)]
    view: Option<String>,
    /// The model repository [default: that of the configuration]
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
    /// Where scores go: a file (.parquet, .csv), or a folder of Parquet files by date (a name without an ending)
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    /// The result as text or JSON
    #[arg(long, value_enum, default_value = "text")]
    output_format: Output,
}

pub(super) fn run(args: &ScoreArgs) -> Result<()> {
    let mut config = args.history.load()?;
    if let Some(repository) = &args.repository {
        config.models.repository.clone_from(repository);
    }
    serve_only(&mut config, &args.model, args.view.as_deref())?;
    let summary = score::score(config, &args.history.past, &args.output)?;
    if args.output_format == Output::Text {
        summary.print(&args.output);
        return Ok(());
    }
    let value = json!({
        "rows": summary.rows,
        "predictions": summary.predictions,
        "unscored": summary.unscored,
        "seconds": summary.seconds,
        "output": args.output,
    });
    args.output_format.print(&value, String::new)
}

/// Leaves `model` alone in the configuration, in the version asked for.
pub(super) fn serve_only(config: &mut Config, model: &Named, view: Option<&str>) -> Result<()> {
    let served = config
        .models
        .serve
        .iter()
        .find(|served| served.name == model.name);
    let view = view.or(served.map(|served| served.view.as_str()));
    let Some(view) = view.map(ToOwned::to_owned) else {
        let views: Vec<&str> = config.views.keys().map(String::as_str).collect();
        bail!(
            "the configuration does not serve {}: name the view that gives its input with --view; there is: {}",
            model.name,
            views.join(", ")
        );
    };
    if !config.views.contains_key(&view) {
        let views: Vec<&str> = config.views.keys().map(String::as_str).collect();
        bail!("{view} is not a view; there is: {}", views.join(", "));
    }
    // Its alarms may watch other models.
    config.alarms.clear();
    config.models.serve = vec![ServedModel {
        version: model.version,
        ..ServedModel::new(&model.name, &view)
    }];
    Ok(())
}
