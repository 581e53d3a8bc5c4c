//! `forewarn model add`: a file becomes a version.
//!
//! ```text
//!   file, folder, MLflow model ─▶ staged folder ─▶ contract complete? ─▶ admission ─▶ <name>/<next version>/
//!                                                   │ no: asked for on a terminal, else told
//! ```
//!
//! Invariant: a refused model leaves nothing behind; the staged folder is gone when this returns.

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use forewarn_models::admission::{Admission, Bundle};
use forewarn_models::repository::check_name;
use forewarn_models::{ModelFiles, Refusal};

use super::{ChangeArgs, added};
use crate::guard;

mod ask;
mod draft;
mod mlflow;
mod ports;
mod question;
mod questions;
pub(super) mod source;

use draft::Draft;
use source::Source;

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// An ONNX file, a folder with model.onnx, or an MLflow model folder
    #[arg(value_name = "FILE or FOLDER")]
    source: PathBuf,
    /// The model's name [default: that of the file or folder]
    #[arg(long)]
    name: Option<String>,
    /// A key of the contract, such as task=anomaly or threshold=3.5; it wins over all others
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    keys: Vec<(String, toml::Value)>,
    /// The contract, as model.toml [default: the one beside the file]
    #[arg(long, value_name = "FILE")]
    contract: Option<PathBuf>,
    #[command(flatten)]
    change: ChangeArgs,
}

fn key_value(text: &str) -> Result<(String, toml::Value)> {
    let (key, value) = text
        .split_once('=')
        .with_context(|| format!("{text}: write KEY=VALUE, such as threshold=3.5"))?;
    Ok((key.trim().to_owned(), question::value_of(value)))
}

pub(super) fn run(args: &AddArgs) -> Result<()> {
    let source = Source::open(&args.source)?;
    let name = args.name.clone().unwrap_or_else(|| source.name());
    check_name(&name).context("give another one with --name")?;
    let place = args.change.place.open()?;
    let admission = guard::admission(&place.models)?;
    let staged = place.repository.stage()?;
    source.copy(staged.path())?;
    let files = ModelFiles::in_folder(&name, 0, staged.path());

    let mut draft = draft(args, &source, staged.path())?;
    // The outline is needed to complete the contract, which admission then wants complete.
    let bundle = inspect(&admission, &files, &mut draft)
        .map_err(|refusal| refused(args, staged.path(), refusal))?;
    complete(&mut draft, bundle)?;
    draft.write(&files.manifest)?;
    let folder = staged.path().to_owned();
    let added = added::add(
        (&place, &admission),
        &name,
        staged,
        &args.change.note.note(),
        |refusal| refused(args, &folder, refusal),
    )?;
    args.change
        .reply
        .output
        .print(&added.json(), || added.text())
}

/// A refusal names the file that was given, not its copy.
fn refused(args: &AddArgs, staged: &Path, mut refusal: Refusal) -> anyhow::Error {
    if refusal.path.starts_with(staged) {
        refusal.path.clone_from(&args.source);
    }
    let what = args.source.display().to_string();
    args.change.reply.output.refuse(&what, &refusal)
}

/// The contract as far as it is given: MLflow's, then `model.toml`, then `--set`.
fn draft(args: &AddArgs, source: &Source, staged: &Path) -> Result<Draft> {
    let mut draft = Draft::default();
    if let Some(mlflow) = source.mlflow() {
        draft.merge(mlflow.keys()?);
    }
    let beside = staged.join("model.toml");
    let manifest = args
        .contract
        .clone()
        .or_else(|| beside.is_file().then_some(beside));
    if let Some(file) = manifest {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let table = text.parse().with_context(|| file.display().to_string())?;
        draft.merge(table);
    }
    draft.merge(args.keys.iter().cloned().collect());
    Ok(draft)
}

/// Looks at the staged files. Weights in other files are listed with their hashes: whoever adds a folder
/// means the files that are in it.
fn inspect(
    admission: &Admission,
    files: &ModelFiles,
    draft: &mut Draft,
) -> Result<Bundle, Refusal> {
    let folder = files.folder();
    draft.list_weights(&folder);
    // An unwritable folder shows in the next step, with its reason.
    let _ = draft.write(&files.manifest);
    admission.inspect(files)
}

fn complete(draft: &mut Draft, bundle: Bundle) -> Result<()> {
    draft.look_at(bundle)?;
    if draft.question(false).is_none() {
        return Ok(());
    }
    let (input, output) = (std::io::stdin(), std::io::stderr());
    if input.is_terminal() && output.is_terminal() {
        return ask::ask(draft, &mut input.lock(), &mut output.lock());
    }
    println!("{}", draft.template());
    bail!(
        "the contract is not complete: save the text above as model.toml, fill it in and give it with --contract, \
         give the keys with --set, or run this on a terminal to be asked"
    )
}
