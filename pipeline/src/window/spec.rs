//! The kinds of window. All lengths and instants are in microseconds.

use crate::clocks::micros;
use crate::config::{View, Window};

/// A view's window, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSpec {
    pub kind: Kind,
    pub allowed_lateness: i64,
    pub early_every: Option<i64>,
    pub revise_every: Option<i64>,
    pub min_rows: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Windows `[k · step, k · step + size)`; tumbling when both are equal.
    Time { size: i64, step: i64 },
    /// Rows less than `gap` apart; the window ends `gap` after the last one.
    Session { gap: i64 },
    /// The last `rows` rows, at every `step`-th row.
    Count { rows: u32, step: u32 },
}

impl WindowSpec {
    /// The window of a view; `None` when each row stands for itself.
    pub fn of(view: &View) -> Option<Self> {
        let kind = match view.window.as_ref()? {
            Window::Tumbling { tumbling } => Kind::Time {
                size: micros(*tumbling),
                step: micros(*tumbling),
            },
            Window::Hopping { hopping, every } => Kind::Time {
                size: micros(*hopping),
                step: micros(*every),
            },
            Window::Session { session } => Kind::Session {
                gap: micros(*session),
            },
            Window::Count { count, every } => Kind::Count {
                rows: *count,
                step: every.unwrap_or(*count),
            },
        };
        Some(WindowSpec {
            kind,
            allowed_lateness: micros(view.allowed_lateness),
            early_every: view.early_every.map(micros),
            revise_every: view.revise_every.map(micros),
            min_rows: view.min_rows.unwrap_or(1),
        })
    }

    /// How long after its last row an asset may still have an open window; 0 for windows of rows.
    pub fn horizon(&self) -> i64 {
        let open = match self.kind {
            Kind::Time { size, .. } => size,
            Kind::Session { gap } => gap,
            Kind::Count { .. } => 0,
        };
        open.saturating_add(self.allowed_lateness)
    }
}

/// Starts of the windows `[s, s + size)` that hold `at`, earliest first.
pub(super) fn starts(at: i64, size: i64, step: i64) -> impl Iterator<Item = i64> {
    let last = at.div_euclid(step) * step;
    // The first start after `at − size`.
    let first = (at - size).div_euclid(step) * step + step;
    (0..)
        .map(move |k| first + k * step)
        .take_while(move |start| *start <= last)
}

/// The next multiple of `every` after `at`.
pub(super) fn next_multiple(at: i64, every: i64) -> i64 {
    (at.div_euclid(every) + 1).saturating_mul(every)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_is_in_the_windows_that_hold_its_instant(
            at in -1_000_i64..1_000, size in 1_i64..60, step in 1_i64..60,
        ) {
            let told: Vec<i64> = starts(at, size, step).collect();
            let expected: Vec<i64> = (-2_000..2_000)
                .filter(|s| s % step == 0 && *s <= at && at < s + size)
                .collect();
            prop_assert_eq!(told, expected);
        }
    }
}
