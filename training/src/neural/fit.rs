//! The training of a network, round by round: some steps of learning, then a validation.

use std::io;

use burn::optim::{Adam, AdamConfig, AdamState, AdaptiveMomentumState, Optimizer};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, State};
use super::net::{Batch, Examples, Loss, Matrix, Net, Weights};
use crate::random::Random;

/// The running mean of weights forgets as slowly as this from the beginning of the training on.
const SLOWEST_START: f64 = 10.0;
/// Steps in which the rate rises from zero, which keeps the first gradients from doing harm.
const WARM_UP: f64 = 50.0;
/// Of the rate, what is left of it at the end.
const LAST_RATE: f64 = 0.01;

/// How it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Steps of learning.
    pub steps: usize,
    /// Sequences in a step.
    pub batch: usize,
    /// Of Adam; it rises in the first steps and falls along half a cosine. I. Loshchilov, F. Hutter, *SGDR*, 2017.
    pub rate: f64,
    /// What weights lose in a step, as a share of the rate: I. Loshchilov, F. Hutter, *Decoupled Weight Decay
    /// Regularization*, 2019.
    pub decay: f64,
    /// Gradients longer than this are made that long.
    pub clip: f64,
    /// What is kept of the running mean of the weights in each step: B. Polyak, A. Juditsky, 1992. It is the mean that is
    /// validated and kept.
    pub averaging: f64,
    /// Steps between two validations.
    pub round: usize,
    /// Rounds without a better validation after which it stops.
    pub patience: usize,
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            steps: 400,
            batch: 16,
            rate: 1e-2,
            decay: 1e-3,
            clip: 1.0,
            averaging: 0.99,
            round: 100,
            patience: 5,
            seed: 1,
        }
    }
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Mean of the loss while it learnt.
    pub loss: f64,
    /// The validation's number, where there is one; smaller is better.
    pub validation: Option<f64>,
}

/// A trained network.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Of the best round; without a validation, of the last one.
    pub weights: Weights,
    pub rounds: Vec<Round>,
    /// Which round, from 0, was the best.
    pub best: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("there is nothing to learn from")]
    Empty,
    #[error(
        "the loss is not a finite number in round {round}: make the rate smaller, or look for extreme values in the rows"
    )]
    Diverged { round: usize },
    #[error("the checkpoint can't be written: {0}")]
    Checkpoint(#[from] io::Error),
    #[error("it was told to stop after round {round}; the same command goes on there")]
    Interrupted { round: usize },
}

/// Trains `net` on `examples`. `validate` judges what the network gives with weights, after each round, if it can; `on` is told, and
/// says whether to go on.
///
/// # Errors
/// When there is nothing to learn from, nothing is learnt, or it is told to stop.
pub fn fit(
    net: &dyn Net,
    (examples, loss): (&dyn Examples, &Loss),
    settings: &Settings,
    checkpoint: Option<&Checkpoint>,
    validate: impl Fn(&Weights) -> Option<f64>,
    on: impl Fn(usize, Round) -> bool,
) -> Result<Fitted, Stop> {
    if examples.is_empty() {
        return Err(Stop::Empty);
    }
    let mut training = match checkpoint.and_then(Checkpoint::load) {
        Some(state) => Training::resume(settings, state),
        None => Training::begin(net, settings),
    };
    while !training.is_over() {
        let number = training.rounds.len();
        let loss = training.round(net, examples, loss);
        let mean = Weights::of(&training.mean);
        let validation = validate(&mean);
        if !loss.is_finite() || validation.is_some_and(|validation| !validation.is_finite()) {
            return Err(Stop::Diverged { round: number + 1 });
        }
        let round = Round { loss, validation };
        training.rounds.push(round);
        if training.best() == Some(number) {
            training.best_weights = mean;
        }
        if let Some(checkpoint) = checkpoint {
            checkpoint.save(&training.state())?;
        }
        if !on(number, round) && !training.is_over() {
            return Err(Stop::Interrupted { round: number + 1 });
        }
    }
    Ok(Fitted {
        best: training.best().unwrap_or(0),
        weights: training.best_weights,
        rounds: training.rounds,
    })
}

struct Training<'a> {
    settings: &'a Settings,
    device: Device,
    adam: Adam,
    weights: Vec<Tensor<2>>,
    moments: Vec<Option<AdamState<2>>>,
    mean: Vec<Tensor<2>>,
    best_weights: Weights,
    rounds: Vec<Round>,
    steps: usize,
}

impl<'a> Training<'a> {
    fn begin(net: &dyn Net, settings: &'a Settings) -> Self {
        let weights = net.begin(&mut Random::new(settings.seed, 0));
        let moments = vec![None; weights.0.len()];
        Self::with(settings, &weights, &weights, moments)
    }

    fn resume(settings: &'a Settings, state: State) -> Self {
        let device = Device::flex();
        let moments = |matrices: Vec<Matrix>| Weights(matrices).tensors(&device);
        let moments = moments(state.first).into_iter().zip(moments(state.second));
        let moments = moments.map(|(first, second)| {
            Some(AdamState::new(AdaptiveMomentumState::new(
                state.steps,
                first,
                second,
            )))
        });
        Training {
            best_weights: state.best,
            rounds: state.rounds,
            steps: state.steps,
            ..Self::with(settings, &state.weights, &state.mean, moments.collect())
        }
    }

    fn with(
        settings: &'a Settings,
        weights: &Weights,
        mean: &Weights,
        moments: Vec<Option<AdamState<2>>>,
    ) -> Self {
        let device = Device::flex();
        Training {
            settings,
            adam: AdamConfig::new().with_epsilon(1e-8).build(),
            weights: weights.tensors(&device),
            moments,
            mean: mean.tensors(&device),
            best_weights: weights.clone(),
            rounds: Vec::new(),
            steps: 0,
            device,
        }
    }

    fn state(&self) -> State {
        let of = |tensor: fn(&AdamState<2>) -> &Tensor<2>| {
            let moments: Vec<Tensor<2>> = self
                .moments
                .iter()
                .flatten()
                .map(|state| tensor(state).clone())
                .collect();
            Weights::of(&moments).0
        };
        State {
            rounds: self.rounds.clone(),
            weights: Weights::of(&self.weights),
            mean: Weights::of(&self.mean),
            best: self.best_weights.clone(),
            steps: self.steps,
            first: of(|state| &state.momentum.moment_1),
            second: of(|state| &state.momentum.moment_2),
        }
    }

    /// The round with the smallest validation, of several the first; without a validation the last one.
    fn best(&self) -> Option<usize> {
        let validated = self.rounds.iter().enumerate();
        let validated = validated.filter_map(|(number, round)| Some((number, round.validation?)));
        let best = validated.min_by(|a, b| a.1.total_cmp(&b.1));
        best.map(|(number, _)| number)
            .or_else(|| self.rounds.len().checked_sub(1))
    }

    fn is_over(&self) -> bool {
        let waits = self.best().map_or(0, |best| self.rounds.len() - 1 - best);
        self.steps >= self.settings.steps || waits >= self.settings.patience.max(1)
    }

    /// Some steps of learning; gives the mean of their losses.
    fn round(&mut self, net: &dyn Net, examples: &dyn Examples, loss: &Loss) -> f64 {
        // A stream of its own, so that it does not matter where a training was ended and resumed.
        let mut random = Random::new(self.settings.seed, 1 + self.rounds.len() as u64);
        let end = (self.steps + self.settings.round).min(self.settings.steps);
        let (mut batch, mut places, mut sum) = (Batch::default(), Vec::new(), 0.0);
        let begin = self.steps;
        while self.steps < end {
            while places.len() < self.settings.batch {
                let mut all: Vec<usize> = (0..examples.len()).collect();
                random.shuffle(&mut all);
                places.extend(all);
            }
            let rest = places.split_off(self.settings.batch);
            examples.fill(&places, Some(&mut random), &mut batch);
            places = rest;
            let told = self.step(net, &batch, loss, &mut random);
            if !told.is_finite() {
                return told;
            }
            sum += told;
        }
        sum / (end - begin) as f64
    }

    fn rate(&self) -> f64 {
        let step = self.steps as f64;
        let progress = step / self.settings.steps as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        self.settings.rate * (step / WARM_UP).min(1.0) * (LAST_RATE + (1.0 - LAST_RATE) * cosine)
    }

    fn step(&mut self, net: &dyn Net, batch: &Batch, loss: &Loss, random: &mut Random) -> f64 {
        let leaf = |weights: &Tensor<2>| weights.clone().autodiff().require_grad();
        let leaves: Vec<Tensor<2>> = self.weights.iter().map(leaf).collect();
        let device = self.device.clone().autodiff();
        let outputs = net.forward(&leaves, batch.tensors(&device), Some(random));
        let [targets, counts] = batch.targets(&device);
        let loss = loss.of(&outputs, &targets, &counts);
        let mut gradients = loss.backward();
        let told = f64::from(loss.into_scalar::<f32>());
        let gradient = |leaf: &Tensor<2>| leaf.grad_remove(&mut gradients);
        let gradients: Vec<Option<Tensor<2>>> = leaves.iter().map(gradient).collect();
        let square = |gradient: &Tensor<2>| gradient.clone().square().sum().into_scalar::<f32>();
        let squares = gradients.iter().flatten().map(square);
        let length = squares.map(f64::from).sum::<f64>().sqrt();
        let shortened = (self.settings.clip / length.max(f64::MIN_POSITIVE)).min(1.0);
        self.steps += 1;
        let (steps, rate) = (self.steps as f64, self.rate());
        let kept = self.settings.averaging.min(steps / (steps + SLOWEST_START));
        for (place, gradient) in gradients.into_iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            let weights = self.weights[place]
                .clone()
                .mul_scalar(1.0 - rate * self.settings.decay);
            let gradient = gradient.mul_scalar(shortened);
            let moments = self.moments[place].take();
            let (weights, moments) = self.adam.step(rate, weights, gradient, moments);
            self.moments[place] = moments;
            let mean = self.mean[place].clone();
            self.mean[place] = mean.mul_scalar(kept) + weights.clone().mul_scalar(1.0 - kept);
            self.weights[place] = weights;
        }
        told
    }
}
