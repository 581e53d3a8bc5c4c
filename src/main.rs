//! `forewarn`: the command line. One file per command; what they do is in the crates.

mod calibrate;
mod check;
mod cli;
mod dataset;
mod demo;
mod dlq;
mod drift;
mod explain;
mod feed;
mod files;
mod guard;
mod history;
mod model;
mod replay;
mod reply;
mod retrain;
mod run;
mod score;
mod state;
mod stretch;
mod terminal;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    set_environment();
    terminal::end_without_standard_output();
    let cli = Cli::parse();
    terminal::init_logging(&cli.logging, &cli.command);
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Drift(args) => match drift::run(&args) {
            Ok(drift::Outcome::Done) => Ok(()),
            Ok(drift::Outcome::Drifted) => return ExitCode::from(drift::DRIFTED),
            Err(error) => Err(error),
        },
        Command::Retrain(args) => match retrain::run(&args) {
            Ok(outcome) => return ExitCode::from(outcome.status()),
            Err(error) => Err(error),
        },
        Command::Feed(args) => feed::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Model(args) => model::run(&args),
        Command::Dlq(args) => dlq::run(&args),
        Command::State(args) => state::run(&args),
        Command::ProbeModel => guard::probe_model(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // As the log: where it can't be written there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            run::exit_status(&error)
        }
    }
}

/// What libraries read from the environment, once, at their first use; a person's own setting stays.
#[expect(unsafe_code, reason = "set before any other thread exists")]
fn set_environment() {
    let defaults = [
        // A micro-batch is too small to share between threads; workers are the parallelism.
        ("POLARS_MAX_THREADS", "1"),
        // ONNX Runtime opens a database for it in the home folder before its interface can tell it not to.
        ("ORT_DISABLE_TELEMETRY", "1"),
    ];
    for (name, value) in defaults {
        if std::env::var_os(name).is_none() {
            unsafe { std::env::set_var(name, value) };
        }
    }
}
