//! Two models on the same rows: where they agree, and by how much they differ.
//!
//! Everything is paired, row by row: what one model says of rows that the other did not score is only counted.

use serde::Serialize;

/// What a model said of one row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Said {
    /// `None`: not a model that flags.
    pub anomalous: Option<bool>,
    /// Remaining useful life, in the model's unit.
    pub rul: Option<f64>,
    /// It gave no score.
    pub unscored: bool,
}

/// Filled row by row with [`add`](Self::add).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Paired {
    /// Rows that both scored.
    pub rows: u64,
    /// Rows that only one of them scored.
    pub only_champion_scored: u64,
    pub only_challenger_scored: u64,
    /// Flags, over the rows that both judged.
    pub both_flag: u64,
    pub only_champion_flags: u64,
    pub only_challenger_flags: u64,
    pub neither_flags: u64,
    /// Remaining life of the challenger minus that of the champion.
    #[serde(skip)]
    differences: Vec<f64>,
}

impl Paired {
    pub fn add(&mut self, champion: Said, challenger: Said) {
        match (champion.unscored, challenger.unscored) {
            (false, false) => self.rows += 1,
            (false, true) => self.only_champion_scored += 1,
            (true, false) => self.only_challenger_scored += 1,
            (true, true) => {}
        }
        if let (Some(champion), Some(challenger)) = (champion.anomalous, challenger.anomalous) {
            *match (champion, challenger) {
                (true, true) => &mut self.both_flag,
                (true, false) => &mut self.only_champion_flags,
                (false, true) => &mut self.only_challenger_flags,
                (false, false) => &mut self.neither_flags,
            } += 1;
        }
        if let (Some(champion), Some(challenger)) = (champion.rul, challenger.rul) {
            self.differences.push(challenger - champion);
        }
    }

    /// Share of the rows that both judged on which one flags and the other does not.
    pub fn disagreement(&self) -> Option<f64> {
        let apart = self.only_champion_flags + self.only_challenger_flags;
        let judged = apart + self.both_flag + self.neither_flags;
        (judged > 0).then(|| apart as f64 / judged as f64)
    }

    /// Of the difference in remaining life: mean, mean of its absolute value, and the absolute value that 95 %
    /// are within.
    pub fn life(&self) -> Option<(f64, f64, f64)> {
        if self.differences.is_empty() {
            return None;
        }
        let count = self.differences.len() as f64;
        let mean = self.differences.iter().sum::<f64>() / count;
        let mut absolute: Vec<f64> = self.differences.iter().map(|d| d.abs()).collect();
        absolute.sort_by(f64::total_cmp);
        let within = absolute[((absolute.len() * 95).div_ceil(100)).max(1) - 1];
        Some((mean, absolute.iter().sum::<f64>() / count, within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(anomalous: bool) -> Said {
        Said {
            anomalous: Some(anomalous),
            ..Said::default()
        }
    }

    fn life(rul: f64) -> Said {
        Said {
            rul: Some(rul),
            ..Said::default()
        }
    }

    #[test]
    fn flags_and_lives_are_compared_row_by_row() {
        let mut paired = Paired::default();
        for (a, b) in [
            (true, true),
            (true, false),
            (false, true),
            (false, false),
            (false, false),
        ] {
            paired.add(flag(a), flag(b));
        }
        assert_eq!(paired.rows, 5);
        assert_eq!(paired.disagreement(), Some(0.4));
        assert_eq!(paired.life(), None);
        for (a, b) in [(10.0, 13.0), (20.0, 19.0)] {
            paired.add(life(a), life(b));
        }
        assert_eq!(paired.life(), Some((1.0, 2.0, 3.0)));
    }

    #[test]
    fn a_row_that_one_did_not_score_counts_for_no_agreement() {
        let unscored = Said {
            unscored: true,
            ..Said::default()
        };
        let mut paired = Paired::default();
        paired.add(flag(true), unscored);
        paired.add(unscored, flag(true));
        paired.add(unscored, unscored);
        assert_eq!((paired.rows, paired.disagreement()), (0, None));
        assert_eq!(
            (paired.only_champion_scored, paired.only_challenger_scored),
            (1, 1)
        );
    }
}
