//! The pipeline under test: its configuration, its models, its topics.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use forewarn_models::Loader;
use forewarn_pipeline::kafka::topics;
use forewarn_pipeline::{Config, Plan};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use crate::broker::root;

const TEMPLATE: &str = include_str!("../pipeline.toml");
/// Poison has 10 MB, and its dead letter may have more.
const MOST_BYTES: &str = "12000000";
/// Of what is not read by a partition's number.
const OUTPUT_PARTITIONS: usize = 2;
const ANSWER: Duration = Duration::from_secs(30);

/// The models, each with the fixture that it is.
const MODELS: [(&str, &str); 6] = [
    ("each", "plain"),
    ("shadowed", "nan"),
    ("sum", "running-sum"),
    ("last", "weighted"),
    ("second", "plain"),
    ("session", "plain"),
];

/// What scenarios choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub partitions: usize,
    pub session_timeout: Duration,
    /// `None`: no partition is ever quiet.
    pub idle_timeout: Option<Duration>,
    /// New versions are taken over while it runs.
    pub reload: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            partitions: 4,
            session_timeout: Duration::from_secs(3),
            idle_timeout: Some(Duration::from_secs(1)),
            reload: false,
        }
    }
}

/// A pipeline in a folder of its own.
#[derive(Debug)]
pub struct Pipeline {
    pub name: String,
    pub settings: Settings,
    dir: PathBuf,
}

impl Pipeline {
    /// Puts the models into `dir`.
    ///
    /// # Errors
    /// When fixtures are missing.
    pub fn new(dir: &Path, name: &str, settings: Settings) -> Result<Self> {
        let pipeline = Pipeline {
            name: name.to_owned(),
            settings,
            dir: dir.to_owned(),
        };
        for (name, fixture) in MODELS {
            pipeline.drop_in(name, 1, fixture, 1.0)?;
        }
        Ok(pipeline)
    }

    fn repository(&self) -> PathBuf {
        self.dir.join("models")
    }

    /// Puts a version into the repository, as a whole: the fixture, with `threshold` where it has one.
    ///
    /// # Errors
    /// When there is no such fixture.
    pub fn drop_in(&self, model: &str, version: u32, fixture: &str, threshold: f64) -> Result<()> {
        let home = self.repository().join(model);
        std::fs::create_dir_all(&home)?;
        let built = self.dir.join(format!("{model}-{version}"));
        std::fs::create_dir_all(&built)?;
        let file = format!("tests/fixtures/models/{fixture}/1/model.onnx");
        std::fs::copy(root().join(&file), built.join("model.onnx")).context(file)?;
        if fixture != "weighted" {
            let text = format!("threshold = {threshold:?}\n");
            std::fs::write(built.join("model.toml"), text)?;
        }
        Ok(std::fs::rename(built, home.join(version.to_string()))?)
    }

    /// Writes the configuration of one process, and gives its file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, brokers: &str, instance: &str) -> Result<PathBuf> {
        let Settings {
            session_timeout,
            idle_timeout,
            reload,
            ..
        } = self.settings;
        let idle =
            idle_timeout.map_or("never".to_owned(), |idle| format!("{}ms", idle.as_millis()));
        let pairs = [
            ("name", self.name.as_str()),
            ("brokers", brokers),
            ("session-ms", &session_timeout.as_millis().to_string()),
            ("idle", &idle),
            ("repository", &self.repository().display().to_string()),
            ("reload", if reload { "poll" } else { "none" }),
            ("instance", instance),
        ];
        let fill =
            |text: String, (key, value): &(&str, &str)| text.replace(&format!("{{{key}}}"), value);
        let text = pairs.iter().fold(TEMPLATE.to_owned(), fill);
        let file = self.dir.join(format!("{instance}.toml"));
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// The configuration as the judge uses it, without proxy.
    ///
    /// # Errors
    /// What `forewarn check` would say.
    pub fn config(&self, brokers: &str) -> Result<Config> {
        Ok(Config::load(&self.write(brokers, "judge")?)?)
    }

    /// Creates the topics before anything runs: those that take what is too large by default, then all others as
    /// `--create-topics` does.
    ///
    /// # Errors
    /// When the broker refuses, or a model can't be loaded.
    pub fn create_topics(&self, brokers: &str) -> Result<()> {
        let config = self.config(brokers)?;
        let inputs = self.settings.partitions as i32;
        let topics = [
            new(&config.source.topic, inputs),
            new(&config.sink.dead_letters, OUTPUT_PARTITIONS as i32),
        ];
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()?;
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER))
            .operation_timeout(Some(ANSWER));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        for created in runtime.block_on(admin.create_topics(&topics, &options))? {
            let refused = created.err();
            ensure!(refused.is_none(), "topic can't be created: {refused:?}");
        }
        let plan = Plan::build(&config, &Loader::trusted())?;
        Ok(topics::require(&config, &plan, Some(OUTPUT_PARTITIONS))?)
    }
}

fn new(topic: &str, partitions: i32) -> NewTopic<'_> {
    NewTopic::new(topic, partitions, TopicReplication::Fixed(1))
        .set("max.message.bytes", MOST_BYTES)
}
