//! Neural networks: recurrent ones over sequences, their training, and their place in a graph.
//!
//! ```text
//!   Examples ─ batches ─▶ Net::forward ─▶ Loss ─ gradients ─▶ Adam ─▶ weights ─┬─ running mean ─▶ validated each round
//!                                                                              └─ checkpoint, each round
//!   the best weights ─▶ predict (the trainer's own numbers)
//!                    └▶ Net::export (the same as nodes of an ONNX graph)
//! ```
//!
//! burn gives tensors, their gradients and Adam; what a network is stands here, as lists of matrices, so that weights can
//! be written down, averaged and exported without a detour. All random numbers come from [`crate::random`], and a network
//! is trained on one thread: the same seed gives the same bits on one machine. Members of an ensemble are trained side by
//! side.
//!
//! Not here: what the examples are (`crate::rul`), scaling (`crate::scaling`).

mod checkpoint;
mod fit;
mod net;
mod recurrent;

pub use checkpoint::Checkpoint;
pub use fit::{Fitted, Round, Settings, Stop, fit};
pub use net::{Batch, Examples, Loss, Net, State, Weights, predict};
pub use recurrent::{Cell, Recurrent};
