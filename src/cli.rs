//! The command line: its words, its defaults and its help.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use forewarn_pipeline::Config;
use forewarn_pipeline::prediction::EventTimestamp;
use forewarn_training::calibrate::Bearable;

use crate::model::NoteArgs;
use crate::reply::ReplyArgs;
use crate::stretch::StretchArgs;

/// Streaming ONNX inference for industrial digital twins: telemetry in from Kafka, anomalies and remaining
/// useful life out.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub logging: LoggingArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct LoggingArgs {
    /// Log lines as text for people or JSON for machines, on standard error. RUST_LOG sets the level.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline as a service until SIGTERM or Ctrl-C
    Run(RunArgs),
    /// Check a configuration, its views and its models, and print all problems at once
    Check(CheckArgs),
    /// Score a file, or the topic's history, with the same engine, without publishing
    Score(ScoreArgs),
    /// Find the threshold that raises no more alarms than you bear, from a file or the topic's history
    Calibrate(CalibrateArgs),
    /// Go through the past again: to tables, through other versions of models, or beside what was published
    Replay(crate::replay::ReplayArgs),
    /// Why an alarm was raised: its results, the rows and readings behind them, the score and what it is due to, all
    /// from the log
    Explain(crate::explain::ExplainArgs),
    /// Are features and scores still as they were in training? Also makes the reference that this is measured against
    Drift(crate::drift::DriftArgs),
    /// Train a model anew from the log, and add it as a version if it is better than what serves
    Retrain(RetrainArgs),
    /// Publish telemetry: NASA's engines or simulated cars
    Feed(FeedArgs),
    /// Watch the fleet: assets by confidence and by remaining life
    Watch(WatchArgs),
    /// See it all at once: feed, score, publish, read back and compare with the truth
    Demo(DemoArgs),
    /// List, add, check, compare, promote and remove models
    Model(crate::model::ModelArgs),
    /// List, show and redrive dead letters: messages that were no readings
    Dlq(crate::dlq::DlqArgs),
    /// Look at the state that a pipeline has written down
    State(crate::state::StateArgs),
    /// Try a model: a request on standard input, the answer on standard output
    #[command(hide = true)]
    ProbeModel,
}

/// An instant as everybody writes it.
pub(crate) fn instant(text: &str) -> std::result::Result<EventTimestamp, String> {
    EventTimestamp::parse(text)
        .map_err(|error| format!("{error}: write it as 2026-01-31T00:00:00Z"))
}

/// A pipeline that is reached through its brokers.
#[derive(Debug, Args)]
pub(crate) struct PipelineArgs {
    /// The pipeline's configuration: brokers, topics and names are taken from it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Bootstrap servers, instead of `kafka.brokers`
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
}

impl PipelineArgs {
    pub(crate) fn load(&self) -> Result<Config> {
        load(&self.config, self.brokers.as_deref())
    }
}

/// The configuration in a file, with other brokers where some are named.
fn load(file: &Path, brokers: Option<&str>) -> Result<Config> {
    let mut config = Config::load(file)?;
    if let Some(brokers) = brokers {
        brokers.clone_into(&mut config.kafka.brokers);
    }
    Ok(config)
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Create topics that do not exist, with this many partitions
    #[arg(long, value_name = "PARTITIONS", num_args = 0..=1, default_missing_value = "4")]
    pub create_topics: Option<usize>,
    /// Fence another process that runs with the same delivery.instance, instead of refusing to start beside it
    #[arg(long)]
    pub take_over: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The pipeline's configuration
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// A pipeline, and the past that it goes through again.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The pipeline's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    pub past: PastArgs,
}

impl HistoryArgs {
    pub(crate) fn load(&self) -> Result<Config> {
        self.past.load(&self.config)
    }
}

/// Where the past is, and which part of it is meant.
#[derive(Debug, Args)]
pub(crate) struct PastArgs {
    /// Readings: .parquet, .csv or .jsonl, in the order of their arrival [default: the input topic, from its
    /// oldest record to its newest]
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Bootstrap servers, instead of `kafka.brokers`
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "input")]
    brokers: Option<String>,
    #[command(flatten)]
    pub stretch: StretchArgs,
}

impl PastArgs {
    /// The pipeline whose past it is.
    pub(crate) fn load(&self, config: &Path) -> Result<Config> {
        load(config, self.brokers.as_deref())
    }
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub history: HistoryArgs,
    /// Where scores go: a file (.parquet, .csv), or a folder of Parquet files by date (a name without an ending)
    #[arg(long, value_name = "PATH")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    #[command(flatten)]
    pub history: HistoryArgs,
    /// The served model, or its group
    #[arg(long)]
    pub model: String,
    /// Alarms that are borne, such as 1/asset/week, or 5/day for the whole fleet
    #[arg(long, value_name = "N/asset/PERIOD")]
    pub max_alarms: Bearable,
    /// Add a version of the model with the threshold that was found; nothing is promoted by it
    #[arg(long)]
    pub write: bool,
    #[command(flatten)]
    pub note: NoteArgs,
    #[command(flatten)]
    pub reply: ReplyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RetrainArgs {
    /// The recipe (.toml): what is learnt, from which assets, and when it is good enough
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,
    #[command(flatten)]
    pub past: PastArgs,
    /// Where a run keeps its checkpoints, so that one that was ended goes on there [default: a folder beside the
    /// recipe, named after the model]
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// Let the version serve that was added, as `forewarn model promote` does
    #[arg(long)]
    pub promote: bool,
    #[command(flatten)]
    pub note: NoteArgs,
    #[command(flatten)]
    pub reply: ReplyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FeedArgs {
    #[command(subcommand)]
    pub source: FeedSource,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FeedSource {
    /// NASA's turbofan engines, one message per engine and cycle
    Cmapss(CmapssArgs),
    /// Simulated connected cars with faults, one message per car and 10 seconds
    Cars(CarsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CmapssArgs {
    /// The data folder, holding `cmapss/` [default: FOREWARN_DATA, else ../shared/data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "fd001", ignore_case = true)]
    pub subset: SubsetArg,
    #[arg(long, value_enum, default_value = "test", ignore_case = true)]
    pub split: SplitArg,
    /// File for the failures (.csv): when each engine fails, as labels of a recipe
    #[arg(long, value_name = "FILE")]
    pub failures: Option<PathBuf>,
    /// Topic for the failures
    #[arg(long, value_name = "TOPIC", conflicts_with = "output")]
    pub failures_topic: Option<String>,
    #[command(flatten)]
    pub to: FeedTargetArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubsetArg {
    Fd001,
    Fd002,
    Fd003,
    Fd004,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitArg {
    Train,
    Test,
}

#[derive(Debug, Args)]
pub(crate) struct CarsArgs {
    /// Number of cars
    #[arg(long, default_value_t = 100)]
    pub assets: u32,
    /// Steps of 10 seconds that each car drives; 0 is for ever
    #[arg(long, default_value_t = 100)]
    pub steps: u32,
    /// The same seed gives the same cars
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Topic for the truth [default: the telemetry topic's name with -truth]
    #[arg(long, value_name = "TOPIC")]
    pub truth_topic: Option<String>,
    /// File for the truth (.csv), with --output
    #[arg(long, value_name = "FILE", requires = "output")]
    pub truth_output: Option<PathBuf>,
    /// File for the beginnings of faults (.csv), as labels of a recipe
    #[arg(long, value_name = "FILE")]
    pub failures: Option<PathBuf>,
    #[command(flatten)]
    pub to: FeedTargetArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FeedTargetArgs {
    /// Bootstrap servers
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// Telemetry topic [default: turbofan-telemetry or car-telemetry]
    #[arg(long)]
    pub topic: Option<String>,
    /// Partitions of the topic, when it has to be created
    #[arg(long, default_value_t = 4)]
    pub partitions: usize,
    /// Messages per second [default: as fast as possible]
    #[arg(long)]
    pub rate: Option<f64>,
    /// Write a file (.csv or .jsonl) instead of publishing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["brokers", "topic", "rate"])]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Begin with the oldest predictions instead of new ones
    #[arg(long)]
    pub from_beginning: bool,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Bootstrap servers of a real Kafka [default: a broker simulated in this process]
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// The data folder, holding `cmapss/` [default: FOREWARN_DATA, else ../shared/data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What to watch [default: engines where the data folder is found, else cars]
    #[arg(long, value_enum)]
    pub fleet: Option<FleetArg>,
    /// Number of simulated cars
    #[arg(long, default_value_t = 100)]
    pub cars: u32,
    /// The model repository
    #[arg(long, value_name = "DIR", default_value = "models/zoo")]
    pub models: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FleetArg {
    Engines,
    Cars,
}
