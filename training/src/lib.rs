//! Training, evaluation, and the data sets that come with a truth.
//!
//! ```text
//!   recipe ─ rows, labels, split ─▶ scaling ─▶ lives ─▶ rul: networks (neural) ─▶ graph (onnx)
//!                                                        │ what it says of held-back assets
//!                                                        ▼
//!                                       conformal: the interval    judged ─▶ gate: better than what serves?
//!
//!   cars, cmapss: readings with a truth ─▶ evaluate: rmse, PHM08 score, precision and recall per fault mode
//!   calibrate: the threshold that raises no more alarms than an operator bears
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`recipe`] | everything that a training depends on, as TOML |
//! | [`rows`], [`labels`], [`split`] | rows of a view by asset; failures; which assets are held back |
//! | [`scaling`], [`lives`] | operating regimes; lives of assets, and how they are changed in training |
//! | [`neural`], [`rul`] | networks, their training, their nodes; an ensemble of them as a model |
//! | [`onnx`], [`random`] | writing graphs; random numbers that are the same in every run |
//! | [`conformal`], [`judged`], [`gate`] | the margin of an interval; what was said against what came true; is it better? |
//! | [`reference`], [`trigger`] | what drift is measured against; whether it is a reason to train |
//! | [`baseline`] | a linear model that networks must beat |
//! | [`evaluate`], [`calibrate`] | metrics; thresholds |
//! | [`cars`], [`cmapss`], [`dataset`] | data sets |
//!
//! Not here: how rows come out of the log, and how the engine judges (the binary's `retrain.rs`).
//!
//! Invariants: everything but what reads and writes named files is pure; nothing reads a clock, the environment or Kafka,
//! and nothing prints. The same input and seed give the same bits on one machine.

pub mod baseline;
pub mod calibrate;
pub mod cars;
pub mod cmapss;
pub mod conformal;
pub mod dataset;
pub mod evaluate;
pub mod gate;
pub mod judged;
pub mod labels;
pub mod lives;
pub mod neural;
pub mod onnx;
pub mod random;
pub mod recipe;
pub mod reference;
pub mod rows;
pub mod rul;
pub mod scaling;
pub mod split;
pub mod trigger;
