//! `forewarn score`: a file, or the topic, through the same engine, without publishing.

use std::time::Instant;

use anyhow::Result;
use forewarn_pipeline::{Config, Engine, Plan};

use crate::cli::ScoreArgs;
use crate::files::table_format;
use crate::history::History;
use crate::terminal::thousands;

mod table;
mod task_columns;

use table::ScoreTable;

pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    let mut config = Config::load(&args.config)?;
    if let Some(brokers) = &args.brokers {
        config.kafka.brokers.clone_from(brokers);
    }
    let history = History::new(args.input.as_deref(), &mut config)?;
    table_format(&args.output)?;
    let plan = Plan::build(&config)?;
    let mut scores = ScoreTable::new(&plan);
    let mut engine = Engine::new(&config, plan);
    let begun = Instant::now();
    let rows = history.run(&config, &mut engine, |step| scores.append(step))?;
    let seconds = begun.elapsed().as_secs_f64();
    let (refused, late) = (scores.refused(), scores.late());
    let (predictions, unscored) = scores.write(&args.output)?;
    println!(
        "{} rows: {} predictions to {} in {seconds:.1} s ({} rows/s)",
        thousands(rows),
        thousands(predictions),
        args.output.display(),
        thousands((rows as f64 / seconds) as u64)
    );
    if unscored > 0 {
        println!(
            "{} results without a score: see the column unscored",
            thousands(unscored)
        );
    }
    if let (count @ 1.., first) = late {
        println!(
            "{} rows too late for a view: first row {first}",
            thousands(count)
        );
    }
    for (code, (count, first)) in refused {
        println!(
            "{} rows refused, {code}: first in row {first}",
            thousands(count)
        );
    }
    Ok(())
}
