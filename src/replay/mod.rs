//! `forewarn replay`: the past once more: to tables, to another topic, through other versions of models, or beside
//! what was published.
//!
//! | file | holds |
//! |---|---|
//! | `rows.rs` | the rows of a view, and sequences of them, as tables |
//! | `copy.rs` | the messages themselves |
//! | `verify.rs`, `compare.rs` | what was published beside what the log gives |
//! | `versions.rs` | which version served from which record on |
//!
//! Not here: the table of scores, which a backtest has in common with `forewarn score` (`score.rs`).

mod compare;
mod copy;
mod rows;
mod verify;
mod versions;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use forewarn_models::Padding;
use forewarn_models::contract::Sequence;
use forewarn_pipeline::kafka::copy::Pace;
use forewarn_pipeline::stretch::Settling;
use forewarn_pipeline::{Config, Engine, Plan};
use serde_json::json;

use crate::cli::HistoryArgs;
use crate::dataset::{Content, Dataset, Lineage, Place, Rows};
use crate::guard;
use crate::history::History;
use crate::model::Named;
use crate::reply::Output;
use crate::score;
use crate::terminal::thousands;
use rows::{TIME, ViewRows};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["view", "models", "to_topic", "verify"])))]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    history: HistoryArgs,
    /// Write the rows of this view: what a model sees. The view of all signals is the readings themselves
    #[arg(long, value_name = "NAME", requires = "output")]
    view: Option<String>,
    /// Write sequences of so many rows of the view, as the model of that length gets them; one row for each step
    #[arg(long, value_name = "LENGTH", requires = "view", value_parser = clap::value_parser!(u16).range(1..=4096))]
    sequence: Option<u16>,
    /// Backtest: write the scores of the past with this version in place of the one that serves; may be given several
    /// times
    #[arg(long = "model", value_name = "NAME@VERSION", requires = "output")]
    models: Vec<Named>,
    /// Where to: a file (.parquet, .csv), or a folder of Parquet files by date (a name without an ending)
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Copy the messages to this topic, as they are; it is made when it does not exist
    #[arg(long, value_name = "TOPIC", conflicts_with_all = ["output", "input"])]
    to_topic: Option<String>,
    /// Copy so many times as fast as the timestamps of the messages [default: as fast as possible]
    #[arg(long, value_name = "FACTOR", requires = "to_topic", value_parser = copy::speed, conflicts_with = "rate")]
    speed: Option<f64>,
    /// Copy so many messages per second
    #[arg(long, value_name = "N", requires = "to_topic", value_parser = copy::rate)]
    rate: Option<f64>,
    /// Compare what was published with what the log gives, byte for byte; exits with 1 when they differ
    #[arg(long, conflicts_with_all = ["output", "input"])]
    verify: bool,
    /// The result of --verify as text or JSON
    #[arg(long, value_enum, default_value = "text")]
    output_format: Output,
}

pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let config = args.history.load()?;
    if let Some(topic) = &args.to_topic {
        let pace = match (args.speed, args.rate) {
            (Some(speed), _) => Pace::Speed(speed),
            (None, Some(rate)) => Pace::Rate(rate),
            (None, None) => Pace::Full,
        };
        return copy::run(&args.history.past, &config, topic, pace);
    }
    match (&args.view, &args.output) {
        (Some(name), Some(output)) => view(args, config, name, output),
        (None, Some(output)) => backtest(args, config, output),
        (_, None) => verify::run(&args.history.past, config, args.output_format),
    }
}

/// The scores of the past with other versions.
fn backtest(args: &ReplayArgs, mut config: Config, output: &Path) -> Result<()> {
    score::serve_versions(&mut config, &args.models)?;
    score::score(config, &args.history.past, output)?.print(output);
    Ok(())
}

/// The rows of a view.
fn view(args: &ReplayArgs, mut config: Config, name: &str, output: &Path) -> Result<()> {
    let history = History::new(&args.history.past, &mut config)?;
    let place = Place::of(output)?;
    let mut plan = Plan::build(&config, &guard::loader(&config)?)?;
    let Some(view) = plan.view(name) else {
        let known: Vec<&str> = plan.views.iter().map(|view| view.view.name()).collect();
        bail!("{name} is not a view; there is: {}", known.join(", "));
    };
    if let Some(length) = args.sequence {
        plan.gather(view, length.into());
    }
    plan.score_nothing();
    let sequence = plan.sequences.map(|gathered| {
        let Sequence {
            length,
            padding,
            step,
            min_rows,
        } = gathered.sequence;
        json!({
            "length": length,
            "padding": match padding { Padding::Edge => "edge", Padding::None => "none" },
            "step": step,
            "min_rows": min_rows,
            "max_gap": gathered.max_gap.map(|gap| humantime::format_duration(gap).to_string()),
        })
    });
    let rows = ViewRows::new(&plan, view);
    let settling = Settling::of(&plan, &plan.views[view]);
    let mut dataset = Dataset::create(place, rows.empty()?, TIME)?;
    let mut written = Rows::default();
    let mut engine = Engine::new(&config, plan);
    let begun = Instant::now();
    let gone = history.run(&config, &mut engine, settling, |step| {
        match rows.frame(step, &history.stretch, &mut written)? {
            Some(frame) => dataset.append(frame),
            None => Ok(()),
        }
    })?;
    let count = dataset.rows();
    let content = Content::view(&config, name, rows.features(), sequence);
    dataset.finish(&Lineage::new(&config, &history, &gone, &written, content))?;
    let seconds = begun.elapsed().as_secs_f64();
    let what = match args.sequence {
        None => "rows".to_owned(),
        Some(length) => format!("steps of sequences of {length} rows"),
    };
    println!(
        "{} records: {} {what} of view {name} to {} in {seconds:.1} s ({} records/s)",
        thousands(gone.records),
        thousands(count),
        output.display(),
        thousands((gone.records as f64 / seconds) as u64)
    );
    gone.tell();
    Ok(())
}
