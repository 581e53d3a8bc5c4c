//! `forewarn model promote`: another version serves.

use anyhow::Result;
use clap::Args;
use forewarn_models::repository::Promoted;
use serde_json::json;

use super::{ChangeArgs, Named, Output};
use crate::guard;

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    #[arg(value_name = "NAME@VERSION")]
    model: Named,
    #[command(flatten)]
    change: ChangeArgs,
}

/// What can't score is not promoted: a service that starts next would refuse it.
pub(super) fn run(args: &PromoteArgs) -> Result<()> {
    let output = args.change.reply.output;
    args.model.required()?;
    let place = args.change.place.open()?;
    let files = args.model.resolve(&place.repository)?;
    let admission = guard::admission(&place.models)?;
    let admitted = match admission.admit(&place.runtime()?, &files) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            return Err(output.refuse(&format!("{}@{}", files.name, files.version), &refusal));
        }
    };
    let note = args.change.note.note();
    let sha256 = Some(admitted.sha256.as_str());
    let promoted = place
        .repository
        .promote(&files.name, files.version, sha256, &note)?;
    tell(&files.name, &promoted, output)
}

/// Tells which version serves now.
pub(super) fn tell(name: &str, promoted: &Promoted, output: Output) -> Result<()> {
    let value = json!({
        "name": name,
        "from": promoted.from,
        "to": promoted.to,
        "backwards": promoted.goes_backwards(),
    });
    output.print(&value, || {
        let before = match promoted.from {
            Some(from) if from == promoted.to => ", as before".to_owned(),
            Some(from) => format!(" in place of {from}"),
            None => String::new(),
        };
        let backwards = if promoted.goes_backwards() {
            "\nnote: its number is the lower one; the pointer decides, not the number"
        } else {
            ""
        };
        format!(
            "{name} {} serves{before}: at once where a service reloads, else from its next start{backwards}",
            promoted.to
        )
    })
}
