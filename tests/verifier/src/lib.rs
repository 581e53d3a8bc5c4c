//! Decides whether "nothing lost, nothing doubled" is true: plays scenarios with faults on a real Apache Kafka and
//! compares every committed output with a single-threaded replay.
//!
//! | module | holds |
//! |---|---|
//! | [`broker`], [`proxy`] | a throw-away broker; the TCP proxy with faults before it |
//! | [`pipeline`], [`workers`] | the pipeline under test; its processes |
//! | [`load`] | what is sent, by seed |
//! | [`watch`] | when outputs come, and how far the service is behind |
//! | [`stage`], [`scenarios`], [`run`] | all of these together; what is done to them; one scenario from begin to end |
//! | [`judge`] | what was published against what should have been; planted defects |
//! | [`report`] | the line, the table, the JSON |

pub mod broker;
pub mod judge;
pub mod load;
mod lock;
pub mod pipeline;
pub mod proxy;
mod random;
pub mod report;
pub mod run;
pub mod scenarios;
mod signals;
pub mod stage;
pub mod watch;
pub mod workers;
