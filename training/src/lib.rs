//! Training, evaluation, and the data sets that come with a truth.
//!
//! ```text
//!   recipe ─ rows, labels, split ─▶ scaling ─┬▶ lives ─▶ life: networks (rul, neural), linear ──┐
//!                                            └▶ normal rows (episodes, uses) ─▶ detector ───────┴▶ graph (onnx)
//!                                                        │ what it says of held-back assets
//!                                                        ▼
//!         conformal: the interval    threshold    judged, detections ─▶ gate: better than what serves?
//!
//!   cars, cmapss: readings with a truth ─▶ evaluate: rmse, PHM08 score, precision and recall per fault mode
//!   calibrate: the threshold that raises no more alarms than an operator bears
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`recipe`] | everything that a training depends on, as TOML |
//! | [`rows`], [`labels`], [`split`] | rows of a view by asset; what happened; which assets are held back |
//! | [`scaling`] | operating regimes |
//! | [`life`], [`lives`], [`rul`], [`linear`] | models of remaining life: lives and how they are changed in training, networks, an elastic net |
//! | [`detector`], [`episodes`], [`uses`] | models of anomalies: components, mixtures, autoencoders; which rows are normal, and what each is for |
//! | [`neural`], [`onnx`], [`random`] | networks and their training; writing graphs; random numbers that are the same in every run |
//! | [`conformal`], [`threshold`] | the margin of an interval; the threshold of scores |
//! | [`judged`], [`detections`], [`gate`] | what was said against what came true; is it better? |
//! | [`reference`], [`trigger`] | what drift is measured against; whether it is a reason to train |
//! | [`evaluate`], [`calibrate`] | metrics of remaining life and of detection; thresholds by alarms |
//! | [`figures`] | what was judged, as SVG |
//! | [`cars`], [`cmapss`], [`dataset`] | data sets |
//!
//! Not here: how rows come out of the log, and how the engine judges (the binary's `retrain.rs`).
//!
//! Invariants: everything but what reads and writes named files is pure; nothing reads a clock, the environment or Kafka,
//! and nothing prints. The same input and seed give the same bits on one machine.

pub mod calibrate;
pub mod cars;
pub mod cmapss;
pub mod conformal;
pub mod dataset;
pub mod detections;
pub mod detector;
pub mod episodes;
pub mod evaluate;
pub mod figures;
pub mod gate;
pub mod judged;
pub mod labels;
pub mod life;
pub mod linear;
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
pub mod threshold;
pub mod trigger;
pub mod uses;
