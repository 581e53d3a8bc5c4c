//! `forewarn dlq`: what was refused, why, and back to where it came from.
//!
//! ```text
//!   list ─▶ show ─▶ mend the cause (configuration, producer) ─▶ redrive ─▶ list
//! ```
//!
//! Not here: reading and sending (`pipeline`: `kafka/dead_letters.rs`, `kafka/redrive.rs`).

use anyhow::Result;
use clap::{Args, Subcommand};
use forewarn_pipeline::dead_letter::Letter;
use forewarn_pipeline::kafka::dead_letters::Dead;
use forewarn_pipeline::prediction::EventTimestamp;

use crate::cli::{PipelineArgs, instant};

mod list;
mod redrive;
mod show;
mod text;

#[derive(Debug, Args)]
pub(crate) struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// Dead letters by code: how many, from when to when, and an example of each
    List(list::ListArgs),
    /// One dead letter: why, where it came from, its headers, key and bytes
    Show(show::ShowArgs),
    /// Send the messages of dead letters back to the source topic, each once
    ///
    /// Mend the cause first: a message that is refused again is a dead letter again. It goes to the partition
    /// that it came from, with its own key, bytes, headers and timestamp, and header forewarn.redrive names its
    /// letter. In the same transaction a receipt in the dead letter topic says that it was sent, so that no letter
    /// is sent twice, also when this command is killed and run again.
    ///
    /// A reading that is sent again may be late: if the watermark of its partition has gone past it, it goes to
    /// the late topic, or revises what was said where `allowed-lateness` still takes it. The record that was
    /// refused stays in the log: whoever goes through the topic again with a configuration that takes it
    /// (`score`, `replay`, windows that are rebuilt after a restart) reads it at both places.
    Redrive(redrive::RedriveArgs),
}

pub(crate) fn run(args: &DlqArgs) -> Result<()> {
    match &args.command {
        DlqCommand::List(args) => list::run(args),
        DlqCommand::Show(args) => show::run(args),
        DlqCommand::Redrive(args) => redrive::run(args),
    }
}

/// Which of them.
#[derive(Debug, Args)]
struct SelectArgs {
    /// Only letters with this code, such as malformed-json; may be given several times
    #[arg(long = "code", value_name = "CODE")]
    codes: Vec<String>,
    /// Only letters written from this instant on, such as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<EventTimestamp>,
    /// Only letters written before this instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    to: Option<EventTimestamp>,
}

impl SelectArgs {
    fn is_given(&self) -> bool {
        !self.codes.is_empty() || self.from.is_some() || self.to.is_some()
    }

    fn takes(&self, dead: &Dead<'_>, letter: &Letter<'_>) -> bool {
        let by_code = self.codes.is_empty() || self.codes.iter().any(|code| code == letter.code);
        let after = self.from.is_none_or(|from| dead.at.0 >= from.0);
        by_code && after && self.to.is_none_or(|to| dead.at.0 < to.0)
    }
}
