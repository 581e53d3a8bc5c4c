//! `forewarn state`: the state that a pipeline has written down, as a restart would take it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use forewarn_pipeline::kafka::snapshots::{self, Snapshot};
use forewarn_pipeline::kafka::topics;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_pipeline::saved::SavedError;
use forewarn_pipeline::{Config, Plan};
use serde_json::{Value, json};

use crate::guard;
use crate::model::Output;
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
struct OfArgs {
    /// The pipeline's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Bootstrap servers, instead of `kafka.brokers`
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
}

#[derive(Debug, Args)]
struct InspectArgs {
    #[command(flatten)]
    of: OfArgs,
    /// The result as text for people or JSON for programs
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    of: OfArgs,
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

fn read(args: &OfArgs) -> Result<Partitions> {
    let mut config = Config::load(&args.config)?;
    if let Some(brokers) = &args.brokers {
        config.kafka.brokers.clone_from(brokers);
    }
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
    let partitions = read(&args.of)?;
    let told: Vec<Value> = partitions.iter().map(as_json).collect();
    args.output.print(&told, || {
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
    let partitions = read(&args.of)?;
    let mut to: Box<dyn Write> = match &args.output {
        None => Box::new(io::stdout().lock()),
        Some(path) => {
            let file = File::create(path).with_context(|| path.display().to_string())?;
            Box::new(BufWriter::new(file))
        }
    };
    let mut lines = 0;
    for (partition, read) in partitions {
        let snapshot = match read {
            None => continue,
            Some(Err(reason)) => bail!("partition {partition}: {reason}"),
            Some(Ok(snapshot)) => snapshot,
        };
        let wanted = |name: &str| args.asset.as_deref().is_none_or(|asset| asset == name);
        for (name, state) in snapshot.assets.iter().filter(|(name, _)| wanted(name)) {
            let line = json!({ "partition": partition, "asset": name, "state": state });
            writeln!(to, "{line}")?;
            lines += 1;
        }
    }
    to.flush()?;
    match &args.asset {
        Some(asset) if lines == 0 => bail!("nothing is written down of asset {asset}"),
        _ => Ok(()),
    }
}
