//! `forewarn model check`: would this score, and if not, why? Nothing is kept of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use forewarn_models::admission::Admitted;
use forewarn_models::{Loader, ModelFiles};
use forewarn_pipeline::config::{Models, Problems};
use forewarn_pipeline::{Config, Plan};
use serde_json::json;

use super::place::Place;
use super::{Named, Output, ReplyArgs, score};
use crate::guard;
use crate::terminal::thousands;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// An ONNX file, a folder with model.onnx, or NAME[@VERSION] in a repository
    #[arg(value_name = "FILE or NAME[@VERSION]")]
    model: PathBuf,
    /// The model repository
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
    /// A pipeline's configuration: its limits and keys, and with --view what the model would be fed
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The view that would give its input
    #[arg(long, requires = "config")]
    view: Option<String>,
    #[command(flatten)]
    reply: ReplyArgs,
}

pub(super) fn run(args: &CheckArgs) -> Result<()> {
    let output = args.reply.output;
    let place = place(args)?;
    let files = files(args, &place)?;
    // In a store of its own: it is tried now, and nothing stays.
    let store = tempfile::tempdir().context("a temporary folder")?;
    let admission = guard::admission_in(&place.models, store.path().to_owned())?;
    let admitted = match admission.admit(&place.runtime()?, &files) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            return Err(output.refuse(&args.model.display().to_string(), &refusal));
        }
    };
    let view = match (&args.config, &args.view) {
        (Some(config), Some(view)) => {
            bind(config, view, &admitted)?;
            Some(view.as_str())
        }
        _ => None,
    };
    tell(&admitted, view, output)
}

fn place(args: &CheckArgs) -> Result<Place> {
    let place = super::place::PlaceArgs {
        repository: args.repository.clone(),
        config: args.config.clone(),
    };
    if place.repository.is_none() && place.config.is_none() {
        let models = Models::serving_none(PathBuf::new());
        return Ok(Place::new(models));
    }
    place.open()
}

/// What is there as a file is meant as one.
fn files(args: &CheckArgs, place: &Place) -> Result<ModelFiles> {
    let path = &args.model;
    let stem = |path: &Path| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    if path.is_dir() {
        return Ok(ModelFiles::in_folder(&stem(path), 0, path));
    }
    let has_place = args.repository.is_some() || args.config.is_some();
    if path.exists() || !has_place {
        return Ok(ModelFiles {
            name: stem(path),
            version: 0,
            onnx: path.clone(),
            manifest: path.with_file_name("model.toml"),
        });
    }
    let named: Named = path.to_string_lossy().parse()?;
    Ok(named.resolve(&place.repository)?)
}

/// Builds the plan of the configuration with this model alone, out of a repository that holds nothing else.
fn bind(file: &Path, view: &str, admitted: &Admitted) -> Result<()> {
    const NAME: &str = "model";
    let mut config = Config::load(file)?;
    let repository = tempfile::tempdir().context("a temporary folder")?;
    let version = repository.path().join(NAME).join("1");
    fs::create_dir_all(&version)?;
    for entry in fs::read_dir(admitted.files.folder())? {
        let entry = entry?;
        if entry.path().is_file() {
            fs::copy(entry.path(), version.join(entry.file_name()))?;
        }
    }
    config.models.repository = repository.path().to_owned();
    let named = Named {
        name: NAME.into(),
        version: None,
    };
    score::serve_only(&mut config, &named, Some(view))?;
    // The copies were admitted a moment ago; signatures lie with the originals.
    let built = Plan::build(&config, &Loader::trusted());
    built.map(drop).map_err(|problems| misfit(file, problems))
}

/// The place in the file says nothing about a model that the file does not name.
fn misfit(file: &Path, mut problems: Problems) -> anyhow::Error {
    for problem in &mut problems.list {
        problem.line = None;
    }
    let count = problems.list.len();
    println!("{problems}");
    anyhow::anyhow!(
        "the model does not fit {}: {count} problems",
        file.display()
    )
}

fn tell(admitted: &Admitted, view: Option<&str>, output: Output) -> Result<()> {
    let (report, outline) = (&admitted.report, &admitted.outline);
    let ports = |ports: &[forewarn_models::admission::Port]| -> Vec<String> {
        ports.iter().map(ToString::to_string).collect()
    };
    let (inputs, outputs) = (ports(&outline.inputs), ports(&outline.outputs));
    let value = json!({
        "admitted": true,
        "sha256": admitted.sha256,
        "inputs": inputs,
        "outputs": outputs,
        "view": view,
        "warnings": report.warnings,
        "load_seconds": report.load_seconds,
        "rows_per_second": report.rows_per_second,
        "peak_bytes": report.peak_bytes,
    });
    output.print(&value, || {
        let mut text = format!(
            "{} fits{}\n  takes     {}\n  gives     {}\n  sha256    {}\n  trial     {} rows/s on one core, loaded in \
             {:.0} ms, {} MiB at most\n",
            admitted.files.name,
            view.map_or_else(String::new, |view| format!(" view {view}")),
            inputs.join(", "),
            outputs.join(", "),
            admitted.sha256,
            thousands(report.rows_per_second as u64),
            report.load_seconds * 1e3,
            report.peak_bytes >> 20
        );
        for warning in &report.warnings {
            text += &format!("  warning   {warning}\n");
        }
        text
    })
}
