//! The past of a pipeline, gone through for its rows and for what models say of it.

use anyhow::{Result, bail};
use forewarn_models::Verdict;
use forewarn_pipeline::config::ServedModel;
use forewarn_pipeline::stretch::Settling;
use forewarn_pipeline::{Config, Engine, Plan};
use forewarn_training::recipe::Recipe;
use forewarn_training::rows::{Collector, Rows};

use crate::cli::PastArgs;
use crate::guard;
use crate::history::History;

pub(super) struct Past<'a> {
    config: &'a Config,
    args: &'a PastArgs,
}

/// A version, or for each asset one, that scores the past: a configuration that serves it alone.
pub(super) struct Serving(Config);

impl Serving {
    /// `config`, with one entry of `[[models.serve]]` and no alarms.
    pub fn new(config: &Config, entry: ServedModel) -> Self {
        let mut config = config.clone();
        config.models.serve = vec![ServedModel {
            canary: None,
            shadow: Vec::new(),
            ..entry
        }];
        config.alarms.clear();
        Serving(config)
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
        let mut collected = Collector::new(features, recipe.most_values);
        let mut engine = Engine::new(&config, plan);
        let settling = Settling::of(engine.plan(), &engine.plan().views[view]);
        history.run(&config, &mut engine, settling, |step| {
            let rows = &step.views[view];
            for (row, head) in rows.heads.iter().enumerate() {
                if !head.is_provisional() && history.stretch.takes_row(step, head) {
                    let values = places.iter().map(|&place| rows.columns[place][row]);
                    collected.push(step.asset(head.slot, head.asset), head.at(), values)?;
                }
            }
            Ok(())
        })?;
        Ok(collected.finish())
    }

    /// What a version says of the assets that are wanted, as `take` takes it: asset, event time and verdict of each row, in
    /// the order of the log. `take` is false for a verdict of a task that the recipe is not for.
    pub fn verdicts(
        &self,
        serving: &Serving,
        wanted: impl Fn(&str) -> bool,
        mut take: impl FnMut(&str, i64, Verdict<'_>) -> bool,
    ) -> Result<()> {
        let mut config = serving.0.clone();
        let history = History::new(self.args, &mut config)?;
        let plan = Plan::build(&config, &guard::loader(&config)?)?;
        let mut engine = Engine::new(&config, plan);
        let mut other = None;
        let settling = Settling::of_scores(engine.plan());
        history.run(&config, &mut engine, settling, |step| {
            for scored in step.results() {
                let asset = step.asset(scored.head.slot, scored.head.asset);
                let is_meant = !scored.head.is_provisional() && wanted(asset);
                if !is_meant || !history.stretch.takes_row(step, &scored.head) {
                    continue;
                }
                // Without a verdict nothing was said.
                if let Ok(verdict) = scored.verdict
                    && !take(asset, scored.head.at(), verdict)
                {
                    let model = &scored.model.model;
                    other = Some((model.name.clone(), model.contract.task.name()));
                }
            }
            Ok(())
        })?;
        match other {
            None => Ok(()),
            Some((model, task)) => bail!(
                "{model} is a model for task {task}, and the recipe is for another one: give the recipe's model another name"
            ),
        }
    }
}
