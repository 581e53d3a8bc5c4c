//! The scenarios: what is done to the service while the load runs.
//!
//! | file | holds |
//! |---|---|
//! | `brokers.rs` | the broker goes away: restarted, killed, behind a black hole, behind a bad network |
//! | `processes.rs` | processes go away: killed at random and at named points, stopped, leaving and joining |
//! | `contents.rs` | messages and models: poison, versions dropped in, nothing at all |
//! | `scale.rs` | more processes: throughput and hand-over |

mod brokers;
mod contents;
mod processes;
mod scale;

use std::time::Duration;

use anyhow::Result;

use crate::pipeline::Settings;
use crate::stage::{Shape, Stage};

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    pub shape: Shape,
    pub play: fn(&mut Stage, Extent) -> Result<()>,
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// For every change: all of them together take minutes.
    Short,
    Long,
}

impl Extent {
    fn pick<T>(self, short: T, long: T) -> T {
        match self {
            Extent::Short => short,
            Extent::Long => long,
        }
    }

    fn seconds(self, short: u64, long: u64) -> Duration {
        Duration::from_secs(self.pick(short, long))
    }
}

/// All scenarios, in the order in which they are run.
pub fn all() -> Vec<Scenario> {
    let shape = Shape::default();
    let scenario = |name, about, shape, play| Scenario {
        name,
        about,
        shape,
        play,
    };
    vec![
        scenario("calm", "nothing happens", shape, contents::calm),
        scenario(
            "broker-restart",
            "the broker is stopped and started again",
            shape,
            brokers::restart,
        ),
        scenario(
            "broker-kill",
            "the broker is killed and started again",
            shape,
            brokers::kill,
        ),
        scenario(
            "unreachable",
            "bytes to and from the broker vanish for 20 s (300 s), then connections are refused for 5 s (60 s)",
            shape,
            brokers::unreachable,
        ),
        scenario(
            "half-open",
            "bytes of open connections vanish, new connections are fine",
            shape,
            brokers::half_open,
        ),
        scenario(
            "flaky",
            "50 ms +- 50 ms each way, little bandwidth, a reset every second",
            shape,
            brokers::flaky,
        ),
        scenario(
            "kill-random",
            "workers are killed at random times, 5 (100) times",
            shape,
            processes::kill_random,
        ),
        scenario(
            "kill-points",
            "workers kill themselves at every named point",
            Shape {
                settings: swapping(),
                ..shape
            },
            processes::kill_points,
        ),
        scenario(
            "zombie",
            "a worker is stopped for twice the session timeout and goes on",
            shape,
            processes::zombie,
        ),
        scenario(
            "churn",
            "of 4 processes one leaves or joins every 5 s",
            Shape {
                workers: 4,
                places: 5,
                ..shape
            },
            processes::churn,
        ),
        scenario(
            "poison",
            "1 % of the messages are no readings",
            Shape {
                poison_per_thousand: 10,
                large: 2,
                ..shape
            },
            contents::poison,
        ),
        scenario(
            "swaps",
            "versions are dropped in while workers are killed",
            Shape {
                settings: swapping(),
                ..shape
            },
            contents::swaps,
        ),
        scenario(
            "scale",
            "two, then four processes on 16 partitions",
            Shape {
                settings: Settings {
                    partitions: 16,
                    ..Settings::default()
                },
                places: 4,
                direct: true,
                drain: Duration::from_secs(120),
                ..shape
            },
            scale::scale,
        ),
    ]
}

/// Versions are taken over while it runs; nothing is closed by the clock, see `judge/reference.rs`.
fn swapping() -> Settings {
    Settings {
        idle_timeout: None,
        reload: true,
        ..Settings::default()
    }
}
