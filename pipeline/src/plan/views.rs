//! Compiles the configured views, in an order in which each stands after the one that it reads.
//!
//! Not here: the SQL of a single view (`feature/`).

use super::PlannedView;
use crate::conditions::ConditionsSpec;
use crate::config::{Config, Problems, View};
use crate::feature::{FeatureView, InputColumns, Scope};
use crate::signal::MissingPolicy;
use crate::window::WindowSpec;

/// Compiles the views, those that others read first.
pub(super) fn compile(
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
        groups: Vec::new(),
    })
}
