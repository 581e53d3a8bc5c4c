//! Training a model of remaining useful life: an ensemble of recurrent networks over lives, as one graph.
//!
//! ```text
//!   lives of the training assets ─▶ each member of the ensemble learns from all of them; or, where it is watched, from all
//!                                   folds but one, and stops where that one is told best
//!   members ─ mean of what they say ─▶ low quantile, mean, high quantile ─ export ─▶ one ONNX graph, a row at a time
//! ```
//!
//! Not here: which assets train (`split.rs`), the margin of the interval (`conformal.rs`), whether it is better than what
//! serves (`gate.rs`).

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::labels::Labels;
use crate::lives::{AGE, Change, Lives, Target};
use crate::neural::{
    Cell, Checkpoint, Fitted, Loss, Recurrent, Round, Settings, State, Stop, Weights, fit, predict,
};
use crate::onnx::{Builder, Setting, Size, Value};
use crate::rows::Rows;
use crate::scaling::Scaling;
use crate::split::{Part, Split};

/// What a recipe says of the networks and their training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Training {
    pub cell: Cell,
    /// Units of each recurrent layer.
    pub hidden: Vec<usize>,
    /// Units of each dense layer behind them.
    pub dense: Vec<usize>,
    /// Share of units that are dropped while it learns.
    pub dropout: f64,
    /// See [`Recurrent::memory`].
    pub memory: f64,
    /// Networks whose outputs are averaged.
    pub members: usize,
    /// Watches each member on assets that it does not learn from, and keeps what was best there, instead of learning from
    /// all assets for all steps.
    pub watched: bool,
    /// The quantiles that are told beside the mean.
    pub low: f64,
    pub high: f64,
    /// How much the quantiles count in the loss, against the mean.
    pub quantiles: f64,
    pub change: Change,
    pub learning: Settings,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            cell: Cell::Lstm,
            hidden: vec![64],
            dense: vec![32],
            dropout: 0.3,
            memory: 100.0,
            members: 3,
            watched: false,
            low: 0.05,
            high: 0.95,
            quantiles: 0.075,
            change: Change::default(),
            learning: Settings::default(),
        }
    }
}

/// A trained ensemble.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulModel {
    pub scaling: Scaling,
    net: Recurrent,
    members: Vec<Weights>,
    /// Of the remaining life, in its unit.
    pub cap: f64,
}

/// What is told of one row, in the unit of remaining life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told {
    pub low: f64,
    pub mean: f64,
    pub high: f64,
}

/// What is told while it learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    pub member: usize,
    pub members: usize,
    /// From 0.
    pub round: usize,
    pub told: Round,
}

/// How the members came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    pub model: RulModel,
    /// Of each member, its rounds, and the best of them.
    pub rounds: Vec<(Vec<Round>, usize)>,
}

/// Trains the members on the lives of `rows` that `split` does not hold back, side by side, one thread each.
/// With `work`, each is written down there after each round, and the same training goes on from it.
///
/// # Errors
/// The first member's that can't be trained.
pub fn train(
    (rows, scaling, labels): (&Rows, Scaling, &Labels),
    target: Target,
    split: &Split,
    training: &Training,
    work: Option<&Path>,
    on: impl Fn(Progress) -> bool + Sync,
) -> Result<Trained, Stop> {
    let loss = Loss::Interval {
        low: training.low,
        high: training.high,
        share: training.quantiles,
    };
    let net = Recurrent {
        cell: training.cell,
        inputs: Lives::inputs(&scaling),
        hidden: training.hidden.clone(),
        dense: training.dense.clone(),
        outputs: loss.outputs(),
        dropout: training.dropout,
        memory: training.memory,
    };
    let members = training.members;
    let lives = |wanted: &dyn Fn(Part) -> bool| {
        let rows = rows.only(|asset| wanted(split.part(asset, members)));
        Lives::new(&rows, &scaling, labels, target, training.change)
    };
    let failures: Vec<&[i64]> = rows
        .assets
        .iter()
        .map(|asset| labels.failures(&asset.asset))
        .collect();
    let fingerprint = rows.fingerprint(&format!(
        "{scaling:?} {split:?} {training:?} {target:?} {failures:?}"
    ));
    let member = |number: usize| -> Result<Fitted, Stop> {
        let is_watched = |fold: usize| training.watched && fold == number;
        let learnt = lives(&|part| matches!(part, Part::Fold(fold) if !is_watched(fold)));
        let watched = lives(&|part| matches!(part, Part::Fold(fold) if is_watched(fold)));
        let settings = Settings {
            seed: training
                .learning
                .seed
                .wrapping_mul(1_000)
                .wrapping_add(number as u64),
            ..training.learning.clone()
        };
        let checkpoint = work
            .map(|work| Checkpoint::new(&work.join(format!("member-{number}.bin")), &fingerprint));
        let validate = |weights: &Weights| {
            let said = predict(&net, weights, &watched, &watched.lengths());
            validation(&watched, &said, target.cap)
        };
        let on = |round, told| {
            on(Progress {
                member: number,
                members,
                round,
                told,
            })
        };
        fit(
            &net,
            (&learnt, &loss),
            &settings,
            checkpoint.as_ref(),
            validate,
            on,
        )
    };
    let fitted = side_by_side(members, member)?;
    let model = RulModel {
        scaling,
        net: net.clone(),
        members: fitted.iter().map(|fitted| fitted.weights.clone()).collect(),
        cap: target.cap,
    };
    let rounds = fitted
        .into_iter()
        .map(|fitted| (fitted.rounds, fitted.best))
        .collect();
    Ok(Trained { model, rounds })
}

/// Runs `job` for all numbers below `count`, as many at once as there are cores, each in a pool of one thread: what is
/// added up in another order has other bits.
fn side_by_side<T: Send, E: Send>(
    count: usize,
    job: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .expect("a thread");
        loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if number >= count {
                return;
            }
            let result = pool.install(|| job(number));
            done.lock().expect("no panic").push((number, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..cores.min(count) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Root mean squared error of the mean over the rows that are judged, in units; `None` without any.
fn validation(lives: &Lives, said: &[Vec<f32>], cap: f64) -> Option<f64> {
    let (mut squares, mut count) = (0.0, 0_usize);
    for (life, said) in said.iter().enumerate() {
        for (row, (said, truth)) in said.chunks_exact(3).zip(lives.truth(life)).enumerate() {
            if let Some(truth) = truth
                && lives.is_judged(life, row)
            {
                squares += ((f64::from(said[1]) * cap).clamp(0.0, cap) - truth).powi(2);
                count += 1;
            }
        }
    }
    (count > 0).then(|| (squares / count as f64).sqrt())
}

impl RulModel {
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// What it says at each row of each life: the trainer's own numbers.
    pub fn predict(&self, lives: &Lives) -> Vec<Vec<Told>> {
        let lengths = lives.lengths();
        let mut sums: Vec<Vec<f64>> = lengths.iter().map(|rows| vec![0.0; 3 * rows]).collect();
        for weights in &self.members {
            let said = predict(&self.net, weights, lives, &lengths);
            for (sums, said) in sums.iter_mut().zip(said) {
                sums.iter_mut()
                    .zip(said)
                    .for_each(|(sum, said)| *sum += f64::from(said));
            }
        }
        let share = self.cap / self.members.len() as f64;
        let told = |sum: &[f64]| {
            let [low, mean, high] =
                [0, 1, 2].map(|place| (sum[place] * share).clamp(0.0, self.cap));
            Told {
                low: low.min(mean),
                mean,
                high: high.max(mean),
            }
        };
        sums.iter()
            .map(|sums| sums.chunks_exact(3).map(told).collect())
            .collect()
    }

    /// The graph, a row at a time, with `metadata` and the keys of its contract that the graph decides.
    pub fn export(&self, name: &str, metadata: Vec<(String, String)>) -> Vec<u8> {
        let mut graph = Builder::new(name);
        let (input, mut states) = begin(&mut graph, &self.scaling);
        let mut said = Vec::new();
        for (number, weights) in self.members.iter().enumerate() {
            let (value, own) = self
                .net
                .export(weights, &mut graph, &input, &format!("m{number}_"));
            said.push(value);
            states.extend(own);
        }
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let sum = graph.node("Sum", &said, &[]);
        let share = graph.scalar((self.cap / self.members.len() as f64) as f32);
        let told = graph.node("Mul", &[&sum, &share], &[]);
        let (zero, cap) = (graph.scalar(0.0), graph.scalar(self.cap as f32));
        let told = graph.node("Clip", &[&told, &zero, &cap], &[]);
        // Quantiles that have crossed the mean are put where it is.
        let column = |graph: &mut Builder, place: i64| {
            let place = graph.ints(&[place]);
            graph.node("Gather", &[&told, &place], &[("axis", Setting::Int(1))])
        };
        let [low, mean, high] = [0, 1, 2].map(|place| column(&mut graph, place));
        let low = graph.node("Min", &[&low, &mean], &[]);
        let high = graph.node("Max", &[&high, &mean], &[]);
        finish(graph, [&low, &mean, &high], self.cap, states, metadata)
    }
}

/// The begin of a graph that is fed a row at a time: gives what a network, or a linear model, takes of a row, [B, inputs] as
/// in [`Lives::row`], and the state that holds the age.
pub(crate) fn begin(graph: &mut Builder, scaling: &Scaling) -> (Value, Vec<State>) {
    let one = [Size::Batch, Size::Fixed(1)];
    let rows = graph.input("rows", &[Size::Batch, Size::Fixed(scaling.features())]);
    let age = graph.input("age_in", &one);
    let (scaled, regime) = scaling.export(graph, &rows);
    let (per, first, next) = (graph.scalar(AGE), graph.scalar(1.0), graph.scalar(1.0));
    let older = graph.node("Add", &[&age, &next], &[]);
    graph.output("age_out", &older, &one);
    let age = graph.node("Div", &[&age, &per], &[]);
    let age = graph.node("Sub", &[&age, &first], &[]);
    let mut inputs = vec![scaled];
    inputs.extend(regime);
    inputs.push(age);
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let input = graph.node("Concat", &inputs, &[("axis", Setting::Int(1))]);
    let state = State {
        input: "age_in".into(),
        output: "age_out".into(),
        width: 1,
    };
    (input, vec![state])
}

/// The end of such a graph: a low quantile, the mean and a high quantile, each [B, 1], and the keys of the contract.
pub(crate) fn finish(
    mut graph: Builder,
    told: [&str; 3],
    cap: f64,
    states: Vec<State>,
    metadata: Vec<(String, String)>,
) -> Vec<u8> {
    let quantiles = graph.node("Concat", &told, &[("axis", Setting::Int(1))]);
    graph.output("quantiles", &quantiles, &[Size::Batch, Size::Fixed(3)]);
    let mut all = vec![
        ("forewarn.input".to_owned(), "rows".to_owned()),
        (
            "forewarn.output.quantiles".to_owned(),
            "quantiles".to_owned(),
        ),
        ("forewarn.rul-cap".to_owned(), cap.to_string()),
    ];
    all.extend(
        states
            .into_iter()
            .map(|state| (format!("forewarn.state.{}", state.input), state.output)),
    );
    all.extend(metadata);
    graph.finish(&all)
}
