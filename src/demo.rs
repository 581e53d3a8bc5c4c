//! `forewarn demo`: real machines watched, end to end, in one command.
//!
//! ```text
//!   feed → topic → the service (as in `forewarn run`) → predictions → read back → compared with the truth
//! ```
//!
//! The broker is simulated inside this process unless one is named. The simulation serves to see the
//! product work; what is guaranteed about delivery is tested on Apache Kafka.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use forewarn_pipeline::config::OrNever;
use forewarn_pipeline::kafka::reader::{From, PredictionReader};
use forewarn_pipeline::kafka::topics;
use forewarn_pipeline::metrics::Totals;
use forewarn_pipeline::{Config, Service, Shutdown};
use rdkafka::mocking::MockCluster;

use crate::cli::{DemoArgs, FleetArg};
use crate::feed::{Fed, KafkaTarget, Pace, data_dir};
use crate::guard;
use crate::terminal::{progress, thousands};

mod cars;
mod engines;

/// Enough for two workers and a reader; the simulated broker keeps 5 MB of each.
const PARTITIONS: usize = 16;
/// Without a new prediction for this long, the rest is taken for lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// One of the fleets that the demo can watch.
trait Scenario: Sync {
    /// What is watched, in words.
    fn title(&self) -> String;
    fn readings(&self) -> u64;
    fn feed(&self, telemetry: &mut KafkaTarget, truth: &mut KafkaTarget, pace: Pace)
    -> Result<Fed>;
    /// Compares predictions with the truth.
    fn judge(&self) -> Box<dyn Judge + '_>;
    /// The shipped configuration.
    fn config(&self) -> (&'static str, &'static str);
}

/// Takes predictions and reports how right they were.
trait Judge: Send {
    fn add(&mut self, prediction: &forewarn_pipeline::Prediction<'_>);
    fn report(&self) -> String;
}

pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    let scenario = choose(args)?;
    let cluster = match &args.brokers {
        Some(_) => None,
        None => Some(MockCluster::new(1).context("the simulated broker does not start")?),
    };
    let brokers = match (&args.brokers, &cluster) {
        (Some(brokers), _) => brokers.clone(),
        (None, Some(cluster)) => cluster.bootstrap_servers(),
        (None, None) => unreachable!("a cluster is started when no broker is named"),
    };
    let mut config = configure(scenario.as_ref(), &brokers, &args.models)?;
    // Nobody takes over from it.
    config.delivery.snapshot_every = OrNever(None);
    let truth_topic = format!("{}-truth", config.source.topic);
    let names = [
        &config.source.topic,
        &truth_topic,
        &config.sink.predictions,
        &config.sink.dead_letters,
        &config.sink.late,
        &config.sink.alarms,
    ];
    for name in names {
        match &cluster {
            Some(cluster) => cluster.create_topic(name, PARTITIONS as i32, 1)?,
            None => topics::require_one(&config.kafka, name, Some(PARTITIONS))?,
        }
    }
    println!("watching   {}", scenario.title());
    let broker = if cluster.is_some() {
        "simulated in this process"
    } else {
        brokers.as_str()
    };
    println!(
        "broker     {broker}; telemetry in {}, predictions in {}",
        names[0], names[2]
    );
    let outcome = watch(scenario.as_ref(), config, &truth_topic)?;
    outcome.print(scenario.as_ref());
    Ok(())
}

fn choose(args: &DemoArgs) -> Result<Box<dyn Scenario>> {
    let data = data_dir(args.data.as_deref());
    let has_engines = data.join("cmapss").is_dir() || data.join("test_FD001.txt.gz").is_file();
    let fleet = args.fleet.unwrap_or(if has_engines {
        FleetArg::Engines
    } else {
        FleetArg::Cars
    });
    Ok(match fleet {
        FleetArg::Engines => Box::new(engines::Engines::load(&data)?),
        FleetArg::Cars => {
            if args.fleet.is_none() {
                println!(
                    "note       no engines found in {}; watching simulated cars (--data or FOREWARN_DATA names the folder)",
                    data.display()
                );
            }
            Box::new(cars::Cars::new(args.cars)?)
        }
    })
}

/// The shipped configuration with topics of its own, so that runs on one broker do not mix.
fn configure(scenario: &dyn Scenario, brokers: &str, models: &Path) -> Result<Config> {
    let (file, text) = scenario.config();
    let mut config = Config::parse(file, text, Path::new("."))?;
    let run = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    config.name = format!("demo-{run}");
    config.kafka.brokers = brokers.to_owned();
    config.source.topic = format!("{}-telemetry", config.name);
    config.sink.predictions = format!("{}-predictions", config.name);
    config.sink.dead_letters = format!("{}-dead-letters", config.name);
    config.sink.late = format!("{}-late", config.name);
    config.sink.alarms = format!("{}-alarms", config.name);
    config.models.repository = models.to_owned();
    // A few seconds of a fleet that wears out are not as its whole life.
    config.models.drift.watch = false;
    Ok(config)
}

/// What came out.
struct Outcome {
    fed: Fed,
    totals: Totals,
    read: u64,
    expected: u64,
    took: Duration,
    models: Vec<String>,
    report: String,
}

fn watch(scenario: &dyn Scenario, config: Config, truth_topic: &str) -> Result<Outcome> {
    let kafka = config.kafka.clone();
    let (telemetry, predictions) = (config.source.topic.clone(), config.sink.predictions.clone());
    let models: Vec<String> = config
        .models
        .serve
        .iter()
        .map(|served| served.name.clone())
        .collect();
    let expected = scenario.readings() * models.len() as u64;
    let loader = guard::loader(&config)?;
    let service = Service::new(config, loader)?;
    let metrics = service.metrics();
    let shutdown = Shutdown::default();
    let reader = PredictionReader::open(&kafka, &predictions, From::Beginning)?;
    let read = AtomicU64::new(0);
    let (read, shutdown) = (&read, &shutdown);
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || service.run(shutdown, None));
        let reading = scope.spawn(move || {
            let mut judge = scenario.judge();
            let result = read_back(&reader, judge.as_mut(), read, expected, shutdown);
            (result, Instant::now(), judge.report())
        });
        let begun = Cell::new(Instant::now());
        let feeding = || {
            // Joining the consumer group takes seconds, and is no part of the rate.
            while metrics.totals().partitions < PARTITIONS as u64 && !shutdown.is_requested() {
                std::thread::sleep(Duration::from_millis(10));
            }
            begun.set(Instant::now());
            let mut target = KafkaTarget::open(&kafka, &telemetry)?;
            let mut truth = KafkaTarget::open(&kafka, truth_topic)?;
            let pace = Pace::new(None, progress(scenario.readings(), "readings"))?;
            scenario.feed(&mut target, &mut truth, pace)
        };
        let fed = feeding();
        if fed.is_err() {
            shutdown.request();
        }
        let Ok((result, ended, report)) = reading.join() else {
            bail!("the reader panicked: this is a defect of forewarn")
        };
        shutdown.request();
        match serving.join() {
            Ok(served) => drop(served?),
            Err(_) => bail!("the service panicked: this is a defect of forewarn"),
        }
        result?;
        Ok(Outcome {
            fed: fed?,
            totals: metrics.totals(),
            read: read.load(Ordering::Relaxed),
            expected,
            took: ended - begun.get(),
            models,
            report,
        })
    })
}

fn read_back(
    reader: &PredictionReader,
    judge: &mut dyn Judge,
    read: &AtomicU64,
    expected: u64,
    shutdown: &Shutdown,
) -> Result<()> {
    let mut last = Instant::now();
    while read.load(Ordering::Relaxed) < expected && last.elapsed() < PATIENCE {
        if shutdown.is_requested() {
            return Ok(());
        }
        let wait = Duration::from_millis(100);
        if reader
            .poll(wait, |prediction| judge.add(&prediction))?
            .is_some()
        {
            read.fetch_add(1, Ordering::Relaxed);
            last = Instant::now();
        }
    }
    Ok(())
}

impl Outcome {
    fn print(&self, scenario: &dyn Scenario) {
        let seconds = self.took.as_secs_f64();
        let refused: u64 = self.totals.refused.values().sum();
        println!(
            "readings   {} of {} assets, {} refused",
            thousands(self.fed.messages),
            thousands(self.fed.assets),
            thousands(refused)
        );
        println!(
            "scored     {} predictions by {}, read back from Kafka",
            thousands(self.read),
            self.models.join(" and ")
        );
        println!(
            "rate       {} readings/s from the first one fed to the last prediction read ({seconds:.1} s, \
             everything on this machine)",
            thousands((self.fed.messages as f64 / seconds) as u64)
        );
        println!(
            "flagged    {} anomalous readings",
            thousands(self.totals.anomalous)
        );
        println!(
            "alarms     {} raised, {} cleared",
            thousands(self.totals.alarms_raised),
            thousands(self.totals.alarms_cleared)
        );
        print!("{}", self.report);
        if self.read < self.expected {
            println!(
                "warning    {} predictions are missing: {} refused readings have none; others did not arrive \
                 within {} s",
                thousands(self.expected - self.read),
                thousands(refused),
                PATIENCE.as_secs()
            );
        }
        let (file, _) = scenario.config();
        println!(
            "next       forewarn check --config {file}; see README.md for the service on a real Kafka"
        );
    }
}
