//! The judge: what was published, against what one thread says it should be.
//!
//! ```text
//!   input topic ─▶ reference (pure engine, marks, events) ─▶ expected ┐
//!   output topics, read_committed ─────────────────────────▶ observed ┴▶ judgements, each with three examples
//! ```
//!
//! Invariant: of everything below the committed offsets nothing is forgiven. What the service had no time for is
//! beyond them, and only `processed` looks at that.
//!
//! The state that was written down is gone on from, up to the committed offset, and must then be the reference's.

mod observed;
mod output;
mod plant;
mod reference;
mod state;

use std::collections::{HashMap, HashSet};
use std::fmt;

use anyhow::Result;
use forewarn_pipeline::Config;
use serde::Serialize;

pub use observed::{Observed, Undecided};
pub use output::{Identity, Output, Sink, Stream};
pub use plant::Plant;

/// Part of each partition that must be processed within the scenario's time.
const PROCESSED: f64 = 0.95;
const EXAMPLES: usize = 3;

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// Every committed input has the results that the reference gives for it.
    Missing,
    /// Nothing is there twice: by id, and by source, model, version, window and revision.
    Doubled,
    /// Per asset and sink, in the reference's order.
    Order,
    /// Keys, values and headers are the reference's, bit for bit.
    Values,
    /// There is nothing that the reference does not give.
    Unexpected,
    /// State that was written down becomes the reference's.
    State,
    /// Enough of each partition was worked off in the scenario's time.
    Processed,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Judgement::Missing => "missing",
            Judgement::Doubled => "doubled",
            Judgement::Order => "order",
            Judgement::Values => "values",
            Judgement::Unexpected => "unexpected",
            Judgement::State => "state",
            Judgement::Processed => "processed",
        })
    }
}

/// How one judgement came out; red when anything counts.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub judgement: Judgement,
    pub count: u64,
    pub examples: Vec<String>,
}

impl Finding {
    fn new(judgement: Judgement) -> Self {
        Finding {
            judgement,
            count: 0,
            examples: Vec::new(),
        }
    }

    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }

    pub fn is_red(&self) -> bool {
        self.count > 0
    }
}

/// All findings, and what they are about.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub findings: Vec<Finding>,
    /// Outputs that the reference gives, and that were read.
    pub expected: u64,
    pub observed: u64,
    /// Outputs by sink, so that one without any is seen.
    pub by_sink: Vec<(String, u64)>,
    pub marks: usize,
    pub messages: u64,
    pub processed: u64,
}

impl Verdict {
    /// The judgements that failed.
    pub fn red(&self) -> Vec<Judgement> {
        let red = self.findings.iter().filter(|finding| finding.is_red());
        red.map(|finding| finding.judgement).collect()
    }
}

/// Judges what was read of the pipeline of `config`.
///
/// # Errors
/// When the input can't be gone through again.
pub fn judge(config: &Config, observed: &Observed) -> Result<Verdict> {
    let mut bench = Bench::new(observed);
    let events: &[_] = if config.models.reload == forewarn_pipeline::config::Reload::None {
        &[]
    } else {
        &observed.events
    };
    let engine = reference::run(config, &observed.committed, events, |expected| {
        bench.compare(&expected);
    })?;
    // Over a swap the reference goes through each partition by itself, and keeps none.
    if let Some(engine) = engine {
        state::compare(config, observed, &engine, &mut bench.state)?;
    }
    Ok(bench.finish())
}

/// The comparison, one expected output after the other.
struct Bench<'o> {
    observed: &'o Observed,
    /// Places of the outputs, the first of each.
    places: HashMap<Identity, usize>,
    expected: HashSet<Identity>,
    /// Place of the latest output of a stream that was in order.
    latest: HashMap<Stream, usize>,
    missing: Finding,
    doubled: Finding,
    order: Finding,
    values: Finding,
    state: Finding,
}

impl<'o> Bench<'o> {
    fn new(observed: &'o Observed) -> Self {
        let mut bench = Bench {
            observed,
            places: HashMap::new(),
            expected: HashSet::new(),
            latest: HashMap::new(),
            missing: Finding::new(Judgement::Missing),
            doubled: Finding::new(Judgement::Doubled),
            order: Finding::new(Judgement::Order),
            values: Finding::new(Judgement::Values),
            state: Finding::new(Judgement::State),
        };
        let mut results = HashSet::new();
        for (place, output) in observed.outputs.iter().enumerate() {
            let identity = output.identity();
            let by_result = output.result().map(|result| (output.sink, result));
            let told = by_result.is_some_and(|result| !results.insert(result));
            if told | bench.places.contains_key(&identity) {
                let at = || observed.place(output.source());
                bench
                    .doubled
                    .add(|| format!("{}: {} of {}", identity.sink, identity.id, at()));
            }
            bench.places.entry(identity).or_insert(place);
        }
        for mark in &observed.doubled_marks {
            bench.doubled.add(|| format!("mark {mark}"));
        }
        bench
    }

    fn compare(&mut self, expected: &Output) {
        let (identity, observed) = (expected.identity(), self.observed);
        let name = || format!("{}: {}", identity.sink, identity.id);
        if !self.expected.insert(identity.clone()) {
            self.doubled
                .add(|| format!("{} by the reference itself", name()));
            return;
        }
        let Some(place) = self.places.get(&identity).copied() else {
            let source = expected.source();
            self.missing
                .add(|| format!("{} of {}", name(), observed.place(source)));
            return;
        };
        let found = &observed.outputs[place];
        if let Some(difference) = found.difference(expected) {
            self.values.add(|| format!("{}: {difference}", name()));
        }
        // Messages without a key have no order: they are spread over the partitions.
        if expected.key.is_some() {
            let latest = self.latest.entry(expected.stream()).or_insert(place);
            if place < *latest {
                let before = &observed.outputs[*latest];
                self.order
                    .add(|| format!("{} came before {}", name(), before.identity().id));
            }
            *latest = place.max(*latest);
        }
    }

    fn finish(self) -> Verdict {
        let observed = self.observed;
        let mut unexpected = Finding::new(Judgement::Unexpected);
        for output in &observed.outputs {
            let identity = output.identity();
            if !self.expected.contains(&identity) {
                let at = || observed.place(output.source());
                unexpected.add(|| format!("{}: {} of {}", identity.sink, identity.id, at()));
            }
        }
        let count = |sink: Sink| {
            let of = observed.outputs.iter().filter(|output| output.sink == sink);
            (sink.to_string(), of.count() as u64)
        };
        Verdict {
            findings: vec![
                self.missing,
                self.doubled,
                self.order,
                self.values,
                self.state,
                unexpected,
                processed(observed),
            ],
            expected: self.expected.len() as u64,
            observed: observed.outputs.len() as u64,
            by_sink: Sink::ALL.map(count).to_vec(),
            marks: observed.marks,
            messages: sum(&observed.ends),
            processed: sum(&observed.processed),
        }
    }
}

/// A partition that is stuck must not be covered by the others.
fn processed(observed: &Observed) -> Finding {
    let mut finding = Finding::new(Judgement::Processed);
    if sum(&observed.ends) == 0 {
        finding.add(|| "no input".to_owned());
    }
    for (partition, end) in &observed.ends {
        let done = observed.processed.get(partition).copied().unwrap_or(0);
        let needed = (*end as f64 * PROCESSED).ceil() as i64;
        if done < needed {
            finding.add(|| {
                format!("partition {partition}: {done} of {end} messages in the scenario's time")
            });
        }
    }
    finding
}

/// Messages of all partitions.
fn sum(offsets: &HashMap<i32, i64>) -> u64 {
    offsets.values().map(|offset| *offset as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partition_that_is_behind_is_not_covered_by_the_others() {
        let red = |ends: [i64; 3], done: [i64; 3]| {
            let of = |offsets: [i64; 3]| (0..).zip(offsets).collect();
            let observed = Observed {
                ends: of(ends),
                processed: of(done),
                ..Observed::default()
            };
            processed(&observed).count
        };
        assert_eq!(red([1_000, 1_000, 0], [1_000, 950, 0]), 0);
        assert_eq!(red([1_000, 20, 0], [1_000, 18, 0]), 1);
        assert_eq!(red([1_000, 1_000, 1_000], [949, 0, 1_000]), 2);
        assert_eq!(red([0, 0, 0], [0, 0, 0]), 1, "nothing was sent");
    }
}
