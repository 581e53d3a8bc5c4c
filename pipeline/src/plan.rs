//! The plan: a checked configuration bound to compiled views and loaded models. What does not fit is told
//! here, all at once, before anything is read.

use forewarn_models::{Loader, Model, Repository, Runtime};

use crate::align::AlignSpec;
use crate::clocks::micros;
use crate::conditions::{Condition, ConditionsSpec};
use crate::config::{Config, Problems, View};
use crate::feature::{FeatureView, InputColumns, Scope};
use crate::sequence::Columns;
use crate::signal::MissingPolicy;
use crate::window::{self, Kind, WindowSpec};

/// Rows kept beyond a sequence where windows may be revised and their number can't be told.
const REVISABLE_SESSIONS: usize = 32;
/// Most rows kept for revisions.
const MOST_REVISABLE: usize = 4_096;

/// Views and models, ready to run.
#[derive(Debug)]
pub struct Plan {
    /// A view that reads another one stands after it.
    pub views: Vec<PlannedView>,
    pub models: Vec<PlannedModel>,
    pub conditions: ConditionsSpec,
    pub align: Option<AlignSpec>,
}

#[derive(Debug)]
pub struct PlannedView {
    pub view: FeatureView,
    /// The view whose rows it reads; `None`: readings.
    pub from: Option<usize>,
    pub window: Option<WindowSpec>,
    /// What a window keeps of each row.
    pub kept: Vec<window::Input>,
    /// Its rows are taken in the order of their instants, when the watermark has passed them; the others are
    /// scored as they come.
    pub ordered: bool,
    /// Rows of each asset that its models need; 0 when none needs a sequence.
    pub sequence: usize,
    /// Places of its models in [`Plan::models`].
    pub models: Vec<usize>,
}

#[derive(Debug)]
pub struct PlannedModel {
    pub model: Model,
    /// Place of its view in [`Plan::views`].
    pub view: usize,
    /// The model's features in a row of its view.
    pub columns: Columns,
}

impl Plan {
    /// Compiles the views, lets `loader` load the models, and binds them.
    ///
    /// # Errors
    /// Every problem of views and models, with the key at fault.
    pub fn build(config: &Config, loader: &Loader) -> Result<Self, Problems> {
        let mut problems = config.problems();
        let conditions = ConditionsSpec::of(config);
        let mut views = compile_views(config, &conditions, &mut problems);
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
                loader
                    .load(runtime, &repository, &served.name, served.version)
                    .map_err(|errors| told.extend(errors))
                    .ok()
            });
            let view = views
                .iter()
                .position(|planned| planned.view.name() == served.view);
            if let (Some(model), Some(view)) = (model, view) {
                match bind(&model, &views[view], config) {
                    Ok(columns) => {
                        views[view].serve(&model, models.len());
                        models.push(PlannedModel {
                            model,
                            view,
                            columns,
                        });
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
        let column = |name: &str| config.signals.iter().position(|signal| signal.name == name);
        Ok(Plan {
            views,
            models,
            conditions,
            align: config
                .align
                .as_ref()
                .and_then(|align| AlignSpec::of(align, column)),
        })
    }

    /// Does anything depend on what came before a reading?
    pub fn has_state(&self) -> bool {
        !self.conditions.statuses.is_empty() || self.views.iter().any(|view| view.ordered)
    }

    /// Can anything become due without a record?
    pub fn has_timers(&self, config: &Config) -> bool {
        let silence = |condition: &Condition| matches!(condition, Condition::Silent { .. });
        let held = micros(config.event_time.out_of_orderness) > 0;
        self.align.is_some()
            || self
                .conditions
                .statuses
                .iter()
                .any(|status| silence(&status.condition))
            || self.views.iter().any(|view| {
                let timed = |window: &WindowSpec| !matches!(window.kind, Kind::Count { .. });
                view.window.as_ref().is_some_and(timed) || (held && view.ordered)
            })
    }
}

impl PlannedView {
    /// Lets a model score its rows.
    fn serve(&mut self, model: &Model, place: usize) {
        let contract = &model.contract;
        if contract.sequence.is_some() {
            self.sequence = self.sequence.max(contract.length() + self.revisable());
        }
        self.ordered |= contract.sequence.is_some() || contract.is_recurrent();
        self.models.push(place);
    }

    /// How many rows of an asset may have been scored and still be revised.
    fn revisable(&self) -> usize {
        let Some(window) = self
            .window
            .as_ref()
            .filter(|window| window.allowed_lateness > 0)
        else {
            return 0;
        };
        match window.kind {
            Kind::Time { step, .. } => {
                let steps = window.allowed_lateness / step + 1;
                usize::try_from(steps)
                    .unwrap_or(MOST_REVISABLE)
                    .min(MOST_REVISABLE)
            }
            _ => REVISABLE_SESSIONS,
        }
    }
}

/// Compiles the views, those that others read first.
fn compile_views(
    config: &Config,
    conditions: &ConditionsSpec,
    problems: &mut Problems,
) -> Vec<PlannedView> {
    let mut views: Vec<PlannedView> = Vec::new();
    let mut left: Vec<(&String, &View)> = config.views.iter().collect();
    loop {
        let is_next = |(_, view): &(&String, &View)| match &view.from {
            None => true,
            Some(from) => views.iter().any(|planned| planned.view.name() == from),
        };
        // What is left then reads a view that has problems of its own, or itself: that is told already.
        let Some(next) = left.iter().position(is_next) else {
            break;
        };
        let (name, view) = left.remove(next);
        match compile_view(name, view, &views, config, conditions) {
            Ok(planned) => views.push(planned),
            Err(found) => {
                for (index, message) in found {
                    let path = format!("views.{name}.features[{index}]");
                    let text = &view.features[index];
                    problems.add(&path, config.line(&path), format!("\"{text}\": {message}"));
                }
            }
        }
    }
    views
}

fn compile_view(
    name: &str,
    view: &View,
    others: &[PlannedView],
    config: &Config,
    conditions: &ConditionsSpec,
) -> Result<PlannedView, Vec<(usize, String)>> {
    let from = view.from.as_ref().and_then(|from| {
        let named = |planned: &PlannedView| planned.view.name() == from;
        others.iter().position(named)
    });
    let columns = match from {
        Some(from) => {
            let names: Vec<String> = others[from].view.feature_names().map(Into::into).collect();
            InputColumns {
                starred: names.len(),
                names,
            }
        }
        None => {
            let signals = config.signals.iter().map(|signal| signal.name.clone());
            let statuses = conditions.statuses.iter().map(|status| status.name.clone());
            InputColumns {
                names: signals.chain(statuses).collect(),
                starred: config.signals.len(),
            }
        }
    };
    let window = WindowSpec::of(view);
    let scope = if window.is_some() {
        Scope::Window
    } else {
        Scope::Row
    };
    let compiled = FeatureView::compile(name, &view.features, &columns, scope);
    let compiled = compiled.map_err(|found| {
        let told = found
            .into_iter()
            .map(|problem| (problem.index, problem.message));
        told.collect::<Vec<_>>()
    })?;
    let signal = |column: usize| config.signals.get(column).filter(|_| from.is_none());
    let missing = |column: usize| signal(column).map(crate::signal::Signal::missing);
    let kept = compiled.window_inputs(|column| missing(column) == Some(MissingPolicy::Interpolate));
    let needs_order = |column: usize| match missing(column) {
        Some(policy) => matches!(policy, MissingPolicy::Hold(_)),
        // Statuses look back.
        None => true,
    };
    let read_by_others = config
        .views
        .values()
        .any(|other| other.from.as_deref() == Some(name));
    let ordered = window.is_some()
        || from.is_some()
        || read_by_others
        || config.align.is_some()
        || conditions.unique
        || compiled.reads().any(needs_order);
    Ok(PlannedView {
        from,
        kept: if window.is_some() { kept } else { Vec::new() },
        view: compiled,
        window,
        ordered,
        sequence: 0,
        models: Vec::new(),
    })
}

/// Finds the model's features in the view and compares units.
fn bind(model: &Model, planned: &PlannedView, config: &Config) -> Result<Columns, Vec<String>> {
    let (contract, view) = (&model.contract, &planned.view);
    let (mut indices, mut missing, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (i, feature) in contract.features.iter().enumerate() {
        let Some(position) = view.position(feature) else {
            missing.push(feature.as_str());
            continue;
        };
        indices.push(position);
        let signal = view
            .passed_column(position)
            .filter(|_| planned.from.is_none())
            .and_then(|column| config.signals.get(column));
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
