//! `forewarn score`: a file, or the topic, through the same engine, without publishing.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use forewarn_pipeline::{Config, Engine, Plan};

use crate::cli::ScoreArgs;
use crate::files::table_format;
use crate::guard;
use crate::history::History;
use crate::terminal::thousands;

mod table;
mod task_columns;

use table::ScoreTable;

pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    let config = args.history.load()?;
    let summary = score(config, args.history.input.as_deref(), &args.output)?;
    summary.print(&args.output);
    Ok(())
}

/// What a run came to.
pub(crate) struct Summary {
    pub rows: u64,
    pub predictions: u64,
    pub unscored: u64,
    pub seconds: f64,
    /// How many, and the first one.
    late: (u64, u64),
    /// By code: how many rows, and the first one.
    refused: Vec<(&'static str, (u64, u64))>,
}

/// Scores `input`, or the input topic, with the models of `config`, into a table.
pub(crate) fn score(mut config: Config, input: Option<&Path>, output: &Path) -> Result<Summary> {
    let history = History::new(input, &mut config)?;
    table_format(output)?;
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let mut scores = ScoreTable::new(&plan);
    let mut engine = Engine::new(&config, plan);
    let begun = Instant::now();
    let rows = history.run(&config, &mut engine, |step| scores.append(step))?;
    let seconds = begun.elapsed().as_secs_f64();
    let (refused, late) = (scores.refused(), scores.late());
    let (predictions, unscored) = scores.write(output)?;
    Ok(Summary {
        rows,
        predictions,
        unscored,
        seconds,
        late,
        refused: refused.into_iter().collect(),
    })
}

impl Summary {
    pub(crate) fn print(&self, output: &Path) {
        println!(
            "{} rows: {} predictions to {} in {:.1} s ({} rows/s)",
            thousands(self.rows),
            thousands(self.predictions),
            output.display(),
            self.seconds,
            thousands((self.rows as f64 / self.seconds) as u64)
        );
        if self.unscored > 0 {
            println!(
                "{} results without a score: see the column unscored",
                thousands(self.unscored)
            );
        }
        if let (count @ 1.., first) = self.late {
            println!(
                "{} rows too late for a view: first row {first}",
                thousands(count)
            );
        }
        for (code, (count, first)) in &self.refused {
            println!(
                "{} rows refused, {code}: first in row {first}",
                thousands(*count)
            );
        }
    }
}
