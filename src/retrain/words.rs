//! Figures as reports and cards say them; what there is none of is a dash.

use std::time::Duration;

use humantime::format_duration;

pub(super) fn percent(share: impl Into<Option<f64>>) -> String {
    or_dash(share.into(), |share| format!("{:.1} %", share * 100.0))
}

pub(super) fn number(value: Option<f64>) -> String {
    or_dash(value, |value| format!("{value:.3}"))
}

/// Events per asset and week.
pub(super) fn rate(value: Option<f64>) -> String {
    or_dash(value, |value| format!("{value:.2}"))
}

/// To the second.
pub(super) fn delay(delay: Option<Duration>) -> String {
    or_dash(delay, |delay| {
        format_duration(Duration::from_secs(delay.as_secs())).to_string()
    })
}

/// Which assets a model was judged on.
pub(super) fn held_back(held_out: usize, folds: usize) -> String {
    match folds {
        0 => format!("{held_out} assets held back"),
        folds => format!("each judged in one of {folds} folds"),
    }
}

fn or_dash<T>(value: Option<T>, say: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), say)
}
