//! Checks of everything about event time: alignment, statuses, windows and how long state is kept.

use std::time::Duration;

use super::load::{Config, Reader};
use super::sections::{Align, StatusConfig, View, Window};
use crate::signal::MissingPolicy;
use crate::window::WindowSpec;

/// The column of windows that no signal may be named as.
const RESERVED: &str = "event_time";

pub(super) fn check(config: &Config, reader: &mut Reader) {
    check_align(config, reader);
    for (i, clock) in config.event_time.clocks.iter().enumerate() {
        if clock.assets.is_empty() {
            let path = format!("event-time.clocks[{i}].assets");
            reader.problem(&path, "is empty: give patterns such as \"pump-*\"");
        }
    }
    for signal in &config.signals {
        let path = format!("signals.{}", signal.name);
        if signal.name == RESERVED {
            reader.problem(
                &path,
                "is the name of a column of windows: rename the signal",
            );
        }
        if let MissingPolicy::Fill(value) = signal.missing()
            && !(signal.min..=signal.max).contains(&value)
        {
            reader.problem(
                &path,
                format!("fills {value}, which is outside its own range"),
            );
        }
    }
    for (name, status) in &config.statuses {
        check_status(config, name, status, reader);
    }
    for (name, view) in &config.views {
        check_view(config, name, view, reader);
    }
    check_eviction(config, reader);
}

fn check_align(config: &Config, reader: &mut Reader) {
    match (&config.source.narrow, &config.align) {
        (Some(_), None) => reader.problem(
            "source.narrow",
            "needs [align], which makes rows of messages that carry one signal each: add \
             every = \"1s\" (or on = \"<signal>\") and max-age = \"30s\"",
        ),
        (None, Some(_)) => {
            let message =
                "is for messages that carry one signal each: add source.narrow, or remove it";
            reader.problem("align", message);
        }
        (Some(_), Some(align)) => check_align_rows(config, align, reader),
        (None, None) => {}
    }
    if config.source.narrow.is_none() {
        return;
    }
    for signal in &config.signals {
        let what = match signal.missing() {
            MissingPolicy::Refuse => "refuse",
            MissingPolicy::Hold(_) => "hold",
            _ => continue,
        };
        let message = format!(
            "missing = {what} has no meaning where a message carries one signal: align.max-age says how \
             long a value is held"
        );
        reader.problem(&format!("signals.{}", signal.name), message);
    }
}

fn check_align_rows(config: &Config, align: &Align, reader: &mut Reader) {
    match (&align.every, &align.on) {
        (Some(every), None) if every.is_zero() => {
            reader.problem("align.every", "must be longer than 0");
        }
        (Some(_), None) => {}
        (None, Some(on)) => {
            if !config.signals.iter().any(|signal| signal.name == *on) {
                reader.problem("align.on", format!("{on} is not a signal"));
            }
        }
        _ => reader.problem("align", "needs one of `every` and `on`"),
    }
}

fn check_status(config: &Config, name: &str, status: &StatusConfig, reader: &mut Reader) {
    let path = format!("status.{name}");
    if config.signals.iter().any(|signal| signal.name == name) || name == RESERVED {
        reader.problem(
            &path,
            "has the name of a signal: views could not tell them apart",
        );
    }
    if status.field.is_some() && status.topic.is_none() {
        let message = "is about the messages of a topic: add topic = \"...\"";
        reader.problem(&format!("{path}.field"), message);
    }
    let told = status.topic.is_some();
    match (status.silent_for, status.unchanged_for, &status.signal) {
        (Some(_), None, None) if !told => {}
        (None, None, None) if told => {}
        (None, Some(_), Some(signal)) if !told => {
            if !config.signals.iter().any(|known| known.name == *signal) {
                reader.problem(
                    &format!("{path}.signal"),
                    format!("{signal} is not a signal"),
                );
            }
        }
        _ => reader.problem(
            &path,
            "needs one of silent-for = \"5m\", topic = \"...\", and signal = \"...\" with unchanged-for = \"10m\"",
        ),
    }
    if !(status.tolerance >= 0.0 && status.tolerance.is_finite()) {
        reader.problem(&format!("{path}.tolerance"), "must be 0 or larger");
    }
    for (key, duration) in [
        ("silent-for", status.silent_for),
        ("unchanged-for", status.unchanged_for),
    ] {
        if duration.is_some_and(|duration| duration.is_zero()) {
            reader.problem(&format!("{path}.{key}"), "must be longer than 0");
        }
    }
}

fn check_view(config: &Config, name: &str, view: &View, reader: &mut Reader) {
    let path = |key: &str| format!("views.{name}.{key}");
    if let Some(from) = &view.from {
        match config.views.get(from) {
            None => {
                let known: Vec<&str> = config.views.keys().map(String::as_str).collect();
                let message = format!("{from} is not a view; there is: {}", known.join(", "));
                reader.problem(&path("from"), message);
            }
            Some(other) => {
                let counts = matches!(view.window, Some(Window::Count { .. }));
                if counts && !other.allowed_lateness.is_zero() {
                    let message = format!(
                        "counts rows of {from}, which may be revised after they were counted: set \
                         views.{from}.allowed-lateness to 0s, or use windows of time"
                    );
                    reader.problem(&path("window"), message);
                }
            }
        }
        if reads_itself(config, name) {
            reader.problem(&path("from"), "leads back to this view");
        }
    }
    let timed = match &view.window {
        Some(window) => check_window(window, view.min_rows, &path("window"), reader),
        None => false,
    };
    let lateness = (!view.allowed_lateness.is_zero()).then_some(view.allowed_lateness);
    let periods = [
        ("allowed-lateness", lateness),
        ("early-every", view.early_every),
        ("revise-every", view.revise_every),
    ];
    for (key, period) in periods {
        let Some(period) = period else { continue };
        if !timed {
            reader.problem(&path(key), "needs a window of time or a session");
        }
        if period.is_zero() {
            reader.problem(&path(key), "must be longer than 0");
        }
    }
    if view.revise_every.is_some() && lateness.is_none() {
        reader.problem(
            &path("revise-every"),
            "needs allowed-lateness: nothing is revised without",
        );
    }
    if view.min_rows.is_some() && view.window.is_none() {
        reader.problem(&path("min-rows"), "needs a window");
    }
}

/// Checks a window's numbers; true when it ends by time.
fn check_window(window: &Window, min_rows: Option<u32>, path: &str, reader: &mut Reader) -> bool {
    let positive = |durations: &[Duration]| durations.iter().all(|d| !d.is_zero());
    let lengths: &[Duration] = match window {
        Window::Tumbling { tumbling } => &[*tumbling],
        Window::Hopping { hopping, every } => &[*hopping, *every],
        Window::Session { session } => &[*session],
        Window::Count { count, every } => {
            if *count == 0 || *every == Some(0) {
                reader.problem(path, "counts must be at least 1");
            }
            if min_rows.is_some_and(|min| min > *count) {
                reader.problem(
                    path,
                    "has fewer rows than min-rows asks for: it would never be scored",
                );
            }
            return false;
        }
    };
    if !positive(lengths) {
        reader.problem(path, "lengths must be longer than 0");
    }
    true
}

fn reads_itself(config: &Config, name: &str) -> bool {
    let from = |name: &str| config.views.get(name)?.from.as_deref();
    let chain = std::iter::successors(from(name), |view| from(view));
    // Longer than there are views: it goes round in a circle, with or without this view.
    chain.take(config.views.len() + 1).any(|view| view == name)
}

/// State of an asset is dropped as a whole, so none of it may still be in use.
fn check_eviction(config: &Config, reader: &mut Reader) {
    let Some(after) = config.limits.evict_after else {
        return;
    };
    let views = config.views.keys().map(|name| needed_by(config, name));
    let statuses = config.statuses.values();
    let statuses = statuses.filter_map(|status| status.silent_for.or(status.unchanged_for));
    let holds = config
        .signals
        .iter()
        .filter_map(|signal| match signal.missing() {
            MissingPolicy::Hold(age) => Some(age),
            _ => None,
        });
    let longest = views.chain(statuses).chain(holds).max().unwrap_or_default();
    let align = config.align.as_ref().map_or(Duration::ZERO, |align| {
        align.max_age + align.every.unwrap_or_default()
    });
    let needed = longest + config.event_time.out_of_orderness + align;
    if after <= needed {
        let message = format!(
            "must be longer than what state is needed for: {}",
            humantime_serde::re::humantime::format_duration(needed)
        );
        reader.problem("limits.evict-after", message);
    }
}

/// How long after a reading a view may still have an open window for it: its own, after those that it reads.
fn needed_by(config: &Config, name: &str) -> Duration {
    let from = |name: &String| config.views.get(name)?.from.as_ref();
    let first = config.views.get_key_value(name).map(|(name, _)| name);
    let chain = std::iter::successors(first, |view| from(view)).take(config.views.len());
    chain
        .filter_map(|name| config.views.get(name))
        .map(|view| {
            let period = view.early_every.max(view.revise_every).unwrap_or_default();
            let horizon = WindowSpec::of(view).map_or(0, |window| window.horizon());
            Duration::from_micros(horizon.unsigned_abs()) + period
        })
        .sum()
}
