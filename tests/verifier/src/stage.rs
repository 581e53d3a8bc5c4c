//! What a scenario plays on: a broker of its own, the proxy before it, the pipeline, its processes, the load and
//! the onlooker; and what it leaves behind.
//!
//! ```text
//!   load ──────────────▶ broker ◀────── watch, judge
//!                          ▲
//!   workers ──▶ proxy ─────┘
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use forewarn_pipeline::Config;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::judge::Observed;
use crate::load::plan::Mix;
use crate::load::{Load, Sent};
use crate::pipeline::{Pipeline, Settings};
use crate::proxy::Proxy;
use crate::random::Random;
use crate::watch::Watch;
use crate::workers::{Fleet, Lives, UNANSWERED};

/// Between two looks at the workers.
const LOOK: Duration = Duration::from_millis(50);
/// How long a service may take until its first output: models are tried before the first start, by every process at
/// once, and CI machines compile next to it.
const FIRST_OUTPUT: Duration = Duration::from_secs(240);
/// How long the broker may take to say where the input ends.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a process that hung may take to make good what it left: its session, a start, and its work.
const AGAIN: Duration = Duration::from_secs(120);
/// After the last input: time for the clock to close quiet partitions.
const QUIET: Duration = Duration::from_millis(2_500);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends the scenario in play: its broker and its processes must not outlive this one.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Was the scenario in play ended?
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

fn interrupted() -> Result<()> {
    ensure!(!is_interrupted(), "interrupted");
    Ok(())
}

/// What a scenario needs.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub settings: Settings,
    /// Processes that run from the start, and places for them in all.
    pub workers: usize,
    pub places: usize,
    /// Ticks per second.
    pub rate: u64,
    pub assets: u64,
    pub poison_per_thousand: u64,
    pub large: u64,
    /// Without the proxy.
    pub direct: bool,
    /// How long after the last input the service may take to work everything off.
    pub drain: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            settings: Settings::default(),
            workers: 2,
            places: 2,
            rate: 300,
            assets: 24,
            poison_per_thousand: 0,
            large: 0,
            direct: false,
            drain: Duration::from_secs(60),
        }
    }
}

/// What faults did to the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// From the end of a fault until each partition had a committed output whose input came after it: the
    /// longest.
    pub outputs: Option<Duration>,
    /// Until then the lag was under one second of load, too: the longest.
    pub caught_up: Option<Duration>,
    pub faults: u64,
}

/// The end of a fault, or of a process: when it was, and where the input ended then.
#[derive(Debug)]
pub struct FaultEnd {
    at: Instant,
    input: HashMap<i32, i64>,
}

/// The stage, in play.
pub struct Stage {
    // In the order in which they must end: clients, workers, proxy, broker, folder.
    watch: Watch,
    pub load: Load,
    pub fleet: Fleet,
    pub proxy: Proxy,
    pub broker: Broker,
    pub pipeline: Pipeline,
    pub random: Random,
    pub mix: Mix,
    config: Config,
    recovery: Recovery,
    /// Why the scenario shows nothing, or shows a defect that no judgement is about.
    problems: Vec<String>,
    notes: Vec<String>,
    /// Processes may end by themselves in this scenario; they are started again.
    pub may_end: bool,
    _dir: TempDir,
}

/// The load has ended, and the service had its time for it.
#[derive(Debug)]
pub struct WorkedOff {
    sent: Sent,
    /// Where the input ends, and up to where it was committed, by partition.
    ends: HashMap<i32, i64>,
    processed: HashMap<i32, i64>,
}

/// What is left when it is over.
#[derive(Debug)]
pub struct Left {
    /// What was published, or why it can't be read.
    pub observed: Result<Observed>,
    pub config: Config,
    pub recovery: Recovery,
    pub lives: Lives,
    pub sent: Sent,
    pub problems: Vec<String>,
    pub notes: Vec<String>,
    /// The broker itself broke what is to be judged.
    pub void: Option<String>,
    /// Holds the broker and the models for as long as they are judged.
    pub held: Held,
}

/// What must outlive the judge, in the order in which it must end: the broker is found by its folder.
#[derive(Debug)]
pub struct Held {
    fleet: Fleet,
    _proxy: Proxy,
    broker: Broker,
    _dir: TempDir,
}

impl Stage {
    /// Sets everything up, and waits until outputs come. Kept, the folder is there afterwards.
    ///
    /// # Errors
    /// When something can't be started.
    pub fn set(name: &str, shape: Shape, (binary, keep): (&Path, bool), seed: u64) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("forewarn-verifier-")
            .disable_cleanup(keep)
            .tempdir()?;
        if keep {
            eprintln!("{name}: {}", dir.path().display());
        }
        let proxy = Proxy::start(seed)?;
        let broker = Broker::start(&dir.path().join("kafka"), proxy.port())?;
        proxy.forward_to(broker.inner);
        let pipeline = Pipeline::new(dir.path(), &format!("{name}-{seed}"), shape.settings)?;
        pipeline.create_topics(&broker.address)?;
        let config = pipeline.config(&broker.address)?;
        let proxied = format!("127.0.0.1:{}", proxy.port());
        let reached = if shape.direct {
            &broker.address
        } else {
            &proxied
        };
        let mut fleet = Fleet::new(binary, &pipeline, reached, dir.path(), shape.places)?;
        let watch = Watch::start(&config)?;
        let mix = Mix {
            seed,
            assets: shape.assets,
            rate: shape.rate,
            poison_per_thousand: shape.poison_per_thousand,
            large: shape.large,
        };
        for place in 0..shape.workers {
            fleet.start(place)?;
        }
        let load = Load::start(
            &broker.address,
            &config.source.topic,
            shape.settings.partitions,
            mix,
        )?;
        let mut stage = Stage {
            watch,
            load,
            fleet,
            proxy,
            broker,
            pipeline,
            random: Random::new(seed, 1),
            mix,
            config,
            recovery: Recovery::default(),
            problems: Vec::new(),
            notes: Vec::new(),
            may_end: false,
            _dir: dir,
        };
        // A worker that can't start would be started again for ever.
        let settled = |stage: &Stage| stage.watch.outputs() > 0 || !stage.fleet.ends.is_empty();
        stage.until(FIRST_OUTPUT, "the first output", settled)?;
        let ends = &stage.fleet.ends;
        ensure!(ends.is_empty(), "no start: {}", ends.join("; "));
        Ok(stage)
    }

    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Lets time go by, looking after the workers.
    ///
    /// # Errors
    /// When a worker can't be started again.
    pub fn pause(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            interrupted()?;
            self.fleet.tend()?;
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// When it is not within `limit`.
    pub fn until(
        &mut self,
        limit: Duration,
        what: &str,
        mut is: impl FnMut(&Stage) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !is(self) {
            interrupted()?;
            if Instant::now() > deadline {
                let ends = self.fleet.ends.join("; ");
                bail!("{what} did not come within {limit:?} {ends}");
            }
            self.fleet.tend()?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until the process of every place was given partitions.
    ///
    /// # Errors
    /// When one is not for long.
    pub fn all_take_part(&mut self) -> Result<()> {
        let all = |stage: &Stage| (0..stage.fleet.len()).all(|place| stage.fleet.takes_part(place));
        self.until(FIRST_OUTPUT, "partitions of every process", all)
    }

    /// A fault has just ended.
    ///
    /// # Errors
    /// When the broker does not say where the input ends.
    pub fn fault_ends(&mut self) -> Result<FaultEnd> {
        let at = Instant::now();
        // A broker that has just started does not know at once what it leads.
        loop {
            match self.watch.input_ends() {
                Ok(input) => return Ok(FaultEnd { at, input }),
                Err(error) if at.elapsed() > ANSWER => return Err(error),
                Err(_) => self.pause(LOOK)?,
            }
        }
    }

    /// Waits until the service has recovered from a fault, at most for `limit` from its end.
    ///
    /// # Errors
    /// When a worker can't be started again.
    pub fn recover(&mut self, fault: &FaultEnd, limit: Duration) -> Result<()> {
        let deadline = fault.at + limit;
        let (mut outputs, mut caught_up) = (None, None);
        while Instant::now() < deadline && caught_up.is_none() {
            interrupted()?;
            self.fleet.tend()?;
            std::thread::sleep(LOOK);
            outputs = self.watch.recovered_at(fault.at, &fault.input);
            caught_up = outputs.and_then(|at| self.watch.caught_up_at(at, self.mix.rate));
        }
        if caught_up.is_none() {
            let what = if outputs.is_none() {
                "no output of new input"
            } else {
                "not caught up"
            };
            self.problems
                .push(format!("{what} within {limit:?} of the end of a fault"));
        }
        let recovery = &mut self.recovery;
        recovery.faults += 1;
        recovery.outputs = recovery.outputs.max(outputs.map(|at| at - fault.at));
        recovery.caught_up = recovery.caught_up.max(caught_up.map(|at| at - fault.at));
        Ok(())
    }

    /// A fault must have happened for its scenario to show anything.
    pub fn fired(&mut self, fired: bool, fault: &str) {
        if !fired {
            self.problems
                .push(format!("the fault never fired: {fault}"));
        }
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Ends the load, and gives the service `limit` to work it off.
    ///
    /// # Errors
    /// When the load was not taken, or the broker does not say how far the service is.
    pub fn work_off(&mut self, limit: Duration) -> Result<WorkedOff> {
        self.proxy.heal();
        let sent = self.load.stop().context("the load")?;
        let end = Instant::now();
        let Mix {
            poison_per_thousand,
            large,
            ..
        } = self.mix;
        self.fired(poison_per_thousand == 0 || sent.poison > 0, "poison");
        self.fired(large == 0 || sent.large > 0, "a large message");
        // A lag that was measured before the load ended says nothing.
        let is_done = |stage: &Stage| {
            let lag = stage.watch.lag();
            lag.is_some_and(|(at, lag)| at > end && lag == 0)
        };
        while !is_done(self) && end.elapsed() < limit {
            self.pause(LOOK)?;
        }
        let done = is_done(self);
        let (ends, processed) = self.watch.processed()?;
        if !done {
            let words = (0..self.fleet.len()).map(|place| self.fleet.last_words(place));
            let words = words.collect::<Vec<_>>().join("; ");
            self.problems.push(format!(
                "not worked off within {limit:?} after the last input: committed {processed:?} of {ends:?}: {words}"
            ));
        }
        self.pause(QUIET)?;
        Ok(WorkedOff {
            sent,
            ends,
            processed,
        })
    }

    /// Ends the service. Where a call of the Kafka client hangs, or the broker stands still, nothing can be drained
    /// (status 5): such a process is started again, as its last words say, works off what it had not committed, and must
    /// drain then.
    fn end_service(&mut self) -> Result<()> {
        let hung = self.fleet.stop()?;
        if hung.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        for place in &hung {
            self.fleet.start(*place)?;
        }
        let is_done = |stage: &Stage| {
            let lag = stage.watch.lag();
            hung.iter().all(|place| stage.fleet.takes_part(*place))
                && lag.is_some_and(|(at, lag)| at > begun && lag == 0)
        };
        self.until(AGAIN, "what a process that hung had left", is_done)?;
        let hung = self.fleet.stop()?;
        ensure!(hung.is_empty(), "processes {hung:?} hung again");
        Ok(())
    }

    /// What is wrong so far, and whether the broker is to blame, of a scenario that could not be played to its end.
    pub fn give_up(mut self) -> (Vec<String>, Option<String>) {
        let ends = self.fleet.ends.drain(..);
        self.problems.extend(ends);
        (self.problems, void(&self.broker))
    }

    /// Ends the service, and reads what it published.
    pub fn leave(mut self, worked_off: WorkedOff) -> Left {
        if let Err(error) = self.end_service() {
            self.problems.push(format!("{error:#}"));
        }
        let mut held = Held {
            fleet: self.fleet,
            _proxy: self.proxy,
            broker: self.broker,
            _dir: self._dir,
        };
        let (mut problems, mut notes) = (self.problems, self.notes);
        let WorkedOff {
            sent,
            ends: input,
            processed,
        } = worked_off;
        drop(self.watch);
        let (acknowledged, messages) = (sent.acknowledged, input.values().sum::<i64>());
        if i64::try_from(acknowledged) != Ok(messages) {
            problems.push(format!(
                "{acknowledged} messages were acknowledged, the input has {messages}"
            ));
        }
        let hung = held.fleet.hung.drain(..);
        let (wrong, excused) = judged(hung.collect(), held.broker.stood_still());
        problems.extend(wrong);
        notes.extend(excused);
        let ends = held.fleet.ends.drain(..);
        if self.may_end {
            notes.extend(ends);
        } else {
            problems.extend(ends);
        }
        Left {
            observed: Observed::read(&self.config, (input, processed)),
            void: void(&held.broker),
            config: self.config,
            recovery: self.recovery,
            lives: held.fleet.lives(),
            sent,
            problems,
            notes,
            held,
        }
    }
}

fn void(broker: &Broker) -> Option<String> {
    let dropped = broker.dropped_markers();
    (dropped > 0).then(|| format!("the broker dropped the markers of {dropped} transactions"))
}

/// Of what processes said that could not drain, what is wrong and what is not: that nothing was acknowledged is the broker's
/// doing only where it stood still.
fn judged(hung: Vec<String>, broker_stood_still: bool) -> (Vec<String>, Vec<String>) {
    let is_wrong = |told: &String| told.contains(UNANSWERED) && !broker_stood_still;
    hung.into_iter().partition(is_wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_is_acknowledged_is_excused_by_a_broker_that_stood_still_alone() {
        let told = [UNANSWERED, "is in send_offsets_to_transaction"];
        let told = told.map(|call| format!("not drained (worker 0 {call})"));
        let [unanswered, hangs] = &told;
        let of = |still| judged(told.to_vec(), still);
        assert_eq!(of(false), (vec![unanswered.clone()], vec![hangs.clone()]));
        assert_eq!(of(true), (vec![], told.to_vec()));
    }
}
