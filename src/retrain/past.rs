//! The past of a pipeline, gone through for its rows and for what models say of it.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use forewarn_models::Verdict;
use forewarn_pipeline::config::ServedModel;
use forewarn_pipeline::stretch::Settling;
use forewarn_pipeline::{Config, Engine, Plan};
use forewarn_training::recipe::Recipe;
use forewarn_training::rows::{Collector, Rows};
use forewarn_training::rul::Told;

use crate::cli::PastArgs;
use crate::guard;
use crate::history::History;

pub(super) struct Past<'a> {
    config: &'a Config,
    args: &'a PastArgs,
}

/// A version that scores the past: a configuration that serves it alone.
pub(super) struct Serving {
    pub config: Config,
    pub version: u32,
}

impl Serving {
    /// `config`, with one entry of `[[models.serve]]` and no alarms.
    pub fn new(config: &Config, entry: ServedModel, version: u32) -> Self {
        let mut config = config.clone();
        config.models.serve = vec![ServedModel {
            version: Some(version),
            canary: None,
            shadow: Vec::new(),
            ..entry
        }];
        config.alarms.clear();
        Serving { config, version }
    }
}

impl<'a> Past<'a> {
    pub fn new(config: &'a Config, args: &'a PastArgs) -> Self {
        Past { config, args }
    }

    /// The rows of the recipe's view, with its features.
    pub fn rows(&self, recipe: &Recipe) -> Result<Rows> {
        let mut config = self.config.clone();
        config.models.serve.clear();
        config.alarms.clear();
        let history = History::new(self.args, &mut config)?;
        let plan = Plan::build(&config, &guard::loader(&config)?)?;
        let Some(view) = plan.view(&recipe.view) else {
            let names: Vec<&str> = plan.views.iter().map(|view| view.view.name()).collect();
            bail!(
                "{} is not a view; there is: {}",
                recipe.view,
                names.join(", ")
            );
        };
        let known: Vec<String> = plan.views[view]
            .view
            .feature_names()
            .map(Into::into)
            .collect();
        let features = if recipe.features.is_empty() {
            known.clone()
        } else {
            recipe.features.clone()
        };
        let mut places = Vec::new();
        for feature in &features {
            let Some(place) = known.iter().position(|name| name == feature) else {
                bail!(
                    "view {} has no feature {feature}, but: {}",
                    recipe.view,
                    known.join(", ")
                );
            };
            places.push(place);
        }
        let mut collected = Collector::new(features);
        let mut engine = Engine::new(&config, plan);
        let settling = Settling::of(engine.plan(), &engine.plan().views[view]);
        history.run(&config, &mut engine, settling, |step| {
            let rows = &step.views[view];
            for (row, head) in rows.heads.iter().enumerate() {
                if !head.is_provisional() && history.stretch.takes_row(step, head) {
                    let values = places.iter().map(|&place| rows.columns[place][row]);
                    collected.push(step.asset(head.slot, head.asset), head.at(), values);
                }
            }
            Ok(())
        })?;
        Ok(collected.finish())
    }

    /// What a model of remaining life says of the assets that are wanted, at each of their rows.
    pub fn said(
        &self,
        serving: &Serving,
        recipe: &Recipe,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Vec<(i64, Told)>>> {
        let mut config = serving.config.clone();
        let history = History::new(self.args, &mut config)?;
        let plan = Plan::build(&config, &guard::loader(&config)?)?;
        let mut engine = Engine::new(&config, plan);
        let mut said: BTreeMap<String, Vec<(i64, Told)>> = BTreeMap::new();
        let mut other = None;
        let settling = Settling::of_scores(engine.plan());
        history.run(&config, &mut engine, settling, |step| {
            for scored in step.results() {
                let asset = step.asset(scored.head.slot, scored.head.asset);
                if !wanted(asset) || !history.stretch.takes_row(step, &scored.head) {
                    continue;
                }
                match scored.verdict {
                    Ok(Verdict::Rul {
                        value, interval, ..
                    }) => {
                        let told = Told {
                            low: interval.map_or(value, |interval| interval.low),
                            mean: value,
                            high: interval.map_or(value, |interval| interval.high),
                        };
                        let rows = said.entry(asset.to_owned()).or_default();
                        rows.push((scored.head.at(), told));
                    }
                    Ok(_) => other = Some(scored.model.model.contract.task.name()),
                    // Nothing was said.
                    Err(_) => {}
                }
            }
            Ok(())
        })?;
        if let Some(task) = other {
            bail!(
                "{} is a model for task {task}: a recipe with labels.cap is for remaining useful life",
                recipe.model
            );
        }
        said.values_mut()
            .for_each(|rows| rows.sort_by_key(|(time, _)| *time));
        Ok(said)
    }
}
