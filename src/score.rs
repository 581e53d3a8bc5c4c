//! `forewarn score`: a file, or the topic, through the same engine, without publishing.
//!
//! | file | holds |
//! |---|---|
//! | `table.rs` | a step's results as rows, and what was refused |
//! | `columns.rs` | which columns there are, and their values |
//! | `tasks.rs` | names of what only some tasks tell |

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use forewarn_pipeline::stretch::Settling;
use forewarn_pipeline::{Config, Engine, Plan};

use crate::cli::{PastArgs, ScoreArgs};
use crate::dataset::{Content, Dataset, Lineage, Place};
use crate::guard;
use crate::history::History;
use crate::model::Named;
use crate::terminal::thousands;

mod columns;
mod table;
mod tasks;

use table::{ScoreTable, TIME};

pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    let config = args.history.load()?;
    let summary = score(config, &args.history.past, &args.output)?;
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

/// Scores the past that `args` mean, with the models of `config`, into a table.
pub(crate) fn score(mut config: Config, args: &PastArgs, output: &Path) -> Result<Summary> {
    let history = History::new(args, &mut config)?;
    let place = Place::of(output)?;
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let mut scores = ScoreTable::new(&plan);
    let mut dataset = Dataset::create(place, scores.empty()?, TIME)?;
    let mut engine = Engine::new(&config, plan);
    let begun = Instant::now();
    let settling = Settling::of_scores(engine.plan());
    let gone = history.run(&config, &mut engine, settling, |step| {
        match scores.frame(step, &history.stretch)? {
            Some(frame) => dataset.append(frame),
            None => Ok(()),
        }
    })?;
    let content = Content::scores(engine.plan());
    let lineage = Lineage::new(&config, &history, &gone, scores.written(), content);
    dataset.finish(&lineage)?;
    let seconds = begun.elapsed().as_secs_f64();
    let (predictions, unscored) = scores.counts();
    gone.tell();
    Ok(Summary {
        rows: gone.records,
        predictions,
        unscored,
        seconds,
        late: scores.late(),
        refused: scores.refused().into_iter().collect(),
    })
}

/// Puts these versions in place of those that the configuration serves.
///
/// # Errors
/// When it serves no such model, or no version is named.
pub(crate) fn serve_versions(config: &mut Config, models: &[Named]) -> Result<()> {
    for model in models {
        let version = model.required()?;
        let mut served = config
            .models
            .serve
            .iter_mut()
            .filter(|served| served.name == model.name)
            .peekable();
        if served.peek().is_none() {
            bail!(
                "the configuration does not serve {}: `forewarn model score` scores the past with a model that is not \
                 served",
                model.name
            );
        }
        for served in served {
            served.version = Some(version);
            served.canary = None;
        }
    }
    Ok(())
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
