//! `forewarn`: the command line. One file per command; what they do is in the crates.

mod calibrate;
mod check;
mod cli;
mod demo;
mod feed;
mod files;
mod history;
mod replay;
mod run;
mod score;
mod terminal;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    limit_polars_threads();
    terminal::end_quietly_on_broken_pipe();
    let cli = Cli::parse();
    terminal::init_logging(&cli.logging, &cli.command);
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Feed(args) => feed::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Demo(args) => demo::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A micro-batch is too small to share between threads; workers are the parallelism. Polars reads this once,
/// at its first use.
#[expect(unsafe_code, reason = "set before any other thread exists")]
fn limit_polars_threads() {
    if std::env::var_os("POLARS_MAX_THREADS").is_none() {
        unsafe { std::env::set_var("POLARS_MAX_THREADS", "1") };
    }
}
