//! Which faults does a detector see? Recall per fault mode, on rows that may carry several modes.
//!
//! Once faults accumulate, a row with a hard mode is mostly flagged for the sake of another one.
//! Therefore each mode has two recalls: over all its rows, and over the rows with *only* that mode.
//! A detector that explains its flags has a precision per mode too: of the rows explained by it, the share
//! that do have it.
//!
//! ```text
//!   mode          rows  flagged  recall   only  flagged  recall
//!   tire_1_1         3        2   0.667      1        0   0.000
//!   any mode         4        3   0.750
//!   no mode          5        1   0.200  <- false alarms
//! ```

use std::fmt;

use super::ratio;

/// Filled row by row with [`add`](Self::add); printed with `Display` as an aligned table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallTable {
    modes: Vec<Mode>,
    any: Count,
    none: Count,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mode {
    name: String,
    all: Count,
    only: Count,
    /// Flagged rows that the detector explained by this mode, and those among them that have it.
    named: Count,
}

/// Rows, and how many of them were flagged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    rows: u64,
    flagged: u64,
}

impl Count {
    fn add(&mut self, flagged: bool) {
        self.rows += 1;
        self.flagged += u64::from(flagged);
    }

    fn share(self) -> Option<f64> {
        ratio(self.flagged, self.rows)
    }
}

impl RecallTable {
    pub fn new<'a>(modes: impl IntoIterator<Item = &'a str>) -> Self {
        let mode = |name: &str| Mode {
            name: name.to_owned(),
            all: Count::default(),
            only: Count::default(),
            named: Count::default(),
        };
        let modes = modes.into_iter().map(mode).collect();
        Self {
            modes,
            any: Count::default(),
            none: Count::default(),
        }
    }

    /// Counts one row: which modes it has, in the order of `new`, and whether it was flagged.
    ///
    /// # Panics
    /// When `present` is not one flag per mode.
    pub fn add(&mut self, present: &[bool], flagged: bool) {
        assert_eq!(present.len(), self.modes.len(), "one flag per fault mode");
        let several = present.iter().filter(|present| **present).count();
        if several == 0 {
            self.none.add(flagged);
        } else {
            self.any.add(flagged);
        }
        for (mode, _) in self
            .modes
            .iter_mut()
            .zip(present)
            .filter(|(_, present)| **present)
        {
            mode.all.add(flagged);
            if several == 1 {
                mode.only.add(flagged);
            }
        }
    }

    /// Counts a flagged row that the detector explained by `mode`: was it right?
    ///
    /// # Panics
    /// When there is no such mode.
    pub fn add_named(&mut self, mode: &str, right: bool) {
        let known = self.modes.iter_mut().find(|known| known.name == mode);
        known.expect("a mode of the table").named.add(right);
    }

    /// Share of the rows explained by this mode that do have it; `None` without such rows.
    pub fn precision(&self, mode: &str) -> Option<f64> {
        self.mode(mode)?.named.share()
    }

    /// Share of the rows with this mode that were flagged; `None` without such rows.
    pub fn recall(&self, mode: &str) -> Option<f64> {
        self.mode(mode)?.all.share()
    }

    /// Share of the rows with this mode and no other that were flagged.
    pub fn recall_alone(&self, mode: &str) -> Option<f64> {
        self.mode(mode)?.only.share()
    }

    /// Share of the rows with any mode that were flagged.
    pub fn recall_any(&self) -> Option<f64> {
        self.any.share()
    }

    /// Share of the rows without any mode that were flagged.
    pub fn false_alarm_rate(&self) -> Option<f64> {
        self.none.share()
    }

    fn mode(&self, name: &str) -> Option<&Mode> {
        self.modes.iter().find(|mode| mode.name == name)
    }
}

impl fmt::Display for RecallTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.modes.iter().map(|mode| mode.name.chars().count());
        let width = names.max().unwrap_or(0).max("any mode".len());
        write!(
            f,
            "{:<width$}  {:>8}  {:>8}  {:>6}",
            "mode", "rows", "flagged", "recall"
        )?;
        write!(f, "  {:>8}  {:>8}  {:>6}", "only", "flagged", "recall")?;
        let explained = self.modes.iter().any(|mode| mode.named.rows > 0);
        if explained {
            write!(f, "  {:>8}  {:>8}  {:>6}", "named", "right", "precis")?;
        }
        for mode in &self.modes {
            write!(f, "\n{:<width$}{}{}", mode.name, mode.all, mode.only)?;
            if explained {
                write!(f, "{}", mode.named)?;
            }
        }
        write!(f, "\n{:<width$}{}", "any mode", self.any)?;
        write!(f, "\n{:<width$}{}  <- false alarms", "no mode", self.none)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self
            .share()
            .map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"));
        write!(f, "  {:>8}  {:>8}  {share:>6}", self.rows, self.flagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> RecallTable {
        let mut table = RecallTable::new(["tire", "shock", "never"]);
        for (present, flagged) in [
            ([true, false, false], false),
            ([true, true, false], true),
            ([true, true, false], true),
            ([false, true, false], true),
            ([false, false, false], true),
            ([false, false, false], false),
        ] {
            table.add(&present, flagged);
        }
        table
    }

    #[test]
    fn mode_alone_is_told_from_mode_in_company() {
        let table = example();
        assert_eq!(
            (table.recall("tire"), table.recall_alone("tire")),
            (Some(2.0 / 3.0), Some(0.0))
        );
        assert_eq!(
            (table.recall("shock"), table.recall_alone("shock")),
            (Some(1.0), Some(1.0))
        );
        assert_eq!(
            (table.recall("never"), table.recall("no such mode")),
            (None, None)
        );
        assert_eq!(
            (table.recall_any(), table.false_alarm_rate()),
            (Some(0.75), Some(0.5))
        );
    }

    #[test]
    fn precision_is_of_the_explanations() {
        let mut table = example();
        table.add_named("tire", true);
        table.add_named("tire", false);
        assert_eq!(
            (table.precision("tire"), table.precision("shock")),
            (Some(0.5), None)
        );
        assert!(
            table
                .to_string()
                .lines()
                .nth(1)
                .unwrap()
                .ends_with("         2         1   0.500")
        );
    }

    #[test]
    fn table_is_aligned() {
        let expected = "\
mode          rows   flagged  recall      only   flagged  recall
tire             3         2   0.667         1         0   0.000
shock            3         3   1.000         1         1   1.000
never            0         0       -         0         0       -
any mode         4         3   0.750
no mode          2         1   0.500  <- false alarms";
        assert_eq!(example().to_string(), expected);
    }
}
