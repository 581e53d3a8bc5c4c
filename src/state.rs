//! `forewarn state`: the state that a pipeline has written down, as a restart would take it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use forewarn_pipeline::Plan;
use forewarn_pipeline::kafka::snapshots::{self, Snapshot};
use forewarn_pipeline::kafka::topics;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_pipeline::saved::SavedError;
use serde_json::{Value, json};

use crate::cli::PipelineArgs;
use crate::guard;
use crate::reply::ReplyArgs;
use crate::terminal::thousands;

#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Debug, Subcommand)]
enum StateCommand {
    /// Say of each partition up to where its state is written down, how large it is, and whether it can be used
    Inspect(InspectArgs),
    /// Write the state of the assets as JSON lines
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct InspectArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    #[command(flatten)]
    reply: ReplyArgs,
}

#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Only this asset
    #[arg(long, value_name = "NAME")]
    asset: Option<String>,
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What was read of each partition, in their order.
type Partitions = Vec<(i32, Option<Result<Snapshot, SavedError>>)>;

pub(crate) fn run(args: &StateArgs) -> Result<()> {
    match &args.command {
        StateCommand::Inspect(args) => inspect(args),
        StateCommand::Export(args) => export(args),
    }
}

fn read(args: &PipelineArgs) -> Result<Partitions> {
    let config = args.load()?;
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    if !plan.has_state() {
        bail!("nothing in this pipeline depends on earlier readings: it has no state");
    }
    if !plan.writes_state(&config) {
        bail!(
            "delivery.snapshot-every is \"never\": state is rebuilt from the log, and not written down"
        );
    }
    let topic = config.state_topic();
    let present = topics::list(&config.kafka)?;
    let Some(partitions) = present.get(&topic) else {
        bail!("topic {topic} does not exist: the pipeline has not run yet");
    };
    let numbers: Vec<i32> = (0..).take(*partitions).collect();
    let read = snapshots::read(&config, plan.fingerprint(&config), &numbers);
    let mut read: HashMap<i32, _> = read.with_context(|| topic)?;
    let of_each = numbers
        .into_iter()
        .map(|partition| (partition, read.remove(&partition)));
    Ok(of_each.collect())
}

fn inspect(args: &InspectArgs) -> Result<()> {
    let partitions = read(&args.pipeline)?;
    let told: Vec<Value> = partitions.iter().map(as_json).collect();
    args.reply.output.print(&told, || {
        let mut text = String::new();
        for (partition, read) in &partitions {
            let _ = match read {
                None => writeln!(text, "partition {partition}: nothing is written down"),
                Some(Err(reason)) => writeln!(
                    text,
                    "partition {partition}: of no use, {reason}; a restart rebuilds it from the log"
                ),
                Some(Ok(snapshot)) => writeln!(
                    text,
                    "partition {partition}: before record {}, watermark {}, {} assets, {} bytes",
                    snapshot.shared.offset,
                    watermark(snapshot).unwrap_or_else(|| "none".into()),
                    thousands(snapshot.assets.len() as u64),
                    thousands(snapshot.bytes)
                ),
            };
        }
        text
    })
}

fn as_json((partition, read): &(i32, Option<Result<Snapshot, SavedError>>)) -> Value {
    match read {
        None => json!({ "partition": partition, "written": false }),
        Some(Err(reason)) => {
            json!({ "partition": partition, "written": true, "reason": reason.to_string() })
        }
        Some(Ok(snapshot)) => json!({
            "partition": partition,
            "written": true,
            "offset": snapshot.shared.offset,
            "watermark": watermark(snapshot),
            "assets": snapshot.assets.len(),
            "bytes": snapshot.bytes,
        }),
    }
}

fn watermark(snapshot: &Snapshot) -> Option<String> {
    let at = snapshot.shared.watermark;
    (at != i64::MIN).then(|| EventTimestamp(at).to_string())
}

/// One line per partition and asset; instants are microseconds since 1970, a missing value is null.
fn export(args: &ExportArgs) -> Result<()> {
    let partitions = read(&args.pipeline)?;
    let wanted = |name: &str| args.asset.as_deref().is_none_or(|asset| asset == name);
    let usable = partitions
        .iter()
        .filter_map(|(partition, read)| match read {
            Some(Ok(snapshot)) => Some((partition, snapshot)),
            _ => None,
        });
    let assets = usable.flat_map(|(partition, snapshot)| {
        let assets = snapshot.assets.iter();
        assets.map(move |(name, state)| (partition, name, state))
    });
    let lines: Vec<_> = assets.filter(|(_, name, _)| wanted(name)).collect();
    // Before anything is written: half of the state must not be taken for all of it.
    let unusable = partitions.iter().find_map(|(partition, read)| {
        let reason = read.as_ref()?.as_ref().err()?;
        Some(format!("partition {partition}: {reason}"))
    });
    match (&args.asset, unusable) {
        (None, Some(reason)) => bail!(reason),
        (Some(asset), Some(reason)) if lines.is_empty() => {
            bail!("nothing that can be read is written down of asset {asset} ({reason})")
        }
        (Some(asset), None) if lines.is_empty() => {
            bail!("nothing is written down of asset {asset}")
        }
        _ => {}
    }
    let to: Box<dyn Write> = match &args.output {
        None => Box::new(io::stdout().lock()),
        Some(path) => Box::new(File::create(path).with_context(|| path.display().to_string())?),
    };
    let mut to = BufWriter::new(to);
    let written = lines.iter().try_for_each(|(partition, name, state)| {
        let line = json!({ "partition": partition, "asset": name, "state": state });
        writeln!(to, "{line}")
    });
    match written.and_then(|()| to.flush()) {
        // Who reads it has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe && args.output.is_none() => Ok(()),
        written => Ok(written?),
    }
}
