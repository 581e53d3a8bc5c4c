//! `forewarn model`: everything that one does with models, one file per command.
//!
//! ```text
//!   add ──▶ check ──▶ score, compare (beside what serves) ──▶ promote ──▶ rollback, remove
//!                      list, show: what there is
//! ```
//!
//! Not here: what is decided on a file (`admission` in the `models` crate), shadow scoring in the service.

use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use forewarn_models::repository::{Note, RepositoryError};
use forewarn_models::{ModelFiles, Repository};

use crate::reply::{Output, ReplyArgs};

mod add;
mod added;
mod check;
mod compare;
mod list;
mod place;
mod promote;
mod remove;
mod rollback;
mod score;
mod show;

pub(crate) use add::source::Source;
pub(crate) use added::{Added, add as add_staged};
pub(crate) use place::Place;
use place::PlaceArgs;

#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Models, their versions, and which one serves
    List(list::ListArgs),
    /// One version: contract, inputs and outputs, hash, trial and history
    Show(show::ShowArgs),
    /// Try a model and put it into the repository under the next version number
    Add(Box<add::AddArgs>),
    /// Say whether a file or a version can score, and all reasons why not
    Check(check::CheckArgs),
    /// Score a file, or the topic's history, with one version in place of the one that serves
    Score(score::ScoreArgs),
    /// Challengers beside the models that they may replace, from what was published of both
    Compare(compare::CompareArgs),
    /// Let a version serve: at once where the service reloads, else from its next start on
    Promote(promote::PromoteArgs),
    /// Let the version serve again that served before
    Rollback(rollback::RollbackArgs),
    /// Take a version out of the repository
    Remove(remove::RemoveArgs),
}

pub(crate) fn run(args: &ModelArgs) -> Result<()> {
    match &args.command {
        ModelCommand::List(args) => list::run(args),
        ModelCommand::Show(args) => show::run(args),
        ModelCommand::Add(args) => add::run(args),
        ModelCommand::Check(args) => check::run(args),
        ModelCommand::Score(args) => score::run(args),
        ModelCommand::Compare(args) => compare::run(args),
        ModelCommand::Promote(args) => promote::run(args),
        ModelCommand::Rollback(args) => rollback::run(args),
        ModelCommand::Remove(args) => remove::run(args),
    }
}

/// What every command that changes the repository is told.
#[derive(Debug, Args)]
struct ChangeArgs {
    #[command(flatten)]
    note: NoteArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    reply: ReplyArgs,
}

/// Who does something, and why; for the history.
#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    /// Why, for the history
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    /// Who, for the history [default: the user's name]
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl NoteArgs {
    /// Was any of it given?
    pub(crate) fn is_given(&self) -> bool {
        self.by.is_some() || !self.why.is_empty()
    }

    pub(crate) fn note(&self) -> Note {
        let user = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        let by = self.by.clone().or_else(|| user().ok());
        Note::new(
            &by.unwrap_or_else(|| "unknown".into()),
            &self.why,
            SystemTime::now(),
        )
    }
}

/// `NAME` or `NAME@VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub name: String,
    pub version: Option<u32>,
}

impl std::str::FromStr for Named {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                let number = version.parse();
                let number = number.with_context(|| {
                    format!("{version} is no version: write NAME@NUMBER, such as pump@3")
                })?;
                (name, Some(number))
            }
        };
        forewarn_models::repository::check_name(name)?;
        Ok(Named {
            name: name.into(),
            version,
        })
    }
}

impl Named {
    fn resolve(&self, repository: &Repository) -> Result<ModelFiles, RepositoryError> {
        repository.resolve(&self.name, self.version)
    }

    /// The version, where one must be named.
    pub(crate) fn required(&self) -> Result<u32> {
        let Some(version) = self.version else {
            bail!("name the version, such as {}@1", self.name);
        };
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::Named;

    #[test]
    fn a_version_follows_the_name() {
        let named = |text: &str| {
            text.parse::<Named>()
                .map(|named| (named.name, named.version))
        };
        assert_eq!(named("pump@3").unwrap(), ("pump".into(), Some(3)));
        assert_eq!(named("pump").unwrap(), ("pump".into(), None));
        for wrong in ["pump@x", "pump@", "pump@-1", "../pump@1", "@1", ""] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
