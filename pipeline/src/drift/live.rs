//! The drift of a running service: windows of recent rows of all workers, beside the references.
//!
//! ```text
//!   batches of workers ─▶ window: rows enough, and long enough ─▶ distances ─▶ gauges, and a word when a limit is crossed
//!                  └ blocks of scores ─▶ Page-Hinkley around the mean of training
//! ```
//!
//! It is an observation of this process: nothing of it is written down, and a restart begins a new window.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use forewarn_models::Reference;
use forewarn_models::reference::Distribution;
use hashbrown::HashMap;

use super::counts::Counts;
use super::fleet::Fleet;
use super::measure::{Distance, Verdict};
use super::page_hinkley::{Centre, Direction, PageHinkley, Ranks};
use super::report::Kind;
use super::watch::Batch;
use crate::config::Drift;

/// Scores whose mean rank is one value of the test: chance is a sixteenth of a standard deviation.
const BLOCK: u64 = 256;

/// All models that are watched.
#[derive(Debug, Default)]
pub struct Live(Mutex<Vec<OfModel>>);

/// One version of a model.
#[derive(Debug)]
struct OfModel {
    model: String,
    version: u32,
    reference: Arc<Reference>,
    fleet: Fleet,
    window: Window,
    /// Windows that are over.
    windows: u64,
    /// Rows of the last one.
    window_rows: u64,
    /// Of its features, then of its score.
    distances: Vec<Distance>,
    /// Those about which it was warned, until they are stable again.
    warned: Vec<bool>,
    scores: Option<Scores>,
}

#[derive(Debug)]
struct Window {
    begun: Option<Instant>,
    rows: u64,
    /// Rows of each asset, by the hash of its name.
    of_assets: HashMap<u64, u64>,
    counts: Vec<Counts>,
}

/// The test on scores.
#[derive(Debug)]
struct Scores {
    ranks: Ranks,
    block: Counts,
    /// Blocks so far, which stand for instants.
    blocks: i64,
    test: PageHinkley,
    nearness: [f64; 2],
    /// Changes upwards and downwards.
    changes: [u64; 2],
}

/// Something that a person should know of, once.
#[derive(Debug, Clone, PartialEq)]
pub enum Crossing {
    /// These are beyond the large limit now: name and PSI.
    Drifted {
        model: String,
        version: u32,
        rows: u64,
        variables: Vec<(String, f64)>,
    },
    /// These were, and are stable again.
    Stable {
        model: String,
        version: u32,
        variables: Vec<String>,
    },
    /// The mean of the scores has changed.
    Changed {
        model: String,
        version: u32,
        direction: Direction,
    },
}

/// What `/metrics` tells of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub model: String,
    pub version: u32,
    pub windows: u64,
    pub window_rows: u64,
    pub variables: Vec<(Kind, String, Distance)>,
    /// Upwards and downwards; `None` for a model without a score.
    pub nearness: Option<[f64; 2]>,
    pub changes: [u64; 2],
}

impl Live {
    /// Takes what a worker has seen.
    pub(super) fn take(&self, batch: &Batch, settings: &Drift, now: Instant) -> Vec<Crossing> {
        let mut models = self.models();
        let is_it = |of: &OfModel| of.model == batch.model && of.version == batch.version;
        let place = match models.iter().position(is_it) {
            Some(place) => place,
            None => {
                models.push(OfModel::new(batch));
                models.len() - 1
            }
        };
        let of = &mut models[place];
        of.window.add(batch, now);
        let mut crossed: Vec<Crossing> = of.scores(batch, settings).into_iter().collect();
        if of.window.is_over(settings, now) {
            crossed.extend(of.close(settings));
        }
        crossed
    }

    /// Another version serves in its place.
    pub(super) fn forget(&self, model: &str, version: u32) {
        self.models()
            .retain(|of| of.model != model || of.version != version);
    }

    /// What is known now.
    pub fn told(&self) -> Vec<Told> {
        let models = self.models();
        let mut told: Vec<Told> = models.iter().map(OfModel::told).collect();
        told.sort_by(|a, b| (&a.model, a.version).cmp(&(&b.model, b.version)));
        told
    }

    /// Counts: a panic elsewhere leaves them as they were.
    fn models(&self) -> MutexGuard<'_, Vec<OfModel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn new(counts: &[Counts]) -> Self {
        let mut counts = counts.to_vec();
        counts.iter_mut().for_each(Counts::clear);
        Window {
            begun: None,
            rows: 0,
            of_assets: HashMap::new(),
            counts,
        }
    }

    fn add(&mut self, batch: &Batch, now: Instant) {
        self.begun.get_or_insert(now);
        self.rows += batch.rows;
        for asset in &batch.assets {
            *self.of_assets.entry(*asset).or_default() += 1;
        }
        for (counts, more) in self.counts.iter_mut().zip(&batch.counts) {
            counts.add(more);
        }
    }

    fn is_over(&self, settings: &Drift, now: Instant) -> bool {
        let lasted = self.begun.map(|begun| now.saturating_duration_since(begun));
        self.rows >= settings.window_rows && lasted >= Some(settings.window_lasts)
    }
}

impl OfModel {
    fn new(batch: &Batch) -> Self {
        let score = batch.reference.score.as_ref();
        OfModel {
            model: batch.model.clone(),
            version: batch.version,
            reference: batch.reference.clone(),
            fleet: Fleet::of(&batch.reference),
            window: Window::new(&batch.counts),
            windows: 0,
            window_rows: 0,
            distances: Vec::new(),
            warned: vec![false; batch.counts.len()],
            scores: score.map(|score| Scores {
                ranks: Ranks::new(score),
                block: Counts::of(score),
                blocks: 0,
                test: PageHinkley::new(Centre::Training),
                nearness: [0.0; 2],
                changes: [0; 2],
            }),
        }
    }

    /// Features, then the score, as distances are in order.
    fn variables(&self) -> impl Iterator<Item = (Kind, &Distribution)> {
        let features = self.reference.features.iter().map(|of| (Kind::Feature, of));
        features.chain(self.reference.score.iter().map(|of| (Kind::Score, of)))
    }

    fn scores(&mut self, batch: &Batch, settings: &Drift) -> Option<Crossing> {
        let (scores, counts) = (self.scores.as_mut()?, batch.counts.last()?);
        scores.block.add(counts);
        if scores.block.present() < BLOCK {
            return None;
        }
        let mean = scores.ranks.mean(&scores.block.bins);
        scores.block.clear();
        scores.blocks += 1;
        let sensitivity = settings.sensitivity();
        let change = scores.test.take(scores.blocks, mean, sensitivity);
        scores.nearness = scores.test.nearness(sensitivity);
        let direction = change?.direction;
        let at = direction as usize;
        scores.nearness[at] = 1.0;
        scores.changes[at] += 1;
        // What goes on is counted; only the first time is news.
        (scores.changes[at] == 1).then(|| Crossing::Changed {
            model: self.model.clone(),
            version: self.version,
            direction,
        })
    }

    /// Ends the window, and says which limits were crossed.
    fn close(&mut self, settings: &Drift) -> Vec<Crossing> {
        let next = Window::new(&self.window.counts);
        let window = std::mem::replace(&mut self.window, next);
        let rows = window.of_assets.iter().map(|(asset, rows)| (*asset, *rows));
        let mixture = self.fleet.mixture(rows);
        let distances = self
            .variables()
            .zip(&window.counts)
            .map(|((_, of), counts)| {
                // Of so few rows of an asset, how alike they are is not known: as in training.
                let worth = mixture.worth(of, counts.rows(), of.between);
                Distance::of(of, counts, worth, settings.limits())
            });
        self.distances = distances.collect();
        self.windows += 1;
        self.window_rows = window.rows;
        self.crossings()
    }

    fn crossings(&mut self) -> Vec<Crossing> {
        let (mut drifted, mut stable) = (Vec::new(), Vec::new());
        let mut warned = std::mem::take(&mut self.warned);
        for (((_, of), distance), warned) in self.variables().zip(&self.distances).zip(&mut warned)
        {
            if distance.verdict == Verdict::Large && !*warned {
                drifted.push((of.name.clone(), distance.psi));
                *warned = true;
            } else if distance.verdict == Verdict::Stable && *warned {
                stable.push(of.name.clone());
                *warned = false;
            }
        }
        self.warned = warned;
        drifted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (model, version) = (self.model.clone(), self.version);
        let mut crossed = Vec::new();
        if !drifted.is_empty() {
            crossed.push(Crossing::Drifted {
                model: model.clone(),
                version,
                rows: self.window_rows,
                variables: drifted,
            });
        }
        if !stable.is_empty() {
            crossed.push(Crossing::Stable {
                model,
                version,
                variables: stable,
            });
        }
        crossed
    }

    fn told(&self) -> Told {
        let variables = self.variables().zip(&self.distances);
        Told {
            model: self.model.clone(),
            version: self.version,
            windows: self.windows,
            window_rows: self.window_rows,
            variables: variables
                .map(|((kind, of), distance)| (kind, of.name.clone(), *distance))
                .collect(),
            nearness: self.scores.as_ref().map(|scores| scores.nearness),
            changes: self.scores.as_ref().map_or([0; 2], |scores| scores.changes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::drift::fit::Fitting;
    use crate::drift::fleet::hash;

    fn reference() -> Arc<Reference> {
        let mut fitting = Fitting::new(&["a".into(), "b".into()]);
        for n in 0..5_000_u32 {
            let (a, b) = ((n % 100) as f32, (n % 37) as f32);
            fitting.push(
                &format!("pump-{}", n % 50),
                [a, b],
                Some(f64::from(n % 100)),
            );
        }
        Arc::new(fitting.finish(serde_json::Value::Null).unwrap())
    }

    /// A batch of rows as in training, `a` and the score moved by so much.
    fn batch(reference: &Arc<Reference>, rows: u32, moved: f32) -> Batch {
        let all = reference.features.iter().chain(&reference.score);
        let mut batch = Batch {
            model: "pump".into(),
            version: 3,
            reference: reference.clone(),
            rows: rows.into(),
            assets: (0..rows)
                .map(|n| hash(&format!("pump-{}", n % 50)))
                .collect(),
            counts: all.clone().map(Counts::of).collect(),
        };
        let values = |of: u32, moved: f32| -> Vec<f32> {
            (0..rows).map(|n| (n % of) as f32 + moved).collect()
        };
        for (at, (reference, of)) in all.zip([100, 37, 100]).enumerate() {
            let moved = if at == 1 { 0.0 } else { moved };
            batch.counts[at].extend(reference, &values(of, moved));
        }
        batch
    }

    #[test]
    fn a_window_ends_when_it_has_rows_and_time_enough_and_warns_once() {
        let (live, reference) = (Live::default(), reference());
        let settings = Drift {
            window_rows: 1_000,
            window_lasts: Duration::from_secs(60),
            ..Drift::default()
        };
        let begun = Instant::now();
        let take = |moved: f32, seconds: u64| {
            let now = begun + Duration::from_secs(seconds);
            live.take(&batch(&reference, 1_000, moved), &settings, now)
        };
        assert_eq!(take(0.0, 0), []);
        assert_eq!(live.told()[0].windows, 0, "rows enough, and too short");
        assert_eq!(take(0.0, 60), []);
        let told = &live.told()[0];
        assert_eq!((told.windows, told.window_rows), (1, 2_000));
        for (_, name, distance) in &told.variables {
            assert!(distance.psi < 0.01, "{name} {distance:?}");
        }
        // A new window begins with the next batch.
        assert_eq!(take(40.0, 70), []);
        let crossed = take(40.0, 130);
        let [
            Crossing::Drifted {
                variables,
                rows: 2_000,
                ..
            },
        ] = &crossed[..]
        else {
            panic!("{crossed:?}");
        };
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "score"]);
        take(40.0, 140);
        assert_eq!(take(40.0, 200), [], "it was told");
        take(0.0, 210);
        let stable = take(0.0, 270);
        assert!(
            matches!(&stable[..], [Crossing::Stable { variables, .. }] if variables == &["a", "score"])
        );
        live.forget("pump", 3);
        assert_eq!(live.told(), []);
    }

    #[test]
    fn a_change_of_scores_is_told_once_and_counted() {
        let (live, reference) = (Live::default(), reference());
        let settings = Drift::default();
        let mut told = Vec::new();
        for moved in [0.0, 60.0] {
            // 200 batches of 300 rows: each is a block.
            for _ in 0..200 {
                let batch = batch(&reference, 300, moved);
                told.extend(live.take(&batch, &settings, Instant::now()));
            }
            let of = &live.told()[0];
            assert_eq!(of.changes[1], 0);
            if moved == 0.0 {
                assert_eq!((of.changes[0], told.len()), (0, 0));
            } else {
                assert!(of.changes[0] > 1, "{of:?}");
            }
        }
        assert_eq!(told.len(), 1);
        assert!(matches!(
            &told[0],
            Crossing::Changed {
                direction: Direction::Up,
                ..
            }
        ));
    }
}
