//! What a model **is**: the contract it declares, the files it comes in, the session that runs it, and
//! the meaning of what it returns.
//!
//! ```text
//!  repository            contract              signature             scorer            verdict
//!  <name>/<version>/  →  task, features,   →   do the graph's    →   [B,L,F] in,   →   anomaly: score, flag, why
//!  model.onnx            L, outputs, units     inputs fit it?        outputs out       rul: value, interval, ...
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`repository`] | where a name and a version are on disk, which one serves, what was done to it |
//! | [`contract`] | what the model says it needs and gives (`forewarn.*` metadata, or `model.toml`) |
//! | [`signature`] | what the graph really has; compared with the contract |
//! | [`runtime`] | finding and loading `libonnxruntime.so`, with an error that says what to do |
//! | [`scorer`] | one ONNX Runtime session: a batch in, its judged output out |
//! | `inputs`, `element` | feature rows into the graph's tensors, whatever their number, shape and type |
//! | `outputs` | the named outputs, row by row |
//! | `recurrent` | the state of a recurrent model, in the graph's tensors and per asset |
//! | [`verdict`] | raw outputs into anomaly scores, contributions, remaining useful life, classes |
//! | `attribution` | which feature a result is due to, by occlusion |
//! | [`model`] | all of the above for one version, loaded, checked and probed |
//! | [`admission`] | what a file goes through before it may score: looked at, copied, tried in a process of its own |
//! | [`reference`] | how features and score were distributed in training; no part of what is admitted |
//! | [`loader`] | how a pipeline gets models: admitted ones, or any |
//!
//! Not here: telemetry, Kafka, features, sequences and states per asset (the `pipeline` crate), training (the `training` crate).

pub mod admission;
mod attribution;
pub mod contract;
mod element;
mod inputs;
pub mod loader;
pub mod model;
mod outputs;
mod recurrent;
pub mod reference;
pub mod repository;
pub mod runtime;
pub mod scorer;
pub mod signature;
pub mod verdict;

pub use admission::{Admission, Refusal};
pub use contract::{Contract, Padding, ScoreOrder, Sequence, StatePair, Task};
pub use element::Element;
pub use loader::Loader;
pub use model::{LoadError, Model, Usage};
pub use reference::Reference;
pub use repository::{ModelFiles, Repository};
pub use runtime::Runtime;
pub use verdict::{Interval, Verdict, Verdicts};
