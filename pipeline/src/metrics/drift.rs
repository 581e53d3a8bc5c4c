//! The metrics of drift, of the models that have a reference: of windows of recent rows, and of the mean of scores.

use super::exposition::Exposition;
use crate::drift::live::Told;
use crate::drift::measure::Distance;

/// A metric of each feature and of the score: name, meaning, value.
type OfVariable = (&'static str, &'static str, fn(&Distance) -> Option<f64>);

const OF_VARIABLES: [OfVariable; 4] = [
    (
        "forewarn_drift_psi",
        "Population stability index of the last window against training; kind is feature or score",
        |distance| Some(distance.psi),
    ),
    (
        "forewarn_drift_chance",
        "The PSI that so few assets or rows exceed without drift in one of a hundred windows",
        |distance| Some(distance.chance),
    ),
    (
        "forewarn_drift_ks",
        "Largest distance of the distribution functions of the last window and of training",
        |distance| Some(distance.ks),
    ),
    (
        "forewarn_drift_shift",
        "How far the mean of the last window is from that of training, in its standard deviations",
        |distance| distance.shift,
    ),
];

pub(super) fn expose(models: &[Told], told: &mut Exposition) {
    for (name, help, value) in OF_VARIABLES {
        told.family(name, "gauge", help);
        for of in models {
            of_variables(of, value, told);
        }
    }
    told.family(
        "forewarn_drift_windows_total",
        "counter",
        "Windows of recent rows that were compared with training",
    );
    for of in models {
        let version = of.version.to_string();
        told.sample(&labels(of, &version), of.windows as f64);
    }
    told.family(
        "forewarn_drift_window_rows",
        "gauge",
        "Rows of the last window that were looked at",
    );
    for of in models {
        let version = of.version.to_string();
        told.sample(&labels(of, &version), of.window_rows as f64);
    }
    told.family(
        "forewarn_drift_page_hinkley",
        "gauge",
        "How near the test on the mean of scores is to telling a change: at 1 it does, and begins anew",
    );
    for (of, nearness) in models.iter().filter_map(|of| Some((of, of.nearness?))) {
        of_directions(of, nearness, told);
    }
    told.family(
        "forewarn_drift_changes_total",
        "counter",
        "Changes of the mean of scores by the test of Page and Hinkley; one that lasts is told again and again",
    );
    for of in models.iter().filter(|of| of.nearness.is_some()) {
        of_directions(of, of.changes.map(|changes| changes as f64), told);
    }
}

fn labels<'a>(of: &'a Told, version: &'a str) -> [(&'a str, &'a str); 2] {
    [("model", of.model.as_str()), ("version", version)]
}

fn of_variables(of: &Told, value: fn(&Distance) -> Option<f64>, told: &mut Exposition) {
    let version = of.version.to_string();
    let [model, version] = labels(of, &version);
    for (kind, name, distance) in &of.variables {
        let labels = [model, version, ("kind", kind.name()), ("name", name)];
        if let Some(value) = value(distance) {
            told.sample(&labels, value);
        }
    }
}

fn of_directions(of: &Told, values: [f64; 2], told: &mut Exposition) {
    let version = of.version.to_string();
    let [model, version] = labels(of, &version);
    for (direction, value) in ["up", "down"].into_iter().zip(values) {
        told.sample(&[model, version, ("direction", direction)], value);
    }
}
