//! The configuration of a pipeline: one TOML file, typed, its doc comments being the reference.
//!
//! ```text
//!   text → tables → typed sections → checks across sections → Config
//!            every problem on the way is collected and told at once, with line and key
//! ```
//!
//! Not here: whether the models fit the views. That needs the models: see [`crate::plan`].

mod check;
mod check_time;
mod drift;
mod lines;
mod load;
mod models;
mod problem;
mod sections;
mod serving;

pub use drift::{Drift, PageHinkley};
pub use load::Config;
pub use models::{ContributionsOf, Models, Reload};
pub use problem::{Problem, Problems};
pub use sections::{
    Align, AssetSource, Clock, Delivery, Duplicates, EventTime, EventTimeConfig, Format, Guarantee,
    Headers, Kafka, Limits, Narrow, OrNever, Service, Sink, Source, Start, StatusConfig, TimeUnit,
    Traces, View, Window,
};
pub use serving::{AlarmConfig, Canary, Challenger, Levels, ServedModel, Watch};
