//! Another version in place of one that serves.

use forewarn_models::{Model, Usage};

use super::Engine;
use super::step::Step;
use crate::config::Config;

/// A swap that was done.
#[derive(Debug)]
pub struct Swapped {
    /// The version before.
    pub old: Model,
    /// What the new version needs of earlier readings is not in the state: it must be built anew.
    pub rebuild: bool,
}

impl Engine {
    /// Puts `model` in the place of another version of it, between two steps.
    ///
    /// # Errors
    /// What does not fit; nothing is changed then.
    pub fn swap(
        &mut self,
        place: usize,
        model: Model,
        config: &Config,
    ) -> Result<Swapped, Vec<String>> {
        let swapped = self.plan.swap(place, model, config)?;
        self.scoring.admit_again(place);
        Ok(swapped)
    }

    /// What a model of the plan was used for.
    pub fn usage(&self, place: usize) -> Usage {
        self.plan.models[place].model.usage()
    }
}

impl Step<'_> {
    /// Results of a model in this step, and those of them that are not finite.
    pub fn tally(&self, place: usize) -> (u64, u64) {
        let output = &self.outputs[place];
        let results = output.rows.len();
        let finite = (0..results).filter(|at| output.verdicts.get(*at).is_some());
        (results as u64, (results - finite.count()) as u64)
    }
}
