//! May a challenger take the champion's place? Both are judged on the same held-back assets, and the difference must be
//! more than luck.
//!
//! ```text
//!   assets ─▶ what each model did there ─▶ metric of all, champion and challenger ─▶ difference
//!      └ drawn again with repetition, many times ─▶ interval of the difference ─▶ verdict
//! ```
//!
//! Assets are drawn, and not rows: the rows of one asset say nearly the same, and a hundred of them are no hundred
//! pieces of evidence. The interval is the percentile one of B. Efron, R. Tibshirani, *An Introduction to the
//! Bootstrap*, 1993, chapter 13.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Draws of the bootstrap: its interval moves by a few thousandths of its width with another seed.
const DRAWS: usize = 10_000;

/// When a challenger passes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rule {
    /// The metric must be smaller by at least this share of the champion's, in the middle of the interval.
    pub better_by: f64,
    /// Nominal coverage of the interval, which must lie below zero as a whole.
    pub confidence: f64,
    /// With fewer assets nothing is decided.
    pub assets: usize,
}

impl Default for Rule {
    fn default() -> Self {
        Rule {
            better_by: 0.0,
            confidence: 0.9,
            assets: 5,
        }
    }
}

/// Challenger minus champion; a smaller metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    pub champion: f64,
    pub challenger: f64,
    pub difference: f64,
    /// Of the difference.
    pub low: f64,
    pub high: f64,
    pub assets: usize,
}

/// What becomes of the challenger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    pub passes: bool,
    pub reason: String,
}

/// Compares two models by what they did on each asset, `(champion, challenger)`.
pub fn compare<T>(
    pairs: &[(T, T)],
    metric: impl Fn(&[&T]) -> f64,
    confidence: f64,
    seed: u64,
) -> Difference {
    let both = |places: &[usize]| {
        let champion: Vec<&T> = places.iter().map(|&place| &pairs[place].0).collect();
        let challenger: Vec<&T> = places.iter().map(|&place| &pairs[place].1).collect();
        (metric(&champion), metric(&challenger))
    };
    let all: Vec<usize> = (0..pairs.len()).collect();
    let (champion, challenger) = both(&all);
    let mut random = Random::new(seed, 0);
    let mut drawn = all;
    let mut differences: Vec<f64> = (0..DRAWS)
        .map(|_| {
            drawn
                .iter_mut()
                .for_each(|place| *place = random.below(pairs.len()));
            let (champion, challenger) = both(&drawn);
            challenger - champion
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    let at = |share: f64| differences[((share * DRAWS as f64) as usize).min(DRAWS - 1)];
    let tail = (1.0 - confidence) / 2.0;
    Difference {
        champion,
        challenger,
        difference: challenger - champion,
        low: at(tail),
        high: at(1.0 - tail),
        assets: pairs.len(),
    }
}

impl Verdict {
    /// There is nothing to compare with.
    pub fn first(model: &str) -> Self {
        Verdict {
            passes: true,
            reason: format!(
                "{model} has no version that serves on these assets: this is the first one"
            ),
        }
    }

    /// There is nothing to compare on.
    pub fn none_judged() -> Self {
        Verdict {
            passes: false,
            reason: "not decided: no asset is judged; hold more back, or name judge.assets".into(),
        }
    }
}

impl Rule {
    /// Decides by a difference in the metric `name`, told in `unit`.
    pub fn decide(&self, told: &Difference, (name, unit): (&str, &str)) -> Verdict {
        let Difference {
            champion,
            challenger,
            difference,
            low,
            high,
            assets,
        } = *told;
        let wanted = -self.better_by * champion;
        let percent = self.confidence * 100.0;
        // A share of rows needs more digits than a number of cycles.
        let digits = if champion.max(challenger) < 1.0 { 4 } else { 2 };
        let measured = format!(
            "{name} {challenger:.digits$} against {champion:.digits$} {unit} of the champion on the same {assets} held-back \
             assets, difference {difference:+.digits$}, {percent:.0} % within {low:+.digits$} and {high:+.digits$}"
        );
        let (passes, why) = if assets < self.assets {
            (
                false,
                format!("not decided, {} assets are needed", self.assets),
            )
        } else if high >= 0.0 && low <= 0.0 {
            (false, "not better: the difference may be luck".to_owned())
        } else if high >= 0.0 {
            (false, "worse".to_owned())
        } else if difference > wanted {
            (
                false,
                format!("better, but by less than {:.1} %", self.better_by * 100.0),
            )
        } else {
            (true, "better".to_owned())
        };
        Verdict {
            passes,
            reason: format!("{why}: {measured}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[&f64]) -> f64 {
        values.iter().copied().sum::<f64>() / values.len() as f64
    }

    /// Errors of both models on assets, the challenger's smaller by `gain`, with noise of its own.
    fn pairs(assets: usize, gain: f64, seed: u64) -> Vec<(f64, f64)> {
        let mut random = Random::new(seed, 1);
        let mut draw = || {
            let hard = 10.0 + 5.0 * random.normal();
            (hard + random.normal(), hard - gain + random.normal())
        };
        (0..assets).map(|_| draw()).collect()
    }

    fn verdict(pairs: &[(f64, f64)], rule: Rule) -> Verdict {
        let told = compare(pairs, mean, rule.confidence, 3);
        rule.decide(&told, ("error", "cycles"))
    }

    #[test]
    fn a_better_model_passes_and_an_equal_or_worse_one_does_not() {
        let rule = Rule::default();
        for (gain, passes, why) in [
            (1.0, true, "better: "),
            (0.0, false, "not better"),
            (-1.0, false, "worse: "),
        ] {
            let told = verdict(&pairs(40, gain, 2), rule);
            assert_eq!(told.passes, passes, "{}", told.reason);
            assert!(told.reason.starts_with(why), "{}", told.reason);
        }
    }

    #[test]
    fn a_small_gain_passes_only_where_it_is_enough() {
        let pairs = pairs(40, 1.0, 2);
        let enough = |better_by| {
            let rule = Rule {
                better_by,
                ..Rule::default()
            };
            verdict(&pairs, rule).passes
        };
        assert!(enough(0.05));
        assert!(!enough(0.5));
    }

    #[test]
    fn few_assets_decide_nothing() {
        let told = verdict(&pairs(3, 5.0, 7), Rule::default());
        assert!(!told.passes);
        assert!(told.reason.starts_with("not decided, 5 assets are needed"));
    }

    /// The interval is what it says: of many comparisons, the true difference lies in about as many intervals.
    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let held = (0..200)
            .filter(|seed| {
                let pairs = pairs(30, 1.0, 1_000 + seed);
                let told = compare(&pairs, mean, 0.9, *seed);
                told.low <= -1.0 && -1.0 <= told.high
            })
            .count();
        assert!((165..=195).contains(&held), "{held} of 200");
    }
}
