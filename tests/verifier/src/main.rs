//! `verifier`: plays scenarios and says how they came out, with its exit status too.
//!
//! | status | |
//! |---|---|
//! | 0 | all green |
//! | 1 | one is red |
//! | 2 | they could not be played at all |
//! | 3 | none is red, but one is void: the broker broke what was to be judged, so it shows nothing; play it again |

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use forewarn_verifier::judge::Plant;
use forewarn_verifier::report::{self, Report};
use forewarn_verifier::run::{self, How};
use forewarn_verifier::scenarios::{self, Extent, Scenario};
use forewarn_verifier::stage;

/// None is red, and one is void.
const VOID: u8 = 3;

/// Decides whether nothing is lost and nothing doubled, on a real Apache Kafka and under faults.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play scenarios and judge them
    #[command(
        after_help = "Exit status: 0 all green, 1 one is red, 2 not played at all, 3 none is red but one is \
        void (it shows nothing: play it again)"
    )]
    Run(RunArgs),
    /// List the scenarios
    List,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Names of scenarios
    names: Vec<String>,
    /// All scenarios
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Every random choice comes from it [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// The long forms
    #[arg(long)]
    long: bool,
    /// Tamper with what was read before it is judged: once for each defect
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DEFECT")]
    plant: Vec<Plant>,
    /// The service under test [default: `forewarn` beside this program]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Keep the folder of each scenario: logs of the workers and of the broker, models, configurations
    #[arg(long)]
    keep: bool,
    /// A table for people, or JSON for programs
    #[arg(long, value_enum, default_value = "text")]
    output: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

fn main() -> ExitCode {
    set_environment();
    if let Err(error) = watch_signals() {
        eprintln!("error: signals can't be watched: {error}");
        return ExitCode::from(2);
    }
    let done = match Cli::parse().command {
        Command::Run(args) => play(&args),
        Command::List => {
            for scenario in scenarios::all() {
                println!("{:<16} {}", scenario.name, scenario.about);
            }
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}

/// As `forewarn` itself does: the reference runs on the same settings.
#[expect(unsafe_code, reason = "set before any other thread exists")]
fn set_environment() {
    for (name, value) in [("POLARS_MAX_THREADS", "1"), ("ORT_DISABLE_TELEMETRY", "1")] {
        if std::env::var_os(name).is_none() {
            unsafe { std::env::set_var(name, value) };
        }
    }
}

/// SIGTERM and Ctrl-C end the scenario in play; a second one is left to end the program at once.
fn watch_signals() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let watch = move || {
        runtime.block_on(async {
            let kinds = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
            );
            if let (Ok(mut term), Ok(mut interrupt)) = kinds {
                for _ in 0..2 {
                    tokio::select! { _ = term.recv() => {} _ = interrupt.recv() => {} }
                    if stage::is_interrupted() {
                        std::process::exit(130);
                    }
                    stage::interrupt();
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(watch)
        .map(drop)
}

fn play(args: &RunArgs) -> Result<ExitCode> {
    let scenarios = chosen(args)?;
    let binary = binary(args)?;
    let extent = if args.long {
        Extent::Long
    } else {
        Extent::Short
    };
    let seed = args.seed.unwrap_or_else(seed_of_the_time);
    let mut reports: Vec<Report> = Vec::new();
    for scenario in &scenarios {
        let how = How {
            seed,
            extent,
            binary: &binary,
            plants: &args.plant,
            keep: args.keep,
        };
        let told = run::run(scenario, &how);
        if args.output == Form::Text {
            told.iter().for_each(Report::print);
        }
        reports.extend(told);
        if stage::is_interrupted() {
            break;
        }
    }
    match args.output {
        Form::Text => report::table(&reports),
        Form::Json => println!("{}", serde_json::to_string_pretty(&reports)?),
    }
    Ok(if reports.iter().any(Report::is_red) {
        ExitCode::FAILURE
    } else if reports.iter().any(Report::is_void) {
        ExitCode::from(VOID)
    } else {
        ExitCode::SUCCESS
    })
}

fn chosen(args: &RunArgs) -> Result<Vec<Scenario>> {
    let all = scenarios::all();
    if args.all {
        return Ok(all);
    }
    ensure!(
        !args.names.is_empty(),
        "name scenarios (`verifier list`), or --all"
    );
    let find = |name: &String| {
        let found = all.iter().find(|scenario| scenario.name == name);
        found
            .copied()
            .with_context(|| format!("{name} is no scenario: see `verifier list`"))
    };
    args.names.iter().map(find).collect()
}

fn binary(args: &RunArgs) -> Result<PathBuf> {
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("forewarn"));
    let binary = args.binary.clone().map_or_else(beside, Ok)?;
    if !binary.is_file() {
        bail!(
            "{} is not there: build it (cargo build --release), or name it with --binary",
            binary.display()
        );
    }
    Ok(binary.canonicalize()?)
}

fn seed_of_the_time() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64 % 1_000_000)
}
