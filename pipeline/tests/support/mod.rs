//! What the tests of the engine share: a short way to write a configuration, and everything that is published.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::path::Path;

use forewarn_models::Loader;
use forewarn_pipeline::alarms::AlarmEvent;
use forewarn_pipeline::config::Headers;
use forewarn_pipeline::engine::Step;
use forewarn_pipeline::marks::Mark;
use forewarn_pipeline::message::Message;
use forewarn_pipeline::notices::Notice;
use forewarn_pipeline::publish::{
    Encoder, Output, OutputRecord, Publisher, SetAside, SetAsideRecord,
};
use forewarn_pipeline::saved::{self, Change, SavedAsset};
use forewarn_pipeline::{Config, Engine, Plan, Prediction};
use serde_json::{Value, json};

/// A configuration with the models of the fixtures. A line `serve MODEL VIEW` is an entry of `[[models.serve]]`;
/// what follows a bar are further keys of it, with `;` between them.
pub fn config(text: &str) -> Config {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/models");
    let text = format!(
        "name = \"p\"\n[source]\ntopic = \"in\"\nevent-time = {{ field = \"t\", unit = \"s\" }}\n{text}\n\
         [models]\nrepository = \"{}\"\n",
        models.display()
    );
    // Models are served in the text, which stands before their repository.
    let (text, serve): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| !line.starts_with("serve "));
    let serve: String = serve
        .iter()
        .map(|line| {
            let (line, keys) = line.split_once('|').unwrap_or((line, ""));
            let mut words = line.split_whitespace().skip(1);
            let (model, view) = (words.next().unwrap(), words.next().unwrap());
            let keys = keys.replace(';', "\n");
            format!("[[models.serve]]\nname = \"{model}\"\nview = \"{view}\"\n{keys}\n")
        })
        .collect();
    Config::parse("p.toml", &(text.join("\n") + "\n" + &serve), Path::new(".")).unwrap()
}

/// Everything that an engine publishes, as text.
#[derive(Default)]
pub struct Published(pub Vec<(String, Value)>);

impl Publisher for Published {
    type Error = Infallible;

    fn record(&mut self, record: &OutputRecord<'_>) -> Result<(), Infallible> {
        let topic = match record.output {
            Output::Prediction { .. } => "prediction",
            Output::Shadow => "shadow",
            Output::Status => "status",
            Output::Alarm(AlarmEvent::Cleared) => "cleared",
            Output::Alarm(_) => "alarm",
            Output::Model => "model",
            Output::Progress { .. } => "progress",
        };
        let mut json: Value = serde_json::from_slice(record.payload).unwrap();
        let id = record
            .headers
            .iter()
            .find(|(name, _)| *name == "ce_id")
            .unwrap()
            .1;
        json["id"] = id.into();
        self.0.push((topic.into(), json));
        Ok(())
    }

    fn set_aside(&mut self, record: &SetAsideRecord<'_>) -> Result<(), Infallible> {
        let topic = match record.why {
            SetAside::Refused(code) => code,
            SetAside::Late => "late",
        };
        let headers: Vec<Value> = record.headers.iter().map(|(k, v)| json!([k, v])).collect();
        self.0.push((topic.into(), headers.into()));
        Ok(())
    }
}

/// Publishes a step. The records of results are to have the bytes, and the ids, that the general serializer gives.
fn publish(encoder: &mut Encoder, step: &Step<'_>, to: &mut Published) {
    let results = step.results().chain(step.shadow_results());
    let expected = results.map(|scored| {
        let (view, head) = (scored.model.view, scored.head);
        let view = step.plan.views[view].view.name();
        let asset = step.asset(head.slot, head.asset);
        let place = ("in", step.partition(head.slot));
        let prediction = Prediction::new(&scored, view, asset, place);
        let text = serde_json::to_string(&prediction).unwrap();
        (text, prediction.id())
    });
    let expected = expected.collect();
    let mut checked = Checked { to, expected };
    let Ok(()) = encoder.publish(step, &mut checked);
    assert!(checked.expected.is_empty());
}

struct Checked<'p> {
    to: &'p mut Published,
    /// Records of results with their ids, in order.
    expected: VecDeque<(String, String)>,
}

impl Publisher for Checked<'_> {
    type Error = Infallible;

    fn record(&mut self, record: &OutputRecord<'_>) -> Result<(), Infallible> {
        if let Output::Prediction { .. } | Output::Shadow = record.output {
            let (text, id) = self.expected.pop_front().unwrap();
            assert_eq!(str::from_utf8(record.payload).unwrap(), text);
            assert!(record.headers.contains(&("ce_id", &id)));
        }
        self.to.record(record)
    }

    fn set_aside(&mut self, record: &SetAsideRecord<'_>) -> Result<(), Infallible> {
        self.to.set_aside(record)
    }
}

const FINGERPRINT: u64 = 42;

/// The state of a partition, as it is written down.
#[derive(Default)]
pub struct Written {
    shared: Vec<u8>,
    assets: BTreeMap<String, Vec<u8>>,
}

pub struct Run<'a> {
    engine: &'a mut Engine,
    encoder: Encoder,
    pub published: Published,
}

/// The records `range` of a log of (asset, JSON), in partition 0.
pub fn messages(log: &[(String, String)], range: std::ops::Range<usize>) -> Vec<Message<'_>> {
    let message = |offset: usize| Message {
        partition: 0,
        offset: offset as i64,
        timestamp: Some(2_000_000_000_000),
        key: Some(log[offset].0.as_bytes()),
        payload: Some(log[offset].1.as_bytes()),
    };
    range.map(message).collect()
}

pub fn engine(config: &Config) -> Engine {
    Engine::new(config, Plan::build(config, &Loader::trusted()).unwrap())
}

impl<'a> Run<'a> {
    /// Begins anew: an engine keeps nothing of a partition that it takes over again.
    pub fn new(engine: &'a mut Engine, publish_from: i64) -> Self {
        Run::with_marks(engine, publish_from, Vec::new())
    }

    /// As [`Self::new`], with the marks of an earlier run.
    pub fn with_marks(engine: &'a mut Engine, publish_from: i64, marks: Vec<Mark>) -> Self {
        engine.assign(0, 0, publish_from, marks);
        Run {
            engine,
            encoder: Encoder::new("p", "in", Headers::default()),
            published: Published::default(),
        }
    }

    /// Takes the records `range` of a log of (asset, JSON).
    pub fn step(&mut self, log: &[(String, String)], range: std::ops::Range<usize>) {
        let step = self.engine.step(&messages(log, range)).unwrap();
        publish(&mut self.encoder, &step, &mut self.published);
    }

    /// Takes a notice in; gives the mark that stands for it, if it was new.
    pub fn notice(&mut self, notice: &Notice) -> Option<Mark> {
        self.engine.notice(0, notice)
    }

    /// Writes down what has changed.
    pub fn save(&mut self, written: &mut Written) {
        let records = &mut written.assets;
        let shared = self.engine.save(0, |change| match change {
            Change::Changed(name, asset) => {
                records.insert(name.to_owned(), saved::encode(FINGERPRINT, asset));
            }
            Change::Evicted(name) => drop(records.remove(name)),
        });
        assert_eq!(records.len() as u64, shared.assets);
        written.shared = saved::encode(FINGERPRINT, &shared);
    }

    /// The state of all assets, in which everything is done that was due.
    pub fn state(&mut self) -> BTreeMap<String, SavedAsset> {
        let step = self.engine.reach_marks().unwrap();
        publish(&mut self.encoder, &step, &mut self.published);
        self.engine.export(0).unwrap()
    }

    /// Goes on from what was written down.
    pub fn restore(&mut self, written: &Written) {
        let assets: Vec<(&str, SavedAsset)> = written
            .assets
            .iter()
            .map(|(name, record)| (name.as_str(), saved::decode(FINGERPRINT, record).unwrap()))
            .collect();
        let shared = saved::decode(FINGERPRINT, &written.shared).unwrap();
        let assets = assets.iter().map(|(name, asset)| (*name, asset));
        self.engine.restore(0, &shared, assets);
    }

    pub fn end(&mut self) {
        let step = self.engine.advance(0, i64::MAX).unwrap();
        publish(&mut self.encoder, &step, &mut self.published);
    }

    pub fn sorted(self) -> Vec<(String, String)> {
        let texts = self
            .published
            .0
            .into_iter()
            .map(|(topic, json)| (topic, json.to_string()));
        let mut sorted: Vec<(String, String)> = texts.collect();
        sorted.sort();
        sorted
    }
}

/// Publishes a log in one go and gives the payloads of a topic.
pub fn told(config: &Config, log: &[(&str, Value)], topic: &str) -> Vec<Value> {
    let log: Vec<(String, String)> = log
        .iter()
        .map(|(asset, json)| ((*asset).to_owned(), json.to_string()))
        .collect();
    let mut engine = engine(config);
    let mut run = Run::new(&mut engine, 0);
    run.step(&log, 0..log.len());
    run.end();
    let of_topic = run
        .published
        .0
        .into_iter()
        .filter(|(name, _)| name == topic);
    of_topic.map(|(_, json)| json).collect()
}
