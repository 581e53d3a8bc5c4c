//! Another version of a model in a plan that runs.

use forewarn_models::Model;

use super::serving::bind;
use super::{Plan, PlannedModel};
use crate::config::Config;
use crate::engine::Swapped;

impl Plan {
    /// Puts a version in the place of another one.
    ///
    /// # Errors
    /// What does not fit. What a pipeline keeps and in which order it takes readings is settled when it starts:
    /// a version that would change it needs a restart.
    pub fn swap(
        &mut self,
        place: usize,
        model: Model,
        config: &Config,
    ) -> Result<Swapped, Vec<String>> {
        let planned = &mut self.models[place];
        let view = &mut self.views[planned.view];
        let columns = bind(&model, view, config)?;
        let (old, new) = (&planned.model.contract, &model.contract);
        if old.task.name() != new.task.name() {
            return Err(vec![format!(
                "it is a model for task {}, the one that serves is for {}: give it a name of its own",
                new.task.name(),
                old.task.name()
            )]);
        }
        let needs_order = new.sequence.is_some() || new.is_recurrent();
        if needs_order && !view.ordered {
            return Err(vec![format!(
                "it needs the readings of view {} in order, which no model did so far: restart the pipeline",
                view.view.name()
            )]);
        }
        let kept = view.sequence;
        view.serve(&model);
        let rebuild = view.sequence > kept || remembers_otherwise(planned, &model);
        planned.columns = columns;
        let old = std::mem::replace(&mut planned.model, model);
        Ok(Swapped { old, rebuild })
    }
}

/// Is what was kept for the old version not what the new one needs?
fn remembers_otherwise(planned: &PlannedModel, new: &Model) -> bool {
    let (old, new) = (&planned.model.contract, &new.contract);
    // The hidden state of one network says nothing to another.
    old.is_recurrent()
        || new.is_recurrent()
        || old.sequence.is_some() != new.sequence.is_some()
        || old.max_gap != new.max_gap
}
