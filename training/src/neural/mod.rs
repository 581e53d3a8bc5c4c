//! Neural networks, their training, and their place in a graph: recurrent ones over lives (`recurrent.rs`), autoencoders of
//! rows (`dense.rs`) and of sequences (`unrolled.rs`).
//!
//! ```text
//!   Examples ─ batches ─▶ Net::forward ─▶ Loss ─ gradients ─▶ Adam ─▶ weights ─┬─ running mean ─▶ validated each round
//!                                                                              └─ checkpoint, each round
//!   the best weights ─▶ predict (the trainer's own numbers)
//!                    └▶ export (the same as nodes of an ONNX graph: each network has its own)
//! ```
//!
//! burn gives tensors, their gradients and Adam; what a network is stands here, as lists of matrices, so that weights can
//! be written down, averaged and exported without a detour. All random numbers come from [`crate::random`], and a network
//! is trained on one thread: the same seed gives the same bits on one machine. Members of an ensemble are trained side by
//! side.
//!
//! Not here: what the examples are (`crate::rul`), scaling (`crate::scaling`).

mod cell;
mod checkpoint;
mod dense;
mod fit;
mod net;
mod recurrent;
mod unrolled;

pub use cell::Cell;
pub use checkpoint::Checkpoint;
pub use dense::Dense;
pub use fit::{Fitted, Round, Settings, Stop, fit};
pub use net::{Batch, Examples, Loss, Net, State, Weights, predict};
pub use recurrent::Recurrent;
pub use unrolled::Unrolled;
