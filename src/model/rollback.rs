//! `forewarn model rollback`: the version serves again that served before.

use anyhow::Result;
use clap::Args;

use super::{ChangeArgs, Named, promote};

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    #[arg(value_name = "NAME")]
    model: Named,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Nothing is tried here: it served before, it is checked when it is loaded, and going back must not wait.
pub(super) fn run(args: &RollbackArgs) -> Result<()> {
    let output = args.change.reply.output;
    if args.model.version.is_some() {
        anyhow::bail!(
            "rollback finds the version itself; to name one, use `forewarn model promote`"
        );
    }
    let place = args.change.place.open()?;
    let name = &args.model.name;
    let promoted = place.repository.roll_back(name, &args.change.note.note())?;
    promote::tell(name, &promoted, output)
}
