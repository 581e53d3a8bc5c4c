//! The plan: a checked configuration bound to compiled views and loaded models. What does not fit is told
//! here, all at once, before anything is read.

use forewarn_models::{LoadError, Model, Repository, Runtime};

use crate::config::{Config, Problems, ServedModel};
use crate::feature::FeatureView;
use crate::sequence::Columns;

/// Views and models, ready to run.
#[derive(Debug)]
pub struct Plan {
    pub views: Vec<PlannedView>,
    pub models: Vec<PlannedModel>,
}

#[derive(Debug)]
pub struct PlannedView {
    pub view: FeatureView,
    /// L of the longest sequence that a model on this view needs; 0 when none needs any.
    pub sequence: usize,
    /// Places of its models in [`Plan::models`].
    pub models: Vec<usize>,
}

#[derive(Debug)]
pub struct PlannedModel {
    pub model: Model,
    /// The model's features in a row of its view.
    pub columns: Columns,
}

impl Plan {
    /// Compiles the views, loads the models and binds them.
    ///
    /// # Errors
    /// Every problem of views and models, with the key at fault.
    pub fn build(config: &Config) -> Result<Self, Problems> {
        let mut problems = config.problems();
        let mut views = Vec::new();
        for (name, view) in &config.views {
            match FeatureView::compile(name, &view.features, &config.signals) {
                Ok(view) => views.push(PlannedView {
                    view,
                    sequence: 0,
                    models: Vec::new(),
                }),
                Err(found) => {
                    for problem in found {
                        let path = format!("views.{name}.features[{}]", problem.index);
                        let text = &view.features[problem.index];
                        let message = format!("\"{text}\": {}", problem.message);
                        problems.add(&path, config.line(&path), message);
                    }
                }
            }
        }
        let runtime = Runtime::load(config.models.runtime.as_deref()).map_err(|error| {
            problems.add(
                "models.runtime",
                config.line("models.runtime"),
                error.to_string(),
            );
        });
        let repository = Repository::new(&config.models.repository);
        let mut models = Vec::new();
        for (i, served) in config.models.serve.iter().enumerate() {
            let mut told = Vec::new();
            let model = runtime.as_ref().ok().and_then(|runtime| {
                load(runtime, &repository, served)
                    .map_err(|errors| told.extend(errors))
                    .ok()
            });
            let planned = views
                .iter_mut()
                .find(|planned| planned.view.name() == served.view);
            if let (Some(model), Some(planned)) = (model, planned) {
                match bind(&model, &planned.view, config) {
                    Ok(columns) => {
                        let needs = if model.contract.sequence.is_some() {
                            model.contract.length()
                        } else {
                            0
                        };
                        planned.sequence = planned.sequence.max(needs);
                        planned.models.push(models.len());
                        models.push(PlannedModel { model, columns });
                    }
                    Err(misfits) => told.extend(misfits),
                }
            }
            let path = format!("models.serve[{i}]");
            for message in told {
                problems.add(&path, config.line(&path), message);
            }
        }
        problems.into_result()?;
        Ok(Plan { views, models })
    }

    /// Does any model need what came before a reading?
    pub fn has_state(&self) -> bool {
        self.views.iter().any(|view| view.sequence > 0)
    }
}

fn load(
    runtime: &Runtime,
    repository: &Repository,
    served: &ServedModel,
) -> Result<Model, Vec<String>> {
    let files = repository
        .resolve(&served.name, served.version)
        .map_err(|error| vec![error.to_string()])?;
    Model::load(runtime, &files).map_err(|error| match error {
        LoadError::Contract { path, problems } => problems
            .iter()
            .map(|problem| format!("{}: {problem}", path.display()))
            .collect(),
        other => vec![other.to_string()],
    })
}

/// Finds the model's features in the view and compares units.
fn bind(model: &Model, view: &FeatureView, config: &Config) -> Result<Columns, Vec<String>> {
    let contract = &model.contract;
    let (mut indices, mut missing, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (i, feature) in contract.features.iter().enumerate() {
        let Some(position) = view.position(feature) else {
            missing.push(feature.as_str());
            continue;
        };
        indices.push(position);
        let signal = view
            .passed_signal(position)
            .map(|signal| &config.signals[signal]);
        if let (Some(expected), Some(actual)) = (
            contract.units.get(i),
            signal.and_then(|signal| signal.unit.as_ref()),
        ) && expected != actual
        {
            problems.push(format!(
                "model {} takes {feature} in {expected}, but signals.{feature}.unit is {actual}: \
                 convert it in the view, as \"{feature} * <factor> AS {feature}\", or correct the unit",
                model.name
            ));
        }
    }
    if !missing.is_empty() {
        let has: Vec<&str> = view.feature_names().collect();
        problems.push(format!(
            "model {} {} needs {} which view {} does not give (it gives {}): add {} to the view",
            model.name,
            model.version,
            missing.join(", "),
            view.name(),
            has.join(", "),
            if missing.len() == 1 { "it" } else { "them" }
        ));
    }
    if problems.is_empty() {
        Ok(Columns::new(indices, view.width()))
    } else {
        Err(problems)
    }
}
