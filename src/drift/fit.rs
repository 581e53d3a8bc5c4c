//! `forewarn drift --fit`: the reference of a version, from the rows that it gives in a stretch of the log.
//!
//! It is written beside a version that is there, also one that serves: it changes no output, and so makes no version of
//! its own. One that is there already stays, unless a person says otherwise.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use forewarn_models::Repository;
use forewarn_models::reference::REFERENCE;
use forewarn_pipeline::drift::Fitting;
use forewarn_pipeline::drift::seen::{columns, seen};
use forewarn_pipeline::stretch::Settling;
use forewarn_pipeline::{Config, Engine, Plan};
use serde::Serialize;

use super::{narrow, places};
use crate::cli::PastArgs;
use crate::dataset::{Content, Lineage, Rows};
use crate::guard;
use crate::history::History;
use crate::model::Named;
use crate::terminal::thousands;

/// A reference that was written.
#[derive(Debug, Serialize)]
pub(super) struct Fitted {
    model: String,
    version: u32,
    rows: u64,
    assets: u64,
    features: usize,
    file: PathBuf,
}

impl Fitted {
    pub fn text(&self) -> String {
        format!(
            "{} {}: {} rows of {} assets, {} features, are its reference: {}\na service compares with it from its next start on",
            self.model,
            self.version,
            thousands(self.rows),
            thousands(self.assets),
            self.features,
            self.file.display()
        )
    }
}

pub(super) fn fit(
    mut config: Config,
    args: &PastArgs,
    model: &Named,
    replace: bool,
) -> Result<Fitted> {
    narrow(&mut config, model)?;
    config.alarms.clear();
    for entry in &mut config.models.serve {
        entry.canary = None;
    }
    let history = History::new(args, &mut config)?;
    let plan = Plan::build(&config, &guard::loader(&config)?)?;
    let [place] = places(&plan, Some(model))[..] else {
        bail!("{} is served more than once", model.name);
    };
    let planned = &plan.models[place];
    let (view, version) = (planned.view, planned.model.version);
    let features = planned.model.contract.features.clone();
    let files = Repository::new(&config.models.repository).resolve(&model.name, Some(version))?;
    let file = files.folder().join(REFERENCE);
    let taken = || {
        format!(
            "{} is there already: --replace makes another one in its place",
            file.display()
        )
    };
    // Known before the past is gone through.
    if !replace && file.exists() {
        bail!(taken());
    }
    let (columns, name) = (columns(planned), plan.views[view].view.name().to_owned());
    let mut fitting = Fitting::new(&features);
    let mut taken_rows = Rows::default();
    let mut engine = Engine::new(&config, plan);
    let settling = Settling::of_scores(engine.plan());
    let gone = history.run(&config, &mut engine, settling, |step| {
        let rows = &step.views[view];
        for seen in seen(step, place) {
            if !history.stretch.takes_row(step, seen.head) {
                continue;
            }
            taken_rows.note(step, seen.head);
            let values = columns
                .iter()
                .map(|column| rows.columns[*column][seen.row] as f32);
            let asset = step.asset(seen.head.slot, seen.head.asset);
            fitting.push(asset, values, seen.level);
        }
        Ok(())
    })?;
    let content = Content::view(&config, &name, &features, None);
    let lineage = Lineage::new(&config, &history, &gone, &taken_rows, content);
    let reference = fitting.finish(serde_json::to_value(&lineage)?)?;
    match reference.write(&files.folder(), replace) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!(taken()),
        written => written.with_context(|| file.display().to_string())?,
    }
    Ok(Fitted {
        model: model.name.clone(),
        version,
        rows: reference.rows,
        assets: reference.assets,
        features: features.len(),
        file,
    })
}
