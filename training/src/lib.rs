//! Data sets and evaluation of Forewarn: where readings with a known truth come from, and how
//! well a model predicts that truth.
//!
//! ```text
//!   cars      simulated connected cars: endless readings, fault truth, published file
//!   cmapss    NASA turbofan engines: cycles and remaining useful life
//!     |  readings as JSON, truth
//!     v
//!   evaluate  rmse, PHM08 score, precision and recall, recall per fault mode
//!
//!   calibrate the threshold that raises no more alarms than an operator bears
//! ```
//!
//! [`dataset`] holds what the data sets share: signals, where files are found, reading errors.
//!
//! To come here: retraining, which replays readings from Kafka through the pipeline's own feature
//! code, so that training and serving see the same features.
//!
//! Invariant: everything but the `load*` functions is pure; nothing reads a clock, the environment
//! or Kafka, and nothing prints.

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
pub mod rows;
pub mod rul;
pub mod scaling;
pub mod split;
