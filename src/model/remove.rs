//! `forewarn model remove`: a version is taken out.

use anyhow::Result;
use clap::Args;
use forewarn_models::repository::Removal;
use serde_json::json;

use super::{ChangeArgs, Named};

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    #[arg(value_name = "NAME@VERSION")]
    model: Named,
    /// Delete its files, instead of moving them to the model's .trash folder
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(args: &RemoveArgs) -> Result<()> {
    let output = args.change.reply.output;
    let version = args.model.required()?;
    let place = args.change.place.open()?;
    let name = &args.model.name;
    let removal = if args.yes {
        Removal::Delete
    } else {
        Removal::Trash
    };
    let note = args.change.note.note();
    let trash = place.repository.remove(name, version, removal, &note)?;
    let value = json!({ "name": name, "version": version, "trash": trash });
    output.print(&value, || match &trash {
        Some(trash) => format!("{name} {version} is in {}; --yes deletes", trash.display()),
        None => format!("{name} {version} is deleted"),
    })
}
